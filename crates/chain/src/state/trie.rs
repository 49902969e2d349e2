//! A Merkle-Patricia trie in memory that hashes only what has changed.
//!
//! Keys are 32-byte hashes ("secure" tries), so no key is the prefix of another and branches hold
//! no value. Each node keeps the reference its parent uses (its RLP, or the hash of it where that
//! has 32 bytes or more) until something below it changes.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieMask};

/// The place of a node in the arena.
type Id = u32;
/// No node: an empty trie or an empty child.
const NONE: Id = Id::MAX;

#[derive(Debug, Clone)]
enum Node {
    Free,
    Leaf { path: Nibbles, value: Box<[u8]> },
    Extension { path: Nibbles, child: Id },
    Branch { children: [Id; 16] },
}

#[derive(Debug, Clone)]
struct Entry {
    node: Node,
    reference: Option<RlpNode>,
}

/// The trie; see the module.
#[derive(Debug, Clone)]
pub(crate) struct Trie {
    entries: Vec<Entry>,
    free: Vec<Id>,
    root: Id,
}

impl Default for Trie {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), root: NONE }
    }
}

impl Trie {
    /// Sets `key` to the RLP `value`, which must not be empty.
    pub(crate) fn insert(&mut self, key: B256, value: Vec<u8>) {
        debug_assert!(!value.is_empty());
        self.root = self.insert_at(self.root, Nibbles::unpack(key), value.into());
    }

    /// Removes `key` if it is there.
    pub(crate) fn remove(&mut self, key: B256) {
        self.root = self.remove_at(self.root, Nibbles::unpack(key));
    }

    /// The root hash; computes what has changed since the last call.
    pub(crate) fn root(&mut self) -> B256 {
        if self.root == NONE {
            return EMPTY_ROOT_HASH;
        }
        let reference = self.reference(self.root);
        reference.as_hash().unwrap_or_else(|| keccak256(reference.as_slice()))
    }

    /// The nodes from the root towards `key`, as `eth_getProof` gives them: they prove its value,
    /// or that it has none. Nodes shorter than a hash are inside their parents and left out.
    /// [`root`](Self::root) must have been called since the last change.
    pub(crate) fn proof(&self, key: B256) -> Vec<Bytes> {
        let mut proof = Vec::new();
        let (mut id, mut path) = (self.root, Nibbles::unpack(key));
        while id != NONE {
            let rlp = self.encode(id);
            if proof.is_empty() || rlp.len() >= 32 {
                proof.push(rlp.into());
            }
            match &self.entries[id as usize].node {
                Node::Extension { path: own, child } if path.starts_with(own) => {
                    (id, path) = (*child, path.slice(own.len()..));
                }
                Node::Branch { children } => {
                    (id, path) = (children[usize::from(path.get_unchecked(0))], path.slice(1..));
                }
                Node::Leaf { .. } | Node::Extension { .. } | Node::Free => break,
            }
        }
        proof
    }

    fn insert_at(&mut self, id: Id, path: Nibbles, value: Box<[u8]>) -> Id {
        if id == NONE {
            return self.add(Node::Leaf { path, value });
        }
        self.entries[id as usize].reference = None;
        match self.entries[id as usize].node {
            Node::Leaf { path: own, value: ref mut stored } => {
                if own == path {
                    *stored = value;
                    return id;
                }
                let common = own.common_prefix_length(&path);
                if let Node::Leaf { path: rest, .. } = &mut self.entries[id as usize].node {
                    *rest = own.slice(common + 1..);
                }
                self.split(&own, common, id, &path, value)
            }
            Node::Extension { path: own, child } => {
                let common = own.common_prefix_length(&path);
                if common == own.len() {
                    let child = self.insert_at(child, path.slice(common..), value);
                    self.entries[id as usize].node = Node::Extension { path: own, child };
                    return id;
                }
                let lower = if common + 1 == own.len() {
                    self.release(id);
                    child
                } else {
                    let rest = own.slice(common + 1..);
                    self.entries[id as usize].node = Node::Extension { path: rest, child };
                    id
                };
                self.split(&own, common, lower, &path, value)
            }
            Node::Branch { children } => {
                let index = usize::from(path.get_unchecked(0));
                let child = self.insert_at(children[index], path.slice(1..), value);
                if let Node::Branch { children } = &mut self.entries[id as usize].node {
                    children[index] = child;
                }
                id
            }
            Node::Free => unreachable!("a free node is never linked"),
        }
    }

    /// Puts a branch where the path `own` of an existing node and `path` part after `common`
    /// nibbles: `lower` on the one side, a new leaf on the other.
    fn split(
        &mut self,
        own: &Nibbles,
        common: usize,
        lower: Id,
        path: &Nibbles,
        value: Box<[u8]>,
    ) -> Id {
        let leaf = self.add(Node::Leaf { path: path.slice(common + 1..), value });
        let mut children = [NONE; 16];
        children[usize::from(own.get_unchecked(common))] = lower;
        children[usize::from(path.get_unchecked(common))] = leaf;
        let branch = self.add(Node::Branch { children });
        if common == 0 {
            return branch;
        }
        self.add(Node::Extension { path: path.slice(..common), child: branch })
    }

