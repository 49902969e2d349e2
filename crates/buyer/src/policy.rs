//! What the buyer accepts: from whom, at which price, and how far it signs ahead.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use vouch_contracts::{addresses, own_settlement};
use vouch_core::{Address, money::Prices, terms::Terms};
use vouch_wire::vouch::ProviderDocument;

use crate::Error;

/// Unix milliseconds, from whoever runs the buyer.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// What the buyer accepts. Amounts are atomic units of the provider's asset.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The most that is ever signed for, over all channels.
    pub total: u128,
    /// The most that one call may be charged. A longer answer is cut there.
    pub per_call: u128,
    /// Dearer terms are not accepted.
    pub max_prices: Option<Prices>,
    /// The only chain that is settled on.
    pub chain: Option<u64>,
    /// The settlement contract; x402's canonical one by default. Where it does not stand, the one
    /// of this project is taken as well, whose address follows from its code.
    pub settlement: Address,
    /// The deposit collector; x402's canonical one by default.
    pub collector: Address,
    /// What a channel is opened and topped up with; the provider's minimum if that is more.
    pub deposit: u128,
    /// A provider that wants a larger deposit is not dealt with. The rest of a deposit comes back,
    /// after the withdrawal delay if the provider does not help.
    pub max_deposit: u128,
    /// How many quanta (see [`Terms::quantum_tokens`]) a stream's voucher runs ahead of the tokens
    /// that have come. With the input, this is all that a streaming provider could take without
    /// giving anything. A call that is not streamed is signed for in full before it begins.
    pub ahead_quanta: u32,
    /// Longer withdrawal delays are not accepted.
    pub max_withdraw_delay_s: u64,
    /// After this time a provider must not start a request.
    pub expiry_s: u64,
    /// A provider that is silent for so long is taken for gone.
    pub idle_timeout: Duration,
    /// How long the whole of an answer that is not streamed may take.
    pub answer_timeout: Duration,
    /// How long to ask for the receipt of an interrupted call before it is left for later.
    pub receipt_timeout: Duration,
    /// JSON-RPC address of the settlement chain. Without it, the provider's own is used if it is on
    /// the provider's host.
    pub rpc: Option<String>,
}

impl Policy {
    /// A policy that spends up to `total`, and up to `per_call` for one call.
    #[must_use]
    pub fn new(total: u128, per_call: u128) -> Self {
        Self {
            total,
            per_call,
            max_prices: None,
            chain: None,
            settlement: addresses::SETTLEMENT,
            collector: addresses::COLLECTOR,
            deposit: total,
            max_deposit: total,
            ahead_quanta: 3,
            max_withdraw_delay_s: 24 * 3600,
            expiry_s: 120,
            idle_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(600),
            receipt_timeout: Duration::from_secs(20),
            rpc: None,
        }
    }

    /// Checks a provider document: version, chain, contracts.
    pub(crate) fn check_document(
        &self,
        url: &str,
        document: &ProviderDocument,
    ) -> Result<u64, Error> {
        let refuse = |why: String| Err(Error::Policy { url: url.to_owned(), why });
        if document.version != vouch_wire::vouch::VERSION {
            return refuse(format!("its document has version {}, not 1", document.version));
        }
        let Some(chain) = document.network.strip_prefix("eip155:").and_then(|id| id.parse().ok())
        else {
            return refuse("its network is not of the form eip155:N".into());
        };
        if self.chain.is_some_and(|expected| expected != chain) {
            return refuse(format!("it settles on chain {chain}, which is not the one you allow"));
        }
        let contracts = (document.settlement, document.collector);
        let own = || own_settlement().is_ok_and(|own| own == contracts);
        if contracts != (self.settlement, self.collector) && !own() {
            return refuse(format!(
                "it settles at {} with collector {}, not at the contracts you allow",
                document.settlement, document.collector
            ));
        }
        Ok(chain)
    }

    /// Checks a quote against the document that it must agree with, and its prices.
    pub(crate) fn check_terms(
        &self,
        url: &str,
        document: &ProviderDocument,
        chain: u64,
        terms: &Terms,
    ) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Policy { url: url.to_owned(), why: why.to_owned() });
        if terms.version != vouch_core::terms::VERSION {
            return refuse("its terms have an unknown version");
        }
        if terms.check().is_err() {
            return refuse("its terms have a name that is too long or has control characters");
        }
        let agrees = terms.provider == document.provider
            && terms.receiver == document.receiver
            && terms.domain.chain == chain
            && terms.domain.settlement == document.settlement
            && terms.asset == document.asset.address
            && terms.log.origin == document.log.origin
            && terms.log.key == document.log.key;
        if !agrees {
            return refuse("its terms contradict its document");
        }
        if terms.quantum_tokens == 0 {
            return refuse("its terms have a quantum of no tokens");
        }
        match &self.max_prices {
            Some(max) if dearer(&terms.prices, max) => {
                refuse("its prices are above your limit: raise the limit to accept them")
            }
            _ => Ok(()),
        }
    }
}

fn dearer(prices: &Prices, max: &Prices) -> bool {
    prices.input > max.input
        || prices.cached > max.cached
        || prices.output > max.output
        || prices.request > max.request
}
