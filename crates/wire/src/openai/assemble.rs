use vouch_core::sourced::Source;

use super::{
    Answer, Chunk, ChunkChoice, Endpoint, FinishReason, Head, Response, ResponseVouch, Usage,
};
use crate::Error;

/// A longer answer is refused.
pub const MAX_RESPONSE_TEXT_BYTES: usize = 16 << 20;
/// More ids, of prompt and answer together, are refused.
pub const MAX_RESPONSE_IDS: usize = 4 << 20;

/// Assembles a whole stream.
///
/// # Errors
/// As [`Assembler`].
pub fn assemble(chunks: impl IntoIterator<Item = Chunk>) -> Result<Response, Error> {
    let mut assembler = Assembler::default();
    chunks.into_iter().try_for_each(|chunk| assembler.push(chunk))?;
    assembler.finish()
}

/// Turns a stream's chunks into the response that the same call would have returned unstreamed.
/// Memory is bounded by [`MAX_RESPONSE_TEXT_BYTES`] and [`MAX_RESPONSE_IDS`].
#[derive(Debug, Default)]
pub struct Assembler {
    head: Option<Head>,
    text: String,
    input_ids: Option<Vec<u32>>,
    output_ids: Vec<u32>,
    sources: Option<Vec<Source>>,
    reason: Option<FinishReason>,
    usage: Option<Usage>,
}

