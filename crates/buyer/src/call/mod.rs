//! One call, from the question to the kept receipt.
//!
//! ```text
//! plan ─▶ channel ─▶ Call and voucher (durable) ─▶ send ─┬▶ answer ─────────────▶ settle
//!                            ▲                           ├▶ voucher needed ─┐
//!                            └─── higher one (durable) ──┼──────────────────┘
//!                                                        └▶ left, broken, unknown
//!                                                               └▶ repeat ─▶ settle
//! ```

mod exchange;
mod repeat;
mod reply;
mod stream;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;
use vouch_core::{
    Address, Error as CoreError,
    bundle::Bundle,
    data_use::DataUse,
    money::{Prices, Usage},
};
use vouch_evidence::Report;
use vouch_wire::{
    openai::{self, Chunk, Endpoint, Response},
    vouch::{Acknowledgement, ModelInfo},
};

use crate::{
    Buyer, Error, Misconduct,
    seller::Seller,
    state::{Record, most_input},
};

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
    /// The uses of data in it, one for each of its sources, checked with it; their receipts are kept
    /// beside the bundle.
    pub uses: Vec<DataUse>,
    /// The provider's word for it.
    pub acknowledgement: Acknowledgement,
    /// How many vouchers were signed while it came, besides the one that began it.
    pub vouchers: u32,
    /// Why it is not whole, if it is not: what the call or the budget allows came to its end, most
    /// often.
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

/// What a call's body asks for, as far as it bears on what may be paid.
struct Wanted {
    model: String,
    /// The most that it may cost, besides what the policy says.
    most: u128,
    /// The most tokens of the answer, where the body says.
    max_tokens: Option<u32>,
    stream: bool,
    include_usage: bool,
}

impl Wanted {
    fn parse(endpoint: Endpoint, body: &[u8], most: u128) -> Result<Self, Error> {
        if endpoint == Endpoint::Embeddings {
            let model = openai::EmbeddingsRequest::parse(body)?.model;
            let (stream, include_usage) = (false, false);
            return Ok(Self { model, most, max_tokens: Some(0), stream, include_usage });
        }
        let request = openai::Request::parse(endpoint, body)?;
        Ok(Self {
            most,
            max_tokens: request.max_tokens(),
            stream: request.stream(),
            include_usage: request.include_usage(),
            model: request.model,
        })
    }
}

/// A question that was checked, with the terms that it accepts.
struct Plan {
    seller: Arc<Seller>,
    info: ModelInfo,
    endpoint: Endpoint,
    body: String,
    stream: bool,
    include_usage: bool,
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
        self.start_within(endpoint, body, u128::MAX)
    }

    /// As [`Buyer::start`], for `most` atomic units at most: a longer answer is cut there.
    ///
    /// # Errors
    /// As [`Buyer::start`].
    pub fn start_within(
        &self,
        endpoint: Endpoint,
        body: &str,
        most: u128,
    ) -> Result<Running, Error> {
        let body = match serde_json::from_str::<Value>(body) {
            Ok(value) => value.to_string(),
            // Refused below, in the words for it.
            Err(_) => body.to_owned(),
        };
        let request = Wanted::parse(endpoint, body.as_bytes(), most)?;
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
        request: &Wanted,
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
        request: &Wanted,
        body: String,
    ) -> Result<Plan, Error> {
        let (seller, info) = self.choose(&request.model).await?;
        // A bundle is not whole without the one, and ids cannot be held against the text without
        // the other: fetched before money is spent.
        let identity = seller.identity(info.identity).await?;
        seller.tokenizer(&identity).await?;
        let prices = &info.terms.prices;
        let overflow =
            |_: CoreError| Error::protocol(&seller.url, "its prices do not fit 128 bits");
        let input = most_input(&body, &info.terms);
        let most = match request.max_tokens {
            Some(output) => ceiling(prices, input, output.into()).map_err(overflow)?,
            None => u128::MAX,
        };
        let (per_call, total) = {
            let budget = self.state().ledger.budget;
            let budget = budget.with_caps(budget.total(), budget.per_call().min(request.most));
            budget.admit(ceiling(prices, 1, 1).map_err(overflow)?)?;
            (budget.per_call(), budget.total())
        };
        let max_charge = most.min(per_call).min(total);
        let (stream, include_usage) = (request.stream, request.include_usage);
        let allowance = if stream {
            let ahead = ahead(&info, self.policy().ahead_quanta);
            ceiling(prices, input, ahead).map_err(overflow)?.min(max_charge)
        } else {
            max_charge
        };
        Ok(Plan { seller, info, endpoint, body, stream, include_usage, max_charge, allowance })
    }

    /// Stops dealing with a provider, for good.
    pub(crate) fn distrust(
        &self,
        seller: &Seller,
        what: Misconduct,
        evidence: Option<std::path::PathBuf>,
    ) -> Error {
        self.distrust_address(seller.provider(), what, evidence)
    }

    pub(crate) fn distrust_address(
        &self,
        provider: Address,
        what: Misconduct,
        evidence: Option<std::path::PathBuf>,
    ) -> Error {
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
