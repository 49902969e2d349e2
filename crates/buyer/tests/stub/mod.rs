//! A stub of a provider that speaks `docs/PROTOCOL.md` with the formats of `core` and `wire`, and
//! can break its word. It keeps the money as a gateway must, in memory, and panics nowhere: what a
//! test cares about it reads from [`Stub::books`].
#![allow(dead_code, reason = "each test file uses a part of it")]

mod answer;
mod log;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{self, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use vouch_buyer::{Buyer, Clock, Policy, system_clock};
use vouch_contracts::{addresses, bindings::ReceiveWithAuthorization, deposit_nonce};
use vouch_core::{
    bundle::Authorization,
    channel::{Channel, ChannelConfig, ChannelError, Mode, OnChain, SignedVoucher},
    commitment,
    domain::Domain,
    money::{Prices, Usage},
    receipt::Receipt,
    terms::{LogTerms, Terms},
};
use vouch_model::tokenizer::{Tokenizer, TokenizerSpec};
use vouch_wallet::{LogKey, Wallet};
use vouch_wire::{
    openai::{Endpoint, ErrorBody, ErrorDetail, Model, ModelList, Request},
    vouch::{
        Acknowledgement, Asset, ChannelView, LogKey as LogInfo, ModelInfo, OfferInfo,
        ProviderDocument, SessionInfo, VoucherAccepted, VoucherBody,
    },
    x402::{
        self, BatchType, Extensions, Extra, Offer, PaymentPayload, PaymentRequired, Resource,
        SettleResponse, code,
    },
};

pub const MODEL: &str = "stub-model";
pub const CHAIN: u64 = 777_001;
pub const QUANTUM: u32 = 4;
/// Tokens of an answer where the request does not say.
pub const ANSWER_TOKENS: u32 = 24;
pub const PRICES: Prices =
    Prices { input: 1_000_000, cached: 500_000, output: 10_000_000, request: 1 };

/// How the stub breaks its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehave {
    /// It charges one more than the terms say.
    Overcharge,
    /// It counts one more token than it gave.
    OverchargeTokens,
    /// Its ids decode to another text.
    WrongIds,
    /// Its receipt commits to another response.
    WrongResponse,
    /// Its receipt is for another request.
    WrongRequest,
    /// It never gives a receipt, and forgets the call.
    NoReceipt,
    /// The first connection dies in mid-stream; the receipt is there.
    Dies,
    /// The total grows by a charge that was never receipted.
    PhantomCharge,
    /// It gives each receipt the first one's sequence.
    SameSequence,
    /// It promises each receipt the same place in the log.
    SameIndex,
    /// Somebody else signs the promise.
    ForeignPromise,
    /// It acknowledges with another call's nonce.
    OtherNonce,
    /// It asks for ten times what the calls can cost.
    Overreach,
    /// It shows another log at the same size.
    Equivocates,
    /// It rewrites the log before it grows.
    Rewrites,
    /// It signs checkpoints with the Ed25519 key alone.
    HalfSigned,
    /// It never logs what it promised.
    NeverLogs,
}

/// What a test looks at.
#[derive(Debug, Default)]
pub struct Books {
    pub misbehave: Option<Misbehave>,
    /// What the embedded chain would know: balances by channel, salts that were used.
    pub balances: BTreeMap<B256, u128>,
    pub salts: BTreeSet<B256>,
    pub wallet_has_test_money: bool,
    /// By channel, the highest voucher that was seen.
    pub highest: BTreeMap<B256, u128>,
    /// Charges by the call's commitment: a second entry is a double charge.
    pub charges: Vec<(B256, u128)>,
    /// How often each call's commitment was sent.
    pub sent: BTreeMap<B256, u32>,
    /// Most that was ever signed beyond the charges.
    pub most_ahead: u128,
    pub generated: u64,
    pub closed: Vec<B256>,
    pub(crate) channels: BTreeMap<B256, Channel>,
    pub(crate) answers: BTreeMap<B256, (Acknowledgement, Value)>,
    pub(crate) running: BTreeSet<B256>,
    pub(crate) first: Option<Receipt>,
    pub(crate) log: log::Log,
}

