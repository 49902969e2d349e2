//! Money into a channel, with the call that it first pays for.
//!
//! A deposit costs the provider a transaction and the payer a wait until it can be withdrawn again,
//! so it is sent only where the call that came with it could then run.

use std::sync::Arc;

use alloy_primitives::B256;
use vouch_core::channel::{ChannelConfig, ChannelError, Mode, OnChain};
use vouch_store::{Call, ChannelView};
use vouch_wire::x402::{Batch, BatchType, Deposit};

use crate::{app::App, error::Refusal, payment};

/// The channel that pays for a call, after the payload's deposit if it has one; with the deposit's
/// transaction. Signatures were checked before.
pub(crate) async fn fund(
    app: &Arc<App>,
    mode: Mode,
    payload: &Batch,
    call: &Call,
) -> Result<(ChannelView, Option<B256>), Refusal> {
    let (id, config) = (call.channel, payload.channel_config);
    let (BatchType::Deposit, Some(deposit)) = (payload.r#type, &payload.deposit) else {
        return Ok((payment::open(app, mode, id, config).await?, None));
    };
    if deposit.authorization.erc3009.is_none() {
        return Err(Refusal::DepositUnauthorized);
    }
    if deposit.amount == 0 {
        return Err(Refusal::DepositZero);
    }
    let depositing = app.begin_deposit(id)?;
    check(app, mode, &config, deposit, call).await?;
    let (app, deposit) = (Arc::clone(app), deposit.clone());
    // In a task of its own: once sent, a transaction must be seen through, whoever has left.
    let settling = tokio::spawn(async move {
        let _depositing = depositing;
        settle(&app, mode, id, &config, &deposit).await
    });
    let (channel, transaction) = settling.await.map_err(|_panicked| Refusal::Lost)??;
    Ok((channel, Some(transaction)))
}

/// Refuses what the call could not use once it has settled.
async fn check(
    app: &App,
    mode: Mode,
    config: &ChannelConfig,
    deposit: &Deposit,
    call: &Call,
) -> Result<(), Refusal> {
    let known = match app.store.channel(&call.channel) {
        Some(channel) => Some(payment::refresh(app, &channel).await?),
        None => None,
    };
    let on_chain = match &known {
        Some(channel) => channel.on_chain,
        None => payment::observe(app, config).await?,
    };
    Ok(would_run(known.as_ref(), mode, on_chain, deposit.amount, call)
        .map_err(vouch_store::Error::from)?)
}

/// Whether a call could run on a channel with this much more in it. A stock call before it may
/// still change the total, which the call itself then waits for.
fn would_run(
    known: Option<&ChannelView>,
    mode: Mode,
    on_chain: OnChain,
    deposit: u128,
    call: &Call,
) -> Result<(), ChannelError> {
    let voucher = call.voucher.map_or(0, |signed| signed.voucher.max_claimable_amount);
    let (mut accepted, mut spoken_for) = (0, 0_u128);
    if let Some(channel) = known {
        if channel.mode != mode {
            return Err(ChannelError::OtherMode(channel.mode));
        }
        if let Some(freeze) = channel.frozen {
            return Err(ChannelError::Frozen(freeze));
        }
        accepted = channel.accepted;
        spoken_for = channel.charged.saturating_add(channel.reserved);
    }
    let covered = on_chain.covers().saturating_add(deposit);
    if voucher > covered {
        return Err(ChannelError::OverDeposit { found: voucher, covered });
    }
    let required = spoken_for.checked_add(call.amount).ok_or(ChannelError::Overflow)?;
    match mode {
        Mode::Session if required > accepted.max(voucher) => {
            Err(ChannelError::VoucherNeeded { required, accepted: accepted.max(voucher) })
        }
        Mode::Stock if known.is_none_or(|channel| channel.reserved == 0) => {
            let total = known.map_or(Some(required), |channel| channel.stock_total(call.amount));
            let expected = total.ok_or(ChannelError::Overflow)?;
            if voucher == expected {
                return Ok(());
            }
            Err(ChannelError::CumulativeMismatch { found: voucher, expected })
        }
        _ => Ok(()),
    }
}

async fn settle(
    app: &App,
    mode: Mode,
    id: B256,
    config: &ChannelConfig,
    deposit: &Deposit,
) -> Result<(ChannelView, B256), Refusal> {
    let deposited = app.settlement.deposit(config, deposit).await.map_err(|error| {
        tracing::warn!(channel = %id, %error, "a deposit did not settle");
        Refusal::Deposit(error)
    })?;
    let channel = if app.store.channel(&id).is_some() {
        app.store.observe(id, deposited.on_chain).await?.channel
    } else if deposited.on_chain.balance == 0 {
        // Its authorization was cancelled, or all of it has gone out again.
        return Err(Refusal::NoDeposit);
    } else {
        app.store.open_channel(*config, mode, deposited.on_chain).await?
    };
    Ok((channel, deposited.transaction))
}
