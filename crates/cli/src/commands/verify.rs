//! `vouch verify`: from a bundle to a verdict, offline.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use alloy_primitives::{Address, B256, keccak256};
use anyhow::{Context, bail};
use vouch_core::{bundle::Bundle, log::note::Verifier};
use vouch_evidence::{KnownBlock, Options, WitnessPolicy, read, verify};

use crate::{arguments, output::Output};

pub(crate) fn run(
    arguments: &arguments::Verify,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let path = locate(&arguments.bundle, data_dir)?;
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let bundle = read(&text).with_context(|| format!("{} proves nothing", path.display()))?;
    let report = verify(&bundle, &options(arguments, &bundle)?);
    output.answer(&report, || report.to_string())?;
    Ok(if report.verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file as it is named, or the bundle of a receipt that this machine bought.
fn locate(named: &str, data_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(named);
    if path.exists() {
        return Ok(path);
    }
    let Ok(digest) = named.parse::<B256>() else {
        bail!("{named:?} is neither a file nor a receipt's id");
    };
    let kept = data_dir.join("buyer").join("bundles").join(format!("{digest}.json"));
    if kept.exists() {
        Ok(kept)
    } else {
        bail!("receipt {digest} is not one that this machine bought")
    }
}

fn options<'a>(arguments: &arguments::Verify, bundle: &Bundle) -> anyhow::Result<Options<'a>> {
    let keys: Vec<_> = arguments
        .witnesses
        .iter()
        .map(|key| {
            Verifier::parse(key).with_context(|| format!("--witness {key:?} is no verifier key"))
        })
        .collect::<Result<_, _>>()?;
    let required = arguments.quorum.unwrap_or(keys.len());
    let block = match (&arguments.block, &bundle.anchor) {
        (None, _) => None,
        (Some(_), None) => bail!("--block is of no use: the bundle has no anchor"),
        (Some(hash), Some(anchor)) => {
            let hash = hash.parse().context("--block is no block hash")?;
            Some(KnownBlock { chain: anchor.chain, hash })
        }
    };
    let provider: Option<Address> = arguments
        .provider
        .as_ref()
        .map(|address| address.parse())
        .transpose()
        .context("--provider is no address")?;
    Ok(Options {
        provider,
        witnesses: WitnessPolicy { keys, required },
        block,
        // The program knows the contract that it was built with; another's proves nothing.
        anchor_code: vouch_contracts::artefacts().ok().map(|code| keccak256(code.anchor.runtime)),
        ..Options::default()
    })
}
