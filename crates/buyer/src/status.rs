//! What the books say, for people and programs. Amounts are decimal strings of atomic units.

use serde::Serialize;
use vouch_core::{Address, B256};

use crate::{Buyer, Phase, state::Entry};

/// Everything at a glance.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The wallet.
    pub address: Address,
    /// What may be spent and was.
    pub budget: Spending,
    /// The channels, oldest id first.
    pub channels: Vec<ChannelStatus>,
    /// How many receipts are kept.
    pub receipts: usize,
    /// How many of them are not in a log yet.
    pub unlogged: usize,
    /// Calls whose outcome is not known yet.
    pub in_flight: usize,
    /// Providers that are not dealt with any more, and why.
    pub distrusted: Vec<(Address, String)>,
}

/// A budget and what became of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spending {
    /// The most that is ever signed for.
    pub total: String,
    /// The most that one call may cost.
    pub per_call: String,
    /// Charged and receipted.
    pub spent: String,
    /// Signed for and not charged: what providers could take without a receipt.
    pub ahead: String,
    /// What may still be signed.
    pub left: String,
}

/// A channel.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatus {
    /// Its id.
    pub id: B256,
    /// Where its provider is reached.
    pub url: String,
    /// Who is paid.
    pub provider: Address,
    /// The token that pays.
    pub token: Address,
    /// Where it is in its life.
    pub phase: Phase,
    /// What was deposited.
    pub deposited: String,
    /// A deposit that was signed and has not been seen to settle.
    pub pending: Option<String>,
    /// What was signed for.
    pub signed: String,
    /// What was charged.
    pub charged: String,
}

/// A receipt in the index.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptStatus {
    /// Its digest, which names its bundle.
    pub digest: B256,
    /// Where its provider is reached.
    pub url: String,
    /// Who answered.
    pub provider: Address,
    /// The model's name there.
    pub model: String,
    /// The channel that paid.
    pub channel: B256,
    /// Its place in the channel.
    pub sequence: u64,
    /// What it cost.
    pub charge: String,
    /// The provider's clock, Unix milliseconds.
    pub time: u64,
    /// Whether its place in the log was verified.
    pub logged: bool,
    /// What was found wrong, if anything.
    pub misconduct: Option<String>,
}

impl Buyer {
    /// Budget, channels, counts.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state();
        let ledger = &state.ledger;
        let budget = &ledger.budget;
        let channels = ledger.channels.iter().map(|(id, channel)| ChannelStatus {
            id: *id,
            url: channel.opened.url.clone(),
            provider: channel.opened.provider(),
            token: channel.opened.config.token,
            phase: channel.phase,
            deposited: channel.funded.to_string(),
            pending: channel.pending.map(|deposit| deposit.amount.to_string()),
            signed: channel.signed().to_string(),
            charged: channel.charged.to_string(),
        });
        Status {
            address: self.address(),
            budget: Spending {
                total: budget.total().to_string(),
                per_call: budget.per_call().to_string(),
                spent: budget.spent().to_string(),
                ahead: budget.ahead().to_string(),
                left: budget.left().to_string(),
            },
            channels: channels.collect(),
            receipts: ledger.receipts.len(),
            unlogged: ledger.unlogged.len(),
            in_flight: ledger.calls.len(),
            distrusted: ledger.distrusted.iter().map(|(p, why)| (*p, why.clone())).collect(),
        }
    }

    /// The newest `count` receipts, newest first.
    #[must_use]
    pub fn receipts(&self, count: usize) -> Vec<ReceiptStatus> {
        let state = self.state();
        let ledger = &state.ledger;
        let status = |entry: &Entry| ReceiptStatus {
            digest: entry.digest,
            url: entry.url.clone(),
            provider: entry.provider,
            model: entry.model.clone(),
            channel: entry.channel,
            sequence: entry.sequence,
            charge: entry.charge.to_string(),
            time: entry.time,
            logged: entry.misconduct.is_none() && !ledger.unlogged.contains_key(&entry.digest),
            misconduct: entry.misconduct.clone(),
        };
        ledger.receipts.iter().rev().take(count).map(status).collect()
    }
}
