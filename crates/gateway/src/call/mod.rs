//! One paid call, from its bytes to its acknowledgement.

mod admit;
mod caller;
mod embed;
mod finish;
mod meter;
mod repeat;
mod reply;
mod run;
pub(crate) mod sourced;

use std::sync::Arc;

use alloy_primitives::B256;
use axum::{
    body::Body,
    http::{HeaderMap, Method},
    response::Response,
};
use vouch_core::channel::Mode;
use vouch_store::{ChannelView, Hold};
use vouch_wire::{
    openai::Endpoint,
    x402::{self, BatchType, PAYMENT_SIGNATURE},
};

use crate::{
    app::App,
    error::{Refusal, Refused},
    offer::{self, Asked},
    payment::Payment,
    refund,
    work::Permit,
};
use caller::Outcome;
pub(crate) use reply::settle_header;

/// A call that was paid for and may run.
#[derive(Debug)]
pub(crate) struct Call {
    asked: Asked,
    /// Mode, nonce and what the payer allows.
    paid: Paid,
    hold: Hold,
    permit: Permit,
}

/// How a call is paid.
#[derive(Debug, Clone)]
struct Paid {
    mode: Mode,
    channel: ChannelView,
    nonce: B256,
    /// The call's commitment.
    request: B256,
    /// Never charged more than this.
    max_charge: u128,
    /// A signed request must not begin after this, in Unix seconds.
    expiry: Option<u64>,
    /// The transaction of the deposit that came with the call.
    deposit: Option<B256>,
}

/// Answers a request to a paid route.
pub(crate) async fn serve(
    app: &Arc<App>,
    endpoint: Endpoint,
    method: &Method,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let payment = payment_of(headers)?;
    if let Some(payment) = &payment
        && payment.payload.r#type == BatchType::Refund
    {
        return refund::close(app, endpoint, payment).await;
    }
    if method != Method::POST {
        // Stock clients look for the offer with GET before they ask for a refund.
        return Err(probe(app, endpoint, payment.is_some()));
    }
    let body = app.bodies.call(headers, body).await?;
    if let Some(payment) = &payment
        && let Some(repeat) = repeat::find(app, endpoint, payment, &body.bytes)?
    {
        app.metrics.repeated();
        let repeat::Repeat { paid, stored, stream, include_usage } = repeat;
        return reply::whole(app, endpoint, &paid, stored, stream, include_usage);
    }
    // After the repeats: what was answered is given again whatever becomes of the chain.
    app.check_open()?;
    let (asked, task) = Asked::read(app, endpoint, &body.bytes).await?;
    let Some(payment) = payment else {
        app.metrics.unpaid();
        return Err(Refused::unpaid(asked.required(app)));
    };
    let (stream, include_usage) = (asked.stream, asked.include_usage);
    let admitted = admit::admit(app, asked, &payment, &body.bytes).await?;
    // The call may take long, and has its own copy of what it needs.
    drop(body);
    match admitted {
        admit::Admitted::Call(call) => {
            let paid = call.paid.clone();
            match caller::start(app, *call, task).await {
                Ok(Outcome::Whole(whole)) => {
                    reply::whole(app, endpoint, &paid, *whole, stream, include_usage)
                }
                Ok(Outcome::Stream(chunks)) => reply::stream(app, &paid, chunks),
                Err(refused) => {
                    app.metrics.refused();
                    Err(Refused { settled: reply::deposited(app, &paid)?, ..refused })
                }
            }
        }
        admit::Admitted::Repeat(paid, stored) => {
            app.metrics.repeated();
            reply::whole(app, endpoint, &paid, *stored, stream, include_usage)
        }
    }
}

fn payment_of(headers: &HeaderMap) -> Result<Option<Payment>, Refusal> {
    let Some(value) = headers.get(PAYMENT_SIGNATURE) else { return Ok(None) };
    x402::decode("the PAYMENT-SIGNATURE header", value.as_bytes())
        .map(Some)
        .map_err(Refusal::PaymentMalformed)
}

fn probe(app: &App, endpoint: Endpoint, paid: bool) -> Refused {
    if paid {
        return Refusal::GetPays.into();
    }
    match app.catalog.first() {
        Some(model) => Refused::unpaid(offer::required(app, endpoint, model, 0)),
        None => Refusal::NotFound("a model").into(),
    }
}
