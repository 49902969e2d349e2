//! The operations in which the time goes, once as a definition and once for each instruction set.
//!
//! [`scalar`] is the definition: plain Rust, in the order that `docs/ARITHMETIC.md` states. [`avx2`]
//! gives the same bits. The choice is made once, at run time, and cannot be seen in any result.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub(crate) mod scalar;

use std::ops::Range;

use super::activation::Quantised;
use super::weights::MatrixView;

/// Which instructions to use. The results are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InstructionSet {
    /// The best the machine has.
    #[default]
    Detect,
    /// Portable code, about ten times slower: the definition.
    Scalar,
}

/// The keys and values of one head, as half-precision bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadCache<'a> {
    /// `[block of 16 positions][dimension][16]`.
    pub(crate) keys: &'a [u16],
    /// `[position][dimension]`.
    pub(crate) values: &'a [u16],
    /// Dimension of a head.
    pub(crate) dimension: usize,
    /// Positions that are seen: the first so many.
    pub(crate) positions: usize,
}

/// Positions of one block of keys.
pub(crate) const KEY_BLOCK: usize = 16;

/// A token tile's unpacked weights, kept by each worker.
#[derive(Debug, Default)]
pub(crate) struct Panel {
    #[cfg(target_arch = "x86_64")]
    pub(crate) blocks: Vec<avx2::PanelBlock>,
}

/// One implementation of every operation.
#[derive(Debug)]
pub(crate) struct Kernels {
    pub(crate) name: &'static str,
    /// `out[row of input][8 * (group - groups.start) + r]` = weights of (group, r) times the row.
    pub(crate) matmul: fn(&MatrixView<'_>, Range<usize>, &Quantised, &mut Panel, &mut [f32]),
    /// Quantises one row into row `.2` of the activations.
    pub(crate) quantise: fn(&[f32], &mut Quantised, usize),
    /// RMS norm: `(row, weights, epsilon, out)`.
    pub(crate) norm: fn(&[f32], &[f32], f32, &mut [f32]),
    /// `(gate_up, out)`: eight gates, eight ups in turn; `out = gate / (1 + exp(-gate)) * up`.
    pub(crate) swiglu: fn(&[f32], &mut [f32]),
    /// Attention of the query heads of one group: `(queries, cache, scores, out)`. Scores are
    /// scratch of [`scores_length`] entries.
    pub(crate) attend: fn(&[f32], HeadCache<'_>, &mut [f32], &mut [f32]),
}

impl Kernels {
    /// The kernels to use on this machine.
    pub(crate) fn select(set: InstructionSet) -> &'static Self {
        match set {
            InstructionSet::Scalar => &scalar::KERNELS,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Detect => avx2::kernels().unwrap_or(&scalar::KERNELS),
            #[cfg(not(target_arch = "x86_64"))]
            InstructionSet::Detect => &scalar::KERNELS,
        }
    }
}

/// Scratch that [`Kernels::attend`] needs for so many heads and positions.
pub(crate) fn scores_length(heads: usize, positions: usize) -> usize {
    heads * positions.next_multiple_of(KEY_BLOCK)
}

/// Adds eight lanes in the fixed tree.
#[inline(always)]
pub(crate) fn sum_lanes(a: [f32; 8]) -> f32 {
    ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
}

#[cfg(test)]
mod tests;
