//! The state at one record of the journal, from where a start goes on, and the names of the files
//! that are the index up to there.
//!
//! ```text
//! index/snapshot-N = "VOUCHCIX" | version u8 | crc32c u32 | JSON           N: the record's place
//! index/state-N    = "VOUCHCST" | version u8 | crc32c u32
//!                  | codes u32    | (hash 32 | length u32 | bytes) ...
//!                  | accounts u64 | (address 20 | nonce u64 | balance 32 | storage root 32
//!                  |                 | code hash 32 | slots u64 | (key 32 | value 32) ...) ...
//!                  | gone u64     | address 20 ...
//! ```
//! Checksums are over what follows them. The state's root is in the snapshot, and what is read has
//! to come to it. There is one snapshot; of a chain that cannot be made again from its first block
//! there are two, each with all that it names, in the index and in the journal.

use std::collections::BTreeSet;
use std::io;

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::bytecode::Bytecode;
use serde::{Deserialize, Serialize};
use vouch_journal::{Disk, Known, Position};

use super::kept::{DIRECTORY, Kept, Names, damaged};
use crate::edit::NextBlock;
use crate::state::{Account, AccountChange, Changes, State};

/// What the names of snapshots begin with, those of other versions too.
pub(super) const SNAPSHOT: &str = "index/snapshot";
const SNAPSHOT_MAGIC: [u8; 9] = *b"VOUCHCIX\x02";
const STATE_MAGIC: [u8; 9] = *b"VOUCHCST\x02";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Snapshot {
    /// [`vouch_journal::Journal::id`].
    journal: B128,
    /// The last record that is in it: its place among all, and where it is.
    pub(crate) record: u64,
    pub(crate) position: u64,
    /// The chain's first block.
    pub(super) begins: u64,
    /// The oldest block whose state is known from it; the chain's first where all are.
    pub(crate) first: u64,
    /// From where on it needs the journal, but for the genesis.
    needs: u64,
    /// The newest block.
    pub(crate) blocks: u64,
    pub(super) index: Names,
    pub(crate) state_root: B256,
    pub(crate) total_difficulty: U256,
    /// What the next block's header is to have.
    pub(crate) next: NextBlock,
}

type B128 = alloy_primitives::FixedBytes<16>;

/// At which record of which journal a snapshot is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) journal: [u8; 16],
    pub(crate) record: u64,
    pub(crate) position: Position,
}

/// The state to be stored, apart from the chain that goes on.
#[derive(Debug)]
pub(crate) struct Frozen {
    bytes: Vec<u8>,
    state_root: B256,
    total_difficulty: U256,
    next: NextBlock,
}

impl Frozen {
    pub(crate) fn new(
        state: &State,
        state_root: B256,
        total_difficulty: U256,
        next: NextBlock,
    ) -> Self {
        Self { bytes: encode(state), state_root, total_difficulty, next }
    }
}

impl Snapshot {
    /// Whether older blocks are not known from it.
    pub(crate) fn is_pruned(&self) -> bool {
        self.first > self.begins
    }

    /// Whether it is of the chain's first block.
    pub(crate) fn is_of_first(&self) -> bool {
        self.blocks == self.begins
    }

    /// The last record that is in it.
    pub(crate) fn known(&self) -> Known {
        Known { journal: self.journal.0, record: Position(self.position) }
    }

    /// From where on it needs the journal, but for the genesis.
    pub(crate) fn needs(&self) -> Position {
        Position(self.needs)
    }

    /// The records of which there are snapshots on this disk, the newest first.
    pub(crate) fn all(disk: &dyn Disk) -> io::Result<Vec<u64>> {
        let names = disk.list(DIRECTORY)?;
        let record = |name: &String| {
            let record = name.strip_prefix("snapshot-")?.parse().ok()?;
            (format!("{DIRECTORY}/{name}") == snapshot_name(record)).then_some(record)
        };
        let mut records: Vec<u64> = names.iter().filter_map(record).collect();
        records.sort_unstable_by(|one, other| other.cmp(one));
        Ok(records)
    }

