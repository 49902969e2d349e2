//! The exact engine as the rest of the world sees it.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::Thread;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::cache::KvCache;
use super::forward::{Model, Runner};
use super::scheduler::Scheduler;
use super::sequence::{Comparison, Generation, Job, Work};
use super::text::TextStream;
use super::{ExactOptions, Replay, ReplayRequest};
use crate::commitment::Commitment;
use crate::entry::{ARITHMETIC_EXACT, ModelEntry};
use crate::sample::Sampler;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{Engine, Error, Event, EventStream, GenerateRequest, Gguf, InputCount, Prompt};

/// Events that may lie between engine and reader: how far the engine runs ahead.
const EVENTS_AHEAD: usize = 16;

/// A model that runs here, on a thread of its own and a pool of helpers.
#[derive(Debug)]
pub struct ExactEngine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    entry: ModelEntry,
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
    model: Arc<Model>,
    cache_bytes: u64,
    instruction_set: &'static str,
    scheduler: Scheduler,
}

impl ExactEngine {
    /// Loads the GGUF file at `path` and starts the engine. Takes tenths of a second for 100 MB.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Gguf`], [`Error::Tokenizer`], [`Error::Template`], or
    /// [`Error::Unsupported`] where the model is not one this engine computes.
    pub fn open(path: &Path, options: &ExactOptions) -> Result<Self, Error> {
        let gguf = Gguf::open(path)?;
        let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf)?);
        let template = match gguf.contains("tokenizer.chat_template") {
            true => Some(ChatTemplate::from_gguf(&gguf, &tokenizer)?),
            false => None,
        };
        let entry = ModelEntry::from_parts(path, &gguf, &tokenizer, ARITHMETIC_EXACT)?;
        let positions = match options.context_tokens {
            0 => usize::MAX,
            tokens => tokens as usize,
        };
        let model = Arc::new(Model::load(&gguf, positions)?);
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let runner = Runner::new(Arc::clone(&model), options.instruction_set, threads)?;
        let instruction_set = runner.instruction_set();
        let scheduler = Scheduler::start(runner, Arc::clone(&tokenizer), options)?;
        let cache_bytes = options.cache_bytes;
        let shared =
            Shared { entry, tokenizer, template, model, cache_bytes, instruction_set, scheduler };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The model's tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.shared.tokenizer
    }

    /// The instruction set in use: `scalar` or `avx2`.
    #[must_use]
    pub fn instruction_set(&self) -> &'static str {
        self.shared.instruction_set
    }

    /// The ids that the model reads for a prompt.
    ///
    /// # Errors
    /// As [`Engine::count_input`].
    pub fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>, Error> {
        self.shared.encode(prompt)
    }

    /// Repeats a generation by one prefill: computes the logits at every position of the answer,
    /// draws again and compares. Costs about half of generating on one thread, a third on two.
    ///
    /// # Errors
    /// As a generation of the same length; [`Error::Request`] where there is nothing to compare.
    pub async fn replay(&self, request: ReplayRequest) -> Result<Replay, Error> {
        let (verdict, answer) = oneshot::channel();
        self.shared.scheduler.submit(self.shared.comparison(request, verdict)?)?;
        answer.await.map_err(|_| Error::Stopped)?
    }
}

impl Engine for ExactEngine {
    fn entry(&self) -> &ModelEntry {
        &self.shared.entry
    }

    fn context_tokens(&self) -> u32 {
        self.shared.model.positions as u32
    }

    fn count_input(&self, prompt: &Prompt) -> Result<InputCount, Error> {
        let tokens = self.shared.encode(prompt)?.len() as u32;
        Ok(InputCount { tokens, exact: true })
    }

    fn generate(&self, request: GenerateRequest) -> EventStream {
        let shared = Arc::clone(&self.shared);
        // Tokenizing a long prompt takes milliseconds, too long for a runtime's own thread.
        let started = tokio::task::spawn_blocking(move || shared.start(request));
        started
            .map(|started| match started {
                Ok(Ok(events)) => events.boxed(),
                Ok(Err(error)) => stream::iter([Err(error)]).boxed(),
                Err(_) => stream::iter([Err(Error::Stopped)]).boxed(),
            })
            .flatten_stream()
            .boxed()
    }
}

