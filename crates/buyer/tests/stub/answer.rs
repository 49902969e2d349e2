//! Generates, and asks for the money as it goes.

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::json;
use tokio::sync::mpsc;
use vouch_core::{channel::ChannelError, money::Usage, receipt::Status};
use vouch_wire::{
    openai::{Answer, Chunker, Ending, FinishReason, Head, ResponseVouch},
    sse,
    vouch::{RECEIPT_EVENT, VOUCHER_EVENT, VoucherRequired},
};

use super::{INPUT_TOKENS, Inner, Misbehave, QUANTUM, money::Paid, receipt, sourced};

const TEXT: &[u8] = b"Two times three is six, and grass is green. ";
/// Where a stream of a stub that breaks off does so.
const BREAKS_OFF: usize = 6;

/// Runs a call in a task of its own, so that it ends in a receipt whoever leaves: the task sees
/// that by its sender, whose receiver goes with the connection.
pub(super) async fn run(stub: Arc<Inner>, paid: Paid) -> Response {
    let streamed = paid.request.stream();
    let (sender, receiver) = mpsc::channel::<Vec<u8>>(1);
    let task = tokio::spawn(Run::new(stub, paid, sender).generate());
    if streamed {
        return events(receiver);
    }
    let response = task.await.unwrap();
    drop(receiver);
    response
}