/// A running stub.
pub struct Stub {
    pub url: String,
    pub inner: Arc<Inner>,
    server: JoinHandle<()>,
}

pub struct Inner {
    pub books: Mutex<Books>,
    pub prices: Mutex<Prices>,
    pub wallet: Wallet,
    pub log_key: LogKey,
    pub tokenizer: Tokenizer,
    pub identity: Value,
    pub document: ProviderDocument,
    /// Pause between tokens.
    pub pace: Mutex<Duration>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stub {
    pub async fn start() -> Self {
        let keys = tempfile::tempdir().unwrap();
        let wallet = Wallet::random().unwrap();
        let log_key = LogKey::open_or_create(keys.path(), "").unwrap();
        let tokenizer = Tokenizer::new(byte_tokenizer()).unwrap();
        let identity = json!({"architecture": "stub", "tokenizer": tokenizer.hash()});
        let origin = "stub.example/log".to_owned();
        let document = ProviderDocument {
            version: 1,
            provider: wallet.address(),
            network: format!("eip155:{CHAIN}"),
            settlement: addresses::SETTLEMENT,
            collector: addresses::COLLECTOR,
            asset: Asset {
                address: addresses::TOKEN,
                name: "Vouch Test Dollar".into(),
                version: "1".into(),
                decimals: 6,
                symbol: "VTD".into(),
            },
            anchor: None,
            rpc: None,
            faucet: true,
            log: LogInfo { key: log_key.verifier(&origin).to_string(), origin },
            models: vec![MODEL.into()],
        };
        let inner = Arc::new(Inner {
            books: Mutex::default(),
            prices: Mutex::new(PRICES),
            wallet,
            log_key,
            tokenizer,
            identity,
            document,
            pace: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router(Arc::clone(&inner));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner, server }
    }

    pub fn books(&self) -> parking_lot::MutexGuard<'_, Books> {
        self.inner.books.lock()
    }

    pub fn misbehave(&self, how: Misbehave) {
        self.books().misbehave = Some(how);
    }
}

/// A buyer of this stub whose journal is in `dir`.
pub fn buyer(dir: &Path, stub: &Stub, policy: Policy) -> Buyer {
    buyer_at(dir, stub, policy, system_clock())
}

pub fn buyer_at(dir: &Path, stub: &Stub, policy: Policy, clock: Clock) -> Buyer {
    install_tls();
    let wallet = Wallet::open_or_create(dir, "").unwrap();
    Buyer::open(dir, wallet, policy, clock, std::slice::from_ref(&stub.url)).unwrap()
}

pub fn install_tls() {
    // Another test of this process may have done it.
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub fn policy(total: u128, per_call: u128) -> Policy {
    let mut policy = Policy::new(total, per_call);
    policy.receipt_timeout = Duration::from_millis(700);
    policy
}

/// One token a byte, in GPT-2's printable form, and an end of turn.
fn byte_tokenizer() -> TokenizerSpec {
    let mut next = 256;
    let mut tokens: Vec<String> = (0..=255u32)
        .map(|byte| {
            let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
            let char = if printable {
                byte
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(char).unwrap().to_string()
        })
        .collect();
    tokens.push("<|im_end|>".into());
    TokenizerSpec {
        version: 1,
        model: "gpt2".into(),
        pre: "smollm".into(),
        tokens,
        merges: Vec::new(),
        control: vec![256],
        user_defined: Vec::new(),
        bos: None,
        eos: Some(256),
        end_of_generation: vec![256],
        add_bos: false,
    }
}

fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/.well-known/vouch.json", get(async |State(s): Shared| Json(s.document.clone())))
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/vouch/vouchers", post(vouchers))
        .route("/vouch/models/{id}", get(async |State(s): Shared| Json(s.identity.clone())))
        .route("/vouch/tokenizers/{id}", get(async |State(s): Shared| {
            s.tokenizer.spec().to_json().unwrap()
        }))
        .route("/vouch/channels/{id}", get(channel))
        .route("/vouch/proof/{index}", get(log::proof))
        .route("/vouch/consistency", get(log::consistency))
        .route("/vouch/faucet", post(async |State(s): Shared| {
            s.books.lock().wallet_has_test_money = true;
        }))
        .route("/log/checkpoint", get(log::checkpoint))
        .with_state(inner)
}

type Shared = State<Arc<Inner>>;

impl Inner {
    pub fn domain(&self) -> Domain {
        Domain { chain: CHAIN, settlement: self.document.settlement }
    }

    pub fn terms(&self) -> Terms {
        Terms {
            version: 1,
            domain: self.domain(),
            provider: self.wallet.address(),
            asset: self.document.asset.address,
            model: MODEL.into(),
            identity: commitment::canonical_hash(&self.identity).unwrap(),
            prices: *self.prices.lock(),
            quantum_tokens: QUANTUM,
            log: LogTerms {
                origin: self.document.log.origin.clone(),
                key: self.document.log.key.clone(),
                merge_delay_s: 60,
            },
        }
    }

    fn offer(&self) -> PaymentRequired<OfferInfo> {
        let terms = self.terms();
        let offer = Offer {
            scheme: x402::SCHEME.into(),
            network: self.document.network.clone(),
            amount: 1000,
            asset: self.document.asset.address,
            pay_to: self.wallet.address(),
            max_timeout_seconds: 60,
            extra: Extra {
                name: self.document.asset.name.clone(),
                version: "1".into(),
                receiver_authorizer: self.wallet.address(),
                withdraw_delay: 900,
                asset_transfer_method: Some("eip3009".into()),
                min_deposit: Some(500),
                channel_state: None,
                voucher_state: None,
            },
        };
        PaymentRequired {
            x402_version: 2,
            error: None,
            resource: Resource { url: "http://stub".into(), description: None, mime_type: None },
            accepts: vec![offer],
            extensions: Some(Extensions::vouch(OfferInfo {
                version: 1,
                terms_hash: terms.hash().unwrap(),
                terms,
            })),
        }
    }

    pub fn price(&self, input: u64, output: u32) -> u128 {
        self.prices.lock().charge(&Usage { input, cached: 0, output: output.into() }).unwrap()
    }
}

async fn models(State(stub): Shared) -> Json<ModelList> {
    let terms = stub.terms();
    let info =
        ModelInfo { identity: terms.identity, terms_hash: terms.hash().unwrap(), terms };
    let model = Model {
        id: MODEL.into(),
        object: "model".into(),
        created: 1,
        owned_by: "stub".into(),
        vouch: Some(info),
    };
    Json(ModelList { object: "list".into(), data: vec![model] })
}

pub fn refuse(status: u16, code: &str, required: Option<u128>) -> Response {
    let error = ErrorDetail {
        message: format!("stub: {code}"),
        kind: "stub".into(),
        code: Some(code.into()),
        param: None,
        required,
    };
    (StatusCode::from_u16(status).unwrap(), Json(ErrorBody { error })).into_response()
}

fn payment_needed(stub: &Inner, code: &str, required: Option<u128>) -> Response {
    let mut response = refuse(402, code, required);
    let header = x402::encode(&stub.offer()).unwrap();
    response
        .headers_mut()
        .insert(x402::PAYMENT_REQUIRED, HeaderValue::try_from(header).unwrap());
    response
}

async fn chat(stub: Shared, headers: HeaderMap, body: Bytes) -> Response {
    serve(stub.0, Endpoint::Chat, &headers, &body)
}

async fn completions(stub: Shared, headers: HeaderMap, body: Bytes) -> Response {
    serve(stub.0, Endpoint::Completions, &headers, &body)
}

/// A call that was paid for.
pub struct Paid {
    pub endpoint: Endpoint,
    pub nonce: B256,
    pub authorization: Authorization,
    pub channel: B256,
    pub config: ChannelConfig,
    pub key: B256,
    pub input: Vec<u32>,
    pub request: Request,
}

fn serve(stub: Arc<Inner>, endpoint: Endpoint, headers: &HeaderMap, body: &Bytes) -> Response {
    let Some(header) = headers.get(x402::PAYMENT_SIGNATURE) else {
        return payment_needed(&stub, "payment_required", None);
    };
    let payment: PaymentPayload<SessionInfo> = x402::decode("payment", header.as_bytes()).unwrap();
    if payment.payload.r#type == BatchType::Refund {
        return close(&stub, &payment);
    }
    match admit(&stub, endpoint, &payment, body) {
        Ok(paid) => answer::run(stub, paid),
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
    *stub.books.lock().sent.entry(key).or_default() += 1;
    if authorization.request.terms != stub.terms().hash().unwrap() {
        return Err(payment_needed(stub, "terms_changed", None));
    }
    let request = Request::parse(endpoint, body).unwrap();
    if let Some(stored) = stub.books.lock().answers.get(&key) {
        return Err(answer::stored(endpoint, stored, request.stream()));
    }
    if stub.books.lock().running.contains(&key) {
        return Err(refuse(409, "in_flight", None));
    }
    if let Some(deposit) = &payment.payload.deposit {
        take_deposit(stub, channel, &config, deposit);
    }
    let input: Vec<u32> = body.iter().take(12).map(|byte| u32::from(*byte)).collect();
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
    let signature = vouch_core::signature::Signature::from_slice(&given.signature).unwrap();
    signature.verify(message.eip712_signing_hash(&domain), config.payer).unwrap();
    let mut books = stub.books.lock();
    assert!(books.wallet_has_test_money, "a deposit without money");
    if books.salts.insert(given.salt) {
        *books.balances.entry(channel).or_default() += deposit.amount;
    }
}

/// Holds what a call needs before it runs, by the real channel machine.
fn reserve(stub: &Arc<Inner>, paid: &Paid, voucher: &SignedVoucher) -> Result<(), Response> {
    let mut books = stub.books.lock();
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
    let tokens = paid.request.max_tokens().unwrap_or(ANSWER_TOKENS);
    let tokens = if paid.request.stream() { tokens.min(QUANTUM) } else { tokens };
    let amount = stub.price(paid.input.len() as u64, tokens);
    let amount = amount.min(paid.authorization.request.max_charge);
    let needed = channel.charged() + channel.reserved() + amount;
    let (accepted, charged) = (channel.accepted(), channel.charged());
    if overreach {
        return Err(payment_needed(stub, "voucher_needed", Some(needed * 1000)));
    }
    match channel.reserve(amount) {
        // Tracked by `answer`, which commits or releases it.
        Ok(reservation) => drop(reservation),
        Err(ChannelError::VoucherNeeded { required, .. }) => {
            return Err(payment_needed(stub, "voucher_needed", Some(required)));
        }
        Err(error) => panic!("{error}"),
    }
    books.highest.insert(paid.channel, accepted);
    books.most_ahead = books.most_ahead.max(accepted - charged);
    books.running.insert(paid.key);
    Ok(())
}

async fn vouchers(State(stub): Shared, Json(body): Json<VoucherBody>) -> Response {
    let voucher = body.voucher.signed().unwrap();
    let mut books = stub.books.lock();
    let Some(channel) = books.channels.get_mut(&voucher.voucher.channel_id) else {
        return refuse(404, "not_found", None);
    };
    if voucher.voucher.max_claimable_amount > channel.accepted() {
        voucher.verify(&stub.domain(), channel.config().voucher_signer()).unwrap();
        channel.accept(voucher).unwrap();
    }
    let (id, accepted, charged) = (channel.id(), channel.accepted(), channel.charged());
    books.highest.insert(id, accepted);
    books.most_ahead = books.most_ahead.max(accepted - charged);
    Json(VoucherAccepted { accepted }).into_response()
}

async fn channel(State(stub): Shared, extract::Path(id): extract::Path<B256>) -> Response {
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
    stub.books.lock().closed.push(id);
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

pub fn zero() -> Address {
    Address::ZERO
}
