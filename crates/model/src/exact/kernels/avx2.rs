//! The operations of [`super::scalar`] with AVX2 and F16C, bit for bit the same: a lane is a row (or
//! a key, or a dimension), and no lane is ever added to another but in the fixed tree.
//!
//! Two ways through a matrix: *tile* multiplies packed records by up to four tokens in registers
//! (decoding: the weights stream by once, prefetched); *panel* unpacks sixteen rows into the L1
//! cache and sweeps all tokens over them (prefill).

#![allow(
    unsafe_code,
    reason = "vector loads and stores take pointers, and the entries call functions of a \
              detected instruction set"
)]

use std::arch::x86_64::*;
use std::ops::Range;

use super::{HeadCache, KEY_BLOCK, Kernels, Panel, scalar, sum_lanes};
use crate::exact::activation::{Quantised, QuantisedRow};
use crate::exact::math::{ROUND, exp_constants as constants};
use crate::exact::weights::{BLOCK, MatrixView, Q4_RECORD, Q8_RECORD, Q8_SCALES, ROWS, Records};

/// The kernels, where this machine has the instructions.
pub(crate) fn kernels() -> Option<&'static Kernels> {
    let detected = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c");
    detected.then_some(&KERNELS)
}

/// Private: only [`kernels`] hands it out, after detection. The SAFETY comments below rely on it.
static KERNELS: Kernels = Kernels {
    name: "avx2",
    matmul: |weights, groups, input, panel, out| {
        // SAFETY: reachable only through `kernels()`, which has detected avx2 and f16c.
        unsafe { matmul(weights, groups, input, panel, out) }
    },
    quantise: |x, out, row| {
        // SAFETY: as above.
        unsafe { quantise(x, out, row) }
    },
    norm: |x, weights, epsilon, out| {
        // SAFETY: as above.
        unsafe { norm(x, weights, epsilon, out) }
    },
    swiglu: |gate_up, out| {
        // SAFETY: as above.
        unsafe { swiglu(gate_up, out) }
    },
    attend: |queries, cache, scores, out| {
        // SAFETY: as above.
        unsafe { attend(queries, cache, scores, out) }
    },
};

/// One block of sixteen rows, unpacked: for each four columns, four bytes a row.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct PanelBlock {
    weights: [[[u8; 32]; 2]; 8],
    scales: [[f32; 8]; 2],
    minima: [[f32; 8]; 2],
}

impl PanelBlock {
    const EMPTY: Self =
        Self { weights: [[[0; 32]; 2]; 8], scales: [[0.0; 8]; 2], minima: [[0.0; 8]; 2] };
}

/// Tokens from which unpacking a panel pays.
const PANEL_TOKENS: usize = 4;
/// How far ahead of use weights are fetched when they stream by.
const PREFETCH_BYTES: usize = 8192;

#[target_feature(enable = "avx2,f16c")]
fn matmul(
    weights: &MatrixView<'_>,
    groups: Range<usize>,
    input: &Quantised,
    panel: &mut Panel,
    out: &mut [f32],
) {
    let (tokens, width) = (input.rows(), groups.len() * ROWS);
    assert_eq!(out.len(), tokens * width);
    let mut group = groups.start;
    while group < groups.end {
        let column = (group - groups.start) * ROWS;
        let mut out = Target { out: &mut *out, width, column };
        let first = group * weights.blocks;
        let (one, two) = (first..first + weights.blocks, first..first + 2 * weights.blocks);
        let pair = group + 1 < groups.end && tokens >= PANEL_TOKENS;
        match weights.records {
            Records::Q4(records) if pair => {
                unpack_q4(&records[two], &mut panel.blocks);
                sweep_panel(&panel.blocks, input, &mut out);
            }
            Records::Q4(records) => sweep_q4(&records[one], input, &mut out),
            Records::Q8 { weights, scales } if pair => {
                sweep_q8::<2>(&weights[two.clone()], &scales[two], input, &mut out);
            }
            Records::Q8 { weights, scales } => {
                sweep_q8::<1>(&weights[one.clone()], &scales[one], input, &mut out);
            }
        }
        group += if pair { 2 } else { 1 };
    }
}

/// Where the rows of one or two groups go: `out[token * width + column..]`.
struct Target<'a> {
    out: &'a mut [f32],
    width: usize,
    column: usize,
}

