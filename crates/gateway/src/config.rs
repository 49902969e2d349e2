use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::{Address, U256};
use vouch_core::{domain::Domain, log::note::Verifier, terms::LogTerms};
use vouch_wire::vouch::Asset;

/// Who sells, in what, and within which limits.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where buyers reach this gateway, without a trailing slash; offers name it.
    pub public_url: String,
    /// The chain and settlement contract.
    pub domain: Domain,
    /// The contract that collects deposits.
    pub collector: Address,
    /// Where checkpoints are anchored, if anywhere.
    pub anchor: Option<Address>,
    /// The economy's contracts by name, for its document.
    pub contracts: BTreeMap<String, Address>,
    /// JSON-RPC address of the settlement chain where the provider runs it.
    pub rpc: Option<String>,
    /// Whether to give test money; on an embedded chain only.
    pub faucet: bool,
    /// Who sells: it signs promises and checkpoints.
    pub provider: Address,
    /// Who is paid, where that is not the provider: a vault that splits what comes in by rule.
    pub receiver: Option<Address>,
    /// ERC-8004 identity of the provider, 0 if none.
    pub agent: U256,
    /// Who signs refunds and batched claims; not zero.
    pub receiver_authorizer: Address,
    /// The withdrawal delay of channels, in seconds.
    pub withdraw_delay_s: u64,
    /// The token that pays.
    pub asset: Asset,
    /// What buyers are told to deposit at least, in atomic units; only advice.
    pub min_deposit: u128,
    /// How many output tokens a stream reserves at a time: what the provider risks.
    pub quantum_tokens: u32,
    /// The log.
    pub log: LogTerms,
    /// Whose cosignatures are taken.
    pub witnesses: Vec<Verifier>,
    /// Bounds on what strangers can make this process do.
    pub limits: Limits,
}

impl Config {
    /// The receiver of channels.
    pub(crate) fn pay_to(&self) -> Address {
        self.receiver.unwrap_or(self.provider)
    }
}

/// Bounds on what strangers can make this process do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections that are open at once; more wait to be accepted. Below a process's usual limit
    /// of 1024 descriptors, of which the store needs some.
    pub max_connections: usize,
    /// A connection must say within this what it wants, also after an answer.
    pub header_timeout: Duration,
    /// Larger bodies get 413.
    pub max_body_bytes: usize,
    /// What bodies take together, beyond the first 64 KiB of each; more get 429.
    pub max_bodies_bytes: usize,
    /// A body must arrive within this.
    pub body_timeout: Duration,
    /// Calls that run at once.
    pub max_running: u32,
    /// Calls that wait for their turn; more get 429.
    pub max_waiting: usize,
    /// How long a call waits for its turn.
    pub queue_timeout: Duration,
    /// How long a stock call waits for the one before it on its channel.
    pub busy_timeout: Duration,
    /// How long a stream waits for a higher voucher.
    pub voucher_timeout: Duration,
    /// How long an answer waits for a reader that does not read.
    pub stall_timeout: Duration,
    /// The most tokens of an answer where the caller does not say.
    pub default_max_tokens: u32,
    /// How far ahead a signed request may expire; below the store's retention of answers, or a
    /// late repeat would be charged as new.
    pub max_request_life: Duration,
    /// How old the newest checkpoint may be for the gateway to count as healthy.
    pub max_checkpoint_age: Duration,
    /// How long a stop waits for what runs; then it commits what there is.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 768,
            header_timeout: Duration::from_secs(60),
            max_body_bytes: 4 << 20,
            max_bodies_bytes: 32 << 20,
            body_timeout: Duration::from_secs(30),
            max_running: 256,
            max_waiting: 1024,
            queue_timeout: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(2),
            voucher_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            default_max_tokens: 1024,
            max_request_life: Duration::from_secs(60 * 60),
            max_checkpoint_age: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}
