//! Demands for the receipts behind a provider's claims, and their answers.

use std::path::Path;

use alloy_primitives::{Address, B256};
use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use vouch_contracts::fault_evidence;
use vouch_core::{domain::Domain, promise::SignedPromise, receipt::Receipt};

use super::{Bench, bond::mined, bounded};
use crate::{
    arguments::Storage,
    money::Dollars,
    output::Output,
    provider::{Keys, open_store},
};

/// A demand that nobody has answered.
pub(super) struct Open {
    channel: B256,
    claimed: u128,
    deadline: u64,
}

impl Open {
    pub(super) fn json(&self) -> Value {
        json!({
            "channel": self.channel, "claimed": self.claimed.to_string(), "deadline": self.deadline,
        })
    }

    pub(super) fn line(&self) -> String {
        format!(
            "\n  demanded     {} of channel {}: answer by Unix time {} (`vouch faults answer`)",
            Dollars(self.claimed),
            self.channel,
            self.deadline
        )
    }
}

/// A provider's open demands, the oldest first.
pub(super) async fn open(bench: &Bench, provider: Address) -> anyhow::Result<Vec<Open>> {
    let contract = bench.contract().await?;
    let events = contract.Demanded_filter().from_block(0).topic2(provider.into_word());
    let events = events.query().await.context("the chain does not list the demands")?;
    let mut open: Vec<Open> = Vec::new();
    for (event, _) in events {
        let channel = event.channel;
        let demand = contract.demands(channel).call().await.context(UNANSWERED)?;
        if demand.deadline != 0 && open.iter().all(|known| known.channel != channel) {
            let (claimed, deadline) = (demand.claimed, demand.deadline);
            open.push(Open { channel, claimed, deadline });
        }
    }
    Ok(open)
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
