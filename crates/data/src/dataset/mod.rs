//! From a directory to a dataset: documents, passages, a root, a card, sealed at rest.
//!
//! ```text
//!  DIR ──read──▶ Documents ──leaves──▶ root ──▶ id = keccak256(abi.encode(owner, root))
//!                   │                             │
//!                   │ passages (~120 words)       ▼
//!                   │                    seal: one message a document, place = id || index
//!                   ▼                             │
//!              index, citations             documents.sealed + card.json + key.json
//! ```
//!
//! A leaf hides what it binds: it is salted with a secret of its own, so that a short or personal
//! document cannot be guessed from the root on the chain or from another document's proof.

mod archive;
mod card;
mod document;
mod library;
mod passage;
mod read;
mod text;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
pub use archive::{Archive, Listed};
pub use card::{Card, Facts, card_hash};
pub use document::{Document, MediaType, check_path, content_hash, document_leaf, verify_document};
pub use library::{Library, Published};
pub use passage::{Passage, WORDS, passages};
pub use read::{Limits, Reading, Skipped, read};

/// The dataset's id on every chain: `keccak256(abi.encode(owner, root))`. The owner is in it so that
/// no one can publish another's root first.
#[must_use]
pub fn dataset_id(owner: Address, root: B256) -> B256 {
    keccak256((owner, root).abi_encode())
}
