//! The seam between whoever sells answers and whatever computes them.
//!
//! ```text
//! GenerateRequest -> Engine::generate -> Started, Delta*, Finished      (or one error, at any time)
//! ```
//! Two engines stand behind it: [`crate::exact`] computes here, bit for bit repeatable;
//! [`crate::upstream`] asks any OpenAI-compatible server.
//!
//! Contract of a stream: at most one `Started`, first; then deltas; then one `Finished` or one
//! `Err`, after which it ends. Dropping it stops the generation within one step. An engine runs at
//! most a bounded number of tokens ahead of its reader, so not reading is how a seller pauses.
//! Nothing is retried and nothing is durable here: what a caller must not lose it writes down itself.

use alloy_primitives::B256;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::entry::ModelEntry;
use crate::{Error, Sampling};

/// What the model reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// A conversation in OpenAI's form, rendered by the model's own chat template.
    Chat {
        /// An array of `{"role", "content", ...}`.
        messages: serde_json::Value,
        /// An array of tool definitions, where the caller gave any.
        tools: Option<serde_json::Value>,
    },
    /// Text as it stands. Special tokens in it are read as such.
    Text(String),
    /// Token ids as they stand.
    Tokens(Vec<u32>),
}

/// One generation, fully determined: the same request to the same model gives the same tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// What the model reads.
    pub prompt: Prompt,
    /// The most tokens to generate, at least 1.
    pub max_tokens: u32,
    /// How a token is drawn from the logits.
    pub sampling: Sampling,
    /// The generation ends before the first of these strings; at most [`MAX_STOPS`].
    pub stop: Vec<String>,
    /// Seeds the draws. Not used at temperature 0.
    pub seed: [u8; 32],
}

/// The most stop strings of a request.
pub const MAX_STOPS: usize = 16;
/// The longest stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 256;

impl GenerateRequest {
    /// A greedy request without stop strings.
    #[must_use]
    pub fn new(prompt: Prompt, max_tokens: u32) -> Self {
        Self { prompt, max_tokens, sampling: Sampling::greedy(), stop: Vec::new(), seed: [0; 32] }
    }

    /// Checks what can be checked without a model.
    ///
    /// # Errors
    /// [`Error::Request`], naming the setting that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        self.sampling.check()?;
        let refuse = |why: String| Err(Error::Request(why));
        if self.max_tokens == 0 {
            return refuse("max_tokens is 0; ask for at least 1".into());
        }
        if self.stop.len() > MAX_STOPS {
            return refuse(format!(
                "it has {} stop strings; at most {MAX_STOPS} are taken",
                self.stop.len()
            ));
        }
        if self.stop.iter().any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES) {
            return refuse(format!("a stop string is empty or longer than {MAX_STOP_BYTES} bytes"));
        }
        Ok(())
    }
}

/// Why a generation ended, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop string came up.
    Stop,
    /// `max_tokens` were generated.
    Length,
    /// The upstream withheld content.
    ContentFilter,
    /// The upstream's model asks for tools.
    ToolCalls,
}

/// Token counts of a finished generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// Those of them whose computation was reused.
    pub cached_tokens: u32,
    /// Tokens generated: every id sampled, the end-of-turn token and those inside a stop string too.
    pub output_tokens: u32,
    /// Whether the counts are a guess (an upstream that does not report them).
    pub estimated: bool,
}

/// How many tokens a prompt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputCount {
    /// Tokens; where not exact, an upper bound for byte-level vocabularies.
    pub tokens: u32,
    /// Whether it is what the engine will report.
    pub exact: bool,
}

/// What a generation says as it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The prompt was accepted.
    Started {
        /// The prompt's ids, where the engine has them.
        input_ids: Option<Vec<u32>>,
        /// Tokens of the prompt.
        input_tokens: u32,
        /// Those of them whose computation is reused.
        cached_tokens: u32,
    },
    /// More of the answer.
    Delta {
        /// Whole characters only; may be empty while a character or a stop string is undecided.
        text: String,
        /// The ids sampled since the last delta; empty where the engine has none.
        ids: Vec<u32>,
        /// Tokens in this delta: `ids.len()`, or an upstream's chunks.
        tokens: u32,
    },
    /// The end of the answer.
    Finished {
        /// Why.
        reason: FinishReason,
        /// What to charge for.
        usage: Usage,
        /// Root over the engine's commitments; zero where it makes none.
        commitment: B256,
    },
}

/// A generation under way. Drop it to stop.
pub type EventStream = BoxStream<'static, Result<Event, Error>>;

/// Whatever turns prompts into answers. Shared by all requests; every method may be called at once
/// from many threads.
pub trait Engine: Send + Sync + std::fmt::Debug {
    /// What runs: its hash is the model's identity in receipts.
    fn entry(&self) -> &ModelEntry;

    /// The most tokens, prompt and answer together, of one request.
    fn context_tokens(&self) -> u32;

    /// Counts a prompt before it is run, so that it can be priced. CPU-bound: milliseconds for
    /// long prompts.
    ///
    /// # Errors
    /// [`Error::Template`] or [`Error::Tokenizer`] where the prompt cannot be read.
    fn count_input(&self, prompt: &Prompt) -> Result<InputCount, Error>;

    /// Starts a generation; see the module for the stream's contract. Refusals (a context too
    /// long, a full queue) are the stream's first and only item. Must be called inside a tokio
    /// runtime.
    fn generate(&self, request: GenerateRequest) -> EventStream;
}
