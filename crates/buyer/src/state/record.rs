//! What is durable, one record a fact. JSON, so that a journal can be read without this program.

use serde::{Deserialize, Serialize};
use vouch_core::{
    Address, B256,
    bundle::Authorization,
    channel::{ChannelConfig, SignedVoucher},
    domain::Domain,
    signature::Signature,
    terms::Terms,
};
use vouch_wire::{vouch::ProviderDocument, x402::Offer};

/// The version of these records.
pub(crate) const FORMAT: u32 = 1;

/// One fact. Facts are appended and synced before anything that they allow leaves the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// The journal's first record.
    Format(u32),
    /// Who answers at an address; it may not become another.
    Provider { url: String, document: Box<ProviderDocument> },
    /// A channel that may be paid into.
    Channel(Box<Opened>),
    /// A deposit that was signed: it may settle at any time until it expires.
    Deposit(Deposit),
    /// A deposit that settled, or never will.
    DepositEnded { channel: B256, settled: bool },
    /// A voucher that was signed.
    Voucher(SignedVoucher),
    /// A call that may have been started.
    Call(Box<Call>),
    /// The bundle of the receipt whose record is next, as its file was first written. The file is a
    /// view of this until the receipt is logged: then it has more, and is durable by itself.
    Bundle { digest: B256, text: String },
    /// A call's receipt. Its bundle is in the record before; in a file alone where that is older
    /// than such records, or the bundle is very large.
    Received(Box<Entry>),
    /// A call that the provider did not start.
    Abandoned { nonce: B256 },
    /// The newest checkpoint of a provider, a verified note.
    Checkpoint { provider: Address, note: String },
    /// A provider that broke its word.
    Distrusted { provider: Address, why: String },
    /// A receipt whose inclusion was verified.
    Logged { digest: B256 },
    /// A channel that is being closed: nothing more is signed for it.
    Closing { channel: B256 },
    /// A channel that was settled: the provider has claimed so much in all, and can claim no more.
    Closed { channel: B256, claimed: u128 },
}

/// A channel and what it was opened under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) url: String,
    /// Whose receipts the channel pays for; the channel's receiver where records do not say.
    #[serde(default)]
    pub(crate) provider: Option<Address>,
    pub(crate) config: ChannelConfig,
    pub(crate) domain: Domain,
    /// Echoed in every payment.
    pub(crate) offer: Offer,
}

impl Opened {
    pub(crate) fn provider(&self) -> Address {
        self.provider.unwrap_or(self.config.receiver)
    }
}

/// An EIP-3009 authorization to the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deposit {
    pub(crate) channel: B256,
    pub(crate) amount: u128,
    pub(crate) salt: B256,
    /// Unix seconds.
    pub(crate) valid_before: u64,
    pub(crate) signature: Signature,
}

/// A call in flight: all that is needed to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) nonce: B256,
    pub(crate) url: String,
    pub(crate) provider: Address,
    pub(crate) chat: bool,
    /// Whether it is for vectors; then `chat` is false. Absent in older records.
    #[serde(default)]
    pub(crate) embeddings: bool,
    pub(crate) body: String,
    pub(crate) stream: bool,
    pub(crate) terms: vouch_core::terms::Terms,
    pub(crate) authorization: Authorization,
    /// When it was signed, in Unix seconds; 0 in older records, which did not say.
    #[serde(default)]
    pub(crate) signed_at: u64,
    /// What the provider may be signed for this call just now; `max_charge` at most. Not durable:
    /// after a restart the whole is allowed, because the provider may have got that far.
    #[serde(skip)]
    pub(crate) allowance: Option<u128>,
}

/// A receipt in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) nonce: B256,
    pub(crate) digest: B256,
    pub(crate) channel: B256,
    pub(crate) provider: Address,
    pub(crate) url: String,
    pub(crate) model: String,
    pub(crate) sequence: u64,
    pub(crate) index: u64,
    /// What is counted: the receipt's charge, at most what was signed for.
    pub(crate) charge: u128,
    pub(crate) cumulative: u128,
    /// Unix seconds.
    pub(crate) merge_by: u64,
    /// Unix milliseconds, the provider's clock.
    pub(crate) time: u64,
    /// What was found wrong, if anything.
    pub(crate) misconduct: Option<String>,
}

/// A template adds this many tokens at most to what a body's bytes make (a token is at least one
/// byte). Only a bound on what is signed: the charge is recomputed from the ids.
const TEMPLATE_TOKENS: u64 = 512;

/// The most input tokens that a body can make under these terms, whatever its provider counts. A
/// sourced answer reads what its provider put before the question, too.
pub(crate) fn most_input(body: &str, terms: &Terms) -> u64 {
    let quoted = terms.sources.map_or(0, |sources| sources.max_bytes);
    let body = u64::try_from(body.len()).unwrap_or(u64::MAX);
    body.saturating_add(TEMPLATE_TOKENS).saturating_add(quoted.into())
}

impl Call {
    pub(crate) fn endpoint(&self) -> vouch_wire::openai::Endpoint {
        use vouch_wire::openai::Endpoint;
        match (self.embeddings, self.chat) {
            (true, _) => Endpoint::Embeddings,
            (false, true) => Endpoint::Chat,
            (false, false) => Endpoint::Completions,
        }
    }

    pub(crate) fn max_charge(&self) -> u128 {
        self.authorization.request.max_charge
    }

    pub(crate) fn channel(&self) -> B256 {
        self.authorization.request.channel
    }

    /// What the provider may be signed for this call.
    pub(crate) fn allowance(&self) -> u128 {
        self.allowance.unwrap_or(u128::MAX).min(self.max_charge())
    }
}
