//! Where the chain that is forked is asked: named once, and kept beside the fork.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::accounts::store;
use crate::{
    arguments::chain::{Chain, Forked},
    node,
};

/// Its address may have a key in it.
const FILE: &str = "fork.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    url: String,
}

/// What is forked, by the command or by what was kept; `None` of a chain of its own.
pub(super) fn of(arguments: &Chain, data_dir: &Path) -> anyhow::Result<Option<Forked>> {
    let Some(named) = &arguments.fork_url else {
        let stored = if node::is_begun(data_dir) { stored(data_dir)? } else { None };
        return Ok(stored.map(|Stored { url }| Forked { url, block: None }));
    };
    let (both, block) = (named.block.zip(arguments.fork_block_number), named.block);
    ensure!(
        both.is_none_or(|(one, other)| one == other),
        "--fork-url and --fork-block-number name two blocks: leave one out"
    );
    Ok(Some(Forked { block: block.or(arguments.fork_block_number), ..named.clone() }))
}

/// Whether a fork was opened here before.
pub(super) fn is_kept(data_dir: &Path) -> anyhow::Result<bool> {
    Ok(node::has_blocks(data_dir) && stored(data_dir)?.is_some())
}

/// For the next start.
pub(super) fn keep(forked: &Forked, data_dir: &Path) -> anyhow::Result<()> {
    let new = Stored { url: forked.url.clone() };
    match stored(data_dir)? {
        Some(same) if same == new => Ok(()),
        _ => store(&data_dir.join(FILE), &new),
    }
}

fn stored(data_dir: &Path) -> anyhow::Result<Option<Stored>> {
    let path = data_dir.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("{} does not say what is forked", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}
