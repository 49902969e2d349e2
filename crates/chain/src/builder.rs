//! The one thread that makes blocks: execute, seal, sync, publish.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use alloy::consensus::Header;
use alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy::eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy::eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy::eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy::rpc::types::state::StateOverride;
use alloy_primitives::{Address, U256};
use parking_lot::RwLockWriteGuard;
use revm::context::result::InvalidTransaction;
use vouch_journal::{Journal, Position};

use crate::block::{Body, SealedBlock, seal};
use crate::chain::Mining;
use crate::edit::{self, Edit};
use crate::execute::{Executed, Execution, Refused, SignedTransaction};
use crate::index::Kept;
use crate::keeper::{self, Keeper, Last, Parts};
use crate::node::{Chosen, Node, TimeShift};
use crate::record;
use crate::replay::{Past, begin, execute};
use crate::rules::Rules;
use crate::snapshots::{Snapshots, Step};
use crate::state::{Changes, Overlay, StateRead, Tries};
use crate::{Error, Result};

/// A chain that is pruned begins a segment of its journal with a step where there is so much in the
/// one before: whole ones are removed.
const PRUNED_SEGMENT_BYTES: u64 = 16 << 20;

/// What the contracts have room for that know of earlier blocks.
const RING_SLOTS: u64 = 8191;
/// Where a queue's length, ends and fee are.
const QUEUE_SLOTS: u64 = 4;
/// Contracts that each block calls, and who gets its tips.
const SYSTEM_CONTRACTS: [Address; 5] = [
    Address::ZERO,
    HISTORY_STORAGE_ADDRESS,
    BEACON_ROOTS_ADDRESS,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
];
/// Of how many blocks those are read of a fork at once.
const BLOCKS_AHEAD: u64 = 8;
/// Between two attempts to make a block where a fork's node does not answer.
const FORK_PAUSE: Duration = Duration::from_secs(1);

/// What the builder is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A transaction has arrived.
    Work,
    /// Make a block now, empty or not, and answer with its number.
    Mine(SyncSender<Result<u64>>),
    /// Take in a block that was made elsewhere.
    Import(Box<Imported>),
    /// Change something by hand.
    Edit(Box<Edit>, SyncSender<Result<()>>),
    /// Keep the state to go back to; answer with its id.
    Snapshot(SyncSender<u64>),
    /// Go back to a kept state; false if it is not kept.
    GoBack(u64, SyncSender<bool>),
    /// Go back to the first block.
    Reset(SyncSender<()>),
    /// What was to go to the disk is there.
    Kept,
    /// Finish.
    Close,
}

/// A block that was made elsewhere, and who waits for it.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) header: Header,
    pub(crate) body: Body,
    pub(crate) answer: SyncSender<Result<()>>,
}

/// The builder's own state.
pub(crate) struct Builder {
    pub(crate) node: Arc<Node>,
    pub(crate) journal: Journal,
    pub(crate) commands: Receiver<Command>,
    /// The journal's.
    pub(crate) last: Last,
    pub(crate) keeper: Keeper,
    pub(crate) past: Past,
    pub(crate) snapshots: Snapshots,
    /// When the next block is due, and after how long the one after it.
    pub(crate) due: Option<(Instant, Duration)>,
    /// Whether the last turn was a block that was due.
    pub(crate) was_due: bool,
    /// When to try again what a fork's node did not answer.
    pub(crate) again: Cell<Option<Instant>>,
}

/// A block that is executed but not yet stored.
struct Built {
    header: Header,
    body: Body,
    executed: Executed,
    changes: Changes,
}

impl Builder {
    /// Makes blocks until told to close. After an error nothing more is made or admitted.
    pub(crate) fn run(mut self) -> Result<()> {
        let outcome = self.serve();
        if let Err(error) = &outcome {
            // Nothing is written any more once this has ended.
            drop(self.keeper.finish());
            tracing::error!(%error, "the chain has stopped");
            self.node.stop(error.to_string());
        }
        outcome
    }

