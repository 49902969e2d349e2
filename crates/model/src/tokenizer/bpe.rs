//! Byte-pair merges (Sennrich et al. 2016, on bytes as in GPT-2): of all neighbours that have a
//! merge, the one of the lowest rank goes first, the leftmost among equals.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::bytes::TokenBytes;
use super::pretokenize::is_llama3;
use super::spec::{TokenizerSpec, refuse};
use crate::Error;

/// No token: a byte that the vocabulary lacks, or a symbol merged into its neighbour. Above every
/// id, so that it is in no merge.
const NONE: u32 = u32::MAX;

/// The merge table, by ids.
#[derive(Debug)]
pub(super) struct Merges {
    /// (left, right) -> (rank, merged).
    by_pair: HashMap<(u32, u32), (u32, u32)>,
    /// The token of each single byte, or [`NONE`].
    byte_ids: [u32; 256],
    /// Llama 3 takes a whole word that is in the vocabulary as it is; empty for others.
    whole_words: HashMap<Box<[u8]>, u32>,
}

/// Memory reused from piece to piece.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

/// A run of bytes that is one token so far; `before` and `next` are indices, or out of range.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    id: u32,
    before: usize,
    next: usize,
}

/// A possible merge; ordered by rank, then from the left. Stale once either side's id changed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: usize,
    left_id: u32,
    right_id: u32,
    merged: u32,
}

impl Merges {
    pub(super) fn new(spec: &TokenizerSpec, bytes: &TokenBytes) -> Result<Self, Error> {
        let ids: HashMap<&str, u32> = spec.tokens.iter().map(String::as_str).zip(0..).collect();
        let mut by_pair = HashMap::with_capacity(spec.merges.len());
        let mut joined = String::new();
        for (rank, merge) in (0u32..).zip(&spec.merges) {
            let pair = split_merge(merge).and_then(|(left, right)| {
                joined.clear();
                joined.push_str(left);
                joined.push_str(right);
                Some(((*ids.get(left)?, *ids.get(right)?), *ids.get(joined.as_str())?))
            });
            let Some((pair, merged)) = pair else {
                return Err(refuse(format!(
                    "has merge {rank}, whose parts or result its vocabulary lacks"
                )));
            };
            // llama.cpp keeps the first rank of a pair that is listed twice.
            by_pair.entry(pair).or_insert((rank, merged));
        }
        Ok(Self { by_pair, byte_ids: byte_ids(spec, bytes), whole_words: whole_words(spec, bytes) })
    }

    /// Appends the ids of one piece to `ids`.
    pub(super) fn encode(&self, piece: &[u8], scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if let Some(id) = self.whole_words.get(piece) {
            ids.push(*id);
            return;
        }
        let Scratch { symbols, queue } = scratch;
        symbols.clear();
        symbols.extend(piece.iter().enumerate().map(|(at, byte)| Symbol {
            id: self.byte_ids[usize::from(*byte)],
            before: at.wrapping_sub(1),
            next: at + 1,
        }));
        queue.clear();
        (0..symbols.len()).for_each(|left| self.propose(symbols, left, queue));
        while let Some(Reverse(candidate)) = queue.pop() {
            self.merge(candidate, symbols, queue);
        }
        ids.extend(symbols.iter().map(|symbol| symbol.id).filter(|id| *id != NONE));
    }

    /// Queues the merge of the symbol at `left` with the one after it, if there is such a merge.
    fn propose(&self, symbols: &[Symbol], left: usize, queue: &mut BinaryHeap<Reverse<Candidate>>) {
        let Some(symbol) = symbols.get(left) else { return };
        let Some(right) = symbols.get(symbol.next) else { return };
        if let Some((rank, merged)) = self.by_pair.get(&(symbol.id, right.id)) {
            queue.push(Reverse(Candidate {
                rank: *rank,
                left,
                left_id: symbol.id,
                right_id: right.id,
                merged: *merged,
            }));
        }
    }

    fn merge(
        &self,
        candidate: Candidate,
        symbols: &mut [Symbol],
        queue: &mut BinaryHeap<Reverse<Candidate>>,
    ) {
        let Symbol { id, before, next } = symbols[candidate.left];
        let Some(right) = symbols.get(next).copied() else { return };
        if id != candidate.left_id || right.id != candidate.right_id {
            return;
        }
        symbols[next].id = NONE;
        symbols[candidate.left] = Symbol { id: candidate.merged, before, next: right.next };
        if let Some(after) = symbols.get_mut(right.next) {
            after.before = candidate.left;
        }
        self.propose(symbols, before, queue);
        self.propose(symbols, candidate.left, queue);
    }
}

/// `left right`; the left part may itself begin with a space, never be empty.
fn split_merge(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?.len_utf8();
    let (left, right) = merge.split_at(first + merge[first..].find(' ')?);
    Some((left, &right[1..]))
}

fn byte_ids(spec: &TokenizerSpec, bytes: &TokenBytes) -> [u32; 256] {
    let mut ids = [NONE; 256];
    for (id, token) in normal_tokens(spec, bytes) {
        if let [byte] = token {
            ids[usize::from(*byte)] = id;
        }
    }
    ids
}

fn whole_words(spec: &TokenizerSpec, bytes: &TokenBytes) -> HashMap<Box<[u8]>, u32> {
    match is_llama3(&spec.pre) {
        true => normal_tokens(spec, bytes).map(|(id, token)| (token.into(), id)).collect(),
        false => HashMap::new(),
    }
}

fn normal_tokens<'a>(
    spec: &'a TokenizerSpec,
    bytes: &'a TokenBytes,
) -> impl Iterator<Item = (u32, &'a [u8])> {
    let is_special = |id: &u32| {
        spec.control.binary_search(id).is_ok() || spec.user_defined.binary_search(id).is_ok()
    };
    (0u32..).zip(bytes.iter()).filter(move |(id, _)| !is_special(id))
}
