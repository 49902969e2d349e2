//! Accounts and slots as they were before they changed, one after another.
//!
//! ```text
//! value   = length u8 | kind u8 | address 20 | body | crc32c u32       length: of what is between
//! account: body = rlp of the trie's leaf, or nothing where there was none
//! slot:    body = key 32 | value without leading zeros
//! ```
//! Nothing is ever written over: what a chain has taken back stays, and is still true of the
//! blocks before. The checksum is over the place and the bytes before it. The file is named by the
//! place of the value that is first in it; places count from the first that there ever was.

use std::io;
use std::sync::Arc;

use alloy_primitives::{Address, U256, keccak256};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::TrieAccount;
use vouch_journal::{Disk, File};
use vouch_runs::prefix;

use super::kept::{copied, damaged};
use crate::state::Account;

const ACCOUNT: u8 = 0;
const SLOT: u8 = 1;
/// Of the largest value, checksum and all.
const MOST_BYTES: usize = 1 + 255 + 4;
/// What is read at once when values are read in order.
const CHUNK_BYTES: usize = 256 << 10;

/// A value before it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Account(Address, Option<Account>),
    Slot(Address, U256, U256),
}

impl Before {
    /// By what it is found.
    pub(crate) fn key(&self) -> u64 {
        match self {
            Self::Account(address, _) => account_key(*address),
            Self::Slot(address, key, _) => slot_key(*address, *key),
        }
    }

    fn encode(&self, at: u64, to: &mut Vec<u8>) {
        let start = to.len();
        to.push(0);
        match self {
            Self::Account(address, account) => {
                to.push(ACCOUNT);
                to.extend_from_slice(address.as_slice());
                if let Some(account) = account {
                    account.leaf().encode(to);
                }
            }
            Self::Slot(address, key, value) => {
                to.push(SLOT);
                to.extend_from_slice(address.as_slice());
                to.extend_from_slice(&key.to_be_bytes::<32>());
                to.extend_from_slice(&value.to_be_bytes_trimmed_vec());
            }
        }
        // A leaf has 110 bytes at most.
        to[start] = u8::try_from(to.len() - start - 1).unwrap_or(u8::MAX);
        let checksum = checksum(at, &to[start..]);
        to.extend_from_slice(&checksum.to_be_bytes());
    }

    /// The value that these bytes begin with, and how many it takes.
    fn decode(at: u64, bytes: &[u8]) -> Option<(Self, usize)> {
        let length = usize::from(*bytes.first()?);
        let (covered, rest) = bytes.split_at_checked(1 + length)?;
        let crc = rest.first_chunk::<4>()?;
        if checksum(at, covered) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (kind, rest) = covered[1..].split_first()?;
        let (address, mut body) = rest.split_first_chunk::<20>()?;
        let address = Address::from(address);
        let value = match *kind {
            ACCOUNT if body.is_empty() => Self::Account(address, None),
            ACCOUNT => {
                let leaf = TrieAccount::decode(&mut body).ok()?;
                Self::Account(address, Some(leaf.into()))
            }
            SLOT => {
                let (key, value) = body.split_first_chunk::<32>()?;
                let value = U256::try_from_be_slice(value)?;
                Self::Slot(address, U256::from_be_bytes(*key), value)
            }
            _ => return None,
        };
        Some((value, covered.len() + 4))
    }
}

pub(crate) fn account_key(address: Address) -> u64 {
    prefix(&keccak256(address).0)
}

pub(crate) fn slot_key(address: Address, key: U256) -> u64 {
    let mut bytes = [0; 52];
    bytes[..20].copy_from_slice(address.as_slice());
    bytes[20..].copy_from_slice(&key.to_be_bytes::<32>());
    prefix(&keccak256(bytes).0)
}

fn checksum(at: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&at.to_be_bytes()), body)
}

/// The file of values; none of an index of nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    file: Option<Arc<dyn File>>,
    /// Where the file begins.
    pub(super) start: u64,
    /// Where the next one will be.
    pub(super) end: u64,
}

/// The name of a file of values.
pub(super) fn name(start: u64) -> String {
    format!("index/values-{start:020}")
}

impl Values {
    pub(super) fn open(disk: &dyn Disk, start: u64, end: u64) -> io::Result<Self> {
        let file = disk.open(&name(start), false)?;
        if start > end || file.size()? < end - start {
            return Err(damaged("values", "it is too short"));
        }
        Ok(Self { file: Some(file.into()), start, end })
    }

    /// The value at a place where one begins.
    pub(super) fn read(&self, at: u64) -> io::Result<Before> {
        let mut bytes = [0; MOST_BYTES];
        let read = self.fill(&mut bytes, at)?;
        let value = Before::decode(at, &bytes[..read]);
        value.map(|(value, _)| value).ok_or_else(|| fails(at))
    }

