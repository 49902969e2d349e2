//! One call, from the question to the kept receipt.
//!
//! ```text
//! plan ─▶ channel ─▶ Call (durable) ─▶ voucher (durable) ─▶ send ─┬▶ answer ─────────────▶ settle
//!                                          ▲                      ├▶ voucher needed ─┐
//!                                          └──────────────────────┼──────────────────┘
//!                                                                 └▶ left, broken, unknown
//!                                                                        └▶ repeat ─▶ settle
//! ```

mod reply;
mod stream;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};
use vouch_core::{
    B256, Error as CoreError,
    bundle::{Authorization, Bundle},
    commitment,
    money::{Prices, Usage},
    request::Request,
};
use vouch_evidence::Report;
use vouch_wire::{
    openai::{self, Chunk, Endpoint, Response},
    vouch::{Acknowledgement, ModelInfo},
};

use crate::{
    Buyer, Error, Misconduct,
    pay::{Funding, random},
    seller::Seller,
    state::{Call, Record},
};
use reply::Reply;
use stream::{Pumped, Stream};

/// A template adds this many tokens at most to what the body's bytes make (a token is at least one
/// byte). Only a bound on what is signed: the charge is recomputed from the ids.
const TEMPLATE_TOKENS: u64 = 512;
/// Rounds of raising the voucher or the deposit before a provider is taken to be stalling.
const MAX_ROUNDS: u32 = 6;
/// Chunks that may wait for a slow reader; behind them the provider waits too.
const CHUNKS: usize = 64;

/// What a running call reports, ending in [`Event::Done`] or [`Event::Failed`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A piece of a streamed answer, not yet checked.
    Chunk(Chunk),
    /// The whole answer, checked and kept.
    Done(Box<Answered>),
    /// There is no answer, or none that may be relied on.
    Failed(Error),
}

/// A call that runs in a task of its own. Dropping it stops the provider's stream; the receipt of
/// the partial answer is fetched and kept all the same.
#[derive(Debug)]
pub struct Running {
    /// What it reports.
    pub events: mpsc::Receiver<Event>,
}

/// A checked answer.
#[derive(Debug)]
pub struct Answered {
    /// The evidence, which is kept too; without its place in the log at first.
    pub bundle: Bundle,
    /// What was checked, link by link.
    pub report: Report,
    /// The provider's word for it.
    pub acknowledgement: Acknowledgement,
    /// Why the buyer itself cut it short, if it did: the budget, most often.
    pub cut: Option<Error>,
}

impl Answered {
    /// The response in OpenAI's form.
    ///
    /// # Errors
    /// [`Error::State`] never: it was read as one before.
    pub fn response(&self) -> Result<Response, Error> {
        serde_json::from_value(self.bundle.response.clone())
            .map_err(|error| Error::State(error.to_string()))
    }
}

/// A question that was checked, with the terms that it accepts.
struct Plan {
    seller: Arc<Seller>,
    info: ModelInfo,
    endpoint: Endpoint,
    body: String,
    stream: bool,
    max_charge: u128,
    allowance: u128,
}

impl Buyer {
    /// Begins a call. The body is sent in a form of its own: a key that stands twice in it would
    /// mean one thing to the provider and another to whoever checks. Errors that need no provider
    /// come at once, all others as [`Event::Failed`].
    ///
    /// # Errors
    /// [`Error::Request`] if the body is none.
    pub fn start(&self, endpoint: Endpoint, body: &str) -> Result<Running, Error> {
        let body = match serde_json::from_str::<Value>(body) {
            Ok(value) => value.to_string(),
            // Refused below, in the words for it.
            Err(_) => body.to_owned(),
        };
        let request = openai::Request::parse(endpoint, body.as_bytes())?;
        let (events, receiver) = mpsc::channel(CHUNKS);
        let buyer = self.clone();
        tokio::spawn(async move {
            let event = match buyer.run(endpoint, &request, body, &events).await {
                Ok(answered) => Event::Done(Box::new(answered)),
                Err(error) => Event::Failed(error),
            };
            if let Err(unheard) = events.send(event).await
                && let Event::Failed(error) = unheard.0
            {
                tracing::warn!(%error, "a call failed after its caller had left");
            }
        });
        Ok(Running { events: receiver })
    }

    async fn run(
        &self,
        endpoint: Endpoint,
        request: &openai::Request,
        body: String,
        events: &mpsc::Sender<Event>,
    ) -> Result<Answered, Error> {
        let plan = self.plan(endpoint, request, body.clone()).await?;
        let accepted = plan.info.terms.prices;
        match self.exchange(plan, events).await {
            Err(Error::TermsChanged { url }) => {
                let again = self.plan(endpoint, request, body).await?;
                // New terms are accepted without asking only where they cost no more, or where the
                // policy says what may be paid.
                let dearer = self.policy().max_prices.is_none()
                    && !no_dearer(&again.info.terms.prices, &accepted);
                if dearer {
                    return Err(Error::TermsChanged { url });
                }
                self.exchange(again, events).await
            }
            answered => answered,
        }
    }

