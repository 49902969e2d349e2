//! Account streams: what the owners of data are credited, counted as it is charged.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use vouch_core::data_use;
use vouch_core::receipt::{Kind, Receipt};

use crate::api::Child;
use crate::error::{Error, Result};
use crate::state::Places;

/// The most uses of data under one receipt.
const MAX_CHILDREN: usize = 64;

/// One owner's stream.
#[derive(Debug, Default)]
struct Stream {
    /// Those that are applied, durable or about to be.
    sequence: u64,
    cumulative: u128,
    /// Log index of each durable receipt that is not indexed.
    receipts: Places,
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: BTreeMap<B256, Stream>,
}

/// What of a child does not depend on what was counted before.
pub(crate) fn check_children(parent: &Receipt, children: &[Child]) -> Result<()> {
    if children.len() > MAX_CHILDREN {
        return Err(Error::Draft("number of uses of data"));
    }
    let mut credited = 0_u128;
    for Child { draft, .. } in children {
        let stream = data_use::stream(&parent.domain, parent.provider, draft.payer);
        let wrong = [
            ("use of data", draft.kind != Kind::DataUse || draft.check().is_err()),
            ("use of data's domain", draft.domain != parent.domain),
            ("use of data's provider", draft.provider != parent.provider),
            ("use of data's asset", draft.asset != parent.asset),
            ("use of data's stream", draft.channel != stream),
        ];
        if let Some((what, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
            return Err(Error::Draft(what));
        }
        credited = credited.saturating_add(draft.charge);
    }
    if credited > parent.charge { Err(Error::Draft("sum of credits")) } else { Ok(()) }
}

impl Streams {
    /// Whether a call with these children can be counted.
    pub(crate) fn check(&self, parent: &Receipt, children: &[Child]) -> Result<()> {
        check_children(parent, children)?;
        // Below what all of one call is charged: if that fits, each does.
        let fits = |stream: &Stream| {
            stream.cumulative.checked_add(parent.charge).is_some()
                && stream.sequence.checked_add(MAX_CHILDREN as u64).is_some()
        };
        let known = children.iter().filter_map(|child| self.streams.get(&child.draft.channel));
        if known.into_iter().all(fits) { Ok(()) } else { Err(Error::Draft("stream's total")) }
    }

    /// Takes in where a stream stands.
    pub(crate) fn restore(&mut self, stream: B256, sequence: u64, cumulative: u128) {
        let receipts = Places::after(sequence);
        self.streams.insert(stream, Stream { sequence, cumulative, receipts });
    }

    /// Where each stream stands: its last sequence and its total.
    pub(crate) fn all(&self) -> impl Iterator<Item = (B256, u64, u128)> {
        self.streams.iter().map(|(id, stream)| (*id, stream.sequence, stream.cumulative))
    }

    /// Where a stream stands: its last sequence and its total.
    #[cfg(feature = "postgres")]
    pub(crate) fn totals(&self, stream: &B256) -> (u64, u128) {
        self.streams.get(stream).map_or((0, 0), |stream| (stream.sequence, stream.cumulative))
    }

    /// Numbers children that [`Self::check`] has passed.
    pub(crate) fn count(&mut self, children: &mut [Child]) {
        for Child { draft, .. } in children {
            let stream = self.streams.entry(draft.channel).or_default();
            stream.sequence = stream.sequence.saturating_add(1);
            stream.cumulative = stream.cumulative.saturating_add(draft.charge);
            (draft.sequence, draft.cumulative) = (stream.sequence, stream.cumulative);
        }
    }

    /// Notes that the next receipt of a stream is durable.
    pub(crate) fn logged(&mut self, stream: B256, index: u64) {
        self.streams.entry(stream).or_default().receipts.push(index);
    }

    /// Takes in a receipt of the journal; false if it does not follow its stream's last one.
    pub(crate) fn replay(&mut self, receipt: &Receipt, index: u64) -> bool {
        let stream = self.streams.entry(receipt.channel).or_default();
        let next =
            stream.sequence.checked_add(1).zip(stream.cumulative.checked_add(receipt.charge));
        if next != Some((receipt.sequence, receipt.cumulative)) {
            return false;
        }
        (stream.sequence, stream.cumulative) = (receipt.sequence, receipt.cumulative);
        stream.receipts.push(index);
        true
    }

    /// Log index of number `sequence` of a stream, from 1; `None` if it is indexed or not there.
    pub(crate) fn receipt(&self, stream: &B256, sequence: u64) -> Option<u64> {
        self.streams.get(stream)?.receipts.get(sequence)
    }

    /// Forgets where receipts among the first `size` entries of the log are.
    pub(crate) fn forget(&mut self, size: u64) {
        self.streams.values_mut().for_each(|stream| stream.receipts.forget(size));
    }
}
