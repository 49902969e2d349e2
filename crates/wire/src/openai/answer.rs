use vouch_core::sourced::Source;

use super::{
    Choice, Chunk, ChunkChoice, ChunkVouch, Delta, Endpoint, FinishReason, Message, Response,
    ResponseVouch, Usage,
};

/// What is the same in every chunk and in the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which endpoint answers.
    pub endpoint: Endpoint,
    /// Names the answer.
    pub id: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's name at the provider.
    pub model: String,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Why; `None` if the payer left, the funds ran out or the engine failed.
    pub reason: Option<FinishReason>,
    /// What was used.
    pub usage: Usage,
    /// Whether the usage gets a chunk of its own.
    pub include_usage: bool,
}

/// A whole answer, as an engine gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What names it.
    pub head: Head,
    /// Its text.
    pub text: String,
    /// Its ids, where the engine has them.
    pub ids: Option<ResponseVouch>,
    /// Why it ended.
    pub reason: Option<FinishReason>,
    /// What was used.
    pub usage: Usage,
}

impl Answer {
    /// The answer in one piece.
    #[must_use]
    pub fn into_response(self) -> Response {
        let Self { head, text, ids, reason, usage } = self;
        let (message, text) = match head.endpoint {
            Endpoint::Chat => (Some(Message { role: "assistant".into(), content: text }), None),
            Endpoint::Completions | Endpoint::Embeddings => (None, Some(text)),
        };
        Response {
            object: head.endpoint.response_object().into(),
            id: head.id,
            created: head.created,
            model: head.model,
            choices: vec![Choice { index: 0, message, text, finish_reason: reason }],
            usage,
            vouch: ids,
        }
    }
}

impl Response {
    /// The chunks of a stream that gives this response at once: how a stored answer is repeated
    /// to a caller that streams.
    #[must_use]
    pub fn to_chunks(&self, endpoint: Endpoint, include_usage: bool) -> Vec<Chunk> {
        let chunker = Chunker::new(Head {
            endpoint,
            id: self.id.clone(),
            created: self.created,
            model: self.model.clone(),
        });
        let (input_ids, output_ids, sources) = match &self.vouch {
            Some(ids) => (Some(ids.input_ids.clone()), ids.output_ids.clone(), ids.sources.clone()),
            None => (None, Vec::new(), None),
        };
        let choice = self.choices.first();
        let text = choice.and_then(|choice| {
            choice.text.clone().or_else(|| choice.message.as_ref().map(|m| m.content.clone()))
        });
        let ending = Ending {
            reason: choice.and_then(|choice| choice.finish_reason),
            usage: self.usage,
            include_usage,
        };
        let mut chunks = vec![chunker.first(input_ids)];
        chunks.push(chunker.delta(text.unwrap_or_default(), output_ids));
        chunks.extend(chunker.last_sourced(ending, sources));
        chunks
    }
}

/// Cuts an answer into chunks as it comes.
#[derive(Debug, Clone)]
pub struct Chunker {
    head: Head,
}

impl Chunker {
    /// Chunks under this head.
    #[must_use]
    pub fn new(head: Head) -> Self {
        Self { head }
    }

    /// What names the answer.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Takes what names the answer out.
    #[must_use]
    pub fn into_head(self) -> Head {
        self.head
    }

    /// The first chunk: the role, and the prompt's ids where the engine has them.
    #[must_use]
    pub fn first(&self, input_ids: Option<Vec<u32>>) -> Chunk {
        let role = Some("assistant".to_owned());
        let choice = self.choice(role, String::new(), None);
        let vouch = input_ids.map(|ids| ChunkVouch {
            input_ids: Some(ids),
            ids: Vec::new(),
            sources: None,
        });
        self.chunk(vec![choice], None, vouch)
    }

    /// A piece of text with the ids that it decodes.
    #[must_use]
    pub fn delta(&self, text: String, ids: Vec<u32>) -> Chunk {
        let vouch = (!ids.is_empty()).then_some(ChunkVouch { input_ids: None, ids, sources: None });
        self.chunk(vec![self.choice(None, text, None)], None, vouch)
    }

    /// The last chunk or two: why it ended, and the usage.
    pub fn last(&self, ending: Ending) -> impl Iterator<Item = Chunk> + use<> {
        let Ending { reason, usage, include_usage } = ending;
        let choice = match self.head.endpoint {
            Endpoint::Chat => ChunkChoice {
                index: 0,
                delta: Some(Delta::default()),
                text: None,
                finish_reason: reason,
            },
            Endpoint::Completions | Endpoint::Embeddings => {
                self.choice(None, String::new(), reason)
            }
        };
        let (with, alone) = if include_usage { (None, Some(usage)) } else { (Some(usage), None) };
        let last = self.chunk(vec![choice], with, None);
        let alone = alone.map(|usage| self.chunk(Vec::new(), Some(usage), None));
        std::iter::once(last).chain(alone)
    }

    /// As [`Self::last`], with the sources of a sourced answer in the first of them.
    #[must_use]
    pub fn last_sourced(&self, ending: Ending, sources: Option<Vec<Source>>) -> Vec<Chunk> {
        let mut last: Vec<_> = self.last(ending).collect();
        if let (Some(chunk), true) = (last.first_mut(), sources.is_some()) {
            chunk.vouch = Some(ChunkVouch { input_ids: None, ids: Vec::new(), sources });
        }
        last
    }

    fn choice(
        &self,
        role: Option<String>,
        text: String,
        finish_reason: Option<FinishReason>,
    ) -> ChunkChoice {
        let (delta, text) = match self.head.endpoint {
            Endpoint::Chat => (Some(Delta { role, content: Some(text) }), None),
            Endpoint::Completions | Endpoint::Embeddings => (None, Some(text)),
        };
        ChunkChoice { index: 0, delta, text, finish_reason }
    }

    fn chunk(
        &self,
        choices: Vec<ChunkChoice>,
        usage: Option<Usage>,
        vouch: Option<ChunkVouch>,
    ) -> Chunk {
        Chunk {
            id: self.head.id.clone(),
            object: self.head.endpoint.chunk_object().into(),
            created: self.head.created,
            model: self.head.model.clone(),
            choices,
            usage,
            vouch,
        }
    }
}
