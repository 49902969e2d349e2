//! Opening, using and closing a chain.

use std::cell::Cell;
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
use vouch_journal::{Directory, Disk, Journal, Recovery};

use crate::accounts::Accounts;
use crate::builder::{self, Builder, Command};
use crate::clock::Clock;
use crate::fork::Fork;
use crate::index::{self, Snapshot};
use crate::node::{BLOCK_HASH_WINDOW, Node};
use crate::pool::Pool;
use crate::record;
use crate::replay::{self, Past, Replay, Replayed};
use crate::rpc::{self, Rpc};
use crate::snapshots::Snapshots;
use crate::status::{Monitor, Status};
use crate::{Error, Genesis, Result, transport};

/// Default of [`Options::step_bytes`]: some 10,000 transactions, which execute again in a fifth of a
/// second.
const STEP_BYTES: usize = 4 << 20;

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
    /// For how many blocks back old state answers; all where it is not told. What is older stays on
    /// the disk.
    pub history_blocks: Option<u64>,
    /// How many blocks before the newest are kept, with their receipts and the state after each;
    /// all where it is not told. At least 256, which `BLOCKHASH` looks back. What is older is
    /// removed from the disk in steps, and stays gone.
    pub prune_blocks: Option<u64>,
    /// About how many bytes of what is to be in the index on disk may be in memory: blocks, where
    /// transactions are, earlier values. A start executes as much again. It is more where the
    /// state, which is written with it, is larger.
    pub step_bytes: usize,
    /// What may be changed by hand.
    pub by_hand: ByHand,
    /// Accounts that the chain signs for whoever asks (`eth_sendTransaction`): test money only.
    pub accounts: Vec<PrivateKeySigner>,
    /// Where the node of the chain that this one goes on from is asked (HTTP), if it does
    /// ([`Genesis::fork`]). Without, only what was read before is known of it.
    pub fork_url: Option<String>,
    /// How the journal lays out its files.
    pub journal: vouch_journal::Options,
    /// Called while a stored chain is executed again.
    pub progress: Box<dyn FnMut(Progress) + Send>,
}

impl Options {
    /// The defaults: instant mining, all history, all that can be changed by hand.
    pub fn new(genesis: Genesis, clock: impl Clock) -> Self {
        Self {
            genesis,
            expected_chain_id: None,
            mining: Mining::Instant,
            clock: Arc::new(clock),
            history_blocks: None,
            prune_blocks: None,
            step_bytes: STEP_BYTES,
            by_hand: ByHand::Everything,
            accounts: Vec::new(),
            fork_url: None,
            journal: vouch_journal::Options::default(),
            progress: Box::new(|_| {}),
        }
    }
}

/// What is in a directory.
struct Opened {
    journal: Journal,
    recovery: Recovery,
    genesis: Genesis,
    fork: Option<Arc<Fork>>,
    replayed: Replayed,
}

/// The journal on a disk, begun if need be, and what it comes to.
fn open(disk: &Arc<dyn Disk>, past: &Past, options: &mut Options) -> Result<Opened> {
    let (mut snapshots, mut unusable) = match &past.disk {
        Some(index) => index::snapshots(index.as_ref()),
        None => Default::default(),
    };
    while let Some(snapshot) = snapshots.pop() {
        match open_at(disk, past, options, &snapshot, &snapshots) {
            Ok(Some(opened)) => {
                if let Some(index) = &past.disk {
                    snapshot.remove_newer(index.as_ref())?;
                }
                return Ok(opened);
            }
            Ok(None) => tracing::info!(snapshot.record, "what a snapshot has was taken back"),
            Err(error @ Error::Index(_)) => {
                tracing::warn!(%error, "the chain goes on from an older snapshot or its first block");
                unusable.get_or_insert(error.to_string());
            }
            // Above all where the journal lacks what the index has seen in it: opened without the
            // index, it would pass for one that was torn.
            Err(error) => return Err(error),
        }
    }
    let (mut journal, recovery) = Journal::open_on(Box::new(disk.clone()), options.journal)?;
    if journal.resumes().is_some() {
        let reason = unusable.unwrap_or_else(|| "there is none".to_owned());
        return Err(Error::NoSnapshot { reason });
    }
    if recovery.records == 0 {
        journal.append(&record::encode_genesis(&options.genesis)?)?;
        journal.sync()?;
    }
    let (genesis, fork) = origin(&journal, past, options)?;
    let (records, progress) = (recovery.records, &mut *options.progress);
    let beside = fork.clone();
    let mut replay =
        Replay { journal: &journal, genesis: &genesis, fork: beside, past, records, progress };
    let replayed = replay.whole()?;
    Ok(Opened { journal, recovery, genesis, fork, replayed })
}

