//! One payment sent, and what came back.

use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::timeout;
use vouch_core::{B256, channel::SignedVoucher};
use vouch_wire::{
    openai::{self, Endpoint},
    vouch::{Acknowledgement, OfferInfo, SessionInfo},
    x402::{
        self, Authorization3009, Batch, BatchType, DepositAuthorization, Extensions,
        PaymentPayload, PaymentRequired, SettleResponse, code,
    },
};

use crate::{
    Buyer, Error,
    error::printable,
    seller::{self, Seller},
    state::{Call, Deposit},
};

const MAX_ANSWER_BYTES: usize = 24 << 20;

/// What came back.
pub(super) enum Reply {
    /// The whole answer.
    Answer(Box<Acknowledgement>, Value),
    /// An event stream; `live` if the answer is only now being made, not a stored one.
    Stream { response: Box<Response>, live: bool },
    /// Not begun: sign at least this.
    VoucherNeeded(u128),
    /// Not begun: the deposit does not cover the voucher, or is not seen yet.
    DepositNeeded,
    /// Not begun: the terms are others now.
    TermsChanged,
    /// Not begun.
    Refused(Error),
    /// The first sending of this call is still running.
    InFlight,
    /// Nobody knows.
    Unknown(String),
}

impl Reply {
    /// Whether the provider has taken the payment, and with it a deposit.
    pub(super) fn is_begun(&self) -> bool {
        matches!(self, Self::Answer(..) | Self::Stream { .. })
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Unknown(why) => why.clone(),
            Self::InFlight => "the first sending of the call is still running".into(),
            Self::DepositNeeded => "the deposit does not cover the voucher".into(),
            Self::TermsChanged => "the terms have changed".into(),
            _ => "it went on".into(),
        }
    }
}

impl Buyer {
    /// Sends a call with a voucher and perhaps a deposit. Only broken books are errors here.
    pub(super) async fn send(
        &self,
        seller: &Seller,
        call: &Call,
        voucher: SignedVoucher,
        deposit: Option<Deposit>,
    ) -> Result<Reply, Error> {
        let header = self.payment(call, voucher, deposit)?;
        let sent = seller
            .http()
            .post(format!("{}{}", seller.url, call.endpoint().path()))
            .header(CONTENT_TYPE, "application/json")
            .header(x402::PAYMENT_SIGNATURE, header)
            .body(call.body.clone())
            .send();
        let reply = async {
            let response = sent.await.map_err(|error| seller::unreachable(&seller.url, &error))?;
            read(seller, call, response).await
        };
        // A stream begins with its first token, what is not streamed is silent to its end.
        let policy = self.policy();
        let limit = if call.stream { policy.idle_timeout } else { policy.answer_timeout };
        let reply = timeout(limit, reply).await.unwrap_or_else(|_elapsed| Err(seller.silent()));
        Ok(reply.unwrap_or_else(|error| Reply::Unknown(error.to_string())))
    }

    fn payment(
        &self,
        call: &Call,
        voucher: SignedVoucher,
        deposit: Option<Deposit>,
    ) -> Result<String, Error> {
        let opened = self.opened(call.channel())?;
        let payload = PaymentPayload {
            x402_version: x402::VERSION,
            resource: None,
            accepted: opened.offer,
            payload: Batch {
                r#type: if deposit.is_some() { BatchType::Deposit } else { BatchType::Voucher },
                channel_config: opened.config,
                voucher: voucher.into(),
                deposit: deposit.map(on_wire),
                amount: None,
            },
            extensions: Some(Extensions::vouch(SessionInfo {
                nonce: Some(call.nonce),
                authorization: Some(call.authorization),
            })),
        };
        Ok(x402::encode(&payload)?)
    }
}

fn on_wire(deposit: Deposit) -> x402::Deposit {
    let authorization = Authorization3009 {
        valid_after: 0,
        valid_before: deposit.valid_before.into(),
        salt: deposit.salt,
        signature: deposit.signature.0.to_vec().into(),
    };
    x402::Deposit {
        amount: deposit.amount,
        authorization: DepositAuthorization { erc3009: Some(authorization) },
    }
}

async fn read(seller: &Seller, call: &Call, response: Response) -> Result<Reply, Error> {
    let status = response.status();
    if status == StatusCode::OK {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let live = acknowledged(&response).is_none();
            return Ok(Reply::Stream { response: Box::new(response), live });
        }
        return whole(seller, call, response).await;
    }
    let terms = (status == StatusCode::PAYMENT_REQUIRED).then(|| terms_hash(&response)).flatten();
    let Some(body) = seller::refusal(&seller.url, response).await? else {
        return Ok(Reply::Unknown(format!("it answered {status} without an error body")));
    };
    let error_code = body.error.code.as_deref().unwrap_or_default();
    Ok(match (status.as_u16(), error_code, body.error.required) {
        (402, "voucher_needed", Some(required)) => Reply::VoucherNeeded(required),
        (402, code::CUMULATIVE_EXCEEDS_BALANCE | code::CHANNEL_NOT_FOUND, _) => {
            Reply::DepositNeeded
        }
        (402, "terms_changed", _) => Reply::TermsChanged,
        (402, ..) if terms.is_some_and(|terms| terms != call.authorization.request.terms) => {
            Reply::TermsChanged
        }
        (409, "in_flight" | "deposit_in_flight", _) => Reply::InFlight,
        (400..500, ..) => Reply::Refused(seller::refused(status, body)),
        _ => Reply::Unknown(format!("{status}: {}", printable(&body.error.message))),
    })
}

/// The terms that a 402 offers now.
fn terms_hash(response: &Response) -> Option<B256> {
    let header = response.headers().get(x402::PAYMENT_REQUIRED)?;
    let required: PaymentRequired<OfferInfo> =
        x402::decode("PAYMENT-REQUIRED", header.as_bytes()).ok()?;
    Some(required.extensions?.vouch?.info.terms_hash)
}

/// An answer in one piece. Without a receipt it is none: the same call is asked for again.
async fn whole(seller: &Seller, call: &Call, response: Response) -> Result<Reply, Error> {
    let url = &seller.url;
    let acknowledgement = acknowledged(&response);
    let bytes = seller::body(url, response, MAX_ANSWER_BYTES).await?;
    let Some(acknowledgement) = acknowledgement else {
        return Ok(Reply::Unknown("the answer came with no receipt".into()));
    };
    let response = match call.endpoint() {
        Endpoint::Embeddings => read_as::<openai::EmbeddingsResponse>(url, &bytes)?,
        Endpoint::Chat | Endpoint::Completions => read_as::<openai::Response>(url, &bytes)?,
    };
    Ok(Reply::Answer(Box::new(acknowledgement), response))
}

/// An answer of the form that it must have, and no other fields.
fn read_as<T: DeserializeOwned + Serialize>(url: &str, bytes: &[u8]) -> Result<Value, Error> {
    let response: T = serde_json::from_slice(bytes)
        .map_err(|error| Error::protocol(url, format!("the answer is malformed: {error}")))?;
    serde_json::to_value(response).map_err(|error| Error::State(error.to_string()))
}

/// The acknowledgement in an answer's header.
fn acknowledged(response: &Response) -> Option<Acknowledgement> {
    let header = response.headers().get(x402::PAYMENT_RESPONSE)?;
    let settled: SettleResponse<Acknowledgement> =
        x402::decode("PAYMENT-RESPONSE", header.as_bytes()).ok()?;
    Some(settled.extensions?.vouch?.info)
}
