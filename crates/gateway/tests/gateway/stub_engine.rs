//! A deterministic stub of an engine: one input token a byte, `t<i> ` as the i-th output token.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use alloy_primitives::B256;
use futures_util::stream;
use tokio::sync::Semaphore;
use vouch_model::{
    Engine, Error, Event, EventStream, FinishReason, GenerateRequest, InputCount, Prompt, Usage,
    entry::{ARITHMETIC_EXACT, ModelEntry},
};

pub const CONTEXT_TOKENS: u32 = 4096;

#[derive(Debug)]
pub struct StubEngine {
    entry: ModelEntry,
    /// Tokens after which the model ends its turn.
    pub length: u32,
    /// Fails after this many tokens.
    pub fails_after: Option<u32>,
    /// Whether it has token ids.
    pub ids: bool,
    /// Where set, each token takes a permit: the test decides when it comes.
    pub gate: Option<Arc<Semaphore>>,
    /// Tokens that were pulled out of it.
    pub generated: Arc<AtomicU32>,
    /// Calls that were started.
    pub started: Arc<AtomicU32>,
    /// What it claims to have generated at the end, where it has no ids.
    pub claims: Option<u32>,
}

impl StubEngine {
    pub fn new(name: &str) -> Self {
        let mut entry = ModelEntry::upstream("stub.invalid", name);
        entry.identity.upstream = None;
        entry.identity.arithmetic = ARITHMETIC_EXACT.into();
        Self {
            entry,
            length: 1_000_000,
            fails_after: None,
            ids: true,
            gate: None,
            generated: Arc::default(),
            started: Arc::default(),
            claims: None,
        }
    }
}

fn input_ids(prompt: &Prompt) -> Vec<u32> {
    match prompt {
        Prompt::Tokens(ids) => ids.clone(),
        Prompt::Text(text) => text.bytes().map(u32::from).collect(),
        Prompt::Chat { messages, .. } => messages
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|message| message["content"].as_str().unwrap_or_default().bytes())
            .map(u32::from)
            .collect(),
    }
}

/// A generation under way: `step` 0 is the start, then one a token.
struct Generation {
    step: u32,
    max_tokens: u32,
    input_ids: Vec<u32>,
    engine: StubSettings,
}

struct StubSettings {
    length: u32,
    fails_after: Option<u32>,
    ids: bool,
    gate: Option<Arc<Semaphore>>,
    generated: Arc<AtomicU32>,
    claims: Option<u32>,
}

impl Generation {
    async fn next(&mut self) -> Option<Result<Event, Error>> {
        let step = self.step;
        self.step += 1;
        let input_tokens = self.input_ids.len() as u32;
        if self.engine.fails_after == Some(step) {
            self.step = u32::MAX;
            return Some(Err(Error::UpstreamBroke {
                url: "http://secret.invalid".into(),
                output_tokens: step.saturating_sub(1),
                detail: "a test".into(),
            }));
        }
        if step == 0 {
            let input_ids = self.engine.ids.then(|| self.input_ids.clone());
            return Some(Ok(Event::Started { input_ids, input_tokens, cached_tokens: 0 }));
        }
        let token = step - 1;
        let end = self.max_tokens.min(self.engine.length);
        if token < end {
            if let Some(gate) = &self.engine.gate {
                gate.acquire().await.unwrap().forget();
            }
            self.engine.generated.fetch_add(1, Ordering::SeqCst);
            let ids = if self.engine.ids { vec![1000 + token] } else { Vec::new() };
            return Some(Ok(Event::Delta { text: format!("t{token} "), ids, tokens: 1 }));
        }
        let reason = if end == self.max_tokens { FinishReason::Length } else { FinishReason::Stop };
        let output_tokens = self.engine.claims.unwrap_or(end);
        let usage = Usage { input_tokens, cached_tokens: 0, output_tokens, estimated: false };
        Some(Ok(Event::Finished { reason, usage, commitment: B256::repeat_byte(0xcc) }))
    }
}

impl Engine for StubEngine {
    fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    fn context_tokens(&self) -> u32 {
        CONTEXT_TOKENS
    }

    fn count_input(&self, prompt: &Prompt) -> Result<InputCount, Error> {
        Ok(InputCount { tokens: input_ids(prompt).len() as u32, exact: true })
    }

    fn generate(&self, request: GenerateRequest) -> EventStream {
        self.started.fetch_add(1, Ordering::SeqCst);
        let generation = Generation {
            step: 0,
            max_tokens: request.max_tokens,
            input_ids: input_ids(&request.prompt),
            engine: StubSettings {
                length: self.length,
                fails_after: self.fails_after,
                ids: self.ids,
                gate: self.gate.clone(),
                generated: Arc::clone(&self.generated),
                claims: self.claims,
            },
        };
        Box::pin(stream::unfold(Some(generation), |generation| async {
            let mut generation = generation?;
            let event = generation.next().await?;
            let ended = matches!(event, Ok(Event::Finished { .. }) | Err(_));
            Some((event, (!ended).then_some(generation)))
        }))
    }
}

/// A gate that opens for `count` tokens in bounded time, for tests that wait for the other side.
pub async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("what was waited for did not come within 5 s");
}
