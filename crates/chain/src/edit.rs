//! What a person changes by hand between two blocks, on a chain for development. It is stored as
//! blocks are: who opens the chain again finds it as it was left.

use std::collections::VecDeque;
use std::fmt::Display;
use std::ops::Range;

use alloy::consensus::Header;
use alloy::rpc::types::state::StateOverride;
use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use vouch_journal::{Position, Reader};

use crate::block::{Body, next_base_fee};
use crate::execute::Execution;
use crate::node::View;
use crate::rules::Rules;
use crate::state::{Changes, Overlay, Patch};
use crate::{Error, Genesis, Result, record};

/// Rewinds that connections can be told of late; who has missed more looks at the whole chain.
const REMEMBERED_REWINDS: usize = 1024;

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Edit {
    /// Parts of accounts.
    Accounts(StateOverride),
    /// What the next block's header is to have.
    Next(NextBlock),
    /// All from this record on is undone, itself and other rewinds too.
    Rewind(u64),
}

/// What the next block's header has in place of what follows from the block before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NextBlock {
    /// In wei.
    #[serde(default)]
    pub(crate) base_fee: Option<u64>,
    #[serde(default)]
    pub(crate) gas_limit: Option<u64>,
}

impl NextBlock {
    /// What `other` names replaces what this does.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            base_fee: other.base_fee.or(self.base_fee),
            gas_limit: other.gas_limit.or(self.gas_limit),
        }
    }

    /// The base fee of the block after `parent`, in wei.
    pub(crate) fn base_fee(&self, parent: &Header) -> u64 {
        self.base_fee.unwrap_or_else(|| next_base_fee(parent))
    }
}

/// What an edit of accounts comes to, where `next` is the header of the block after it so far.
///
/// # Errors
/// [`Error::Edit`] if one of them is none, or if no block could be made any more, as where a
/// contract that each block calls would fail.
pub(crate) fn changes(
    accounts: &StateOverride,
    view: &View,
    next: Header,
    genesis: &Genesis,
) -> Result<Changes> {
    let patches = patches(accounts)?;
    let rules = Rules::of_header(genesis.config(), &next);
    let mut tried = patched(&patches, view)?;
    let block = Execution::begin(&mut tried, next, rules);
    block
        .and_then(|block| block.finish(&Body::of(Vec::new(), &rules)))
        .map_err(|error| Error::Edit(error.to_string()))?;
    written(&patches, view)
}

/// As [`changes`], for one that was made before.
pub(crate) fn changes_again(accounts: &StateOverride, view: &View) -> Result<Changes> {
    written(&patches(accounts)?, view)
}

/// In the order of their addresses.
fn patches(accounts: &StateOverride) -> Result<Vec<(Address, Patch)>> {
    let mut accounts: Vec<_> = accounts.iter().collect();
    accounts.sort_unstable_by_key(|(address, _)| **address);
    let patches = accounts.into_iter().map(|(address, account)| {
        let patch = Patch::try_from(account.clone());
        Ok((*address, patch.map_err(|error| refused(*address, &error))?))
    });
    patches.collect()
}

fn written(patches: &[(Address, Patch)], view: &View) -> Result<Changes> {
    let mut changes = patched(patches, view)?.into_changes(&view.state)?;
    for change in &mut changes.accounts {
        let is_set = change.slots.iter().any(|(_, value)| !value.is_zero());
        let is_stored = || !view.state.keys(change.address).is_empty();
        // An account that is empty is none (EIP-161), but for one that has storage elsewhere.
        let stays = is_set || is_stored() || is_stored_elsewhere(change.address, view)?;
        change.account = change.account.filter(|account| !account.is_empty() || stays);
    }
    Ok(changes)
}

fn patched<'a>(patches: &[(Address, Patch)], view: &'a View) -> Result<Overlay<&'a View>> {
    let mut overlay = Overlay::new(view);
    for (address, patch) in patches {
        if patch.replaces_storage && is_stored_elsewhere(*address, view)? {
            let why = "it has storage on the chain that is forked, which is not known as a whole: \
                       set single slots";
            return Err(refused(*address, &why));
        }
        overlay.patch(*address, patch).map_err(|error| refused(*address, &error))?;
    }
    Ok(overlay)
}

fn is_stored_elsewhere(address: Address, view: &View) -> Result<bool> {
    let Some(fork) = view.state.fork() else { return Ok(false) };
    let account = fork.account(address)?;
    Ok(account.is_some_and(|account| account.has_code()))
}

fn refused(address: Address, why: &dyn Display) -> Error {
    Error::Edit(format!("account {address}: {why}"))
}

/// Which of a journal's records still count, given its edits in their order.
#[derive(Debug, Default)]
pub(crate) struct Undone {
    /// In order, apart from one another.
    ranges: Vec<Range<u64>>,
}

