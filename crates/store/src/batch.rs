//! One commit: operations applied in order, one record, one promise.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use vouch_core::channel::{Channel, ChannelConfig, ChannelError, Mode, OnChain, SignedVoucher};
use vouch_core::log::merkle;
use vouch_core::promise::{Promise, SignedPromise};
use vouch_core::receipt::{Receipt, entry_of};
use vouch_core::signature::Signature;
use vouch_journal::Position;

use crate::api::{Acknowledged, ChannelView, Child, Claim, Observed};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hold::Hold;
use crate::log::Log;
use crate::pending::{Reply, answer_to};
use crate::record::{Item, Writer};
use crate::state::{Account, State};
use crate::tree::BatchTree;

/// What tasks send to the committer.
#[derive(Debug)]
pub(crate) enum Operation {
    Open {
        config: ChannelConfig,
        mode: Mode,
        on_chain: OnChain,
        reply: Reply<ChannelView>,
    },
    Observe {
        channel: B256,
        on_chain: OnChain,
        reply: Reply<Observed>,
    },
    Close {
        channel: B256,
        reply: Reply<ChannelView>,
    },
    Accept {
        voucher: SignedVoucher,
        reply: Reply<u128>,
    },
    Commit(Box<Commit>),
    Claim {
        claim: Claim,
        reply: Reply<()>,
    },
    Publish {
        channel: B256,
        amount: u128,
        reply: Reply<()>,
    },
    /// Changes nothing: its answer tells that all before it is durable.
    Barrier {
        reply: Reply<()>,
    },
    Checkpoint {
        previous: u64,
        size: u64,
        root: B256,
        note: String,
        reply: Reply<()>,
    },
}

#[derive(Debug)]
pub(crate) struct Commit {
    /// None for a receipt that no channel pays for.
    pub(crate) hold: Option<Hold>,
    pub(crate) receipt: Receipt,
    pub(crate) answer: Vec<u8>,
    /// Uses of data in the answer.
    pub(crate) children: Vec<Child>,
    pub(crate) reply: Reply<Acknowledged>,
}

impl Operation {
    /// About how many bytes it adds to the record.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Commit(commit) => commit
                .children
                .iter()
                .fold(commit.answer.len().saturating_add(800), |size, child| {
                    size.saturating_add(child.opening.len()).saturating_add(800)
                }),
            Self::Checkpoint { note, .. } => note.len().saturating_add(100),
            _ => 300,
        }
    }

    /// Answers with an error instead of doing it. Whatever it held is given back.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Open { reply, .. } | Self::Close { reply, .. } => answer_to(reply, Err(error)),
            Self::Observe { reply, .. } => answer_to(reply, Err(error)),
            Self::Accept { reply, .. } => answer_to(reply, Err(error)),
            Self::Commit(commit) => answer_to(commit.reply, Err(error)),
            Self::Claim { reply, .. }
            | Self::Publish { reply, .. }
            | Self::Barrier { reply }
            | Self::Checkpoint { reply, .. } => answer_to(reply, Err(error)),
        }
    }
}

/// An answer that waits for the sync: told `None`, or why there was none.
type Waiting = Box<dyn FnOnce(Option<Error>) + Send + Sync>;

pub(crate) struct NewReceipt {
    pub(crate) receipt: Receipt,
    /// The answer, or what opens a child.
    pub(crate) answer: Vec<u8>,
    /// None of a child: its parent's tells.
    reply: Option<Reply<Acknowledged>>,
    /// How many of those that follow are its children.
    pub(crate) children: usize,
    /// The call's, spent.
    pub(crate) hold: Option<Hold>,
    pub(crate) digest: B256,
    offset: u32,
}

/// A commit in the making.
pub(crate) struct Batch {
    record: Writer,
    waiting: Vec<Waiting>,
    receipts: Vec<NewReceipt>,
    pub(crate) committed_ms: u64,
    /// Size of the last stored checkpoint, this batch's included.
    pub(crate) checkpointed: u64,
    tree: BatchTree,
    promise: Option<(Promise, Signature, u32)>,
}

impl Batch {
    pub(crate) fn new(committed_ms: u64, checkpointed: u64) -> Self {
        Self {
            record: Writer::new(),
            waiting: Vec::new(),
            receipts: Vec::new(),
            committed_ms,
            checkpointed,
            tree: BatchTree::new(Vec::new()),
            promise: None,
        }
    }

