//! Keep keys in encrypted files, and keep what they sign within a budget.
//!
//! ```text
//!   wallet.json ──passphrase──▶ Wallet (secp256k1)  ──digest──▶ Signature
//!   log.json    ──passphrase──▶ LogKey (Ed25519)    ──note────▶ signature line
//!
//!   Budget: spent + ahead <= total       (ahead: signed for, not yet charged)
//! ```
//!
//! Files are Web3 Secret Storage version 3, as geth, `cast` and every wallet read them: scrypt with
//! N = 2^13, r = 8, p = 1 (8 MiB, some 20 ms, so that a command starts at once), AES-128-CTR and a
//! keccak-256 MAC. That is 32 times cheaper to guess than geth's N = 2^18: choose a passphrase that
//! stands on its own. An empty passphrase is possible, for development: then whoever reads the file
//! has the key, and only its mode, 0600, protects it.
//!
//! ```
//! use vouch_wallet::Wallet;
//! # let dir = tempfile::tempdir()?;
//! let wallet = Wallet::open_or_create(dir.path(), "correct horse battery staple")?;
//! let digest = alloy_primitives::keccak256("an EIP-712 digest");
//! assert_eq!(wallet.sign(digest).recover(digest)?, wallet.address());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//! - A key file is never written over, is whole or absent, and is readable by its owner alone.
//! - Secrets are erased from memory when their holder is dropped, and no `Debug` prints them.
//! - [`Budget`] never lets `spent + ahead` pass the total, and all its arithmetic is checked.
//!
//! # What it does not do
//! It does not know what a digest says: whoever asks for a signature has decoded and checked it. It
//! does not talk to a chain, and it does not make the budget durable: the buyer's journal does.

mod budget;
mod error;
mod keystore;
mod log_key;
mod wallet;

pub use budget::{Budget, BudgetError};
pub use error::Error;
pub use log_key::LogKey;
pub use wallet::Wallet;
