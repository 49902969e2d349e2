//! The definition of every operation. Each function computes in exactly the order in which it
//! is written; none of the additions may be reordered or fused.

use std::ops::Range;

use super::{HeadCache, KEY_BLOCK, Kernels, Panel, sum_lanes};
use crate::exact::activation::{Quantised, QuantisedRow};
use crate::exact::math::{ROUND, exp, half_to_f32};
use crate::exact::weights::{
    BLOCK, MatrixView, Q4_RECORD, Q8_RECORD, Q8_SCALES, ROWS, Records, half_at,
};

pub(crate) static KERNELS: Kernels =
    Kernels { name: "scalar", matmul, quantise, norm, swiglu, attend };

/// Blocks below this magnitude count as zero, so that the reciprocal stays finite.
const TINY: f32 = 1e-30;

fn matmul(
    weights: &MatrixView<'_>,
    groups: Range<usize>,
    input: &Quantised,
    _panel: &mut Panel,
    out: &mut [f32],
) {
    let width = groups.len() * ROWS;
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        let input = input.row(row);
        for (group, out) in groups.clone().zip(out.as_chunks_mut::<ROWS>().0) {
            let blocks = group * weights.blocks..(group + 1) * weights.blocks;
            *out = match weights.records {
                Records::Q4(records) => dot_q4(&records[blocks], input),
                Records::Q8 { weights, scales } => {
                    dot_q8(&weights[blocks.clone()], &scales[blocks], input)
                }
            };
        }
    }
}

/// Eight rows times one token: `acc = acc + ((scale*a.scale) * dot + minimum * a.sum)`, block by block.
fn dot_q4(records: &[[u8; Q4_RECORD]], input: QuantisedRow<'_>) -> [f32; ROWS] {
    let mut acc = [0f32; ROWS];
    for (block, record) in records.iter().enumerate() {
        let values = &input.values[block];
        for (r, acc) in acc.iter_mut().enumerate() {
            let mut dot = 0i32;
            for e in 0..BLOCK / 2 {
                let byte = record[e / 4 * 32 + r * 4 + e % 4];
                dot += i32::from(byte & 15) * i32::from(values[e]);
                dot += i32::from(byte >> 4) * i32::from(values[e + 16]);
            }
            let scale = half_at(record, 128 + 2 * r) * input.scales[block];
            let minimum = half_at(record, 144 + 2 * r) * input.sums[block];
            *acc += dot as f32 * scale + minimum;
        }
    }
    acc
}

/// Eight rows times one token: `acc = acc + (scale*a.scale) * dot`, block by block.
fn dot_q8(
    weights: &[[u8; Q8_RECORD]],
    scales: &[[u8; Q8_SCALES]],
    input: QuantisedRow<'_>,
) -> [f32; ROWS] {
    let mut acc = [0f32; ROWS];
    for (block, (weights, scales)) in weights.iter().zip(scales).enumerate() {
        let values = &input.values[block];
        for (r, acc) in acc.iter_mut().enumerate() {
            let mut dot = 0i32;
            for (e, value) in values.iter().enumerate() {
                let weight = weights[e / 4 * 32 + r * 4 + e % 4].cast_signed();
                dot += i32::from(weight) * i32::from(*value);
            }
            *acc += dot as f32 * (half_at(scales, 2 * r) * input.scales[block]);
        }
    }
    acc
}

#[inline(always)]
pub(super) fn quantise(x: &[f32], out: &mut Quantised, row: usize) {
    let (values, scales, sums) = out.row_mut(row);
    let blocks = x.as_chunks::<BLOCK>().0.iter().zip(values);
    for ((x, values), (scale, sum)) in blocks.zip(scales.iter_mut().zip(sums)) {
        let mut largest = [0u32; 8];
        for x in x.as_chunks::<8>().0 {
            for (largest, x) in largest.iter_mut().zip(x) {
                *largest = (*largest).max(x.to_bits() & 0x7fff_ffff);
            }
        }
        let largest = f32::from_bits(largest.into_iter().fold(0, u32::max));
        let inverse = if largest >= TINY { 127.0 / largest } else { 0.0 };
        let mut total = 0i32;
        for (x, value) in x.iter().zip(values) {
            let rounded = (x * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
            *value = rounded as i8;
            total += i32::from(rounded as i8);
        }
        *scale = largest * (1.0 / 127.0);
        *sum = *scale * total as f32;
    }
}

#[inline(always)]
pub(super) fn norm(x: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    let mut squares = [0f32; 8];
    for x in x.as_chunks::<8>().0 {
        for (square, x) in squares.iter_mut().zip(x) {
            *square += x * x;
        }
    }
    let mean = sum_lanes(squares) / x.len() as f32;
    let inverse = 1.0 / (mean + epsilon).sqrt();
    for ((x, weight), out) in x.iter().zip(weights).zip(out) {
        *out = (x * inverse) * weight;
    }
}

fn swiglu(gate_up: &[f32], out: &mut [f32]) {
    for (pair, out) in gate_up.chunks_exact(2 * ROWS).zip(out.as_chunks_mut::<ROWS>().0) {
        let (gate, up) = pair.split_at(ROWS);
        for r in 0..ROWS {
            out[r] = (gate[r] / (1.0 + exp(-gate[r]))) * up[r];
        }
    }
}

fn attend(queries: &[f32], cache: HeadCache<'_>, scores: &mut [f32], out: &mut [f32]) {
    let padded = cache.positions.next_multiple_of(KEY_BLOCK);
    let heads = queries.chunks_exact(cache.dimension).zip(out.chunks_exact_mut(cache.dimension));
    for ((query, out), scores) in heads.zip(scores.chunks_exact_mut(padded)) {
        for (position, score) in scores.iter_mut().enumerate() {
            *score = match position < cache.positions {
                true => key_dot(query, &cache, position),
                false => f32::NEG_INFINITY,
            };
        }
        let inverse = 1.0 / softmax(scores);
        for (d, out) in out.iter_mut().enumerate() {
            let mut acc = 0f32;
            for (position, score) in scores[..cache.positions].iter().enumerate() {
                acc += score * half_to_f32(cache.values[position * cache.dimension + d]);
            }
            *out = acc * inverse;
        }
    }
}

fn key_dot(query: &[f32], cache: &HeadCache<'_>, position: usize) -> f32 {
    let block = position / KEY_BLOCK * KEY_BLOCK * cache.dimension;
    let mut acc = 0f32;
    for (d, q) in query.iter().enumerate() {
        acc += q * half_to_f32(cache.keys[block + d * KEY_BLOCK + position % KEY_BLOCK]);
    }
    acc
}

/// Replaces scores by `exp(score - max)` (exactly 0 for -inf) and returns their sum.
pub(crate) fn softmax(scores: &mut [f32]) -> f32 {
    let mut max = f32::NEG_INFINITY;
    for score in scores.iter() {
        max = if *score > max { *score } else { max };
    }
    let mut sums = [0f32; 8];
    for scores in scores.as_chunks_mut::<8>().0 {
        for (sum, score) in sums.iter_mut().zip(scores) {
            *score = match *score == f32::NEG_INFINITY {
                true => 0.0,
                false => exp(*score - max),
            };
            *sum += *score;
        }
    }
    sum_lanes(sums)
}
