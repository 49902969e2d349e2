//! The payers' books: what was acknowledged, held against what the gateway says.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use anyhow::{Context, ensure};
use hyper::header::HeaderValue;
use vouch_core::receipt::{Receipt, Status};
use vouch_wire::{
    vouch::Acknowledgement,
    x402::{SettleResponse, decode},
};

use crate::market::Market;

/// Of so many acknowledgements, one promise's signature is checked.
const SAMPLE: usize = 50;

/// What one channel paid for.
#[derive(Debug, Default)]
struct Page {
    charged: u128,
    sequences: BTreeSet<u64>,
}

/// All receipts so far, by channel.
#[derive(Debug, Default)]
pub struct Books {
    pages: BTreeMap<B256, Page>,
}

impl Books {
    /// Enters the acknowledgements of `calls` calls.
    ///
    /// # Errors
    /// If a call has none, or one is not what was asked for, or comes twice.
    pub fn enter(
        &mut self,
        market: &Market,
        payments: &[HeaderValue],
        calls: usize,
    ) -> anyhow::Result<()> {
        ensure!(payments.len() == calls, "{calls} calls and {} receipts", payments.len());
        for (number, payment) in payments.iter().enumerate() {
            let settled: SettleResponse<Acknowledgement> =
                decode("PAYMENT-RESPONSE", payment.as_bytes())?;
            let vouch = settled.extensions.and_then(|extensions| extensions.vouch);
            let Acknowledgement { receipt, promise, .. } =
                vouch.context("an answer has no acknowledgement")?.info;
            if number % SAMPLE == 0 {
                promise.verify(receipt.leaf_hash(), &market.domain, market.document.provider)?;
            }
            self.enter_one(&receipt)?;
        }
        Ok(())
    }

    /// Enters one call's receipt.
    ///
    /// # Errors
    /// If the call was not completed, or the receipt comes twice.
    pub fn enter_one(&mut self, receipt: &Receipt) -> anyhow::Result<()> {
        ensure!(receipt.status == Status::Complete, "a call ended as {:?}", receipt.status);
        let page = self.pages.entry(receipt.channel).or_default();
        page.charged += receipt.charge;
        let new = page.sequences.insert(receipt.sequence);
        ensure!(new, "two receipts of a channel have sequence {}", receipt.sequence);
        Ok(())
    }

    /// Compares with the gateway's own account: charges and receipts of every channel.
    ///
    /// # Errors
    /// At the first difference.
    pub async fn compare(&self, market: &Market) -> anyhow::Result<()> {
        for (id, page) in &self.pages {
            let view = market.channel(id).await?;
            let receipts = page.sequences.len() as u64;
            ensure!(
                (view.charged, view.sequence, view.reserved) == (page.charged, receipts, 0),
                "channel {id} has {receipts} receipts over {}, and the gateway says {view:?}",
                page.charged
            );
        }
        Ok(())
    }

    /// How many receipts there are.
    #[must_use]
    pub fn receipts(&self) -> usize {
        self.pages.values().map(|page| page.sequences.len()).sum()
    }
}
