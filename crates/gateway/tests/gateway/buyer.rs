//! A buyer's side for tests: signs, sends, reads, and checks what came with the real verifier.

use alloy_primitives::{B256, Bytes};
use futures_util::StreamExt;
use secp256k1::SecretKey;
use serde_json::{Value, json};
use vouch_core::{
    bundle::{self, Authorization, Bundle, LogProof},
    channel::{ChannelConfig, SignedVoucher, Voucher},
    commitment,
    request::Request,
    signature::{Signature, address_of},
};
use vouch_store::Store;
use vouch_wire::{
    openai::{Assembler, Chunk},
    sse::{Event, Parser},
    vouch::{
        Acknowledgement, OfferInfo, RECEIPT_EVENT, SessionInfo, VOUCHER_EVENT, VoucherRequired,
    },
    x402::{
        Authorization3009, Batch, BatchType, Deposit, DepositAuthorization, Extensions, Offer,
        PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired,
        SettleResponse, decode, encode,
    },
};

use crate::{
    harness::{DOMAIN, Harness, NOW_S, provider, secret},
    stub_engine::StubEngine,
};

pub const CHAT: &str = "/v1/chat/completions";
pub const EMBEDDINGS: &str = "/v1/embeddings";

pub struct Buyer {
    key: SecretKey,
    pub config: ChannelConfig,
}

/// A gateway that sells this engine, and a buyer with a deposit there.
pub async fn funded(engine: StubEngine) -> (Harness, Buyer) {
    let harness = Harness::start(vec![engine]).await;
    let buyer = Buyer::new(3);
    harness.chain.add(buyer.id(), 100_000);
    (harness, buyer)
}

/// What `hello` and an answer of so many tokens cost: 5 of input, 5 for the request, 10 a token.
pub fn price(tokens: u128) -> u128 {
    10 + 10 * tokens
}

/// What a call said.
pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub error_header: Option<PaymentRequired<OfferInfo>>,
    pub settled: Option<SettleResponse<Acknowledgement>>,
    pub retry_after: Option<String>,
}

impl Reply {
    pub async fn read(response: reqwest::Response) -> Self {
        let header = |name: &str| response.headers().get(name).map(|v| v.as_bytes().to_vec());
        let error_header = header(PAYMENT_REQUIRED).map(|v| decode("header", &v).unwrap());
        let settled = header(PAYMENT_RESPONSE).map(|v| decode("header", &v).unwrap());
        let retry_after = header("retry-after").map(|v| String::from_utf8(v).unwrap());
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, body, error_header, settled, retry_after }
    }

    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("no error")
    }

    pub fn acknowledgement(&self) -> &Acknowledgement {
        let settled = self.settled.as_ref().expect("a PAYMENT-RESPONSE header");
        &settled.extensions.as_ref().unwrap().vouch.as_ref().unwrap().info
    }
}

impl Buyer {
    pub fn new(byte: u8) -> Self {
        let key = secret(byte);
        let config = ChannelConfig {
            payer: address_of(&key),
            payer_authorizer: address_of(&key),
            receiver: provider(),
            receiver_authorizer: provider(),
            token: alloy_primitives::Address::repeat_byte(0x42),
            withdraw_delay: 3600,
            salt: B256::ZERO,
        };
        Self { key, config }
    }

    pub fn id(&self) -> B256 {
        self.config.id(&DOMAIN)
    }

    pub fn voucher(&self, amount: u128) -> SignedVoucher {
        let voucher = Voucher { channel_id: self.id(), max_claimable_amount: amount };
        let signature = Signature::sign(voucher.digest(&DOMAIN), &self.key);
        SignedVoucher { voucher, signature }
    }

    pub fn authorization(
        &self,
        terms: B256,
        nonce: B256,
        body: &str,
        max_charge: u128,
    ) -> Authorization {
        self.authorization_at(CHAT, terms, nonce, body, max_charge)
    }

    pub fn authorization_at(
        &self,
        path: &str,
        terms: B256,
        nonce: B256,
        body: &str,
        max_charge: u128,
    ) -> Authorization {
        self.sign(Request {
            channel: self.id(),
            request: commitment::request(&nonce, &format!("POST {path}"), body.as_bytes()),
            terms,
            max_charge,
            expiry: NOW_S + 600,
        })
    }

