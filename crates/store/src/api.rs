//! What a store does for the gateway and for settlement.

use std::fmt::Debug;

use alloy_primitives::{Address, B256};
use tokio::sync::oneshot;
use vouch_core::bundle::LogProof;
use vouch_core::channel::{ChannelConfig, Freeze, Mode, OnChain, SignedVoucher};
use vouch_core::log::Checkpoint;
use vouch_core::log::note::NoteSignature;
use vouch_core::promise::SignedPromise;
use vouch_core::receipt::Receipt;

use crate::error::Result;
use crate::hold::Hold;
use crate::pending::Pending;
use crate::state::stock_total;

/// The gateway's state.
///
/// - **Durability**: what a [`Pending`] resolves to with `Ok` is durable. Reservations never are.
///   A voucher that came with a call is durable no later than the receipt it pays for.
/// - **Consistency**: operations on one channel apply in one order. Reads of channels see what is
///   applied and about to be synced (and, once the store has stopped, what never was); reads of
///   receipts, answers and the log see only what is durable.
/// - **Concurrency**: any number of tasks. Nothing here waits for the disk but reads of receipts
///   and answers, which take one small read each.
/// - **Retries**: the caller, and only after an error that says so. After [`crate::Error::Stopped`]
///   an outcome is unknown: open again and ask by (channel, request) or sequence, never charge
///   anew.
pub trait Store: Send + Sync + Debug {
    /// Opens a channel; its first mode is its mode for good. Opening again with the same mode
    /// changes nothing and gives the channel as it is.
    fn open_channel(
        &self,
        config: ChannelConfig,
        mode: Mode,
        on_chain: OnChain,
    ) -> Pending<ChannelView>;

    /// Takes in what the chain says of a channel.
    fn observe(&self, channel: B256, on_chain: OnChain) -> Pending<Observed>;

    /// Stops new work on a channel for good; what is in flight may still commit.
    fn close_channel(&self, channel: B256) -> Pending<ChannelView>;

    /// Accepts a voucher on its own (a top-up), signature already checked; gives the accepted
    /// total.
    fn accept(&self, voucher: SignedVoucher) -> Pending<u128>;

    /// Begins a call, or finds that it was answered before.
    ///
    /// # Errors
    /// [`crate::Error::InFlight`] if the same request is running, [`crate::Error::Channel`] if the
    /// channel does not allow it, [`crate::Error::UnknownChannel`], [`crate::Error::StaleChain`].
    fn reserve(&self, call: &Call) -> Result<Begun>;

    /// Sets `amount` more aside for a call that is running.
    ///
    /// # Errors
    /// [`crate::Error::Channel`] with `VoucherNeeded` if a higher voucher is needed first.
    fn extend(&self, hold: &mut Hold, amount: u128) -> Result<()>;

    /// Ends a call: charges `draft.charge`, gives the rest of the hold back, stores receipt and
    /// answer. `draft.sequence` and `draft.cumulative` are filled in here. Dropping the [`Hold`]
    /// instead releases it uncharged.
    fn commit(&self, hold: Hold, draft: Receipt, answer: Vec<u8>) -> Pending<Acknowledged> {
        self.commit_with(hold, draft, answer, Vec::new())
    }

    /// As [`Self::commit`], with the uses of data in the answer: their receipts are in the same
    /// record and promise, and all are there or none is. `parent`, `sequence` and `cumulative` of
    /// each are filled in here, counted in the stream that `channel` names.
    ///
    /// # Errors
    /// [`crate::Error::Draft`] if a child is no data-use receipt of this provider in its owner's
    /// stream, or if together they are credited more than is charged: then nothing is charged.
    fn commit_with(
        &self,
        hold: Hold,
        draft: Receipt,
        answer: Vec<u8>,
        children: Vec<Child>,
    ) -> Pending<Acknowledged>;

    /// Logs a receipt that no channel pays for (`channel` 0).
    fn append(&self, draft: Receipt) -> Pending<Acknowledged> {
        self.append_with(draft, Vec::new(), Vec::new())
    }

    /// As [`Self::append`], with what opens the receipt and with the uses of data under it, as in
    /// [`Self::commit_with`].
    ///
    /// # Errors
    /// As [`Self::commit_with`].
    fn append_with(
        &self,
        draft: Receipt,
        opening: Vec<u8>,
        children: Vec<Child>,
    ) -> Pending<Acknowledged>;

