//! The tree: each node's links, the edges between nodes, the budgets down them.

mod act;
mod report;
mod shape;
mod training;
mod used;

use vouch_core::{
    bundle::Bundle,
    tree::{Node, TreeBundle},
};

use crate::{
    Link, LinkName, Options, Status,
    links::{self, Outcome, conclude},
    verify,
};
pub use report::{NodeReport, TreeReport, TreeVerdict};
use shape::Shape;

/// Checks a tree: every node, every edge, every budget. `options` says what is known besides each
/// answer; of the uses of data in one, its own holds too.
pub fn verify_tree<'a>(tree: &TreeBundle, options: &dyn Fn(&Bundle) -> Options<'a>) -> TreeReport {
    let shape = match shape::shape(tree) {
        Ok(shape) => shape,
        Err(broken) => {
            let link = conclude(LinkName::Tree, Err(broken), &Options::default());
            return TreeReport::shapeless(tree.root, link);
        }
    };
    let nodes = shape.order.iter().filter_map(|(at, depth)| {
        let node = tree.nodes.get(*at)?;
        let links = node_links(&shape, *at, node, options);
        Some(NodeReport::new(node, *depth, links))
    });
    let nodes = nodes.collect();
    TreeReport::new(tree.root, shape.link(), nodes)
}

fn node_links<'a>(
    shape: &Shape<'_>,
    at: usize,
    node: &Node,
    options: &dyn Fn(&Bundle) -> Options<'a>,
) -> Vec<Link> {
    match node {
        Node::Answer(bundle) => {
            let options = options(bundle);
            let mut links = verify(bundle, &options).links;
            if links.iter().all(|link| link.status != Status::Broken) {
                links.extend(sources(shape, at, bundle, &options));
            }
            links
        }
        Node::Use(used) => used::links(shape, used, options),
        Node::Act(act) => act::links(shape, at, act),
        Node::Training(training) => training::links(shape, at, training),
    }
}

/// Runs checks up to the first that is broken.
fn until_broken(
    options: &Options<'_>,
    checks: impl IntoIterator<Item = (LinkName, Outcome)>,
) -> Vec<Link> {
    let mut links = Vec::new();
    for (name, outcome) in checks {
        let link = conclude(name, outcome, options);
        let broken = link.status == Status::Broken;
        links.push(link);
        if broken {
            break;
        }
    }
    links
}

/// The receipts of an answer's sources; nothing to say of an answer without.
fn sources(shape: &Shape<'_>, at: usize, bundle: &Bundle, options: &Options<'_>) -> Option<Link> {
    let uses = shape.uses(at);
    let sources = match links::answer::sources(bundle) {
        Ok(Some(sources)) => sources,
        Ok(None) if uses.is_empty() => return None,
        Ok(None) => {
            let why = "data was used in an answer that has no sources".into();
            return Some(conclude(LinkName::Sources, Err(why), options));
        }
        Err(broken) => return Some(conclude(LinkName::Sources, Err(broken), options)),
    };
    let mut indices: Vec<_> =
        uses.iter().filter_map(|used| used::source(used, bundle, &sources)).collect();
    indices.sort_unstable();
    indices.dedup();
    let (known, all) = (indices.len(), sources.len());
    let outcome = if known != uses.len() {
        Err("a use of data is of no source of the answer, or of one that has a receipt".into())
    } else if known < all {
        links::absent(
            format!("{known} of {all} sources have their receipt here"),
            "the provider, that it logged the others",
        )
    } else {
        links::proven(format!("each of {all} sources has its receipt"), "")
    };
    Some(conclude(LinkName::Sources, outcome, options))
}
