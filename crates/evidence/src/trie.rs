//! Block headers and Merkle-Patricia proofs (EIP-1186), read as a stranger's bytes.

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{Decodable, Header};
use alloy_trie::{
    Nibbles,
    nodes::{RlpNode, TrieNode},
};
use vouch_core::Bytes;

/// The longest proof: a key has 64 nibbles, and a node covers at least one.
pub(crate) const MAX_NODES: usize = 65;
/// The longest node: a branch of 16 hashes has 532 bytes, an account's leaf less.
pub(crate) const MAX_NODE_BYTES: usize = 1024;
/// The longest header; Ethereum's have about 600 bytes.
pub(crate) const MAX_HEADER_BYTES: usize = 4096;

/// What a verifier needs of a block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// keccak-256 of the RLP.
    pub(crate) hash: B256,
    /// Root of the state trie.
    pub(crate) state_root: B256,
    /// Height.
    pub(crate) number: u64,
    /// Unix seconds.
    pub(crate) timestamp: u64,
}

impl BlockHeader {
    /// Reads RLP; fields of any fork after the first fifteen are taken as they are.
    pub(crate) fn decode(rlp: &[u8]) -> Result<Self, String> {
        if rlp.len() > MAX_HEADER_BYTES {
            return Err(format!("the header is longer than {MAX_HEADER_BYTES} bytes"));
        }
        let mut rest = rlp;
        let malformed = |error| format!("the header is malformed: {error}");
        let mut fields = Header::decode_bytes(&mut rest, true).map_err(malformed)?;
        if !rest.is_empty() {
            return Err("the header is followed by other bytes".into());
        }
        skip(&mut fields, 3).map_err(malformed)?;
        let state_root = B256::decode(&mut fields).map_err(malformed)?;
        skip(&mut fields, 4).map_err(malformed)?;
        let number = u64::decode(&mut fields).map_err(malformed)?;
        skip(&mut fields, 2).map_err(malformed)?;
        let timestamp = u64::decode(&mut fields).map_err(malformed)?;
        skip(&mut fields, 3).map_err(malformed)?;
        Ok(Self { hash: keccak256(rlp), state_root, number, timestamp })
    }
}

fn skip(fields: &mut &[u8], count: usize) -> alloy_rlp::Result<()> {
    (0..count).try_for_each(|_| Header::decode_raw(fields).map(drop))
}

/// The value at `keccak256(key)` of the trie with `root`, as the nodes prove it.
///
/// `alloy_trie::proof::verify_proof` asserts that keys have at most 64 nibbles, which a hostile
/// proof can break; so only its decoder is used here. Children that are embedded in their parents
/// are refused: a value of 32 bytes or more, an account or a hash, is never in one.
pub(crate) fn prove(root: B256, key: &[u8], proof: &[Bytes]) -> Result<Vec<u8>, String> {
    if proof.len() > MAX_NODES {
        return Err(format!("the proof has more than {MAX_NODES} nodes"));
    }
    let target = Nibbles::unpack(keccak256(key)).to_vec();
    let (mut expected, mut rest) = (root, target.as_slice());
    let mut nodes = proof.iter();
    for node in &mut nodes {
        if node.len() > MAX_NODE_BYTES {
            return Err(format!("a node is longer than {MAX_NODE_BYTES} bytes"));
        }
        if keccak256(node) != expected {
            return Err("a node is not the one that its parent names".into());
        }
        let malformed = |error| format!("a node is malformed: {error}");
        let mut bytes = node.as_ref();
        let node = TrieNode::decode(&mut bytes).map_err(malformed)?;
        match step(node, rest)? {
            Step::Down(child, tail) => (expected, rest) = (child, tail),
            Step::Value(value) if nodes.next().is_none() => return Ok(value),
            Step::Value(_) => return Err("nodes follow the leaf".into()),
        }
    }
    Err("the proof ends before the key does".into())
}

enum Step<'a> {
    Down(B256, &'a [u8]),
    Value(Vec<u8>),
}

fn step(node: TrieNode, path: &[u8]) -> Result<Step<'_>, String> {
    let elsewhere = || "the proof leads to another key: the value is not there".to_owned();
    let (child, tail) = match node {
        TrieNode::EmptyRoot => return Err("the trie is empty".into()),
        TrieNode::Leaf(leaf) if leaf.key.to_vec() == path => return Ok(Step::Value(leaf.value)),
        TrieNode::Leaf(_) => return Err(elsewhere()),
        TrieNode::Extension(extension) => {
            let prefix = extension.key.to_vec();
            if prefix.is_empty() {
                return Err("an extension node is empty".into());
            }
            (extension.child, path.strip_prefix(prefix.as_slice()).ok_or_else(elsewhere)?)
        }
        TrieNode::Branch(branch) => {
            let (nibble, tail) = path.split_first().ok_or_else(elsewhere)?;
            let mut children = branch.stack.into_iter();
            // The stack holds the children that are there, in order.
            let child = (0..=*nibble)
                .filter(|index| branch.state_mask.is_bit_set(*index))
                .map(|index| (index, children.next()))
                .last()
                .filter(|(index, _)| index == nibble)
                .and_then(|(_, child)| child);
            (child.ok_or_else(elsewhere)?, tail)
        }
    };
    hash_of(&child).map(|child| Step::Down(child, tail))
}

fn hash_of(child: &RlpNode) -> Result<B256, String> {
    child.as_hash().ok_or_else(|| "a node names its child by no hash".into())
}

#[cfg(test)]
mod tests {
    use alloy_rlp::Encodable;
    use alloy_trie::nodes::{ExtensionNode, LeafNode};
    use proptest::prelude::*;

    use super::*;

    fn encoded(node: &impl Encodable) -> Bytes {
        alloy_rlp::encode(node).into()
    }

    /// Extension nodes whose keys add up to more than 64 nibbles: `alloy_trie`'s own verifier
    /// panics on them.
    #[test]
    fn keys_that_are_too_long_are_refused() {
        let path = Nibbles::unpack(keccak256(b"key"));
        let leaf = encoded(&LeafNode::new(path, vec![1; 40]));
        let child = RlpNode::word_rlp(&keccak256(&leaf));
        let extension = encoded(&ExtensionNode::new(path, child));
        let root = keccak256(&extension);
        assert!(prove(root, b"key", &[extension.clone(), leaf.clone()]).is_err());
        assert!(prove(root, b"key", &[extension]).is_err());
        assert_eq!(prove(keccak256(&leaf), b"key", &[leaf]), Ok(vec![1; 40]));
    }

    #[test]
    fn proofs_without_end_are_refused() {
        let node = Bytes::from(vec![0xc0]);
        assert!(prove(keccak256(&node), b"key", &vec![node.clone(); MAX_NODES + 1]).is_err());
        assert!(prove(B256::ZERO, b"key", &[]).is_err());
        assert!(BlockHeader::decode(&[0; MAX_HEADER_BYTES + 1]).is_err());
    }

    proptest! {
        /// Nodes whose hashes fit, so that their content is read.
        #[test]
        fn hostile_nodes_never_panic(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..19)) {
            let node = encoded(&items);
            prop_assert!(prove(keccak256(&node), b"key", &[node]).is_err());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let node = Bytes::from(bytes);
            let _header = BlockHeader::decode(&node);
            prop_assert!(prove(keccak256(&node), b"key", &[node]).is_err());
        }
    }
}
