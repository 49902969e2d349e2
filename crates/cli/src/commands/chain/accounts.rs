//! The accounts that own test ether on a chain for development.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
};

use alloy::signers::local::{
    MnemonicBuilder, PrivateKeySigner,
    coins_bip39::{English, Mnemonic},
};
use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::{arguments::chain::NewChain, node};

/// Beside the chain; for whoever reads it, the accounts are theirs: test money alone.
const FILE: &str = "accounts.json";
/// As every wallet has it (BIP-44).
pub(crate) const DERIVATION_PATH: &str = "m/44'/60'/0'/0/";
const WORDS: usize = 12;

/// The accounts; see the module.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) mnemonic: String,
    pub(crate) signers: Vec<PrivateKeySigner>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    mnemonic: String,
    accounts: u32,
}

impl Accounts {
    /// Those of the chain in `data_dir`, or new ones where there is no chain yet; `None` if the
    /// chain there began without.
    pub(crate) fn open_or_create(data_dir: &Path, new: &NewChain) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join(FILE);
        let stored = match fs::read(&path) {
            Ok(bytes) => Some(
                serde_json::from_slice::<Stored>(&bytes)
                    .with_context(|| format!("{} is no list of accounts", path.display()))?,
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        let stored = match (stored, node::is_begun(data_dir)) {
            (Some(stored), true) => stored,
            (None, true) => {
                ensure!(
                    new.mnemonic.is_none(),
                    "the chain in {} began without accounts: leave --mnemonic out, or choose \
                     another --data-dir",
                    data_dir.display()
                );
                return Ok(None);
            }
            // What is there was for a chain that then did not begin.
            (stored, false) => {
                let words = new.mnemonic.clone().or(stored.map(|stored| stored.mnemonic));
                let mnemonic = words.map_or_else(random_words, Ok)?;
                let stored = Stored { mnemonic, accounts: new.accounts };
                // Words that are none must not be kept.
                signers(&stored)?;
                store(&path, &stored)?;
                stored
            }
        };
        if new.mnemonic.as_ref().is_some_and(|mnemonic| *mnemonic != stored.mnemonic) {
            bail!(
                "the chain in {} began with other accounts: leave --mnemonic out, or choose another \
                 --data-dir",
                data_dir.display()
            );
        }
        Ok(Some(Self { signers: signers(&stored)?, mnemonic: stored.mnemonic }))
    }
}

fn random_words() -> anyhow::Result<String> {
    // By the 128 random bits that twelve words stand for.
    let mut entropy = [0; WORDS / 3 * 4];
    getrandom::fill(&mut entropy).map_err(|e| anyhow!("the system has no random numbers: {e}"))?;
    let mnemonic = Mnemonic::<English>::new_from_entropy(entropy.into());
    Ok(mnemonic.to_phrase())
}

fn signers(stored: &Stored) -> anyhow::Result<Vec<PrivateKeySigner>> {
    let words = || MnemonicBuilder::<English>::default().phrase(&stored.mnemonic);
    let signer = |index| {
        let built = words().index(index).and_then(|words| words.build());
        built.map_err(|error| {
            anyhow!("--mnemonic has no keys: {error}; want 12 to 24 English words of BIP-39")
        })
    };
    (0..stored.accounts).map(signer).collect()
}

/// Whole or not there, and for its owner alone.
pub(super) fn store(path: &Path, stored: &impl Serialize) -> anyhow::Result<()> {
    let why = || format!("{} cannot be written", path.display());
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory).with_context(why)?;
    serde_json::to_writer_pretty(&mut file, stored)?;
    file.flush().and_then(|()| file.as_file().sync_all()).with_context(why)?;
    file.persist(path).map_err(|error| error.error).with_context(why)?;
    let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.with_context(why)
}
