//! The checks, one function a link.

use vouch_core::{Error, bundle::Bundle};

use crate::{Link, LinkName, Options, Status};

pub(crate) mod anchor;
pub(crate) mod answer;
mod embeddings;
pub(crate) mod log;
mod payment;
mod tokens;

/// A check's outcome: what it found and what it leaves to trust, or why it is broken.
pub(crate) type Outcome = Result<Finding, Broken>;
type Check = fn(&Bundle, &Options<'_>) -> Outcome;

/// Why a link is broken, in one line.
pub(crate) struct Broken(String);

impl From<String> for Broken {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<&str> for Broken {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// A link that is not broken.
pub(crate) struct Finding {
    status: Status,
    finding: String,
    trust: String,
}

/// The evidence holds.
pub(crate) fn proven(finding: impl Into<String>, trust: impl Into<String>) -> Outcome {
    Ok(Finding { status: Status::Proven, finding: finding.into(), trust: trust.into() })
}

/// There is no evidence.
pub(crate) fn absent(finding: impl Into<String>, trust: impl Into<String>) -> Outcome {
    Ok(Finding { status: Status::Absent, finding: finding.into(), trust: trust.into() })
}

/// `why`, unless it holds.
pub(crate) fn ensure(holds: bool, why: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(why.into()) }
}

/// Every check, in order.
pub(crate) const ALL: [(LinkName, Check); 13] = [
    (LinkName::Receipt, answer::receipt),
    (LinkName::Request, answer::request),
    (LinkName::Response, answer::response),
    (LinkName::Tokens, tokens::tokens),
    (LinkName::Model, answer::model),
    (LinkName::Price, payment::price),
    (LinkName::Voucher, payment::voucher),
    (LinkName::Authorization, payment::authorization),
    (LinkName::Promise, log::promise),
    (LinkName::Inclusion, log::inclusion),
    (LinkName::Checkpoint, log::checkpoint),
    (LinkName::Witnesses, log::witnesses),
    (LinkName::Anchor, anchor::anchor),
];

/// Runs one check; what is required and absent is broken.
pub(crate) fn run(name: LinkName, check: Check, bundle: &Bundle, options: &Options<'_>) -> Link {
    conclude(name, check(bundle, options), options)
}

/// A check's link; what is required and absent is broken.
pub(crate) fn conclude(name: LinkName, outcome: Outcome, options: &Options<'_>) -> Link {
    let (status, finding, trust) = match outcome {
        Ok(Finding { status: Status::Absent, finding, .. }) if options.require.contains(&name) => {
            (Status::Broken, format!("{finding}, but it is required"), String::new())
        }
        Ok(Finding { status, finding, trust }) => (status, finding, trust),
        Err(Broken(why)) => (Status::Broken, why, String::new()),
    };
    Link { link: name, status, finding, trust }
}
