//! Where a running `vouch connect` is, for commands that would use the wallet which it holds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::arguments::Purchase;

/// A `vouch connect`, as it describes itself in its data directory while it runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// Such as `http://127.0.0.1:4021`, without `/v1`.
    pub(crate) url: String,
    /// Whom it pays.
    pub(crate) provider: String,
}

/// Removes the description when the endpoint ends.
#[derive(Debug)]
pub(crate) struct Announced(PathBuf);

impl Drop for Announced {
    fn drop(&mut self) {
        // Of no use to anybody, and of no harm: it counts only while the wallet is held.
        let _removed = fs::remove_file(&self.0);
    }
}

impl Endpoint {
    /// Writes the description. The wallet must be held.
    pub(crate) fn announce(&self, data_dir: &Path) -> anyhow::Result<Announced> {
        let path = path(data_dir);
        fs::write(&path, serde_json::to_vec(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Announced(path))
    }

    /// The `vouch connect` that described itself here; it may have ended since.
    pub(crate) fn described(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(data_dir)).ok()?).ok()
    }

    /// Refuses what was asked for this one question and is set for all that pass through.
    pub(crate) fn accept(&self, purchase: &Purchase) -> anyhow::Result<()> {
        if purchase.budget.is_some() || purchase.max_per_call.is_some() {
            bail!(
                "the vouch connect at {} has this wallet and a budget of its own: leave out \
                 --budget and --max-per-call, or end it",
                self.url
            );
        }
        let other = |named: &String| named.trim_end_matches('/') != self.provider;
        if purchase.provider.as_ref().is_some_and(other) {
            bail!(
                "the vouch connect at {} has this wallet and pays {}: leave out --provider, end \
                 it, or use another --data-dir",
                self.url,
                self.provider
            );
        }
        Ok(())
    }
}

/// The `vouch connect` that holds the wallet, where that is why a buyer could not be opened. If a
/// killed one left its description and another command holds the wallet now, nobody answers there.
pub(crate) fn holder(data_dir: &Path, error: &anyhow::Error) -> Option<Endpoint> {
    use vouch_buyer::Error::Journal;
    let cause = error.downcast_ref::<vouch_buyer::Error>();
    if !matches!(cause, Some(Journal(vouch_journal::Error::Locked { .. }))) {
        return None;
    }
    Endpoint::described(data_dir)
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("buyer").join("connect.json")
}
