//! What the builder and all requests share, and in which order it is locked.
//!
//! Locks are taken in the order `tries`, `pool`, `view`, and requests hold them only for single
//! reads, or for what a proof looks through, which is bounded. Only the builder writes `view`: it may
//! therefore hold it for reading while it executes and lock the pool meanwhile.

use std::mem;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};

use alloy::consensus::Header;
use alloy_primitives::{Address, B256, U256};
use parking_lot::{Mutex, RwLock};
use revm::bytecode::Bytecode;
use tokio::sync::{broadcast, watch};
use vouch_journal::{Position, Reader};

use crate::accounts::{Accounts, is_unsigned};
use crate::admission::{self, Fees, Rejection};
use crate::block::{SealedBlock, next_excess_blob_gas, next_header};
use crate::builder::Command;
use crate::chain::{ByHand, Mining};
use crate::clock::Clock;
use crate::edit::{NextBlock, Rewinds};
use crate::execute::SignedTransaction;
use crate::fork::Fork;
use crate::genesis::Genesis;
use crate::index::{Decoded, Index, Kept, Located, Snapshot, Step};
use crate::pool::Pool;
use crate::record;
use crate::rules::{self, Rules};
use crate::state::{Account, Changes, Scratch, State, StateError, StateRead, Tries};
use crate::{Error, Result};

/// A chain that is closed keeps what is this part of a step.
const WORTH_KEEPING: usize = 16;
/// The step under way, and what comes meanwhile.
const STEPS_IN_MEMORY: usize = 3;
/// Newest blocks that are read at a start: those whose ommers count, and more.
const RESUMED_BLOCKS: u64 = 8;
/// How far back `BLOCKHASH` sees.
pub(crate) const BLOCK_HASH_WINDOW: u64 = 256;

/// All that a published block changes, behind one lock.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) state: State,
    pub(crate) index: Index,
    /// Of the newest block and all before it; it grows until the merge.
    pub(crate) total_difficulty: U256,
    /// What the next block's header is to have.
    pub(crate) next: NextBlock,
    /// Of all blocks that came in, also of those taken back.
    pub(crate) gas_used: u64,
    /// [`Options::step_bytes`](crate::Options::step_bytes).
    pub(crate) step_bytes: usize,
}

impl View {
    /// Moves on to a block that is stored at `position`.
    ///
    /// # Errors
    /// Where what it changes was not read of a fork before, which is no case.
    pub(crate) fn push(
        &mut self,
        block: Arc<SealedBlock>,
        changes: Changes,
        position: Position,
    ) -> Result<()> {
        self.state.apply(block.header.number, changes)?;
        self.total_difficulty = self.total_difficulty.saturating_add(block.header.difficulty);
        self.gas_used = self.gas_used.saturating_add(block.header.gas_used);
        self.index.push(block, position);
        self.next = NextBlock::default();
        Ok(())
    }

    /// Goes on from a snapshot, whose state is `state`.
    pub(crate) fn resume(
        &mut self,
        snapshot: &Snapshot,
        state: Changes,
        reader: &Reader,
    ) -> Result<()> {
        let history = mem::take(self.state.history_mut());
        self.state = State::new(history, self.state.fork().cloned());
        self.state.set(snapshot.blocks, state)?;
        self.total_difficulty = snapshot.total_difficulty;
        self.next = snapshot.next;
        self.index.load(reader, RESUMED_BLOCKS)
    }

    /// Takes the newest block back.
    ///
    /// # Errors
    /// If the one before it can no longer be read.
    pub(crate) fn pop(&mut self, undone: Changes, reader: &Reader) -> Result<()> {
        let difficulty = self.index.head().header.difficulty;
        self.total_difficulty = self.total_difficulty.saturating_sub(difficulty);
        self.state.undo(self.state.number() - 1, undone)?;
        self.index.pop(reader)
    }

    /// Whether so much of it is only in memory that it should go to the disk. Where there is more
    /// state, which is written whole, that is less often.
    pub(crate) fn is_full(&self) -> bool {
        self.outweighs(self.step_bytes, self.state.bytes())
    }

    /// Whether more has come while a step was on its way to the disk than may wait in memory.
    pub(crate) fn is_overfull(&self) -> bool {
        let times = |bytes: usize| bytes.saturating_mul(STEPS_IN_MEMORY);
        self.outweighs(times(self.step_bytes), times(self.state.bytes()))
    }

