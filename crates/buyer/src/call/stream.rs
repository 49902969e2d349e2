//! A streamed answer as it comes: passed on, counted, and paid in mid-stream.

use reqwest::Response;
use serde_json::Value;
use tokio::sync::mpsc;
use vouch_wire::{
    openai::{self, Assembler, Chunk, Chunker, Ending, ErrorBody, Head},
    sse::{self, Parser},
    vouch::{Acknowledgement, RECEIPT_EVENT, VOUCHER_EVENT, VoucherRequired},
};

use super::{Answered, Event, ceiling};
use crate::{
    Buyer, Error,
    error::printable,
    seller::{self, Seller},
    state::{Call, most_input},
};

/// The first chunk carries the prompt's ids.
const MAX_EVENT_BYTES: usize = 8 << 20;

/// How a stream ended.
pub(super) enum Pumped {
    /// With its receipt.
    Receipt(Box<Acknowledgement>, Value),
    /// Without one: the connection broke, the caller left, or the provider did not finish.
    Broken(String),
    /// The buyer stopped it, because nothing more may be signed.
    Cut(Error),
}

/// A stream being read.
pub(super) struct Stream<'a> {
    buyer: &'a Buyer,
    seller: &'a Seller,
    call: &'a Call,
    /// Where chunks go; `None` when a stored answer is fetched that nobody waits for.
    events: Option<&'a mpsc::Sender<Event>>,
    assembler: Option<Assembler>,
    acknowledgement: Option<Box<Acknowledgement>>,
    input: Option<u64>,
    output: u64,
    head: Option<(Head, bool)>,
    /// The text that was passed on.
    text: String,
    vouchers: u32,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        buyer: &'a Buyer,
        seller: &'a Seller,
        call: &'a Call,
        events: Option<&'a mpsc::Sender<Event>>,
    ) -> Self {
        Self {
            buyer,
            seller,
            call,
            events,
            assembler: Some(Assembler::default()),
            acknowledgement: None,
            input: None,
            output: 0,
            head: None,
            text: String::new(),
            vouchers: 0,
        }
    }

    /// How many vouchers were signed and taken in mid-stream.
    pub(super) fn vouchers(&self) -> u32 {
        self.vouchers
    }

    /// Reads to the end. Returning early closes the connection, which stops the provider's engine.
    pub(super) async fn pump(&mut self, mut response: Response) -> Pumped {
        let mut parser = Parser::new(MAX_EVENT_BYTES);
        let idle = self.buyer.policy().idle_timeout;
        loop {
            let bytes = tokio::select! {
                read = tokio::time::timeout(idle, response.chunk()) => match read {
                    Err(_) => return Pumped::Broken("the stream was silent".into()),
                    Ok(Err(error)) => {
                        return Pumped::Broken(
                            seller::unreachable(&self.seller.url, &error).to_string(),
                        );
                    }
                    Ok(Ok(None)) => return self.ended(),
                    Ok(Ok(Some(bytes))) => bytes,
                },
                () = left(self.events) => return Pumped::Broken("the caller left".into()),
            };
            let events = match parser.push(&bytes) {
                Ok(events) => events,
                Err(error) => return Pumped::Broken(error.to_string()),
            };
            for event in events {
                match self.take(event).await {
                    Ok(false) => {}
                    Ok(true) => return self.ended(),
                    Err(pumped) => return pumped,
                }
            }
        }
    }

    fn ended(&mut self) -> Pumped {
        let Some(acknowledgement) = self.acknowledgement.take() else {
            return Pumped::Broken("the stream ended with no receipt".into());
        };
        let response = self.assembler.take().unwrap_or_default().finish();
        match response.map(serde_json::to_value) {
            Ok(Ok(response)) => Pumped::Receipt(acknowledgement, response),
            Ok(Err(error)) => Pumped::Broken(error.to_string()),
            Err(error) => Pumped::Broken(error.to_string()),
        }
    }

    /// Takes one event; true if it was the last.
    async fn take(&mut self, event: sse::Event) -> Result<bool, Pumped> {
        let malformed = |what: &str, error: serde_json::Error| {
            Pumped::Broken(printable(&format!("{what} is malformed: {error}")))
        };
        match event.name.as_deref() {
            None if event.data == "[DONE]" => return Ok(true),
            None => self.chunk(&event.data).await?,
            Some(VOUCHER_EVENT) => {
                let asked: VoucherRequired = serde_json::from_str(&event.data)
                    .map_err(|error| malformed("the request for a voucher", error))?;
                self.pay(&asked).await?;
            }
            Some(RECEIPT_EVENT) => {
                let acknowledgement = serde_json::from_str(&event.data)
                    .map_err(|error| malformed("the receipt", error))?;
                self.acknowledgement = Some(acknowledgement);
            }
            // Others may come with later versions.
            Some(_) => {}
        }
        Ok(false)
    }

    async fn chunk(&mut self, data: &str) -> Result<(), Pumped> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| {
            let refusal = serde_json::from_str::<ErrorBody>(data).map(|body| body.error.message);
            Pumped::Broken(printable(&refusal.unwrap_or_else(|_| error.to_string())))
        })?;
        self.count(&chunk);
        let assembler = self.assembler.get_or_insert_default();
        let before = assembler.text().len();
        assembler.push(chunk.clone()).map_err(|error| Pumped::Broken(error.to_string()))?;
        if let Some(events) = self.events {
            self.text.push_str(assembler.text().get(before..).unwrap_or_default());
            if events.send(Event::Chunk(chunk)).await.is_err() {
                return Err(Pumped::Broken("the caller left".into()));
            }
        }
        Ok(())
    }

    fn count(&mut self, chunk: &Chunk) {
        if self.head.is_none() {
            let endpoint = self.call.endpoint();
            let (id, model) = (chunk.id.clone(), chunk.model.clone());
            self.head = Some((Head { endpoint, id, created: chunk.created, model }, false));
        }
        if let Some((_, usage_sent)) = &mut self.head {
            *usage_sent |= chunk.usage.is_some();
        }
        let Some(vouch) = &chunk.vouch else { return };
        let count = |ids: &[u32]| u64::try_from(ids.len()).unwrap_or(u64::MAX);
        if let Some(ids) = &vouch.input_ids {
            self.input = Some(count(ids));
        }
        self.output = self.output.saturating_add(count(&vouch.ids));
    }

    /// Signs on for what has come and a few quanta more. Where the engine has no ids nothing can be
    /// counted, and the call's maximum is the only bound.
    async fn pay(&mut self, asked: &VoucherRequired) -> Result<(), Pumped> {
        let call = self.call;
        let terms = &call.terms;
        let quanta = u64::from(self.buyer.policy().ahead_quanta);
        let ahead = u64::from(terms.quantum_tokens).saturating_mul(quanta);
        let allowance = match self.input {
            None => call.max_charge(),
            Some(input) => {
                let input = input.min(most_input(&call.body, terms));
                let output = self.output.saturating_add(ahead);
                ceiling(&terms.prices, input, output).unwrap_or(u128::MAX)
            }
        };
        if asked.channel_id != call.channel() {
            return Err(Pumped::Broken("it asks for a voucher of another channel".into()));
        }
        self.buyer.allow(call, allowance);
        let voucher = self.buyer.voucher(call.channel(), asked.required).map_err(Pumped::Cut)?;
        let accepted = self.seller.voucher(voucher).await;
        let accepted = accepted.map_err(|error| Pumped::Broken(error.to_string()))?;
        if accepted < asked.required {
            return Err(Pumped::Broken("it did not take the voucher that it asked for".into()));
        }
        self.vouchers = self.vouchers.saturating_add(1);
        Ok(())
    }

    /// The text that was streamed, where the answer that has the receipt is not its continuation.
    pub(super) fn contradicted(&self, response: &Value) -> Option<String> {
        let (head, _) = self.head.as_ref()?;
        let whole = serde_json::from_value::<openai::Response>(response.clone()).ok();
        let goes_on = whole.is_some_and(|whole| {
            whole.id == head.id && text(&whole).is_some_and(|text| text.starts_with(&self.text))
        });
        (!goes_on).then(|| self.text.clone())
    }

    /// Passes on what a checked answer has beyond what was streamed.
    pub(super) async fn pass_on_rest(
        &self,
        answered: &Answered,
        include_usage: bool,
    ) -> Result<(), Error> {
        let Some(events) = self.events else { return Ok(()) };
        let whole = answered.response()?;
        let chunks = match &self.head {
            None => whole.to_chunks(self.call.endpoint(), include_usage),
            Some((_, true)) => Vec::new(),
            Some((head, false)) => self.rest(&whole, head, include_usage),
        };
        for chunk in chunks {
            if events.send(Event::Chunk(chunk)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn rest(&self, whole: &openai::Response, head: &Head, include_usage: bool) -> Vec<Chunk> {
        let chunker = Chunker::new(head.clone());
        let reason = whole.choices.first().and_then(|choice| choice.finish_reason);
        let ending = Ending { reason, usage: whole.usage, include_usage };
        let rest = text(whole).and_then(|text| text.strip_prefix(&self.text)).unwrap_or_default();
        let output = usize::try_from(self.output).unwrap_or(usize::MAX);
        let ids = whole.vouch.as_ref().and_then(|ids| ids.output_ids.get(output..));
        let delta = chunker.delta(rest.to_owned(), ids.unwrap_or_default().to_vec());
        let sources = whole.vouch.as_ref().and_then(|ids| ids.sources.clone());
        std::iter::once(delta).chain(chunker.last_sourced(ending, sources)).collect()
    }
}

fn text(response: &openai::Response) -> Option<&String> {
    let choice = response.choices.first()?;
    choice.message.as_ref().map(|message| &message.content).or(choice.text.as_ref())
}

/// Waits until nobody reads any more; for ever if nobody did.
async fn left(events: Option<&mpsc::Sender<Event>>) {
    match events {
        Some(events) => events.closed().await,
        None => std::future::pending().await,
    }
}
