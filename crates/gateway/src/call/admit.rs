//! From a payment to a hold on the channel: x402's own rule, or signed requests.

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use tokio::time::{Instant, sleep};
use vouch_core::{
    bundle::Authorization,
    channel::{ChannelError, Mode, SignedVoucher},
    commitment,
};
use vouch_store::{Begun, Call as StoreCall, ChannelView, Error as StoreError, StoredAnswer};

use super::{Call, Paid, reply};
use crate::{
    app::App,
    deposit,
    error::{Refusal, Refused},
    offer::{self, Asked},
    payment::{self, Payment, SessionRequest},
};

/// How often a stock call looks whether the one before it has ended.
const BUSY_POLL: Duration = Duration::from_millis(10);

/// A payment that holds.
pub(super) enum Admitted {
    Call(Box<Call>),
    /// It was answered before.
    Repeat(Box<Paid>, Box<StoredAnswer>),
}

/// Checks a payment and sets money aside for the call.
pub(super) async fn admit(
    app: &Arc<App>,
    asked: Asked,
    payment: &Payment,
    body: &[u8],
) -> Result<Admitted, Refused> {
    let admitted = match payment::session_info(payment) {
        Ok(Some((nonce, authorization))) => {
            session(app, &asked, payment, nonce, &authorization, body).await
        }
        Ok(None) => stock(app, &asked, payment, body).await,
        Err(refusal) => Err(refusal),
    };
    let refuse = |paid: Option<&Paid>, refusal| {
        app.metrics.refused();
        let settled = paid.map_or(Ok(None), |paid| reply::deposited(app, paid));
        let refused = refused(app, &asked, payment, refusal);
        // A deposit that settled is told whatever became of its call.
        Refused { settled: settled.unwrap_or_default(), ..refused }
    };
    let (paid, begun) = admitted.map_err(|refusal| refuse(None, refusal))?;
    match begun {
        Ok(Begun::New(hold)) => {
            // Set aside first: a call that waits for its turn must not be answered by one that
            // asks later, and dropping the hold releases it.
            let permit = app.work.admit().await;
            let permit = permit.map_err(|refusal| refuse(Some(&paid), refusal))?;
            // Deposit and turn may have taken longer than the payer was ready to wait.
            let expiry = paid.expiry.map_or(Ok(()), |expiry| payment::check_expiry(app, expiry));
            expiry.map_err(|refusal| refuse(Some(&paid), refusal))?;
            Ok(Admitted::Call(Box::new(Call { asked, paid, hold, permit })))
        }
        Ok(Begun::Repeat(stored)) => Ok(Admitted::Repeat(Box::new(paid), stored)),
        Err(refusal) => Err(refuse(Some(&paid), refusal)),
    }
}

/// How a call is paid, and how it begins: once there may have been a deposit, a refusal does not
/// stand alone.
type Begins = (Paid, Result<Begun, Refusal>);

/// A refusal with a fresh offer, and for stock clients that lost count with the total that holds.
fn refused(app: &App, asked: &Asked, payment: &Payment, refusal: Refusal) -> Refused {
    let mut offer = asked.required(app);
    let lost_count = matches!(
        refusal,
        Refusal::Store(StoreError::Channel(ChannelError::CumulativeMismatch { .. }))
    );
    // Only a voucher whose signature was checked comes so far: it is the payer who learns this.
    if lost_count && let Some(channel) = app.store.channel(&payment.payload.voucher.channel_id) {
        offer::resynchronise(&mut offer, &channel);
    }
    Refused::offering(refusal, offer)
}

async fn session(
    app: &Arc<App>,
    asked: &Asked,
    payment: &Payment,
    nonce: B256,
    authorization: &Authorization,
    body: &[u8],
) -> Result<Begins, Refusal> {
    let id = payment::check_parties(app, payment)?;
    let config = &payment.payload.channel_config;
    let resource = asked.endpoint.resource();
    let request = payment::verify_request(
        app,
        (config, id),
        &asked.model,
        nonce,
        authorization,
        resource,
        body,
    )?;
    let known = app.store.channel(&id);
    let paid = |channel: ChannelView, deposit| Paid {
        mode: Mode::Session,
        channel,
        nonce,
        request: request.request,
        max_charge: request.max_charge,
        expiry: Some(request.expiry),
        deposit,
    };
    if let Some(channel) = known.as_ref().filter(|channel| channel.mode == Mode::Stock) {
        return Err(StoreError::from(ChannelError::OtherMode(channel.mode)).into());
    }
    payment::check_expiry(app, request.expiry)?;
    let amount = session_amount(app, asked, &request)?;
    let accepted = known.as_ref().map_or(0, |channel| channel.accepted);
    let voucher = newer_voucher(app, payment, accepted)?;
    let call = StoreCall { channel: id, request: request.request, amount, voucher };
    let (channel, deposit) = deposit::fund(app, Mode::Session, &payment.payload, &call).await?;
    let begun = reserve(app, &channel, &call).await;
    if voucher.is_some() {
        app.wakers.wake(&id);
    }
    Ok((paid(channel, deposit), begun))
}

