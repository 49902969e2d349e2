//! What it cost and who agreed: price, voucher, authorization.

use vouch_core::{bundle::Bundle, receipt::flags, terms};

use super::{Outcome, absent, ensure, proven};
use crate::Options;

/// The contract's `withdrawDelay` has 40 bits.
const MAX_WITHDRAW_DELAY_S: u64 = (1 << 40) - 1;

pub(super) fn price(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { receipt, terms, .. } = bundle;
    ensure(terms.version == terms::VERSION, "the terms have an unknown version")?;
    ensure(terms.hash()? == receipt.terms, "the receipt is under other terms")?;
    ensure(terms.domain == receipt.domain, "terms and receipt are of different settlements")?;
    ensure(terms.provider == receipt.provider, "the terms are another provider's")?;
    ensure(terms.asset == receipt.asset, "terms and receipt name different assets")?;
    let charge = terms.prices.charge(&receipt.usage)?;
    if charge != receipt.charge {
        return Err(
            format!("{} was charged, but the terms make it {charge}", receipt.charge).into()
        );
    }
    proven(format!("the charge of {charge} follows from the terms and the counts"), "")
}

pub(super) fn voucher(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { receipt, channel, voucher, terms, .. } = bundle;
    // A larger one has the id of another channel: it is cut to 40 bits in the digest.
    ensure(channel.withdraw_delay <= MAX_WITHDRAW_DELAY_S, "the withdraw delay exceeds 40 bits")?;
    let id = channel.id(&receipt.domain);
    ensure(id == receipt.channel, "the receipt is of another channel")?;
    ensure(channel.receiver == terms.pay_to(), "the channel pays another than the terms name")?;
    ensure(channel.payer == receipt.payer, "the channel is another payer's")?;
    ensure(channel.token == receipt.asset, "the channel pays in another asset")?;
    ensure(voucher.voucher.channel_id == id, "the voucher is for another channel")?;
    voucher.verify(&receipt.domain, channel.voucher_signer())?;
    let signed = voucher.voucher.max_claimable_amount;
    let Some(ahead) = signed.checked_sub(receipt.cumulative) else {
        let total = receipt.cumulative;
        return Err(format!("the voucher allows {signed}, but {total} was charged").into());
    };
    proven(
        format!("the payer signed for {signed}, the channel's total is {}", receipt.cumulative),
        format!("the chain, that the deposit covers it; {ahead} is signed beyond this receipt"),
    )
}

pub(super) fn authorization(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { receipt, channel, authorization, response, .. } = bundle;
    let stock = receipt.flags & flags::PROVIDERS_NONCE != 0;
    let Some(authorization) = authorization else {
        ensure(stock, "the client chose the nonce, so it signed the request: that is missing")?;
        return absent(
            "stock mode: the payer signed money, not this request",
            "the provider, that the payer asked for just this; the payer, if it denies it",
        );
    };
    ensure(!stock, "the payer signed the request, so the nonce cannot be the provider's")?;
    let request = &authorization.request;
    ensure(request.channel == receipt.channel, "the payer's signature is for another channel")?;
    ensure(request.request == receipt.request, "the payer's signature is for another request")?;
    ensure(request.terms == receipt.terms, "the payer's signature is for other terms")?;
    authorization.signature.verify(request.digest(&receipt.domain), channel.voucher_signer())?;
    let allowed = request.max_charge;
    if receipt.charge > allowed {
        return Err(format!("{} was charged, {allowed} was allowed", receipt.charge).into());
    }
    // `created` is when the answer began; `response` has checked that it is there.
    let began = response.get("created").and_then(serde_json::Value::as_u64);
    ensure(
        began.is_some_and(|at| at <= request.expiry),
        "the request was started after its expiry",
    )?;
    proven(format!("the payer asked for this request under these terms, up to {allowed}"), "")
}
