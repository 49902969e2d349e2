//! A call's first sending: channel, signatures, payment, answer.

use std::sync::Arc;

use tokio::sync::mpsc;
use vouch_core::{
    B256,
    bundle::Authorization,
    commitment,
    money::Usage,
    receipt::{Receipt, Status},
    request::Request,
};
use vouch_wallet::BudgetError;
use vouch_wire::openai::Endpoint;

use super::{
    Answered, Event, Plan,
    reply::Reply,
    stream::{Pumped, Stream},
};
use crate::{
    Buyer, Error,
    buyer::Claim,
    pay::{Funding, random},
    seller::Seller,
    state::{Call, Phase, Record},
};

/// Rounds of raising the voucher or the deposit before a provider is taken to be stalling.
const MAX_ROUNDS: u32 = 6;

impl Buyer {
    /// Sends a call until it is answered, and keeps its receipt.
    pub(super) async fn exchange(
        &self,
        plan: Plan,
        events: &mpsc::Sender<Event>,
    ) -> Result<Answered, Error> {
        let seller = Arc::clone(&plan.seller);
        let include_usage = plan.include_usage;
        let channel = self.channel_for(&seller, plan.endpoint.path(), &plan.body).await?;
        let (call, _claim) = self.sign(plan, channel)?;
        let begun = match self.send_until_begun(&seller, &call, events).await {
            Ok(begun) => begun,
            Err(error) => return Err(self.not_begun(&call, error)),
        };
        let mut stream = Stream::new(self, &seller, &call, Some(events));
        let pumped = match begun {
            Reply::Answer(acknowledgement, response) => Pumped::Receipt(acknowledgement, response),
            Reply::Stream { response, .. } => stream.pump(*response).await,
            // It may have been begun: never another nonce, the same again.
            other => Pumped::Broken(other.describe()),
        };
        let (received, cut) = match pumped {
            Pumped::Receipt(acknowledgement, response) => (Ok((*acknowledgement, response)), None),
            Pumped::Cut(error) => {
                let why = error.to_string();
                let repeated = self.repeat(&seller, &call, false).await;
                (repeated.map_err(|error| unknown(&call, error, &why)), Some(error))
            }
            Pumped::Broken(why) => {
                tracing::info!(nonce = %call.nonce, why, "asking for a call's receipt");
                let repeated = self.repeat_for(&seller, &call, events).await;
                (repeated.map_err(|error| unknown(&call, error, &why)), None)
            }
        };
        let (acknowledgement, response) = received?;
        let changed = stream.contradicted(&response);
        let answered =
            self.settle(&seller, &call, acknowledgement, response, changed.as_deref()).await?;
        if call.stream {
            stream.pass_on_rest(&answered, include_usage).await?;
        }
        let cut = cut.or_else(|| broke_off(&call, &answered.bundle.receipt));
        Ok(Answered { cut, vouchers: stream.vouchers(), ..answered })
    }

    /// Signs the request and makes it durable: from here on its nonce is its only one. The voucher
    /// that it wants goes with it, where that needs no deposit first: one sync for both.
    fn sign(&self, plan: Plan, channel: B256) -> Result<(Call, Claim), Error> {
        let nonce = random()?;
        let terms = plan.info.terms;
        let signed_at = self.now_s();
        let request = Request {
            channel,
            request: commitment::request(&nonce, plan.endpoint.resource(), plan.body.as_bytes()),
            terms: plan.info.terms_hash,
            max_charge: plan.max_charge,
            expiry: signed_at.saturating_add(self.policy().expiry_s),
        };
        let signature = self.inner.wallet.sign(request.digest(&terms.domain));
        let call = Call {
            nonce,
            url: plan.seller.url.clone(),
            provider: plan.seller.provider(),
            chat: plan.endpoint == Endpoint::Chat,
            embeddings: plan.endpoint == Endpoint::Embeddings,
            body: plan.body,
            stream: plan.stream,
            terms,
            authorization: Authorization { request, signature },
            signed_at,
            allowance: Some(plan.allowance),
        };
        let claim = self.claim(nonce).ok_or(Error::State("a nonce came up twice".into()))?;
        let mut state = self.state();
        // In one step with the record: a channel that is being closed has no calls in flight.
        let open = state.ledger.channels.get(&channel).filter(|c| c.phase == Phase::Open);
        let Some(open) = open else {
            return Err(Error::Voucher("the channel was closed just now: ask again".into()));
        };
        let voucher = state.ledger.raise_for(&call);
        let voucher = voucher.map(|voucher| self.sign_voucher(voucher, &open.opened.domain));
        let record = Record::Call(Box::new(call.clone()));
        state.commit([record].into_iter().chain(voucher.map(Record::Voucher)))?;
        Ok((call, claim))
    }