/// What a session call sets aside before it runs.
fn session_amount(app: &App, asked: &Asked, request: &SessionRequest) -> Result<u128, Refusal> {
    let needed = asked.price_of(asked.max_tokens.min(1))?;
    if needed > request.max_charge {
        return Err(Refusal::MaxChargeTooLow { max: request.max_charge, needed });
    }
    let whole = if asked.stream {
        asked.price_of(asked.max_tokens.min(app.config.quantum_tokens))?
    } else {
        asked.max_price
    };
    Ok(whole.min(request.max_charge))
}

/// The payment's voucher if it is higher than the accepted one; an older one brings nothing, and
/// calls in parallel may well overtake each other.
fn newer_voucher(
    app: &App,
    payment: &Payment,
    accepted: u128,
) -> Result<Option<SignedVoucher>, Refusal> {
    let payload = &payment.payload;
    if payload.voucher.max_claimable_amount <= accepted {
        return Ok(None);
    }
    payment::verify_voucher(app, &payload.channel_config, &payload.voucher).map(Some)
}

async fn stock(
    app: &Arc<App>,
    asked: &Asked,
    payment: &Payment,
    body: &[u8],
) -> Result<Begins, Refusal> {
    let id = payment::check_parties(app, payment)?;
    let known = app.store.channel(&id);
    if known.as_ref().is_some_and(|channel| channel.mode == Mode::Session) {
        return Err(Refusal::RequestUnsigned);
    }
    // A refusal may have offered some units more, see `offer::resynchronise`.
    let spare = known.map_or(0, |channel| channel.published.len() as u128);
    let amount = payment.accepted.amount;
    let offered = amount >= asked.max_price && amount - asked.max_price <= spare;
    if !(offered && offer::offer(app, amount).matches(&payment.accepted)) {
        return Err(Refusal::OfferMismatch);
    }
    let payload = &payment.payload;
    let voucher = payment::verify_voucher(app, &payload.channel_config, &payload.voucher)?;
    let nonce = random_nonce()?;
    let request = commitment::request(&nonce, asked.endpoint.resource(), body);
    let call = StoreCall { channel: id, request, amount, voucher: Some(voucher) };
    let (channel, deposit) = deposit::fund(app, Mode::Stock, payload, &call).await?;
    let begun = reserve_in_turn(app, &channel, &call).await;
    let paid = Paid {
        mode: Mode::Stock,
        channel,
        nonce,
        request,
        max_charge: amount,
        expiry: None,
        deposit,
    };
    Ok((paid, begun))
}

/// Reserves; where the voucher exceeds the deposit that is known, after a look at the chain.
async fn reserve(app: &App, channel: &ChannelView, call: &StoreCall) -> Result<Begun, Refusal> {
    match app.store.reserve(call) {
        Err(StoreError::Channel(ChannelError::OverDeposit { .. })) => {
            payment::refresh(app, channel).await?;
            Ok(app.store.reserve(call)?)
        }
        begun => Ok(begun?),
    }
}

/// Reserves on a stock channel, after waiting briefly for a call before this one.
async fn reserve_in_turn(
    app: &App,
    channel: &ChannelView,
    call: &StoreCall,
) -> Result<Begun, Refusal> {
    let deadline = Instant::now() + app.config.limits.busy_timeout;
    loop {
        match reserve(app, channel, call).await {
            Err(Refusal::Store(StoreError::Channel(ChannelError::Busy)))
                if Instant::now() < deadline =>
            {
                sleep(BUSY_POLL).await;
            }
            begun => return begun,
        }
    }
}

fn random_nonce() -> Result<B256, Refusal> {
    let mut nonce = B256::ZERO;
    getrandom::fill(nonce.as_mut_slice()).map_err(|error| {
        tracing::error!(%error, "no random bytes");
        Refusal::Lost
    })?;
    Ok(nonce)
}
