//! Charges and receipts; stored answers.

use alloy_primitives::{B256, U256};
use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use vouch_core::{
    channel::Channel,
    commitment,
    log::merkle,
    money::Usage,
    promise::{Promise, SignedPromise},
    receipt::{Kind, Receipt, Status, Tier, VERSION, flags},
    signature::Signature,
};
use vouch_wallet::Wallet;
use vouch_wire::{
    openai::{Endpoint, Response as Whole},
    sse,
    vouch::{Acknowledgement, ChildReceipt, RECEIPT_EVENT},
    x402::{self, Extensions, SettleResponse},
};

use super::{Books, CHAIN, Inner, Misbehave, answer::event, money::Paid, now_ms, sourced};

impl Inner {
    /// Ends a call without a charge.
    pub(super) fn forget(&self, paid: &Paid) {
        let mut books = self.books.lock();
        books.earned.remove(&paid.key);
        let hold = books.holds.remove(&paid.key).unwrap();
        books.channels.get_mut(&paid.channel).unwrap().release(hold);
    }
}

impl Books {
    /// Charges, whatever was held: by the real machine where the stub is honest. Sequence and total.
    fn charge(&mut self, paid: &Paid, charge: u128) -> (u64, u128) {
        self.earned.remove(&paid.key);
        let hold = self.holds.remove(&paid.key).unwrap();
        let channel = self.channels.get_mut(&paid.channel).unwrap();
        let phantom = u128::from(self.misbehave == Some(Misbehave::PhantomCharge));
        let skipped = u64::from(self.misbehave == Some(Misbehave::SkipsSequence));
        if phantom == 0 && skipped == 0 && charge <= hold.amount() {
            return channel.commit(hold, charge).unwrap();
        }
        channel.release(hold);
        let (sequence, total) =
            (channel.sequence() + 1 + skipped, channel.charged() + charge + phantom);
        restore(channel, total, sequence);
        (sequence, total)
    }
}

/// Sets what the machine would refuse to be brought to.
fn restore(channel: &mut Channel, charged: u128, sequence: u64) {
    let best = channel.best().copied();
    let charged = charged.min(channel.accepted());
    *channel = channel.clone().restore(best, charged, sequence);
}

pub(super) fn commit(
    stub: &Inner,
    paid: &Paid,
    response: &Whole,
    usage: Usage,
    status: Status,
) -> Acknowledgement {
    let mut books = stub.books.lock();
    let overcharge = u128::from(books.misbehave == Some(Misbehave::Overcharge));
    let charge = stub.prices.lock().charge(&usage).unwrap() + overcharge;
    let charge = charge.min(paid.authorization.request.max_charge);
    let (sequence, cumulative) = books.charge(paid, charge);
    let sequence = if books.misbehave == Some(Misbehave::SameSequence) { 1 } else { sequence };
    let receipt = Receipt {
        charge,
        cumulative,
        sequence,
        usage,
        status,
        ..blank(stub, paid, response, books.misbehave)
    };
    let sources = response.vouch.as_ref().and_then(|ids| ids.sources.as_deref());
    let uses = sourced::uses(&receipt, &paid.nonce, sources, books.misbehave);
    let (promise, children) = promise(stub, &mut books, &receipt, uses);
    books.charges.push((paid.key, charge));
    let nonce =
        if books.misbehave == Some(Misbehave::OtherNonce) { !paid.nonce } else { paid.nonce };
    let mut acknowledgement = Acknowledgement { receipt, promise, nonce, children };
    if books.misbehave == Some(Misbehave::OldReceipt) {
        let first = books.first.clone().unwrap();
        acknowledgement = Acknowledgement { nonce, ..first };
    }
    books.first.get_or_insert_with(|| acknowledgement.clone());
    let value = serde_json::to_value(response).unwrap();
    books.answers.insert(paid.key, (acknowledgement.clone(), value));
    acknowledgement
}

