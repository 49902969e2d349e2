//! What a run saw and did, in order: JSON records in a journal.

use std::path::Path;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::{Effect, Error, Event, Machine, Result, Sent};
use crate::portfolio::Portfolio;

/// Format of the entries.
const VERSION: u32 = 1;

/// Whose run a journal holds: its first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Of the entries.
    pub version: u32,
    /// [`Portfolio::hash`], or the hash of a delegate's policy.
    pub portfolio: B256,
    /// EIP-155.
    pub chain_id: u64,
    /// Whose money.
    pub account: Address,
}

impl Begin {
    /// Of a portfolio for an account.
    #[must_use]
    pub fn new(portfolio: &Portfolio, account: Address) -> Self {
        Self { portfolio: portfolio.hash(), ..Self::of(portfolio.chain_id, account) }
    }

    /// Of an account, without a portfolio.
    pub(crate) fn of(chain_id: u64, account: Address) -> Self {
        Self { version: VERSION, portfolio: B256::ZERO, chain_id, account }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first.
    Begin(Begin),
    /// What the machine was told.
    Event(Event),
    /// What it asked for.
    Effect(Effect),
    /// A transaction that may be under way.
    Sent(Sent),
}

/// The journal of one run.
#[derive(Debug)]
pub struct Journal {
    journal: vouch_journal::Journal,
    entries: Vec<Entry>,
}

impl Journal {
    /// Opens the journal in `dir`, or begins one.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::Record`].
    pub fn open(dir: &Path) -> Result<Self> {
        let (journal, _) = vouch_journal::Journal::open(dir, vouch_journal::Options::default())?;
        let mut entries = Vec::new();
        for (at, record) in journal.iter().enumerate() {
            let (_position, record) = record?;
            let entry = serde_json::from_slice(&record);
            entries.push(entry.map_err(|source| Error::Record { at, source })?);
        }
        Ok(Self { journal, entries })
    }

    /// Writes the first entry, or checks that it is this one.
    ///
    /// # Errors
    /// [`Error::Other`], [`Error::Journal`].
    pub fn begin(&mut self, begin: Begin) -> Result<()> {
        match self.entries.first() {
            None => self.append(vec![Entry::Begin(begin)]),
            Some(Entry::Begin(there)) if *there == begin => Ok(()),
            Some(Entry::Begin(there)) => Err(Error::Other {
                what: if there.portfolio != begin.portfolio {
                    "another portfolio"
                } else if there.account != begin.account {
                    "another account"
                } else {
                    "another chain or version"
                },
            }),
            Some(_) => Err(Error::Other { what: "something else than a run" }),
        }
    }

    /// Everything so far.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Appends and makes durable.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn append(&mut self, entries: Vec<Entry>) -> Result<()> {
        for (at, entry) in entries.iter().enumerate() {
            let record =
                serde_json::to_vec(entry).map_err(|source| Error::Record { at, source })?;
            self.journal.append(&record)?;
        }
        self.journal.sync()?;
        self.entries.extend(entries);
        Ok(())
    }

    /// What was noted last for an order.
    #[must_use]
    pub fn sent(&self, order: u64) -> Option<Sent> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Sent(sent) if sent.order == order => Some(*sent),
            _ => None,
        })
    }
}

/// A run gone through again.
#[derive(Debug)]
pub struct Replay {
    /// The machine behind the last event.
    pub machine: Machine,
    /// What it asked for, as JSON, one a line: to be compared byte by byte.
    pub effects: String,
    /// What the journal holds of effects, as JSON.
    pub recorded: String,
    /// Effects of the last event that the journal does not hold: a crash came between.
    pub missing: Vec<Effect>,
}

/// Puts the events of a journal through a fresh machine: the backtest of a run that took place.
///
/// # Errors
/// [`Error::Diverged`] where an effect is not the recorded one.
pub fn replay(machine: Machine, entries: &[Entry]) -> Result<Replay> {
    let (effects, recorded, missing) = (String::new(), String::new(), Vec::new());
    let mut replay = Replay { machine, effects, recorded, missing };
    let mut due = std::collections::VecDeque::new();
    let json = |effect: &Effect, at| {
        serde_json::to_string(effect).map_err(|source| Error::Record { at, source })
    };
    for (at, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Event(event) => {
                if !due.is_empty() {
                    return Err(Error::Diverged { at });
                }
                due.extend(replay.machine.step(event));
            }
            Entry::Effect(effect) => {
                let expected: Option<Effect> = due.pop_front();
                let expected = expected.ok_or(Error::Diverged { at })?;
                replay.effects.push_str(&json(&expected, at)?);
                replay.effects.push('\n');
                replay.recorded.push_str(&json(effect, at)?);
                replay.recorded.push('\n');
                if expected != *effect {
                    return Err(Error::Diverged { at });
                }
            }
            Entry::Begin(_) | Entry::Sent(_) => {}
        }
    }
    replay.missing = due.into();
    Ok(replay)
}
