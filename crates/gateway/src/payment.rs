//! Checks who pays, and that they said so: parties, signatures, the channel.

use alloy_primitives::B256;
use vouch_core::{
    bundle::Authorization,
    channel::{ChannelConfig, Mode, OnChain, SignedVoucher},
    commitment,
    request::{self, ExpiryError},
};
use vouch_store::ChannelView;
use vouch_wire::{
    vouch::SessionInfo,
    x402::{Batch, PaymentPayload, VERSION, WireVoucher, code},
};

use crate::{app::App, catalog::Model, error::Refusal, offer};

/// What a client pays with.
pub(crate) type Payment = PaymentPayload<SessionInfo>;

/// A session request whose signature was checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionRequest {
    /// The call's commitment.
    pub(crate) request: B256,
    pub(crate) max_charge: u128,
    pub(crate) expiry: u64,
}

/// What a client of session mode added. A stock client echoes the offer's `info`, of which
/// neither field is part.
pub(crate) fn session_info(payment: &Payment) -> Result<Option<(B256, Authorization)>, Refusal> {
    let info = payment.extensions.as_ref().and_then(|extensions| extensions.vouch.as_ref());
    match info.map(|vouch| (vouch.info.nonce, vouch.info.authorization)) {
        None | Some((None, None)) => Ok(None),
        Some((Some(nonce), Some(authorization))) => Ok(Some((nonce, authorization))),
        Some(_) => Err(Refusal::SessionIncomplete),
    }
}

/// Checks what needs no signature, and gives the channel's id.
pub(crate) fn check_parties(app: &App, payment: &Payment) -> Result<B256, Refusal> {
    let (offered, accepted) = (offer::offer(app, 0), &payment.accepted);
    if payment.x402_version != VERSION || accepted.scheme != offered.scheme {
        return Err(Refusal::Party { what: "scheme or version", code: code::SCHEME });
    }
    if accepted.network != offered.network {
        return Err(Refusal::Party { what: "network", code: code::NETWORK_MISMATCH });
    }
    if !offered.same_parties(accepted) {
        return Err(Refusal::OfferMismatch);
    }
    payment.payload.check().map_err(Refusal::PaymentMalformed)?;
    channel_id(app, &payment.payload)
}

/// The id of a payload's channel, whose parties must be those that are offered.
pub(crate) fn channel_id(app: &App, payload: &Batch) -> Result<B256, Refusal> {
    let (channel, config) = (&payload.channel_config, &app.config);
    let parties = [
        (channel.receiver == config.pay_to(), "receiver", code::RECEIVER_MISMATCH),
        (
            channel.receiver_authorizer == config.receiver_authorizer,
            "receiver authorizer",
            code::RECEIVER_AUTHORIZER_MISMATCH,
        ),
        (channel.token == config.asset.address, "token", code::TOKEN_MISMATCH),
        (
            channel.withdraw_delay == config.withdraw_delay_s,
            "withdrawal delay",
            code::WITHDRAW_DELAY_MISMATCH,
        ),
    ];
    if let Some((_, what, code)) = parties.into_iter().find(|(same, ..)| !same) {
        return Err(Refusal::Party { what, code });
    }
    if channel.payer_authorizer.is_zero() {
        return Err(Refusal::NoPayerAuthorizer);
    }
    let id = channel.id(&config.domain);
    if payload.voucher.channel_id == id { Ok(id) } else { Err(Refusal::ChannelId) }
}

/// Checks a voucher's signature: one recovery.
pub(crate) fn verify_voucher(
    app: &App,
    channel: &ChannelConfig,
    voucher: &WireVoucher,
) -> Result<SignedVoucher, Refusal> {
    let signed = voucher.signed().map_err(Refusal::VoucherSignature)?;
    signed
        .verify(&app.config.domain, channel.voucher_signer())
        .map_err(Refusal::VoucherSignature)?;
    Ok(signed)
}

/// Checks a signed request against the call it came with: one recovery. Its expiry is left to the
/// caller, because a repeat of an answered call may come later.
pub(crate) fn verify_request(
    app: &App,
    channel: (&ChannelConfig, B256),
    model: &Model,
    nonce: B256,
    authorization: &Authorization,
    resource: &str,
    body: &[u8],
) -> Result<SessionRequest, Refusal> {
    let request = &authorization.request;
    if request.channel != channel.1 {
        return Err(Refusal::RequestOther { what: "channel" });
    }
    let commitment = commitment::request(&nonce, resource, body);
    if request.request != commitment {
        return Err(Refusal::RequestOther { what: "nonce, resource or body" });
    }
    if request.terms != model.terms_hash {
        return Err(Refusal::TermsChanged);
    }
    verify_signature(app, channel.0, authorization)?;
    Ok(SessionRequest {
        request: commitment,
        max_charge: request.max_charge,
        expiry: request.expiry,
    })
}

/// Checks who signed a request: one recovery.
pub(crate) fn verify_signature(
    app: &App,
    channel: &ChannelConfig,
    authorization: &Authorization,
) -> Result<(), Refusal> {
    let digest = authorization.request.digest(&app.config.domain);
    let verified = authorization.signature.verify(digest, channel.voucher_signer());
    verified.map_err(Refusal::RequestSignature)
}

/// Checks that a signed request may begin now.
pub(crate) fn check_expiry(app: &App, expiry: u64) -> Result<(), Refusal> {
    let (now, life_s) = (app.now_s(), app.config.limits.max_request_life.as_secs());
    request::check_expiry(expiry, now, life_s).map_err(|error| match error {
        ExpiryError::Over => Refusal::RequestExpired { expiry, now },
        ExpiryError::TooFar => Refusal::RequestTooFar { expiry, life_s },
    })
}

/// The channel, opened if it is new and the chain has money in it.
pub(crate) async fn open(
    app: &App,
    mode: Mode,
    id: B256,
    config: ChannelConfig,
) -> Result<ChannelView, Refusal> {
    if let Some(channel) = app.store.channel(&id) {
        return Ok(channel);
    }
    let on_chain = observe(app, &config).await?;
    if on_chain.balance == 0 {
        return Err(Refusal::NoDeposit);
    }
    Ok(app.store.open_channel(config, mode, on_chain).await?)
}

/// Reads the chain again where the store says that a voucher exceeds the deposit: the payer may
/// have deposited without telling.
pub(crate) async fn refresh(app: &App, channel: &ChannelView) -> Result<ChannelView, Refusal> {
    let on_chain = observe(app, &channel.config).await?;
    Ok(app.store.observe(channel.id, on_chain).await?.channel)
}

/// What the chain says of a channel.
pub(crate) async fn observe(app: &App, config: &ChannelConfig) -> Result<OnChain, Refusal> {
    app.settlement.observe(config).await.map_err(|error| {
        tracing::warn!(%error, "the chain cannot be read");
        Refusal::ChainUnreadable
    })
}
