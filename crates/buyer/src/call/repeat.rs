//! The same call again, for the receipt that did not come.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use vouch_wire::vouch::Acknowledgement;

use super::{
    Event,
    reply::Reply,
    stream::{Pumped, Stream},
};
use crate::{Buyer, Error, seller::Seller, state::Call};

/// The code with which a provider says that it has no answer to a call and may not begin it.
const EXPIRED: &str = "request_expired";

/// What one more sending brought.
enum Attempt {
    Receipt(Box<Acknowledgement>, Value),
    /// Nothing yet, and what to sign at least before the next.
    Again {
        why: String,
        required: u128,
    },
}

impl Buyer {
    /// Sends a call again, with the nonce it had, until its stored answer comes. It is never
    /// charged twice: the provider knows it by its nonce. A provider that never had it begins it
    /// now; if nobody wants the answer any more, that is stopped at once.
    pub(super) async fn repeat(
        &self,
        seller: &Seller,
        call: &Call,
        wanted: bool,
    ) -> Result<(Acknowledgement, Value), Error> {
        let deadline = Instant::now() + self.policy().receipt_timeout;
        let mut pause = Duration::from_millis(20);
        let mut required = 0;
        loop {
            let attempt = self.attempt(seller, call, required, wanted);
            let attempt = if wanted {
                // It has limits of its own, and may take as long as an answer does.
                attempt.await?
            } else {
                let silent = |_| Attempt::Again { why: "it was silent".into(), required };
                timeout_at(deadline, attempt).await.unwrap_or_else(|gone| Ok(silent(gone)))?
            };
            let why = match attempt {
                Attempt::Receipt(acknowledgement, response) => {
                    return Ok((*acknowledgement, response));
                }
                Attempt::Again { why, required: more } => {
                    required = more;
                    why
                }
            };
            if Instant::now() + pause > deadline {
                return Err(Error::Unknown { nonce: call.nonce, why });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// As [`Buyer::repeat`], for a caller who may leave meanwhile: then only for the receipt.
    pub(super) async fn repeat_for(
        &self,
        seller: &Seller,
        call: &Call,
        events: &mpsc::Sender<Event>,
    ) -> Result<(Acknowledgement, Value), Error> {
        tokio::select! {
            repeated = self.repeat(seller, call, true) => return repeated,
            () = events.closed() => {}
        }
        self.repeat(seller, call, false).await
    }

    async fn attempt(
        &self,
        seller: &Seller,
        call: &Call,
        required: u128,
        wanted: bool,
    ) -> Result<Attempt, Error> {
        let (why, required) = match self.send_again(seller, call, required).await? {
            Reply::Answer(acknowledgement, response) => {
                return Ok(Attempt::Receipt(acknowledgement, response));
            }
            Reply::Stream { mut response, live: true } if !wanted => {
                // Once the engine has begun there is a receipt for what it did.
                drop(response.chunk().await);
                ("its stream was stopped".into(), required)
            }
            Reply::Stream { response, .. } => {
                match Stream::new(self, seller, call, None).pump(*response).await {
                    Pumped::Receipt(acknowledgement, response) => {
                        return Ok(Attempt::Receipt(acknowledgement, response));
                    }
                    Pumped::Broken(why) => (why, required),
                    Pumped::Cut(error) => (error.to_string(), required),
                }
            }
            Reply::VoucherNeeded(more) => ("it asks for a higher voucher".into(), more),
            Reply::Refused(error) => return Err(error),
            other => (other.describe(), required),
        };
        Ok(Attempt::Again { why, required })
    }

    /// One more sending. A deposit that may have been lost with the first goes along again: its
    /// authorization has one nonce, so it settles once. That it did is learnt by
    /// [`Buyer::reconcile`]: a stored answer is given without taking a deposit.
    async fn send_again(
        &self,
        seller: &Seller,
        call: &Call,
        required: u128,
    ) -> Result<Reply, Error> {
        let channel = call.channel();
        let paying = seller.paying.lock().await;
        if let Err(error) = self.reconcile(seller, channel).await {
            return Ok(Reply::Unknown(error.to_string()));
        }
        let best = self.state().ledger.channels.get(&channel).and_then(|c| c.best);
        let voucher = match (self.voucher(channel, required), best) {
            (Ok(voucher), _) => voucher,
            // Enough to ask for an answer that is there already.
            (Err(Error::Voucher(_) | Error::Budget(_)), Some(best)) if required == 0 => best,
            (Err(error), _) => return Err(error),
        };
        let deposit = self.state().ledger.channels.get(&channel).and_then(|c| c.pending);
        // An answer may take long: others wait for it only where it carries a deposit.
        let _paying = deposit.map(|_| paying);
        self.send(seller, call, voucher, deposit).await
    }

    /// Fetches the receipts of calls that were in flight when the process ended or the connection
    /// broke, by repeating them. Returns how many were settled; the others stay in flight. Calls
    /// that are only now being answered are left alone.
    ///
    /// # Errors
    /// Those of the state; a provider's are logged.
    pub async fn resolve(&self) -> Result<usize, Error> {
        let mut by_provider: BTreeMap<String, Vec<Call>> = BTreeMap::new();
        for call in self.state().ledger.calls.values().cloned() {
            by_provider.entry(call.url.clone()).or_default().push(call);
        }
        // One after the other, because a provider may have to make an answer that nobody waits for
        // any more; but no provider holds the others up.
        let resolving = by_provider.into_values().map(|calls| self.clone().resolve_all(calls));
        let resolved = join_all(resolving).await;
        resolved.into_iter().try_fold(0, |sum, settled| Ok(sum + settled?))
    }

    async fn resolve_all(self, calls: Vec<Call>) -> Result<usize, Error> {
        let mut settled = 0;
        for call in calls {
            match self.resolve_one(&call).await {
                Ok(true) => settled += 1,
                Ok(false) => {}
                Err(error @ (Error::Journal(_) | Error::State(_))) => return Err(error),
                Err(error) => tracing::warn!(nonce = %call.nonce, %error, "a call stays in flight"),
            }
        }
        Ok(settled)
    }

    async fn resolve_one(&self, call: &Call) -> Result<bool, Error> {
        let Some(_claim) = self.claim(call.nonce) else { return Ok(false) };
        let (settled, unsent) = {
            let ledger = &self.state().ledger;
            let signed = ledger.channels.get(&call.channel()).is_some_and(|c| c.best.is_some());
            (!ledger.calls.contains_key(&call.nonce), !signed)
        };
        if settled {
            return Ok(false);
        }
        if unsent {
            // No call is sent without a voucher, and none was signed.
            self.abandon(call)?;
            return Ok(false);
        }
        let seller = self.seller(&call.url).await?;
        let expired = self.now_s() > call.authorization.request.expiry;
        match self.repeat(&seller, call, false).await {
            Ok((acknowledgement, response)) => {
                self.settle(&seller, call, acknowledgement, response, None).await.map(|_| true)
            }
            // It may no longer begin: what the provider does not have now it never will.
            Err(Error::Refused { code, .. }) if expired && code == EXPIRED => {
                self.abandon(call)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
