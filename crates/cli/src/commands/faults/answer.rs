//! Demands for the receipts behind a provider's claims, and their answers.

use std::path::Path;

use alloy_primitives::B256;
use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use vouch_contracts::{Demand, fault_evidence};
use vouch_core::{domain::Domain, promise::SignedPromise, receipt::Receipt};

use super::{Bench, bond::mined, bounded};
use crate::{
    arguments::Storage,
    money::Dollars,
    output::Output,
    provider::{Keys, open_store},
};

/// A demand in JSON.
pub(super) fn json(demand: &Demand) -> Value {
    json!({
        "channel": demand.channel, "claimed": demand.claimed.to_string(),
        "deadline": demand.deadline,
    })
}

/// A demand in a line of `vouch faults show`.
pub(super) fn line(demand: &Demand) -> String {
    format!(
        "\n  demanded     {} of channel {}: answer by Unix time {} (what serves does it; or \
         `vouch faults answer`)",
        Dollars(demand.claimed),
        demand.channel,
        demand.deadline
    )
}

/// What answers: members of a buyer's bundle and of a promised receipt, among others.
#[derive(Deserialize)]
struct Shown {
    receipt: Receipt,
    promise: SignedPromise,
}

pub(super) async fn run(
    bench: &Bench,
    channel: B256,
    file: Option<&Path>,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let contract = bench.contract().await?;
    let demand = contract.demands(channel).call().await.context(UNANSWERED)?;
    ensure!(demand.deadline != 0, "nobody demands a receipt of channel {channel}");
    let Shown { receipt, promise } = match file {
        Some(path) => serde_json::from_str(&bounded(path)?)
            .with_context(|| format!("{} has no receipt with its promise", path.display()))?,
        None => last(bench, channel, data_dir).await?,
    };
    ensure!(receipt.channel == channel, "the receipt is of channel {}", receipt.channel);
    ensure!(
        receipt.cumulative >= demand.claimed,
        "the receipt adds up to {}, but {} was claimed: show a later one",
        Dollars(receipt.cumulative),
        Dollars(demand.claimed)
    );
    let answer = contract.answer(fault_evidence(&receipt, &promise));
    let sent = mined("the answer", answer.send().await).await?;
    let value = json!({
        "channel": channel, "claimed": demand.claimed.to_string(),
        "cumulative": receipt.cumulative.to_string(), "transaction": sent.transaction_hash,
    });
    output.answer(&value, || {
        format!(
            "the receipt covers the {} claimed of channel {channel}; the demander's bond is {}'s \
             (`vouch faults withdraw`)",
            Dollars(demand.claimed),
            demand.provider
        )
    })
}

/// The last receipt of a channel in this machine's store.
async fn last(bench: &Bench, channel: B256, data_dir: &Path) -> anyhow::Result<Shown> {
    let settlement = bench.contract().await?.settlement().call().await.context(UNANSWERED)?;
    let chain = bench.chain().await.context(UNANSWERED)?;
    let (domain, keys) = (Domain { chain, settlement }, Keys::open(data_dir)?);
    let kept = data_dir.join("provider").join("store").is_dir();
    ensure!(kept, "this machine has sold nothing: name a file with the receipt by --receipt");
    let store = open_store(data_dir, domain, &keys.origin(domain), &keys, &Storage::default()).context(
        "the receipt cannot be looked up: end what serves from this store, or name a file with the \
         receipt by --receipt",
    )?;
    let view = store.channel(&channel);
    let view = view.with_context(|| format!("the store knows no channel {channel}"))?;
    let found = store.receipt_by_sequence(&channel, view.sequence)?;
    let found = found.with_context(|| format!("the store has no receipt of channel {channel}"))?;
    Ok(Shown { receipt: found.receipt, promise: found.promise })
}

const UNANSWERED: &str = "the chain does not answer";