    /// Sends the call, raising voucher and deposit as asked, until the provider begins to answer or
    /// nobody knows whether it did.
    async fn send_until_begun(
        &self,
        seller: &Seller,
        call: &Call,
        events: &mpsc::Sender<Event>,
    ) -> Result<Reply, Error> {
        let channel = call.channel();
        let mut required = 0;
        for _ in 0..MAX_ROUNDS {
            let funding = self.fund(seller, channel).await?;
            let voucher = self.voucher(channel, required)?;
            let deposit = funding.as_ref().map(|funding: &Funding<'_>| funding.deposit);
            let reply = tokio::select! {
                reply = self.send(seller, call, voucher, deposit) => reply?,
                () = events.closed() => return Ok(Reply::Unknown("the caller left".into())),
            };
            // A nonce that is sent for the first time has no stored answer: the deposit was taken.
            if deposit.is_some() && reply.is_begun() {
                self.deposit_settled(channel)?;
            }
            drop(funding);
            match reply {
                Reply::VoucherNeeded(more) if more > required => required = more,
                Reply::VoucherNeeded(_) => {
                    return Err(Error::protocol(
                        &seller.url,
                        "it asks for the voucher that it has",
                    ));
                }
                Reply::DepositNeeded => {
                    self.reconcile(seller, channel).await?;
                    required = voucher.voucher.max_claimable_amount;
                }
                Reply::TermsChanged => {
                    seller.refresh(self.policy()).await?;
                    return Err(Error::TermsChanged { url: seller.url.clone() });
                }
                Reply::Refused(error) => return Err(error),
                begun => return Ok(begun),
            }
        }
        Err(Error::protocol(&seller.url, "it asks for vouchers without end"))
    }

    /// The provider has said that it did not begin, or was never asked.
    fn not_begun(&self, call: &Call, error: Error) -> Error {
        self.abandon(call).err().unwrap_or(error)
    }

    pub(super) fn abandon(&self, call: &Call) -> Result<(), Error> {
        self.state().commit([Record::Abandoned { nonce: call.nonce }])
    }
}

/// Why an answer is not whole where its caller wanted it to be: a `finish_reason` of null is easily
/// overlooked.
fn broke_off(call: &Call, receipt: &Receipt) -> Option<Error> {
    let per_call = call.max_charge();
    let one_more = Usage { output: receipt.usage.output.saturating_add(1), ..receipt.usage };
    let asked = call.terms.prices.charge(&one_more).unwrap_or(u128::MAX);
    match receipt.status {
        Status::Complete | Status::StoppedByPayer => None,
        Status::OutOfFunds if asked > per_call => {
            Some(Error::Budget(BudgetError::PerCall { asked, per_call }))
        }
        Status::OutOfFunds => Some(Error::protocol(&call.url, "it ran out of funds, and had some")),
        Status::Failed => Some(Error::protocol(&call.url, "its engine failed in mid-answer")),
    }
}

/// A call broke off and its receipt did not come: it stays in flight.
fn unknown(call: &Call, error: Error, why: &str) -> Error {
    match error {
        Error::Journal(_) | Error::State(_) => error,
        error => Error::Unknown { nonce: call.nonce, why: format!("{why}; then: {error}") },
    }
}