    /// The snapshot of a record.
    pub(crate) fn read(disk: &dyn Disk, record: u64) -> io::Result<Self> {
        let bytes = vouch_journal::read(disk, &snapshot_name(record))?;
        let body = opened(&SNAPSHOT_MAGIC, &bytes, "snapshot")?;
        serde_json::from_slice(body).map_err(|e| damaged("snapshot", &e.to_string()))
    }

    /// Removes the snapshots that are newer than this one and were of no use, durably: what they
    /// name will be written over.
    pub(crate) fn remove_newer(&self, disk: &dyn Disk) -> io::Result<()> {
        let mut newer = Self::all(disk)?;
        newer.retain(|record| *record > self.record);
        if newer.is_empty() {
            return Ok(());
        }
        newer.iter().try_for_each(|record| disk.remove(&snapshot_name(*record)))?;
        disk.sync()
    }

    /// Makes an index and a state what the next start begins with, durably; but for what `before`
    /// names all else is removed.
    pub(crate) fn write(
        kept: &Kept,
        at: At,
        frozen: &Frozen,
        before: Option<&Self>,
    ) -> io::Result<Self> {
        let disk = kept.disk().as_ref();
        let snapshot = Self {
            journal: at.journal.into(),
            record: at.record,
            position: at.position.0,
            begins: kept.begins(),
            first: kept.first(),
            needs: kept.needs()?.unwrap_or(at.position).0,
            blocks: kept.blocks(),
            index: kept.names(),
            state_root: frozen.state_root,
            total_difficulty: frozen.total_difficulty,
            next: frozen.next,
        };
        vouch_journal::write(disk, &snapshot.state_name(), &sealed(&STATE_MAGIC, &frozen.bytes))?;
        disk.sync()?;
        let json = serde_json::to_vec(&snapshot).map_err(io::Error::other)?;
        let name = snapshot_name(snapshot.record);
        vouch_journal::replace(disk, &name, &sealed(&SNAPSHOT_MAGIC, &json))?;
        sweep(disk, before.into_iter().chain([&snapshot]))?;
        Ok(snapshot)
    }

    fn files(&self) -> impl Iterator<Item = String> {
        let own = [snapshot_name(self.record), self.state_name()];
        own.into_iter().chain(self.index.files())
    }

    /// The state as changes of nothing.
    pub(crate) fn state(&self, disk: &dyn Disk) -> io::Result<Changes> {
        let bytes = vouch_journal::read(disk, &self.state_name())?;
        let body = opened(&STATE_MAGIC, &bytes, "state")?;
        decode(body).ok_or_else(|| damaged("state", "it is cut"))
    }

    /// No two snapshots are at one record: each has one that the one before had not.
    fn state_name(&self) -> String {
        format!("{DIRECTORY}/state-{:016}", self.record)
    }
}

fn snapshot_name(record: u64) -> String {
    format!("{SNAPSHOT}-{record:016}")
}

/// Removes what none of these snapshots names, other snapshots first: each that is on the disk has
/// all of its files.
fn sweep<'a>(disk: &dyn Disk, snapshots: impl Iterator<Item = &'a Snapshot>) -> io::Result<()> {
    let named: BTreeSet<String> = snapshots.flat_map(Snapshot::files).collect();
    let names = disk.list(DIRECTORY)?.into_iter().map(|name| format!("{DIRECTORY}/{name}"));
    let names = names.filter(|name| !named.contains(name));
    let (others, files): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with(SNAPSHOT));
    if !others.is_empty() {
        others.iter().try_for_each(|name| disk.remove(name))?;
        disk.sync()?;
    }
    files.iter().try_for_each(|name| disk.remove(name))
}

