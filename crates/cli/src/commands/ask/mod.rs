//! `vouch ask`: one question, one checked answer.

pub(crate) mod through;

use std::{path::Path, time::Duration};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use vouch_buyer::Question;
use vouch_core::{bundle::Bundle, sourced::Source, tree::TreeBundle};
use vouch_evidence::Verdict;

use crate::{
    arguments, buyer,
    config::Config,
    endpoint,
    money::Dollars,
    output::{Output, printable},
};

/// How long to wait for the receipt's place in the log, and for an anchor that covers it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A checked answer.
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) bundle: Bundle,
    /// The bundle with the uses of data in it, of a sourced answer.
    pub(crate) tree: Option<TreeBundle>,
    pub(crate) verdict: Verdict,
    /// How many vouchers paid for it; not known of one that another process bought.
    vouchers: Option<u32>,
    /// Why the buyer cut it short, if it did.
    pub(crate) cut: Option<String>,
}

pub(crate) async fn run(
    arguments: arguments::Ask,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let patience = if arguments.bundle.is_some() { PATIENCE } else { Duration::ZERO };
    let question = Question {
        model: arguments.model,
        sourced: arguments.sources,
        system: arguments.system,
        max_tokens: Some(arguments.max_tokens),
        temperature: arguments.temperature,
        seed: arguments.seed,
        patience,
        ..Question::new(arguments.question)
    };
    // A wallet is one process's: where `vouch connect` has it, the question goes through that.
    let asked = match buyer::open(arguments.purchase.clone(), config, data_dir) {
        Ok(buyer) => {
            let answer = buyer.ask(&question, |text| output.piece(text)).await?;
            Asked {
                text: answer.text,
                bundle: answer.bundle,
                tree: answer.tree,
                verdict: answer.report.verdict,
                vouchers: Some(answer.vouchers.saturating_add(1)),
                cut: answer.cut.map(|why| why.to_string()),
            }
        }
        Err(error) => {
            let Some(endpoint) = endpoint::holder(data_dir, &error) else { return Err(error) };
            endpoint.accept(&arguments.purchase)?;
            through::ask(&endpoint.url, &question, u128::MAX, data_dir, output).await?
        }
    };
    if let Some(path) = &arguments.bundle {
        let json = match &asked.tree {
            Some(tree) => serde_json::to_vec_pretty(tree)?,
            None => serde_json::to_vec_pretty(&asked.bundle)?,
        };
        std::fs::write(path, json)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    print(&asked, arguments.bundle.as_deref(), output)
}

/// What an answer is made from; its verdict says whether it is as listed.
fn sources(bundle: &Bundle) -> Vec<Source> {
    let listed = bundle.response.pointer("/vouch/sources");
    listed.and_then(|listed| Vec::deserialize(listed).ok()).unwrap_or_default()
}

fn cited(source: &Source) -> String {
    let paid = match source.revoked {
        true => "not paid: its owner revoked the permission meanwhile".into(),
        false => format!("{} to {}", Dollars(source.credited), source.owner),
    };
    format!("\n[{}] {}\n    {paid}", source.index, printable(&source.title))
}

fn print(asked: &Asked, kept: Option<&Path>, output: Output) -> anyhow::Result<()> {
    output.answer(&value(asked), || shown(asked, kept))
}

/// An answer, for programs.
pub(crate) fn value(asked: &Asked) -> Value {
    let receipt = &asked.bundle.receipt;
    json!({
        "text": asked.text,
        "receipt": receipt.digest(),
        "provider": receipt.provider,
        "charge": receipt.charge.to_string(),
        "usage": receipt.usage,
        "channel": receipt.channel,
        "vouchers": asked.vouchers,
        "verdict": asked.verdict,
        "sources": sources(&asked.bundle),
        "cut": asked.cut,
    })
}

/// What stands under an answer's text, for people.
pub(crate) fn shown(asked: &Asked, kept: Option<&Path>) -> String {
    let receipt = &asked.bundle.receipt;
    let usage = &receipt.usage;
    let cut = asked.cut.as_ref().map(|why| format!("\ncut short {why}")).unwrap_or_default();
    let kept = kept.map(|path| format!("\nevidence  {}", path.display())).unwrap_or_default();
    let vouchers = match asked.vouchers {
        Some(1) => " by one voucher".into(),
        Some(several) => format!(" by {several} vouchers as it came"),
        None => String::new(),
    };
    let cited: String = sources(&asked.bundle).iter().map(cited).collect();
    format!(
        "\n{cited}\ntokens    {} in, {} out\npaid      {} to {}{vouchers}\nreceipt   {}\nchecked   {}{kept}{cut}",
        usage.input.saturating_add(usage.cached),
        usage.output,
        Dollars(receipt.charge),
        receipt.provider,
        receipt.digest(),
        asked.verdict,
    )
}