impl Undone {
    /// Record `at` takes back all from record `to` on.
    ///
    /// # Errors
    /// [`Error::Record`] if there is no such record.
    pub(crate) fn add(&mut self, at: u64, to: u64) -> Result<()> {
        let is_within = |range: &Range<u64>| range.start < to && range.contains(&to);
        if to == 0 || to > at || self.ranges.iter().any(is_within) {
            let reason = format!("it goes back to record {to}, which is none to go back to");
            return Err(Error::Record { record: at, reason });
        }
        self.ranges.retain(|range| range.start < to);
        self.ranges.push(to..at + 1);
        Ok(())
    }

    /// Of the records from `position` on, the place `first` among all; `None` if that one was taken
    /// back.
    ///
    /// # Errors
    /// [`Error::Journal`]; [`Error::Record`] if one of them cannot be read.
    pub(crate) fn in_records(
        reader: &Reader,
        position: Position,
        first: u64,
    ) -> Result<Option<Self>> {
        let mut undone = Self::default();
        for (index, stored) in (first..).zip(reader.iter_from(position)).skip(1) {
            let (_, stored) = stored?;
            match record::decode_edit(&stored, index)? {
                Some(Edit::Rewind(to)) if to <= first => return Ok(None),
                Some(Edit::Rewind(to)) => undone.add(index, to)?,
                _ => {}
            }
        }
        Ok(Some(undone))
    }

    /// The last record from `position` on, the place `first` among all, that takes back all but the
    /// genesis.
    ///
    /// # Errors
    /// As [`Self::in_records`].
    pub(crate) fn last_reset(
        reader: &Reader,
        position: Position,
        first: u64,
    ) -> Result<Option<(u64, Position)>> {
        let mut last = None;
        for (index, stored) in (first..).zip(reader.iter_from(position)).skip(1) {
            let (position, stored) = stored?;
            if record::decode_edit(&stored, index)? == Some(Edit::Rewind(1)) {
                last = Some((index, position));
            }
        }
        Ok(last)
    }

    /// Of all records.
    ///
    /// # Errors
    /// As [`Self::in_records`]; also if all of them were taken back.
    pub(crate) fn of_all(reader: &Reader) -> Result<Self> {
        let undone = Self::in_records(reader, Position::FIRST, 0)?;
        let reason = || "it is taken back, and is none to go back behind".to_owned();
        undone.ok_or_else(|| Error::Record { record: 0, reason: reason() })
    }

    pub(crate) fn contains(&self, record: u64) -> bool {
        let after = self.ranges.partition_point(|range| range.end <= record);
        self.ranges.get(after).is_some_and(|range| range.contains(&record))
    }
}

/// The newest blocks' numbers after each time that the chain went back.
#[derive(Debug, Default)]
pub(crate) struct Rewinds {
    total: u64,
    recent: VecDeque<u64>,
}

impl Rewinds {
    pub(crate) fn add(&mut self, head: u64) {
        self.total += 1;
        self.recent.push_back(head);
        if self.recent.len() > REMEMBERED_REWINDS {
            self.recent.pop_front();
        }
    }

    /// How often the chain went back.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The lowest it came since it had gone back `seen` times.
    pub(crate) fn lowest_since(&self, seen: u64) -> Option<u64> {
        let missed = self.total.saturating_sub(seen);
        match usize::try_from(missed) {
            Ok(missed) if missed <= self.recent.len() => {
                self.recent.iter().rev().take(missed).min().copied()
            }
            _ => Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_does_not_count() {
        let mut undone = Undone::default();
        let counting = |undone: &Undone, of: u64| -> Vec<u64> {
            (1..of).filter(|record| !undone.contains(*record)).collect()
        };
        undone.add(5, 3).unwrap();
        assert_eq!(counting(&undone, 8), [1, 2, 6, 7]);
        undone.add(9, 8).unwrap();
        assert_eq!(counting(&undone, 12), [1, 2, 6, 7, 10, 11]);
        // Over one that went back itself, and to a record that is undone already.
        undone.add(12, 7).unwrap();
        assert_eq!(counting(&undone, 14), [1, 2, 6, 13]);
        assert!(undone.add(14, 4).is_err() && undone.add(14, 15).is_err());
        assert!(undone.add(14, 0).is_err(), "the genesis stays");
        undone.add(14, 3).unwrap();
        assert_eq!(counting(&undone, 16), [1, 2, 15]);
    }

    #[test]
    fn who_comes_late_hears_of_the_lowest() {
        let mut rewinds = Rewinds::default();
        assert_eq!(rewinds.lowest_since(0), None);
        [7, 4, 9].into_iter().for_each(|head| rewinds.add(head));
        assert_eq!((rewinds.lowest_since(0), rewinds.lowest_since(2)), (Some(4), Some(9)));
        assert_eq!(rewinds.lowest_since(rewinds.total()), None);
        (0..=REMEMBERED_REWINDS).for_each(|_| rewinds.add(10));
        assert_eq!(rewinds.lowest_since(3), Some(0), "it is no longer known");
    }
}