fn sealed(magic: &[u8; 9], body: &[u8]) -> Vec<u8> {
    [magic, &crc32c::crc32c(body).to_be_bytes()[..], body].concat()
}

fn opened<'a>(magic: &[u8; 9], bytes: &'a [u8], name: &str) -> io::Result<&'a [u8]> {
    let body = bytes.strip_prefix(magic).and_then(|rest| rest.split_first_chunk::<4>());
    let body = body.filter(|(crc, body)| crc32c::crc32c(body) == u32::from_be_bytes(**crc));
    body.map(|(_, body)| body).ok_or_else(|| damaged(name, "it fails its checksum"))
}

fn encode(state: &State) -> Vec<u8> {
    let mut to = Vec::with_capacity(state.bytes());
    to.extend_from_slice(&u32::try_from(state.codes().len()).unwrap_or(u32::MAX).to_be_bytes());
    state.codes().for_each(|(hash, code)| {
        to.extend_from_slice(hash.as_slice());
        let code = code.original_byte_slice();
        to.extend_from_slice(&u32::try_from(code.len()).unwrap_or(u32::MAX).to_be_bytes());
        to.extend_from_slice(code);
    });
    to.extend_from_slice(&(state.accounts().len() as u64).to_be_bytes());
    state.accounts().for_each(|(address, account)| {
        to.extend_from_slice(address.as_slice());
        to.extend_from_slice(&account.nonce.to_be_bytes());
        to.extend_from_slice(&account.balance.to_be_bytes::<32>());
        to.extend_from_slice(account.storage_root.as_slice());
        to.extend_from_slice(account.code_hash.as_slice());
        let slots = state.slots(address);
        let count = slots.map_or(0, |slots| slots.len() as u64);
        to.extend_from_slice(&count.to_be_bytes());
        slots.into_iter().flatten().for_each(|(key, value)| {
            to.extend_from_slice(&key.to_be_bytes::<32>());
            to.extend_from_slice(&value.to_be_bytes::<32>());
        });
    });
    to.extend_from_slice(&(state.gone().len() as u64).to_be_bytes());
    state.gone().for_each(|address| to.extend_from_slice(address.as_slice()));
    to
}

fn decode(bytes: &[u8]) -> Option<Changes> {
    let mut rest = bytes;
    let mut changes = Changes::default();
    let codes = u32::from_be_bytes(take(&mut rest)?);
    for _ in 0..codes {
        let hash: B256 = take::<32>(&mut rest)?.into();
        let length = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).ok()?;
        let code = rest.split_off(..length)?;
        let code = Bytecode::new_raw_checked(Bytes::copy_from_slice(code)).ok()?;
        changes.codes.push((hash, code));
    }
    let accounts = u64::from_be_bytes(take(&mut rest)?);
    for _ in 0..accounts {
        let address: Address = take::<20>(&mut rest)?.into();
        let account = Account {
            nonce: u64::from_be_bytes(take(&mut rest)?),
            balance: U256::from_be_bytes(take::<32>(&mut rest)?),
            storage_root: take::<32>(&mut rest)?.into(),
            code_hash: take::<32>(&mut rest)?.into(),
        };
        let count = u64::from_be_bytes(take(&mut rest)?);
        let mut slots = Vec::with_capacity(usize::try_from(count).ok()?.min(rest.len() / 64));
        for _ in 0..count {
            let key = U256::from_be_bytes(take::<32>(&mut rest)?);
            slots.push((key, U256::from_be_bytes(take::<32>(&mut rest)?)));
        }
        changes.accounts.push(AccountChange { address, account: Some(account), slots });
    }
    let gone = u64::from_be_bytes(take(&mut rest)?);
    for _ in 0..gone {
        let address: Address = take::<20>(&mut rest)?.into();
        changes.accounts.push(AccountChange { address, account: None, slots: Vec::new() });
    }
    rest.is_empty().then_some(changes)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*first)
}
