use std::fmt;

use serde::Serialize;
use vouch_core::{Address, B256, bundle::Bundle};

/// The links from a request to a chain, in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkName {
    /// The receipt is well formed and about the expected parties.
    Receipt,
    /// The request is the one that was received.
    Request,
    /// The response is the one that was given, and agrees with the receipt.
    Response,
    /// The token ids are those that were counted.
    Tokens,
    /// The model is the one that was quoted.
    Model,
    /// The charge follows from the quote.
    Price,
    /// The payer signed for the channel's total.
    Voucher,
    /// The payer asked for this call at this price.
    Authorization,
    /// The provider promised to log the receipt.
    Promise,
    /// The receipt is in the log.
    Inclusion,
    /// The log's state is signed.
    Checkpoint,
    /// Others saw the same state.
    Witnesses,
    /// The log's state is in a chain's state.
    Anchor,
    /// A tree's receipts are those that its edges name.
    Tree,
    /// Each source of an answer has its receipt.
    Sources,
    /// Data was used under the grant that its receipt names.
    Grant,
    /// What the data's owner is credited follows from grant and charge.
    Credit,
    /// The agent meant to do this.
    Intent,
    /// This became of it.
    Outcome,
    /// All that descends from an act stays within what it delegated.
    Budget,
    /// The model was to be trained on this.
    Manifest,
    /// This came of it, and each set's part of the pot follows.
    Shares,
}

impl LinkName {
    /// The name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Request => "request",
            Self::Response => "response",
            Self::Tokens => "tokens",
            Self::Model => "model",
            Self::Price => "price",
            Self::Voucher => "voucher",
            Self::Authorization => "authorization",
            Self::Promise => "promise",
            Self::Inclusion => "inclusion",
            Self::Checkpoint => "checkpoint",
            Self::Witnesses => "witnesses",
            Self::Anchor => "anchor",
            Self::Tree => "tree",
            Self::Sources => "sources",
            Self::Grant => "grant",
            Self::Credit => "credit",
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Budget => "budget",
            Self::Manifest => "manifest",
            Self::Shares => "shares",
        }
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The evidence is there and holds.
    Proven,
    /// There is no evidence.
    Absent,
    /// The evidence contradicts itself, or what was required is absent.
    Broken,
}

/// One link, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Which.
    pub link: LinkName,
    /// What became of it.
    pub status: Status,
    /// One line: what it proves, what is absent, or what contradicts what.
    pub finding: String,
    /// One line: what it leaves to trust; empty if nothing, or if it is broken.
    pub trust: String,
}

/// What the evidence is worth as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every link is proven.
    Proven,
    /// Every link that is there is proven.
    Partial {
        /// Those that are not there.
        absent: Vec<LinkName>,
    },
    /// A link is broken: the bundle proves nothing.
    Broken {
        /// The first broken one; none after it was checked.
        link: LinkName,
    },
}

impl Verdict {
    /// Whether nothing is broken.
    #[must_use]
    pub fn holds(&self) -> bool {
        !matches!(self, Self::Broken { .. })
    }
}

/// What a bundle claims to be about. Proven only as far as the report's links are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The receipt's digest.
    pub receipt: B256,
    /// Who answered.
    pub provider: Address,
    /// Who paid.
    pub payer: Address,
    /// The model's name at the provider, made safe to print.
    pub model: String,
    /// What was charged, in atomic units of `asset`, in decimal.
    pub charge: String,
    /// The token that paid.
    pub asset: Address,
    /// The provider's clock, Unix milliseconds.
    pub time_ms: u64,
}

impl Subject {
    pub(crate) fn of(bundle: &Bundle) -> Self {
        let receipt = &bundle.receipt;
        Self {
            receipt: receipt.digest(),
            provider: receipt.provider,
            payer: receipt.payer,
            model: printable(&bundle.terms.model),
            charge: receipt.charge.to_string(),
            asset: receipt.asset,
            time_ms: receipt.time,
        }
    }
}

/// The verifier's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the bundle claims to be about.
    pub subject: Subject,
    /// The links in order, up to the first broken one.
    pub links: Vec<Link>,
    /// What it all is worth.
    pub verdict: Verdict,
}

impl Report {
    /// A link by name; `None` if an earlier one was broken.
    #[must_use]
    pub fn link(&self, name: LinkName) -> Option<&Link> {
        self.links.iter().find(|link| link.link == name)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.status {
            Status::Proven => "ok    ",
            Status::Absent => "absent",
            Status::Broken => "BROKEN",
        };
        write!(f, "{mark} {:<13} {}", self.link, self.finding)?;
        if self.trust.is_empty() { Ok(()) } else { write!(f, "\n{:21}trusts: {}", "", self.trust) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven => f.write_str("verified: every link is proven"),
            Self::Partial { absent } => {
                let absent: Vec<_> = absent.iter().map(|link| link.as_str()).collect();
                write!(f, "verified as far as it goes; absent: {}", absent.join(", "))
            }
            Self::Broken { link } => write!(f, "NOT verified: the link \"{link}\" is broken"),
        }
    }
}

impl fmt::Display for Report {
    /// Lines for a terminal; no stranger's text is in them unescaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject { receipt, provider, payer, model, charge, .. } = &self.subject;
        writeln!(
            f,
            "receipt {receipt}\n{provider} answered {payer} with {model} for {charge} atomic units"
        )?;
        self.links.iter().try_for_each(|link| writeln!(f, "{link}"))?;
        write!(f, "{}", self.verdict)
    }
}

/// A stranger's text, shortened, with everything but plain printable ASCII escaped.
pub(crate) fn printable(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}