    pub fn sign(&self, request: Request) -> Authorization {
        Authorization { request, signature: Signature::sign(request.digest(&DOMAIN), &self.key) }
    }

    pub fn payment(&self, accepted: Offer, voucher: u128) -> PaymentPayload<SessionInfo> {
        PaymentPayload {
            x402_version: 2,
            resource: None,
            accepted,
            payload: Batch {
                r#type: BatchType::Voucher,
                channel_config: self.config,
                voucher: self.voucher(voucher).into(),
                deposit: None,
                amount: None,
            },
            extensions: None,
        }
    }

    pub fn deposit(&self, payment: &mut PaymentPayload<SessionInfo>, amount: u128) {
        payment.payload.r#type = BatchType::Deposit;
        payment.payload.deposit = Some(Deposit {
            amount,
            authorization: DepositAuthorization {
                erc3009: Some(Authorization3009 {
                    valid_after: 0,
                    valid_before: (NOW_S + 300).into(),
                    salt: B256::repeat_byte(9),
                    signature: Bytes::from_static(&[1; 65]),
                }),
            },
        });
    }
}

/// One call in session mode, with all that a bundle needs.
pub struct SessionCall {
    path: &'static str,
    pub nonce: B256,
    pub body: String,
    pub payment: PaymentPayload<SessionInfo>,
}

impl SessionCall {
    pub async fn new(
        harness: &Harness,
        buyer: &Buyer,
        body: Value,
        nonce: u8,
        voucher: u128,
    ) -> Self {
        Self::at(CHAT, harness, buyer, body, nonce, voucher).await
    }

    pub async fn at(
        path: &'static str,
        harness: &Harness,
        buyer: &Buyer,
        body: Value,
        nonce: u8,
        voucher: u128,
    ) -> Self {
        let model = harness.model(body["model"].as_str().unwrap()).await;
        let body = body.to_string();
        let nonce = B256::repeat_byte(nonce);
        let offer = offer_at(path, harness, &body).await.accepts.remove(0);
        let mut payment = buyer.payment(offer, voucher);
        let authorization = buyer.authorization_at(path, model.terms_hash, nonce, &body, 1_000_000);
        let info = SessionInfo { nonce: Some(nonce), authorization: Some(authorization) };
        payment.extensions = Some(Extensions::vouch(info));
        Self { path, nonce, body, payment }
    }

    pub fn info(&mut self) -> &mut SessionInfo {
        &mut self.payment.extensions.as_mut().unwrap().vouch.as_mut().unwrap().info
    }

    pub async fn send(&self, harness: &Harness) -> reqwest::Response {
        post_at(self.path, harness, &self.body, Some(&self.payment)).await
    }

    pub async fn reply(&self, harness: &Harness) -> Reply {
        Reply::read(self.send(harness).await).await
    }

    /// Holds an answer against the real verifier, up to its place under a checkpoint.
    pub async fn verify(
        &self,
        harness: &Harness,
        buyer: &Buyer,
        response: &Value,
        acknowledgement: &Acknowledgement,
    ) {
        let info = harness.model(response["model"].as_str().unwrap()).await;
        let path = format!("/vouch/models/{}", info.identity);
        let model: Value = harness.get(&path).await.json().await.unwrap();
        harness.store.publish_checkpoint().await.unwrap();
        let path = format!("/vouch/proof/{}", acknowledgement.promise.index);
        let log: LogProof = harness.get(&path).await.json().await.unwrap();
        let extensions = self.payment.extensions.as_ref();
        let bundle = Bundle {
            version: bundle::VERSION,
            nonce: acknowledgement.nonce,
            resource: format!("POST {}", self.path),
            request: self.body.clone(),
            response: response.clone(),
            receipt: acknowledgement.receipt.clone(),
            terms: info.terms,
            channel: buyer.config,
            voucher: buyer.voucher(acknowledgement.receipt.cumulative),
            authorization: extensions.and_then(|e| e.vouch.as_ref()?.info.authorization),
            promise: acknowledgement.promise.clone(),
            log: Some(log),
            anchor: None,
            model,
        };
        let report = vouch_evidence::verify(&bundle, &vouch_evidence::Options::default());
        assert!(report.verdict.holds(), "{report:#?}");
    }
}

