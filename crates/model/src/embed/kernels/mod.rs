//! The operations in which an encoder's time goes, as a definition and with AVX2.
//!
//! [`scalar`] is the definition. Every product of matrices, those of attention too, is one
//! operation: each output is a sum of its own, from 0, in the order of columns. Lanes are
//! outputs, so the width of a vector cannot be seen in any result.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod scalar;

use crate::exact::InstructionSet;

/// Rows of a matrix that lie side by side.
pub(crate) const ROWS: usize = 16;
/// Tokens of a tile: with two vectors of rows each, their sums fill the registers.
pub(crate) const TILE: usize = 6;

/// A matrix as `[row / 16][column][16]`; rows past the end are 0.
#[derive(Debug, Default)]
pub(super) struct Panels {
    rows: usize,
    columns: usize,
    data: Vec<[f32; ROWS]>,
}

impl Panels {
    pub(super) fn reset(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.data.clear();
        self.data.resize(rows.div_ceil(ROWS) * columns, [0.0; ROWS]);
    }

    pub(super) fn set_row(&mut self, row: usize, values: &[f32]) {
        assert!(row < self.rows && values.len() == self.columns, "a row of another matrix");
        let panel = &mut self.data[row / ROWS * self.columns..][..self.columns];
        for (lanes, value) in panel.iter_mut().zip(values) {
            lanes[row % ROWS] = *value;
        }
    }

    /// Sets column `column` of all rows, which must be whole panels.
    pub(super) fn set_column(&mut self, column: usize, values: &[f32]) {
        assert!(column < self.columns && values.len() == self.rows, "a column of another matrix");
        for (panel, lanes) in values.as_chunks::<ROWS>().0.iter().enumerate() {
            self.data[panel * self.columns + column] = *lanes;
        }
    }

    /// Numbers in a row of products, with those of the rows that fill the last panel.
    pub(super) fn width(&self) -> usize {
        self.rows.next_multiple_of(ROWS)
    }
}

/// Rows of tokens as tiles `[column][token]` of [`TILE`] tokens, the last with as many as are left.
#[derive(Debug, Default)]
pub(super) struct Tiles {
    tokens: usize,
    columns: usize,
    data: Vec<f32>,
}

impl Tiles {
    pub(super) fn reset(&mut self, tokens: usize, columns: usize) {
        (self.tokens, self.columns) = (tokens, columns);
        self.data.resize(tokens * columns, 0.0);
    }

    /// Sets the numbers of a token from `column` on. What is not set is what was there.
    pub(super) fn set(&mut self, token: usize, column: usize, values: &[f32]) {
        assert!(
            token < self.tokens && column + values.len() <= self.columns,
            "outside of the tile"
        );
        let first = token / TILE * TILE;
        let count = TILE.min(self.tokens - first);
        let tile = &mut self.data[first * self.columns..][..count * self.columns];
        let lanes = tile.chunks_exact_mut(count).skip(column);
        for (lanes, value) in lanes.zip(values) {
            lanes[token - first] = *value;
        }
    }

    /// As [`Tiles::reset`] and [`Tiles::set`] of all rows.
    pub(super) fn fill(&mut self, rows: &[f32], columns: usize) {
        self.reset(rows.len() / columns, columns);
        for (token, row) in rows.chunks_exact(columns).enumerate() {
            self.set(token, 0, row);
        }
    }

    /// The tiles: first token, how many, numbers.
    fn iter(&self) -> impl Iterator<Item = (usize, usize, &[f32])> {
        let tiles = self.data.chunks((TILE * self.columns).max(1)).enumerate();
        tiles.map(|(index, tile)| (index * TILE, TILE.min(self.tokens - index * TILE), tile))
    }
}

type AddNorm = fn(&mut [f32], &[f32], (&[f32], &[f32]), f32);

/// One implementation of every operation.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) name: &'static str,
    /// `out[token][row] = sum over columns of matrix * token, + bias[row]` where there is one;
    /// `out` has rows of [`Panels::width`].
    pub(super) matmul: fn(&Panels, &Tiles, Option<&[f32]>, &mut [f32]),
    /// `row = norm(row + terms)`: `(row, terms, (weight, bias), epsilon)`.
    pub(super) add_norm: AddNorm,
    /// GELU, in place.
    pub(super) gelu: fn(&mut [f32]),
    /// Replaces scores by `exp(score - max)`, exactly 0 for -inf, and returns their sum.
    pub(super) softmax: fn(&mut [f32]) -> f32,
}

impl Kernels {
    pub(super) fn select(set: InstructionSet) -> &'static Self {
        match set {
            InstructionSet::Scalar => &scalar::KERNELS,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Detect => avx2::kernels().unwrap_or(&scalar::KERNELS),
            #[cfg(not(target_arch = "x86_64"))]
            InstructionSet::Detect => &scalar::KERNELS,
        }
    }
}

#[cfg(test)]
mod tests;