    async fn plan(
        &self,
        endpoint: Endpoint,
        request: &openai::Request,
        body: String,
    ) -> Result<Plan, Error> {
        let (seller, info) = self.choose(&request.model).await?;
        // A bundle is not whole without it: fetched before money is spent.
        seller.identity(info.identity).await?;
        let prices = &info.terms.prices;
        let overflow =
            |_: CoreError| Error::protocol(&seller.url, "its prices do not fit 128 bits");
        let input = u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_add(TEMPLATE_TOKENS);
        let most = match request.max_tokens() {
            Some(output) => ceiling(prices, input, output.into()).map_err(overflow)?,
            None => u128::MAX,
        };
        let (per_call, left) = {
            let budget = &self.state().ledger.budget;
            budget.admit(ceiling(prices, 1, 1).map_err(overflow)?)?;
            (budget.per_call(), budget.total())
        };
        let max_charge = most.min(per_call).min(left);
        let stream = request.stream();
        let allowance = if stream {
            let ahead = ahead(&info, self.policy().ahead_quanta);
            ceiling(prices, input, ahead).map_err(overflow)?.min(max_charge)
        } else {
            max_charge
        };
        Ok(Plan { seller, info, endpoint, body, stream, max_charge, allowance })
    }

    /// Sends a call until it is answered, and keeps its receipt.
    async fn exchange(&self, plan: Plan, events: &mpsc::Sender<Event>) -> Result<Answered, Error> {
        let seller = Arc::clone(&plan.seller);
        let channel = self.channel_for(&seller, plan.endpoint.path(), &plan.body).await?;
        let call = self.sign(plan, channel)?;
        let sent = self.send_until_begun(&seller, &call, events).await;
        let begun = match sent {
            Ok(begun) => begun,
            Err(error) => return Err(self.not_begun(&call, error)),
        };
        let mut seen = None;
        let (pumped, mut cut) = match begun {
            Reply::Answer(acknowledgement, response) => {
                return self.settle(&seller, &call, *acknowledgement, response, None).await;
            }
            Reply::Stream { response, .. } => {
                let mut stream = Stream::new(self, &seller, &call, Some(events));
                let pumped = stream.pump(*response).await;
                seen = Some(stream);
                (pumped, None)
            }
            // It may have been begun: never another nonce, the same again.
            other => (Pumped::Broken(other.describe()), None),
        };
        let (acknowledgement, response) = match pumped {
            Pumped::Receipt(acknowledgement, response) => (*acknowledgement, response),
            Pumped::Cut(error) => {
                cut = Some(error);
                self.repeat(&seller, &call, false).await?
            }
            Pumped::Broken(why) => {
                tracing::info!(nonce = %call.nonce, why, "asking for a call's receipt");
                let wanted = !events.is_closed();
                let repeated = self.repeat(&seller, &call, wanted).await;
                repeated.map_err(|error| unknown(&call, error, &why))?
            }
        };
        if let Some(stream) = seen {
            stream.catch_up(&response).await.map_err(|what| self.distrust(&seller, what, None))?;
        }
        self.settle(&seller, &call, acknowledgement, response, cut).await
    }

    /// Signs the request and makes it durable: from here on its nonce is its only one.
    fn sign(&self, plan: Plan, channel: B256) -> Result<Call, Error> {
        let nonce = random()?;
        let terms = plan.info.terms;
        let request = Request {
            channel,
            request: commitment::request(&nonce, plan.endpoint.resource(), plan.body.as_bytes()),
            terms: plan.info.terms_hash,
            max_charge: plan.max_charge,
            expiry: self.now_s().saturating_add(self.policy().expiry_s),
        };
        let signature = self.inner.wallet.sign(request.digest(&terms.domain));
        let call = Call {
            nonce,
            url: plan.seller.url.clone(),
            provider: plan.seller.provider(),
            chat: plan.endpoint == Endpoint::Chat,
            body: plan.body,
            stream: plan.stream,
            terms,
            authorization: Authorization { request, signature },
            allowance: Some(plan.allowance),
        };
        self.state().commit([Record::Call(Box::new(call.clone()))])?;
        Ok(call)
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
        match self.state().commit([Record::Abandoned { nonce: call.nonce }]) {
            Ok(()) => error,
            Err(worse) => worse,
        }
    }

