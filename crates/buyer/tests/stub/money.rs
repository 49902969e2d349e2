//! Payments as a gateway takes them: deposits, vouchers, reservations, refunds.

use std::{borrow::Cow, sync::Arc};

use alloy_primitives::{B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use axum::{
    Json,
    body::Bytes,
    extract::{self, State},
    http::{HeaderMap, HeaderValue},
    response::{IntoResponse, Response},
};
use vouch_contracts::{bindings::ReceiveWithAuthorization, deposit_nonce};
use vouch_core::{
    bundle::Authorization,
    channel::{Channel, ChannelConfig, ChannelError, Mode, OnChain, SignedVoucher},
    commitment,
    signature::Signature,
};
use vouch_wire::{
    openai::{Endpoint, Request},
    vouch::{Acknowledgement, ChannelView, SessionInfo, VoucherAccepted, VoucherBody},
    x402::{self, BatchType, PaymentPayload, SettleResponse, code},
};

use super::{
    ANSWER_TOKENS, Books, CHAIN, INPUT_TOKENS, Inner, Misbehave, QUANTUM, Shared, answer,
    documents::{payment_needed, refuse},
    now_ms, receipt,
};

/// A call that was paid for.
pub(super) struct Paid {
    pub(super) endpoint: Endpoint,
    pub(super) nonce: B256,
    pub(super) authorization: Authorization,
    pub(super) channel: B256,
    pub(super) config: ChannelConfig,
    pub(super) key: B256,
    pub(super) input: Vec<u32>,
    pub(super) request: Request,
}

impl Paid {
    /// Tokens of the answer.
    pub(super) fn most(&self) -> u32 {
        self.request.max_tokens().unwrap_or(ANSWER_TOKENS)
    }
}

pub(super) async fn chat(stub: Shared, headers: HeaderMap, body: Bytes) -> Response {
    serve(stub.0, Endpoint::Chat, &headers, &body).await
}

pub(super) async fn completions(stub: Shared, headers: HeaderMap, body: Bytes) -> Response {
    serve(stub.0, Endpoint::Completions, &headers, &body).await
}

async fn serve(
    stub: Arc<Inner>,
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let Some(header) = headers.get(x402::PAYMENT_SIGNATURE) else {
        return payment_needed(&stub, "payment_required", None);
    };
    let payment: PaymentPayload<SessionInfo> = x402::decode("payment", header.as_bytes()).unwrap();
    if payment.payload.r#type == BatchType::Refund {
        return close(&stub, &payment);
    }
    match admit(&stub, endpoint, &payment, body) {
        Ok(_) if stub.is(Misbehave::Hangs) => std::future::pending().await,
        Ok(paid) => answer::run(stub, paid).await,
        Err(response) => response,
    }
}

fn admit(
    stub: &Arc<Inner>,
    endpoint: Endpoint,
    payment: &PaymentPayload<SessionInfo>,
    body: &Bytes,
) -> Result<Paid, Response> {
    let info = payment.extensions.as_ref().unwrap().vouch.as_ref().unwrap().info.clone();
    let (nonce, authorization) = (info.nonce.unwrap(), info.authorization.unwrap());
    let config = payment.payload.channel_config;
    let domain = stub.domain();
    let channel = config.id(&domain);
    let key = commitment::request(&nonce, endpoint.resource(), body);
    assert_eq!(authorization.request.request, key, "the signed request is this one");
    assert_eq!(authorization.request.channel, channel);
    let digest = authorization.request.digest(&domain);
    authorization.signature.verify(digest, config.voucher_signer()).unwrap();
    let times = {
        let mut books = stub.books.lock();
        let times = books.sent.entry(key).or_default();
        *times += 1;
        *times
    };
    if stub.is(Misbehave::Fails) || (times == 1 && stub.is(Misbehave::Stumbles)) {
        return Err(refuse(503, "stumbled", None));
    }
    let request = Request::parse(endpoint, body).unwrap();
    if let Some(stored) = stub.books.lock().answers.get(&key) {
        return Err(receipt::stored(endpoint, stored, request.stream()));
    }
    if stub.books.lock().holds.contains_key(&key) {
        return Err(refuse(409, "in_flight", None));
    }
    if authorization.request.terms != stub.terms().hash().unwrap() {
        return Err(payment_needed(stub, "terms_changed", None));
    }
    if authorization.request.expiry < now_ms() / 1000 {
        return Err(payment_needed(stub, "request_expired", None));
    }
    if let Some(deposit) = &payment.payload.deposit {
        take_deposit(stub, channel, &config, deposit);
    }
    let input: Vec<u32> = body.iter().take(INPUT_TOKENS as usize).map(|b| u32::from(*b)).collect();
    let paid = Paid { endpoint, nonce, authorization, channel, config, key, input, request };
    reserve(stub, &paid, &payment.payload.voucher.signed().unwrap())?;
    Ok(paid)
}

fn take_deposit(stub: &Inner, channel: B256, config: &ChannelConfig, deposit: &x402::Deposit) {
    let given = deposit.authorization.erc3009.as_ref().unwrap();
    let message = ReceiveWithAuthorization {
        from: config.payer,
        to: stub.document.collector,
        value: U256::from(deposit.amount),
        validAfter: U256::from(given.valid_after),
        validBefore: U256::from(given.valid_before),
        nonce: deposit_nonce(channel, given.salt.into()),
    };
    let domain = Eip712Domain::new(
        Some(Cow::Borrowed("Vouch Test Dollar")),
        Some(Cow::Borrowed("1")),
        Some(U256::from(CHAIN)),
        Some(config.token),
        None,
    );
    let signature = Signature::from_slice(&given.signature).unwrap();
    signature.verify(message.eip712_signing_hash(&domain), config.payer).unwrap();
    let mut books = stub.books.lock();
    if books.salts.insert(given.salt) {
        books.purse = books.purse.checked_sub(deposit.amount).expect("a deposit without money");
        *books.balances.entry(channel).or_default() += deposit.amount;
    }
}

