//! Computes a model so that anyone can repeat it bit for bit.
//!
//! ```text
//! GGUF -> weights (repacked) --.
//!         config, RoPE table    v
//! requests -> scheduler -> forward: embedding, layers x (attention, feed-forward), head -> sample
//!                           |            `- cache (halves)
//!                           `- project -> kernels (scalar is the definition; AVX2 the same bits)
//!                                 `- threads
//! ```
//! Arithmetic `vouch-exact/1`: `docs/ARITHMETIC.md`. The bits of an output depend on the model and on
//! the tokens before it; not on how a prompt is split, what else is in a step, how many threads
//! there are, or the instruction set. So a *generation* is checked by one *prefill*: [`ExactEngine::replay`].
//!
//! Runs GGUF models of the llama architecture whose matrices are Q4_1 or Q8_0, without RoPE scaling.

mod activation;
mod cache;
mod config;
mod engine;
mod forward;
pub(crate) mod kernels;
pub(crate) mod math;
mod project;
mod scheduler;
mod sequence;
mod text;
pub(crate) mod threads;
mod weights;

#[cfg(test)]
mod tests;

use alloy_primitives::B256;

use crate::Sampling;
pub use engine::ExactEngine;
pub use kernels::InstructionSet;

/// How an engine runs. None of it changes a result.
#[derive(Debug, Clone)]
pub struct ExactOptions {
    /// Threads that compute; 0 takes as many as the machine offers.
    pub threads: usize,
    /// The most tokens of one request, prompt and answer; 0 takes what the model was trained for.
    pub context_tokens: u32,
    /// The most memory for keys and values, over all requests.
    pub cache_bytes: u64,
    /// Requests that may wait; more are refused.
    pub queue: usize,
    /// Requests that run at the same time; more wait.
    pub active: usize,
    /// Which instructions to use.
    pub instruction_set: InstructionSet,
}

impl Default for ExactOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            context_tokens: 0,
            cache_bytes: 1 << 30,
            queue: 64,
            active: 8,
            instruction_set: InstructionSet::Detect,
        }
    }
}

/// An answer to check.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayRequest {
    /// The prompt's ids.
    pub input_ids: Vec<u32>,
    /// The ids that were generated, all of them.
    pub output_ids: Vec<u32>,
    /// The settings they were drawn with.
    pub sampling: Sampling,
    /// The seed they were drawn with.
    pub seed: [u8; 32],
}

/// What a replay finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// The first id that the model does not draw. Later ones say nothing: they follow a wrong one.
    pub mismatch: Option<Mismatch>,
    /// The commitment of a generation of these ids.
    pub commitment: B256,
}

/// An id that is not the one drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// Its place in the output, from 0.
    pub position: u32,
    /// What the model draws there.
    pub drawn: u32,
    /// What was claimed.
    pub claimed: u32,
}
