//! Activations as the integer kernels take them: blocks of 32 signed bytes, a scale and a scaled sum.

use super::weights::BLOCK;

/// Rows (one a token) of quantised activations.
#[derive(Debug, Default)]
pub(crate) struct Quantised {
    /// Blocks of one row.
    pub(crate) blocks: usize,
    pub(crate) values: Vec<[i8; BLOCK]>,
    /// One a block: `value * scale` is the activation.
    pub(crate) scales: Vec<f32>,
    /// One a block: `scale * sum of values`, what a weight block's minimum multiplies.
    pub(crate) sums: Vec<f32>,
}

/// One row of [`Quantised`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuantisedRow<'a> {
    pub(crate) values: &'a [[i8; BLOCK]],
    pub(crate) scales: &'a [f32],
    pub(crate) sums: &'a [f32],
}

impl Quantised {
    /// Makes room for `rows` rows of `columns` columns; what they hold is unspecified.
    pub(crate) fn resize(&mut self, rows: usize, columns: usize) {
        self.blocks = columns / BLOCK;
        self.values.resize(rows * self.blocks, [0; BLOCK]);
        self.scales.resize(rows * self.blocks, 0.0);
        self.sums.resize(rows * self.blocks, 0.0);
    }

    /// Rows held.
    pub(crate) fn rows(&self) -> usize {
        self.scales.len() / self.blocks
    }

    /// The row of one token.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> QuantisedRow<'_> {
        let blocks = row * self.blocks..(row + 1) * self.blocks;
        QuantisedRow {
            values: &self.values[blocks.clone()],
            scales: &self.scales[blocks.clone()],
            sums: &self.sums[blocks],
        }
    }

    /// The parts of one row, to be written.
    #[inline(always)]
    pub(crate) fn row_mut(&mut self, row: usize) -> (&mut [[i8; BLOCK]], &mut [f32], &mut [f32]) {
        let blocks = row * self.blocks..(row + 1) * self.blocks;
        (&mut self.values[blocks.clone()], &mut self.scales[blocks.clone()], &mut self.sums[blocks])
    }
}
