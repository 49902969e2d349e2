//! Generates, charges and receipts; misbehaves where told to.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{B256, U256};
use axum::{
    Json,
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::mpsc;
use vouch_core::{
    channel::{Channel, SignedVoucher, Voucher},
    commitment,
    money::Usage,
    promise::{Promise, SignedPromise},
    receipt::{Kind, Receipt, Status, Tier, VERSION},
    signature::Signature,
};
use vouch_wallet::Wallet;
use vouch_wire::{
    openai::{Answer, Chunker, Ending, Endpoint, FinishReason, Head, Response as Whole, ResponseVouch},
    sse,
    vouch::{Acknowledgement, RECEIPT_EVENT, VOUCHER_EVENT, VoucherRequired},
    x402::{self, Extensions, SettleResponse},
};

use super::{ANSWER_TOKENS, Inner, Misbehave, Paid, QUANTUM, refuse};

const TEXT: &[u8] = b"Two times three is six, and grass is green. ";

/// Runs a call in a task of its own, so that it ends in a receipt whoever leaves.
pub fn run(stub: Arc<Inner>, paid: Paid) -> Response {
    let streamed = paid.request.stream();
    let (sender, receiver) = mpsc::channel::<Vec<u8>>(1);
    let task = tokio::spawn(generate(stub, paid, sender));
    if streamed {
        return events(receiver);
    }
    // Dropped with the connection; the task sees that by its sender.
    let body = stream::once(async move {
        let _receiver = receiver;
        task.await.unwrap()
    });
    WholeBody(Box::pin(body)).into_response()
}

/// A response that is not known until the call has ended: status and headers come with it.
struct WholeBody(std::pin::Pin<Box<dyn futures_util::Stream<Item = Response> + Send>>);

impl IntoResponse for WholeBody {
    fn into_response(self) -> Response {
        // The stub serves whole answers at once: nothing in them waits.
        let mut pinned = self.0;
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current()
                .block_on(async { futures_util::StreamExt::next(&mut pinned).await.unwrap() })
        })
    }
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

async fn generate(stub: Arc<Inner>, paid: Paid, sender: mpsc::Sender<Vec<u8>>) -> Response {
    let streamed = paid.request.stream();
    let misbehave = stub.books.lock().misbehave;
    let most = paid.request.max_tokens().unwrap_or(ANSWER_TOKENS);
    let input = paid.input.len() as u64;
    let max_charge = paid.authorization.request.max_charge;
    let head = Head {
        endpoint: paid.endpoint,
        id: format!("{}stub", paid.endpoint.id_prefix()),
        created: now_ms() / 1000,
        model: super::MODEL.into(),
    };
    let chunker = Chunker::new(head.clone());
    let mut hold = {
        let reserve = if streamed { most.min(QUANTUM) } else { most };
        stub.price(input, reserve).min(max_charge)
    };
    let mut ids = Vec::new();
    let mut status = Status::Complete;
    if streamed {
        drop(sender.send(event(None, &chunker.first(Some(paid.input.clone())))).await);
    }
    while (ids.len() as u32) < most {
        let pace = *stub.pace.lock();
        if pace > Duration::ZERO {
            tokio::time::sleep(pace).await;
        }
        if sender.is_closed() {
            status = Status::StoppedByPayer;
            break;
        }
        let needed = stub.price(input, ids.len() as u32 + 1);
        if needed > max_charge {
            status = Status::OutOfFunds;
            break;
        }
        if needed > hold {
            let more = stub.price(input, (ids.len() as u32 + QUANTUM).min(most)).min(max_charge) - hold;
            if !extend(&stub, &paid, &sender, more).await {
                status = if sender.is_closed() { Status::StoppedByPayer } else { Status::OutOfFunds };
                break;
            }
            hold += more;
        }
        let byte = TEXT[ids.len() % TEXT.len()];
        let given = if misbehave == Some(Misbehave::WrongIds) { byte ^ 1 } else { byte };
        ids.push(u32::from(given));
        stub.books.lock().generated += 1;
        if streamed {
            let text = char::from(byte).to_string();
            let sent = sender.send(event(None, &chunker.delta(text, vec![u32::from(given)]))).await;
            if misbehave == Some(Misbehave::Dies) && ids.len() == 6 {
                drop(sender.send(Vec::new()).await);
            }
            if sent.is_err() {
                status = Status::StoppedByPayer;
                break;
            }
        }
    }
    let text: String = (0..ids.len()).map(|n| char::from(TEXT[n % TEXT.len()])).collect();
    let reason = (status == Status::Complete).then_some(FinishReason::Length);
    if misbehave == Some(Misbehave::OverchargeTokens) {
        ids.push(u32::from(b'!'));
    }
    let usage = Usage { input, cached: 0, output: ids.len() as u64 };
    if streamed {
        let ending = Ending { reason, usage: usage.into(), include_usage: false };
        for chunk in chunker.last(ending) {
            drop(sender.send(event(None, &chunk)).await);
        }
    }
    if misbehave == Some(Misbehave::NoReceipt) {
        let mut books = stub.books.lock();
        books.running.remove(&paid.key);
        release(books.channels.get_mut(&paid.channel).unwrap(), hold);
        return Json(serde_json::json!({})).into_response();
    }
    let answer = Answer {
        head,
        text,
        ids: Some(ResponseVouch { input_ids: paid.input.clone(), output_ids: ids }),
        reason,
        usage: usage.into(),
    };
    let acknowledgement = commit(&stub, &paid, &answer.clone().into_response(), usage, status, hold);
    let response = serde_json::to_value(answer.into_response()).unwrap();
    let answered = (acknowledgement, response);
    if streamed {
        drop(sender.send(event(Some(RECEIPT_EVENT), &answered.0)).await);
        drop(sender.send(sse::encode(None, "[DONE]")).await);
    }
    stored(paid.endpoint, &answered, false)
}

