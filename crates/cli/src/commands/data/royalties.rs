//! `vouch data royalties`: how income splits up the lineage, and taking the own part of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use alloy::providers::DynProvider;
use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, ensure};
use serde_json::json;
use vouch_contracts::{
    addresses,
    bindings::{RoyaltyVault::RoyaltyVaultInstance, TestDollar::TestDollarInstance},
};
use vouch_data::lineage::{Graph, NodeBooks, Vault, explain, movements, plan, read};
use vouch_wallet::Wallet;

use super::{
    owner::{Place, fund, provider_wallet},
    register::vault,
};
use crate::{arguments::data::Royalties, money::Dollars, output::Output};

pub(super) async fn run(
    arguments: Royalties,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let place = Place::open(&arguments.on, data_dir).await?;
    let graph = read(&place.provider, place.economy.lineage).await?;
    if let Some(node) = arguments.node {
        ensure!(graph.get(node).is_some(), "node {node} is not registered");
    }
    let vault = vault(&place, &arguments.vault, data_dir).await?;
    let token = arguments.token.unwrap_or(addresses::TOKEN);
    let Dollars(least) = arguments.least;
    let least = U256::from(least);
    let money = Money { place: &place, graph: &graph, vault: &vault, token, least };
    let taken = match arguments.collect {
        true => money.collect(arguments.node, data_dir).await?,
        false => Vec::new(),
    };
    let moved = movements(&place.provider, *vault.address(), token).await?;
    let mut royalties = explain(&graph, &moved)?;
    if let Some(node) = arguments.node {
        let wanted = graph.ancestry(node);
        royalties.nodes.retain(|books| wanted.contains(&books.node));
    }
    let collected = taken.iter().map(|(node, amount)| json!({ "node": node, "amount": amount }));
    let value = json!({
        "nodes": royalties.nodes, "collected": collected.collect::<Vec<_>>(),
    });
    output.answer(&value, || {
        let mut text: Vec<String> = Vec::new();
        if arguments.collect {
            let amount = taken.iter().fold(U256::ZERO, |sum, (_, amount)| sum + amount);
            text.push(format!("collected {}", Dollars(amount.saturating_to())));
        }
        text.extend(royalties.nodes.iter().map(|books| lines(books, arguments.explain)));
        match royalties.nodes.is_empty() {
            true => "no node is registered yet".to_owned(),
            false => text.join("\n"),
        }
    })
}

/// Where one token's royalties are.
struct Money<'a> {
    place: &'a Place,
    graph: &'a Graph,
    vault: &'a RoyaltyVaultInstance<DynProvider>,
    token: Address,
    /// Less is not worth the gas.
    least: U256,
}

impl Money<'_> {
    /// Brings all that is due to the nodes of this machine's keys to those keys' accounts; what each
    /// node's owner got by it.
    async fn collect(
        &self,
        node: Option<B256>,
        data_dir: &Path,
    ) -> anyhow::Result<Vec<(B256, U256)>> {
        let keys = keys(data_dir)?;
        let accounts: BTreeSet<Address> = keys.iter().map(Wallet::address).collect();
        let is_own = |id: &B256| {
            self.graph.get(*id).is_some_and(|node| accounts.contains(&node.owner))
                && node.is_none_or(|node| node == *id)
        };
        let own: BTreeSet<B256> = self.graph.order().iter().copied().filter(is_own).collect();
        let wallet = keys.first().filter(|_| !own.is_empty());
        let wallet = wallet.with_context(|| match node {
            Some(node) => format!("node {node} is of no key of this machine"),
            None => "no node is of a key of this machine: `vouch data register` makes one".into(),
        })?;
        let moved = movements(&self.place.provider, *self.vault.address(), self.token).await?;
        let before = explain(self.graph, &moved)?;
        let steps = plan(self.graph, &before, &own, &self.waiting(&own).await?, self.least);
        if !steps.is_empty() {
            fund(self.place, wallet.address(), data_dir).await?;
            let vault = Vault::new(&self.place.provider, *self.vault.address(), wallet)?;
            vault.take(&steps, self.token).await?;
        }
        let moved = movements(&self.place.provider, *self.vault.address(), self.token).await?;
        let after = explain(self.graph, &moved)?;
        let taken = before.nodes.iter().zip(&after.nodes);
        let taken = taken.filter(|(before, _)| own.contains(&before.node));
        Ok(taken.map(|(before, after)| (after.node, after.withdrawn - before.withdrawn)).collect())
    }

    /// What lies at the receivers of these nodes and of what was made of them.
    async fn waiting(&self, own: &BTreeSet<B256>) -> anyhow::Result<BTreeMap<B256, U256>> {
        let token = TestDollarInstance::new(self.token, self.place.provider.clone());
        let mut waiting = BTreeMap::new();
        for node in self.graph.made_of(own) {
            let receiver = self.vault.receiverOf(node).call().await;
            let receiver = receiver.context("the chain does not answer")?;
            let held = token.balanceOf(receiver).call().await;
            waiting.insert(node, held.context("the chain does not answer")?);
        }
        Ok(waiting)
    }
}

/// The keys of this machine that may own nodes.
fn keys(data_dir: &Path) -> anyhow::Result<Vec<Wallet>> {
    let owner = data_dir.join("owner");
    let is_there = owner.join("wallet.json").exists();
    let owner = is_there.then(|| Wallet::open_or_create(&owner, &crate::passphrase()));
    Ok(owner.transpose()?.into_iter().chain(provider_wallet(data_dir)?).collect())
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
