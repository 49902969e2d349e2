//! One pass of an encoder over any number of texts at once.
//!
//! Texts lie one behind the other without padding. Between two attentions everything concerns one
//! token alone, so a thread takes a chunk of tokens all the way; attention is shared out by text
//! and head. Neither changes a bit.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::config::Config;
use super::kernels::{Kernels, Panels, ROWS, TILE, Tiles};
use super::weights::{Layer, Linear, Norm, Weights};
use crate::Error;
use crate::exact::InstructionSet;
use crate::exact::threads::Pool;

/// Tokens of a chunk at most: its inner activations fit the L2 cache.
const CHUNK_TOKENS: usize = 48;
/// Tokens of a pass at most (but for a single text): a bound on memory, some 8 KB a token.
const PASS_TOKENS: usize = 4096;

/// A model with the threads that compute it.
#[derive(Debug)]
pub(super) struct Runner {
    model: Model,
    pool: Pool,
    scratch: Vec<Mutex<Scratch>>,
    /// Rows of the residual stream, of queries, keys and values: one a token.
    stream: Vec<f32>,
    query_key_value: Vec<f32>,
    /// Attention's outputs as `[text][head][token of the text][dimension]`.
    attended: Vec<f32>,
}

#[derive(Debug)]
struct Model {
    config: Config,
    weights: Weights,
    kernels: &'static Kernels,
}

/// What each worker keeps to work with.
#[derive(Debug, Default)]
struct Scratch {
    tiles: Tiles,
    products: Vec<f32>,
    keys: Panels,
    values: Panels,
    scores: Vec<f32>,
}

/// Where a token belongs: the text's first token in the pass, its length, the place in it.
#[derive(Debug, Clone, Copy)]
struct Place {
    id: u32,
    first: usize,
    length: usize,
    position: usize,
}

impl Runner {
    /// # Errors
    /// [`Error::Io`] where the system gives no more threads.
    pub(super) fn new(
        config: Config,
        weights: Weights,
        set: InstructionSet,
        threads: usize,
    ) -> Result<Self, Error> {
        let pool =
            Pool::new(threads).map_err(|source| Error::Io { path: "threads".into(), source })?;
        let scratch = (0..pool.threads()).map(|_| Mutex::default()).collect();
        let model = Model { config, weights, kernels: Kernels::select(set) };
        let [stream, query_key_value, attended] = [const { Vec::new() }; 3];
        Ok(Self { model, pool, scratch, stream, query_key_value, attended })
    }

