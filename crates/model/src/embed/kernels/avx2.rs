//! The operations of [`super::scalar`] with AVX2, bit for bit the same.
//!
//! A panel of sixteen rows stays in the L1 cache while all tiles of tokens pass over it; the sums
//! of a tile, twelve vectors, stay in registers.

#![allow(
    unsafe_code,
    reason = "vector loads and stores take pointers, and the entries call functions of a \
              detected instruction set"
)]

use std::arch::x86_64::*;

use super::{Kernels, Panels, ROWS, TILE, Tiles, scalar};
use crate::exact::kernels::avx2::softmax;

/// The kernels, where this machine has the instructions.
pub(super) fn kernels() -> Option<&'static Kernels> {
    is_x86_feature_detected!("avx2").then_some(&KERNELS)
}

/// Private: only [`kernels`] hands it out, after detection. The SAFETY comments below rely on it.
static KERNELS: Kernels = Kernels {
    name: "avx2",
    matmul: |matrix, input, bias, out| {
        // SAFETY: reachable only through `kernels()`, which has detected avx2.
        unsafe { matmul(matrix, input, bias, out) }
    },
    add_norm: |row, terms, norm, epsilon| {
        // SAFETY: as above.
        unsafe { add_norm(row, terms, norm, epsilon) }
    },
    gelu: |values| {
        // SAFETY: as above.
        unsafe { gelu(values) }
    },
    softmax: |scores| {
        // SAFETY: as above.
        unsafe { softmax(scores) }
    },
};

#[target_feature(enable = "avx2")]
fn matmul(matrix: &Panels, input: &Tiles, bias: Option<&[f32]>, out: &mut [f32]) {
    const { assert!(TILE == 6, "one arm for each size of a tile") };
    let width = matrix.width();
    for (index, panel) in matrix.data.chunks_exact(matrix.columns).enumerate() {
        let bias = bias.map(|bias| &bias.as_chunks::<ROWS>().0[index]);
        for (first, count, tile) in input.iter() {
            let out = &mut out[first * width + index * ROWS..];
            match count {
                6 => sweep::<6>(panel, tile, bias, out, width),
                5 => sweep::<5>(panel, tile, bias, out, width),
                4 => sweep::<4>(panel, tile, bias, out, width),
                3 => sweep::<3>(panel, tile, bias, out, width),
                2 => sweep::<2>(panel, tile, bias, out, width),
                _ => sweep::<1>(panel, tile, bias, out, width),
            }
        }
    }
}

/// Sixteen rows times `N` tokens.
#[inline]
#[target_feature(enable = "avx2")]
fn sweep<const N: usize>(
    panel: &[[f32; ROWS]],
    tile: &[f32],
    bias: Option<&[f32; ROWS]>,
    out: &mut [f32],
    width: usize,
) {
    let mut acc = [[_mm256_setzero_ps(); 2]; N];
    for (weights, values) in panel.iter().zip(tile.as_chunks::<N>().0) {
        let halves = weights.as_chunks().0;
        let (first, second) = (load(&halves[0]), load(&halves[1]));
        for (acc, value) in acc.iter_mut().zip(values) {
            let value = _mm256_set1_ps(*value);
            acc[0] = _mm256_add_ps(acc[0], _mm256_mul_ps(first, value));
            acc[1] = _mm256_add_ps(acc[1], _mm256_mul_ps(second, value));
        }
    }
    if let Some(bias) = bias {
        let halves = bias.as_chunks().0;
        let (first, second) = (load(&halves[0]), load(&halves[1]));
        for acc in &mut acc {
            *acc = [_mm256_add_ps(acc[0], first), _mm256_add_ps(acc[1], second)];
        }
    }
    for (token, acc) in acc.into_iter().enumerate() {
        let halves = out[token * width..][..ROWS].as_chunks_mut().0;
        store(&mut halves[0], acc[0]);
        store(&mut halves[1], acc[1]);
    }
}

#[target_feature(enable = "avx2")]
fn add_norm(row: &mut [f32], terms: &[f32], norm: (&[f32], &[f32]), epsilon: f32) {
    scalar::add_norm(row, terms, norm, epsilon); // inlined here and compiled with wider vectors
}

#[target_feature(enable = "avx2")]
fn gelu(values: &mut [f32]) {
    scalar::gelu(values); // as above
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
