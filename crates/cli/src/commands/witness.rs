//! `vouch witness`: cosigns the checkpoints of a log that only ever grows.
//!
//! A cosignature says: this log never showed this witness another history (C2SP tlog-cosignature).
//! The newest checkpoint is in a journal before its cosignature leaves.

use std::{path::Path, time::Duration};

use alloy_primitives::B256;
use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use vouch_core::log::{Checkpoint, merkle, note};
use vouch_journal::Journal;
use vouch_wallet::LogKey;

use crate::{
    arguments,
    http::{get_bytes, get_json},
    output::Output,
    time::unix_seconds,
};

/// What a witness remembers of a log, one record for each checkpoint it cosigned.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    origin: String,
    size: u64,
    root: B256,
}

#[derive(Deserialize)]
struct Consistency {
    path: Vec<B256>,
}

#[derive(Deserialize)]
struct Provider {
    provider: alloy_primitives::Address,
    log: LogKeyOf,
}

#[derive(Deserialize)]
struct LogKeyOf {
    key: String,
}

pub(crate) async fn run(
    arguments: arguments::Witness,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let directory = data_dir.join("witness");
    let key = LogKey::open_or_create(&directory, &crate::passphrase())?;
    let verifier = note::Verifier::witness(&arguments.name, key.signing_key());
    if arguments.show_key {
        return output.answer(&verifier.to_string(), || verifier.to_string());
    }
    let (mut journal, _) =
        Journal::open(&directory.join("journal"), vouch_journal::Options::default())?;
    let mut seen: Vec<Seen> = Vec::new();
    for record in journal.iter() {
        let (_, bytes) = record?;
        remember(
            &mut seen,
            serde_json::from_slice(&bytes).context("a record of the witness is unreadable")?,
        );
    }
    let ready = json!({ "witness": verifier.to_string(), "watches": arguments.provider });
    output.ready(&ready, || {
        format!("witness {verifier}\nwatches {}, Ctrl-C ends it", arguments.provider)
    })?;
    let client = reqwest::Client::new();
    let mut failing = false;
    loop {
        match look(&client, &arguments, &key, &mut journal, &mut seen).await {
            Ok(Some(checkpoint)) => {
                failing = false;
                output.line(format_args!(
                    "cosigned {} at size {}",
                    checkpoint.origin, checkpoint.size
                ));
            }
            Ok(None) => failing = false,
            Err(error) if error.is::<Rewritten>() => return Err(error),
            Err(error) if !failing => {
                failing = true;
                output.line(format_args!("cannot look: {error:#}; tries again"));
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_secs(arguments.interval.max(1))).await;
    }
}

/// The log showed two histories. Nothing that it signs can be trusted from here on.
#[derive(Debug)]
struct Rewritten(String);

impl std::fmt::Display for Rewritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the log has rewritten its history: {}", self.0)
    }
}

impl std::error::Error for Rewritten {}

/// Fetches the newest checkpoint, checks it, and cosigns it if it is new.
async fn look(
    client: &reqwest::Client,
    arguments: &arguments::Witness,
    key: &LogKey,
    journal: &mut Journal,
    seen: &mut Vec<Seen>,
) -> anyhow::Result<Option<Checkpoint>> {
    let base = arguments.provider.trim_end_matches('/');
    let provider: Provider = get_json(client, &format!("{base}/.well-known/vouch.json")).await?;
    let text = get_bytes(client, &format!("{base}/log/checkpoint")).await?;
    let text = String::from_utf8(text).context("the checkpoint is not UTF-8")?;
    let note = note::Note::parse(&text)?;
    let verifier = note::Verifier::parse(&provider.log.key)?;
    let checkpoint = Checkpoint::verify(&note, &verifier, provider.provider)?;
    if let Some(last) = seen.iter().find(|last| last.origin == checkpoint.origin) {
        if (last.size, last.root) == (checkpoint.size, checkpoint.root)
            && cosigned(&note, arguments, key)
        {
            return Ok(None);
        }
        consistent(client, base, last, &checkpoint).await?;
    }
    let now =
        Seen { origin: checkpoint.origin.clone(), size: checkpoint.size, root: checkpoint.root };
    journal.append(&serde_json::to_vec(&now)?)?;
    journal.sync()?;
    remember(seen, now);
    let line = note::cosign(&arguments.name, key.signing_key(), &note.text, unix_seconds());
    let answer =
        client.post(format!("{base}/log/cosignatures")).body(line.to_string()).send().await?;
    let status = answer.status();
    if !status.is_success() {
        let body = answer.text().await.unwrap_or_default();
        let body: String = crate::output::printable(&body).chars().take(300).collect();
        bail!("the provider did not take the cosignature ({status}): {body}");
    }
    Ok(Some(checkpoint))
}

fn cosigned(note: &note::Note, arguments: &arguments::Witness, key: &LogKey) -> bool {
    note::Verifier::witness(&arguments.name, key.signing_key()).verify(note).is_some()
}

async fn consistent(
    client: &reqwest::Client,
    base: &str,
    last: &Seen,
    new: &Checkpoint,
) -> anyhow::Result<()> {
    let rewritten = |why: String| anyhow::Error::new(Rewritten(why));
    ensure!(
        new.size >= last.size,
        rewritten(format!("it has {} entries, it had {}", new.size, last.size))
    );
    let path = if new.size == last.size || last.size == 0 {
        Vec::new()
    } else {
        let url = format!("{base}/vouch/consistency?from={}&to={}", last.size, new.size);
        get_json::<Consistency>(client, &url).await?.path
    };
    merkle::verify_consistency(last.size, last.root, new.size, new.root, &path)
        .map_err(|error| rewritten(error.to_string()))
}

fn remember(seen: &mut Vec<Seen>, now: Seen) {
    seen.retain(|last| last.origin != now.origin);
    seen.push(now);
}