    /// Applies one operation. What is refused is answered at once: it changes nothing.
    pub(crate) fn apply(
        &mut self,
        operation: Operation,
        state: &mut State,
        config: &Config,
        log_size: u64,
    ) {
        match operation {
            Operation::Open { config: channel, mode, on_chain, reply } => {
                let opened = self.open(state, config, channel, mode, on_chain);
                self.later(reply, opened);
            }
            Operation::Observe { channel, on_chain, reply } => {
                let observed = state.observe(&channel, on_chain).map(|(froze, changed, view)| {
                    if changed {
                        self.record.put(&Item::Observe { channel, on_chain });
                    }
                    Observed { froze, channel: view }
                });
                self.later(reply, observed);
            }
            Operation::Close { channel, reply } => {
                let closed = state.account_mut(&channel).map(|account| {
                    account.channel.close();
                    self.record.put(&Item::Close { channel });
                    account.view()
                });
                self.later(reply, closed);
            }
            Operation::Accept { voucher, reply } => {
                let accepted = state.accept(voucher).map(|(total, new)| {
                    if new {
                        self.record.put(&Item::Voucher(voucher));
                    }
                    total
                });
                self.later(reply, accepted);
            }
            Operation::Claim { claim, reply } => {
                let noted = state.account_mut(&claim.channel).map(|account| {
                    account.claim = Some(claim);
                    self.record.put(&Item::Claim(claim));
                });
                self.later(reply, noted);
            }
            Operation::Publish { channel, amount, reply } => {
                let noted = state.account_mut(&channel).map(|account| {
                    if account.publish(amount) {
                        self.record.put(&Item::Published { channel, amount });
                    }
                });
                self.later(reply, noted);
            }
            Operation::Barrier { reply } => self.later(reply, Ok(())),
            Operation::Checkpoint { previous, size, root, note, reply } => {
                let stored = self.checkpoint(previous, size, root, &note, log_size);
                self.later(reply, stored);
            }
            Operation::Commit(commit) => self.commit(state, *commit),
        }
    }

