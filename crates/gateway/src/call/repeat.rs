//! A call that was answered before is answered again, whatever has changed since: terms, model,
//! expiry, funds, the channel's state. This is how a receipt that was lost on the way is fetched.

use vouch_core::{channel::Mode, commitment};
use vouch_store::StoredAnswer;
use vouch_wire::openai::{Endpoint, Request};

use super::Paid;
use crate::{
    app::App,
    error::Refusal,
    payment::{self, Payment},
};

/// An answer that is stored, and how it is to be written.
pub(super) struct Repeat {
    pub(super) paid: Paid,
    pub(super) stored: StoredAnswer,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

/// The stored answer to a session call, if it has one and is signed as the first was: the answer is
/// the payer's alone. Whatever else comes is refused with its reason where new calls are.
pub(super) fn find(
    app: &App,
    endpoint: Endpoint,
    payment: &Payment,
    body: &[u8],
) -> Result<Option<Repeat>, Refusal> {
    let Ok(Some((nonce, authorization))) = payment::session_info(payment) else { return Ok(None) };
    let request = authorization.request;
    let Some(channel) = app.store.channel(&request.channel) else { return Ok(None) };
    let Some(stored) = app.store.answer(&request.channel, &request.request)? else {
        return Ok(None);
    };
    if request.request != commitment::request(&nonce, endpoint.resource(), body)
        || payment::verify_signature(app, &channel.config, &authorization).is_err()
    {
        return Ok(None);
    }
    let (stream, include_usage) = match endpoint {
        Endpoint::Embeddings => (false, false),
        Endpoint::Chat | Endpoint::Completions => {
            let parsed = Request::parse(endpoint, body).map_err(Refusal::Request)?;
            (parsed.stream(), parsed.include_usage())
        }
    };
    let paid = Paid {
        mode: Mode::Session,
        channel,
        nonce,
        request: request.request,
        max_charge: request.max_charge,
        expiry: None,
        deposit: None,
    };
    Ok(Some(Repeat { paid, stored, stream, include_usage }))
}
