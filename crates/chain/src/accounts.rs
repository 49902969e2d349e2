//! Accounts that a chain for development signs for, and those that it only claims to be.

use std::sync::atomic::{AtomicBool, Ordering};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::map::AddressSet;
use alloy_primitives::{Address, Signature, U256};
use parking_lot::Mutex;

use crate::execute::SignedTransaction;

/// Most accounts that are impersonated by name.
const MAX_IMPERSONATED: usize = 10_000;

/// The accounts; see the module.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    signers: Vec<PrivateKeySigner>,
    impersonated: Mutex<AddressSet>,
    impersonates_all: AtomicBool,
    /// Held from choosing a nonce until the pool has the transaction.
    pub(crate) sending: Mutex<()>,
}

impl Accounts {
    pub(crate) fn new(signers: Vec<PrivateKeySigner>) -> Self {
        Self { signers, ..Self::default() }
    }

    /// Those that the chain has keys of, in their order, and the impersonated.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let mut all: Vec<_> = self.signers.iter().map(PrivateKeySigner::address).collect();
        let mut others: Vec<_> = self.impersonated.lock().iter().copied().collect();
        others.retain(|address| !all.contains(address));
        others.sort_unstable();
        all.extend(others);
        all
    }

    pub(crate) fn signer(&self, address: Address) -> Option<&PrivateKeySigner> {
        self.signers.iter().find(|signer| signer.address() == address)
    }

    /// The account that is meant where none is named.
    pub(crate) fn first(&self) -> Option<Address> {
        self.signers.first().map(PrivateKeySigner::address)
    }

    pub(crate) fn is_impersonated(&self, address: Address) -> bool {
        self.impersonates_all.load(Ordering::Relaxed) || self.impersonated.lock().contains(&address)
    }

    /// Whether it was taken: not where too many are.
    pub(crate) fn impersonate(&self, address: Address) -> bool {
        let mut impersonated = self.impersonated.lock();
        if impersonated.len() >= MAX_IMPERSONATED {
            return false;
        }
        impersonated.insert(address);
        true
    }

    pub(crate) fn stop_impersonating(&self, address: Address) {
        self.impersonated.lock().remove(&address);
    }

    pub(crate) fn impersonate_all(&self, all: bool) {
        self.impersonates_all.store(all, Ordering::Relaxed);
    }
}

/// What stands in for the signature of an account that is impersonated. It names the account, so
/// that no two of them make the same hash, and it is nobody's: finding a key for it is as hard as
/// finding one for an address.
pub(crate) fn stand_in(sender: Address) -> Signature {
    Signature::new(U256::from_be_slice(sender.as_slice()), U256::ONE, false)
}

/// Whether a transaction's sender never signed it. Such a sender may be a contract.
pub(crate) fn is_unsigned(transaction: &SignedTransaction) -> bool {
    *transaction.signature() == stand_in(transaction.signer())
}
