//! The JSON of an OpenAI-compatible answer, chunk by chunk or whole, as events.

use std::collections::VecDeque;

use alloy_primitives::B256;
use serde::Deserialize;
use serde_json::Value;

use super::cleaned;
use crate::{Event, FinishReason, Usage};

/// An answer as it arrives.
#[derive(Debug)]
pub(super) struct Reply {
    events: VecDeque<Event>,
    input_estimate: u32,
    max_tokens: u32,
    /// Chunks with text: the count of tokens where the server reports none.
    chunks: u32,
    usage: Option<ReportedUsage>,
    reason: Option<FinishReason>,
    finished: bool,
}

/// A chunk, or a whole answer: they differ in `delta` and `message`.
#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<ReportedUsage>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Content>,
    text: Option<String>,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Content {
    content: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct ReportedUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: u64,
}

impl Reply {
    /// A reply to a prompt of about `input_estimate` tokens, of at most `max_tokens`.
    pub(super) fn new(input_estimate: u32, max_tokens: u32) -> Self {
        let started =
            Event::Started { input_ids: None, input_tokens: input_estimate, cached_tokens: 0 };
        Self {
            events: VecDeque::from([started]),
            input_estimate,
            max_tokens,
            chunks: 0,
            usage: None,
            reason: None,
            finished: false,
        }
    }

    /// The next event that is complete.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Tokens that have arrived, by the server's count or the number of chunks.
    pub(super) fn output_tokens(&self) -> u32 {
        self.usage().output_tokens
    }

    /// Takes the data of one server-sent event.
    ///
    /// # Errors
    /// Why the answer is broken, as the end of a sentence.
    pub(super) fn chunk(&mut self, data: &[u8]) -> Result<(), String> {
        if self.finished {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            return self.end();
        }
        let chunk: Chunk =
            serde_json::from_slice(data).map_err(|error| format!("it sent no JSON ({error})"))?;
        self.take(chunk)
    }

    /// Takes an answer that came whole.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub(super) fn whole(&mut self, body: &[u8]) -> Result<(), String> {
        self.chunk(body)?;
        self.end()
    }

    /// The server says no more.
    ///
    /// # Errors
    /// Where it never said why it ended.
    pub(super) fn end(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        let Some(reason) = self.reason else {
            return Err("its stream ended without a finish reason".into());
        };
        let usage = self.usage();
        self.events.push_back(Event::Finished { reason, usage, commitment: B256::ZERO });
        Ok(())
    }

    fn take(&mut self, chunk: Chunk) -> Result<(), String> {
        if let Some(error) = chunk.error {
            return Err(format!("it reported an error: {}", message(&error)));
        }
        self.usage = chunk.usage.or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        let text = choice.delta.and_then(|delta| delta.content).or(choice.text);
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.chunks += 1;
            let tokens = u32::from(self.chunks <= self.max_tokens);
            self.events.push_back(Event::Delta { text, ids: Vec::new(), tokens });
        }
        self.reason = choice.finish_reason.as_deref().map(finish_reason).or(self.reason);
        Ok(())
    }

    fn usage(&self) -> Usage {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let reported = self.usage.filter(|usage| usage.completion_tokens > 0);
        match reported {
            Some(usage) => Usage {
                input_tokens: number(usage.prompt_tokens),
                cached_tokens: number(
                    usage
                        .prompt_tokens_details
                        .map_or(0, |details| details.cached_tokens)
                        .min(usage.prompt_tokens),
                ),
                // Whatever it claims, no more was asked for.
                output_tokens: number(usage.completion_tokens).min(self.max_tokens),
                estimated: false,
            },
            None => Usage {
                input_tokens: self.input_estimate,
                cached_tokens: 0,
                output_tokens: self.chunks.min(self.max_tokens),
                estimated: true,
            },
        }
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "length" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    }
}

/// What an error body says, whatever its form.
pub(super) fn error_message(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => message(value.get("error").unwrap_or(&value)),
        Err(_) => cleaned(&String::from_utf8_lossy(body)),
    }
}

fn message(error: &Value) -> String {
    let text = error.get("message").unwrap_or(error);
    cleaned(&text.as_str().map_or_else(|| text.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(chunks: &[&str]) -> Result<Vec<Event>, String> {
        let mut reply = Reply::new(9, 100);
        for chunk in chunks {
            reply.chunk(chunk.as_bytes())?;
        }
        reply.end()?;
        Ok(std::iter::from_fn(|| reply.pop()).skip(1).collect())
    }

    #[test]
    fn usage_is_what_is_reported_or_counted() {
        let text = r#"{"choices":[{"delta":{"content":"hi"}}]}"#;
        let end = r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#;
        let finished = |events: Vec<Event>| match events.last() {
            Some(Event::Finished { reason, usage, .. }) => (*reason, *usage),
            other => panic!("{other:?}"),
        };
        let counted = finished(events(&[text, text, end, "[DONE]"]).unwrap());
        let usage = Usage { input_tokens: 9, cached_tokens: 0, output_tokens: 2, estimated: true };
        assert_eq!(counted, (FinishReason::Length, usage));
        let report = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5000,
                        "prompt_tokens_details":{"cached_tokens":3}}}"#;
        let reported = finished(events(&[text, end, report, "[DONE]"]).unwrap());
        let usage =
            Usage { input_tokens: 7, cached_tokens: 3, output_tokens: 100, estimated: false };
        assert_eq!(reported, (FinishReason::Length, usage));
    }

    #[test]
    fn errors_say_what_came() {
        assert!(events(&[]).unwrap_err().contains("without a finish reason"));
        assert!(events(&["{"]).unwrap_err().contains("no JSON"));
        let error = events(&[r#"{"error":{"message":"out of\u0000memory"}}"#]).unwrap_err();
        assert_eq!(error, "it reported an error: out of memory");
        assert_eq!(error_message(b"<html>\x1b[31m bad"), "<html> [31m bad");
        assert_eq!(error_message(&[b'x'; 5000]).len(), 300);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..60), json in "[{}\\[\\]\":,a-z0-9]{0,60}") {
            let mut reply = Reply::new(1, 1);
            for data in [data.as_slice(), json.as_bytes(), br#"{"choices":[{"finish_reason":"x"}]}"#] {
                reply.chunk(data).ok();
            }
            reply.end().ok();
        }
    }
}