impl Target<'_> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn put(&mut self, token: usize, half: usize, rows: __m256) {
        let out = &mut self.out[token * self.width + self.column + half * ROWS..];
        store(&mut out.as_chunks_mut().0[0], rows);
    }
}

/// Calls `$tile::<N>(first token)` for tiles of 4, then 2, then 1 tokens.
macro_rules! tiles {
    ($tokens:expr, $first:ident => $($tile:tt)*) => {{
        let (tokens, mut $first) = ($tokens, 0);
        while $first + 4 <= tokens { const N: usize = 4; $($tile)*; $first += N; }
        if $first + 2 <= tokens { const N: usize = 2; $($tile)*; $first += N; }
        if $first < tokens { const N: usize = 1; $($tile)*; }
    }};
}

#[target_feature(enable = "avx2,f16c")]
fn sweep_q4(records: &[[u8; Q4_RECORD]], input: &Quantised, out: &mut Target<'_>) {
    tiles!(input.rows(), first => {
        let acc = tile_q4::<N>(records, rows(input, first));
        for (t, acc) in acc.into_iter().enumerate() { out.put(first + t, 0, acc); }
    });
}

#[target_feature(enable = "avx2,f16c")]
fn sweep_panel(panel: &[PanelBlock], input: &Quantised, out: &mut Target<'_>) {
    tiles!(input.rows(), first => {
        let acc = tile_panel::<N>(panel, rows(input, first));
        for (t, acc) in acc.into_iter().enumerate() {
            out.put(first + t, 0, acc[0]);
            out.put(first + t, 1, acc[1]);
        }
    });
}

/// `G` groups of rows at once.
#[target_feature(enable = "avx2,f16c")]
fn sweep_q8<const G: usize>(
    weights: &[[u8; Q8_RECORD]],
    scales: &[[u8; Q8_SCALES]],
    input: &Quantised,
    out: &mut Target<'_>,
) {
    let blocks = input.blocks;
    let weights: [_; G] = std::array::from_fn(|g| &weights[g * blocks..(g + 1) * blocks]);
    let scales: [_; G] = std::array::from_fn(|g| &scales[g * blocks..(g + 1) * blocks]);
    tiles!(input.rows(), first => {
        let acc = tile_q8::<N, G>(weights, scales, rows(input, first));
        for (t, acc) in acc.into_iter().enumerate() {
            for (g, acc) in acc.into_iter().enumerate() { out.put(first + t, g, acc); }
        }
    });
}

