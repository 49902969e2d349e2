use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Endpoint;
use crate::Error;

/// OpenAI's own limit on stop strings.
pub const MAX_STOP_STRINGS: usize = 4;

/// A request to either endpoint. Unknown fields are ignored; fields that would change the answer
/// and are not served are refused, because the caller pays for what it asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Request {
    /// The model's name at the provider.
    pub model: String,
    /// The conversation (chat): an array of objects, read by the model's own template.
    #[serde(default)]
    pub messages: Option<Value>,
    /// The text to go on from (completions).
    #[serde(default)]
    pub prompt: Option<CompletionPrompt>,
    /// Whether to answer as an event stream.
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    /// Repeats the draws of an earlier call.
    #[serde(default)]
    pub seed: Option<i64>,
    #[serde(default)]
    stop: Option<Stop>,
    /// Tool definitions, passed to the model's template.
    #[serde(default)]
    pub tools: Option<Value>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    best_of: Option<u32>,
    #[serde(default)]
    echo: Option<bool>,
    /// A boolean for chat, a count for completions.
    #[serde(default)]
    logprobs: Option<Value>,
    #[serde(default)]
    frequency_penalty: Option<f64>,
    #[serde(default)]
    presence_penalty: Option<f64>,
    #[serde(default)]
    logit_bias: Option<Value>,
    #[serde(default)]
    suffix: Option<String>,
}

/// What a text completion goes on from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CompletionPrompt {
    /// A text.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
    /// Several texts; only one is served.
    Texts(Vec<String>),
}

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Whether a last chunk without choices carries the usage.
    #[serde(default)]
    pub include_usage: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

impl Request {
    /// Reads a body, whose size the caller has bounded, and checks it.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is no such request, [`Error::Param`] where a setting is out
    /// of range or not served.
    pub fn parse(endpoint: Endpoint, body: &[u8]) -> Result<Self, Error> {
        let request: Self = serde_json::from_slice(body)
            .map_err(|why| Error::malformed("the request's body", why))?;
        request.check_input(endpoint)?;
        request.check_settings()?;
        request.check_unserved()?;
        Ok(request)
    }

    /// Whether to answer as an event stream.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether the stream ends in a chunk of usage alone.
    #[must_use]
    pub fn include_usage(&self) -> bool {
        self.stream_options.unwrap_or_default().include_usage
    }

