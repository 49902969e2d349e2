//! Multinomial logistic regression on frozen embeddings, by gradient descent from zero with a fixed
//! step: the same examples in the same order give the same bits.

use alloy_primitives::{B256, keccak256};
use serde::Serialize;
use vouch_core::commitment;

use super::Examples;
use crate::{Error, Result, search::dot};

const ROUNDS: usize = 150;
const STEP: f32 = 8.0;
/// Of the squared weights: keeps a separable problem from running off.
const DECAY: f32 = 1e-4;

/// A trained classifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classifier {
    /// Of the model that embeds.
    pub embedding: B256,
    /// Names of the labels, sorted.
    pub labels: Vec<String>,
    /// Vectors' length.
    pub dimensions: usize,
    /// For each label its weights, then its bias.
    pub weights: Vec<Vec<f32>>,
}

impl Classifier {
    /// Trains on examples whose labels are numbers of `labels`.
    ///
    /// # Errors
    /// [`Error::Malformed`] without examples, or if a label has no name.
    pub fn train(embedding: B256, labels: &[String], examples: &Examples) -> Result<Self> {
        let known = |label: &u32| (*label as usize) < labels.len();
        if examples.is_empty() || !examples.labels().iter().all(known) {
            return Err(Error::malformed("training set", "it is empty, or a label has no name"));
        }
        let dimensions = examples.dimensions();
        let weights = vec![vec![0f32; dimensions + 1]; labels.len()];
        let mut classifier = Self { embedding, labels: labels.to_vec(), dimensions, weights };
        for _ in 0..ROUNDS {
            classifier.step(examples);
        }
        Ok(classifier)
    }

    fn step(&mut self, examples: &Examples) {
        let mut gradient = vec![vec![0f32; self.dimensions + 1]; self.labels.len()];
        for (index, label) in examples.labels().iter().enumerate() {
            let vector = examples.vector(index);
            let likely = self.probabilities(vector);
            for (class, gradient) in gradient.iter_mut().enumerate() {
                let wanted = if class == *label as usize { 1.0 } else { 0.0 };
                let error = likely[class] - wanted;
                for (sum, value) in gradient.iter_mut().zip(vector) {
                    *sum += error * value;
                }
                gradient[self.dimensions] += error;
            }
        }
        let rate = STEP / examples.len() as f32;
        for (weights, gradient) in self.weights.iter_mut().zip(gradient) {
            for (weight, slope) in weights.iter_mut().zip(gradient) {
                *weight -= rate * slope + STEP * DECAY * *weight;
            }
        }
    }

    /// The probability of each label. `exp` is libm's own, the same on every machine.
    #[must_use]
    pub fn probabilities(&self, vector: &[f32]) -> Vec<f32> {
        let score = |weights: &Vec<f32>| {
            let (weights, bias) = weights.split_at(self.dimensions);
            dot(weights, vector) + bias[0]
        };
        let scores: Vec<f32> = self.weights.iter().map(score).collect();
        let largest = scores.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f32> = scores.iter().map(|score| libm::expf(score - largest)).collect();
        let sum: f32 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// The number of the likeliest label; of equal ones the first.
    #[must_use]
    pub fn classify(&self, vector: &[f32]) -> u32 {
        let likely = self.probabilities(vector);
        let mut best = 0;
        for (class, probability) in likely.iter().enumerate() {
            if *probability > likely[best] {
                best = class;
            }
        }
        best as u32
    }

    /// How many of `examples` it labels right.
    #[must_use]
    pub fn right(&self, examples: &Examples) -> usize {
        let labels = examples.labels().iter().enumerate();
        labels.filter(|(index, label)| self.classify(examples.vector(*index)) == **label).count()
    }

    /// What the model is, bit for bit: keccak-256 over its parts.
    ///
    /// # Errors
    /// [`Error::Core`] never, for a classifier that was trained.
    pub fn identity(&self) -> Result<B256> {
        let head = serde_json::json!({
            "kind": "multinomial logistic regression",
            "version": 1,
            "embedding": self.embedding,
            "labels": self.labels,
            "dimensions": self.dimensions,
            "weights": keccak256(self.bytes()),
        });
        Ok(commitment::canonical_hash(&head)?)
    }

    fn bytes(&self) -> Vec<u8> {
        self.weights.iter().flatten().flat_map(|weight| weight.to_le_bytes()).collect()
    }
}
