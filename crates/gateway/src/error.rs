//! Everything that is refused, and the one place that says how: status, stable code, sentence.

use alloy_primitives::Address;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use vouch_core::{channel::ChannelError, inquiry::MAX_LIFE_S};
use vouch_store::Error as StoreError;
use vouch_wire::{
    openai::{ErrorBody, ErrorDetail},
    vouch::OfferInfo,
    x402::{self, PaymentRequired, code},
};

use crate::settlement::SettlementError;

/// Why a gateway cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Nothing to sell.
    #[error("there is no model to sell: configure at least one")]
    NoModels,
    /// Two models of one name.
    #[error("two models are called {0}: give each a name of its own")]
    TwiceNamed(String),
    /// A price that the reservation would not cover.
    #[error("cached input of {0} costs more than input: lower its cached price")]
    CachedPrice(String),
    /// A price that does not fit.
    #[error("the price of {0} with sources does not fit 128 bits: lower the price for sources")]
    SourcePrice(String),
    /// Sourced answers without a model whose input can be checked.
    #[error("no model on sale has token ids, so none can be sold with sources: sell an exact one")]
    NoIds,
    /// A model without a canonical identity.
    #[error("the model's identity cannot be hashed: {0}")]
    Identity(vouch_model::Error),
    /// Terms without a canonical form, or with a name that is too long.
    #[error("the terms cannot be offered: {0}")]
    Terms(vouch_core::Error),
    /// A document that cannot be written.
    #[error("a document cannot be written as JSON: {0}")]
    Document(serde_json::Error),
    /// x402 requires somebody who can sign refunds.
    #[error("the receiver authorizer is the zero address: name the account that signs refunds")]
    NoAuthorizer,
}

