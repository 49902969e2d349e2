//! What the builder and all requests share, and in which order it is locked.
//!
//! Locks are taken in the order `tries`, `pool`, `view`, and requests hold them only for single
//! reads. Only the builder writes `view`: it may therefore hold it for reading while it executes
//! and lock the pool meanwhile.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use alloy::consensus::Header;
use alloy_primitives::{Address, B256, U256};
use parking_lot::{Mutex, RwLock};
use revm::bytecode::Bytecode;
use tokio::sync::{broadcast, watch};
use vouch_journal::{Position, Reader};

use crate::Result;
use crate::admission::{self, Rejection};
use crate::block::{SealedBlock, next_base_fee, next_header};
use crate::builder::Command;
use crate::clock::Clock;
use crate::genesis::Genesis;
use crate::index::{Index, Located};
use crate::pool::Pool;
use crate::record;
use crate::rules::{self, Rules};
use crate::state::{Account, Changes, Scratch, State, StateError, StateRead, Tries};

/// How far back `BLOCKHASH` sees.
const BLOCK_HASH_WINDOW: u64 = 256;

/// All that a published block changes, behind one lock.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) state: State,
    pub(crate) index: Index,
    /// Of the newest block and all before it; it grows until the merge.
    pub(crate) total_difficulty: U256,
}

impl View {
    /// Moves on to a block that is stored at `position`.
    pub(crate) fn push(&mut self, block: Arc<SealedBlock>, changes: Changes, position: Position) {
        self.state.apply(block.header.number, changes);
        self.total_difficulty = self.total_difficulty.saturating_add(block.header.difficulty);
        self.index.push(block, position);
    }
}

/// How the chain's time differs from the clock's. Not stored: the newest block's timestamp tells
/// it at the next start.
#[derive(Debug, Default)]
pub(crate) struct TimeShift {
    /// Seconds added to the clock.
    pub(crate) offset: i64,
    /// The next block's timestamp, where it was demanded.
    pub(crate) next: Option<u64>,
}

/// The running chain; see the module.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) genesis: Genesis,
    pub(crate) development_methods: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tries: RwLock<Tries>,
    pub(crate) pool: Mutex<Pool>,
    pub(crate) view: RwLock<View>,
    pub(crate) time: Mutex<TimeShift>,
    /// The newest visible block; sent again where a waiting transaction was dropped.
    pub(crate) head: watch::Sender<u64>,
    /// Transactions as they come into the pool.
    pub(crate) arrivals: broadcast::Sender<B256>,
    pub(crate) commands: Sender<Command>,
    /// Whether the builder has been told that there is work.
    pub(crate) told: AtomicBool,
    pub(crate) stopped: OnceLock<String>,
    pub(crate) reader: Reader,
}

impl Node {
    /// The newest block.
    pub(crate) fn head(&self) -> Arc<SealedBlock> {
        self.view.read().index.head().clone()
    }

    /// A block by number, from memory or the journal.
    pub(crate) fn block(&self, number: u64) -> Result<Option<Arc<SealedBlock>>> {
        let located = self.view.read().index.locate(number);
        match located {
            None => Ok(None),
            Some(Located::Memory(block)) => Ok(Some(block)),
            Some(Located::Journal { position, record }) => {
                let bytes = self.reader.read(position)?;
                record::decode_block(&bytes, record).map(|block| Some(Arc::new(block)))
            }
        }
    }

    /// The block that holds a transaction, and its place there.
    pub(crate) fn transaction(&self, hash: B256) -> Result<Option<(Arc<SealedBlock>, usize)>> {
        let located = self.view.read().index.transaction(hash);
        let Some((number, at)) = located else { return Ok(None) };
        Ok(self.block(number)?.map(|block| (block, at)))
    }

