//! One step of a llama model: any number of tokens of any number of sequences at once.
//!
//! What a token's outputs are depends on its own sequence's tokens before it and on nothing else:
//! not on how they were split into steps, nor on what else is in the step.

use std::sync::Arc;

use super::cache::KvCache;
use super::config::Config;
use super::kernels::{InstructionSet, Kernels, scores_length};
use super::math::RopeTable;
use super::project::{After, Before, Projector};
use super::threads::Pool;
use super::weights::{Layer, Weights};
use crate::{Error, Gguf};

/// A model in memory; shared by whoever computes with it.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    weights: Weights,
    rope: RopeTable,
    /// Positions that the RoPE table covers.
    pub(crate) positions: usize,
}

impl Model {
    /// Loads and repacks the model, for sequences of up to `positions` tokens (at most what it
    /// was trained for).
    ///
    /// # Errors
    /// [`Error::Gguf`] and [`Error::Unsupported`].
    pub(crate) fn load(gguf: &Gguf, positions: usize) -> Result<Self, Error> {
        let config = Config::read(gguf)?;
        let weights = Weights::load(gguf, &config)?;
        let positions = positions.min(config.context);
        let rope = RopeTable::new(f64::from(config.rope_base), config.head_dimension, positions);
        Ok(Self { config, weights, rope, positions })
    }
}

/// Which of a segment's tokens give outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    None,
    Last,
    All,
}

/// The next tokens of one sequence.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) cache: &'a mut KvCache,
    pub(crate) tokens: &'a [u32],
    pub(crate) outputs: Outputs,
}

/// Computes steps of one model, one at a time.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) model: Arc<Model>,
    projector: Projector,
    /// Rows of the residual stream, of queries, keys and values, of attention's outputs, of the
    /// feed-forward's inner activations: one row a token.
    stream: Vec<f32>,
    query_key_value: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    /// One row for each output asked for, in the order of segments and tokens.
    hidden: Vec<f32>,
    logits: Vec<f32>,
}

/// Where a token of a step belongs.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: usize,
    position: usize,
}

impl Runner {
    /// # Errors
    /// [`Error::Io`] where the system gives no more threads.
    pub(crate) fn new(
        model: Arc<Model>,
        set: InstructionSet,
        threads: usize,
    ) -> Result<Self, Error> {
        let pool =
            Pool::new(threads).map_err(|source| Error::Io { path: "threads".into(), source })?;
        Ok(Self {
            model,
            projector: Projector::new(Kernels::select(set), pool),
            stream: Vec::new(),
            query_key_value: Vec::new(),
            attended: Vec::new(),
            inner: Vec::new(),
            hidden: Vec::new(),
            logits: Vec::new(),
        })
    }

