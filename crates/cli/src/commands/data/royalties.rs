//! `vouch data royalties`: how income splits up the lineage.

use std::path::Path;

use alloy_primitives::U256;
use vouch_contracts::addresses;
use vouch_data::lineage::{NodeBooks, explain, movements, read};

use super::owner::Place;
use crate::{arguments::data::Royalties, money::Dollars, output::Output};

pub(super) async fn run(
    arguments: Royalties,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let place = Place::open(&arguments.on, data_dir).await?;
    let graph = read(&place.provider, place.economy.lineage).await?;
    let vault = arguments.vault.unwrap_or(place.economy.vault);
    let token = arguments.token.unwrap_or(addresses::TOKEN);
    let moved = movements(&place.provider, vault, token).await?;
    let mut royalties = explain(&graph, &moved)?;
    if let Some(node) = arguments.node {
        anyhow::ensure!(graph.get(node).is_some(), "node {node} is not registered");
        let wanted = graph.ancestry(node);
        royalties.nodes.retain(|books| wanted.contains(&books.node));
    }
    output.answer(&royalties, || match royalties.nodes.is_empty() {
        true => "no node is registered yet".to_owned(),
        false => royalties
            .nodes
            .iter()
            .map(|books| lines(books, arguments.explain))
            .collect::<Vec<_>>()
            .join("\n"),
    })
}

fn lines(books: &NodeBooks, is_explained: bool) -> String {
    let dollars = |amount: U256| Dollars(amount.saturating_to());
    let kind = serde_json::to_value(books.kind).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("?");
    let mut text = format!(
        "{kind} {}\n  owner         {}\n  entitled to   {}, has taken {}, can take {}",
        books.node,
        books.owner,
        dollars(books.entitled),
        dollars(books.withdrawn),
        dollars(books.withdrawable),
    );
    if !is_explained {
        return text;
    }
    let from_children = books.received.saturating_sub(books.earned);
    text.push_str(&format!(
        "\n  received      {} = {} at its receiver (after a fee of {}) + {} from what is made of it",
        dollars(books.received),
        dollars(books.earned),
        dollars(books.fee),
        dollars(from_children),
    ));
    let mut passed = 0u32;
    for edge in &books.parents {
        passed += u32::from(edge.share_bps);
        text.push_str(&format!(
            "\n  to parent     {}: floor({} x {} / 10000) = {}, of which {} was moved",
            edge.parent,
            books.received,
            edge.share_bps,
            edge.moved + edge.owed,
            edge.moved,
        ));
    }
    text.push_str(&format!(
        "\n  to the owner  {} - floor({} x {passed} / 10000) = {}",
        books.received,
        books.received,
        books.withdrawable + books.withdrawn,
    ));
    text
}