    fn serve(&mut self) -> Result<()> {
        if self.keeper.is_empty() && self.journal.resumes().is_some() {
            // It was reset, and no later start could begin with its first block.
            self.keep_now()?;
        }
        // The process before may have been stopped in it.
        self.remove_pruned()?;
        // Set when what waits cannot go into the next block; new work or time may change that.
        let mut stalled = false;
        loop {
            self.keep_if_full()?;
            let Some(command) = self.next_command(stalled) else {
                stalled = match self.try_mine(self.due.is_some())? {
                    Ok(mined) => mined.is_none(),
                    Err(error) => {
                        tracing::warn!(%error, "what waits is not mined yet");
                        self.again.set(Some(Instant::now() + FORK_PAUSE));
                        true
                    }
                };
                continue;
            };
            stalled = false;
            match command {
                Command::Work => self.node.told.store(false, Ordering::Release),
                Command::Mine(answer) => {
                    tell(&answer, self.try_mine(true)?.map(Option::unwrap_or_default));
                }
                Command::Import(imported) => {
                    let Imported { header, body, answer } = *imported;
                    tell(&answer, self.import(&header, &body)?);
                }
                Command::Edit(edit, answer) => tell(&answer, self.edit(*edit)?),
                Command::Snapshot(answer) => {
                    let (next, time) = (self.node.view.read().next, *self.node.time.lock());
                    let chosen = *self.node.chosen.lock();
                    let id = self.snapshots.take(self.last.record + 1, next, time, chosen);
                    tell(&answer, id);
                }
                Command::GoBack(id, answer) => tell(&answer, self.go_back(id)?),
                Command::Reset(answer) => tell(&answer, self.reset()?),
                Command::Kept => self.keep_finished()?,
                Command::Close => return self.keep_at_last(),
            }
        }
    }

    /// Begins to move what memory holds to the disk, where that is too much.
    fn keep_if_full(&mut self) -> Result<()> {
        if self.keeper.is_running() && self.node.view.read().is_overfull() {
            // Blocks are made faster than the disk takes them: memory is bounded.
            self.keep_finished()?;
        }
        if self.keeper.is_running() || !self.node.view.read().is_full() {
            return Ok(());
        }
        if let Some(parts) = self.parts()? {
            let done = self.node.commands.clone();
            self.keeper.begin(parts, self.last, self.back_to(), done)?;
        }
        Ok(())
    }

    /// All from this record on may still be taken back.
    fn back_to(&self) -> u64 {
        self.snapshots.back_to().unwrap_or(keeper::NONE)
    }

    fn parts(&mut self) -> Result<Option<Parts>> {
        if self.past.prune_blocks.is_some() && self.journal.end().offset() > PRUNED_SEGMENT_BYTES {
            self.journal.begin_segment()?;
        }
        let step = self.node.view.write().step();
        let tries = self.node.tries.read();
        let view = self.node.view.read();
        let kept = view.index.kept().cloned();
        Ok(kept.map(|kept| Parts::of(&view, &tries, kept, step)))
    }

    /// Waits for what is on its way to the disk.
    fn keep_finished(&mut self) -> Result<()> {
        if let Some(kept) = self.keeper.finish()? {
            self.keep(kept)?;
        }
        Ok(())
    }

    /// What it says is on the disk, durably: what is older than all that is to be kept can go.
    fn keep(&mut self, kept: Kept) -> Result<()> {
        self.node.view.write().keep(kept);
        self.remove_pruned()
    }

    fn remove_pruned(&mut self) -> Result<()> {
        match self.keeper.needs(self.back_to()) {
            Some(position) => Ok(self.journal.remove_before(position)?),
            None => Ok(()),
        }
    }

    /// A start has to execute what is not on the disk.
    fn keep_at_last(&mut self) -> Result<()> {
        if let Some(fork) = &self.node.fork {
            fork.save()?;
        }
        self.keep_finished()?;
        if self.node.view.read().is_worth_keeping() {
            self.keep_now()?;
        }
        Ok(())
    }

    fn keep_now(&mut self) -> Result<()> {
        if let Some(parts) = self.parts()? {
            let kept = self.keeper.keep_now(parts, self.last, self.back_to())?;
            self.keep(kept)?;
        }
        Ok(())
    }

