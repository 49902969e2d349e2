//! Ends a channel: with the provider's help at once, without it after the withdrawal delay.

use vouch_contracts::bindings::BatchSettlement;
use vouch_core::B256;
use vouch_wire::{
    openai::Endpoint,
    vouch::{Acknowledgement, SessionInfo},
    x402::{self, Batch, BatchType, PaymentPayload, SettleResponse},
};

use crate::{
    Buyer, Error, chain,
    error::printable,
    seller::{self, Seller},
    state::{Phase, Record},
};

/// Smaller than any answer to a refund.
const MAX_BODY_BYTES: usize = 64 << 10;

impl Buyer {
    /// Closes a channel together with its provider: what was charged is claimed, the rest comes
    /// back to the wallet in the same transaction, whose hash is returned. Calls in flight are
    /// resolved first; nothing more is signed for the channel.
    ///
    /// # Errors
    /// [`Error::Refused`] if the provider does not help: then [`Buyer::initiate_withdraw`].
    pub async fn close_channel(&self, channel: B256) -> Result<String, Error> {
        let opened = self.opened(channel)?;
        let seller = self.seller(&opened.url).await?;
        self.resolve().await?;
        // The voucher first: after `Closing` none is signed.
        let (best, phase, busy) = {
            let state = self.state();
            let view = state.ledger.channels.get(&channel);
            let busy = state.ledger.calls.values().any(|call| call.channel() == channel);
            (view.and_then(|c| c.best), view.map(|c| c.phase), busy)
        };
        let best = best.ok_or(Error::NotFound { what: "voucher in channel", id: channel })?;
        if busy {
            return Err(Error::Voucher(
                "calls are in flight on the channel: try again later".into(),
            ));
        }
        if phase == Some(Phase::Open) {
            self.state().commit([Record::Closing { channel }])?;
        }
        let payload = PaymentPayload::<SessionInfo> {
            x402_version: x402::VERSION,
            resource: None,
            accepted: opened.offer,
            payload: Batch {
                r#type: BatchType::Refund,
                channel_config: opened.config,
                voucher: best.into(),
                deposit: None,
                amount: None,
            },
            extensions: None,
        };
        let transaction = refund(&seller, &x402::encode(&payload)?).await?;
        self.state().commit([Record::Closed { channel }])?;
        Ok(transaction)
    }

    /// Gives notice on the chain to withdraw all that the provider has not claimed; needs gas.
    /// After the channel's delay, [`Buyer::finalize_withdraw`]. Nothing more is signed for the
    /// channel; the provider may claim what was signed until then.
    ///
    /// # Errors
    /// [`Error::Chain`] if the transaction is refused or no chain is known.
    pub async fn initiate_withdraw(&self, channel: B256) -> Result<B256, Error> {
        let opened = self.opened(channel)?;
        let provider = chain::connect_signing(&self.rpc(&opened.url).await?, &self.inner.wallet)?;
        let contract = BatchSettlement::new(opened.domain.settlement, provider);
        let state = contract.channels(channel).call().await;
        let state = state.map_err(failed("for the channel"))?;
        let free = state.balance.saturating_sub(state.totalClaimed);
        self.state().commit([Record::Closing { channel }])?;
        let sent = contract.initiateWithdraw((&opened.config).into(), free).send().await;
        let receipt = sent.map_err(failed("to start a withdrawal"))?.get_receipt().await;
        mined(&receipt.map_err(failed("to start a withdrawal"))?)
    }

    /// Takes back what was given notice of, after the delay.
    ///
    /// # Errors
    /// [`Error::Chain`] if the delay has not passed or the transaction is refused.
    pub async fn finalize_withdraw(&self, channel: B256) -> Result<B256, Error> {
        let opened = self.opened(channel)?;
        let provider = chain::connect_signing(&self.rpc(&opened.url).await?, &self.inner.wallet)?;
        let contract = BatchSettlement::new(opened.domain.settlement, provider);
        let sent = contract.finalizeWithdraw((&opened.config).into()).send().await;
        let receipt = sent.map_err(failed("to end a withdrawal"))?.get_receipt().await;
        let hash = mined(&receipt.map_err(failed("to end a withdrawal"))?)?;
        self.state().commit([Record::Closed { channel }])?;
        Ok(hash)
    }

    /// The settlement chain's JSON-RPC. Works for a provider that is not dealt with any more, too.
    async fn rpc(&self, url: &str) -> Result<String, Error> {
        if let Some(rpc) = &self.policy().rpc {
            return Ok(rpc.clone());
        }
        let document = self.state().ledger.documents.get(url).cloned();
        document
            .and_then(|document| chain::own_rpc(url, &document))
            .ok_or_else(|| failed("to withdraw")("no address is known: name one in the policy"))
    }
}

async fn refund(seller: &Seller, header: &str) -> Result<String, Error> {
    let url = &seller.url;
    let sent = seller
        .http()
        .post(format!("{url}{}", Endpoint::Chat.path()))
        .header(x402::PAYMENT_SIGNATURE, header)
        .header("content-type", "application/json")
        .body("{}")
        .send()
        .await;
    let response = sent.map_err(|error| seller::unreachable(url, &error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(match seller::refusal(url, response).await? {
            Some(body) => seller::refused(status, body),
            None => Error::protocol(url, format!("it answered {status} to a refund")),
        });
    }
    let settled = response.headers().get(x402::PAYMENT_RESPONSE).cloned();
    seller::body(url, response, MAX_BODY_BYTES).await?;
    let settled =
        settled.ok_or_else(|| Error::protocol(url, "a refund has no PAYMENT-RESPONSE"))?;
    let settled: SettleResponse<Acknowledgement> =
        x402::decode("PAYMENT-RESPONSE", settled.as_bytes())
            .map_err(|error| Error::protocol(url, error))?;
    if settled.success {
        Ok(printable(&settled.transaction))
    } else {
        Err(Error::protocol(url, "a refund was answered with success and none"))
    }
}

fn mined(receipt: &alloy::rpc::types::TransactionReceipt) -> Result<B256, Error> {
    if receipt.status() {
        Ok(receipt.transaction_hash)
    } else {
        Err(failed("the transaction")(format!("{} was mined and failed", receipt.transaction_hash)))
    }
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Chain { what, why: printable(&error.to_string()) }
}
