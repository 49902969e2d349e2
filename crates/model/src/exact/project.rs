//! One matrix product with what comes right before and after it, spread over the threads.
//!
//! Many tokens are split by tokens (a thread unpacks weights for itself, and reuses them); few
//! tokens are split by rows (each weight is read once in all). Neither changes a bit.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::activation::Quantised;
use super::kernels::{Kernels, Panel};
use super::threads::Pool;
use super::weights::{Matrix, MatrixView, ROWS, Weights};

/// What is done to a row of f32 before it is quantised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before<'a> {
    Nothing,
    /// RMS norm with these weights and epsilon.
    Norm(&'a [f32], f32),
}

/// What is done with the products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Store,
    /// Added to what is in `out`.
    Add,
    /// Gates and ups, eight in turn, become half as many.
    SwiGlu,
}

/// What each worker keeps to work with.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    panel: Panel,
    quantised: Quantised,
    normed: Vec<f32>,
    products: Vec<f32>,
    pub(crate) queries: Vec<f32>,
    pub(crate) scores: Vec<f32>,
}

/// Computes products; owns the threads.
#[derive(Debug)]
pub(crate) struct Projector {
    pub(crate) kernels: &'static Kernels,
    pub(crate) pool: Pool,
    scratch: Vec<Mutex<Scratch>>,
    /// Of the few tokens that are split by rows: their activations, and each part's products.
    quantised: Quantised,
    parts: Vec<f32>,
}

/// Tokens of a tile: its activations fit the L2 cache, and unpacking is a small share of the work.
const TILE_TOKENS: usize = 64;
/// Tokens per thread from which they are split by tokens.
const SPLIT_TOKENS: usize = 4;
/// Parts per thread of a split by rows, for balance on a machine that does other things too.
const PARTS_PER_THREAD: usize = 2;

impl Projector {
    pub(crate) fn new(kernels: &'static Kernels, pool: Pool) -> Self {
        let scratch = (0..pool.threads()).map(|_| Mutex::default()).collect();
        Self { kernels, pool, scratch, quantised: Quantised::default(), parts: Vec::new() }
    }

    /// The scratch of a worker, which nobody else asks for at the same time.
    pub(crate) fn scratch(&self, worker: usize) -> MutexGuard<'_, Scratch> {
        self.scratch[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `out[token] = after(matrix * before(input[token]))` for each row of `input`.
    pub(crate) fn project(
        &mut self,
        (weights, matrix): (&Weights, &Matrix),
        before: Before<'_>,
        after: After,
        input: &[f32],
        out: &mut [f32],
    ) {
        let view = weights.view(matrix);
        let tokens = input.len() / matrix.columns;
        if tokens >= SPLIT_TOKENS * self.pool.threads() {
            self.split_tokens(&view, matrix, before, after, input, out);
        } else {
            self.split_rows(&view, matrix, before, after, input, out);
        }
    }

    fn split_tokens(
        &self,
        view: &MatrixView<'_>,
        matrix: &Matrix,
        before: Before<'_>,
        after: After,
        input: &[f32],
        out: &mut [f32],
    ) {
        let tokens = input.len() / matrix.columns;
        let tile = tokens.div_ceil(self.pool.threads()).next_multiple_of(4).min(TILE_TOKENS);
        let inputs = input.chunks(tile * matrix.columns);
        let outs = out.chunks_mut(tile * after.width(matrix.rows));
        self.pool.for_each(inputs.zip(outs), |worker, (input, out)| {
            let scratch = &mut *self.scratch(worker);
            quantise(
                self.kernels,
                before,
                input,
                matrix.columns,
                &mut scratch.normed,
                &mut scratch.quantised,
            );
            let groups = 0..matrix.rows / ROWS;
            let Scratch { quantised, panel, products, .. } = scratch;
            compute(self.kernels, view, groups, quantised, panel, products, after, out);
        });
    }

    fn split_rows(
        &mut self,
        view: &MatrixView<'_>,
        matrix: &Matrix,
        before: Before<'_>,
        after: After,
        input: &[f32],
        out: &mut [f32],
    ) {
        let tokens = input.len() / matrix.columns;
        let (mut quantised, mut parts) =
            (std::mem::take(&mut self.quantised), std::mem::take(&mut self.parts));
        {
            let normed = &mut self.scratch(0).normed;
            quantise(self.kernels, before, input, matrix.columns, normed, &mut quantised);
        }
        let groups = matrix.rows / ROWS;
        let per_part = groups.div_ceil(PARTS_PER_THREAD * self.pool.threads()).next_multiple_of(2);
        let part_width = after.width(per_part * ROWS);
        let width = after.width(matrix.rows);
        parts.resize(tokens * width, 0.0);
        // Sums are added when the parts are put together, not into a part's stale contents.
        let in_part = if after == After::Add { After::Store } else { after };
        self.pool.for_each(
            parts.chunks_mut(tokens * part_width).enumerate(),
            |worker, (index, part)| {
                let Scratch { panel, products, .. } = &mut *self.scratch(worker);
                let groups = index * per_part..((index + 1) * per_part).min(groups);
                compute(self.kernels, view, groups, &quantised, panel, products, in_part, part);
            },
        );
        for (index, part) in parts.chunks(tokens * part_width).enumerate() {
            let rows = part.chunks_exact(part.len() / tokens);
            for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
                let out = &mut out[index * part_width..][..row.len()];
                match after {
                    After::Add => add(out, row),
                    After::Store | After::SwiGlu => out.copy_from_slice(row),
                }
            }
        }
        (self.quantised, self.parts) = (quantised, parts);
    }
}

impl After {
    /// How many outputs `rows` products make.
    fn width(self, rows: usize) -> usize {
        match self {
            Self::SwiGlu => rows / 2,
            Self::Store | Self::Add => rows,
        }
    }
}

fn quantise(
    kernels: &Kernels,
    before: Before<'_>,
    input: &[f32],
    columns: usize,
    normed: &mut Vec<f32>,
    out: &mut Quantised,
) {
    normed.resize(columns, 0.0);
    out.resize(input.len() / columns, columns);
    for (token, row) in input.chunks_exact(columns).enumerate() {
        match before {
            Before::Nothing => (kernels.quantise)(row, out, token),
            Before::Norm(weights, epsilon) => {
                (kernels.norm)(row, weights, epsilon, normed);
                (kernels.quantise)(normed, out, token);
            }
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "the parts of two structs that are borrowed apart")]
fn compute(
    kernels: &Kernels,
    view: &MatrixView<'_>,
    groups: Range<usize>,
    input: &Quantised,
    panel: &mut Panel,
    products: &mut Vec<f32>,
    after: After,
    out: &mut [f32],
) {
    if after == After::Store {
        return (kernels.matmul)(view, groups, input, panel, out);
    }
    products.resize(input.rows() * groups.len() * ROWS, 0.0);
    (kernels.matmul)(view, groups, input, panel, products);
    match after {
        After::SwiGlu => (kernels.swiglu)(products, out),
        After::Add | After::Store => add(out, products),
    }
}

fn add(out: &mut [f32], terms: &[f32]) {
    for (out, term) in out.iter_mut().zip(terms) {
        *out += term;
    }
}
