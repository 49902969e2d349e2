//! Account streams: the data-use receipts of one owner with one provider.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use vouch_core::{
    data_use,
    domain::Domain,
    receipt::{Kind, Receipt},
};

use super::Leaf;
use crate::{Error, Result};

/// Checks that a receipt is a data use of `provider` in `domain`, in its owner's stream.
///
/// # Errors
/// [`Error::Malformed`] with the reason.
pub fn check_receipt(receipt: &Receipt, domain: &Domain, provider: Address) -> Result<()> {
    let why = if receipt.kind != Kind::DataUse {
        "it is of another kind"
    } else if receipt.domain != *domain || receipt.provider != provider {
        "it is another provider's or of another settlement"
    } else if receipt.channel != data_use::stream(domain, provider, receipt.payer) {
        "its channel is not its owner's stream"
    } else if receipt.sequence == 0 || receipt.charge > receipt.cumulative {
        "its sequence is 0, or it credits more than the stream's total"
    } else {
        return Ok(());
    };
    Err(Error::malformed("data-use receipt", why))
}

/// Checks that `receipts` are one stream's first ones, whole: contiguous from 1, each total the sum
/// so far. Returns the last sequence and total.
///
/// # Errors
/// [`Error::Amount`] at the first gap, or total that does not follow.
pub fn check_stream(receipts: &mut [&Receipt]) -> Result<(u64, u128)> {
    receipts.sort_by_key(|receipt| receipt.sequence);
    let (mut sequence, mut total) = (0u64, 0u128);
    for receipt in receipts.iter() {
        let next = total.checked_add(receipt.charge);
        if receipt.sequence != sequence + 1 || next != Some(receipt.cumulative) {
            let why = format!(
                "receipt {} of stream {} says {} in all after {sequence} receipts for {total}",
                receipt.sequence, receipt.channel, receipt.cumulative
            );
            return Err(Error::Amount(why));
        }
        (sequence, total) = (receipt.sequence, receipt.cumulative);
    }
    Ok((sequence, total))
}

/// What a provider owes each owner by all its data-use receipts of a time before `until` (Unix
/// milliseconds): the leaves of the period's root. Receipts of another asset are left out.
///
/// # Errors
/// [`Error::Malformed`] if a receipt is not this provider's, [`Error::Amount`] if a stream has a gap.
pub fn totals(
    receipts: &[Receipt],
    domain: &Domain,
    provider: Address,
    asset: Address,
    until: u64,
) -> Result<Vec<Leaf>> {
    let mut streams: BTreeMap<Address, Vec<&Receipt>> = BTreeMap::new();
    for receipt in receipts.iter().filter(|r| r.kind == Kind::DataUse && r.asset == asset) {
        check_receipt(receipt, domain, provider)?;
        if receipt.time < until {
            streams.entry(receipt.payer).or_default().push(receipt);
        }
    }
    streams
        .into_iter()
        .map(|(account, mut receipts)| {
            let (sequence, cumulative) = check_stream(&mut receipts)?;
            Ok(Leaf { account, cumulative, sequence })
        })
        .collect()
}