    /// The most tokens of the answer, where the caller says.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// 0 to 2; 1 where the caller does not say.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        self.temperature.unwrap_or(1.0)
    }

    /// Above 0, up to 1; 1 where the caller does not say.
    #[must_use]
    pub fn top_p(&self) -> f64 {
        self.top_p.unwrap_or(1.0)
    }

    /// Takes the stop strings out.
    #[must_use]
    pub fn take_stop(&mut self) -> Vec<String> {
        match self.stop.take() {
            None => Vec::new(),
            Some(Stop::One(stop)) => vec![stop],
            Some(Stop::Many(stops)) => stops,
        }
    }

    fn check_input(&self, endpoint: Endpoint) -> Result<(), Error> {
        let refuse = |param, why: &str| Err(Error::param(param, why));
        match (endpoint, &self.messages, &self.prompt) {
            (Endpoint::Chat, Some(Value::Array(messages)), None) => {
                if messages.is_empty() || !messages.iter().all(Value::is_object) {
                    return refuse("messages", "must be a non-empty array of message objects");
                }
                Ok(())
            }
            (Endpoint::Chat, _, None) => refuse("messages", "must be an array of message objects"),
            (Endpoint::Chat, _, Some(_)) => {
                refuse("prompt", "belongs to /v1/completions: send messages here")
            }
            (Endpoint::Embeddings, _, _) => refuse("input", "is read as an embeddings request"),
            (Endpoint::Completions, Some(_), _) => {
                refuse("messages", "belong to /v1/chat/completions: send a prompt here")
            }
            (Endpoint::Completions, _, None) => refuse("prompt", "is missing: send a string"),
            (Endpoint::Completions, _, Some(CompletionPrompt::Texts(texts)))
                if texts.len() != 1 =>
            {
                refuse("prompt", "holds several texts: send one a request")
            }
            (Endpoint::Completions, _, Some(_)) => Ok(()),
        }
    }

    fn check_settings(&self) -> Result<(), Error> {
        if self.max_tokens() == Some(0) {
            return Err(Error::param("max_tokens", "is 0: ask for at least 1"));
        }
        let temperature = self.temperature();
        if !(0.0..=2.0).contains(&temperature) {
            let why = format!("is {temperature}: it must be from 0 to 2");
            return Err(Error::param("temperature", why));
        }
        let top_p = self.top_p();
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::param("top_p", format!("is {top_p}: it must be above 0, up to 1")));
        }
        if matches!(&self.stop, Some(Stop::Many(stops)) if stops.len() > MAX_STOP_STRINGS) {
            return Err(Error::param("stop", "has more than 4 strings"));
        }
        Ok(())
    }

    fn check_unserved(&self) -> Result<(), Error> {
        let one = |count: Option<u32>| count.is_none_or(|count| count == 1);
        let zero = |penalty: Option<f64>| penalty.is_none_or(|penalty| penalty == 0.0);
        let off = |value: &Option<Value>| match value {
            None | Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::Object(map)) => map.is_empty(),
            Some(_) => false,
        };
        let served = [
            ("n", one(self.n), "must be 1: send a request for each answer"),
            ("best_of", one(self.best_of), "is not served: leave it out"),
            ("echo", !self.echo.unwrap_or(false), "is not served: leave it out"),
            ("logprobs", off(&self.logprobs), "are not served: leave them out"),
            ("logit_bias", off(&self.logit_bias), "is not served: leave it out"),
            ("frequency_penalty", zero(self.frequency_penalty), "is not served: leave it out"),
            ("presence_penalty", zero(self.presence_penalty), "is not served: leave it out"),
            ("suffix", self.suffix.as_ref().is_none_or(String::is_empty), "is not served"),
        ];
        match served.into_iter().find(|(_, served, _)| !served) {
            None => Ok(()),
            Some((param, _, why)) => Err(Error::param(param, why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chat(extra: Value) -> Result<Request, Error> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Request::parse(Endpoint::Chat, body.to_string().as_bytes())
    }

    #[test]
    fn reads_what_clients_send() {
        let mut request = chat(json!({
            "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 7,
            "max_completion_tokens": 9, "stop": "x", "seed": -1, "user": "someone", "n": 1,
            "logprobs": false, "frequency_penalty": 0, "temperature": 0.5, "top_p": null,
        }))
        .unwrap();
        assert!(request.stream() && request.include_usage());
        assert_eq!((request.max_tokens(), request.seed), (Some(9), Some(-1)));
        assert_eq!((request.temperature(), request.top_p()), (0.5, 1.0));
        assert_eq!(request.take_stop(), ["x"]);
    }

    #[test]
    fn refuses_what_it_does_not_serve_and_names_it() {
        let cases = [
            (json!({"n": 2}), "n"),
            (json!({"logprobs": true}), "logprobs"),
            (json!({"temperature": 2.1}), "temperature"),
            (json!({"top_p": 0}), "top_p"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"stop": ["1", "2", "3", "4", "5"]}), "stop"),
            (json!({"presence_penalty": 1}), "presence_penalty"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": ["hi"]}), "messages"),
            (json!({"messages": null}), "messages"),
            (json!({"prompt": "hi"}), "prompt"),
        ];
        for (extra, expected) in cases {
            let error = chat(extra).unwrap_err();
            assert!(matches!(error, Error::Param { param, .. } if param == expected), "{error}");
        }
        assert!(matches!(chat(json!({"model": 1})), Err(Error::Malformed { .. })));
    }

    #[test]
    fn a_completion_takes_one_prompt_in_any_form() {
        for prompt in [json!("a"), json!([1, 2]), json!(["a"])] {
            let body = json!({"model": "m", "prompt": prompt}).to_string();
            assert!(Request::parse(Endpoint::Completions, body.as_bytes()).is_ok());
        }
        for prompt in [json!(["a", "b"]), json!(null), json!({})] {
            let body = json!({"model": "m", "prompt": prompt}).to_string();
            assert!(Request::parse(Endpoint::Completions, body.as_bytes()).is_err());
        }
    }

    #[test]
    fn a_strangers_text_is_not_quoted_at_length() {
        let body = json!({"model": {"a".repeat(100_000): 1}}).to_string();
        let error = Request::parse(Endpoint::Chat, body.as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 400);
    }
}