    /// Notes that a claim was sent to the chain, for reconciliation after a restart.
    fn record_claim(&self, claim: Claim) -> Pending<()>;

    /// Notes that a claim with the voucher of this amount is about to show it to everyone. In stock
    /// mode, where a voucher alone buys, it pays for no further call.
    fn publish(&self, channel: B256, amount: u128) -> Pending<()>;

    /// Resolves once everything that [`Self::channel`] and [`Self::channels`] have shown is durable.
    /// To be awaited before anything is said to the world that rests on it: a claim above the
    /// receipts is a fault.
    fn durable(&self) -> Pending<()>;

    /// Takes the turn to send transactions of the provider's key, of which one process at a time may
    /// send any: two would give their transactions the same nonce. Waits for it.
    fn turn(&self) -> Pending<Turn> {
        Pending::ready(Ok(Turn::default()))
    }

    /// Names the newest block of the settlement chain: promises carry its hash. To be called at
    /// every poll, also when the block is the same: it tells that the view of the chain is fresh.
    fn set_recent_block(&self, hash: B256);

    /// One channel.
    fn channel(&self, channel: &B256) -> Option<ChannelView>;

    /// All channels, ordered by id: what settlement walks over.
    fn channels(&self) -> Vec<ChannelView>;

    /// What one payer owes over all its channels, for a cap on exposure.
    fn payer(&self, payer: &Address) -> PayerTotals;

    /// The stored answer of a call, for as long as the store keeps answers.
    ///
    /// # Errors
    /// Those of the disk.
    fn answer(&self, channel: &B256, request: &B256) -> Result<Option<StoredAnswer>>;

    /// A receipt by its log index.
    ///
    /// # Errors
    /// Those of the disk.
    fn receipt(&self, index: u64) -> Result<Option<Acknowledged>>;

    /// A receipt by its log index, with what was stored beside it.
    ///
    /// # Errors
    /// Those of the disk.
    fn stored(&self, index: u64) -> Result<Option<StoredAnswer>>;

    /// A receipt by its digest.
    ///
    /// # Errors
    /// Those of the disk.
    fn receipt_by_digest(&self, digest: &B256) -> Result<Option<Acknowledged>>;

    /// Up to `limit` receipts of an account stream, after place `after` (0 for all), in order, each
    /// with what was stored beside it. Empty for a stream that is not known.
    ///
    /// # Errors
    /// Those of the disk.
    fn receipts_of(&self, stream: &B256, after: u64, limit: usize) -> Result<Vec<StoredAnswer>>;

    /// A receipt by its place in its channel or account stream, from 1.
    ///
    /// # Errors
    /// Those of the disk.
    fn receipt_by_sequence(&self, channel: &B256, sequence: u64) -> Result<Option<Acknowledged>>;

    /// Entries in the log that are durable.
    fn size(&self) -> u64;

    /// Sequences, signs, stores and releases a checkpoint over everything durable. To be called
    /// about once a second. Without new entries it gives the current one again.
    fn publish_checkpoint(&self) -> Pending<Published>;

    /// Adds a witness's signature line, already checked, to the checkpoint of that text.
    fn add_cosignature(&self, text: String, line: NoteSignature) -> Pending<Published>;

    /// The newest released checkpoint.
    fn checkpoint(&self) -> Option<Published>;

    /// An entry's inclusion under the newest checkpoint; `None` before one covers it.
    ///
    /// # Errors
    /// [`crate::Error::Range`] if there is no such entry at all.
    fn proof(&self, index: u64) -> Result<Option<LogProof>>;

    /// RFC 6962 inclusion path of entry `index` in the tree of `size` entries.
    ///
    /// # Errors
    /// [`crate::Error::Range`].
    fn inclusion(&self, index: u64, size: u64) -> Result<Vec<B256>>;

    /// RFC 6962 consistency path from `old` to `new` entries; empty if `old` is 0 or `new`.
    ///
    /// # Errors
    /// [`crate::Error::Range`].
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<B256>>;

    /// Refuses if the log is behind, or differs from, what an anchor or a witness has of it.
    /// To be called before serving.
    ///
    /// # Errors
    /// [`crate::Error::Behind`], [`crate::Error::Forked`].
    fn check_extends(&self, size: u64, root: B256) -> Result<()>;