    /// Sends a call again, with the nonce it had, until its stored answer comes. It is never
    /// charged twice: the provider knows it by its nonce. A provider that never had it begins it
    /// now; if nobody wants the answer any more, that is stopped at once.
    async fn repeat(
        &self,
        seller: &Seller,
        call: &Call,
        wanted: bool,
    ) -> Result<(Acknowledgement, Value), Error> {
        let deadline = Instant::now() + self.policy().receipt_timeout;
        let mut pause = Duration::from_millis(20);
        let mut required = 0;
        loop {
            let why = match self.send_again(seller, call, required).await? {
                Reply::Answer(acknowledgement, response) => {
                    return Ok((*acknowledgement, response));
                }
                Reply::Stream { mut response, live: true } if !wanted => {
                    // Once the engine has begun there is a receipt for what it did.
                    drop(response.chunk().await);
                    "its stream was stopped".into()
                }
                Reply::Stream { response, .. } => {
                    match Stream::new(self, seller, call, None).pump(*response).await {
                        Pumped::Receipt(acknowledgement, response) => {
                            return Ok((*acknowledgement, response));
                        }
                        Pumped::Broken(why) => why,
                        Pumped::Cut(error) => error.to_string(),
                    }
                }
                Reply::VoucherNeeded(more) => {
                    required = more;
                    "it asks for a higher voucher".into()
                }
                Reply::Refused(error) => return Err(error),
                other => other.describe(),
            };
            if Instant::now() + pause > deadline {
                return Err(Error::Unknown { nonce: call.nonce, why });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// One more sending. A deposit that may have been lost with the first goes along again: its
    /// authorization has one nonce, so it settles once.
    async fn send_again(
        &self,
        seller: &Seller,
        call: &Call,
        required: u128,
    ) -> Result<Reply, Error> {
        let channel = call.channel();
        let _paying = self.inner.paying.lock().await;
        if let Err(error) = self.reconcile(seller, channel).await {
            return Ok(Reply::Unknown(error.to_string()));
        }
        let voucher = self.voucher(channel, required)?;
        let deposit = self.state().ledger.channels.get(&channel).and_then(|c| c.pending);
        let reply = self.send(seller, call, voucher, deposit).await?;
        if deposit.is_some() && reply.is_begun() {
            self.deposit_settled(channel)?;
        }
        Ok(reply)
    }

    /// Fetches the receipts of calls that were in flight when the process ended or the connection
    /// broke, by repeating them. Returns how many were settled; the others stay in flight.
    ///
    /// # Errors
    /// Those of the state; a provider's are logged.
    pub async fn resolve(&self) -> Result<usize, Error> {
        let calls: Vec<Call> = self.state().ledger.calls.values().cloned().collect();
        let mut settled = 0;
        for call in calls {
            match self.resolve_one(&call).await {
                Ok(()) => settled += 1,
                Err(error @ (Error::Journal(_) | Error::State(_))) => return Err(error),
                Err(error) => tracing::warn!(nonce = %call.nonce, %error, "a call stays in flight"),
            }
        }
        Ok(settled)
    }

    async fn resolve_one(&self, call: &Call) -> Result<(), Error> {
        let seller = self.seller(&call.url).await?;
        let expired = self.now_s() > call.authorization.request.expiry;
        match self.repeat(&seller, call, false).await {
            Ok((acknowledgement, response)) => {
                self.settle(&seller, call, acknowledgement, response, None).await.map(drop)
            }
            // It may no longer begin: what the provider does not have now it never will.
            Err(error @ Error::Refused { .. }) if expired => Err(self.not_begun(call, error)),
            Err(error) => Err(error),
        }
    }

    /// Stops dealing with a provider, for good.
    pub(crate) fn distrust(
        &self,
        seller: &Seller,
        what: Misconduct,
        evidence: Option<std::path::PathBuf>,
    ) -> Error {
        let provider = seller.provider();
        tracing::error!(%provider, %what, ?evidence, "a provider broke its word");
        let why = what.to_string();
        match self.state().commit([Record::Distrusted { provider, why }]) {
            Ok(()) => Error::Misconduct { provider, what, evidence },
            Err(worse) => worse,
        }
    }
}

/// The most that these counts can cost, whether or not the input comes from a cache.
pub(crate) fn ceiling(prices: &Prices, input: u64, output: u64) -> Result<u128, CoreError> {
    let fresh = prices.charge(&Usage { input, cached: 0, output })?;
    let cached = prices.charge(&Usage { input: 0, cached: input, output })?;
    Ok(fresh.max(cached))
}

/// How many tokens a stream's voucher runs ahead.
pub(crate) fn ahead(info: &ModelInfo, quanta: u32) -> u64 {
    u64::from(info.terms.quantum_tokens).saturating_mul(quanta.into())
}

fn no_dearer(new: &Prices, old: &Prices) -> bool {
    new.input <= old.input
        && new.cached <= old.cached
        && new.output <= old.output
        && new.request <= old.request
}

/// A stream broke and its receipt did not come: the call stays in flight.
fn unknown(call: &Call, error: Error, why: &str) -> Error {
    match error {
        Error::Journal(_) | Error::State(_) => error,
        error => Error::Unknown { nonce: call.nonce, why: format!("{why}; then: {error}") },
    }
}