pub fn chat(model: &str, content: &str, max_tokens: u32) -> Value {
    json!({
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": max_tokens,
    })
}

pub fn streaming(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

pub async fn post(
    harness: &Harness,
    body: &str,
    payment: Option<&PaymentPayload<SessionInfo>>,
) -> reqwest::Response {
    post_at(CHAT, harness, body, payment).await
}

pub async fn post_at(
    path: &str,
    harness: &Harness,
    body: &str,
    payment: Option<&PaymentPayload<SessionInfo>>,
) -> reqwest::Response {
    let mut request = harness.http.post(format!("{}{path}", harness.url)).body(body.to_owned());
    if let Some(payment) = payment {
        request = request.header(PAYMENT_SIGNATURE, encode(payment).unwrap());
    }
    request.send().await.unwrap()
}

/// The offer that an unpaid call gets.
pub async fn offer(harness: &Harness, body: &str) -> PaymentRequired<OfferInfo> {
    offer_at(CHAT, harness, body).await
}

pub async fn offer_at(path: &str, harness: &Harness, body: &str) -> PaymentRequired<OfferInfo> {
    let reply = Reply::read(post_at(path, harness, body, None).await).await;
    assert_eq!((reply.status, reply.code()), (402, "payment_required"));
    reply.error_header.unwrap()
}

/// Sends a voucher on its own.
pub async fn send_voucher(harness: &Harness, voucher: &SignedVoucher) -> Reply {
    let request = harness.http.post(format!("{}/vouch/vouchers", harness.url));
    let body = json!({ "voucher": voucher }).to_string();
    Reply::read(request.body(body).send().await.unwrap()).await
}

/// A stream as a buyer reads it.
pub struct Stream {
    response:
        std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    parser: Parser,
    events: std::collections::VecDeque<Event>,
    pub assembler: Assembler,
}

/// What a stream said next.
pub enum Next {
    Chunk,
    Voucher(VoucherRequired),
    Receipt(Box<Acknowledgement>),
    Done,
    End,
}

impl Stream {
    pub fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "private, no-store");
        Self {
            response: Box::pin(response.bytes_stream()),
            parser: Parser::new(1 << 20),
            events: Default::default(),
            assembler: Assembler::default(),
        }
    }

    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(event) = self.events.pop_front() {
                return self.take(event);
            }
            match self.response.next().await {
                Some(Ok(bytes)) => self.events.extend(self.parser.push(&bytes).unwrap()),
                Some(Err(_)) | None => return Next::End,
            }
        }
    }

    fn take(&mut self, event: Event) -> Next {
        match event.name.as_deref() {
            Some(VOUCHER_EVENT) => Next::Voucher(serde_json::from_str(&event.data).unwrap()),
            Some(RECEIPT_EVENT) => Next::Receipt(serde_json::from_str(&event.data).unwrap()),
            Some(name) => panic!("event {name} is unknown"),
            None if event.data == "[DONE]" => Next::Done,
            None => {
                let chunk: Chunk = serde_json::from_str(&event.data).unwrap();
                self.assembler.push(chunk).unwrap();
                Next::Chunk
            }
        }
    }

    /// Reads to the end, sending vouchers as they are asked for up to `budget`; gives how many,
    /// and the acknowledgement.
    pub async fn pay_to_the_end(
        &mut self,
        harness: &Harness,
        buyer: &Buyer,
        budget: u128,
    ) -> (u32, Acknowledgement) {
        let (mut vouchers, mut acknowledgement) = (0, None);
        loop {
            match self.next().await {
                Next::Chunk => {}
                Next::Voucher(asked) if asked.required <= budget => {
                    vouchers += 1;
                    let reply = send_voucher(harness, &buyer.voucher(asked.required)).await;
                    assert_eq!(reply.status, 200, "{}", reply.body);
                }
                Next::Voucher(_) => {}
                Next::Receipt(found) => acknowledgement = Some(*found),
                Next::Done => return (vouchers, acknowledgement.expect("a receipt before DONE")),
                Next::End => panic!("the stream broke off"),
            }
        }
    }

    pub fn response(self) -> Value {
        serde_json::to_value(self.assembler.finish().unwrap()).unwrap()
    }
}
