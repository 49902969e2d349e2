//! What can go wrong, and what to do about it.

use std::{io, path::PathBuf};

use vouch_core::{Address, B256};
use vouch_evidence::LinkName;
use vouch_wallet::BudgetError;

/// Why a question has no answer, or a state could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The durable state could not be read or written.
    #[error(transparent)]
    Journal(#[from] vouch_journal::Error),
    /// A durable record that does not follow from those before it.
    #[error("the buyer's journal does not make sense: {0}; keep the directory and report this")]
    State(String),
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Nothing more is signed.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The provider wants more signed for than the calls in flight can cost, or more than is covered.
    #[error("no voucher is signed: {0}")]
    Voucher(String),
    /// The wallet's balance does not cover a deposit.
    #[error(
        "the wallet {address} has {have} and a deposit needs {need} atomic units: send it funds"
    )]
    Funds {
        /// The wallet.
        address: Address,
        /// What it has.
        have: u128,
        /// What is needed.
        need: u128,
    },
    /// A request that no provider would take.
    #[error("{0}")]
    Request(#[from] vouch_wire::Error),
    /// No provider sells the model, at a price and with a record that is acceptable.
    #[error("no provider sells {model:.80?}: {why}; GET /v1/models lists what is on sale")]
    NoModel {
        /// The model that was asked for.
        model: String,
        /// Why those that were tried do not.
        why: String,
    },
    /// What the provider offers is not what the policy allows.
    #[error("the provider at {url} is not dealt with: {why}")]
    Policy {
        /// Its address.
        url: String,
        /// What does not fit, and what to do.
        why: String,
    },
    /// The provider cannot be reached, or the connection broke.
    #[error("the provider at {url} did not answer ({why}): check its address or try again")]
    Unreachable {
        /// Its address.
        url: String,
        /// What happened.
        why: String,
    },
    /// The provider answered with an error before it began.
    #[error("the provider refused ({status} {code}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its stable code, made safe to print.
        code: String,
        /// Its sentence, made safe to print.
        message: String,
    },
    /// The provider's answer does not follow the protocol.
    #[error("the provider at {url} does not follow the protocol: {why}")]
    Protocol {
        /// Its address.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The terms are no longer those that were accepted.
    #[error(
        "the provider at {url} has changed its terms since they were accepted: ask again to accept \
         the new ones, which GET /v1/models shows"
    )]
    TermsChanged {
        /// Its address.
        url: String,
    },
    /// A check failed. The provider gets nothing more.
    #[error(
        "the provider {provider} broke its word: {what}; it is not dealt with any more{}",
        kept(evidence)
    )]
    Misconduct {
        /// Who.
        provider: Address,
        /// What was found.
        what: Misconduct,
        /// Where the evidence is kept.
        evidence: Option<PathBuf>,
    },
    /// The provider broke its word before.
    #[error("the provider {provider} is not dealt with any more: {why}")]
    Distrusted {
        /// Who.
        provider: Address,
        /// What was found then.
        why: String,
    },
    /// The outcome of a call is not known. It is kept, and asked for again with the same nonce.
    #[error(
        "the outcome of call {nonce} is unknown ({why}): it is kept and its receipt asked for \
         again; it is never paid twice"
    )]
    Unknown {
        /// The call's nonce.
        nonce: B256,
        /// What happened last.
        why: String,
    },
    /// A chain did not answer.
    #[error("the chain did not answer {what}: {why}; check the JSON-RPC address")]
    Chain {
        /// What was asked.
        what: &'static str,
        /// The transport's or the node's answer.
        why: String,
    },
    /// There is no such thing here.
    #[error("there is no {what} {id} here")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its id.
        id: B256,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
}

/// How a provider broke its word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misconduct {
    /// The answer's evidence is broken.
    #[error("{link}: {finding}")]
    Evidence {
        /// The link.
        link: LinkName,
        /// What contradicts what.
        finding: String,
    },
    /// The acknowledgement is of another call.
    #[error("the acknowledgement is of another call")]
    OtherCall,
    /// Two receipts have one place in the channel.
    #[error("two receipts have sequence {sequence} of one channel")]
    SequenceReused {
        /// The place.
        sequence: u64,
    },
    /// Two receipts were promised one place in the log.
    #[error("two receipts were promised index {index} of the log")]
    IndexReused {
        /// The place.
        index: u64,
    },
    /// The channel's total does not follow from its receipts.
    #[error("the channel's total of {cumulative} does not follow from its receipts: {why}")]
    Total {
        /// What the receipt says.
        cumulative: u128,
        /// What it contradicts.
        why: &'static str,
    },
    /// A receipt from before its question or from the future: at another time than it is made, a
    /// provider may not answer for it.
    #[error("the receipt is dated at Unix time {time}, its call was made from {from} to {to}")]
    Dated {
        /// What the receipt says, in Unix seconds.
        time: u64,
        /// When the call was signed.
        from: u64,
        /// When the receipt came.
        to: u64,
    },
    /// The stored answer is not the one that was streamed.
    #[error("the receipted answer is not the one that was streamed")]
    AnswerChanged,
    /// Two checkpoints of one size have two roots.
    #[error("the log has two roots at size {size}")]
    SplitLog {
        /// The size.
        size: u64,
    },
    /// The log is not a continuation of the log that was seen before.
    #[error("the log rewrote its history between sizes {old} and {new}")]
    HistoryRewritten {
        /// The smaller size.
        old: u64,
        /// The larger.
        new: u64,
    },
    /// A checkpoint without both of the log's signatures.
    #[error("the log's checkpoint is not signed as it must be: {0}")]
    Checkpoint(String),
    /// More was claimed on the chain than the receipts say.
    #[error("it claimed {claimed} on the chain and has receipts for {receipted}")]
    Claimed {
        /// The total that was claimed.
        claimed: u128,
        /// The total of the receipts.
        receipted: u128,
    },
    /// A receipt did not come into the log in time.
    #[error("the receipt promised for log index {index} is not in the log after its time")]
    PromiseBroken {
        /// The place.
        index: u64,
    },
}

fn kept(evidence: &Option<PathBuf>) -> String {
    evidence
        .as_ref()
        .map(|path| format!("; the evidence is {}", path.display()))
        .unwrap_or_default()
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn protocol(url: &str, why: impl std::fmt::Display) -> Self {
        Self::Protocol { url: url.to_owned(), why: printable(&why.to_string()) }
    }

    /// Stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Budget(_) => "budget_exceeded",
            Self::Voucher(_) => "voucher_refused",
            Self::Funds { .. } => "insufficient_funds",
            Self::Request(_) => "invalid_request",
            Self::NoModel { .. } => "model_not_found",
            Self::Policy { .. } => "policy",
            Self::Unreachable { .. } => "provider_unreachable",
            Self::Refused { .. } => "provider_refused",
            Self::Protocol { .. } => "provider_protocol",
            Self::TermsChanged { .. } => "terms_changed",
            Self::Misconduct { .. } => "provider_misconduct",
            Self::Distrusted { .. } => "provider_distrusted",
            Self::Unknown { .. } => "outcome_unknown",
            Self::Chain { .. } => "chain_unreachable",
            Self::NotFound { .. } => "not_found",
            Self::Journal(_) | Self::State(_) | Self::Io { .. } | Self::Random(_) => "internal",
        }
    }
}

/// A stranger's text: one short line without control characters.
pub(crate) fn printable(text: &str) -> String {
    const SHOWN: usize = 300;
    let mut shown: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}