/// What a journal begins with, and the chain that it is a fork of.
fn origin(
    journal: &Journal,
    past: &Past,
    options: &Options,
) -> Result<(Genesis, Option<Arc<Fork>>)> {
    let (genesis, url) = (replay::genesis(journal)?, options.fork_url.as_deref());
    if url.is_some() && genesis.fork_point().is_none() {
        return Err(Error::Fork(
            "the directory holds a chain that is no fork: choose another data directory, or go on \
             with that chain without naming a node"
                .to_owned(),
        ));
    }
    let fork = past.disk.as_ref().map(|disk| replay::fork(&genesis, url, disk)).transpose()?;
    Ok((genesis, fork.flatten()))
}

/// As [`open`], from a snapshot, the newest that can be used.
fn open_at(
    disk: &Arc<dyn Disk>,
    past: &Past,
    options: &mut Options,
    snapshot: &Snapshot,
    before: &[Snapshot],
) -> Result<Option<Opened>> {
    let known = Some(snapshot.known());
    let (journal, recovery) = Journal::open_known(Box::new(disk.clone()), options.journal, known)?;
    let (genesis, fork) = origin(&journal, past, options)?;
    let (records, progress) = (snapshot.record + recovery.records, &mut *options.progress);
    let beside = fork.clone();
    let mut replay =
        Replay { journal: &journal, genesis: &genesis, fork: beside, past, records, progress };
    let replayed = replay.resume(snapshot, before.to_vec())?;
    Ok(replayed.map(|replayed| Opened { journal, recovery, genesis, fork, replayed }))
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("chain_id", &self.genesis.chain_id())
            .field("mining", &self.mining)
            .field("history_blocks", &self.history_blocks)
            .field("prune_blocks", &self.prune_blocks)
            .finish_non_exhaustive()
    }
}

/// Which blocks [`check`] has executed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// The block whose state it began with: the first, or one of a snapshot where those before were
    /// pruned.
    pub from: u64,
    /// The newest.
    pub to: u64,
    /// Whether those before were pruned.
    pub pruned: bool,
}

