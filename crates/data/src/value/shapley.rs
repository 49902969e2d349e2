//! Exact KNN-Shapley: Jia et al. 2019, theorem 1, in O(validation · N log N).
//!
//! The game: a set's worth at a validation point is the part of its `k` nearest examples whose label
//! is the point's; where neighbours are missing, a guess stands in, which is right as often as the
//! commonest label is. Its worth is the mean over all points. So the empty set is worth a guess, and
//! labels at random, or one label for all, are worth nothing more. With examples sorted from the
//! nearest,
//!
//! ```text
//!  s(N) = (right(N) - guess)/k · min(k, N)/N
//!  s(i) = s(i+1) + (right(i) - right(i+1))/k · min(k, i)/i
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

use super::Examples;
use crate::{Error, Result, search::dot};

/// Validation points of one unit of work: what a thread takes, and in what order sums are made.
const BLOCK: usize = 16;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 1_000;

/// What one owner's examples are worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OwnerValue {
    /// The sum of its examples' Shapley values.
    pub value: f64,
    /// Half of the 95 % interval: 1.96 standard deviations of the value over resampled validation
    /// points.
    pub error: f64,
}

/// Values of all examples and owners.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// By example.
    pub examples: Vec<f64>,
    /// By owner.
    pub owners: Vec<OwnerValue>,
    /// What all examples together are worth above a guess, computed apart from the values: their sum
    /// equals it.
    pub total: f64,
    /// What a guess is worth: the share of the commonest label among the validation points.
    pub guess: f64,
}

/// The exact Shapley value of every example, and of every owner: the sum of its own.
///
/// `owners` has the owner's number of each example, below `owner_count`. Ties of distance are broken
/// by the examples' order. The same bits for any number of threads.
///
/// # Errors
/// [`Error::Malformed`] if `k` is 0, a side is empty, or the lengths do not fit.
pub fn knn_shapley(
    train: &Examples,
    validation: &Examples,
    owners: &[usize],
    owner_count: usize,
    k: usize,
) -> Result<Values> {
    let fits = train.dimensions() == validation.dimensions() && owners.len() == train.len();
    if k == 0 || train.is_empty() || validation.is_empty() || !fits {
        let why = "k is 0, there are no examples, or their lengths differ";
        return Err(Error::malformed("valuation", why));
    }
    if owners.iter().any(|owner| *owner >= owner_count) || u32::try_from(train.len()).is_err() {
        return Err(Error::malformed("valuation", "an owner's number is not below their count"));
    }
    let guess = commonest(validation.labels());
    let game = Game { train, validation, owners, owner_count, k, guess };
    let blocks = game.run();
    let points = validation.len() as f64;
    let mut examples = vec![0f64; train.len()];
    let mut by_point = Vec::with_capacity(validation.len());
    let mut total = 0f64;
    for block in blocks {
        for (sum, value) in examples.iter_mut().zip(&block.examples) {
            *sum += value;
        }
        total += block.total;
        by_point.extend(block.owners);
    }
    examples.iter_mut().for_each(|value| *value /= points);
    let owners = (0..owner_count).map(|owner| owner_value(&by_point, owner)).collect();
    Ok(Values { examples, owners, total: total / points, guess })
}

#[derive(Clone, Copy)]
struct Game<'a> {
    train: &'a Examples,
    validation: &'a Examples,
    owners: &'a [usize],
    owner_count: usize,
    k: usize,
    guess: f64,
}

/// The share of the commonest label.
fn commonest(labels: &[u32]) -> f64 {
    let mut counts = BTreeMap::new();
    labels.iter().for_each(|label| *counts.entry(label).or_insert(0usize) += 1);
    counts.into_values().max().unwrap_or(0) as f64 / labels.len().max(1) as f64
}

/// Sums over one block of validation points.
struct Block {
    examples: Vec<f64>,
    /// For each point, each owner's value.
    owners: Vec<Vec<f64>>,
    total: f64,
}

impl Game<'_> {
    /// Blocks in order, whoever computed them.
    fn run(self) -> Vec<Block> {
        let blocks = self.validation.len().div_ceil(BLOCK);
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(blocks);
        let mut done: Vec<(usize, Block)> = std::thread::scope(|scope| {
            let spawn = |thread: usize| {
                let numbers = (thread..blocks).step_by(threads);
                scope.spawn(move || numbers.map(|n| (n, self.block(n))).collect::<Vec<_>>())
            };
            let running: Vec<_> = (0..threads).map(spawn).collect();
            running
                .into_iter()
                .flat_map(|thread| match thread.join() {
                    Ok(blocks) => blocks,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        });
        done.sort_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, block)| block).collect()
    }

    fn block(&self, number: usize) -> Block {
        let count = self.train.len();
        let end = (number * BLOCK + BLOCK).min(self.validation.len());
        let points: Vec<usize> = (number * BLOCK..end).collect();
        let mut block = Block { examples: vec![0.0; count], owners: Vec::new(), total: 0.0 };
        // Each example is read once for all points of the block: it stays in the cache.
        let mut keys = vec![vec![0u64; count]; points.len()];
        for index in 0..count {
            let example = self.train.vector(index);
            for (keys, point) in keys.iter_mut().zip(&points) {
                keys[index] = key(dot(example, self.validation.vector(*point)), index);
            }
        }
        for (mut keys, point) in keys.into_iter().zip(points) {
            keys.sort_unstable();
            self.point(point, &keys, &mut block);
        }
        block
    }

    /// The recursion, from the farthest to the nearest.
    fn point(&self, point: usize, sorted: &[u64], block: &mut Block) {
        let label = self.validation.labels()[point];
        let k = self.k as f64;
        let right = |index: usize| f64::from(u8::from(self.train.labels()[index] == label));
        let mut owners = vec![0f64; self.owner_count];
        // Behind the farthest stands a guess: the first line of the theorem.
        let (mut value, mut farther) = (0f64, self.guess);
        for (at, sorted_key) in sorted.iter().enumerate().rev() {
            let index = (*sorted_key & u64::from(u32::MAX)) as usize;
            let this = right(index);
            let rank = at + 1;
            let part = self.k.min(rank) as f64 / rank as f64;
            value += (this - farther) / k * part;
            farther = this;
            block.examples[index] += value;
            owners[self.owners[index]] += value;
        }
        let nearest = sorted.iter().take(self.k).map(|key| (*key & u64::from(u32::MAX)) as usize);
        block.total += nearest.map(|index| right(index) - self.guess).sum::<f64>() / k;
        block.owners.push(owners);
    }
}

/// Sorts by inner product from the largest, which for vectors of length one is by distance from the
/// nearest, then by index.
fn key(product: f32, index: usize) -> u64 {
    let bits = (-product).to_bits();
    // The total order of floats as one of integers.
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(ordered) << 32 | index as u64
}

/// Mean over points, and its spread by the bootstrap, from a fixed seed.
fn owner_value(by_point: &[Vec<f64>], owner: usize) -> OwnerValue {
    let points = by_point.len();
    let values: Vec<f64> = by_point.iter().map(|owners| owners[owner]).collect();
    let value = values.iter().sum::<f64>() / points as f64;
    let mut random = SplitMix(0x766f_7563_6800 + owner as u64);
    let means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..points).map(|_| values[random.below(points)]).sum::<f64>() / points as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / RESAMPLES as f64;
    let variance = means.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / RESAMPLES as f64;
    OwnerValue { value, error: 1.96 * variance.sqrt() }
}

/// Steele, Lea and Flood's generator: small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ z >> 31) * bound as u128) >> 64) as usize
    }
}
