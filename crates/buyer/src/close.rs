//! Ends a channel: with the provider's help at once, without it after the withdrawal delay.

use alloy::providers::DynProvider;
use tokio::time::timeout;
use vouch_contracts::bindings::BatchSettlement::{self, BatchSettlementInstance};
use vouch_core::{B256, channel::SignedVoucher};
use vouch_wire::{
    openai::Endpoint,
    vouch::{Acknowledgement, SessionInfo},
    x402::{self, Batch, BatchType, PaymentPayload, SettleResponse},
};

use crate::{
    Buyer, Error, Misconduct,
    chain::{self, failed},
    error::printable,
    seller::{self, Seller},
    state::{Opened, Phase, Record},
};

/// Smaller than any answer to a refund.
const MAX_BODY_BYTES: usize = 64 << 10;

impl Buyer {
    /// Closes a channel together with its provider: what was charged is claimed, the rest comes
    /// back to the wallet in the same transaction, whose hash is returned. Calls in flight are
    /// resolved first; nothing more is signed for the channel. What was signed ahead is free again
    /// once the chain says that it can no longer be claimed.
    ///
    /// # Errors
    /// [`Error::Refused`] if the provider does not help: then [`Buyer::initiate_withdraw`];
    /// [`Error::Protocol`] if it only says that it did; [`Error::Misconduct`] if it claimed more
    /// than it has receipts for.
    pub async fn close_channel(&self, channel: B256) -> Result<String, Error> {
        let opened = self.opened(channel)?;
        let seller = self.seller(&opened.url).await?;
        self.resolve().await?;
        self.reconcile(&seller, channel).await?;
        let best = self.stop(channel)?;
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
        let payment = x402::encode(&payload)?;
        let refunded = refund(&seller, &payment);
        let refunded = timeout(self.policy().answer_timeout, refunded).await;
        let transaction = refunded.unwrap_or_else(|_elapsed| Err(seller.silent()))?;
        match self.end(channel).await? {
            Some(rest) if rest > 0 => {
                let why = format!(
                    "it says that the channel is closed, and the chain has {rest} in it: withdraw \
                     without its help"
                );
                Err(Error::protocol(&seller.url, why))
            }
            _ => Ok(transaction),
        }
    }

    /// Stops signing for a channel, unless it has calls in flight; gives its best voucher.
    fn stop(&self, channel: B256) -> Result<SignedVoucher, Error> {
        let mut state = self.state();
        let found = state.ledger.channels.get(&channel).filter(|c| c.phase != Phase::Closed);
        let best = found.ok_or(Error::NotFound { what: "open channel", id: channel })?.best;
        let best = best.ok_or(Error::NotFound { what: "voucher in channel", id: channel })?;
        if state.ledger.is_busy(&channel) {
            return Err(Error::Voucher(
                "calls are in flight on the channel: try again later".into(),
            ));
        }
        state.commit([Record::Closing { channel }])?;
        Ok(best)
    }

    /// Ends a channel's books by what the chain says, not by what the provider does: until nothing
    /// more can be claimed, what was signed stays counted. Gives what is left in the channel;
    /// `None` where no chain can be asked, or a deposit may yet come.
    async fn end(&self, channel: B256) -> Result<Option<u128>, Error> {
        let opened = self.opened(channel)?;
        let Ok(rpc) = self.rpc(&opened.url) else {
            tracing::warn!(%channel, "no chain can be asked whether the channel is settled");
            return Ok(None);
        };
        let settlement = opened.domain.settlement;
        let settled = chain::settled(self.chain_http(), &rpc, settlement, channel).await?;
        let rest = settled.balance.saturating_sub(settled.claimed);
        if rest > 0 {
            return Ok(Some(rest));
        }
        let claimed = settled.claimed;
        let (charged, busy) = {
            let mut state = self.state();
            let found = state.ledger.channels.get(&channel);
            let found = found.ok_or(Error::NotFound { what: "channel", id: channel })?;
            if found.pending.is_some_and(|deposit| !self.is_dead(&deposit)) {
                tracing::warn!(%channel, "a deposit may yet come into the channel");
                return Ok(None);
            }
            let charged = found.charged;
            state.commit([Record::Closed { channel, claimed }])?;
            (charged, state.ledger.is_busy(&channel))
        };
        if claimed <= charged || busy {
            return Ok(Some(0));
        }
        let evidence = serde_json::json!({
            "channel": channel, "claimed": claimed.to_string(), "receipted": charged.to_string(),
        });
        let name = format!("claimed-{channel}");
        let evidence = self.state().write_evidence(&name, evidence.to_string().as_bytes())?;
        let what = Misconduct::Claimed { claimed, receipted: charged };
        Err(self.distrust_address(opened.provider(), what, Some(evidence)))
    }

    /// Gives notice on the chain to withdraw all that the provider has not claimed; needs gas.
    /// After the channel's delay, [`Buyer::finalize_withdraw`]. Nothing more is signed for the
    /// channel; the provider may claim what was signed until then.
    ///
    /// # Errors
    /// [`Error::Chain`] if the transaction is refused or no chain is known.
    pub async fn initiate_withdraw(&self, channel: B256) -> Result<B256, Error> {
        let opened = self.opened(channel)?;
        let contract = self.contract(&opened)?;
        let state = contract.channels(channel).call().await;
        let state = state.map_err(failed("for the channel"))?;
        let free = state.balance.saturating_sub(state.totalClaimed);
        self.state().commit([Record::Closing { channel }])?;
        let call = contract.initiateWithdraw((&opened.config).into(), free);
        let sent = call.chain_id(opened.domain.chain).send().await;
        let receipt = sent.map_err(failed("to start a withdrawal"))?.get_receipt().await;
        mined(&receipt.map_err(failed("to start a withdrawal"))?)
    }

    /// Takes back what was given notice of, after the delay.
    ///
    /// # Errors
    /// [`Error::Chain`] if the delay has not passed or the transaction is refused;
    /// [`Error::Misconduct`] if the provider claimed more than it has receipts for.
    pub async fn finalize_withdraw(&self, channel: B256) -> Result<B256, Error> {
        let opened = self.opened(channel)?;
        let call_to = self.contract(&opened)?;
        let call = call_to.finalizeWithdraw((&opened.config).into());
        let sent = call.chain_id(opened.domain.chain).send().await;
        let receipt = sent.map_err(failed("to end a withdrawal"))?.get_receipt().await;
        let hash = mined(&receipt.map_err(failed("to end a withdrawal"))?)?;
        if let Some(rest @ 1..) = self.end(channel).await? {
            tracing::warn!(%channel, rest, "more came into the channel meanwhile: withdraw again");
        }
        Ok(hash)
    }

    /// The settlement contract, for transactions. They are signed for the channel's chain, whatever
    /// the JSON-RPC says that it is: it must not get a transaction for another.
    fn contract(&self, opened: &Opened) -> Result<BatchSettlementInstance<DynProvider>, Error> {
        let rpc = self.rpc(&opened.url)?;
        let provider = chain::connect_signing(self.chain_http(), &rpc, &self.inner.wallet)?;
        Ok(BatchSettlement::new(opened.domain.settlement, provider))
    }

    /// The settlement chain's JSON-RPC. Works for a provider that is not dealt with any more, too.
    fn rpc(&self, url: &str) -> Result<String, Error> {
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
