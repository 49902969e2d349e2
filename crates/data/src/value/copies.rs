//! Takes copies out: the same text, or vectors that are nearly the same.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use super::Examples;
use crate::search::dot;

/// Numbers that are compared before a pair may be given up.
const HEAD: usize = 64;
/// Rounding of a bound must not hide a copy.
const SLACK: f32 = 1e-4;

/// What was kept, and of what the rest are copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// Indexes of the examples that stay, ascending.
    pub kept: Vec<usize>,
    /// Index of a copy, and of the earlier example that stays.
    pub copies: Vec<(usize, usize)>,
}

/// Of examples with one hash, or whose vectors have an inner product of at least `threshold`, keeps
/// the earliest. Exact: every pair is compared, most of them by a bound on their first 64 numbers.
///
/// # Panics
/// If there is not one hash for each example.
#[must_use]
pub fn remove_copies(examples: &Examples, hashes: &[B256], threshold: f32) -> Copies {
    assert_eq!(hashes.len(), examples.len(), "one hash for each example");
    let mut first: BTreeMap<B256, usize> = BTreeMap::new();
    let (mut kept, mut copies) = (Vec::new(), Vec::new());
    let rests: Vec<f32> = (0..examples.len()).map(|i| rest_norm(examples.vector(i))).collect();
    for (index, hash) in hashes.iter().enumerate() {
        let same = first.get(hash).copied();
        let near = || {
            let is_near = |other: &&usize| is_near(examples, &rests, index, **other, threshold);
            kept.iter().find(is_near).copied()
        };
        match same.or_else(near) {
            Some(original) => copies.push((index, original)),
            None => {
                first.insert(*hash, index);
                kept.push(index);
            }
        }
    }
    Copies { kept, copies }
}

/// By Cauchy and Schwarz, the rest of an inner product is at most the product of the rests' norms.
fn is_near(examples: &Examples, rests: &[f32], a: usize, b: usize, threshold: f32) -> bool {
    let ((a_head, a_rest), (b_head, b_rest)) =
        (split(examples.vector(a)), split(examples.vector(b)));
    let head = dot(a_head, b_head);
    if head + rests[a] * rests[b] < threshold - SLACK {
        return false;
    }
    head + dot(a_rest, b_rest) >= threshold
}

fn rest_norm(vector: &[f32]) -> f32 {
    let (_, rest) = split(vector);
    dot(rest, rest).sqrt()
}

fn split(vector: &[f32]) -> (&[f32], &[f32]) {
    vector.split_at(HEAD.min(vector.len()))
}