fn rows<const N: usize>(input: &Quantised, first: usize) -> [QuantisedRow<'_>; N] {
    std::array::from_fn(|t| input.row(first + t))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn tile_q4<const N: usize>(
    records: &[[u8; Q4_RECORD]],
    input: [QuantisedRow<'_>; N],
) -> [__m256; N] {
    let low = _mm256_set1_epi8(15);
    let mut acc = [_mm256_setzero_ps(); N];
    for (block, record) in records.iter().enumerate() {
        if N == 1 {
            prefetch(record);
        }
        let mut nibbles = [_mm256_setzero_si256(); 8];
        for j in 0..4 {
            let bytes = load_bytes(&record.as_chunks().0[j]);
            nibbles[j] = _mm256_and_si256(bytes, low);
            nibbles[j + 4] = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low);
        }
        let scales = load_halves(&record.as_chunks().0[8]);
        let minima = load_halves(&record.as_chunks().0[9]);
        for t in 0..N {
            let values = &input[t].values[block];
            // Eight products of pairs: at most 8 * 2 * 15 * 127 = 30480, no overflow.
            let mut sum = _mm256_maddubs_epi16(nibbles[0], broadcast(values, 0));
            for (j, nibbles) in nibbles.iter().enumerate().skip(1) {
                sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(*nibbles, broadcast(values, j)));
            }
            acc[t] = add_block_q4(acc[t], sum, scales, minima, &input[t], block);
        }
    }
    acc
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn tile_panel<const N: usize>(
    panel: &[PanelBlock],
    input: [QuantisedRow<'_>; N],
) -> [[__m256; 2]; N] {
    let mut acc = [[_mm256_setzero_ps(); 2]; N];
    for (block, weights) in panel.iter().enumerate() {
        let mut sums = [[_mm256_setzero_si256(); 2]; N];
        for (j, [first, second]) in weights.weights.iter().enumerate() {
            let (first, second) = (load_bytes(first), load_bytes(second));
            for t in 0..N {
                let values = broadcast(&input[t].values[block], j);
                let first = _mm256_maddubs_epi16(first, values);
                let second = _mm256_maddubs_epi16(second, values);
                sums[t][0] = _mm256_add_epi16(sums[t][0], first);
                sums[t][1] = _mm256_add_epi16(sums[t][1], second);
            }
        }
        for t in 0..N {
            for half in 0..2 {
                let (scales, minima) = (load(&weights.scales[half]), load(&weights.minima[half]));
                let sum = sums[t][half];
                acc[t][half] = add_block_q4(acc[t][half], sum, scales, minima, &input[t], block);
            }
        }
    }
    acc
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_block_q4(
    acc: __m256,
    sum: __m256i,
    scales: __m256,
    minima: __m256,
    input: &QuantisedRow<'_>,
    block: usize,
) -> __m256 {
    let dot = _mm256_cvtepi32_ps(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
    let scale = _mm256_mul_ps(scales, _mm256_set1_ps(input.scales[block]));
    let minimum = _mm256_mul_ps(minima, _mm256_set1_ps(input.sums[block]));
    _mm256_add_ps(acc, _mm256_add_ps(_mm256_mul_ps(dot, scale), minimum))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn tile_q8<const N: usize, const G: usize>(
    weights: [&[[u8; Q8_RECORD]]; G],
    scales: [&[[u8; Q8_SCALES]]; G],
    input: [QuantisedRow<'_>; N],
) -> [[__m256; G]; N] {
    let one = _mm256_set1_epi16(1);
    let mut acc = [[_mm256_setzero_ps(); G]; N];
    for block in 0..weights[0].len() {
        let mut sums = [[_mm256_setzero_si256(); G]; N];
        for g in 0..G {
            let record = &weights[g][block];
            if N == 1 {
                prefetch(record);
            }
            for (j, bytes) in record.as_chunks().0.iter().enumerate() {
                let bytes = load_bytes(bytes);
                let magnitudes = _mm256_abs_epi8(bytes);
                for t in 0..N {
                    // |w| <= 128 unsigned, |a| <= 127 signed: a pair is at most 32512.
                    let values = broadcast(&input[t].values[block], j);
                    let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(values, bytes));
                    sums[t][g] = _mm256_add_epi32(sums[t][g], _mm256_madd_epi16(pairs, one));
                }
            }
        }
        for g in 0..G {
            let scales = load_halves(&scales[g][block]);
            for t in 0..N {
                let scale = _mm256_mul_ps(scales, _mm256_set1_ps(input[t].scales[block]));
                let product = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[t][g]), scale);
                acc[t][g] = _mm256_add_ps(acc[t][g], product);
            }
        }
    }
    acc
}

/// Two groups of rows, one behind the other, into one panel.
#[target_feature(enable = "avx2,f16c")]
fn unpack_q4(records: &[[u8; Q4_RECORD]], panel: &mut Vec<PanelBlock>) {
    let low = _mm256_set1_epi8(15);
    let blocks = records.len() / 2;
    panel.resize(blocks, PanelBlock::EMPTY);
    for (index, record) in records.iter().enumerate() {
        let (half, out) = (index / blocks, &mut panel[index % blocks]);
        for j in 0..4 {
            let bytes = load_bytes(&record.as_chunks().0[j]);
            store_bytes(&mut out.weights[j][half], _mm256_and_si256(bytes, low));
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low);
            store_bytes(&mut out.weights[j + 4][half], high);
        }
        store(&mut out.scales[half], load_halves(&record.as_chunks().0[8]));
        store(&mut out.minima[half], load_halves(&record.as_chunks().0[9]));
    }
}

#[target_feature(enable = "avx2")]
fn quantise(x: &[f32], out: &mut Quantised, row: usize) {
    scalar::quantise(x, out, row); // inlined here and compiled with wider vectors
}

#[target_feature(enable = "avx2")]
fn norm(x: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    scalar::norm(x, weights, epsilon, out); // as above
}

#[target_feature(enable = "avx2")]
fn swiglu(gate_up: &[f32], out: &mut [f32]) {
    let (one, sign) = (_mm256_set1_ps(1.0), _mm256_set1_ps(-0.0));
    for (pair, out) in gate_up.as_chunks().0.chunks_exact(2).zip(out.as_chunks_mut().0) {
        let (gate, up) = (load(&pair[0]), load(&pair[1]));
        let silu = _mm256_div_ps(gate, _mm256_add_ps(one, exp(_mm256_xor_ps(gate, sign))));
        store(out, _mm256_mul_ps(silu, up));
    }
}

/// [`crate::exact::math::exp`] in eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn exp(x: __m256) -> __m256 {
    let (set, round) = (_mm256_set1_ps, _mm256_set1_ps(ROUND));
    let x = _mm256_min_ps(_mm256_max_ps(x, set(constants::MIN)), set(constants::MAX));
    let shifted = _mm256_add_ps(_mm256_mul_ps(x, set(constants::LOG2_E)), round);
    let n = _mm256_sub_ps(shifted, round);
    let exponent = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(round));
    let r = _mm256_sub_ps(x, _mm256_mul_ps(n, set(constants::LN2_HIGH)));
    let r = _mm256_sub_ps(r, _mm256_mul_ps(n, set(constants::LN2_LOW)));
    let mut p = set(constants::POLYNOMIAL[0]);
    for c in &constants::POLYNOMIAL[1..] {
        p = _mm256_add_ps(_mm256_mul_ps(p, r), set(*c));
    }
    let y = _mm256_add_ps(_mm256_mul_ps(p, _mm256_mul_ps(r, r)), r);
    let y = _mm256_castps_si256(_mm256_add_ps(y, set(1.0)));
    _mm256_castsi256_ps(_mm256_add_epi32(y, _mm256_slli_epi32::<23>(exponent)))
}