    pub(super) fn instruction_set(&self) -> &'static str {
        self.model.kernels.name
    }

    /// One vector a text.
    ///
    /// # Panics
    /// Where a text is empty, too long, or has an id outside the vocabulary: the caller has checked.
    pub(super) fn embed(&mut self, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let mut tokens = 0;
            let fitting = rest.iter().take_while(|text| {
                tokens += text.len();
                tokens <= PASS_TOKENS
            });
            let (pass, later) = rest.split_at(fitting.count().max(1));
            self.pass(pass, &mut vectors);
            rest = later;
        }
        vectors
    }

    fn pass(&mut self, texts: &[Vec<u32>], vectors: &mut Vec<Vec<f32>>) {
        let places = places(texts);
        let width = self.model.config.width;
        self.stream.resize(places.len() * width, 0.0);
        self.query_key_value.resize(places.len() * 3 * width, 0.0);
        self.attended.resize(places.len() * width, 0.0);
        self.advance(&places, None, Some(0));
        for index in 0..self.model.config.layers {
            self.attend(texts);
            let next = (index + 1 < self.model.config.layers).then_some(index + 1);
            self.advance(&places, Some(index), next);
        }
        let mut rows = self.stream.as_slice();
        for text in texts {
            let (own, rest) = rows.split_at(text.len() * width);
            vectors.push(pool(own, width));
            rows = rest;
        }
    }

    /// Everything between two attentions: the rest of layer `done` (or the embedding), then the
    /// queries, keys and values of layer `next`.
    fn advance(&mut self, places: &[Place], done: Option<usize>, next: Option<usize>) {
        let (model, attended, scratch) = (&self.model, &self.attended, &self.scratch);
        let width = model.config.width;
        let share = places.len().div_ceil(self.pool.threads()).next_multiple_of(TILE);
        let chunk = share.min(CHUNK_TOKENS);
        let streams = self.stream.chunks_mut(chunk * width);
        let projections = self.query_key_value.chunks_mut(chunk * 3 * width);
        let parts = places.chunks(chunk).zip(streams).zip(projections);
        self.pool.for_each(parts, |worker, ((places, stream), projection)| {
            let scratch = &mut *lock(&scratch[worker]);
            match done {
                None => model.embedding(places, stream),
                Some(index) => {
                    let layer = &model.weights.layers[index];
                    model.finish(layer, places, attended, stream, scratch);
                }
            }
            if let Some(next) = next {
                let Linear { panels, bias } = &model.weights.layers[next].query_key_value;
                scratch.tiles.fill(stream, width);
                (model.kernels.matmul)(panels, &scratch.tiles, Some(bias), projection);
            }
        });
    }

    fn attend(&mut self, texts: &[Vec<u32>]) {
        let (model, scratch) = (&self.model, &self.scratch);
        let (width, dimension) = (model.config.width, model.config.head_dimension());
        let mut parts = Vec::with_capacity(texts.len() * model.config.heads);
        let (mut rows, mut outs) = (self.query_key_value.as_slice(), self.attended.as_mut_slice());
        for text in texts {
            let (own, later) = rows.split_at(text.len() * 3 * width);
            let (out, others) = outs.split_at_mut(text.len() * width);
            let heads = out.chunks_exact_mut(text.len() * dimension).enumerate();
            parts.extend(heads.map(|(head, out)| (own, head, out)));
            (rows, outs) = (later, others);
        }
        self.pool.for_each(parts.into_iter(), |worker, (rows, head, out)| {
            model.attention(rows, head, out, &mut lock(&scratch[worker]));
        });
    }
}

impl Model {
    fn embedding(&self, places: &[Place], stream: &mut [f32]) {
        let Weights { words, positions, kind, norm, .. } = &self.weights;
        let width = self.config.width;
        for (place, row) in places.iter().zip(stream.chunks_exact_mut(width)) {
            row.copy_from_slice(&words[place.id as usize * width..][..width]);
            row.iter_mut().zip(kind).for_each(|(x, kind)| *x += kind);
            self.add_norm(row, &positions[place.position * width..][..width], norm);
        }
    }

    fn finish(
        &self,
        layer: &Layer,
        places: &[Place],
        attended: &[f32],
        stream: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (width, dimension) = (self.config.width, self.config.head_dimension());
        let Scratch { tiles, products, .. } = scratch;
        tiles.reset(places.len(), width);
        for (token, Place { first, length, position, .. }) in places.iter().enumerate() {
            for head in 0..self.config.heads {
                let start = first * width + (head * length + position) * dimension;
                tiles.set(token, head * dimension, &attended[start..][..dimension]);
            }
        }
        self.project(&layer.output, tiles, products, places.len());
        self.add_norms(stream, products, &layer.attention_norm);
        tiles.fill(stream, width);
        self.project(&layer.up, tiles, products, places.len());
        (self.kernels.gelu)(products);
        tiles.fill(products, self.config.feed_forward);
        self.project(&layer.down, tiles, products, places.len());
        self.add_norms(stream, products, &layer.output_norm);
    }

