//! OpenAI's chat and text completions, and its embeddings: the fields that are acted on typed, the rest tolerated.

mod answer;
mod assemble;
mod chunk;
mod embeddings;
mod error;
mod models;
mod request;
mod response;

pub use answer::{Answer, Chunker, Ending, Head};
pub use assemble::{Assembler, MAX_RESPONSE_IDS, MAX_RESPONSE_TEXT_BYTES, assemble};
pub use chunk::{Chunk, ChunkChoice, ChunkVouch, Delta};
pub use embeddings::{
    Embedding, EmbeddingsInput, EmbeddingsRequest, EmbeddingsResponse, EmbeddingsUsage,
    EmbeddingsVouch, EncodingFormat, MAX_EMBEDDING_INPUTS, Vector,
};
pub use error::{ErrorBody, ErrorDetail};
pub use models::{Model, ModelList};
pub use request::{CompletionPrompt, MAX_STOP_STRINGS, Request, StreamOptions};
pub use response::{
    Choice, FinishReason, Message, PromptTokensDetails, Response, ResponseVouch, Usage,
};

/// Which of the paid endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
}

impl Endpoint {
    /// Its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// Method and path, as [`vouch_core::commitment::request`] takes them.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Chat => "POST /v1/chat/completions",
            Self::Completions => "POST /v1/completions",
            Self::Embeddings => "POST /v1/embeddings",
        }
    }

    /// What the ids of its answers start with.
    #[must_use]
    pub const fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Completions => "cmpl-",
            Self::Embeddings => "embd-",
        }
    }

    pub(crate) const fn response_object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion",
            Self::Completions => "text_completion",
            Self::Embeddings => "list",
        }
    }

    /// Embeddings are not streamed.
    pub(crate) const fn chunk_object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion.chunk",
            Self::Completions => "text_completion",
            Self::Embeddings => "list",
        }
    }
}