/// Holds what a call needs before it runs, by the real channel machine.
fn reserve(stub: &Arc<Inner>, paid: &Paid, voucher: &SignedVoucher) -> Result<(), Response> {
    let mut books = stub.books.lock();
    books.vouchers.push(voucher.voucher.max_claimable_amount);
    let balance = books.balances.get(&paid.channel).copied().unwrap_or(0);
    if balance == 0 {
        return Err(payment_needed(stub, code::CHANNEL_NOT_FOUND, None));
    }
    let on_chain = OnChain { balance, ..OnChain::default() };
    let overreach = books.misbehave == Some(Misbehave::Overreach);
    let domain = stub.domain();
    let channel = books
        .channels
        .entry(paid.channel)
        .or_insert_with(|| Channel::new(paid.config, &domain, Mode::Session, on_chain));
    channel.observe(on_chain);
    if voucher.voucher.max_claimable_amount > channel.accepted() {
        voucher.verify(&domain, paid.config.voucher_signer()).unwrap();
        if let Err(error) = channel.accept(*voucher) {
            assert!(matches!(error, ChannelError::OverDeposit { .. }), "{error}");
            return Err(payment_needed(stub, code::CUMULATIVE_EXCEEDS_BALANCE, None));
        }
    }
    let amount = stub.reserves(paid);
    let reserved = channel.reserve(amount);
    if overreach {
        let needed = channel.charged() + channel.reserved() + amount;
        return Err(payment_needed(stub, "voucher_needed", Some(needed * 1000)));
    }
    match reserved {
        Ok(hold) => drop(books.holds.insert(paid.key, hold)),
        Err(ChannelError::VoucherNeeded { required, .. }) => {
            return Err(payment_needed(stub, "voucher_needed", Some(required)));
        }
        Err(error) => panic!("{error}"),
    }
    books.saw(&paid.channel);
    Ok(())
}

impl Inner {
    /// What a call holds before it runs.
    fn reserves(&self, paid: &Paid) -> u128 {
        let tokens = if paid.request.stream() { paid.most().min(QUANTUM) } else { paid.most() };
        self.price(INPUT_TOKENS, tokens).min(paid.authorization.request.max_charge)
    }
}

impl Books {
    /// Takes down how far ahead a channel is signed for.
    fn saw(&mut self, channel: &B256) -> u128 {
        let channel = &self.channels[channel];
        let (accepted, earned) = (channel.accepted(), self.earned.values().sum::<u128>());
        self.highest.insert(channel.id(), accepted);
        let ahead = accepted.saturating_sub(channel.charged() + earned);
        self.most_ahead = self.most_ahead.max(ahead);
        ahead
    }
}

pub(super) async fn vouchers(State(stub): Shared, Json(body): Json<VoucherBody>) -> Response {
    let voucher = body.voucher.signed().unwrap();
    let id = voucher.voucher.channel_id;
    let mut books = stub.books.lock();
    let Some(channel) = books.channels.get_mut(&id) else {
        return refuse(404, "not_found", None);
    };
    if voucher.voucher.max_claimable_amount > channel.accepted() {
        voucher.verify(&stub.domain(), channel.config().voucher_signer()).unwrap();
        channel.accept(voucher).unwrap();
    }
    let accepted = channel.accepted();
    books.vouchers.push(voucher.voucher.max_claimable_amount);
    let ahead = books.saw(&id);
    books.most_ahead_later = books.most_ahead_later.max(ahead);
    Json(VoucherAccepted { accepted }).into_response()
}

pub(super) async fn channel(
    State(stub): Shared,
    extract::Path(id): extract::Path<B256>,
) -> Response {
    let books = stub.books.lock();
    let Some(balance) = books.balances.get(&id) else { return refuse(404, "not_found", None) };
    let channel = books.channels.get(&id);
    let view = ChannelView {
        mode: Mode::Session,
        accepted: channel.map_or(0, Channel::accepted),
        charged: channel.map_or(0, Channel::charged),
        reserved: channel.map_or(0, Channel::reserved),
        sequence: channel.map_or(0, Channel::sequence),
        frozen: None,
        on_chain: OnChain { balance: *balance, ..OnChain::default() },
    };
    Json(view).into_response()
}

fn close(stub: &Inner, payment: &PaymentPayload<SessionInfo>) -> Response {
    let id = payment.payload.channel_config.id(&stub.domain());
    {
        let mut books = stub.books.lock();
        books.closed.push(id);
        let channel = &books.channels[&id];
        let claimed = match books.misbehave {
            Some(Misbehave::ClaimsAll) => channel.accepted(),
            _ => channel.charged(),
        };
        if books.misbehave != Some(Misbehave::SaysClosed) {
            let back = books.balances.insert(id, claimed).unwrap_or(0) - claimed;
            books.purse += back;
            books.claims.insert(id, claimed);
        }
    }
    let settled: SettleResponse<Acknowledgement> = SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(payment.payload.channel_config.payer),
        transaction: B256::repeat_byte(9).to_string(),
        network: stub.document.network.clone(),
        amount: None,
        extensions: None,
        extra: None,
    };
    let mut response = "{}".into_response();
    let header = HeaderValue::try_from(x402::encode(&settled).unwrap()).unwrap();
    response.headers_mut().insert(x402::PAYMENT_RESPONSE, header);
    response
}