    /// Attention of one head over a text: `rows` are its queries, keys and values.
    fn attention(&self, rows: &[f32], head: usize, out: &mut [f32], scratch: &mut Scratch) {
        let (width, dimension) = (self.config.width, self.config.head_dimension());
        let (tokens, scale) = (rows.len() / (3 * width), 1.0 / (dimension as f32).sqrt());
        let part = |token: usize, which: usize| {
            &rows[token * 3 * width + which * width + head * dimension..][..dimension]
        };
        let Scratch { tiles, keys, values, scores, products } = scratch;
        keys.reset(tokens, dimension);
        values.reset(dimension, tokens);
        for token in 0..tokens {
            keys.set_row(token, part(token, 1));
            values.set_column(token, part(token, 2));
        }
        let padded = tokens.next_multiple_of(ROWS);
        for (block, out) in out.chunks_mut(CHUNK_TOKENS * dimension).enumerate() {
            let queries = out.len() / dimension;
            tiles.reset(queries, dimension);
            products.resize(dimension, 0.0);
            for query in 0..queries {
                let row = part(block * CHUNK_TOKENS + query, 0);
                products.iter_mut().zip(row).for_each(|(scaled, x)| *scaled = x * scale);
                tiles.set(query, 0, products);
            }
            scores.resize(queries * padded, 0.0);
            (self.kernels.matmul)(keys, tiles, None, scores);
            tiles.reset(queries, tokens);
            products.resize(queries, 0.0);
            for (query, scores) in scores.chunks_exact_mut(padded).enumerate() {
                scores[tokens..].fill(f32::NEG_INFINITY);
                products[query] = 1.0 / (self.kernels.softmax)(scores);
                tiles.set(query, 0, &scores[..tokens]);
            }
            (self.kernels.matmul)(values, tiles, None, out);
            for (out, inverse) in out.chunks_exact_mut(dimension).zip(products.iter()) {
                out.iter_mut().for_each(|x| *x *= inverse);
            }
        }
    }

    fn project(&self, linear: &Linear, input: &Tiles, out: &mut Vec<f32>, tokens: usize) {
        out.resize(tokens * linear.panels.width(), 0.0);
        (self.kernels.matmul)(&linear.panels, input, Some(&linear.bias), out);
    }

    fn add_norms(&self, stream: &mut [f32], terms: &[f32], norm: &Norm) {
        let width = self.config.width;
        for (row, terms) in stream.chunks_exact_mut(width).zip(terms.chunks_exact(width)) {
            self.add_norm(row, terms, norm);
        }
    }

    fn add_norm(&self, row: &mut [f32], terms: &[f32], norm: &Norm) {
        let epsilon = self.config.norm_epsilon;
        (self.kernels.add_norm)(row, terms, (&norm.weight, &norm.bias), epsilon);
    }
}

fn places(texts: &[Vec<u32>]) -> Vec<Place> {
    let mut places = Vec::new();
    for text in texts {
        assert!(!text.is_empty(), "a text without tokens");
        let (first, length) = (places.len(), text.len());
        let ids = text.iter().enumerate();
        places.extend(ids.map(|(position, id)| Place { id: *id, first, length, position }));
    }
    places
}

/// The mean of a text's rows, divided by its length.
fn pool(rows: &[f32], width: usize) -> Vec<f32> {
    let mut vector = vec![0f32; width];
    for row in rows.chunks_exact(width) {
        vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    let count = (rows.len() / width) as f32;
    let mut squares = [0f32; 8];
    for lanes in vector.as_chunks_mut::<8>().0 {
        for (x, square) in lanes.iter_mut().zip(&mut squares) {
            *x /= count;
            *square += *x * *x;
        }
    }
    let length = crate::exact::kernels::sum_lanes(squares).sqrt();
    let length = if length > 1e-12 { length } else { 1e-12 };
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

/// Scratch is written before it is read, so a panic elsewhere does not matter.
fn lock(scratch: &Mutex<Scratch>) -> MutexGuard<'_, Scratch> {
    scratch.lock().unwrap_or_else(PoisonError::into_inner)
}
