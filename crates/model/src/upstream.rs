//! Asks any OpenAI-compatible server, and says what it says as an [`Engine`].
//!
//! ```text
//! GenerateRequest -> POST /chat/completions or /completions, streamed -> sse -> reply -> Event
//! ```
//! The server is foreign: its lines, bodies and messages are bounded and cleaned, a broken stream is
//! an error that says how far it came, and its token counts never exceed what was asked for.
//! It gives no token ids and no commitments, so nothing it says can be repeated: tier *signed*.
//! Nothing is retried: a second try could be charged twice.

mod reply;
mod sse;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, Url};
use serde_json::{Value, json};

use crate::entry::ModelEntry;
use crate::{Engine, Error, Event, EventStream, GenerateRequest, InputCount, Prompt};
use reply::Reply;
use sse::SseDecoder;

/// Which server, and how long it may take.
#[derive(Clone)]
pub struct UpstreamOptions {
    /// The base URL as OpenAI's clients take it, such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// Sent as a bearer token, where given.
    pub api_key: Option<String>,
    /// The model's name on that server.
    pub model: String,
    /// The most tokens, prompt and answer, that the server's model takes.
    pub context_tokens: u32,
    /// How long the connection may take.
    pub connect_timeout: Duration,
    /// How long the server may be silent, before its first byte and between any two.
    pub idle_timeout: Duration,
}

impl UpstreamOptions {
    /// The usual time-outs (10 s to connect, 120 s of silence) and a context of 8,192 tokens.
    #[must_use]
    pub fn new(base_url: &str, model: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            api_key: None,
            model: model.to_owned(),
            context_tokens: 8192,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }
    }
}

impl std::fmt::Debug for UpstreamOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is a secret.
        let Self { base_url, model, context_tokens, .. } = self;
        write!(f, "UpstreamOptions({base_url:?}, {model:?}, {context_tokens} tokens)")
    }
}

/// The longest error body that is read.
const ERROR_BODY_MAX: usize = 64 << 10;
/// The longest answer, streamed or not, before it counts as broken.
const BODY_MAX: usize = 64 << 20;
/// Tokens that a chat template may add for each message and for the conversation.
const TEMPLATE_TOKENS: u32 = 16;
const CONVERSATION_TOKENS: u32 = 64;

/// A server elsewhere.
#[derive(Debug)]
pub struct UpstreamEngine {
    entry: ModelEntry,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: UpstreamOptions,
    base: Url,
    key: Option<HeaderValue>,
    client: Client,
}