fn events(receiver: mpsc::Receiver<Vec<u8>>) -> Response {
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        // An empty piece stands for a connection that dies.
        let piece = if bytes.is_empty() { Err(std::io::Error::other("died")) } else { Ok(bytes) };
        Some((piece, receiver))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(super) fn event(name: Option<&str>, value: &impl serde::Serialize) -> Vec<u8> {
    sse::encode(name, &serde_json::to_string(value).unwrap())
}

struct Run {
    stub: Arc<Inner>,
    paid: Paid,
    sender: mpsc::Sender<Vec<u8>>,
    chunker: Chunker,
    streamed: bool,
    misbehave: Option<Misbehave>,
    ids: Vec<u32>,
}

impl Run {
    fn new(stub: Arc<Inner>, mut paid: Paid, sender: mpsc::Sender<Vec<u8>>) -> Self {
        if let Some(sources) = sourced::sources(&stub, 0) {
            paid.input = vouch_core::sourced::preamble(&sources).bytes().map(u32::from).collect();
        }
        let chunker = Chunker::new(Head {
            endpoint: paid.endpoint,
            id: format!("{}{}", paid.endpoint.id_prefix(), B256::from(paid.key)),
            created: receipt::dated_ms(stub.books.lock().misbehave) / 1000,
            model: stub.model.clone(),
        });
        let (streamed, misbehave) = (paid.request.stream(), stub.books.lock().misbehave);
        Self { stub, paid, sender, chunker, streamed, misbehave, ids: Vec::new() }
    }

    fn is(&self, how: Misbehave) -> bool {
        self.misbehave == Some(how)
    }

    /// Writes to the caller, if this is a stream; false if nobody reads.
    async fn send(&self, bytes: Vec<u8>) -> bool {
        !self.streamed || self.sender.send(bytes).await.is_ok()
    }

    async fn generate(mut self) -> Response {
        let status = self.tokens().await;
        self.finish(status).await
    }

    async fn tokens(&mut self) -> Status {
        let input = (!self.is(Misbehave::NoIds)).then(|| self.paid.input.clone());
        self.send(event(None, &self.chunker.first(input))).await;
        let most = self.paid.most() as usize;
        let padded = self.is(Misbehave::OverchargeTokens) || self.is(Misbehave::NoIds);
        let most = if padded { most - 1 } else { most };
        while self.ids.len() < most {
            let pace = *self.stub.pace.lock();
            tokio::time::sleep(pace).await;
            if let Err(status) = self.cover().await {
                return if self.sender.is_closed() { Status::StoppedByPayer } else { status };
            }
            if !self.token().await {
                return Status::StoppedByPayer;
            }
        }
        Status::Complete
    }

    /// One more token; false if nobody reads.
    async fn token(&mut self) -> bool {
        let byte = TEXT[self.ids.len() % TEXT.len()];
        let id = u32::from(if self.is(Misbehave::WrongIds) { byte ^ 1 } else { byte });
        self.ids.push(id);
        {
            let mut books = self.stub.books.lock();
            books.generated += 1;
            let earned = self.stub.price(INPUT_TOKENS, self.ids.len() as u32);
            books.earned.insert(self.paid.key, earned);
        }
        if self.streamed && self.ids.len() == BREAKS_OFF {
            match self.misbehave {
                Some(Misbehave::Dies | Misbehave::ChangesAnswer) => self.send(Vec::new()).await,
                Some(Misbehave::Drips) => self.drip().await,
                _ => true,
            };
        }
        let ids = if self.is(Misbehave::NoIds) { Vec::new() } else { vec![id] };
        let chunk = self.chunker.delta(char::from(byte).to_string(), ids);
        self.send(event(None, &chunk)).await && !self.sender.is_closed()
    }

    /// Says nothing until nobody listens.
    async fn drip(&self) -> bool {
        while self.send(b":\n\n".to_vec()).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// Makes sure that the hold covers one more token, by asking for a voucher if need be.
    async fn cover(&self) -> Result<(), Status> {
        let max_charge = self.paid.authorization.request.max_charge;
        let output = self.ids.len() as u32;
        let needed = self.stub.price(INPUT_TOKENS, output + 1);
        if self.sender.is_closed() || needed > max_charge {
            return Err(Status::OutOfFunds);
        }
        let target = self.stub.price(INPUT_TOKENS, (output + QUANTUM).min(self.paid.most()));
        let target = target.min(max_charge);
        let mut told = false;
        for _ in 0..400 {
            let Some(asked) = self.extend(needed, target) else { return Ok(()) };
            if !told {
                told = true;
                self.send(event(Some(VOUCHER_EVENT), &asked)).await;
            }
            if self.sender.is_closed() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Err(Status::OutOfFunds)
    }

    /// Extends the hold to `target` where it is below `needed`; the voucher that is missing, if any.
    fn extend(&self, needed: u128, target: u128) -> Option<VoucherRequired> {
        let mut books = self.stub.books.lock();
        let books = &mut *books;
        let hold = books.holds.get_mut(&self.paid.key).unwrap();
        let channel = books.channels.get_mut(&self.paid.channel).unwrap();
        let greedy = self.is(Misbehave::OverreachLater) && self.ids.len() == BREAKS_OFF;
        if needed <= hold.amount() && !greedy {
            return None;
        }
        let more = if greedy { channel.accepted() * 1000 } else { target - hold.amount() };
        match channel.extend(hold, more) {
            Ok(()) => None,
            Err(ChannelError::VoucherNeeded { required, accepted }) => {
                Some(VoucherRequired { channel_id: self.paid.channel, required, accepted })
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn finish(mut self, status: Status) -> Response {
        let reason = (status == Status::Complete).then_some(FinishReason::Length);
        let mut text: String =
            (0..self.ids.len()).map(|n| char::from(TEXT[n % TEXT.len()])).collect();
        if self.is(Misbehave::OverchargeTokens) {
            let id = u32::from(b'!');
            self.ids.push(id);
            self.send(event(None, &self.chunker.delta(String::new(), vec![id]))).await;
        }
        if self.is(Misbehave::ChangesAnswer) {
            text = text.to_uppercase();
            self.ids = text.bytes().map(u32::from).collect();
        }
        let extra = u64::from(self.is(Misbehave::NoIds));
        let output = self.ids.len() as u64 + extra;
        let usage = Usage { input: self.paid.input.len() as u64, cached: 0, output };
        let ending = Ending { reason, usage: usage.into(), include_usage: false };
        let price = self.stub.prices.lock().charge(&usage).unwrap();
        let sources = sourced::sources(&self.stub, price);
        for chunk in self.chunker.last_sourced(ending, sources.clone()) {
            self.send(event(None, &chunk)).await;
        }
        if self.is(Misbehave::NoReceipt) {
            self.stub.forget(&self.paid);
            return axum::Json(json!({})).into_response();
        }
        let ids = ResponseVouch {
            sources,
            input_ids: self.paid.input.clone(),
            output_ids: std::mem::take(&mut self.ids),
        };
        let ids = (!self.is(Misbehave::NoIds)).then_some(ids);
        let head = self.chunker.head().clone();
        let answer = Answer { head, text, ids, reason, usage: usage.into() }.into_response();
        let acknowledgement = receipt::commit(&self.stub, &self.paid, &answer, usage, status);
        self.send(event(Some(RECEIPT_EVENT), &acknowledgement)).await;
        self.send(sse::encode(None, "[DONE]")).await;
        let answered = (acknowledgement, serde_json::to_value(answer).unwrap());
        receipt::stored(self.paid.endpoint, &answered, false)
    }
}