    /// The next command, or `None` if a block should be made. What arrives while a block is synced
    /// goes into the next one: instant mining batches under load.
    fn next_command(&mut self, stalled: bool) -> Option<Command> {
        let mining = *self.node.mining.lock();
        if let Mining::Interval(every) = mining {
            return self.next_command_within(every);
        }
        self.due = None;
        if mining == Mining::Instant
            && stalled
            && let Some(again) = self.again.take()
        {
            return self.command_until(again);
        }
        if mining == Mining::Instant && !stalled && self.node.pool.lock().has_ready() {
            return match self.commands.try_recv() {
                Ok(command) => Some(command),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Command::Close),
            };
        }
        Some(self.commands.recv().unwrap_or(Command::Close))
    }

    /// A command that comes until then, if one does.
    fn command_until(&self, time: Instant) -> Option<Command> {
        match self.commands.recv_timeout(time.saturating_duration_since(Instant::now())) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Command::Close),
        }
    }

    /// As [`Self::next_command`], where a block is due at each interval, empty or not.
    fn next_command_within(&mut self, every: Duration) -> Option<Command> {
        let now = Instant::now();
        let (due, _) = *self.due.filter(|(_, of)| *of == every).get_or_insert((now + every, every));
        self.due = Some((due, every));
        // Where blocks take longer than the interval, a command comes between two of them.
        if due > now || self.was_due {
            self.was_due = false;
            if let Some(command) = self.command_until(due) {
                return Some(command);
            }
        }
        // A block that took longer than the interval is not made up for.
        self.due = Some(((due + every).max(now), every));
        self.was_due = true;
        None
    }

    /// As [`Self::mine`]; or why not now, where a fork's node does not answer, and nothing has changed.
    fn try_mine(&mut self, may_be_empty: bool) -> Result<Result<Option<u64>>> {
        let error = match self.mine(may_be_empty) {
            Err(error @ Error::Fork(_)) => error,
            mined => return mined.map(Ok),
        };
        let (mut pool, view) = (self.node.pool.lock(), self.node.view.read());
        // Who could send is known.
        let account = |sender| view.state.account(sender).ok().flatten().unwrap_or_default();
        pool.put_back(|sender| account(sender).nonce);
        Ok(Err(error))
    }

    /// Makes a block; `None` if it would be empty and may not be.
    fn mine(&mut self, may_be_empty: bool) -> Result<Option<u64>> {
        let node = self.node.clone();
        let Some(mut built) = self.build(may_be_empty)? else { return Ok(None) };
        let number = built.header.number;
        // Held until the block is visible: proofs must never be ahead of it.
        let mut tries = node.tries.write();
        let state_root = tries.apply(number, &mut built.changes)?;
        let block = seal(built.header, built.body, built.executed, state_root);
        let position = self.store(&record::encode_block(&block))?;
        self.publish(Arc::new(block), built.changes, position, tries)?;
        Ok(Some(number))
    }

    /// Durable when it returns, with what it was made from.
    fn store(&mut self, record: &[u8]) -> Result<Position> {
        if let Some(fork) = &self.node.fork {
            fork.save()?;
        }
        let position = self.journal.append(record)?;
        self.journal.sync()?;
        self.last = Last { record: self.last.record + 1, position };
        Ok(position)
    }

    /// Takes in a block if it follows from the newest; else says why not, and nothing has changed.
    fn import(&mut self, header: &Header, body: &Body) -> Result<Result<()>> {
        let node = self.node.clone();
        let mut tries = node.tries.write();
        let executed = execute(&node.view.read(), &mut tries, header, body, &node.genesis);
        let (block, changes) = match executed {
            Ok(executed) => executed,
            Err(error) => return Ok(Err(error)),
        };
        let position = self.store(&record::encode_block(&block))?;
        self.publish(Arc::new(block), changes, position, tries)?;
        // What waits did not see these go by.
        let (mut pool, view) = (node.pool.lock(), node.view.read());
        for sender in body.transactions.iter().map(SignedTransaction::signer) {
            pool.set_nonce(sender, view.state.account(sender)?.unwrap_or_default().nonce);
        }
        Ok(Ok(()))
    }

    /// Changes something between two blocks; or says why not, and nothing has changed.
    fn edit(&mut self, edit: Edit) -> Result<Result<()>> {
        match edit {
            Edit::Accounts(accounts) => self.edit_accounts(accounts),
            Edit::Next(next) => {
                let merged = self.node.view.read().next.with(next);
                self.store(&record::encode_edit(&Edit::Next(merged))?)?;
                self.node.view.write().next = merged;
                Ok(Ok(()))
            }
            Edit::Rewind(_) => Ok(Err(Error::Edit("it is no change by hand".to_owned()))),
        }
    }

    fn edit_accounts(&mut self, accounts: StateOverride) -> Result<Result<()>> {
        let node = self.node.clone();
        let next = node.next_header();
        let mut tries = node.tries.write();
        let changes = edit::changes(&accounts, &node.view.read(), next, &node.genesis);
        let mut changes = match changes {
            Ok(changes) => changes,
            Err(error) => return Ok(Err(error)),
        };
        match self.store(&record::encode_edit(&Edit::Accounts(accounts))?) {
            Ok(_) => {}
            Err(error @ Error::Journal(vouch_journal::Error::RecordSize { .. })) => {
                return Ok(Err(Error::Edit(error.to_string())));
            }
            Err(error) => return Err(error),
        }
        let mut pool = node.pool.lock();
        let mut view = node.view.write();
        let number = view.state.number();
        self.snapshots.note(&changes, &view.state, false)?;
        tries.apply(number, &mut changes)?;
        for change in &changes.accounts {
            pool.set_nonce(change.address, change.account.unwrap_or_default().nonce);
        }
        view.state.apply(number, changes)?;
        Ok(Ok(()))
    }

    /// False if that snapshot is not kept.
    fn go_back(&mut self, id: u64) -> Result<bool> {
        let node = self.node.clone();
        let Some((snapshot, steps)) = self.snapshots.go_back(id) else { return Ok(false) };
        self.keep_finished()?;
        self.store(&record::encode_edit(&Edit::Rewind(snapshot.records))?)?;
        let (mut tries, mut pool) = (node.tries.write(), node.pool.lock());
        let mut view = node.view.write();
        for Step { mut undone, is_block } in steps {
            let number = view.state.number() - u64::from(is_block);
            tries.apply(number, &mut undone)?;
            match is_block {
                true => view.pop(undone, &node.reader)?,
                false => view.state.undo(number, undone)?,
            }
        }
        view.next = snapshot.next;
        let head = view.state.number();
        pool.clear();
        drop((view, pool, tries));
        *node.time.lock() = snapshot.time;
        *node.chosen.lock() = snapshot.chosen;
        node.went_back(head);
        if snapshot.records <= self.keeper.kept() {
            // The disk has what was taken back: the next start must not go on from there.
            self.keeper.take_back(snapshot.records);
            self.keep_now()?;
        }
        Ok(true)
    }

    fn reset(&mut self) -> Result<()> {
        let node = self.node.clone();
        self.keep_finished()?;
        self.store(&record::encode_edit(&Edit::Rewind(1))?)?;
        let first = node.first_block();
        let kept = self.past.nothing(first);
        let (view, first_tries) = begin(&node.genesis, node.fork.clone(), kept, &self.past)?;
        self.snapshots.clear();
        let (mut tries, mut pool) = (node.tries.write(), node.pool.lock());
        *node.view.write() = view;
        *tries = first_tries;
        pool.clear();
        drop((pool, tries));
        let time = Node::time_from(&node.genesis, node.clock.as_ref(), node.genesis.timestamp());
        *node.time.lock() = time;
        *node.chosen.lock() = Chosen::default();
        node.went_back(first);
        self.keeper.take_back(1);
        self.keep_now()
    }

    fn build(&self, may_be_empty: bool) -> Result<Option<Built>> {
        let node = &self.node;
        if !node.is_merged() {
            return Ok(None);
        }
        let header = node.next_header();
        let rules = Rules::of_header(node.genesis.config(), &header);
        if let Some(fork) = &node.fork {
            fork.prefetch(&SYSTEM_CONTRACTS)?;
            fork.prefetch_slots(&system_slots(&header))?;
        }
        let view = node.view.read();
        let mut overlay = Overlay::new(&*view);
        let mut execution = Execution::begin(&mut overlay, header, rules)?;
        let transactions = self.fill(&mut execution)?;
        if execution.is_empty() && !may_be_empty {
            return Ok(None);
        }
        let body = Body::of(transactions, &rules);
        let (header, executed) = execution.finish(&body)?;
        let changes = overlay.into_changes(&view.state)?;
        Ok(Some(Built { header, body, executed, changes }))
    }

    fn fill<R: StateRead>(
        &self,
        execution: &mut Execution<'_, R>,
    ) -> Result<Vec<SignedTransaction>> {
        let pool = &self.node.pool;
        let (mut included, mut postponed, mut dropped) = (Vec::new(), Vec::new(), false);
        loop {
            let Some(transaction) = pool.lock().take() else { break };
            if !execution.has_room() {
                postponed.push(transaction);
                break;
            }
            let executed = match execution.execute(&transaction) {
                Err(Error::Fork(why)) => {
                    // Others need not wait for what it needs.
                    tracing::warn!(hash = %transaction.hash(), why, "a transaction waits");
                    self.again.set(Some(Instant::now() + FORK_PAUSE));
                    postponed.push(transaction);
                    continue;
                }
                executed => executed?,
            };
            match executed {
                Ok(()) => {
                    pool.lock().executed(&transaction);
                    included.push((*transaction).clone());
                }
                Err(Refused::FeeTooLow | Refused::NoRoomForBlobs) => postponed.push(transaction),
                Err(Refused::NoRoom) => {
                    postponed.push(transaction);
                    break;
                }
                Err(Refused::Invalid(reason)) => {
                    tracing::debug!(hash = %transaction.hash(), %reason, "transaction dropped");
                    self.drop_invalid(&transaction, &reason);
                    dropped = true;
                }
            }
        }
        postponed.iter().for_each(|transaction| pool.lock().postpone(transaction));
        if dropped {
            self.node.head.send_modify(|_| {});
        }
        Ok(included)
    }

    fn drop_invalid(&self, transaction: &SignedTransaction, reason: &InvalidTransaction) {
        let mut pool = self.node.pool.lock();
        pool.reject(transaction);
        if let InvalidTransaction::NonceTooLow { state, .. }
        | InvalidTransaction::NonceTooHigh { state, .. } = reason
        {
            pool.set_nonce(transaction.signer(), *state);
        }
    }

    fn publish(
        &mut self,
        block: Arc<SealedBlock>,
        changes: Changes,
        position: Position,
        tries: RwLockWriteGuard<'_, Tries>,
    ) -> Result<()> {
        let node = self.node.clone();
        let number = block.header.number;
        tracing::debug!(number, transactions = block.transactions().len(), "block");
        self.settle_time(block.header.timestamp);
        let mut pool = node.pool.lock();
        let mut view = node.view.write();
        self.snapshots.note(&changes, &view.state, true)?;
        view.push(block.clone(), changes, position)?;
        pool.mined(block.transactions());
        drop((view, pool, tries));
        node.chosen.lock().prev_randao = None;
        node.head.send_replace(number);
        Ok(())
    }

    /// A demanded timestamp is used once; time goes on from there.
    fn settle_time(&self, timestamp: u64) {
        let mut time = self.node.time.lock();
        if time.next.take().is_some() {
            time.offset = TimeShift::from(self.node.clock.as_ref(), timestamp).offset;
        }
    }
}

