use std::fmt;

use serde::Serialize;
use vouch_core::{B256, data_use::WHOLE, receipt, tree::Node};

use crate::{Link, LinkName, Status, report::printable};

/// One receipt of a tree, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its digest.
    pub receipt: B256,
    /// The receipt it was made under, 0 if none.
    pub parent: B256,
    /// How far from the first of what the root was made under, which is at 0.
    pub depth: usize,
    /// One line: who did what for whom, safe to print.
    pub what: String,
    /// Its links, up to the first broken one.
    pub links: Vec<Link>,
}

/// What a tree is worth as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum TreeVerdict {
    /// Every link of every receipt is proven.
    Proven,
    /// Every link that is there is proven.
    Partial {
        /// Names of those that are not there, of any receipt.
        absent: Vec<LinkName>,
    },
    /// A link is broken: the tree proves nothing.
    Broken {
        /// Of which receipt.
        receipt: B256,
        /// Which link.
        link: LinkName,
    },
}

impl TreeVerdict {
    /// Whether nothing is broken.
    #[must_use]
    pub fn holds(&self) -> bool {
        !matches!(self, Self::Broken { .. })
    }
}

/// The verifier's answer on a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TreeReport {
    /// The receipt that it is about.
    pub root: B256,
    /// Whether the receipts hang together.
    pub tree: Link,
    /// Each receipt, parents first.
    pub nodes: Vec<NodeReport>,
    /// What it all is worth.
    pub verdict: TreeVerdict,
}

impl NodeReport {
    pub(super) fn new(node: &Node, depth: usize, links: Vec<Link>) -> Self {
        let receipt = node.receipt();
        let receipt::Receipt { provider, payer, charge, .. } = receipt;
        let failed = match receipt.status {
            receipt::Status::Failed => ", failed",
            _ => "",
        };
        let what = match node {
            Node::Answer(bundle) => {
                let model = printable(&bundle.terms.model);
                format!("{provider} answered {payer} with {model} for {charge}{failed}")
            }
            Node::Use(used) if used.document == WHOLE => {
                format!("{provider} trained on a set of {payer}, credited {charge}{failed}")
            }
            Node::Use(_) if charge == &0 => format!("{provider} quoted {payer}, not credited"),
            Node::Use(_) => format!("{provider} quoted {payer}, credited {charge}"),
            Node::Act(act) => {
                format!("{provider} for {payer}: {} for {charge}{failed}", printable(&act.kind))
            }
            Node::Training(_) => {
                format!("{provider} trained a model for {payer}, crediting {charge} in all{failed}")
            }
        };
        Self { receipt: receipt.digest(), parent: receipt.parent, depth, what, links }
    }
}

impl TreeReport {
    pub(super) fn shapeless(root: B256, tree: Link) -> Self {
        let verdict = TreeVerdict::Broken { receipt: root, link: LinkName::Tree };
        Self { root, tree, nodes: Vec::new(), verdict }
    }

    pub(super) fn new(root: B256, tree: Link, nodes: Vec<NodeReport>) -> Self {
        let verdict = verdict(&nodes);
        Self { root, tree, nodes, verdict }
    }
}

fn verdict(nodes: &[NodeReport]) -> TreeVerdict {
    let with = |status| {
        nodes.iter().flat_map(move |node| {
            let links = node.links.iter().filter(move |link| link.status == status);
            links.map(move |link| (node.receipt, link.link))
        })
    };
    if let Some((receipt, link)) = with(Status::Broken).next() {
        return TreeVerdict::Broken { receipt, link };
    }
    let mut absent: Vec<_> = with(Status::Absent).map(|(_, link)| link).collect();
    absent.sort_unstable();
    absent.dedup();
    if absent.is_empty() { TreeVerdict::Proven } else { TreeVerdict::Partial { absent } }
}

impl fmt::Display for TreeVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven => f.write_str("verified: every link of every receipt is proven"),
            Self::Partial { absent } => {
                let absent: Vec<_> = absent.iter().map(|link| link.as_str()).collect();
                write!(f, "verified as far as it goes; absent: {}", absent.join(", "))
            }
            Self::Broken { receipt, link } => {
                write!(f, "NOT verified: the link \"{link}\" of receipt {receipt} is broken")
            }
        }
    }
}

impl fmt::Display for TreeReport {
    /// Lines for a terminal; no stranger's text is in them unescaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.tree)?;
        for node in &self.nodes {
            let indent = "  ".repeat(node.depth.min(40));
            writeln!(f, "\n{indent}{}\n{indent}receipt {}", node.what, node.receipt)?;
            for link in &node.links {
                for line in link.to_string().lines() {
                    writeln!(f, "{indent}{line}")?;
                }
            }
        }
        write!(f, "\n{}", self.verdict)
    }
}