#[target_feature(enable = "avx2,f16c")]
fn attend(queries: &[f32], cache: HeadCache<'_>, scores: &mut [f32], out: &mut [f32]) {
    let (dimension, padded) = (cache.dimension, cache.positions.next_multiple_of(KEY_BLOCK));
    let heads = queries.len() / dimension;
    let mut head = 0;
    // Three heads share each key and value while it is in a register.
    while head < heads {
        let count = if heads - head >= 3 { 3 } else { 1 };
        let queries = &queries[head * dimension..(head + count) * dimension];
        let scores = &mut scores[head * padded..(head + count) * padded];
        let out = &mut out[head * dimension..(head + count) * dimension];
        match count {
            3 => attend_heads::<3>(queries, &cache, scores, out),
            _ => attend_heads::<1>(queries, &cache, scores, out),
        }
        head += count;
    }
}

#[target_feature(enable = "avx2,f16c")]
fn attend_heads<const H: usize>(
    queries: &[f32],
    cache: &HeadCache<'_>,
    scores: &mut [f32],
    out: &mut [f32],
) {
    let (dimension, padded) = (cache.dimension, scores.len() / H);
    let queries: [&[f32]; H] = std::array::from_fn(|h| &queries[h * dimension..][..dimension]);
    for (block, keys) in
        cache.keys.chunks_exact(dimension * KEY_BLOCK).take(padded / KEY_BLOCK).enumerate()
    {
        let dots = key_dots(queries, keys);
        for (h, dots) in dots.into_iter().enumerate() {
            let scores = &mut scores[h * padded + block * KEY_BLOCK..][..KEY_BLOCK];
            let scores = scores.as_chunks_mut().0;
            store(&mut scores[0], dots[0]);
            store(&mut scores[1], dots[1]);
        }
    }
    let mut inverse = [0f32; H];
    for (scores, inverse) in scores.chunks_exact_mut(padded).zip(&mut inverse) {
        scores[cache.positions..].fill(f32::NEG_INFINITY);
        *inverse = 1.0 / softmax(scores);
    }
    let scores: [&[f32]; H] = std::array::from_fn(|h| &scores[h * padded..][..cache.positions]);
    let mut column = 0;
    while column < dimension {
        if dimension - column >= 32 {
            values_sum::<H, 4>(scores, cache, column, inverse, out);
            column += 32;
        } else {
            values_sum::<H, 1>(scores, cache, column, inverse, out);
            column += 8;
        }
    }
}