/// Where a block writes before its transactions (EIP-2935, EIP-4788), it and the next few, and where
/// the queues stand that it looks at after them (EIP-7002, EIP-7251).
fn system_slots(header: &Header) -> Vec<(Address, U256)> {
    let slots =
        |address, from: u64, count| (from..from + count).map(move |at| (address, U256::from(at)));
    let rings = |address, from: u64, count| {
        (from..from + count).map(move |at| (address, U256::from(at % RING_SLOTS)))
    };
    let hashes = rings(HISTORY_STORAGE_ADDRESS, header.number - 1, BLOCKS_AHEAD);
    let times = slots(BEACON_ROOTS_ADDRESS, header.timestamp % RING_SLOTS, 1);
    let roots = slots(BEACON_ROOTS_ADDRESS, header.timestamp % RING_SLOTS + RING_SLOTS, 1);
    let withdrawals = slots(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 0, QUEUE_SLOTS);
    let consolidations = slots(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, 0, QUEUE_SLOTS);
    hashes.chain(times).chain(roots).chain(withdrawals).chain(consolidations).collect()
}

fn tell<T>(answer: &SyncSender<T>, with: T) {
    if answer.send(with).is_err() {
        tracing::debug!("nobody waits for the builder's answer any more");
    }
}

/// Starts the thread.
pub(crate) fn spawn(builder: Builder) -> Result<std::thread::JoinHandle<Result<()>>> {
    std::thread::Builder::new()
        .name("chain-builder".to_owned())
        .spawn(move || builder.run())
        .map_err(|e| Error::System { what: "a thread", reason: e.to_string() })
}