    fn remove_at(&mut self, id: Id, path: Nibbles) -> Id {
        if id == NONE {
            return NONE;
        }
        self.entries[id as usize].reference = None;
        match self.entries[id as usize].node {
            Node::Leaf { path: own, .. } if own == path => {
                self.release(id);
                NONE
            }
            Node::Extension { path: own, child } if path.starts_with(&own) => {
                let child = self.remove_at(child, path.slice(own.len()..));
                self.release(id);
                self.prepend(own, child)
            }
            Node::Branch { mut children } => {
                let index = usize::from(path.get_unchecked(0));
                children[index] = self.remove_at(children[index], path.slice(1..));
                let mut left = (0u8..).zip(children).filter(|(_, child)| *child != NONE);
                match (left.next(), left.next()) {
                    (Some((nibble, only)), None) => {
                        self.release(id);
                        self.prepend(Nibbles::from_nibbles([nibble]), only)
                    }
                    _ => {
                        self.entries[id as usize].node = Node::Branch { children };
                        id
                    }
                }
            }
            Node::Leaf { .. } | Node::Extension { .. } => id,
            Node::Free => unreachable!("a free node is never linked"),
        }
    }

    /// Lengthens what hangs at `child` by `prefix`: paths are joined, a branch gets an extension.
    fn prepend(&mut self, prefix: Nibbles, child: Id) -> Id {
        let entry = &mut self.entries[child as usize];
        match &mut entry.node {
            Node::Leaf { path, .. } | Node::Extension { path, .. } => {
                *path = prefix.join(path);
                entry.reference = None;
                child
            }
            Node::Branch { .. } => self.add(Node::Extension { path: prefix, child }),
            Node::Free => unreachable!("a free node is never linked"),
        }
    }

    fn reference(&mut self, id: Id) -> RlpNode {
        if let Some(reference) = &self.entries[id as usize].reference {
            return reference.clone();
        }
        match self.entries[id as usize].node {
            Node::Extension { child, .. } => {
                self.reference(child);
            }
            Node::Branch { children } => {
                for child in children.into_iter().filter(|child| *child != NONE) {
                    self.reference(child);
                }
            }
            Node::Leaf { .. } | Node::Free => {}
        }
        let reference = RlpNode::from_rlp(&self.encode(id));
        self.entries[id as usize].reference = Some(reference.clone());
        reference
    }

    /// The node's RLP; its children's references must be there.
    fn encode(&self, id: Id) -> Vec<u8> {
        let cached = |id: Id| self.entries[id as usize].reference.clone().unwrap_or_default();
        let mut rlp = Vec::with_capacity(128);
        match &self.entries[id as usize].node {
            Node::Leaf { path, value } => {
                LeafNodeRef::new(path, value).rlp(&mut rlp);
            }
            Node::Extension { path, child } => {
                ExtensionNodeRef::new(path, &cached(*child)).rlp(&mut rlp);
            }
            Node::Branch { children } => {
                let mut mask = 0u16;
                let mut stack = Vec::with_capacity(16);
                for (index, child) in children.iter().enumerate().filter(|(_, c)| **c != NONE) {
                    mask |= 1 << index;
                    stack.push(cached(*child));
                }
                BranchNodeRef::new(&stack, TrieMask::new(mask)).rlp(&mut rlp);
            }
            Node::Free => unreachable!("a free node is never linked"),
        }
        rlp
    }

    fn add(&mut self, node: Node) -> Id {
        let entry = Entry { node, reference: None };
        if let Some(id) = self.free.pop() {
            self.entries[id as usize] = entry;
            return id;
        }
        // 2^32 nodes of about 100 bytes do not fit into any memory this runs in.
        let id = Id::try_from(self.entries.len()).unwrap_or(NONE);
        assert!(id != NONE, "the trie has more nodes than its arena can number");
        self.entries.push(entry);
        id
    }

    fn release(&mut self, id: Id) {
        self.entries[id as usize] = Entry { node: Node::Free, reference: None };
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use alloy_trie::HashBuilder;
    use alloy_trie::proof::verify_proof;
    use proptest::prelude::*;

    fn reference_root(map: &BTreeMap<B256, Vec<u8>>) -> B256 {
        let mut builder = HashBuilder::default();
        for (key, value) in map {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        builder.root()
    }

    /// Keys that share long prefixes, so that extensions appear, split and join.
    fn key() -> impl Strategy<Value = B256> {
        let nibble_pair = prop_oneof![Just(0u8), Just(1), Just(0x10), any::<u8>()];
        (prop::collection::vec(nibble_pair, 3), 0usize..30).prop_map(|(bytes, at)| {
            let mut key = B256::ZERO;
            key[at..at + bytes.len().min(32 - at)]
                .copy_from_slice(&bytes[..bytes.len().min(32 - at)]);
            key
        })
    }

    proptest! {
        #[test]
        fn equals_alloy_trie(steps in prop::collection::vec(
            (key(), prop::option::weighted(0.6, prop::collection::vec(any::<u8>(), 1..60))), 1..120,
        )) {
            let (mut trie, mut map) = (Trie::default(), BTreeMap::new());
            for (index, (key, value)) in steps.into_iter().enumerate() {
                match value {
                    Some(value) => {
                        trie.insert(key, value.clone());
                        map.insert(key, value);
                    }
                    None => {
                        trie.remove(key);
                        map.remove(&key);
                    }
                }
                if index % 3 == 0 {
                    prop_assert_eq!(trie.root(), reference_root(&map));
                }
            }
            prop_assert_eq!(trie.root(), reference_root(&map));
            let root = trie.root();
            for (key, value) in &map {
                let proof = trie.proof(*key);
                prop_assert!(verify_proof(root, Nibbles::unpack(key), Some(value.clone()), &proof).is_ok());
            }
            let absent = B256::repeat_byte(0x77);
            let proof = trie.proof(absent);
            prop_assert!(verify_proof(root, Nibbles::unpack(absent), None, &proof).is_ok());
            for key in map.keys() {
                trie.remove(*key);
            }
            prop_assert_eq!(trie.root(), EMPTY_ROOT_HASH);
            prop_assert_eq!(trie.free.len(), trie.entries.len(), "every node is released");
        }
    }
}