    /// Whether a start would be much slower without it on the disk.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.outweighs(self.step_bytes / WORTH_KEEPING, self.state.bytes() / WORTH_KEEPING)
    }

    fn outweighs(&self, least: usize, state: usize) -> bool {
        let bytes = self.index.bytes() + self.state.history().bytes();
        // What was changed by hand goes there, too, once there is a block.
        let can_be_kept = self.state.number() > self.index.first_number();
        can_be_kept && bytes > least.max(state)
    }

    /// What goes to the disk; until [`Self::keep`] it is in memory, too.
    pub(crate) fn step(&mut self) -> Step {
        let mut step = self.index.step();
        step.values.resize_with(step.rows.len(), Vec::new);
        let first = self.state.number() + 1 - step.rows.len() as u64;
        for (number, values) in self.state.history_mut().hand_over() {
            let of = number.checked_sub(first).and_then(|at| step.values.get_mut(at as usize));
            of.unwrap_or(&mut step.amended).extend(values);
        }
        step
    }

    /// What [`Self::step`] has given is on the disk.
    pub(crate) fn keep(&mut self, kept: Kept) {
        self.state.history_mut().keep(kept.clone());
        self.index.keep(kept);
    }

    /// Lets go what memory cannot hold, where nothing is kept.
    pub(crate) fn let_go(&mut self) {
        let newest = self.state.number();
        self.state.history_mut().let_go(newest);
        self.index.let_go();
    }

    /// Whether a block is still told of; the first always is.
    ///
    /// # Errors
    /// [`Error::Pruned`].
    pub(crate) fn check_block(&self, number: u64) -> Result<()> {
        let oldest = self.index.oldest();
        match number > self.index.first_number() && number < oldest {
            true => Err(Error::Pruned { number, oldest }),
            false => Ok(()),
        }
    }

    /// Of the block after the newest, in wei.
    pub(crate) fn next_base_fee(&self) -> u64 {
        self.next.base_fee(&self.index.head().header)
    }
}

/// How the chain's time differs from the clock's. Not stored: the newest block's timestamp tells
/// it at the next start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimeShift {
    /// Seconds added to the clock.
    pub(crate) offset: i64,
    /// The next block's timestamp, where it was demanded.
    pub(crate) next: Option<u64>,
    /// Seconds between a block and the next, whatever the clock says.
    pub(crate) interval: Option<u64>,
}

impl TimeShift {
    /// By which time goes on from `timestamp`, as it does on a fork, whose blocks may be old.
    pub(crate) fn from(clock: &dyn Clock, timestamp: u64) -> Self {
        let offset = i128::from(timestamp) - i128::from(clock.unix_seconds());
        Self { offset: i64::try_from(offset).unwrap_or_default(), ..Self::default() }
    }

    /// By which no block after one at `timestamp` is earlier than that.
    pub(crate) fn ahead_of(clock: &dyn Clock, timestamp: u64) -> Self {
        let shift = Self::from(clock, timestamp);
        Self { offset: shift.offset.max(0), ..shift }
    }
}

/// What blocks made here have as their header says it, where a person chose it. Not stored.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Chosen {
    pub(crate) beneficiary: Address,
    /// Of the next block alone.
    pub(crate) prev_randao: Option<B256>,
}

/// The running chain; see the module.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) genesis: Genesis,
    /// The chain that this one goes on from.
    pub(crate) fork: Option<Arc<Fork>>,
    pub(crate) by_hand: ByHand,
    pub(crate) accounts: Accounts,
    /// When blocks are made; the builder is to be [told](Self::wake) of a change.
    pub(crate) mining: Mutex<Mining>,
    pub(crate) chosen: Mutex<Chosen>,
    pub(crate) rewinds: Mutex<Rewinds>,
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
    pub(crate) decoded: Mutex<Decoded>,
}

impl Node {
    /// The newest block.
    pub(crate) fn head(&self) -> Arc<SealedBlock> {
        self.view.read().index.head().clone()
    }

