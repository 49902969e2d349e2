//! What must hold, judged from outside.
//!
//! Written from `docs/PROTOCOL.md`, the design and the contracts' documentation. It sees what a
//! third party could see: the chain, the wire, the logs' public files, and when a gateway asks a
//! node about the chain. It knows nothing of store or channel machine, and uses none of their code:
//! hashes and signatures are in [`primitives`].

mod log;
mod money;
pub(crate) mod primitives;
mod receipt;

use std::{collections::BTreeMap, fmt};

use alloy_primitives::B256;
use vouch_store::{Acknowledged, Store};

use crate::{
    chain::{Block, Call, Chain},
    message::{Payment, Said},
    parties::{DOMAIN, GATEWAYS, parties},
};
use log::LogBook;
use money::Book;

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// A receipt that was acknowledged is in the log at its index, and given again when asked for.
    AcknowledgedIsKept,
    /// A request is charged once.
    ChargedOnce,
    /// Sequences have no gaps, and cumulatives are their charges' sums.
    SequencesAddUp,
    /// A charge follows from the quote, and is no more than the payer allowed for it.
    ChargeByTerms,
    /// What is served and charged on a channel is no more than its payer signed for.
    WithinSigned,
    /// What is served and charged is no more than the chain covered when the provider last looked,
    /// and what then ran.
    WithinDeposit,
    /// A provider claims no more than its receipts.
    ClaimedByReceipts,
    /// A claim is no more than deposits less withdrawals, and no money comes from nowhere.
    MoneyIsConserved,
    /// A log has one history: it only grows, and one index is promised once.
    OneHistory,
    /// A promise and a checkpoint are signed, and lead to what they say.
    ProofsHold,
    /// A promise is merged by its time.
    MergedInTime,
    /// What was charged is claimed before a withdrawal can take it.
    ClaimedInTime,
    /// A channel that the chain covers again takes calls again.
    OpensAgain,
    /// A log behind its anchor or its witness does not go on.
    OlderCopyRefused,
    /// An assertion in the product itself.
    OwnAssertion,
}

/// A broken invariant.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// The judge's own result.
pub type Judged = Result<(), Violation>;

/// Fails with `what` unless it holds.
pub(crate) fn ensure(holds: bool, invariant: Invariant, what: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}

/// The judge.
#[derive(Debug)]
pub struct Oracle {
    books: BTreeMap<B256, Book>,
    /// From a call to the channel that pays for it.
    calls: BTreeMap<B256, B256>,
    logs: Vec<LogBook>,
    domain: B256,
    /// Answers that were checked.
    pub receipts: u64,
    /// Checkpoints that were checked.
    pub checkpoints: u64,
    /// Claims that were checked.
    pub claims: u64,
}

impl Default for Oracle {
    fn default() -> Self {
        Self {
            books: BTreeMap::new(),
            calls: BTreeMap::new(),
            logs: (0..GATEWAYS).map(LogBook::new).collect(),
            domain: primitives::separator("Vouch", DOMAIN.chain, DOMAIN.settlement),
            receipts: 0,
            checkpoints: 0,
            claims: 0,
        }
    }
}

impl Oracle {
    fn book(&mut self, channel: B256) -> &mut Book {
        self.books.entry(channel).or_default()
    }

    /// A payer signs a voucher that holds here.
    pub fn signed(&mut self, channel: B256, amount: u128) {
        let book = self.book(channel);
        book.signed = book.signed.max(amount);
    }

    /// A payer sends a payment for the first time.
    pub fn paying(&mut self, gateway: usize, payment: &Payment) {
        self.calls.insert(payment.call, payment.channel.id);
        self.book(payment.channel.id).paying(gateway, payment);
    }

    /// A payer asks for its channel to be closed, which is for good.
    pub fn closing(&mut self, channel: B256) {
        self.book(channel).closing = true;
    }

