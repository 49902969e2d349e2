//! What a payout says of one owner.

use alloy_primitives::keccak256;
use serde::{Deserialize, Serialize};
use vouch_core::{Address, B256, U256};

/// A leaf of a payout tree, with its proof: what an owner was owed in all, up to a receipt.
///
/// Leaves are `keccak256(keccak256(abi.encode(account, cumulative, sequence)))` and pairs are
/// sorted, as OpenZeppelin's `StandardMerkleTree` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Payout {
    /// The root that the provider published.
    pub root: B256,
    /// Credited in all, in atomic units, in decimal.
    #[serde(with = "decimal")]
    pub cumulative: u128,
    /// The last receipt of the owner's stream that is counted.
    pub sequence: u64,
    /// From the leaf up.
    pub proof: Vec<B256>,
}

impl Payout {
    /// Whether it is `account`'s leaf under the root.
    pub(super) fn proves(&self, account: Address) -> bool {
        let words = [
            account.into_word(),
            U256::from(self.cumulative).into(),
            U256::from(self.sequence).into(),
        ];
        let leaf = keccak256(keccak256(words.concat()));
        let root = self.proof.iter().fold(leaf, |node, sibling| {
            let (low, high) = if node <= *sibling { (node, *sibling) } else { (*sibling, node) };
            keccak256([low.as_slice(), high.as_slice()].concat())
        });
        root == self.root
    }
}

pub(super) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(in crate::fault) fn serialize<S: Serializer>(
        value: &u128,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::fault) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        let value = text.parse::<u128>().map_err(D::Error::custom)?;
        if value.to_string() == text { Ok(value) } else { Err(D::Error::custom("not canonical")) }
    }
}