/// Executes every block that a journal holds again, and makes none. One of which the beginning was
/// pruned is executed from the older snapshot in the index on `disk`, and a fork with what was read
/// of the other chain, which is there, too; nothing is written.
///
/// # Errors
/// [`Error::Journal`], and [`Error::Record`], [`Error::Newer`], [`Error::Replay`] or
/// [`Error::Parent`] if what it holds is not a chain of this program; [`Error::NoSnapshot`],
/// [`Error::Fork`].
pub fn check(
    journal: &Journal,
    disk: Arc<dyn Disk>,
    records: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Checked> {
    let mut past =
        Past { disk: None, history_blocks: None, prune_blocks: None, step_bytes: STEP_BYTES };
    if records == 0 {
        return Ok(Checked { from: 0, to: 0, pruned: false });
    }
    let genesis = &replay::genesis(journal)?;
    let fork = replay::fork(genesis, None, &disk)?;
    let mut replay = |past: &Past, snapshot: Option<&Snapshot>| {
        let progress = &mut *progress;
        let mut replay = Replay { journal, genesis, fork: fork.clone(), past, records, progress };
        match snapshot {
            Some(snapshot) => replay.resume(snapshot, Vec::new()),
            None => replay.whole().map(Some),
        }
    };
    if journal.resumes().is_none() {
        let to = replay(&past, None)?.map_or(0, |replayed| replayed.view.state.number());
        return Ok(Checked { from: genesis.first_block(), to, pruned: false });
    }
    let (snapshots, mut unusable) = index::snapshots(disk.as_ref());
    // Nothing is to be written.
    (past.disk, past.step_bytes) = (Some(disk), usize::MAX);
    for snapshot in snapshots {
        match replay(&past, Some(&snapshot)) {
            Ok(Some(replayed)) => {
                let to = replayed.view.state.number();
                return Ok(Checked { from: snapshot.blocks.min(to), to, pruned: true });
            }
            Ok(None) => {}
            Err(Error::Index(error)) => unusable = Some(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Err(Error::NoSnapshot { reason: unusable.unwrap_or_else(|| "there is none".to_owned()) })
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
    /// Goes on from the newest snapshot and executes the blocks that follow it again, or all where
    /// there is none that can be read and none was pruned; [`Options::progress`] is told.
    ///
    /// # Errors
    /// [`Error::Journal`] if the directory is in use, damaged or full, [`Error::OtherChain`],
    /// [`Error::Genesis`], [`Error::TooFewBlocks`], [`Error::NoSnapshot`], and [`Error::Record`],
    /// [`Error::Newer`], [`Error::Replay`] or [`Error::Parent`] if what it holds is not a chain of
    /// this program.
    pub fn open(dir: &Path, options: Options) -> Result<Self> {
        // Before anything is begun with it.
        options.genesis.validate()?;
        let locked = Arc::new(Directory::open(dir)?);
        // Whoever still reads a closed chain must not keep the next process out.
        Self::open_in(locked, Arc::new(Directory::unlocked(dir)), options)
    }

    /// As [`Chain::open`], on any disk.
    ///
    /// # Errors
    /// As [`Chain::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        options.genesis.validate()?;
        Self::open_in(disk.clone(), disk, options)
    }

    fn open_in(disk: Arc<dyn Disk>, index: Arc<dyn Disk>, mut options: Options) -> Result<Self> {
        let Options { history_blocks, prune_blocks, step_bytes, .. } = options;
        if let Some(asked) = prune_blocks.filter(|blocks| *blocks < BLOCK_HASH_WINDOW) {
            return Err(Error::TooFewBlocks { asked });
        }
        let past = Past { disk: Some(index), history_blocks, prune_blocks, step_bytes };
        let Opened { journal, recovery, genesis, fork, replayed } =
            open(&disk, &past, &mut options)?;
        if let Some(expected) = options.expected_chain_id.filter(|id| *id != genesis.chain_id()) {
            return Err(Error::OtherChain { expected, found: genesis.chain_id() });
        }
        let head = replayed.view.index.head().header.clone();
        let time = Node::time_from(&genesis, options.clock.as_ref(), head.timestamp);
        let (commands, received) = mpsc::channel();
        let node = Arc::new(Node {
            genesis,
            fork,
            by_hand: options.by_hand,
            accounts: Accounts::new(options.accounts),
            mining: Mutex::new(options.mining),
            chosen: Mutex::default(),
            rewinds: Mutex::default(),
            clock: options.clock,
            decoded: Mutex::default(),
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
            last: replayed.last,
            keeper: replayed.keeper,
            past,
            snapshots: Snapshots::default(),
            due: None,
            was_due: false,
            again: Cell::default(),
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
    ///
    /// # Errors
    /// [`Error::Fork`] if they are those of another chain whose node cannot be reached.
    pub fn balances(&self, addresses: impl IntoIterator<Item = Address>) -> Result<Vec<U256>> {
        let balance = |address| {
            self.node.prefetch(address)?;
            Ok(self.node.view.read().state.account(address)?.unwrap_or_default().balance)
        };
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
