//! Check what a bundle proves, link by link, from a request to a chain.
//!
//! ```text
//!  request ─┐                       terms ── model identity
//!  response ┼─ nonce ─▶ RECEIPT ◀───┤
//!  tokens ──┘             │ digest  └── price ─▶ charge ─▶ cumulative ◀─ voucher ◀─ payer
//!                         │                                          authorization ◀┘
//!                         ▼
//!                     log entry ── path ─▶ promise root ◀─ provider
//!                         │
//!                         └─ path ─▶ checkpoint ◀─ provider (secp256k1), log (Ed25519), witnesses
//!                                        │ consistency
//!                                        ▼
//!                     anchored root ◀─ storage ◀─ account ◀─ state root ◀─ block header
//! ```
//!
//! Each arrow is a [`Link`]: proven, absent or broken, with one line that says what it proves and
//! one that says what it leaves to trust. The first broken link ends the check and names the
//! [`Verdict`].
//!
//! [`verify_tree`] does the same for receipts that belong together: an answer and the uses of data
//! in it, acts of agents and what they relied on, with the edges between them and the budgets that
//! go down them.
//!
//! Invariants:
//! - Everything in a bundle is bound: a bundle with any field altered is refused by [`read`] or has
//!   another verdict, given the [`Options`] that the trust lines ask for.
//! - The work is bounded by the size of the bundle, whatever is in it, and nothing panics.
//! - No text of a stranger is in a report unescaped.
//!
//! It does no I/O and knows no clock: that a header is on its chain, that a deposit covers a
//! voucher, that a model's files give this answer are for others to check, and the report says so.
//!
//! ```
//! use vouch_evidence::{Options, read, verify};
//!
//! // A bundle that is none is refused before anything is verified.
//! assert!(read(r#"{"version": 1}"#).is_err());
//!
//! fn exit_code(text: &str) -> u8 {
//!     let Ok(bundle) = read(text) else { return 1 };
//!     u8::from(!verify(&bundle, &Options::default()).verdict.holds())
//! }
//! # assert_eq!(exit_code("{}"), 1);
//! ```
#![deny(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "a test that overflows or misses an index fails, which is its purpose"
    )
)]

mod error;
pub mod fault;
mod json;
mod links;
mod options;
mod policy;
mod report;
mod tree;
mod trie;

pub use error::Error;
pub use json::{read, read_tree};
pub use links::anchor::storage_slot;
pub use options::{Detokenizer, KnownBlock, Options};
pub use policy::{MAX_POLICY_BYTES, Witness, WitnessPolicy};
pub use report::{Link, LinkName, Report, Status, Subject, Verdict};
pub use tree::{NodeReport, TreeReport, TreeVerdict, verify_tree};
use vouch_core::bundle::Bundle;

/// The longest bundle that [`read`] takes.
pub const MAX_BUNDLE_BYTES: usize = 32 * 1024 * 1024;

/// Checks a bundle.
#[must_use]
pub fn verify(bundle: &Bundle, options: &Options<'_>) -> Report {
    let mut links = Vec::new();
    for (name, check) in links::ALL {
        let link = links::run(name, check, bundle, options);
        let broken = link.status == Status::Broken;
        links.push(link);
        if broken {
            break;
        }
    }
    let verdict = verdict(&links);
    Report { subject: Subject::of(bundle), links, verdict }
}

fn verdict(links: &[Link]) -> Verdict {
    let with = |status| links.iter().filter(move |link| link.status == status).map(|l| l.link);
    if let Some(link) = with(Status::Broken).next() {
        return Verdict::Broken { link };
    }
    let absent: Vec<_> = with(Status::Absent).collect();
    if absent.is_empty() { Verdict::Proven } else { Verdict::Partial { absent } }
}
