//! What was read of a fork, once and for all: in memory, and in a journal of its own.
//!
//! ```text
//! record 0 = "VOUCHFRK" || the hash of the fork's block
//! others   = rlp([ [[address, nonce, balance, code hash], ...], [code, ...],
//!                  [[address, slot, value], ...], [[number, hash], ...] ])
//! ```

use alloy_primitives::map::{AddressMap, B256Map, HashMap};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use revm::bytecode::Bytecode;
use vouch_journal::{Disk, Journal, Options};

use crate::state::{Account, StateError};
use crate::{Error, Result};

const MAGIC: [u8; 8] = *b"VOUCHFRK";
/// About what a value takes in memory.
const VALUE_BYTES: usize = 150;
/// What may be read of a fork; of that, what calls may read that change nothing.
const MAX_BYTES: usize = 1 << 30;
const MAX_BYTES_OF_CALLS: usize = 512 << 20;
/// What a record of the journal has at most, about; each code is below that by far.
const RECORD_BYTES: usize = 1 << 20;

#[derive(Debug, Default, RlpEncodable, RlpDecodable)]
struct Batch {
    accounts: Vec<StoredAccount>,
    codes: Vec<Bytes>,
    slots: Vec<StoredSlot>,
    hashes: Vec<StoredHash>,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct StoredAccount {
    address: Address,
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct StoredSlot {
    address: Address,
    key: U256,
    value: U256,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct StoredHash {
    number: u64,
    hash: B256,
}

/// Whether this is what the journal begins with in which a chain keeps what it has read of another
/// that it is a fork of: for whoever looks after journals without opening a chain.
#[must_use]
pub fn is_fork_record(record: &[u8]) -> bool {
    record.starts_with(&MAGIC) && record.len() == MAGIC.len() + B256::len_bytes()
}

/// An account as a node tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) nonce: u64,
    pub(super) balance: U256,
    pub(super) code: Bytes,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Values {
    journal: Journal,
    accounts: AddressMap<Option<Account>>,
    codes: B256Map<Bytecode>,
    slots: HashMap<(Address, U256), U256>,
    hashes: HashMap<u64, B256>,
    /// What is not in the journal yet.
    unsaved: Batch,
    unsaved_bytes: usize,
    /// Whether the journal has something that is not durable.
    unsynced: bool,
    /// About what all of it takes in memory.
    bytes: usize,
}

impl Values {
    /// What is kept on a disk of the fork at the block with this hash.
    pub(super) fn open(disk: Box<dyn Disk>, of: B256) -> Result<Self> {
        let (mut journal, recovery) = Journal::open_on(disk, Options::default())?;
        let own = [MAGIC.as_slice(), of.as_slice()].concat();
        if recovery.records == 0 {
            journal.append(&own)?;
            journal.sync()?;
        }
        let stored = journal.iter().collect::<Result<Vec<_>, _>>()?;
        let mut values = Self {
            journal,
            accounts: AddressMap::default(),
            codes: B256Map::default(),
            slots: HashMap::default(),
            hashes: HashMap::default(),
            unsaved: Batch::default(),
            unsaved_bytes: 0,
            unsynced: false,
            bytes: 0,
        };
        let mut stored = (0..).zip(stored);
        if stored.next().is_none_or(|(_, (_, first))| first != own) {
            return Err(malformed("it is of another block"));
        }
        for (index, (_, record)) in stored {
            let batch = Batch::decode(&mut record.as_slice())
                .map_err(|error| malformed(&format!("record {index}: {error}")))?;
            values.take(&batch)?;
        }
        Ok(values)
    }

    fn take(&mut self, batch: &Batch) -> Result<()> {
        let values = batch.accounts.len() + batch.slots.len() + batch.hashes.len();
        let codes: usize = batch.codes.iter().map(|code| code.len()).sum();
        self.bytes += values * VALUE_BYTES + codes;
        for code in &batch.codes {
            let code = Bytecode::new_raw_checked(code.clone())
                .map_err(|error| malformed(&error.to_string()))?;
            self.codes.insert(code.hash_slow(), code);
        }
        self.accounts.extend(batch.accounts.iter().map(|stored| {
            let StoredAccount { nonce, balance, code_hash, .. } = *stored;
            let account = Account { nonce, balance, code_hash, ..Account::default() };
            (stored.address, existing(account))
        }));
        self.slots.extend(batch.slots.iter().map(|slot| ((slot.address, slot.key), slot.value)));
        self.hashes.extend(batch.hashes.iter().map(|stored| (stored.number, stored.hash)));
        Ok(())
    }

    /// `None`: not read yet.
    pub(super) fn account(&self, address: Address) -> Option<Option<Account>> {
        self.accounts.get(&address).copied()
    }

    pub(super) fn slot(&self, address: Address, key: U256) -> Option<U256> {
        self.slots.get(&(address, key)).copied()
    }

    pub(super) fn code(&self, hash: B256) -> Option<Bytecode> {
        self.codes.get(&hash).cloned()
    }

    pub(super) fn block_hash(&self, number: u64) -> Option<B256> {
        self.hashes.get(&number).copied()
    }

    pub(super) fn add_account(
        &mut self,
        address: Address,
        found: Found,
    ) -> Result<Option<Account>, StateError> {
        // Two that read it at once find the same.
        if let Some(known) = self.account(address) {
            return Ok(known);
        }
        self.grow(140 + found.code.len())?;
        let Found { nonce, balance, code } = found;
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        if !code.is_empty() && !self.codes.contains_key(&code_hash) {
            let parsed = Bytecode::new_raw_checked(code.clone());
            let parsed = parsed.map_err(|error| {
                StateError::Fork(format!("the code of {address} is malformed: {error}"))
            })?;
            self.codes.insert(code_hash, parsed);
            self.unsaved.codes.push(code);
        }
        self.unsaved.accounts.push(StoredAccount { address, nonce, balance, code_hash });
        let account = existing(Account { nonce, balance, code_hash, ..Account::default() });
        self.accounts.insert(address, account);
        Ok(account)
    }

    pub(super) fn add_slot(
        &mut self,
        address: Address,
        key: U256,
        value: U256,
    ) -> Result<(), StateError> {
        if self.slots.contains_key(&(address, key)) {
            return Ok(());
        }
        self.grow(90)?;
        self.slots.insert((address, key), value);
        self.unsaved.slots.push(StoredSlot { address, key, value });
        Ok(())
    }

    pub(super) fn add_block_hash(&mut self, number: u64, hash: B256) -> Result<(), StateError> {
        if self.hashes.contains_key(&number) {
            return Ok(());
        }
        self.grow(50)?;
        self.hashes.insert(number, hash);
        self.unsaved.hashes.push(StoredHash { number, hash });
        Ok(())
    }

    /// Before one more value of some bytes.
    fn grow(&mut self, bytes: usize) -> Result<(), StateError> {
        if self.bytes >= MAX_BYTES {
            return Err(full(MAX_BYTES));
        }
        self.bytes += VALUE_BYTES.max(bytes);
        if self.unsaved_bytes >= RECORD_BYTES {
            self.append().map_err(|error| StateError::Fork(error.to_string()))?;
        }
        self.unsaved_bytes += bytes;
        Ok(())
    }

    /// Refuses calls that change nothing once there is so much that blocks need the rest.
    pub(super) fn check_calls(&self) -> Result<(), StateError> {
        match self.bytes < MAX_BYTES_OF_CALLS {
            true => Ok(()),
            false => Err(full(MAX_BYTES_OF_CALLS)),
        }
    }

    fn append(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.unsaved);
        self.unsaved_bytes = 0;
        self.unsynced = true;
        self.journal.append(&alloy_rlp::encode(&batch))?;
        Ok(())
    }

    /// Makes all durable.
    pub(super) fn save(&mut self) -> Result<()> {
        if self.unsaved_bytes > 0 {
            self.append()?;
        }
        if self.unsynced {
            self.journal.sync()?;
            self.unsynced = false;
        }
        Ok(())
    }
}

fn full(most: usize) -> StateError {
    let most = most >> 20;
    StateError::Fork(format!("{most} MiB of it were read, and more are not: begin a new fork"))
}

/// A node tells of accounts that do not exist as if they were empty.
fn existing(account: Account) -> Option<Account> {
    Some(account).filter(|account| !account.is_empty())
}

fn malformed(why: &str) -> Error {
    Error::Fork(format!(
        "what was read of it before cannot be used ({why}): restore the directory from a copy, or \
         start with an empty one"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouch_journal::testing::MemoryDisk;

    #[test]
    fn what_was_read_is_there_again() {
        let disk = MemoryDisk::default();
        let of = B256::repeat_byte(7);
        let open = |of| Values::open(Box::new(disk.clone()), of);
        let mut values = open(of).unwrap();
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let code = Bytes::from_static(&[0x5f, 0x5f]);
        let found = Found { nonce: 3, balance: U256::from(9), code: code.clone() };
        let account = values.add_account(one, found).unwrap();
        assert_eq!(values.add_account(two, Found::default()).unwrap(), None, "it is empty");
        values.add_slot(one, U256::from(5), U256::from(6)).unwrap();
        values.add_block_hash(4, of).unwrap();
        values.save().unwrap();
        values.add_slot(one, U256::from(7), U256::from(8)).unwrap();
        drop(values);
        let values = open(of).unwrap();
        assert_eq!(values.account(one), Some(account));
        assert_eq!(values.account(two), Some(None));
        assert_eq!(values.code(account.unwrap().code_hash).unwrap().original_bytes(), code);
        assert_eq!(values.slot(one, U256::from(5)), Some(U256::from(6)));
        assert_eq!(values.slot(one, U256::from(7)), None, "it was not saved");
        assert_eq!(values.block_hash(4), Some(of));
        drop(values);
        assert!(open(B256::ZERO).is_err());
    }
}