/// Why a request was refused. Its text goes to strangers: no paths, no keys, no upstream's address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the body has more than {limit_bytes} bytes: send a smaller one")]
    BodyTooLarge { limit_bytes: usize },
    #[error("the body did not arrive in time or broke off: send it again")]
    BodyBroken,
    #[error(transparent)]
    Request(vouch_wire::Error),
    #[error("{0}: send an x402 payment payload, as base64 of its JSON")]
    PaymentMalformed(vouch_wire::Error),
    #[error("there is no model {asked}: choose one of those that there are: {names}")]
    ModelNotFound { asked: String, names: String },
    #[error(
        "the input of {input} tokens and max_tokens {max_tokens} exceed the model's context of \
         {context} tokens: shorten the input or lower max_tokens"
    )]
    ContextTooLong { input: u32, max_tokens: u32, context: u32 },
    #[error("{0}")]
    Engine(vouch_model::Error),
    #[error(
        "a model with sources answers the last message of a user: send a chat with a text in it"
    )]
    NoQuestion,
    #[error(
        "no source that may be quoted was found for this question, and nothing was charged: ask it \
         otherwise, or ask the model without sources"
    )]
    NoSources,
    #[error("the sources cannot be searched now, and nothing was charged: repeat in a moment")]
    SourcesFailed,
    #[error("the price does not fit 128 bits: ask for less")]
    PriceOverflow,
    #[error("this call is paid: pay one of the offers in the PAYMENT-REQUIRED header")]
    PaymentRequired,
    #[error("the payment does not match this call's offer: take the offer of this very request")]
    OfferMismatch,
    #[error("the channel's {what} is not the one offered: open a channel as the offer says")]
    Party { what: &'static str, code: &'static str },
    /// Such a voucher is checked by the payer's own code where it has some, now or later
    /// (ERC-1271, EIP-7702): it could refuse on the chain what its key has signed here.
    #[error(
        "the channel has no payer authorizer, and the chain might not take its vouchers: open one \
         whose payerAuthorizer is the address that signs them"
    )]
    NoPayerAuthorizer,
    #[error("the voucher is for another channel than the channel configuration's: sign for that")]
    ChannelId,
    #[error("the voucher is refused, {0}: sign it with the key of the channel's payer authorizer")]
    VoucherSignature(vouch_core::Error),
    #[error("the voucher allows nothing: sign for more than 0")]
    VoucherZero,
    #[error("the chain has no deposit in this channel: deposit first")]
    NoDeposit,
    #[error(
        "the session request is incomplete: extensions.vouch.info needs nonce and authorization"
    )]
    SessionIncomplete,
    #[error("the channel is in session mode, where a voucher alone buys nothing: sign the request")]
    RequestUnsigned,
    #[error("the request is refused, {0}: sign it with the key of the channel's payer authorizer")]
    RequestSignature(vouch_core::Error),
    #[error("the signed request is for another {what}: sign this one")]
    RequestOther { what: &'static str },
    #[error("the signed request expired at {expiry}, it is {now} (Unix seconds): sign a new one")]
    RequestExpired { expiry: u64, now: u64 },
    #[error(
        "the signed request expires at {expiry}, more than {life_s} s ahead: sign an earlier expiry"
    )]
    RequestTooFar { expiry: u64, life_s: u64 },
    #[error("the request accepts terms that do not hold: sign the terms of this answer's offer")]
    TermsChanged,
    #[error(
        "maxCharge is {max}, the least this call can cost is {needed}: sign a higher maxCharge"
    )]
    MaxChargeTooLow { max: u128, needed: u128 },
    #[error("the deposit needs an EIP-3009 authorization: sign ReceiveWithAuthorization")]
    DepositUnauthorized,
    #[error("a deposit into this channel is under way: wait for its answer, then repeat")]
    DepositInFlight,
    #[error("the deposit is of nothing: authorize more than 0")]
    DepositZero,
    #[error("{}", deposit(.0))]
    Deposit(SettlementError),
    #[error("{}", close(.0))]
    Close(SettlementError),
    #[error("only the whole rest is refunded: leave amount out")]
    PartialRefund,
    #[error("calls are in flight on this channel: wait for their answers, then close it")]
    CloseBusy,
    #[error("the chain cannot be read now: repeat in a moment; nothing was charged")]
    ChainUnreadable,
    #[error("the view of the chain is stale, new work waits: repeat in a moment ({0})")]
    ChainStale(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("as many calls run and wait as this gateway takes: repeat in a moment")]
    TooBusy,
    #[error("the gateway is stopping: repeat in a moment")]
    Stopping,
    #[error("the call ended without an outcome: repeat it with the same nonce and body to see it")]
    Lost,
    #[error("{0} is not here: /.well-known/vouch.json says what is")]
    NotFound(&'static str),
    #[error("entry {0} is not under a checkpoint yet: repeat in a second")]
    NotLogged(u64),
    #[error("the cosignature is refused: {0}")]
    Cosignature(&'static str),
    #[error("this provider gives no test money: send money to the wallet on the chain itself")]
    NoFaucet,
    #[error("the faucet gave nothing, {0}: repeat in a moment")]
    Faucet(SettlementError),
    #[error(
        "the receipts of an owner's data are shown to that owner alone: sign the inquiry with the \
         owner's key"
    )]
    InquiryUnsigned,
    #[error(
        "the inquiry is to the provider {asked}, this one is {here}: sign an inquiry to this one"
    )]
    InquiryElsewhere { asked: Address, here: Address },
    #[error("the inquiry expired at {expiry}, it is {now} (Unix seconds): sign a new one")]
    InquiryExpired { expiry: u64, now: u64 },
    #[error(
        "the inquiry expires at {expiry}, more than {MAX_LIFE_S} s ahead: sign an earlier expiry"
    )]
    InquiryTooFar { expiry: u64 },
    #[error("the inquiry is refused, {0}: sign it with the key of the data's owner")]
    InquirySignature(vouch_core::Error),
    #[error("{what} is malformed: {why}")]
    Malformed { what: &'static str, why: &'static str },
    #[error("a payment came with GET, which serves offers and refunds alone: pay with POST")]
    GetPays,
    #[error("that path takes another method: send the one that docs/PROTOCOL.md names")]
    Method,
}

const INVALID: &str = "invalid_request_error";
const PAYMENT: &str = "payment_error";
const SERVER: &str = "server_error";
const LIMIT: &str = "rate_limit_error";

