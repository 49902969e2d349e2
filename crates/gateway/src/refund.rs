//! Closes a channel with the payer's consent: claim what was charged, refund the rest.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use vouch_core::channel::{ChannelError, Freeze};
use vouch_store::{ChannelView, Error as StoreError};
use vouch_wire::{
    openai::Endpoint,
    x402::{ChannelState, PAYMENT_RESPONSE, SettleExtra, SettleResponse},
};

use crate::{
    app::App,
    call::settle_header,
    error::{Refusal, Refused},
    offer::{self, channel_state},
    payment::{self, Payment},
};

/// Answers a refund payload.
pub(crate) async fn close(
    app: &Arc<App>,
    endpoint: Endpoint,
    payment: &Payment,
) -> Result<Response, Refused> {
    app.check_open()?;
    let id = payment::check_parties(app, payment)?;
    let payload = &payment.payload;
    if payload.amount.is_some() {
        return Err(Refusal::PartialRefund.into());
    }
    let channel = app.store.channel(&id).ok_or(StoreError::UnknownChannel(id))?;
    payment::verify_voucher(app, &payload.channel_config, &payload.voucher)?;
    // A voucher below what was charged is an old one, which proves no wish to close now.
    let found = payload.voucher.max_claimable_amount;
    if found < channel.charged {
        let expected = channel.charged;
        let refusal = StoreError::Channel(ChannelError::CumulativeMismatch { found, expected });
        let Some(model) = app.catalog.first() else { return Err(refusal.into()) };
        let mut offer = offer::required(app, endpoint, model, 0);
        offer::resynchronise(&mut offer, &channel);
        return Err(Refused::offering(refusal.into(), offer));
    }
    if channel.reserved > 0 {
        return Err(Refusal::CloseBusy.into());
    }
    let repeated = channel.frozen == Some(Freeze::Closing);
    let channel = app.store.close_channel(id).await?;
    // In a task of its own: once sent, a transaction must be seen through.
    let closing = tokio::spawn({
        let app = Arc::clone(app);
        async move { app.settlement.close(id).await }
    });
    let transaction = closing.await.map_err(|_panicked| Refusal::Lost)?.map_err(|error| {
        tracing::warn!(channel = %id, %error, "a channel could not be closed");
        Refusal::Close(error)
    })?;
    let after = payment::refresh(app, &channel).await.unwrap_or_else(|_unreadable| {
        // It has closed; what the chain will say is known.
        let mut after = channel.clone();
        after.on_chain.balance = channel.charged.max(channel.on_chain.claimed);
        after.on_chain.claimed = after.on_chain.balance;
        after
    });
    let refunded = channel.on_chain.balance.saturating_sub(after.on_chain.balance);
    let settled = SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(channel.config.payer),
        transaction: transaction.to_string(),
        network: app.config.domain.network(),
        amount: Some(refunded.to_string()),
        extensions: None,
        extra: Some(SettleExtra {
            charged_amount: None,
            channel_state: Some(closed_state(&after, refunded > 0 || repeated)),
        }),
    };
    let mut response = "{}".into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(PAYMENT_RESPONSE, settle_header(&settled)?);
    Ok(response)
}

/// The channel as the refund left it.
fn closed_state(after: &ChannelView, refunded: bool) -> ChannelState {
    // A channel is closed once, and not refunded before.
    ChannelState { refund_nonce: u128::from(refunded), ..channel_state(after, after.charged) }
}
