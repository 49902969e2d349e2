use serde::{Deserialize, Serialize};
use vouch_core::sourced::Source;

use super::{FinishReason, Usage};

/// One piece of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Names the answer; the same in every chunk.
    pub id: String,
    /// `chat.completion.chunk` or `text_completion`.
    pub object: String,
    /// Unix seconds; the same in every chunk.
    pub created: u64,
    /// The model's name; the same in every chunk.
    pub model: String,
    /// One, or none in a last chunk of usage alone.
    pub choices: Vec<ChunkChoice>,
    /// Token counts, in one of the last chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The ids, where the engine has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouch: Option<ChunkVouch>,
}

/// A piece of the answer's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// 0.
    pub index: u32,
    /// Chat: more of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Delta>,
    /// Completions: more of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// In the last one that has a choice: why it ended.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// More of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delta {
    /// `assistant`, in the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// The ids of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkVouch {
    /// In the first chunk: the prompt's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_ids: Option<Vec<u32>>,
    /// The ids that this chunk's text decodes, the end of turn included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u32>,
    /// In one of the last chunks of a sourced answer: its sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Source>>,
}
