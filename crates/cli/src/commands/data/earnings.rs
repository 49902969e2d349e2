//! `vouch data earnings`: what the receipts say is owed, and what the chain says was paid.

use std::{fs, io::Read, path::Path};

use alloy_primitives::U256;
use anyhow::Context;
use serde_json::{Value, json};
use vouch_contracts::bindings::ContributionRoot::ContributionRootInstance;
use vouch_data::payout::{Contributions, Explanation, Held, History, Tree, explain, history};

use super::{
    challenge::{challenge, enforce},
    owner::{Owner, fund},
    uses::{Found, Gateway},
};
use crate::{
    arguments::data::Earnings,
    money::Dollars,
    output::{Output, printable},
};

const MAX_SERIES: u64 = 1_000;
const MAX_FILES: usize = 100_000;
const MAX_FILE_BYTES: u64 = 16 << 20;

pub(super) async fn run(
    arguments: Earnings,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let owner = Owner::open(&arguments.on, data_dir).await?;
    let account = owner.wallet.address();
    let receipts = arguments.receipts.unwrap_or_else(|| data_dir.join("owner").join("receipts"));
    let mut found = Found::default();
    if let Some(url) = &arguments.provider {
        let gateway = Gateway::open(url, &owner.place).await?;
        found = gateway.uses(account, &owner.wallet).await?;
        gateway.keep(&receipts, &mut found)?;
    }
    let held = receipts_in(&receipts)?;
    let contract = owner.place.economy.contributions;
    let provider = &owner.place.provider;
    let series = match arguments.series {
        Some(series) => vec![series],
        None => {
            let reader = ContributionRootInstance::new(contract, provider.clone());
            let count = reader.seriesCount().call().await.context("the chain does not answer")?;
            (1..=count.saturating_to::<u64>().min(MAX_SERIES)).map(U256::from).collect()
        }
    };
    let (mut rows, mut done) = (Vec::new(), Vec::new());
    for series in series {
        let mut history = history(provider, contract, series).await?;
        let own: Vec<Held> = held
            .iter()
            .filter(|held| held.receipt.provider == history.publisher)
            .cloned()
            .collect();
        if arguments.claim {
            fund(&owner.place, account, data_dir).await?;
            claim(&owner, &history, &own).await?;
            history = vouch_data::payout::history(provider, contract, series).await?;
        }
        if arguments.challenge {
            done.extend(challenge(&owner, &history, &own, data_dir).await?);
        }
        if arguments.enforce {
            done.extend(enforce(&owner, &history, data_dir).await?);
            history = vouch_data::payout::history(provider, contract, series).await?;
        }
        let mut explanation = explain(&history, &own);
        explanation.accounts.retain(|books| books.account == account);
        if !explanation.accounts.is_empty() || !explanation.faults.is_empty() {
            rows.push((history, explanation));
        }
    }
    let value: Vec<Value> = rows
        .iter()
        .map(|(history, explanation)| {
            json!({
                "series": history.series, "publisher": history.publisher,
                "books": explanation.accounts.first(), "faults": explanation.faults,
            })
        })
        .collect();
    let acted = arguments.challenge || arguments.enforce;
    let value = json!({
        "account": account, "receipts": held.len(), "fetched": found.uses.len(),
        "faults": found.faults, "series": value,
        "done": done.iter().map(|done| &done.value).collect::<Vec<_>>(),
    });
    output.answer(&value, || {
        let mut text = format!("{account} holds {} receipts", held.len());
        if rows.is_empty() {
            text.push_str("\nno payout names this account yet");
        }
        let mut lines: Vec<String> =
            rows.iter().map(|(history, books)| lines(history, books)).collect();
        lines.extend(done.iter().map(|done| done.text.clone()));
        lines.extend(found.faults.iter().map(|fault| format!("FAULT    {}", printable(fault))));
        if acted && done.is_empty() {
            lines.push("nothing is left out that could be proven now".into());
        }
        format!("{text}\n{}", lines.join("\n"))
    })
}

fn lines(history: &History, explanation: &Explanation) -> String {
    let mut text = format!("series {} of {}", history.series, history.publisher);
    for books in &explanation.accounts {
        text.push_str(&format!(
            "\n  earned   {} by {} receipts\n  in root  {}\n  paid     {}",
            Dollars(books.earned),
            books.sequence,
            Dollars(books.in_root),
            Dollars(books.paid.saturating_to()),
        ));
        if let Some(omission) = &books.omission {
            text.push_str(&format!(
                "\n  OMITTED  root {} leaves out receipt {}, which says {} and which the publisher \
                 promised: its proof is in the JSON output, and --challenge sends it to the chain",
                omission.root,
                omission.proof.receipt.digest(),
                Dollars(omission.proof.receipt.cumulative),
            ));
        }
    }
    for fault in &explanation.faults {
        text.push_str(&format!("\n  FAULT    {}", json!(fault)));
    }
    text
}

/// Claims by the newest root's own leaves, where they pay anything.
async fn claim(owner: &Owner, history: &History, held: &[Held]) -> anyhow::Result<()> {
    let account = owner.wallet.address();
    let Some(newest) = history.newest() else { return Ok(()) };
    let books = explain(history, held).accounts.into_iter().find(|b| b.account == account);
    let due = books.is_some_and(|books| U256::from(books.in_root) > books.paid);
    if !due {
        return Ok(());
    }
    let tree = Tree::from_evidence(&newest.evidence)?;
    let (provider, contract) = (&owner.place.provider, owner.place.economy.contributions);
    let contributions = Contributions::new(provider, contract, &owner.wallet)?;
    contributions.claim(history.series, &tree, account).await.with_context(|| {
        format!("series {} cannot be claimed yet: its window may be open", history.series)
    })?;
    Ok(())
}

/// Every receipt in a directory of JSON files, each one receipt or a list.
fn receipts_in(directory: &Path) -> anyhow::Result<Vec<Held>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(format!("{} cannot be read", directory.display())),
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    anyhow::ensure!(paths.len() <= MAX_FILES, "more than {MAX_FILES} receipt files");
    let mut held = Vec::new();
    for path in paths {
        let shown = path.display();
        let mut text = String::new();
        let file = fs::File::open(&path).with_context(|| format!("{shown} cannot be read"))?;
        file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("{shown} is no JSON"))?;
        let values = if let Value::Array(values) = value { values } else { vec![value] };
        for value in values {
            held.push(
                serde_json::from_value(value)
                    .with_context(|| format!("{shown} holds no receipt with a promise"))?,
            );
        }
    }
    Ok(held)
}
