//! What an agent that trades or votes needs: a chain, an account, who signs, whom to ask, a journal.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use anyhow::{Context, ensure};
use vouch_agent::{
    market::Chain,
    portfolio::Venues,
    run::{Direct, Executor, Journal, Order, Outcome, Signed},
    signer::Client,
};
use vouch_wallet::Wallet;

use super::{MANDATE, adviser::Connected, asker::Asker, chain, connect, home, read_grant, socket};
use crate::{arguments::agent::Acting, config::Config};

/// The key of an agent without a mandate: never the one that a mandate names.
const UNGUARDED_KEY: &str = "unguarded.json";

pub(super) struct Actor {
    pub(super) chain: Chain,
    pub(super) chain_id: u64,
    /// Whose money.
    pub(super) account: Address,
    pub(super) executor: Box<dyn Executor>,
    pub(super) adviser: Connected,
    pub(super) journal: Journal,
}

impl Actor {
    /// `file` names the run, `strategy` is what its acts' receipts say.
    pub(super) async fn open(
        acting: &Acting,
        file: &Path,
        (venues, strategy): (Venues, B256),
        config: &Config,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        let home = home(data_dir, &acting.which.name)?;
        let (provider, chain_id) = chain(&acting.which, config).await?;
        let connect = connect(acting.connect.as_ref(), data_dir);
        let (account, executor, adviser): (_, Box<dyn Executor>, _) = if acting.unguarded {
            let wallet =
                Wallet::open_or_create_file(&home.join(UNGUARDED_KEY), &crate::passphrase())?;
            let executor = Direct::new(provider.clone(), &wallet, venues)?;
            let adviser = Connected::Unguarded { connect, data_dir: data_dir.to_owned() };
            (wallet.address(), Box::new(executor), adviser)
        } else {
            let mandate = read_grant(&home.join(MANDATE))?.mandate;
            ensure!(
                mandate.chain == chain_id,
                "the mandate is for chain {}, and this is chain {chain_id}: use --chain",
                mandate.chain
            );
            let socket = acting.signer.clone();
            let socket = socket.unwrap_or_else(|| self::socket(&home));
            let account = mandate.owner;
            let signer = Client::new(socket.clone());
            let asker = Asker::new(signer, &mandate, connect, data_dir, strategy);
            let executor = Signed::new(socket, mandate, strategy, provider.clone());
            (account, Box::new(executor), Connected::Guarded(asker))
        };
        Ok(Self {
            chain: Chain::new(provider),
            chain_id,
            account,
            executor,
            adviser,
            journal: Journal::open(&journal_dir(acting.journal.as_ref(), file, &home)?)?,
        })
    }
}

/// Where the run of a file is recorded.
pub(super) fn journal_dir(
    named: Option<&PathBuf>,
    file: &Path,
    home: &Path,
) -> anyhow::Result<PathBuf> {
    if let Some(dir) = named {
        return Ok(dir.clone());
    }
    let stem = file.file_stem().with_context(|| format!("{} names no file", file.display()))?;
    Ok(home.join("runs").join(stem))
}

/// What came of an order, for a person.
pub(super) fn outcome(order: &Order, outcome: &Outcome) -> String {
    let came = match outcome {
        Outcome::Settled(fill) => format!("settled in {}", fill.transaction),
        Outcome::Failed { reason, .. } => format!("failed: {reason}"),
        Outcome::Unknown => "unknown: it is looked for before anything else is done".into(),
    };
    format!("order {} ({})\n  {came}", order.id, order.reason)
}