fn event(name: Option<&str>, value: &impl serde::Serialize) -> Vec<u8> {
    sse::encode(name, &serde_json::to_string(value).unwrap())
}

/// Waits for a voucher that covers `more`.
async fn extend(stub: &Inner, paid: &Paid, sender: &mpsc::Sender<Vec<u8>>, more: u128) -> bool {
    let mut told = false;
    for _ in 0..400 {
        {
            let mut books = stub.books.lock();
            let channel = books.channels.get_mut(&paid.channel).unwrap();
            let required = channel.charged() + channel.reserved() + more;
            if required <= channel.accepted() {
                drop(channel.reserve(more).unwrap());
                return true;
            }
            if !told {
                told = true;
                let accepted = channel.accepted();
                let asked = VoucherRequired { channel_id: paid.channel, required, accepted };
                drop(sender.try_send(event(Some(VOUCHER_EVENT), &asked)).map_err(|_| told = false));
            }
        }
        if sender.is_closed() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    false
}

/// The machine's reservations are linear; the stub tracks sums, and rebuilds the machine.
fn release(channel: &mut Channel, hold: u128) {
    let best = channel.best().copied();
    let (charged, sequence) = (channel.charged(), channel.sequence());
    let left = channel.reserved() - hold;
    let domain = vouch_core::domain::Domain {
        chain: super::CHAIN,
        settlement: vouch_contracts::addresses::SETTLEMENT,
    };
    let config = *channel.config();
    let on_chain = channel.on_chain();
    *channel = Channel::new(config, &domain, channel.mode(), on_chain)
        .restore(best, charged, sequence);
    if left > 0 {
        drop(channel.reserve(left).unwrap());
    }
}

fn commit(
    stub: &Inner,
    paid: &Paid,
    response: &Whole,
    usage: Usage,
    status: Status,
    hold: u128,
) -> Acknowledgement {
    let mut books = stub.books.lock();
    let misbehave = books.misbehave;
    let mut charge = stub.prices.lock().charge(&usage).unwrap();
    if misbehave == Some(Misbehave::Overcharge) {
        charge += 1;
    }
    let charge = charge.min(paid.authorization.request.max_charge);
    let channel = books.channels.get_mut(&paid.channel).unwrap();
    release(channel, hold);
    // What is charged here may exceed the hold where the stub cheats.
    let phantom = if misbehave == Some(Misbehave::PhantomCharge) { 1 } else { 0 };
    let (mut sequence, cumulative) = (channel.sequence() + 1, channel.charged() + charge + phantom);
    let best: Option<SignedVoucher> = channel.best().copied();
    let _accepted: Option<Voucher> = best.map(|best| best.voucher);
    let rest = channel.reserved();
    *channel = Channel::new(*channel.config(), &stub.domain(), channel.mode(), channel.on_chain())
        .restore(best, cumulative.min(channel.accepted()), sequence);
    if rest > 0 && channel.charged() + rest <= channel.accepted() {
        drop(channel.reserve(rest).unwrap());
    }
    if misbehave == Some(Misbehave::SameSequence) {
        sequence = 1;
    }
    let canonical = commitment::canonical_json(response).unwrap();
    let ids = response.vouch.as_ref().unwrap();
    let wrong = |how: Misbehave, hash: B256| if misbehave == Some(how) { !hash } else { hash };
    let seed = match paid.request.seed {
        Some(seed) => commitment::callers_seed(seed),
        None => commitment::derived_seed(&paid.nonce, &paid.key),
    };
    let receipt = Receipt {
        version: VERSION,
        domain: stub.domain(),
        kind: Kind::Inference,
        status,
        tier: Tier::Signed,
        flags: u16::from(paid.request.seed.is_some()) << 1,
        provider: stub.wallet.address(),
        agent: U256::ZERO,
        payer: paid.config.payer,
        channel: paid.channel,
        sequence,
        request: wrong(Misbehave::WrongRequest, paid.key),
        response: wrong(Misbehave::WrongResponse, commitment::response(&paid.nonce, &canonical)),
        tokens: commitment::tokens(&paid.nonce, &ids.input_ids, &ids.output_ids),
        usage,
        model: stub.terms().identity,
        sampling: B256::ZERO,
        seed: commitment::seed(&paid.nonce, &seed),
        commitment: B256::ZERO,
        terms: paid.authorization.request.terms,
        charge,
        cumulative,
        asset: paid.config.token,
        parent: B256::ZERO,
        time: now_ms(),
    };
    let promise = promise(stub, &mut books, &receipt);
    books.first.get_or_insert_with(|| receipt.clone());
    books.charges.push((paid.key, charge));
    books.running.remove(&paid.key);
    let nonce = wrong(Misbehave::OtherNonce, paid.nonce);
    let acknowledgement = Acknowledgement { receipt, promise, nonce };
    let value = serde_json::to_value(response).unwrap();
    books.answers.insert(paid.key, (acknowledgement.clone(), value));
    acknowledgement
}

/// One promise a receipt: its batch is itself.
fn promise(stub: &Inner, books: &mut super::Books, receipt: &Receipt) -> SignedPromise {
    let misbehave = books.misbehave;
    let index = match misbehave {
        Some(Misbehave::SameIndex) => 0,
        _ => books.log.promise(receipt.leaf_hash()),
    };
    let promise = Promise {
        root: receipt.leaf_hash(),
        first: index,
        count: 1,
        not_before: B256::repeat_byte(1),
        merge_by: now_ms() / 1000 + 60,
    };
    let digest = promise.digest(&stub.domain());
    let signature: Signature = match misbehave {
        Some(Misbehave::ForeignPromise) => Wallet::random().unwrap().sign(digest),
        _ => stub.wallet.sign(digest),
    };
    SignedPromise { promise, signature, index, path: Vec::new() }
}

/// An answer that is known: whole, or as all of its events at once.
pub fn stored(
    endpoint: Endpoint,
    (acknowledgement, response): &(Acknowledgement, Value),
    streamed: bool,
) -> Response {
    let settled = SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: None,
        transaction: String::new(),
        network: format!("eip155:{}", super::CHAIN),
        amount: Some(String::new()),
        extensions: Some(Extensions::vouch(acknowledgement.clone())),
        extra: None,
    };
    let mut reply = if streamed {
        let whole: Whole = serde_json::from_value(response.clone()).unwrap();
        let mut bytes: Vec<u8> =
            whole.to_chunks(endpoint, false).iter().flat_map(|chunk| event(None, chunk)).collect();
        bytes.extend(event(Some(RECEIPT_EVENT), acknowledgement));
        bytes.extend(sse::encode(None, "[DONE]"));
        ([(header::CONTENT_TYPE, "text/event-stream")], bytes).into_response()
    } else {
        Json(response).into_response()
    };
    let header = HeaderValue::try_from(x402::encode(&settled).unwrap()).unwrap();
    reply.headers_mut().insert(x402::PAYMENT_RESPONSE, header);
    reply
}

pub fn lost() -> Response {
    refuse(503, "outcome_unknown", None)
}

fn now_ms() -> u64 {
    vouch_buyer::system_clock()()
}
