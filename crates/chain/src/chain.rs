//! Opening, using and closing a chain.

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use alloy::network::Ethereum;
use alloy::providers::{DynProvider, Provider, RootProvider};
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, U256};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, watch};
use vouch_journal::{Journal, Recovery};

use crate::accounts::Accounts;
use crate::builder::{self, Builder, Command};
use crate::clock::Clock;
use crate::node::{Node, TimeShift};
use crate::pool::Pool;
use crate::replay::replay;
use crate::rpc::{self, Rpc};
use crate::snapshots::Snapshots;
use crate::status::{Monitor, Status};
use crate::{Error, Genesis, Result, transport};

/// Default of [`Options::history_blocks`].
const HISTORY_BLOCKS: usize = 1024;

/// Transactions that a slow reader of the pool's news may be behind before it misses some.
const ARRIVALS: usize = 4096;

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Mining {
    /// As soon as a transaction waits; what arrives during a block's sync shares the next block.
    #[default]
    Instant,
    /// Only by `evm_mine`.
    Manual,
    /// One at each interval, empty or not. Not zero.
    Interval(Duration),
}

/// What whoever reaches the chain may change by hand, through `evm_*`, `anvil_*` and `hardhat_*`
/// methods: for everyone, so that a chain that strangers reach should allow nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ByHand {
    /// None of these methods exist.
    Nothing,
    /// Time goes on and blocks are made when told: nobody owns more or less by that.
    Time,
    /// State, history, mining and whoever sends, too.
    #[default]
    Everything,
}

/// How far a start or an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done so far: blocks, and changes by hand between them.
    pub done: u64,
    /// How many there are.
    pub of: u64,
}

/// How to run a chain.
pub struct Options {
    /// What an empty directory begins with; one that holds a chain goes on with its own.
    pub genesis: Genesis,
    /// Refuse a directory that holds a chain with another id.
    pub expected_chain_id: Option<u64>,
    /// When blocks are made.
    pub mining: Mining,
    /// Where block timestamps come from.
    pub clock: Arc<dyn Clock>,
    /// For how many blocks back old state answers; fewer where blocks change very much.
    pub history_blocks: usize,
    /// What may be changed by hand.
    pub by_hand: ByHand,
    /// Accounts that the chain signs for whoever asks (`eth_sendTransaction`): test money only.
    pub accounts: Vec<PrivateKeySigner>,
    /// How the journal lays out its files.
    pub journal: vouch_journal::Options,
    /// Called while a stored chain is executed again.
    pub progress: Box<dyn FnMut(Progress) + Send>,
}