    /// The name of the instruction set in use.
    pub(crate) fn instruction_set(&self) -> &'static str {
        self.projector.kernels.name
    }

    /// The normalised last hidden state of each output of the last step, `width` entries each.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &[f32]> {
        self.hidden.chunks_exact(self.model.config.width)
    }

    /// The logits of each output of the last step, `vocabulary` entries each.
    pub(crate) fn logits(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.model.config.vocabulary)
    }

    /// Appends each segment's tokens to its cache and computes the outputs asked for.
    ///
    /// # Panics
    /// Where a segment is empty or outgrows its cache or the RoPE table, or a token is not in the
    /// vocabulary: callers have checked that.
    pub(crate) fn step(&mut self, segments: &mut [Segment<'_>]) {
        let model = Arc::clone(&self.model);
        let places = places(segments);
        self.resize(places.len());
        let tokens = segments.iter().flat_map(|segment| segment.tokens);
        for (token, row) in tokens.zip(self.stream.chunks_exact_mut(model.config.width)) {
            model.weights.row(&model.weights.embedding, *token as usize, row);
        }
        for (index, layer) in model.weights.layers.iter().enumerate() {
            self.attention(&model, index, layer, segments, &places);
            self.feed_forward(&model, layer);
        }
        for segment in segments.iter_mut() {
            segment.cache.advance(segment.tokens.len());
        }
        self.outputs(&model, segments);
    }

    fn resize(&mut self, tokens: usize) {
        let config = &self.model.config;
        let queries = config.heads * config.head_dimension;
        let keys = config.kv_heads * config.head_dimension;
        self.stream.resize(tokens * config.width, 0.0);
        self.query_key_value.resize(tokens * (queries + 2 * keys), 0.0);
        self.attended.resize(tokens * queries, 0.0);
        self.inner.resize(tokens * config.feed_forward, 0.0);
    }

    fn attention(
        &mut self,
        model: &Model,
        index: usize,
        layer: &Layer,
        segments: &mut [Segment<'_>],
        places: &[Place],
    ) {
        let norm = Before::Norm(&layer.attention_norm, model.config.norm_epsilon);
        let weights = &model.weights;
        let matrix = (weights, &layer.query_key_value);
        self.projector.project(matrix, norm, After::Store, &self.stream, &mut self.query_key_value);
        self.remember(model, index, segments);
        self.attend(model, index, segments, places);
        let matrix = (weights, &layer.output);
        self.projector.project(
            matrix,
            Before::Nothing,
            After::Add,
            &self.attended,
            &mut self.stream,
        );
    }

    fn feed_forward(&mut self, model: &Model, layer: &Layer) {
        let norm = Before::Norm(&layer.feed_forward_norm, model.config.norm_epsilon);
        let weights = &model.weights;
        let matrix = (weights, &layer.gate_up);
        self.projector.project(matrix, norm, After::SwiGlu, &self.stream, &mut self.inner);
        let matrix = (weights, &layer.down);
        self.projector.project(matrix, Before::Nothing, After::Add, &self.inner, &mut self.stream);
    }

    /// Puts the step's keys and values into the caches.
    fn remember(&self, model: &Model, layer: usize, segments: &mut [Segment<'_>]) {
        let config = &model.config;
        let dimension = config.head_dimension;
        let width = (config.heads + 2 * config.kv_heads) * dimension;
        let mut parts = Vec::with_capacity(segments.len() * config.kv_heads);
        let mut rows = self.query_key_value.as_slice();
        for segment in segments {
            let (own, rest) = rows.split_at(segment.tokens.len() * width);
            rows = rest;
            let first = segment.cache.length();
            let heads = segment.cache.layer_mut(layer).enumerate();
            parts.extend(heads.map(|(head, cache)| (head, cache, first, own)));
        }
        self.projector.pool.for_each(
            parts.into_iter(),
            |worker, (head, mut cache, first, rows)| {
                let rotated = &mut self.projector.scratch(worker).queries;
                for (token, row) in rows.chunks_exact(width).enumerate() {
                    let key = &row[(config.heads + head) * dimension..][..dimension];
                    let value =
                        &row[(config.heads + config.kv_heads + head) * dimension..][..dimension];
                    rotated.clear();
                    rotated.extend_from_slice(key);
                    cache.put(&model.rope, first + token, rotated, value);
                }
            },
        );
    }

    fn attend(&mut self, model: &Model, layer: usize, segments: &[Segment<'_>], places: &[Place]) {
        let config = &model.config;
        let dimension = config.head_dimension;
        let width = (config.heads + 2 * config.kv_heads) * dimension;
        let scale = 1.0 / (dimension as f32).sqrt();
        // A lone token has too few groups to share out evenly; else heads share loaded keys.
        let lone = places.len() == 1 && self.projector.pool.threads() > 1;
        let heads = if lone { 1 } else { config.group() };
        let per_token = config.heads / heads;
        let (projector, rows) = (&self.projector, &self.query_key_value);
        let parts = self.attended.chunks_exact_mut(heads * dimension).enumerate();
        projector.pool.for_each(parts, |worker, (part, out)| {
            let (token, head) = (part / per_token, part % per_token * heads);
            let Place { segment, position } = places[token];
            let scratch = &mut *projector.scratch(worker);
            let queries = &mut scratch.queries;
            queries.clear();
            queries
                .extend_from_slice(&rows[token * width + head * dimension..][..heads * dimension]);
            for query in queries.chunks_exact_mut(dimension) {
                model.rope.rotate(position, query);
                query.iter_mut().for_each(|q| *q *= scale);
            }
            let cache = segments[segment].cache.head(layer, head / config.group(), position + 1);
            scratch.scores.resize(scores_length(heads, position + 1), 0.0);
            (projector.kernels.attend)(queries, cache, &mut scratch.scores, out);
        });
    }

    fn outputs(&mut self, model: &Model, segments: &[Segment<'_>]) {
        let config = &model.config;
        self.hidden.clear();
        let mut rows = self.stream.chunks_exact(config.width);
        for segment in segments {
            let count = segment.tokens.len();
            let skip = match segment.outputs {
                Outputs::None => count,
                Outputs::Last => count - 1,
                Outputs::All => 0,
            };
            for row in rows.by_ref().take(count).skip(skip) {
                let start = self.hidden.len();
                self.hidden.resize(start + config.width, 0.0);
                let (norm, out) = (&model.weights.final_norm, &mut self.hidden[start..]);
                (self.projector.kernels.norm)(row, norm, config.norm_epsilon, out);
            }
        }
        self.logits.resize(self.hidden.len() / config.width * config.vocabulary, 0.0);
        if !self.hidden.is_empty() {
            let head = (&model.weights, &model.weights.head);
            self.projector.project(
                head,
                Before::Nothing,
                After::Store,
                &self.hidden,
                &mut self.logits,
            );
        }
    }
}

fn places(segments: &[Segment<'_>]) -> Vec<Place> {
    let mut places = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        assert!(!segment.tokens.is_empty(), "a segment without tokens");
        let first = segment.cache.length();
        let positions = first..first + segment.tokens.len();
        assert!(positions.end <= segment.cache.capacity(), "a sequence outgrew its cache");
        places.extend(positions.map(|position| Place { segment: index, position }));
    }
    places
}
