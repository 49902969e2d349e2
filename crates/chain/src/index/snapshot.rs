//! The state at one record of the journal, from where a start goes on, and the names of the files
//! that are the index up to there.
//!
//! ```text
//! index/snapshot = "VOUCHCIX" | version u8 | crc32c u32 | JSON
//! index/state-N  = "VOUCHCST" | version u8 | crc32c u32
//!                | codes u32    | (hash 32 | length u32 | bytes) ...
//!                | accounts u64 | (address 20 | nonce u64 | balance 32 | storage root 32
//!                |                 | code hash 32 | slots u64 | (key 32 | value 32) ...) ...
//!                | gone u64     | address 20 ...
//! ```
//! Checksums are over what follows them. The state's root is in the snapshot, and what is read has
//! to come to it.

use std::io;

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::bytecode::Bytecode;
use serde::{Deserialize, Serialize};
use vouch_journal::{Disk, Known, Position};

use super::kept::{DIRECTORY, Kept, damaged};
use crate::edit::NextBlock;
use crate::state::{Account, AccountChange, Changes, State};

pub(super) const SNAPSHOT: &str = "index/snapshot";
const SNAPSHOT_MAGIC: [u8; 9] = *b"VOUCHCIX\x01";
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
    #[serde(default)]
    pub(crate) first: u64,
    /// The newest block.
    pub(crate) blocks: u64,
    pub(super) values_end: u64,
    pub(super) places: Vec<u32>,
    pub(super) changes: Vec<u32>,
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
    /// The last record that is in it.
    pub(crate) fn known(&self) -> Known {
        Known { journal: self.journal.0, record: Position(self.position) }
    }

    /// The snapshot on this disk; `None` if there is none.
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        let bytes = match vouch_journal::read(disk, SNAPSHOT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let body = opened(&SNAPSHOT_MAGIC, &bytes, "snapshot")?;
        serde_json::from_slice(body).map(Some).map_err(|e| damaged("snapshot", &e.to_string()))
    }

    /// Makes an index and a state what the next start begins with, durably; what only the snapshot
    /// before has named is removed.
    pub(crate) fn write(kept: &Kept, at: At, frozen: &Frozen) -> io::Result<()> {
        let disk = kept.disk().as_ref();
        let (places, changes, values_end) = kept.names();
        let snapshot = Self {
            journal: at.journal.into(),
            record: at.record,
            position: at.position.0,
            first: kept.first(),
            blocks: kept.blocks(),
            values_end,
            places,
            changes,
            state_root: frozen.state_root,
            total_difficulty: frozen.total_difficulty,
            next: frozen.next,
        };
        vouch_journal::write(disk, &snapshot.state_name(), &sealed(&STATE_MAGIC, &frozen.bytes))?;
        disk.sync()?;
        let json = serde_json::to_vec(&snapshot).map_err(io::Error::other)?;
        vouch_journal::replace(disk, SNAPSHOT, &sealed(&SNAPSHOT_MAGIC, &json))?;
        kept.sweep()?;
        for name in disk.list(DIRECTORY)? {
            let name = format!("{DIRECTORY}/{name}");
            if name.starts_with(STATE) && name != snapshot.state_name() {
                disk.remove(&name)?;
            }
        }
        Ok(())
    }

    /// The state as changes of nothing.
    pub(crate) fn state(&self, disk: &dyn Disk) -> io::Result<Changes> {
        let bytes = vouch_journal::read(disk, &self.state_name())?;
        let body = opened(&STATE_MAGIC, &bytes, "state")?;
        decode(body).ok_or_else(|| damaged("state", "it is cut"))
    }

    /// No two snapshots are at one record: each has one that the one before had not.
    fn state_name(&self) -> String {
        format!("{STATE}{:016}", self.record)
    }
}

const STATE: &str = "index/state-";

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
