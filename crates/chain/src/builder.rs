//! The one thread that makes blocks: execute, seal, sync, publish.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use alloy::consensus::Header;
use parking_lot::RwLockWriteGuard;
use revm::context::result::InvalidTransaction;
use vouch_journal::Journal;

use crate::block::{Body, SealedBlock, next_header, seal};
use crate::chain::Mining;
use crate::execute::{Executed, Execution, Refused, SignedTransaction};
use crate::node::Node;
use crate::record;
use crate::replay::execute;
use crate::rules::Rules;
use crate::state::{Changes, Overlay, StateRead, Tries};
use crate::{Error, Result};

/// What the builder is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A transaction has arrived.
    Work,
    /// Make a block now, empty or not, and answer with its number.
    Mine(SyncSender<u64>),
    /// Take in a block that was made elsewhere.
    Import(Box<Imported>),
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
    pub(crate) mining: Mining,
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
            tracing::error!(%error, "the chain has stopped");
            self.node.stop(error.to_string());
        }
        outcome
    }

    fn serve(&mut self) -> Result<()> {
        // Set when what waits cannot go into the next block; new work or time may change that.
        let mut stalled = false;
        loop {
            match self.next_command(stalled) {
                Some(Command::Work) => {
                    self.node.told.store(false, Ordering::Release);
                    stalled = false;
                }
                Some(Command::Mine(answer)) => {
                    let number = self.mine(true)?.unwrap_or_default();
                    stalled = false;
                    if answer.send(number).is_err() {
                        tracing::debug!(number, "nobody waits for the block any more");
                    }
                }
                Some(Command::Import(imported)) => {
                    let Imported { header, body, answer } = *imported;
                    let outcome = self.import(&header, &body)?;
                    if answer.send(outcome).is_err() {
                        tracing::debug!("nobody waits for the imported block any more");
                    }
                }
                Some(Command::Close) => return Ok(()),
                None => stalled = self.mine(false)?.is_none(),
            }
        }
    }

    /// The next command, or `None` if a block should be made. What arrives while a block is synced
    /// goes into the next one: instant mining batches under load.
    fn next_command(&self, stalled: bool) -> Option<Command> {
        let instant = matches!(self.mining, Mining::Instant);
        if instant && !stalled && self.node.pool.lock().has_ready() {
            return match self.commands.try_recv() {
                Ok(command) => Some(command),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Command::Close),
            };
        }
        Some(self.commands.recv().unwrap_or(Command::Close))
    }

    /// Makes a block; `None` if it would be empty and may not be.
    fn mine(&mut self, may_be_empty: bool) -> Result<Option<u64>> {
        let node = self.node.clone();
        let Some(mut built) = self.build(may_be_empty)? else { return Ok(None) };
        let number = built.header.number;
        // Held until the block is visible: proofs must never be ahead of it.
        let mut tries = node.tries.write();
        let state_root = tries.apply(number, &mut built.changes);
        let block = seal(built.header, built.body, built.executed, state_root);
        let position = self.journal.append(&record::encode_block(&block))?;
        self.journal.sync()?;
        self.publish(Arc::new(block), built.changes, position, tries);
        Ok(Some(number))
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
        let position = self.journal.append(&record::encode_block(&block))?;
        self.journal.sync()?;
        self.publish(Arc::new(block), changes, position, tries);
        Ok(Ok(()))
    }

    fn build(&self, may_be_empty: bool) -> Result<Option<Built>> {
        let node = &self.node;
        if !node.is_merged() {
            return Ok(None);
        }
        let head = node.head();
        let timestamp = node.next_timestamp(head.header.timestamp);
        let header = next_header(&node.genesis, &head.header, head.hash, timestamp);
        let rules = Rules::of_header(node.genesis.config(), &header);
        let view = node.view.read();
        let mut overlay = Overlay::new(&*view);
        let mut execution = Execution::begin(&mut overlay, header, rules)?;
        let transactions = self.fill(&mut execution)?;
        if execution.is_empty() && !may_be_empty {
            return Ok(None);
        }
        let body = Body::of(transactions, &rules);
        let (header, executed) = execution.finish(&body)?;
        let changes = overlay.into_changes(&view.state);
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
            match execution.execute(&transaction)? {
                Ok(()) => {
                    pool.lock().executed(&transaction);
                    included.push((*transaction).clone());
                }
                Err(Refused::FeeTooLow) => postponed.push(transaction),
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
        &self,
        block: Arc<SealedBlock>,
        changes: Changes,
        position: vouch_journal::Position,
        tries: RwLockWriteGuard<'_, Tries>,
    ) {
        let node = &self.node;
        let number = block.header.number;
        tracing::debug!(number, transactions = block.transactions().len(), "block");
        self.settle_time(block.header.timestamp);
        let mut pool = node.pool.lock();
        node.view.write().push(block.clone(), changes, position);
        pool.mined(block.transactions());
        drop((pool, tries));
        node.head.send_replace(number);
    }

    /// A demanded timestamp is used once; time goes on from there.
    fn settle_time(&self, timestamp: u64) {
        let mut time = self.node.time.lock();
        if time.next.take().is_some() {
            let offset = i128::from(timestamp) - i128::from(self.node.clock.unix_seconds());
            time.offset = i64::try_from(offset).unwrap_or_default();
        }
    }
}

/// Starts the thread.
pub(crate) fn spawn(builder: Builder) -> Result<std::thread::JoinHandle<Result<()>>> {
    std::thread::Builder::new()
        .name("chain-builder".to_owned())
        .spawn(move || builder.run())
        .map_err(|e| Error::System { what: "a thread", reason: e.to_string() })
}