    /// Answers once the batch is durable; a refusal changes nothing and is told at once.
    pub(crate) fn later<T: Send + Sync + 'static>(&mut self, reply: Reply<T>, outcome: Result<T>) {
        match outcome {
            Err(error) => answer_to(reply, Err(error)),
            Ok(value) => self.waiting.push(Box::new(move |failed| {
                answer_to(reply, failed.map_or(Ok(value), Err));
            })),
        }
    }

    fn open(
        &mut self,
        state: &mut State,
        config: &Config,
        channel: ChannelConfig,
        mode: Mode,
        on_chain: OnChain,
    ) -> Result<ChannelView> {
        let new = Channel::new(channel, &config.domain, mode, on_chain);
        if let Some(known) = state.account(&new.id()) {
            let found = known.channel.mode();
            return if found == mode {
                Ok(known.view())
            } else {
                Err(ChannelError::OtherMode(found).into())
            };
        }
        self.record.put(&Item::Open { config: channel, mode, on_chain });
        let account = Account::new(new);
        let view = account.view();
        state.insert(account);
        Ok(view)
    }

    /// The compare-and-swap: a checkpoint follows the one its maker knew, and covers no more than
    /// what is durable.
    fn checkpoint(
        &mut self,
        previous: u64,
        size: u64,
        root: B256,
        note: &str,
        log_size: u64,
    ) -> Result<()> {
        if previous != self.checkpointed || size < previous || size > log_size {
            return Err(Error::Behind { have: size, seen: self.checkpointed });
        }
        self.record.put(&Item::Checkpoint { size, root, note });
        self.checkpointed = size;
        Ok(())
    }

    fn commit(&mut self, state: &mut State, commit: Commit) {
        let Commit { hold, mut receipt, answer, mut children, reply } = commit;
        let mut spent = None;
        if let Some(mut hold) = hold {
            // Taken out of the hold, whose drop would lock the state that is locked here.
            let Some(reservation) = hold.reservation.take() else { return };
            let (id, request) = (hold.channel, hold.request);
            match state.commit(&id, &request, reservation, &mut receipt, &mut children) {
                Ok(None) => {}
                Ok(Some(voucher)) => {
                    self.record.put(&Item::Voucher(voucher));
                }
                Err(error) => return answer_to(reply, Err(error)),
            }
            spent = Some(hold);
        } else if let Err(error) = state.streams.check(&receipt, &children) {
            return answer_to(reply, Err(error));
        } else {
            state.streams.count(&mut children);
        }
        let (reply, count) = (Some(reply), children.len());
        self.push(receipt, answer, reply, count, spent);
        for Child { draft, opening } in children {
            self.record.has_children();
            self.push(draft, opening, None, 0, None);
        }
    }

    fn push(
        &mut self,
        receipt: Receipt,
        answer: Vec<u8>,
        reply: Option<Reply<Acknowledged>>,
        children: usize,
        hold: Option<Hold>,
    ) {
        let (digest, offset) = (B256::ZERO, 0);
        self.receipts.push(NewReceipt { receipt, answer, reply, children, hold, digest, offset });
    }

    /// Encodes and hashes the receipts and has their promise signed: the costly part, outside of
    /// any lock.
    pub(crate) fn seal(&mut self, first: u64, not_before: B256, config: &Config) -> Result<()> {
        let mut leaves = Vec::with_capacity(self.receipts.len());
        let mut parent = B256::ZERO;
        for new in &mut self.receipts {
            if new.reply.is_none() {
                new.receipt.parent = parent;
            }
            let receipt = new.receipt.encode();
            new.digest = keccak256(receipt);
            if new.reply.is_some() {
                parent = new.digest;
            }
            new.offset = self.record.put(&Item::Receipt {
                committed_ms: self.committed_ms,
                answer_crc: crc32c::crc32c(&new.answer),
                receipt: &receipt,
                answer: &new.answer,
            });
            leaves.push(merkle::leaf_hash(&entry_of(&new.digest)));
        }
        if leaves.is_empty() {
            return Ok(());
        }
        self.tree = BatchTree::new(leaves);
        let promise = Promise {
            root: self.tree.root(),
            first,
            count: u32::try_from(self.receipts.len()).unwrap_or(u32::MAX),
            not_before,
            merge_by: (self.committed_ms / 1000).saturating_add(config.merge_delay_s.min(60)),
        };
        let signature = (config.sign_promise)(&promise)
            .map_err(|why| Error::Signer { what: "promise", why })?;
        let offset = self.record.put(&Item::Promise(promise, signature));
        self.promise = Some((promise, signature, offset));
        Ok(())
    }

    pub(crate) fn record(&self) -> Option<&[u8]> {
        (!self.record.is_empty()).then(|| self.record.bytes())
    }

    /// Takes the durable receipts into the log.
    pub(crate) fn log(&self, log: &mut Log, position: Position) {
        let Some((promise, _, offset)) = &self.promise else { return };
        let mut parent = promise.first;
        for (new, leaf) in self.receipts.iter().zip(self.tree.leaves()) {
            let place = log.size();
            log.push(new.digest, *leaf, position.part(new.offset));
            match new.reply {
                Some(_) => parent = place,
                None => log.has_child(parent),
            }
        }
        log.promised(promise.first, position.part(*offset));
    }

    /// From now on repeats of these calls get their stored answers.
    pub(crate) fn answered(&self, state: &mut State) {
        let first = self.promise.as_ref().map_or(0, |(promise, ..)| promise.first);
        for (index, new) in (first..).zip(&self.receipts) {
            if new.reply.is_none() {
                state.streams.logged(new.receipt.channel, index);
                continue;
            }
            if let Some(hold) = &new.hold {
                state.answered(hold.channel, hold.request, index, self.committed_ms);
            }
        }
    }

    /// Tells everyone who waits that it is durable.
    pub(crate) fn acknowledge(self) {
        self.waiting.into_iter().for_each(|waiting| waiting(None));
        let Some((promise, signature, _)) = self.promise else { return };
        let tree = self.tree;
        let mut receipts = (0_usize..).zip(promise.first..).zip(self.receipts);
        let promised = |((place, index), new): ((usize, u64), NewReceipt)| {
            let promise = SignedPromise { promise, signature, index, path: tree.path(place) };
            let told = Acknowledged { receipt: new.receipt, promise, children: Vec::new() };
            (told, new.reply, new.children)
        };
        while let Some((mut told, reply, children)) = receipts.next().map(promised) {
            let children = receipts.by_ref().take(children).map(promised);
            told.children = children.map(|(child, ..)| child).collect();
            if let Some(reply) = reply {
                answer_to(reply, Ok(told));
            }
        }
    }

    /// Tells everyone who waits that it failed.
    pub(crate) fn fail(self, cause: &Arc<str>) {
        self.waiting.into_iter().for_each(|waiting| waiting(Some(Error::stopped(cause))));
        let replies = self.receipts.into_iter().filter_map(|new| new.reply);
        replies.for_each(|reply| answer_to(reply, Err(Error::stopped(cause))));
    }

    /// What is to be written of the log.
    #[cfg(feature = "postgres")]
    pub(crate) fn logged(&self) -> (&[NewReceipt], Option<(&Promise, &Signature)>) {
        let promise = self.promise.as_ref().map(|(promise, signature, _)| (promise, signature));
        (&self.receipts, promise)
    }

    /// Gives the commits back, to be decided anew; all others are told that nothing was done.
    #[cfg(feature = "postgres")]
    pub(crate) fn undone(self, why: &dyn Fn() -> Error) -> Vec<Commit> {
        self.waiting.into_iter().for_each(|waiting| waiting(Some(why())));
        let mut commits = Vec::new();
        let mut receipts = self.receipts.into_iter();
        while let Some(NewReceipt { receipt, answer, reply, children, hold, .. }) = receipts.next()
        {
            let child = |new: NewReceipt| Child { draft: new.receipt, opening: new.answer };
            let children = receipts.by_ref().take(children).map(child).collect();
            let commit = |reply| Commit { hold, receipt, answer, children, reply };
            commits.extend(reply.map(commit));
        }
        commits
    }
}