impl Options {
    /// The defaults: instant mining, 1,024 blocks of history, all that can be changed by hand.
    pub fn new(genesis: Genesis, clock: impl Clock) -> Self {
        Self {
            genesis,
            expected_chain_id: None,
            mining: Mining::Instant,
            clock: Arc::new(clock),
            history_blocks: HISTORY_BLOCKS,
            by_hand: ByHand::Everything,
            accounts: Vec::new(),
            journal: vouch_journal::Options::default(),
            progress: Box::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("chain_id", &self.genesis.chain_id())
            .field("mining", &self.mining)
            .field("history_blocks", &self.history_blocks)
            .finish_non_exhaustive()
    }
}

/// Executes every block that a journal holds again, and makes none; gives how many there are.
///
/// # Errors
/// [`Error::Journal`], and [`Error::Record`], [`Error::Newer`], [`Error::Replay`] or
/// [`Error::Parent`] if what it holds is not a chain of this program.
pub fn check(
    journal: &mut Journal,
    records: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64> {
    if records == 0 {
        return Ok(0);
    }
    // The journal has its own genesis.
    let replayed = replay(journal, &Genesis::development(1, 0), 1, records, progress)?;
    Ok(replayed.view.state.number())
}

/// A running chain. Dropping it stops it as [`Chain::close`] does, without telling errors.
#[derive(Debug)]
pub struct Chain {
    pub(crate) node: Arc<Node>,
    rpc: Arc<Rpc>,
    recovery: Recovery,
    builder: Option<JoinHandle<Result<()>>>,
}

impl Chain {
    /// Opens the chain in `dir`, or begins one there, and starts to make blocks.
    ///
    /// Executes every stored block again; [`Options::progress`] is told.
    ///
    /// # Errors
    /// [`Error::Journal`] if the directory is in use, damaged or full, [`Error::OtherChain`],
    /// [`Error::Genesis`], and [`Error::Record`], [`Error::Newer`], [`Error::Replay`] or
    /// [`Error::Parent`] if what it holds is not a chain of this program.
    pub fn open(dir: &Path, mut options: Options) -> Result<Self> {
        // Before anything is begun with it.
        options.genesis.validate()?;
        let (mut journal, recovery) = Journal::open(dir, options.journal)?;
        if recovery.truncated_bytes > 0 {
            tracing::warn!(
                bytes = recovery.truncated_bytes,
                "a torn write was cut off the journal"
            );
        }
        let replayed = replay(
            &mut journal,
            &options.genesis,
            options.history_blocks,
            recovery.records,
            &mut options.progress,
        )?;
        let genesis = replayed.genesis;
        if let Some(expected) = options.expected_chain_id.filter(|id| *id != genesis.chain_id()) {
            return Err(Error::OtherChain { expected, found: genesis.chain_id() });
        }
        let head = replayed.view.index.head().header.clone();
        let time = TimeShift::ahead_of(options.clock.as_ref(), head.timestamp);
        let (commands, received) = mpsc::channel();
        let node = Arc::new(Node {
            genesis,
            by_hand: options.by_hand,
            accounts: Accounts::new(options.accounts),
            mining: Mutex::new(options.mining),
            chosen: Mutex::default(),
            rewinds: Mutex::default(),
            clock: options.clock,
            tries: RwLock::new(replayed.tries),
            pool: Mutex::new(Pool::default()),
            view: RwLock::new(replayed.view),
            time: Mutex::new(time),
            head: watch::Sender::new(head.number),
            arrivals: broadcast::Sender::new(ARRIVALS),
            commands,
            told: AtomicBool::new(false),
            stopped: OnceLock::new(),
            reader: journal.reader(),
        });
        let builder = Builder {
            node: node.clone(),
            journal,
            commands: received,
            // The genesis is one, which a new directory did not have yet.
            records: recovery.records.max(1),
            history_blocks: options.history_blocks,
            snapshots: Snapshots::default(),
            due: None,
            was_due: false,
        };
        let builder = Some(builder::spawn(builder)?);
        let rpc = Arc::new(Rpc::new(node.clone()));
        Ok(Self { node, rpc, recovery, builder })
    }

    /// The chain's id: of the stored genesis, whatever the options said.
    pub fn chain_id(&self) -> u64 {
        self.node.genesis.chain_id()
    }

    /// The genesis in use.
    pub fn genesis(&self) -> &Genesis {
        &self.node.genesis
    }

    /// What opening the journal found, such as a torn write that was cut.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// An alloy provider that calls this chain in process. It fills in nothing: stack
    /// `ProviderBuilder` with a wallet on it. Must be used within a tokio runtime.
    pub fn provider(&self) -> DynProvider {
        let client = transport::client(self.rpc.clone());
        RootProvider::<Ethereum>::new(client).erased()
    }

    /// JSON-RPC by `POST /`, open to every web page (CORS), as development chains are.
    pub fn router(&self) -> axum::Router {
        rpc::router(self.rpc.clone())
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.monitor().status()
    }

    /// Tells how it is doing for as long as anyone asks.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.node.clone())
    }

    /// What accounts own now, in wei.
    pub fn balances(&self, addresses: impl IntoIterator<Item = Address>) -> Vec<U256> {
        let view = self.node.view.read();
        let balance = |address| view.state.account(address).unwrap_or_default().balance;
        addresses.into_iter().map(balance).collect()
    }

    /// The newest visible block's number, and a wake-up at each new one.
    pub fn subscribe_head(&self) -> watch::Receiver<u64> {
        self.node.head.subscribe()
    }

    /// Finishes the block being made and stops. Providers and routers then still read.
    ///
    /// # Errors
    /// What made the chain stop earlier, if anything did.
    pub fn close(mut self) -> Result<()> {
        self.join()
    }

    fn join(&mut self) -> Result<()> {
        let Some(builder) = self.builder.take() else { return Ok(()) };
        self.node.stop("it was closed".to_owned());
        // A builder that has failed no longer listens; joining tells why.
        let told = self.node.commands.send(Command::Close);
        let outcome = builder
            .join()
            .unwrap_or_else(|_| Err(Error::Stopped("the builder thread panicked".to_owned())));
        if told.is_ok() || outcome.is_err() { outcome } else { Ok(()) }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::error!(%error, "the chain did not end cleanly");
        }
    }
}