    /// All values from one place to another with their places, in order.
    pub(super) fn scan(
        &self,
        mut at: u64,
        end: u64,
        mut found: impl FnMut(u64, Before),
    ) -> io::Result<()> {
        let mut bytes = vec![0; CHUNK_BYTES];
        while at < end {
            let read = self.fill(&mut bytes, at)?;
            let mut rest = &bytes[..read];
            let before = at;
            while at < end
                && let Some((value, size)) = Before::decode(at, rest)
            {
                found(at, value);
                at += size as u64;
                rest = &rest[size..];
            }
            if at == before {
                return Err(fails(at));
            }
        }
        Ok(())
    }

    fn fill(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        match (&self.file, at.checked_sub(self.start)) {
            (Some(file), Some(at)) => file.read_at(bytes, at),
            _ => Ok(0),
        }
    }

    /// Writes values behind the others, durably but for the file's name; gives where each begins
    /// and where the last one ends.
    pub(super) fn write(&self, disk: &dyn Disk, values: &[Before]) -> io::Result<(Self, Vec<u64>)> {
        let file: Arc<dyn File> = match &self.file {
            Some(file) => file.clone(),
            None => disk.open(&name(self.start), true)?.into(),
        };
        let (mut bytes, mut places) = (Vec::new(), Vec::with_capacity(values.len() + 1));
        for value in values {
            let at = self.end + bytes.len() as u64;
            places.push(at);
            value.encode(at, &mut bytes);
        }
        let end = self.end + bytes.len() as u64;
        places.push(end);
        file.write_all_at(&bytes, self.end - self.start)?;
        file.sync()?;
        Ok((Self { file: Some(file), end, ..*self }, places))
    }

    /// Those from the one at `start` on, in a file of their own where that is at most half as long;
    /// durable but for its name.
    pub(super) fn without_before(&self, disk: &dyn Disk, start: u64) -> io::Result<Self> {
        let part = start - self.start..self.end - self.start;
        let copy = copied(self.file.as_deref(), part, disk, &name(start))?;
        let with = |file| Self { file: Some(file), start, end: self.end };
        Ok(copy.map_or_else(|| self.clone(), with))
    }
}

fn fails(at: u64) -> io::Error {
    damaged("values", &format!("the value at byte {at} fails its checksum"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use proptest::prelude::*;
    use vouch_journal::testing::MemoryDisk;

    fn any_before() -> impl Strategy<Value = Before> {
        let word = || any::<[u8; 32]>();
        let account = (any::<u64>(), word(), word(), word()).prop_map(|(nonce, a, b, c)| Account {
            nonce,
            balance: U256::from_be_bytes(a),
            storage_root: B256::from(b),
            code_hash: B256::from(c),
        });
        let value =
            prop_oneof![Just(U256::ZERO), Just(U256::MAX), any::<u64>().prop_map(U256::from)];
        prop_oneof![
            (any::<[u8; 20]>(), prop::option::of(account))
                .prop_map(|(address, account)| Before::Account(address.into(), account)),
            (any::<[u8; 20]>(), word(), value).prop_map(|(a, key, value)| Before::Slot(
                a.into(),
                U256::from_be_bytes(key),
                value
            )),
        ]
    }

    proptest! {
        #[test]
        fn values_come_back_and_damage_is_found(
            values in prop::collection::vec(any_before(), 1..40),
            bit in any::<prop::sample::Index>(),
        ) {
            let disk = MemoryDisk::default();
            let (written, places) = Values::default().write(&disk, &values).unwrap();
            let (written, more) = written.write(&disk, &values).unwrap();
            prop_assert_eq!(places.last(), more.first());
            let mut all = Vec::new();
            written.scan(0, written.end, |at, value| all.push((at, value))).unwrap();
            let starts = places[..values.len()].iter().chain(&more[..values.len()]).copied();
            let known: Vec<_> = starts.zip(values.iter().chain(&values).copied()).collect();
            prop_assert_eq!(&all, &known);
            for (at, value) in &known {
                prop_assert_eq!(written.read(*at).unwrap(), *value);
            }

            let from = more[0];
            let less = written.without_before(&disk, from).unwrap();
            prop_assert_eq!(less.start, from);
            let (less, _) = less.write(&disk, &values[..1]).unwrap();
            let opened = Values::open(&disk, from, less.end).unwrap();
            let mut found = Vec::new();
            opened.scan(from, written.end, |at, value| found.push((at, value))).unwrap();
            prop_assert_eq!(&found, &known[values.len()..]);
            prop_assert_eq!(opened.read(written.end).unwrap(), values[0]);
            prop_assert!(opened.read(0).is_err());

            let mut bytes = disk.bytes(&name(0)).unwrap();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            disk.replace(&name(0), bytes);
            let opened = Values::open(&disk, 0, written.end).unwrap();
            prop_assert!(opened.scan(0, written.end, |_, _| ()).is_err());
        }
    }
}