impl UpstreamEngine {
    /// Prepares to ask the server; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Upstream`] where the URL or the key is malformed, or TLS cannot be set up.
    pub fn new(options: UpstreamOptions) -> Result<Self, Error> {
        let refuse = |detail: String| Error::Upstream { url: cleaned(&options.base_url), detail };
        let base = Url::parse(options.base_url.trim_end_matches('/'))
            .map_err(|error| refuse(format!("is not a URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || !base.username().is_empty() {
            return Err(refuse("must be http or https, without a user name".into()));
        }
        let key = options.api_key.as_ref().map(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {key}"))
                .map_err(|_| refuse("has a key that does not fit a header".into()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let client = client(&options, &base).map_err(|error| refuse(reason(&error)))?;
        let host = base.host_str().unwrap_or_default();
        let entry = ModelEntry::upstream(host, &options.model);
        let key = key.transpose()?;
        Ok(Self { entry, shared: Arc::new(Shared { options, base, key, client }) })
    }
}

fn client(options: &UpstreamOptions, base: &Url) -> reqwest::Result<Client> {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider().install_default().is_err()
    {
        tracing::trace!("another thread has just installed a TLS provider");
    }
    let mut builder = Client::builder()
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.idle_timeout)
        // A redirect could carry the key and the prompt to another host.
        .redirect(reqwest::redirect::Policy::none());
    if matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build()
}

impl Engine for UpstreamEngine {
    fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    fn context_tokens(&self) -> u32 {
        self.shared.options.context_tokens
    }

    /// An upper bound: a token of a byte-level vocabulary is at least one byte.
    fn count_input(&self, prompt: &Prompt) -> Result<InputCount, Error> {
        let bytes = match prompt {
            Prompt::Text(text) => text.len(),
            Prompt::Tokens(ids) => ids.len(),
            Prompt::Chat { messages, tools } => {
                let tools = tools.as_ref().map_or(0, |tools| tools.to_string().len());
                messages.to_string().len() + tools
            }
        };
        let messages = match prompt {
            Prompt::Chat { messages, .. } => messages.as_array().map_or(0, Vec::len),
            Prompt::Text(_) | Prompt::Tokens(_) => 0,
        };
        let tokens = u32::try_from(bytes).unwrap_or(u32::MAX);
        let template = u32::try_from(messages).unwrap_or(u32::MAX).saturating_mul(TEMPLATE_TOKENS);
        let tokens = tokens.saturating_add(template).saturating_add(CONVERSATION_TOKENS);
        Ok(InputCount { tokens, exact: false })
    }

    fn generate(&self, request: GenerateRequest) -> EventStream {
        let estimate = self.count_input(&request.prompt).map_or(0, |count| count.tokens);
        let phase = Phase::Asking(Box::new(request), estimate);
        let state = (Arc::clone(&self.shared), phase);
        stream::unfold(state, |(shared, phase)| async move {
            let (event, phase) = match shared.next(phase).await {
                Ok(Some((event, phase))) => (Ok(event), phase),
                Ok(None) => return None,
                Err(error) => (Err(error), Phase::Ended),
            };
            Some((event, (shared, phase)))
        })
        .boxed()
    }
}

/// How far a generation has come.
enum Phase {
    /// With the guess of the prompt's tokens.
    Asking(Box<GenerateRequest>, u32),
    Reading(Box<Reading>),
    Ended,
}

/// A response that is being read.
struct Reading {
    response: Response,
    decoder: SseDecoder,
    reply: Reply,
    /// Bytes of the body so far.
    read_bytes: usize,
    /// The whole body is one JSON object: the server does not stream.
    whole: Option<Vec<u8>>,
}

impl Shared {
    async fn next(&self, phase: Phase) -> Result<Option<(Event, Phase)>, Error> {
        let mut reading = match phase {
            Phase::Ended => return Ok(None),
            Phase::Asking(request, estimate) => Box::new(self.ask(&request, estimate).await?),
            Phase::Reading(reading) => reading,
        };
        loop {
            if let Some(event) = reading.reply.pop() {
                let ended = matches!(event, Event::Finished { .. });
                let phase = if ended { Phase::Ended } else { Phase::Reading(reading) };
                return Ok(Some((event, phase)));
            }
            self.read(&mut reading).await?;
        }
    }

    async fn ask(&self, request: &GenerateRequest, estimate: u32) -> Result<Reading, Error> {
        request.check()?;
        let (path, body) = body(request, &self.options.model)?;
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let mut post = self.client.post(url).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            post = post.header(AUTHORIZATION, key.clone());
        }
        let sent = post.body(body.to_string()).send().await;
        let response = sent.map_err(|error| self.failed(reason(&error)))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let whole = kind.is_some_and(|kind| kind.starts_with("application/json"));
        Ok(Reading {
            response,
            decoder: SseDecoder::default(),
            reply: Reply::new(estimate, request.max_tokens),
            read_bytes: 0,
            whole: whole.then(Vec::new),
        })
    }

    /// Reads one piece of the body and gives it to the reply.
    async fn read(&self, reading: &mut Reading) -> Result<(), Error> {
        let piece = reading.response.chunk().await;
        let piece = piece.map_err(|error| self.broke(reading, reason(&error)))?;
        let result = match piece {
            Some(piece) => {
                reading.read_bytes += piece.len();
                if reading.read_bytes > BODY_MAX {
                    return Err(self.broke(reading, "its answer exceeds 64 MiB".into()));
                }
                match &mut reading.whole {
                    Some(whole) => {
                        whole.extend_from_slice(&piece);
                        Ok(())
                    }
                    None => reading.decoder.push(&piece, &mut |data| reading.reply.chunk(data)),
                }
            }
            None => match &reading.whole {
                Some(whole) => reading.reply.whole(whole),
                None => reading.reply.end(),
            },
        };
        result.map_err(|detail| self.broke(reading, detail))
    }

    async fn refused(&self, mut response: Response) -> Error {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > ERROR_BODY_MAX {
                break;
            }
        }
        let status = response.status().as_u16();
        let detail = reply::error_message(&body);
        Error::UpstreamStatus { url: self.url(), status, detail }
    }

    fn failed(&self, detail: String) -> Error {
        Error::Upstream { url: self.url(), detail }
    }

    fn broke(&self, reading: &Reading, detail: String) -> Error {
        match reading.reply.output_tokens() {
            0 => self.failed(format!("gave no answer: {detail}")),
            output_tokens => Error::UpstreamBroke { url: self.url(), output_tokens, detail },
        }
    }

    fn url(&self) -> String {
        cleaned(self.base.as_str())
    }
}

/// The path below the base URL and the body to post there.
fn body(request: &GenerateRequest, model: &str) -> Result<(&'static str, Value), Error> {
    // Servers take different widths of seeds; all take 31 bits.
    let [a, b, c, d, ..] = request.seed;
    let mut body = json!({
        "model": model,
        "max_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "seed": u32::from_be_bytes([a, b, c, d]) >> 1,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if !request.stop.is_empty() {
        body["stop"] = json!(request.stop);
    }
    match &request.prompt {
        Prompt::Chat { tools: Some(_), .. } => {
            Err(Error::Request("tools are not passed on to an upstream; leave them out".into()))
        }
        Prompt::Chat { messages, tools: None } => {
            body["messages"] = messages.clone();
            Ok(("chat/completions", body))
        }
        Prompt::Text(text) => {
            body["prompt"] = json!(text);
            Ok(("completions", body))
        }
        Prompt::Tokens(_) => Err(Error::Request("an upstream takes text, not token ids".into())),
    }
}

/// Why a request failed, as the end of a sentence, without the URL.
fn reason(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "took too long; check it or raise the time-out"
    } else if error.is_connect() {
        "cannot be reached; check that it runs and that the URL is right"
    } else {
        "broke the connection"
    };
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    cleaned(&format!("{what} ({source})"))
}

/// Foreign text for an error: one line, short, without control characters.
fn cleaned(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(300).collect()
}