/// A receipt but for its money.
fn blank(stub: &Inner, paid: &Paid, response: &Whole, misbehave: Option<Misbehave>) -> Receipt {
    let wrong = |how: Misbehave, hash: B256| if misbehave == Some(how) { !hash } else { hash };
    let canonical = commitment::canonical_json(response).unwrap();
    let (input, output) = response
        .vouch
        .as_ref()
        .map_or((&[] as &[u32], &[] as &[u32]), |ids| (&ids.input_ids, &ids.output_ids));
    let no_ids = if response.vouch.is_none() { flags::NO_TOKEN_IDS } else { 0 };
    let callers_seed = if paid.request.seed.is_some() { flags::CALLERS_SEED } else { 0 };
    let seed = match paid.request.seed {
        Some(seed) => commitment::callers_seed(seed),
        None => commitment::derived_seed(&paid.nonce, &paid.key),
    };
    Receipt {
        version: VERSION,
        domain: stub.domain(),
        kind: Kind::Inference,
        status: Status::Complete,
        tier: Tier::Signed,
        flags: callers_seed | no_ids,
        provider: stub.wallet.address(),
        agent: U256::ZERO,
        payer: paid.config.payer,
        channel: paid.channel,
        sequence: 0,
        request: wrong(Misbehave::WrongRequest, paid.key),
        response: wrong(Misbehave::WrongResponse, commitment::response(&paid.nonce, &canonical)),
        tokens: commitment::tokens(&paid.nonce, input, output),
        usage: Usage::default(),
        model: stub.terms().identity,
        sampling: B256::ZERO,
        seed: commitment::seed(&paid.nonce, &seed),
        commitment: B256::ZERO,
        terms: paid.authorization.request.terms,
        charge: 0,
        cumulative: 0,
        asset: paid.config.token,
        parent: B256::ZERO,
        time: dated_ms(misbehave),
    }
}

/// The time as the stub tells it.
pub(super) fn dated_ms(misbehave: Option<Misbehave>) -> u64 {
    let hour = 60 * 60 * 1000;
    match misbehave {
        Some(Misbehave::DatesBack) => now_ms() - hour,
        Some(Misbehave::DatesAhead) => now_ms() + hour,
        _ => now_ms(),
    }
}

/// One promise a receipt: its batch is itself and the uses of data in it.
fn promise(
    stub: &Inner,
    books: &mut Books,
    receipt: &Receipt,
    uses: Vec<Receipt>,
) -> (SignedPromise, Vec<ChildReceipt>) {
    let misbehave = books.misbehave;
    let index = match misbehave {
        Some(Misbehave::SameIndex) => 0,
        _ => books.log.promise(receipt.leaf_hash()),
    };
    for used in &uses {
        books.log.promise(used.leaf_hash());
    }
    let leaves: Vec<_> =
        std::iter::once(receipt).chain(&uses).map(|receipt| receipt.leaf_hash()).collect();
    let promise = Promise {
        root: merkle::root(&leaves),
        first: index,
        count: leaves.len() as u32,
        not_before: B256::repeat_byte(1),
        merge_by: dated_ms(misbehave) / 1000 + 60,
    };
    let digest = promise.digest(&stub.domain());
    let signature: Signature = match misbehave {
        Some(Misbehave::ForeignPromise) => Wallet::random().unwrap().sign(digest),
        _ => stub.wallet.sign(digest),
    };
    let path = |place| merkle::inclusion_path(&leaves, place);
    let child = |(receipt, place): (Receipt, usize)| ChildReceipt {
        receipt,
        index: index + place as u64,
        path: path(place),
    };
    let children = uses.into_iter().zip(1..).map(child).collect();
    (SignedPromise { promise, signature, index, path: path(0) }, children)
}

/// An answer that is known: whole, or as all of its events at once.
pub(super) fn stored(
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
        network: format!("eip155:{}", CHAIN),
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