impl Refusal {
    /// Status, stable code and OpenAI's class of error.
    pub(crate) fn mapping(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BodyTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "body_too_large", INVALID),
            Self::BodyBroken => (S::REQUEST_TIMEOUT, "body_incomplete", INVALID),
            Self::Request(vouch_wire::Error::Param { .. }) => {
                (S::BAD_REQUEST, "invalid_parameter", INVALID)
            }
            Self::Request(_) | Self::Malformed { .. } => {
                (S::BAD_REQUEST, "invalid_request", INVALID)
            }
            Self::PaymentMalformed(_) => (S::BAD_REQUEST, "payment_malformed", PAYMENT),
            Self::ModelNotFound { .. } => (S::NOT_FOUND, "model_not_found", INVALID),
            Self::ContextTooLong { .. } => (S::BAD_REQUEST, "context_length_exceeded", INVALID),
            Self::Engine(error) => engine(error),
            Self::NoQuestion => (S::BAD_REQUEST, "no_question", INVALID),
            Self::NoSources => (S::NOT_FOUND, "no_sources", INVALID),
            Self::SourcesFailed => (S::SERVICE_UNAVAILABLE, "sources_unavailable", SERVER),
            Self::PriceOverflow => (S::BAD_REQUEST, "price_overflow", INVALID),
            Self::PaymentRequired => (S::PAYMENT_REQUIRED, "payment_required", PAYMENT),
            Self::OfferMismatch => (S::PAYMENT_REQUIRED, "offer_mismatch", PAYMENT),
            Self::Party { code, .. } => (S::PAYMENT_REQUIRED, code, PAYMENT),
            Self::NoPayerAuthorizer => (S::PAYMENT_REQUIRED, "payer_authorizer_missing", PAYMENT),
            Self::ChannelId => (S::PAYMENT_REQUIRED, code::CHANNEL_ID_MISMATCH, PAYMENT),
            Self::VoucherSignature(_) => (S::PAYMENT_REQUIRED, code::VOUCHER_SIGNATURE, PAYMENT),
            Self::VoucherZero => (S::BAD_REQUEST, "voucher_zero", PAYMENT),
            Self::NoDeposit => (S::PAYMENT_REQUIRED, code::CHANNEL_NOT_FOUND, PAYMENT),
            Self::SessionIncomplete => (S::PAYMENT_REQUIRED, "session_incomplete", PAYMENT),
            Self::RequestUnsigned => (S::PAYMENT_REQUIRED, "request_unsigned", PAYMENT),
            Self::RequestSignature(_) => (S::PAYMENT_REQUIRED, "request_signature", PAYMENT),
            Self::RequestOther { .. } => (S::PAYMENT_REQUIRED, "request_mismatch", PAYMENT),
            Self::RequestExpired { .. } => (S::PAYMENT_REQUIRED, "request_expired", PAYMENT),
            Self::RequestTooFar { .. } => (S::PAYMENT_REQUIRED, "request_expiry_too_far", PAYMENT),
            Self::TermsChanged => (S::PAYMENT_REQUIRED, "terms_changed", PAYMENT),
            Self::MaxChargeTooLow { .. } => (S::PAYMENT_REQUIRED, "max_charge_too_low", PAYMENT),
            Self::DepositUnauthorized => {
                (S::PAYMENT_REQUIRED, code::ERC3009_AUTHORIZATION_REQUIRED, PAYMENT)
            }
            Self::DepositZero => (S::PAYMENT_REQUIRED, "deposit_zero", PAYMENT),
            Self::DepositInFlight => (S::CONFLICT, "deposit_in_flight", PAYMENT),
            Self::Deposit(SettlementError::Failed(_)) => {
                (S::PAYMENT_REQUIRED, code::DEPOSIT_TRANSACTION_FAILED, PAYMENT)
            }
            // Never a 402: a client would sign afresh, and the first deposit may yet settle.
            Self::Deposit(SettlementError::Unknown(_)) => {
                (S::SERVICE_UNAVAILABLE, code::VERIFICATION_STATE_UNAVAILABLE, PAYMENT)
            }
            Self::Close(_) => (S::BAD_GATEWAY, code::REFUND_TRANSACTION_FAILED, PAYMENT),
            Self::PartialRefund => (S::PAYMENT_REQUIRED, code::REFUND_AMOUNT_INVALID, PAYMENT),
            Self::CloseBusy => (S::PAYMENT_REQUIRED, code::CHANNEL_BUSY, PAYMENT),
            Self::ChainUnreadable => (S::SERVICE_UNAVAILABLE, "chain_unavailable", SERVER),
            Self::ChainStale(_) => (S::SERVICE_UNAVAILABLE, "chain_stale", SERVER),
            Self::Store(error) => store(error),
            Self::TooBusy => (S::TOO_MANY_REQUESTS, "too_busy", LIMIT),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, "stopping", SERVER),
            Self::Lost => (S::SERVICE_UNAVAILABLE, "outcome_unknown", SERVER),
            Self::NotFound(_) => (S::NOT_FOUND, "not_found", INVALID),
            Self::NotLogged(_) => (S::NOT_FOUND, "not_logged_yet", INVALID),
            Self::Cosignature(_) => (S::CONFLICT, "cosignature_refused", INVALID),
            Self::NoFaucet => (S::NOT_FOUND, "no_faucet", INVALID),
            Self::Faucet(_) => (S::BAD_GATEWAY, "faucet_failed", SERVER),
            Self::InquiryUnsigned => (S::UNAUTHORIZED, "inquiry_unsigned", INVALID),
            Self::InquiryExpired { .. } => (S::UNAUTHORIZED, "inquiry_expired", INVALID),
            Self::InquiryTooFar { .. } => (S::UNAUTHORIZED, "inquiry_expiry_too_far", INVALID),
            Self::InquiryElsewhere { .. } => (S::FORBIDDEN, "inquiry_mismatch", INVALID),
            Self::InquirySignature(_) => (S::FORBIDDEN, "inquiry_signature", INVALID),
            Self::GetPays | Self::Method => (S::METHOD_NOT_ALLOWED, "method_not_allowed", INVALID),
        }
    }

    fn message(&self) -> String {
        match self {
            // An engine's own words may name files and upstreams.
            Self::Engine(error) if self.mapping().0.is_server_error() => {
                tracing::warn!(%error, "the engine failed");
                "the model failed before it answered, and nothing was charged: repeat in a moment"
                    .into()
            }
            // The cause names files.
            Self::Store(StoreError::Stopped { .. }) => {
                "the gateway cannot store anything until it is started again: repeat later; \
                 everything acknowledged is kept"
                    .into()
            }
            Self::Store(error) if self.mapping().0 == StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(%error, "the store refused");
                "the gateway cannot store what this needs: ask its operator".into()
            }
            _ => self.to_string(),
        }
    }

    fn param(&self) -> Option<&'static str> {
        match self {
            Self::Request(vouch_wire::Error::Param { param, .. }) => Some(param),
            Self::ModelNotFound { .. } => Some("model"),
            Self::ContextTooLong { .. } => Some("messages"),
            _ => None,
        }
    }

    /// The total that must be signed for, where that is what is missing.
    fn required(&self) -> Option<u128> {
        match self {
            Self::Store(StoreError::Channel(ChannelError::VoucherNeeded { required, .. })) => {
                Some(*required)
            }
            _ => None,
        }
    }

    pub(crate) fn body(&self) -> ErrorBody {
        let (_, code, kind) = self.mapping();
        ErrorBody {
            error: ErrorDetail {
                message: self.message(),
                kind: kind.into(),
                code: Some(code.into()),
                param: self.param().map(Into::into),
                required: self.required(),
            },
        }
    }

    fn retry_after_s(&self) -> Option<u16> {
        match self {
            Self::SourcesFailed
            | Self::TooBusy
            | Self::Stopping
            | Self::ChainStale(_)
            | Self::ChainUnreadable => Some(2),
            Self::NotLogged(_) | Self::DepositInFlight | Self::CloseBusy => Some(1),
            Self::Engine(vouch_model::Error::Busy { .. }) => Some(2),
            Self::Store(
                StoreError::InFlight | StoreError::Overloaded(_) | StoreError::StaleChain(_),
            ) => Some(1),
            Self::Store(StoreError::Channel(ChannelError::Busy)) => Some(1),
            _ => None,
        }
    }
}

