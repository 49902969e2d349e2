//! `vouch ask`: one question, one checked answer.

mod through;

use std::{path::Path, time::Duration};

use anyhow::Context;
use serde_json::json;
use vouch_buyer::Question;
use vouch_core::bundle::Bundle;
use vouch_evidence::Verdict;

use crate::{arguments, buyer, config::Config, endpoint, money::Dollars, output::Output};

/// How long to wait for the receipt's place in the log, and for an anchor that covers it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A checked answer.
struct Asked {
    text: String,
    bundle: Bundle,
    verdict: Verdict,
    /// How many vouchers paid for it; not known of one that another process bought.
    vouchers: Option<u32>,
    /// Why the buyer cut it short, if it did.
    cut: Option<String>,
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
                verdict: answer.report.verdict,
                vouchers: Some(answer.vouchers.saturating_add(1)),
                cut: answer.cut.map(|why| why.to_string()),
            }
        }
        Err(error) => {
            let Some(endpoint) = endpoint::holder(data_dir, &error) else { return Err(error) };
            endpoint.accept(&arguments.purchase)?;
            through::ask(&endpoint.url, &question, data_dir, output).await?
        }
    };
    if let Some(path) = &arguments.bundle {
        let json = serde_json::to_vec_pretty(&asked.bundle)?;
        std::fs::write(path, json)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    print(&asked, arguments.bundle.as_deref(), output)
}

fn print(asked: &Asked, kept: Option<&Path>, output: Output) -> anyhow::Result<()> {
    let receipt = &asked.bundle.receipt;
    let value = json!({
        "text": asked.text,
        "receipt": receipt.digest(),
        "provider": receipt.provider,
        "charge": receipt.charge.to_string(),
        "usage": receipt.usage,
        "channel": receipt.channel,
        "vouchers": asked.vouchers,
        "verdict": asked.verdict,
        "cut": asked.cut,
    });
    output.answer(&value, || {
        let usage = &receipt.usage;
        let cut = asked.cut.as_ref().map(|why| format!("\ncut short {why}")).unwrap_or_default();
        let kept = kept.map(|path| format!("\nevidence  {}", path.display())).unwrap_or_default();
        let vouchers = match asked.vouchers {
            Some(1) => " by one voucher".into(),
            Some(several) => format!(" by {several} vouchers as it came"),
            None => String::new(),
        };
        format!(
            "\n\ntokens    {} in, {} out\npaid      {} to {}{vouchers}\nreceipt   {}\nchecked   {}{kept}{cut}",
            usage.input.saturating_add(usage.cached),
            usage.output,
            Dollars(receipt.charge),
            receipt.provider,
            receipt.digest(),
            asked.verdict,
        )
    })
}