    /// A block by number, from memory or the journal.
    ///
    /// # Errors
    /// [`Error::Pruned`]; [`Error::Index`], [`Error::Journal`] or [`Error::Record`] if it cannot be
    /// read.
    pub(crate) fn block(&self, number: u64) -> Result<Option<Arc<SealedBlock>>> {
        let located = {
            let view = self.view.read();
            view.check_block(number)?;
            view.index.locate(number)?
        };
        match located {
            None => Ok(None),
            Some(Located::Memory(block)) => Ok(Some(block)),
            Some(Located::Journal { position, number }) => {
                if let Some(block) = self.decoded.lock().get(position) {
                    return Ok(Some(block));
                }
                let stored = self.reader.read(position);
                if stored.is_err() {
                    // It may have been pruned just now.
                    self.view.read().check_block(number)?;
                }
                let block = record::decode_block(&stored?, number)?;
                let block = Arc::new(block);
                self.decoded.lock().add(position, block.clone());
                Ok(Some(block))
            }
        }
    }

    /// The block that holds a transaction, and its place there.
    pub(crate) fn transaction(&self, hash: B256) -> Result<Option<(Arc<SealedBlock>, usize)>> {
        let places = self.view.read().index.transaction(hash)?;
        for (number, at) in places {
            let block = match self.block(number) {
                Ok(Some(block)) => block,
                Ok(None) | Err(Error::Pruned { .. }) => continue,
                Err(error) => return Err(error),
            };
            if block.transactions().get(at).is_some_and(|found| *found.hash() == hash) {
                return Ok(Some((block, at)));
            }
        }
        Ok(None)
    }

    /// Takes a raw transaction into the pool and wakes the builder.
    pub(crate) fn submit(&self, raw: &[u8]) -> Result<B256, Rejection> {
        if let Some(reason) = self.stopped.get() {
            return Err(Rejection::Stopped(reason.clone()));
        }
        if !self.is_merged() {
            return Err(Rejection::NotMerged);
        }
        let (rules, gas_limit) = self.next_rules();
        self.admit(admission::decode(raw, &rules, gas_limit)?, &rules)
    }

    /// As [`Self::submit`], for one whose sender is known.
    pub(crate) fn submit_sent(&self, transaction: SignedTransaction) -> Result<B256, Rejection> {
        let (rules, gas_limit) = self.next_rules();
        admission::check_sent(&transaction, &rules, gas_limit)?;
        self.admit(transaction, &rules)
    }

    fn admit(&self, transaction: SignedTransaction, rules: &Rules) -> Result<B256, Rejection> {
        let hash = *transaction.hash();
        self.prefetch(transaction.signer())?;
        {
            let mut pool = self.pool.lock();
            let view = self.view.read();
            let account = view.state.account(transaction.signer())?.unwrap_or_default();
            let may_send = is_delegation(&view.state, &account) || is_unsigned(&transaction);
            let excess = next_excess_blob_gas(rules, &view.index.head().header);
            let fees = Fees { base: view.next_base_fee(), blob: rules.blob_fee(excess) };
            admission::check_account(&transaction, account, may_send, fees)?;
            pool.insert(transaction, account.nonce)?;
        }
        // Fails where nobody listens.
        drop(self.arrivals.send(hash));
        self.wake()?;
        Ok(hash)
    }

    /// Has an account of the fork read while no lock is held.
    pub(crate) fn prefetch(&self, address: Address) -> Result<(), StateError> {
        let fork = self.view.read().state.fork_of(address).cloned();
        fork.map_or(Ok(()), |fork| fork.read(address, None))
    }

    /// A block's header as the EVM here is to see it: that which is forked from may be of a network,
    /// or of a time, without what the rules of the blocks after it need.
    pub(crate) fn seen(&self, header: &Header) -> Header {
        let mut header = header.clone();
        if self.fork.is_some() && header.number == self.first_block() {
            header.difficulty = U256::ZERO;
            header.excess_blob_gas = header.excess_blob_gas.or(Some(0));
        }
        header
    }

    /// The number of the first block that is here.
    pub(crate) fn first_block(&self) -> u64 {
        self.genesis.first_block()
    }

    /// How the chain's time differs from the clock's after a start on top of a block at `timestamp`.
    pub(crate) fn time_from(genesis: &Genesis, clock: &dyn Clock, timestamp: u64) -> TimeShift {
        match genesis.fork_point() {
            Some(_) => TimeShift::from(clock, timestamp),
            None => TimeShift::ahead_of(clock, timestamp),
        }
    }

