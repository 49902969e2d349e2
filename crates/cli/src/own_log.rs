//! The log of a key of this machine: an agent's, a trainer's.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use vouch_core::{domain::Domain, log::note};
use vouch_store::EmbeddedStore;
use vouch_wallet::{LogKey, Wallet};

use crate::time::unix_milliseconds;

/// Opens the log in `home/log`, whose promises and checkpoints `key` signs; `role` names it to others.
/// Returns it with its verifier key.
pub(crate) fn open(
    home: &Path,
    role: &str,
    domain: Domain,
    key: Arc<Wallet>,
) -> anyhow::Result<(EmbeddedStore, String)> {
    let log = LogKey::open_or_create(home, &crate::passphrase())?;
    let origin = format!("{role}.localhost/{:x}", key.address());
    let verifier = log.verifier(&origin).to_string();
    let (promises, checkpoints) = (key.clone(), key);
    let config = vouch_store::Config::new(
        domain,
        origin,
        Arc::new(unix_milliseconds),
        Arc::new(move |promise| Ok(promises.sign(promise.digest(&domain)))),
        Arc::new(move |checkpoint| {
            let signature = checkpoints.sign(checkpoint.digest());
            Ok(vec![
                log.sign(&checkpoint.origin, &checkpoint.text()),
                note::sign_eip712(&checkpoint.origin, checkpoints.address(), &signature),
            ])
        }),
    );
    let directory = home.join("log");
    let (store, _) = EmbeddedStore::open(&directory, config)
        .with_context(|| format!("the log in {} cannot be opened", directory.display()))?;
    Ok((store, verifier))
}