    /// Takes a raw transaction into the pool and wakes the builder.
    pub(crate) fn submit(&self, raw: &[u8]) -> Result<B256, Rejection> {
        if let Some(reason) = self.stopped.get() {
            return Err(Rejection::Stopped(reason.clone()));
        }
        if !self.is_merged() {
            return Err(Rejection::NotMerged);
        }
        let head = self.head();
        let Header { number, timestamp, gas_limit, .. } = head.header;
        let time = self.next_timestamp(timestamp);
        let rules = Rules::of(self.genesis.config(), number + 1, time, true);
        let transaction = admission::decode(raw, &rules, gas_limit)?;
        let hash = *transaction.hash();
        {
            let mut pool = self.pool.lock();
            let view = self.view.read();
            let account = view.state.account(transaction.signer()).unwrap_or_default();
            let base_fee = next_base_fee(&view.index.head().header);
            let is_delegation = is_delegation(&view.state, &account);
            admission::check_account(&transaction, account, is_delegation, base_fee)?;
            pool.insert(transaction, account.nonce)?;
        }
        // Fails where nobody listens.
        drop(self.arrivals.send(hash));
        self.wake()?;
        Ok(hash)
    }

    fn wake(&self) -> Result<(), Rejection> {
        if !self.told.swap(true, Ordering::AcqRel) && self.commands.send(Command::Work).is_err() {
            return Err(Rejection::Stopped("its builder has ended".to_owned()));
        }
        Ok(())
    }

    /// What a block begun now would have as its header, without its transactions.
    pub(crate) fn next_header(&self) -> Header {
        let head = self.head();
        let timestamp = self.next_timestamp(head.header.timestamp);
        next_header(&self.genesis, &head.header, head.hash, timestamp)
    }

    /// Whether blocks can be made: before the merge they are found by work.
    pub(crate) fn is_merged(&self) -> bool {
        rules::is_merged(self.genesis.config(), self.view.read().total_difficulty)
    }

    /// The timestamp of a block begun now on top of one at `parent`.
    pub(crate) fn next_timestamp(&self, parent: u64) -> u64 {
        let time = self.time.lock();
        let now = time
            .next
            .unwrap_or_else(|| self.clock.unix_seconds().saturating_add_signed(time.offset));
        now.max(parent)
    }

    /// State as it is after block `number`, which goes on answering while newer blocks appear.
    pub(crate) fn state_at(self: &Arc<Self>, number: u64) -> Result<StateAt, StateError> {
        self.view.read().state.check(number)?;
        Ok(StateAt { node: self.clone(), number })
    }

    /// Copies of the tries as they are after block `number`.
    pub(crate) fn scratch(&self, number: u64) -> Result<Scratch, StateError> {
        let tries = self.tries.read();
        let view = self.view.read();
        Scratch::new(&tries, &view.state, number)
    }

    /// Moves such copies on; gives the state root.
    pub(crate) fn apply(
        &self,
        scratch: &mut Scratch,
        changes: &Changes,
    ) -> Result<B256, StateError> {
        let tries = self.tries.read();
        scratch.apply(&tries, &self.view.read().state, changes)
    }

    /// From now on nothing is mined or admitted; who waits is told why. The first reason stays.
    pub(crate) fn stop(&self, reason: String) {
        if self.stopped.set(reason).is_ok() {
            self.head.send_modify(|_| {});
        }
    }
}

fn is_delegation(state: &State, account: &Account) -> bool {
    state.code(account.code_hash).is_ok_and(|code| code.is_eip7702())
}

/// State at one block; each read takes the lock anew, so that a long call holds up nobody.
#[derive(Debug, Clone)]
pub(crate) struct StateAt {
    node: Arc<Node>,
    number: u64,
}

impl StateRead for StateAt {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.node.view.read().state.account_at(address, self.number)
    }

    fn slot(&self, address: Address, key: U256) -> Result<U256, StateError> {
        self.node.view.read().state.slot_at(address, key, self.number)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.node.view.read().state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(block_hash(&self.node.view.read().index, number, self.number))
    }
}

/// The newest state, for the builder.
impl StateRead for &View {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.state.account(address))
    }

    fn slot(&self, address: Address, key: U256) -> Result<U256, StateError> {
        Ok(self.state.slot(address, key))
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(block_hash(&self.index, number, self.state.number()))
    }
}

fn block_hash(index: &Index, number: u64, head: u64) -> B256 {
    let known = number <= head && number + BLOCK_HASH_WINDOW > head;
    known.then(|| index.hash(number)).flatten().unwrap_or_default()
}