fn deposit(error: &SettlementError) -> String {
    match error {
        SettlementError::Failed(why) => format!("the deposit failed, {why}: sign another"),
        SettlementError::Unknown(why) => format!(
            "whether the deposit settled is not known yet, {why}: repeat this very payment, and \
             sign no other"
        ),
    }
}

fn close(error: &SettlementError) -> String {
    match error {
        SettlementError::Failed(why) => format!(
            "the channel is not closed yet, {why}: repeat in a moment, or withdraw on the chain"
        ),
        SettlementError::Unknown(why) => {
            format!("whether the channel closed is not known yet, {why}: repeat in a moment")
        }
    }
}

fn engine(error: &vouch_model::Error) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    use vouch_model::Error as E;
    match error {
        E::Request(_) | E::Template(_) | E::Tokenizer(_) => {
            (S::BAD_REQUEST, "invalid_request", INVALID)
        }
        E::ContextTooLong { .. } | E::CacheTooSmall { .. } => {
            (S::BAD_REQUEST, "context_length_exceeded", INVALID)
        }
        E::Busy { .. } => (S::TOO_MANY_REQUESTS, "engine_busy", LIMIT),
        E::Upstream { .. } | E::UpstreamStatus { .. } | E::UpstreamBroke { .. } => {
            (S::BAD_GATEWAY, "upstream_unavailable", SERVER)
        }
        _ => (S::SERVICE_UNAVAILABLE, "engine_unavailable", SERVER),
    }
}

