//! Run language models so that anyone can repeat what was run, and name what runs.
//!
//! ```text
//! source -> gguf -> tokenizer, template ----.
//!             |                              v
//!             `---> exact (repeatable bits)  Engine -> Started, Delta*, Finished
//!                   upstream (OpenAI API) ---^
//! source -> safetensors -> embed (repeatable bits): texts -> vectors
//! ```
//! Invariants:
//! - The exact engine gives the same bits for one token at a time and any split of a prefill, any
//!   number of threads, and every instruction set (`docs/ARITHMETIC.md`).
//! - The same request with the same seed gives the same tokens, and [`exact::ExactEngine::replay`]
//!   checks an answer with one prefill.
//! - Text comes in whole characters; text behind a stop string never comes at all.
//!
//! What it does not do: price, sign or store anything; train; run on a GPU; retry an upstream.

pub mod commitment;
pub mod embed;
pub mod engine;
pub mod entry;
mod error;
pub mod exact;
pub mod gguf;
pub mod sample;
pub mod source;
pub mod template;
pub mod tokenizer;
pub mod upstream;

pub use engine::{
    Engine, Event, EventStream, FinishReason, GenerateRequest, InputCount, Prompt, Usage,
};
pub use error::Error;
pub use gguf::{Gguf, TensorKind, TensorView};
pub use sample::Sampling;
