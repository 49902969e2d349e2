//! States to go back to: `evm_snapshot`. In memory, for as long as the process runs.

use std::collections::{BTreeMap, VecDeque};

use crate::edit::NextBlock;
use crate::node::{Chosen, TimeShift};
use crate::state::{Changes, State, StateError};

/// Bound on values kept to go back, over all steps; about 150 bytes each. Beyond it the oldest
/// snapshots are forgotten.
const MAX_VALUES: usize = 1 << 20;

/// A state to go back to.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// How many records there were.
    pub(crate) records: u64,
    pub(crate) next: NextBlock,
    pub(crate) time: TimeShift,
    pub(crate) chosen: Chosen,
    /// How many steps there had been.
    steps: u64,
}

/// What takes back one record.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) undone: Changes,
    /// Whether it was a block.
    pub(crate) is_block: bool,
}

impl Step {
    fn values(&self) -> usize {
        let of = &self.undone.accounts;
        1 + of.len() + of.iter().map(|change| change.slots.len()).sum::<usize>()
    }
}

/// The snapshots, and the steps since the oldest of them.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    taken: BTreeMap<u64, Snapshot>,
    last_id: u64,
    steps: VecDeque<Step>,
    /// Steps that there have been, forgotten ones too.
    total: u64,
    values: usize,
}

impl Snapshots {
    /// Keeps the state as it is; gives its id, from 1.
    pub(crate) fn take(
        &mut self,
        records: u64,
        next: NextBlock,
        time: TimeShift,
        chosen: Chosen,
    ) -> u64 {
        self.last_id += 1;
        let snapshot = Snapshot { records, next, time, chosen, steps: self.total };
        self.taken.insert(self.last_id, snapshot);
        self.last_id
    }

    /// From which record on all may be taken back by one of them.
    pub(crate) fn back_to(&self) -> Option<u64> {
        self.taken.first_key_value().map(|(_, oldest)| oldest.records)
    }

    /// To be told before `state` changes.
    pub(crate) fn note(
        &mut self,
        changes: &Changes,
        state: &State,
        is_block: bool,
    ) -> Result<(), StateError> {
        if self.taken.is_empty() {
            return Ok(());
        }
        let step = Step { undone: changes.undone(state)?, is_block };
        self.values += step.values();
        self.steps.push_back(step);
        self.total += 1;
        while self.values > MAX_VALUES {
            self.forget_oldest();
        }
        Ok(())
    }

    fn forget_oldest(&mut self) {
        let Some((id, _)) = self.taken.pop_first() else { return self.clear() };
        tracing::warn!(id, "a snapshot is forgotten: too much has changed since");
        let needed = match self.taken.first_key_value() {
            Some((_, oldest)) => self.total - oldest.steps,
            None => 0,
        };
        while self.steps.len() as u64 > needed {
            let Some(step) = self.steps.pop_front() else { return };
            self.values -= step.values();
        }
    }

    /// A snapshot and the steps back to it, the newest first. It is used up, and with it all that
    /// were taken later.
    pub(crate) fn go_back(&mut self, id: u64) -> Option<(Snapshot, Vec<Step>)> {
        let snapshot = self.taken.remove(&id)?;
        drop(self.taken.split_off(&id));
        let back = usize::try_from(self.total - snapshot.steps).ok()?;
        let steps = self.steps.split_off(self.steps.len().checked_sub(back)?);
        self.total = snapshot.steps;
        self.values -= steps.iter().map(Step::values).sum::<usize>();
        Some((snapshot, steps.into_iter().rev().collect()))
    }

    /// Forgets all; ids are not used again.
    pub(crate) fn clear(&mut self) {
        *self = Self { last_id: self.last_id, ..Self::default() };
    }
}