    /// A gateway says something about a call.
    ///
    /// # Errors
    /// What it broke.
    pub fn said(&mut self, gateway: usize, call: B256, said: &Said) -> Judged {
        let Some(channel) = self.calls.get(&call).copied() else { return Ok(()) };
        if let Said::Answer(acknowledged) = said {
            self.answer(gateway, channel, call, acknowledged)?;
        } else {
            self.book(channel).said(&call, said);
        }
        self.book(channel).judge(&channel)
    }

    fn answer(
        &mut self,
        gateway: usize,
        channel: B256,
        call: B256,
        acknowledged: &Acknowledged,
    ) -> Judged {
        self.receipts += 1;
        let (receipt, promised) = (&acknowledged.receipt, &acknowledged.promise);
        ensure(
            receipt.channel == channel
                && receipt.provider == parties().providers[gateway].party.address,
            Invariant::ProofsHold,
            || format!("the answer to call {call} is for another channel or provider"),
        )?;
        let digest = receipt::digest(receipt);
        self.logs[gateway].promised(self.domain, digest, promised)?;
        self.book(channel).answered(&call, digest, receipt)
    }

    /// A gateway's process ends: connections close.
    pub fn crashed(&mut self, gateway: usize) {
        let of = self.books.values_mut().filter(|book| book.gateway == Some(gateway));
        of.for_each(Book::crashed);
    }

    /// A gateway has read the chain: one channel or, with what its public state then says, all it
    /// knows.
    ///
    /// # Errors
    /// What it broke.
    pub fn looked(
        &mut self,
        gateway: usize,
        channel: Option<B256>,
        store: Option<&dyn Store>,
        chain: &Chain,
    ) -> Judged {
        for (id, book) in &mut self.books {
            if book.gateway == Some(gateway) && channel.is_none_or(|channel| channel == *id) {
                book.looked(id, chain, channel.is_none());
                store.map_or(Ok(()), |store| book.opens_again(id, store, chain))?;
            }
        }
        Ok(())
    }

    /// The chain was reorganised: what was seen mined may be gone.
    pub fn reorganised(&mut self) {
        self.books.values_mut().for_each(Book::reorganised);
    }

    /// Judges a new block.
    ///
    /// # Errors
    /// What it broke.
    pub fn block(&mut self, block: &Block, parent: &Block) -> Judged {
        money::conserved(&block.state)?;
        for transaction in &block.transactions {
            match &transaction.call {
                Call::Claim { channel, total, .. } => {
                    self.claims += 1;
                    self.book(channel.id).claimed(&channel.id, *total)?;
                }
                Call::Withdraw { channel } => {
                    let before = parent.state.channels.get(&channel.id).copied();
                    let after = block.state.channels.get(&channel.id).copied();
                    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
                    self.book(channel.id).withdrawn(&channel.id, &before, &after)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Judges what a gateway's public log says; its checkpoint was begun at `begun_s`, or at an
    /// unknown time (0).
    ///
    /// # Errors
    /// What it broke.
    pub fn log(&mut self, gateway: usize, store: &dyn Store, begun_s: u64) -> Judged {
        if self.logs[gateway].read(store, begun_s)? {
            self.checkpoints += 1;
        }
        Ok(())
    }

    /// Judges at the end, when nothing is under way: what gateways and chain have must add up.
    ///
    /// # Errors
    /// What it broke.
    pub fn end(&mut self, stores: &[(usize, &dyn Store)], chain: &Chain) -> Judged {
        let state = &chain.newest().state;
        money::accounts_add_up(chain, state)?;
        for (gateway, store) in stores {
            self.logs[*gateway].all_kept(*store)?;
            let of = self.books.iter().filter(|(_, book)| book.gateway == Some(*gateway));
            for (id, book) in of {
                let claimed = state.channels.get(id).map_or(0, |held| held.claimed);
                let shown = book.shown(id, *store, claimed)?;
                for (digest, index) in shown {
                    self.logs[*gateway].holds(index, digest)?;
                }
            }
        }
        Ok(())
    }
}
