//! EIP-712 domains: where a signature counts, and nowhere else.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use serde::{Deserialize, Serialize};

/// A settlement contract on a chain. Receipts, vouchers, requests and promises belong to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Domain {
    /// EIP-155 chain id.
    pub chain: u64,
    /// The settlement contract.
    pub settlement: Address,
}

impl Domain {
    /// The CAIP-2 name of the chain, as x402 writes it.
    #[must_use]
    pub fn network(&self) -> String {
        format!("eip155:{}", self.chain)
    }

    /// The x402 `batch-settlement` domain: channel ids and vouchers.
    pub(crate) fn x402(&self) -> Eip712Domain {
        self.named("x402 Batch Settlement")
    }

    /// Vouch's own domain: requests and promises.
    pub(crate) fn vouch(&self) -> Eip712Domain {
        self.named("Vouch")
    }

    fn named(&self, name: &'static str) -> Eip712Domain {
        Eip712Domain::new(
            Some(Cow::Borrowed(name)),
            Some(Cow::Borrowed("1")),
            Some(U256::from(self.chain)),
            Some(self.settlement),
            None,
        )
    }
}

/// The domain of log checkpoints. It names no chain: a checkpoint is true wherever it is anchored,
/// and its origin is the log's own.
pub(crate) fn log_domain() -> Eip712Domain {
    Eip712Domain::new(Some(Cow::Borrowed("Vouch Log")), Some(Cow::Borrowed("1")), None, None, None)
}

/// The EIP-712 digest of `message` in `domain`.
pub(crate) fn digest<T: SolStruct>(message: &T, domain: &Eip712Domain) -> B256 {
    message.eip712_signing_hash(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_as_caip_2_says() {
        let domain = Domain { chain: 8453, settlement: Address::ZERO };
        assert_eq!(domain.network(), "eip155:8453");
    }
}