fn store(error: &StoreError) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match error {
        StoreError::Channel(error) => channel(*error),
        StoreError::UnknownChannel(_) => (S::PAYMENT_REQUIRED, code::MISSING_CHANNEL, PAYMENT),
        StoreError::InFlight => (S::CONFLICT, "in_flight", PAYMENT),
        StoreError::Overloaded(_) => (S::SERVICE_UNAVAILABLE, "overloaded", SERVER),
        StoreError::StaleChain(_) => (S::SERVICE_UNAVAILABLE, "chain_stale", SERVER),
        StoreError::Stopped { .. } => (S::SERVICE_UNAVAILABLE, "store_stopped", SERVER),
        StoreError::Range { .. } => (S::NOT_FOUND, "out_of_range", INVALID),
        StoreError::Cosignature(_) => (S::CONFLICT, "cosignature_refused", INVALID),
        _ => (S::INTERNAL_SERVER_ERROR, "store_failed", SERVER),
    }
}

fn channel(error: ChannelError) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match error {
        ChannelError::OtherChannel { .. } => {
            (S::PAYMENT_REQUIRED, code::CHANNEL_ID_MISMATCH, PAYMENT)
        }
        ChannelError::LowerVoucher { .. } => (S::CONFLICT, "voucher_lower", PAYMENT),
        ChannelError::OverDeposit { .. } => {
            (S::PAYMENT_REQUIRED, code::CUMULATIVE_EXCEEDS_BALANCE, PAYMENT)
        }
        ChannelError::CumulativeMismatch { .. } => {
            (S::PAYMENT_REQUIRED, code::CUMULATIVE_AMOUNT_MISMATCH, PAYMENT)
        }
        ChannelError::VoucherNeeded { .. } => (S::PAYMENT_REQUIRED, "voucher_needed", PAYMENT),
        ChannelError::Busy => (S::PAYMENT_REQUIRED, code::CHANNEL_BUSY, PAYMENT),
        ChannelError::OtherMode(_) => (S::CONFLICT, "channel_mode", PAYMENT),
        ChannelError::Frozen(_) => (S::CONFLICT, "channel_frozen", PAYMENT),
        _ => (S::INTERNAL_SERVER_ERROR, "channel_failed", SERVER),
    }
}

/// A refusal, with an offer where a payment could help.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) offer: Option<Box<PaymentRequired<OfferInfo>>>,
    /// The `PAYMENT-RESPONSE` of a deposit that settled although the call failed.
    pub(crate) settled: Option<HeaderValue>,
}

impl Refused {
    /// A call that nobody paid for, and how to pay for it.
    pub(crate) fn unpaid(offer: PaymentRequired<OfferInfo>) -> Self {
        Self::offering(Refusal::PaymentRequired, offer)
    }

    /// A refusal with a fresh offer.
    pub(crate) fn offering(refusal: Refusal, offer: PaymentRequired<OfferInfo>) -> Self {
        Self { refusal, offer: Some(Box::new(offer)), settled: None }
    }
}

impl<E: Into<Refusal>> From<E> for Refused {
    fn from(refusal: E) -> Self {
        Self { refusal: refusal.into(), offer: None, settled: None }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, _) = self.refusal.mapping();
        tracing::debug!(%status, code, "refused");
        let body = serde_json::to_vec(&self.refusal.body()).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Whoever answers 401 has to say how one proves who one is (RFC 9110).
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Vouch-Inquiry"));
        }
        if let Some(seconds) = self.refusal.retry_after_s() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(settled) = self.settled {
            headers.insert(x402::PAYMENT_RESPONSE, settled);
        }
        let offer = self.offer.filter(|_| status == StatusCode::PAYMENT_REQUIRED);
        if let Some(mut offer) = offer {
            offer.error = Some(code.to_owned());
            let value = x402::encode(&*offer).ok().and_then(|text| text.try_into().ok());
            if let Some(value) = value {
                headers.insert(x402::PAYMENT_REQUIRED, value);
            }
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        Refused::from(self).into_response()
    }
}

/// A stranger's word for a message: short, and nothing that could pass for more than a word.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 64;
    let short: String = text.chars().take(MAX_CHARS).collect();
    let ellipsis = if short.len() < text.len() { "..." } else { "" };
    format!("{short:?}{ellipsis}")
}