impl Assembler {
    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`Error::Assemble`] if it does not go on from those before it, [`Error::TooLarge`].
    pub fn push(&mut self, chunk: Chunk) -> Result<(), Error> {
        let Chunk { id, object, created, model, mut choices, usage, vouch } = chunk;
        if self.usage.is_some() {
            return Err(Error::Assemble("a chunk comes after the usage"));
        }
        let first = self.head.is_none();
        let choice = choices.pop();
        if !choices.is_empty() {
            return Err(Error::Assemble("a chunk has more than one choice"));
        }
        match &self.head {
            Some(head) => {
                let same = head.id == id
                    && head.created == created
                    && head.model == model
                    && head.endpoint.chunk_object() == object;
                if !same {
                    return Err(Error::Assemble("id, object, created or model changes"));
                }
            }
            None => {
                let endpoint = [Endpoint::Chat, Endpoint::Completions]
                    .into_iter()
                    .find(|endpoint| endpoint.chunk_object() == object)
                    .ok_or(Error::Assemble("the chunks' object is unknown"))?;
                self.head = Some(Head { endpoint, id, created, model });
            }
        }
        if let Some(choice) = choice {
            self.push_choice(choice)?;
        }
        if let Some(vouch) = vouch {
            if vouch.sources.is_some() && self.sources.is_some() {
                return Err(Error::Assemble("the sources come twice"));
            }
            self.sources = self.sources.take().or(vouch.sources);
            self.push_ids(first, vouch.input_ids, &vouch.ids)?;
        }
        self.usage = usage;
        Ok(())
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The answer's ids so far.
    #[must_use]
    pub fn output_ids(&self) -> &[u32] {
        &self.output_ids
    }

    /// The response.
    ///
    /// # Errors
    /// [`Error::Assemble`] if the stream was empty or broke off before its usage.
    pub fn finish(self) -> Result<Response, Error> {
        let head = self.head.ok_or(Error::Assemble("it is empty"))?;
        let usage = self.usage.ok_or(Error::Assemble("it broke off before its usage"))?;
        let (output_ids, sources) = (self.output_ids, self.sources);
        let ids = self.input_ids.map(|input_ids| ResponseVouch { input_ids, output_ids, sources });
        Ok(Answer { head, text: self.text, ids, reason: self.reason, usage }.into_response())
    }

    fn push_choice(&mut self, choice: ChunkChoice) -> Result<(), Error> {
        if choice.index != 0 {
            return Err(Error::Assemble("a choice has an index other than 0"));
        }
        let chat = self.head.as_ref().is_some_and(|head| head.endpoint == Endpoint::Chat);
        let text = match (chat, choice.delta, choice.text) {
            (true, Some(delta), None) => delta.content,
            (false, None, text) => text,
            _ => return Err(Error::Assemble("a choice is of the other endpoint's form")),
        };
        let text = text.unwrap_or_default();
        if self.text.len().saturating_add(text.len()) > MAX_RESPONSE_TEXT_BYTES {
            let limit_bytes = MAX_RESPONSE_TEXT_BYTES;
            return Err(Error::TooLarge { what: "the answer", limit_bytes });
        }
        self.text.push_str(&text);
        if choice.finish_reason.is_some() {
            self.reason = choice.finish_reason;
        }
        Ok(())
    }

    fn push_ids(
        &mut self,
        first: bool,
        input_ids: Option<Vec<u32>>,
        ids: &[u32],
    ) -> Result<(), Error> {
        if input_ids.is_some() && !first {
            return Err(Error::Assemble("the prompt's ids come after the first chunk"));
        }
        if input_ids.is_none() && self.input_ids.is_none() {
            return Err(Error::Assemble("ids come without the prompt's"));
        }
        let held = self.input_ids.as_ref().map_or(0, Vec::len) + self.output_ids.len();
        let more = input_ids.as_ref().map_or(0, Vec::len) + ids.len();
        if held + more > MAX_RESPONSE_IDS {
            return Err(Error::TooLarge {
                what: "the answer's list of ids",
                limit_bytes: MAX_RESPONSE_IDS * size_of::<u32>(),
            });
        }
        if input_ids.is_some() {
            self.input_ids = input_ids;
        }
        self.output_ids.extend_from_slice(ids);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vouch_core::{commitment::canonical_json, money};

    use super::*;
    use crate::openai::{Chunker, Ending};

    fn reasons() -> impl Strategy<Value = Option<FinishReason>> {
        use FinishReason::{ContentFilter, Length, Stop, ToolCalls};
        prop::option::of(prop::sample::select(vec![Stop, Length, ContentFilter, ToolCalls]))
    }

    prop_compose! {
        fn answers()(
            endpoint in prop::sample::select(vec![Endpoint::Chat, Endpoint::Completions]),
            id in "[a-z]{1,8}", created in 0u64..1 << 40, model in ".{1,8}",
            deltas in prop::collection::vec((".{0,8}", prop::collection::vec(any::<u32>(), 0..4)), 0..8),
            input in prop::option::of(prop::collection::vec(any::<u32>(), 0..8)),
            reason in reasons(), counts: (u32, u32, u32), include_usage: bool,
        ) -> (Head, Vec<(String, Vec<u32>)>, Option<Vec<u32>>, Ending) {
            let usage = money::Usage { input: counts.0.into(), cached: counts.1.into(), output: counts.2.into() };
            let ending = Ending { reason, usage: usage.into(), include_usage };
            (Head { endpoint, id, created, model }, deltas, input, ending)
        }
    }

    proptest! {
        /// However an answer is cut, its chunks (through JSON, as they travel) assemble to the
        /// response of the same call unstreamed, byte for byte in canonical form.
        #[test]
        fn chunks_assemble_to_the_unstreamed_response((head, deltas, input, ending) in answers()) {
            let chunker = Chunker::new(head.clone());
            let with_ids = input.is_some();
            let ids = |ids: &Vec<u32>| if with_ids { ids.clone() } else { Vec::new() };
            let mut chunks = vec![chunker.first(input.clone())];
            chunks.extend(deltas.iter().map(|(text, i)| chunker.delta(text.clone(), ids(i))));
            chunks.extend(chunker.last(ending));
            let travelled = chunks.iter().map(|chunk| {
                serde_json::from_str(&serde_json::to_string(chunk).unwrap()).unwrap()
            });
            let assembled = assemble(travelled).unwrap();
            let endpoint = head.endpoint;
            let unstreamed = Answer {
                head,
                text: deltas.iter().map(|(text, _)| text.as_str()).collect(),
                ids: input.map(|input_ids| ResponseVouch {
                    sources: None,
                    input_ids,
                    output_ids: deltas.iter().flat_map(|(_, i)| i.clone()).collect(),
                }),
                reason: ending.reason,
                usage: ending.usage,
            }.into_response();
            prop_assert_eq!(canonical_json(&assembled).unwrap(), canonical_json(&unstreamed).unwrap());
            let repeated = assemble(unstreamed.to_chunks(endpoint, ending.include_usage)).unwrap();
            prop_assert_eq!(repeated, unstreamed);
        }

        #[test]
        fn a_stream_that_lost_its_end_is_refused((head, deltas, input, ending) in answers(), keep: prop::sample::Index) {
            let chunker = Chunker::new(head);
            let mut chunks = vec![chunker.first(input.clone())];
            chunks.extend(deltas.iter().map(|(text, _)| chunker.delta(text.clone(), Vec::new())));
            chunks.extend(chunker.last(ending));
            chunks.truncate(keep.index(chunks.len()));
            prop_assert!(assemble(chunks).is_err());
        }
    }
}