    /// A file of the log by its C2SP path: `checkpoint`, `tile/...`. `None` if there is none.
    ///
    /// # Errors
    /// Those of the tile store.
    fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>>;
}

/// The turn to send transactions: it ends when this is dropped, or the process ends.
#[derive(Debug, Default)]
pub struct Turn {
    /// Its end is noticed by whoever gave the turn.
    kept: Option<oneshot::Sender<()>>,
}

impl Turn {
    /// Whether others may have had it before.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.kept.is_some()
    }

    /// A turn, and what resolves when it has ended.
    #[cfg(feature = "postgres")]
    pub(crate) fn given() -> (Self, oneshot::Receiver<()>) {
        let (kept, ended) = oneshot::channel();
        (Self { kept: Some(kept) }, ended)
    }
}

/// A call about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The channel that pays.
    pub channel: B256,
    /// The call's commitment ([`vouch_core::commitment::request`]): a repeat has the same.
    pub request: B256,
    /// What to set aside: the maximum, or input and one quantum.
    pub amount: u128,
    /// The voucher that came with the call. In stock mode it is required; in session mode it is
    /// taken only if it is higher than the accepted one, so only then need its signature have
    /// been checked.
    pub voucher: Option<SignedVoucher>,
}

/// How a call begins.
#[derive(Debug)]
pub enum Begun {
    /// For the first time.
    New(Hold),
    /// It was answered before: give this again, charge nothing.
    Repeat(Box<StoredAnswer>),
}

/// A use of data in an answer, about to be committed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its receipt, of kind 5; `channel` is [`vouch_core::data_use::stream`] of its `payer`.
    pub draft: Receipt,
    /// Kept beside it for the data's owner: what opens it.
    pub opening: Vec<u8>,
}

/// A receipt that is durable, with the promise to log it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The receipt, sequence and cumulative filled in.
    pub receipt: Receipt,
    /// The promise; it carries the log index and the path in the batch.
    pub promise: SignedPromise,
    /// The uses of data in the answer, in the order in which they were given; they follow the
    /// receipt in the log, and have none of their own.
    pub children: Vec<Acknowledged>,
}

/// What a repeat gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// As the first time.
    pub acknowledged: Acknowledged,
    /// The bytes that were given to [`Store::commit`].
    pub answer: Vec<u8>,
}

/// A channel at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelView {
    /// Its id.
    pub id: B256,
    /// Who pays whom.
    pub config: ChannelConfig,
    /// Its mode.
    pub mode: Mode,
    /// What the chain says.
    pub on_chain: OnChain,
    /// The best voucher: what to claim with.
    pub best: Option<SignedVoucher>,
    /// Its amount.
    pub accepted: u128,
    /// Total charged.
    pub charged: u128,
    /// Set aside for calls in flight.
    pub reserved: u128,
    /// The last receipt's sequence.
    pub sequence: u64,
    /// Why it takes no more work, if so.
    pub frozen: Option<Freeze>,
    /// The last claim that was sent.
    pub claim: Option<Claim>,
    /// Amounts of vouchers that are public and would otherwise still pay for a stock call.
    pub published: Vec<u128>,
}

impl ChannelView {
    /// The total that a stock call of this maximum is to be signed for: charged total and maximum,
    /// or the least above it that is not public. `None` beyond 128 bits.
    #[must_use]
    pub fn stock_total(&self, amount: u128) -> Option<u128> {
        stock_total(self.charged, amount, &self.published)
    }
}

/// A claim that was sent to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The channel.
    pub channel: B256,
    /// The total claimed.
    pub total: u128,
    /// The transaction.
    pub transaction: B256,
}

/// What an observation of the chain changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// It froze the channel: the best voucher must be claimed at once.
    pub froze: bool,
    /// The channel now.
    pub channel: ChannelView,
}

/// Sums over one payer's channels, in atomic units (saturating; channels may differ in token).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PayerTotals {
    /// How many channels.
    pub channels: u64,
    /// Charged in all.
    pub charged: u128,
    /// Set aside for calls in flight.
    pub reserved: u128,
    /// Signed for in all.
    pub accepted: u128,
    /// Charged but not yet claimed on chain: what is at stake.
    pub unclaimed: u128,
}

/// A released checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The C2SP signed note.
    pub note: String,
}