/// The scores of sixteen keys; lanes are keys, dimensions in order.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn key_dots<const H: usize>(queries: [&[f32]; H], keys: &[u16]) -> [[__m256; 2]; H] {
    let mut acc = [[_mm256_setzero_ps(); 2]; H];
    for (d, keys) in keys.as_chunks::<8>().0.chunks_exact(2).enumerate() {
        let (first, second) = (widen(&keys[0]), widen(&keys[1]));
        for h in 0..H {
            let query = _mm256_set1_ps(queries[h][d]);
            acc[h][0] = _mm256_add_ps(acc[h][0], _mm256_mul_ps(query, first));
            acc[h][1] = _mm256_add_ps(acc[h][1], _mm256_mul_ps(query, second));
        }
    }
    acc
}

/// `8 * C` dimensions of the weighted sum of values from `column`; lanes are dimensions,
/// positions in order.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn values_sum<const H: usize, const C: usize>(
    scores: [&[f32]; H],
    cache: &HeadCache<'_>,
    column: usize,
    inverse: [f32; H],
    out: &mut [f32],
) {
    let mut acc = [[_mm256_setzero_ps(); C]; H];
    let values = cache.values.chunks_exact(cache.dimension).take(cache.positions);
    for (position, values) in values.enumerate() {
        let values = values[column..column + 8 * C].as_chunks().0;
        for c in 0..C {
            let value = widen(&values[c]);
            for h in 0..H {
                let score = _mm256_set1_ps(scores[h][position]);
                acc[h][c] = _mm256_add_ps(acc[h][c], _mm256_mul_ps(score, value));
            }
        }
    }
    for h in 0..H {
        let out = &mut out[h * cache.dimension + column..][..8 * C];
        for (c, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            store(out, _mm256_mul_ps(acc[h][c], _mm256_set1_ps(inverse[h])));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn softmax(scores: &mut [f32]) -> f32 {
    let scores = scores.as_chunks_mut::<8>().0;
    let infinity = _mm256_set1_ps(f32::NEG_INFINITY);
    let mut lanes = infinity;
    for scores in scores.iter() {
        lanes = _mm256_max_ps(load(scores), lanes);
    }
    let mut largest = [0f32; 8];
    store(&mut largest, lanes);
    let mut max = f32::NEG_INFINITY;
    for lane in largest {
        max = if lane > max { lane } else { max };
    }
    let max = _mm256_set1_ps(max);
    let mut sums = _mm256_setzero_ps();
    for scores in scores {
        let score = load(scores);
        let masked = _mm256_cmp_ps::<_CMP_EQ_OQ>(score, infinity);
        let weight = _mm256_andnot_ps(masked, exp(_mm256_sub_ps(score, max)));
        store(scores, weight);
        sums = _mm256_add_ps(sums, weight);
    }
    let mut lanes = [0f32; 8];
    store(&mut lanes, sums);
    sum_lanes(lanes)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(floats: &[f32; 8]) -> __m256 {
    // SAFETY: the array is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_ps(floats.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(floats: &mut [f32; 8], vector: __m256) {
    // SAFETY: the array is 32 writable bytes; the store needs no alignment.
    unsafe { _mm256_storeu_ps(floats.as_mut_ptr(), vector) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the array is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_bytes(bytes: &mut [u8; 32], vector: __m256i) {
    // SAFETY: the array is 32 writable bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

/// Eight little-endian halves, widened.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn load_halves(bytes: &[u8; 16]) -> __m256 {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn widen(halves: &[u16; 8]) -> __m256 {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(halves.as_ptr().cast()) })
}

/// Four values, `4 * j` and on, in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn broadcast(values: &[i8; BLOCK], j: usize) -> __m256i {
    let four = values.as_chunks::<4>().0[j];
    _mm256_set1_epi32(i32::from_le_bytes(four.map(i8::cast_unsigned)))
}

/// Fetches what lies [`PREFETCH_BYTES`] behind `record`; past the end of the weights it does nothing.
#[inline]
#[target_feature(enable = "avx2")]
fn prefetch<const N: usize>(record: &[u8; N]) {
    let ahead = record.as_ptr().wrapping_add(PREFETCH_BYTES).cast::<i8>();
    for line in 0..N.div_ceil(64) {
        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line * 64)); // a hint: it never faults
    }
}
