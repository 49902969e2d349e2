//! EIP-712 domains: where a signature counts, and nowhere else.

use std::borrow::Cow;
use std::cell::Cell;

use alloy_primitives::{Address, B256, U256, keccak256};
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

    /// The separator of the x402 `batch-settlement` domain: channel ids and vouchers.
    pub(crate) fn x402(&self) -> B256 {
        thread_local!(static LAST: Last = const { Cell::new(None) });
        LAST.with(|last| self.remembered(last, "x402 Batch Settlement"))
    }

    /// The separator of Vouch's own domain: requests and promises.
    pub(crate) fn vouch(&self) -> B256 {
        thread_local!(static LAST: Last = const { Cell::new(None) });
        LAST.with(|last| self.remembered(last, "Vouch"))
    }

    /// A provider has one domain and hashes it for each call: half of a voucher's hashing.
    fn remembered(&self, last: &Last, name: &'static str) -> B256 {
        if let Some((_, separator)) = last.get().filter(|(domain, _)| domain == self) {
            return separator;
        }
        let (chain, contract) = (U256::from(self.chain), self.settlement);
        let separator = separator(name, Some(chain), Some(contract));
        last.set(Some((*self, separator)));
        separator
    }
}

/// The domain that was last asked for, and its separator.
type Last = Cell<Option<(Domain, B256)>>;

/// The separator of the domain of log checkpoints. It names no chain: a checkpoint is true wherever
/// it is anchored, and its origin is the log's own.
pub(crate) fn log_domain() -> B256 {
    separator("Vouch Log", None, None)
}

fn separator(name: &'static str, chain: Option<U256>, contract: Option<Address>) -> B256 {
    let (name, version) = (Some(Cow::Borrowed(name)), Some(Cow::Borrowed("1")));
    Eip712Domain::new(name, version, chain, contract, None).separator()
}

/// The EIP-712 digest of `message` in the domain of this separator.
pub(crate) fn digest<T: SolStruct>(message: &T, separator: B256) -> B256 {
    let hash = message.eip712_hash_struct();
    let mut bytes = [0; 66];
    let (prefix, rest) = bytes.split_at_mut(2);
    let (domain, message) = rest.split_at_mut(32);
    prefix.copy_from_slice(&[0x19, 0x01]);
    domain.copy_from_slice(separator.as_slice());
    message.copy_from_slice(hash.as_slice());
    keccak256(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_domain_has_its_own_separator_whatever_was_asked_before() {
        let one = Domain { chain: 1, settlement: Address::repeat_byte(1) };
        let all = [one, Domain { chain: 2, ..one }, Domain { settlement: Address::ZERO, ..one }];
        let asked = || all.iter().flat_map(|domain| [domain.x402(), domain.vouch()]);
        let mut first: Vec<B256> = asked().collect();
        assert_eq!(first, asked().collect::<Vec<_>>());
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 6);
    }

    #[test]
    fn a_network_is_named_as_caip_2_says() {
        let domain = Domain { chain: 8453, settlement: Address::ZERO };
        assert_eq!(domain.network(), "eip155:8453");
    }
}
