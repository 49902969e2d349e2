//! `vouch log`: a log's newest checkpoint, with its signatures checked.

use anyhow::Context;
use serde_json::json;
use vouch_core::log::{Checkpoint, note};
use vouch_wire::vouch::ProviderDocument;

use crate::{
    arguments,
    http::{get_bytes, get_json},
    output::Output,
};

pub(crate) async fn run(arguments: arguments::Log, output: Output) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let base = arguments.provider.trim_end_matches('/');
    let provider: ProviderDocument =
        get_json(&client, &format!("{base}/.well-known/vouch.json")).await?;
    let text = get_bytes(&client, &format!("{base}/log/checkpoint")).await?;
    let text = String::from_utf8(text).context("the checkpoint is not UTF-8")?;
    let note = note::Note::parse(&text)?;
    let key = note::Verifier::parse(&provider.log.key)?;
    let checkpoint = Checkpoint::verify(&note, &key, provider.provider)?;
    // Two signatures are the log's own; the rest are witnesses', whose keys are not known here.
    let witnesses: Vec<_> = note
        .signatures
        .iter()
        .filter(|line| line.name != checkpoint.origin)
        .map(|line| &line.name)
        .collect();
    let value = json!({
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root,
        "provider": provider.provider,
        "witnesses": witnesses,
    });
    output.answer(&value, || {
        let names = witnesses.iter().map(|name| format!("\n  witness    {name} (not checked)"));
        format!(
            "log {}\n  entries    {}\n  root       {}\n  signed by  {} (Ed25519 and secp256k1, both good){}",
            checkpoint.origin,
            checkpoint.size,
            checkpoint.root,
            provider.provider,
            names.collect::<String>()
        )
    })
}
