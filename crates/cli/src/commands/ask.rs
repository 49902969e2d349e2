//! `vouch ask`: one question, one checked answer.

use std::{path::Path, time::Duration};

use anyhow::Context;
use serde_json::json;
use vouch_buyer::Question;

use crate::{arguments, buyer, config::Config, money::Dollars, output::Output};

/// How long to wait for the receipt's place in the log, and for an anchor that covers it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn run(
    arguments: arguments::Ask,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let buyer = buyer::open(arguments.purchase, config, data_dir)?;
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
    let answer = buyer.ask(&question, |text| output.piece(text)).await?;
    let receipt = &answer.bundle.receipt;
    if let Some(path) = &arguments.bundle {
        let json = serde_json::to_vec_pretty(&answer.bundle)?;
        std::fs::write(path, json)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let value = json!({
        "text": answer.text,
        "receipt": receipt.digest(),
        "charge": receipt.charge.to_string(),
        "usage": receipt.usage,
        "channel": receipt.channel,
        "verdict": answer.report.verdict,
        "cut": answer.cut.as_ref().map(ToString::to_string),
    });
    output.answer(&value, || {
        let usage = &receipt.usage;
        let cut = answer.cut.as_ref().map(|why| format!("\ncut short: {why}")).unwrap_or_default();
        let kept = arguments.bundle.as_ref().map(|path| format!("\nevidence  {}", path.display()));
        format!(
            "\n\npaid      {} for {} tokens in, {} out\nreceipt   {}\nchecked   {}{}{cut}",
            Dollars(receipt.charge),
            usage.input.saturating_add(usage.cached),
            usage.output,
            receipt.digest(),
            answer.report.verdict,
            kept.unwrap_or_default(),
        )
    })
}
