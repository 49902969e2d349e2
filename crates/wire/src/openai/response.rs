use serde::{Deserialize, Serialize};
use vouch_core::sourced::Source;

/// An answer, assembled: what a receipt commits to by the hash of its RFC 8785 form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Names the answer.
    pub id: String,
    /// `chat.completion` or `text_completion`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's name at the provider.
    pub model: String,
    /// Exactly one.
    pub choices: Vec<Choice>,
    /// Token counts.
    pub usage: Usage,
    /// The ids, where the engine has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouch: Option<ResponseVouch>,
}

/// The answer's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// 0.
    pub index: u32,
    /// Chat: the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Completions: the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Why it ended; `null` if the payer left, the funds ran out or the engine failed.
    pub finish_reason: Option<FinishReason>,
}

/// A message of the assistant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop string came up.
    Stop,
    /// As many tokens as were asked for.
    Length,
    /// An upstream withheld content.
    ContentFilter,
    /// An upstream's model asks for tools.
    ToolCalls,
}

/// Token counts in OpenAI's terms: cached ones are part of the prompt's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Their sum.
    pub total_tokens: u64,
    /// Of the prompt.
    pub prompt_tokens_details: PromptTokensDetails,
}

/// Details of a prompt's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PromptTokensDetails {
    /// Those whose computation was reused.
    pub cached_tokens: u64,
}

impl From<vouch_core::money::Usage> for Usage {
    fn from(usage: vouch_core::money::Usage) -> Self {
        let prompt_tokens = usage.input.saturating_add(usage.cached);
        Self {
            prompt_tokens,
            completion_tokens: usage.output,
            total_tokens: prompt_tokens.saturating_add(usage.output),
            prompt_tokens_details: PromptTokensDetails { cached_tokens: usage.cached },
        }
    }
}

/// The token ids of an answer: what it was computed from and what it consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResponseVouch {
    /// The prompt's.
    pub input_ids: Vec<u32>,
    /// The answer's, the end of turn included.
    pub output_ids: Vec<u32>,
    /// Of a sourced answer: what was put before the question, and what its owners are credited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Source>>,
}
