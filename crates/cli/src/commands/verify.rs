//! `vouch verify`: from a bundle to a verdict, offline.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use alloy_primitives::{Address, B256, keccak256};
use anyhow::{Context, bail};
use vouch_core::{
    bundle::Bundle,
    log::note::Verifier,
    tree::{Node, TreeBundle},
};
use vouch_evidence::{KnownBlock, Options, WitnessPolicy, read, read_tree, verify, verify_tree};

use crate::{
    arguments, output::Output, provider::models::fetch, tokenizer, witnesses::read_policy,
};

pub(crate) async fn run(
    arguments: &arguments::Verify,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let path = locate(&arguments.bundle, data_dir)?;
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    // A tree has no nonce of its own, a bundle no nodes: which it is shows in one key.
    if let Ok(tree) = read_tree(&text) {
        return tree_of(&tree, arguments, data_dir, output).await;
    }
    let bundle = read(&text).with_context(|| format!("{} proves nothing", path.display()))?;
    let tokenizer = match &arguments.model {
        Some(source) => Some(tokenizer::of_model(&fetch(source).await?, &bundle)?),
        None => tokenizer::kept(data_dir, &bundle),
    };
    let recount = tokenizer.as_ref().map(|tokenizer| tokenizer.recount(&bundle));
    let options = Options {
        detokenizer: recount.as_ref().map(|recount| recount as _),
        ..options(arguments, &bundle)?
    };
    let report = verify(&bundle, &options);
    output.answer(&report, || report.to_string())?;
    Ok(if report.verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A tree: each answer in it with its own tokenizer, if that is here.
async fn tree_of(
    tree: &TreeBundle,
    arguments: &arguments::Verify,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let answers: Vec<_> = tree.nodes.iter().filter_map(answer).collect();
    let mut held = Vec::new();
    for bundle in &answers {
        held.push(match &arguments.model {
            Some(source) => Some(tokenizer::of_model(&fetch(source).await?, bundle)?),
            None => tokenizer::kept(data_dir, bundle),
        });
    }
    let recounts: Vec<_> = answers
        .iter()
        .zip(&held)
        .map(|(bundle, held)| held.as_ref().map(|held| held.recount(bundle)))
        .collect();
    let known = answers
        .iter()
        .map(|bundle| options(arguments, bundle))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let report = verify_tree(tree, &|bundle| {
        let at = answers.iter().position(|answer| answer.receipt == bundle.receipt);
        let detokenizer = at.and_then(|at| recounts.get(at)?.as_ref()).map(|recount| recount as _);
        let known = at.and_then(|at| known.get(at)).cloned().unwrap_or_default();
        Options { detokenizer, ..known }
    });
    output.answer(&report, || report.to_string())?;
    Ok(if report.verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn answer(node: &Node) -> Option<&Bundle> {
    match node {
        Node::Answer(bundle) => Some(bundle),
        _ => None,
    }
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

/// A block as `CHAIN:HASH`. The chain is named because no header says whose it is.
fn known_block(text: &str) -> anyhow::Result<KnownBlock> {
    let parsed = text.split_once(':').and_then(|(chain, hash)| {
        Some(KnownBlock { chain: chain.parse().ok()?, hash: hash.parse().ok()? })
    });
    parsed.with_context(|| {
        format!("--block {text:?} is no block: write CHAIN:HASH, the chain's id and a block's hash")
    })
}

/// Which logs and witnesses are trusted.
fn witnesses(arguments: &arguments::Verify) -> anyhow::Result<WitnessPolicy> {
    if let Some(path) = &arguments.policy {
        return read_policy(path);
    }
    let parse = |key: &String| {
        Verifier::parse(key).with_context(|| format!("--witness {key:?} is no verifier key"))
    };
    let keys = arguments.witnesses.iter().map(parse).collect::<anyhow::Result<Vec<_>>>()?;
    let required = arguments.quorum.unwrap_or(keys.len());
    Ok(WitnessPolicy::of(keys, required))
}

fn options(arguments: &arguments::Verify, bundle: &Bundle) -> anyhow::Result<Options<'static>> {
    let block = arguments.block.as_deref().map(known_block).transpose()?;
    if block.is_some() && bundle.anchor.is_none() {
        bail!("--block is of no use: the bundle has no anchor");
    }
    let provider: Option<Address> = arguments
        .provider
        .as_ref()
        .map(|address| address.parse())
        .transpose()
        .context("--provider is no address")?;
    Ok(Options {
        provider,
        witnesses: witnesses(arguments)?,
        block,
        // The program knows the contract that it was built with; another's proves nothing.
        anchor_code: vouch_contracts::artefacts().ok().map(|code| keccak256(code.anchor.runtime)),
        ..Options::default()
    })
}