    /// The rules of a block begun now, and the gas that it may use.
    fn next_rules(&self) -> (Rules, u64) {
        let view = self.view.read();
        let Header { number, timestamp, gas_limit, .. } = view.index.head().header;
        let time = self.next_timestamp(timestamp);
        let rules = Rules::of(self.genesis.config(), number + 1, time, true);
        (rules, view.next.gas_limit.unwrap_or(gas_limit))
    }

    /// Tells the builder to look for work.
    pub(crate) fn wake(&self) -> Result<(), Rejection> {
        if !self.told.swap(true, Ordering::AcqRel) && self.commands.send(Command::Work).is_err() {
            return Err(Rejection::Stopped("its builder has ended".to_owned()));
        }
        Ok(())
    }

    /// What a block begun now would have as its header, without its transactions.
    pub(crate) fn next_header(&self) -> Header {
        let (head, next) = {
            let view = self.view.read();
            (view.index.head().clone(), view.next)
        };
        let timestamp = self.next_timestamp(head.header.timestamp);
        let header = next_header(&self.genesis, &head.header, head.hash, timestamp, &next);
        let Chosen { beneficiary, prev_randao } = *self.chosen.lock();
        Header { beneficiary, mix_hash: prev_randao.unwrap_or(header.mix_hash), ..header }
    }

    /// What the builder answers to a command; the reason where it has stopped.
    pub(crate) fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T> {
        let gone = || Error::Stopped("it takes no commands any more".to_owned());
        let (answer, answered) = sync_channel(1);
        self.commands.send(command(answer)).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())
    }

    /// Whether blocks can be made: before the merge they are found by work.
    pub(crate) fn is_merged(&self) -> bool {
        rules::is_merged(self.genesis.config(), self.view.read().total_difficulty)
    }

    /// The timestamp of a block begun now on top of one at `parent`.
    pub(crate) fn next_timestamp(&self, parent: u64) -> u64 {
        let time = self.time.lock();
        let by_clock = || self.clock.unix_seconds().saturating_add_signed(time.offset);
        let by_interval = time.interval.map(|seconds| parent.saturating_add(seconds));
        time.next.or(by_interval).unwrap_or_else(by_clock).max(parent)
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
        if let Some(fork) = &self.fork {
            fork.prefetch_slots(&changes.slots())?;
        }
        let tries = self.tries.read();
        scratch.apply(&tries, &self.view.read().state, changes)
    }

    /// Tells who follows the chain that its newest block is now this one.
    pub(crate) fn went_back(&self, head: u64) {
        // Who holds this lock sees either neither of the two or both.
        let mut rewinds = self.rewinds.lock();
        rewinds.add(head);
        self.head.send_replace(head);
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
        self.node.prefetch(address)?;
        self.node.view.read().state.account_at(address, self.number)
    }

    fn slot(&self, address: Address, key: U256) -> Result<U256, StateError> {
        let fork = self.node.view.read().state.fork_of_slot(address, key).cloned();
        if let Some(fork) = fork {
            fork.read(address, Some(key))?;
        }
        self.node.view.read().state.slot_at(address, key, self.number)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.node.view.read().state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        match &self.node.fork {
            Some(fork) if number < self.node.first_block() => {
                before_fork(fork, number, self.number)
            }
            _ => block_hash(&self.node.view.read().index, number, self.number),
        }
    }
}

/// The newest state, for the builder.
impl StateRead for &View {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.state.account(address)
    }

    fn slot(&self, address: Address, key: U256) -> Result<U256, StateError> {
        self.state.slot(address, key)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        match self.state.fork() {
            Some(fork) if number < self.index.first_number() => {
                before_fork(fork, number, self.state.number())
            }
            _ => block_hash(&self.index, number, self.state.number()),
        }
    }
}

fn block_hash(index: &Index, number: u64, head: u64) -> Result<B256, StateError> {
    let hash = if is_in_window(number, head) { index.hash(number)? } else { None };
    Ok(hash.unwrap_or_default())
}

fn before_fork(fork: &Fork, number: u64, head: u64) -> Result<B256, StateError> {
    let hash = is_in_window(number, head).then(|| fork.block_hash(number)).transpose()?;
    Ok(hash.unwrap_or_default())
}

/// Whether a block on top of `head` sees the hash of block `number`.
fn is_in_window(number: u64, head: u64) -> bool {
    number <= head && number + BLOCK_HASH_WINDOW > head
}
