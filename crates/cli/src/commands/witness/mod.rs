//! `vouch witness`: cosigns the checkpoints of a log that only ever grows.
//!
//! A cosignature says: this log never showed this witness another history (C2SP tlog-cosignature).
//! The newest checkpoint is in a journal before its cosignature leaves.

mod listen;
mod memory;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::{Address, B256};
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use vouch_core::log::{
    Checkpoint,
    note::{Note, Verifier},
    witness::Refused,
};
use vouch_evidence::fault;
use vouch_wallet::LogKey;

use self::memory::Memory;
use crate::{
    arguments,
    http::{get_bytes, get_json},
    output::Output,
    serve,
};

/// The gateway that is watched where nothing is said.
const DEFAULT_PROVIDER: &str = "http://127.0.0.1:4020";

#[derive(Deserialize)]
struct Consistency {
    path: Vec<B256>,
}

#[derive(Deserialize)]
struct Provider {
    provider: Address,
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
    if arguments.show_key {
        let verifier = Verifier::witness(&arguments.name, key.signing_key()).to_string();
        return output.answer(&verifier, || verifier.clone());
    }
    let memory = Memory::open(&directory, &arguments.name, key)?;
    let verifier = memory.verifier().to_string();
    let memory = Arc::new(Mutex::new(memory));
    // Where it listens, it looks only where it is told to.
    let watched = match (&arguments.provider, arguments.listen) {
        (None, Some(_)) => None,
        (named, _) => Some(named.as_deref().unwrap_or(DEFAULT_PROVIDER).trim_end_matches('/')),
    };
    let looking = async {
        match watched {
            Some(base) => watch(base, arguments.interval, &directory, &memory, output).await,
            None => std::future::pending().await,
        }
    };
    let Some(listen) = arguments.listen else {
        let ready = json!({ "witness": verifier, "watches": watched });
        output.ready(&ready, || {
            format!("witness {verifier}\nwatches {}, Ctrl-C ends it", watched.unwrap_or_default())
        })?;
        return looking.await;
    };
    let parse = |key: &String| {
        Verifier::parse(key).with_context(|| format!("--log {key:?} is no verifier key"))
    };
    let logs = arguments.logs.iter().map(parse).collect::<anyhow::Result<Vec<_>>>()?;
    let (listener, address) = serve::bind(listen, "--listen").await?;
    let end = serve::interrupted();
    let url = format!("http://{address}");
    let ready = json!({ "witness": verifier, "url": url, "watches": watched });
    output.ready(&ready, || format!("witness {verifier}@{url}\nCtrl-C ends it"))?;
    let router = listen::router(logs, memory.clone(), output);
    tokio::select! {
        served = serve::until(listener, router, end) => served,
        looked = looking => looked,
    }
}

/// The log showed two histories. Nothing that it signs can be trusted from here on.
#[derive(Debug, thiserror::Error)]
#[error("the log has rewritten its history: {0}")]
struct Rewritten(String);

/// Looks at a provider's checkpoints again and again.
async fn watch(
    base: &str,
    interval: u64,
    directory: &Path,
    memory: &Mutex<Memory>,
    output: Output,
) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let mut failing = false;
    loop {
        match look(&client, base, directory, memory).await {
            Ok(Some(checkpoint)) => {
                failing = false;
                let Checkpoint { origin, size, .. } = &checkpoint;
                output.line(format_args!("cosigned {origin} at size {size}"));
            }
            Ok(None) => failing = false,
            Err(error) if error.is::<Rewritten>() => return Err(error),
            Err(error) if !failing => {
                failing = true;
                output.line(format_args!("cannot look: {error:#}; tries again"));
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_secs(interval.max(1))).await;
    }
}

/// Fetches the newest checkpoint, checks it, and cosigns it if it is new.
async fn look(
    client: &reqwest::Client,
    base: &str,
    directory: &Path,
    memory: &Mutex<Memory>,
) -> anyhow::Result<Option<Checkpoint>> {
    let locked = || memory.lock().unwrap_or_else(PoisonError::into_inner);
    let provider: Provider = get_json(client, &format!("{base}/.well-known/vouch.json")).await?;
    let text = get_bytes(client, &format!("{base}/log/checkpoint")).await?;
    let text = String::from_utf8(text).context("the checkpoint is not UTF-8")?;
    let note = Note::parse(&text)?;
    let key = Verifier::parse(&provider.log.key)?;
    let new = Checkpoint::verify(&note, &key, provider.provider)?;
    let (last, own) = {
        let memory = locked();
        (memory.last(&new.origin).cloned(), memory.verifier())
    };
    let old = last.as_ref().map_or(0, |last| last.size);
    if last.as_ref().is_some_and(|last| (last.size, last.root) == (new.size, new.root))
        && own.verify(&note).is_some()
    {
        return Ok(None);
    }
    ensure!(new.size >= old, Rewritten(format!("it has {} entries, it had {old}", new.size)));
    let path = if new.size == old || old == 0 {
        Vec::new()
    } else {
        let url = format!("{base}/vouch/consistency?from={old}&to={}", new.size);
        get_json::<Consistency>(client, &url).await?.path
    };
    let line = match locked().cosign(&note, &new, old, &path)? {
        Ok(line) => line,
        Err(refused @ (Refused::OtherRoot(_) | Refused::Inconsistent(_))) => {
            let mut why = refused.to_string();
            if let Some(proof) =
                last.and_then(|last| prove(&last.note, &note, &key, provider.provider))
            {
                let path = directory.join(format!("split-{}-{}.json", provider.provider, new.size));
                std::fs::write(&path, proof)?;
                why = format!("{why}; `vouch faults report {}` shows it", path.display());
            }
            bail!(Rewritten(why));
        }
        // A log that came to this witness meanwhile.
        Err(Refused::Cosigned(_) | Refused::OldAboveNew) => return Ok(None),
    };
    let answer =
        client.post(format!("{base}/log/cosignatures")).body(line.to_string()).send().await?;
    let status = answer.status();
    if !status.is_success() {
        let body = answer.text().await.unwrap_or_default();
        let body: String = crate::output::printable(&body).chars().take(300).collect();
        bail!("the provider did not take the cosignature ({status}): {body}");
    }
    Ok(Some(new))
}

/// Two roots of one size, as a proof for anyone.
fn prove(last: &str, new: &Note, key: &Verifier, provider: Address) -> Option<Vec<u8>> {
    let fault = fault::split_log(provider, key, &Note::parse(last).ok()?, new).ok()?;
    serde_json::to_vec_pretty(&fault).ok()
}