impl Shared {
    fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>, Error> {
        let ids = match prompt {
            Prompt::Chat { messages, tools } => {
                let text = self.render(messages, tools.as_ref())?;
                self.tokenizer.encode(&text, true)
            }
            Prompt::Text(text) => {
                let prefix = self.tokenizer.prefix();
                prefix.into_iter().chain(self.tokenizer.encode(text, true)).collect()
            }
            Prompt::Tokens(ids) => ids.clone(),
        };
        self.check_ids(&ids)?;
        if ids.is_empty() {
            return Err(Error::Request("the prompt is empty; give at least one token".into()));
        }
        Ok(ids)
    }

    fn render(&self, messages: &Value, tools: Option<&Value>) -> Result<String, Error> {
        let template = self.template.as_ref().ok_or_else(|| {
            Error::Template("is missing from this model; use /v1/completions instead".into())
        })?;
        let mut extra = Map::new();
        if let Some(tools) = tools {
            extra.insert("tools".into(), tools.clone());
        }
        template.render(messages, true, &extra)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), Error> {
        let vocabulary = self.model.config.vocabulary;
        match ids.iter().find(|id| **id as usize >= vocabulary) {
            None => Ok(()),
            Some(id) => Err(Error::Request(format!(
                "token id {id} is not in the vocabulary of {vocabulary}"
            ))),
        }
    }

    /// Checks that a request can be run at all, and gives the positions to keep for it.
    fn positions(&self, input: usize, output: u32) -> Result<usize, Error> {
        let positions = input as u64 + u64::from(output);
        if positions > self.model.positions as u64 {
            return Err(Error::ContextTooLong {
                input_tokens: u32::try_from(input).unwrap_or(u32::MAX),
                max_tokens: output,
                context_tokens: self.model.positions as u32,
            });
        }
        let needed_bytes = KvCache::size_bytes(&self.model.config, positions as usize);
        if needed_bytes > self.cache_bytes {
            return Err(Error::CacheTooSmall { needed_bytes, limit_bytes: self.cache_bytes });
        }
        Ok(positions as usize)
    }

    fn start(&self, request: GenerateRequest) -> Result<Events, Error> {
        request.check()?;
        let tokens = self.encode(&request.prompt)?;
        let positions = self.positions(tokens.len(), request.max_tokens)?;
        let input_tokens = tokens.len() as u32;
        let (events, receiver) = mpsc::channel(EVENTS_AHEAD);
        let started =
            Event::Started { input_ids: Some(tokens.clone()), input_tokens, cached_tokens: 0 };
        let generation = Generation {
            sampler: Sampler::new(request.sampling, &request.seed),
            text: TextStream::new(request.stop),
            commitment: Commitment::default(),
            input_tokens,
            output_tokens: 0,
            max_tokens: request.max_tokens,
            events,
        };
        let work = Work::Generate(Box::new(generation));
        self.scheduler.submit(Job { tokens, positions, work })?;
        let waker = self.scheduler.waker();
        Ok(Events { receiver, waker, started: Some(started), ended: false })
    }

    fn comparison(
        &self,
        request: ReplayRequest,
        verdict: oneshot::Sender<Result<Replay, Error>>,
    ) -> Result<Job, Error> {
        request.sampling.check()?;
        if request.input_ids.is_empty() || request.output_ids.is_empty() {
            return Err(Error::Request("a replay needs ids of a prompt and of an answer".into()));
        }
        self.check_ids(&request.input_ids)?;
        self.check_ids(&request.output_ids)?;
        let (input, output) = (request.input_ids.len(), request.output_ids.len());
        let positions = self.positions(input, u32::try_from(output).unwrap_or(u32::MAX))?;
        let mut tokens = request.input_ids;
        tokens.extend_from_slice(&request.output_ids[..output - 1]);
        let comparison = Comparison {
            sampler: Sampler::new(request.sampling, &request.seed),
            commitment: Commitment::default(),
            input_tokens: input,
            claimed: request.output_ids,
            compared: 0,
            mismatch: None,
            verdict: Some(verdict),
        };
        Ok(Job { tokens, positions, work: Work::Replay(Box::new(comparison)) })
    }
}

/// The reader's end: tells the engine's thread when there is room, and when it leaves.
struct Events {
    receiver: mpsc::Receiver<Result<Event, Error>>,
    waker: Thread,
    started: Option<Event>,
    ended: bool,
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(started) = self.started.take() {
            return Poll::Ready(Some(Ok(started)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let event = std::task::ready!(self.receiver.poll_recv(context));
        self.waker.unpark();
        let event = event.unwrap_or(Err(Error::Stopped));
        self.ended = matches!(event, Ok(Event::Finished { .. }) | Err(_));
        Poll::Ready(Some(event))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.receiver.close();
        self.waker.unpark();
    }
}
