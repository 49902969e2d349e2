//! Another chain up to one of its blocks, from which a chain here goes on.
//!
//! ```text
//! State ── not changed here ──▶ Fork ── not read before ──▶ Remote (its node, JSON-RPC)
//!                                └ Values (what was read: in memory, and on disk in `fork/`)
//! ```
//! What is read is the state after that one block, so that it never changes and is read once. It is
//! durable before a block that was made from it: a start executes that again without the node.

mod remote;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy::consensus::Header;
use alloy_primitives::{Address, B256, U256};
use parking_lot::Mutex;
use revm::bytecode::Bytecode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vouch_journal::{Disk, Within};

use crate::state::{Account, StateError};
use crate::{Error, Result};

pub(crate) use remote::Failure;
use remote::{At, Remote};
use values::Values;
pub use values::is_fork_record;

/// Where it is kept, on the journal's disk.
const DIRECTORY: &str = "fork";

/// The block of another chain after which a chain goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForkPoint {
    chain_id: u64,
    /// Networks differ in what a header has: their own word for it counts.
    hash: B256,
    header: Header,
}

impl ForkPoint {
    /// Asks a node, by JSON-RPC over HTTP, for a block of its chain: the newest if none is named.
    ///
    /// # Errors
    /// [`Error::Fork`] if the address is none, the node cannot be reached, or there is no such block.
    pub fn ask(url: &str, number: Option<u64>) -> Result<Self> {
        let point = Remote::new(url)?.point(number);
        point.map_err(|error| Error::Fork(error.to_string()))
    }

    /// The id of the other chain.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The block's number.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// The block's hash.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }
}

/// What a request names, where a part of the answer may be with the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Number(u64),
    BlockHash(B256),
    Transaction(B256),
}

/// The other chain; see the module.
#[derive(Debug)]
pub(crate) struct Fork {
    point: ForkPoint,
    /// Without, only what was read before is known.
    remote: Option<Remote>,
    /// Whether it is known to be of this chain.
    is_checked: AtomicBool,
    values: Mutex<Values>,
}

impl Fork {
    /// With what was read before, which is on this disk.
    ///
    /// # Errors
    /// [`Error::Fork`] if the node at `url` is of another chain, [`Error::Journal`].
    pub(crate) fn open(point: &ForkPoint, url: Option<&str>, disk: &Arc<dyn Disk>) -> Result<Self> {
        let within = Within::new(disk.clone(), DIRECTORY);
        let values = Values::open(Box::new(within), point.hash)?;
        let remote = url.map(Remote::new).transpose()?;
        let fork = Self {
            point: point.clone(),
            remote,
            is_checked: AtomicBool::new(false),
            values: Mutex::new(values),
        };
        match fork.remote.as_ref().map(|remote| fork.check(remote)) {
            Some(Err(Failure::Unanswered(why) | Failure::Refused { message: why, .. })) => {
                // It may be back when it is needed.
                tracing::warn!(why, "what was not read of the fork before cannot be read now");
            }
            Some(Err(error)) => return Err(Error::Fork(error.to_string())),
            Some(Ok(())) | None => {}
        }
        Ok(fork)
    }

    /// Refuses a node of another chain, before anything is read of it.
    fn check(&self, remote: &Remote) -> Result<(), Failure> {
        if self.is_checked.load(Ordering::Acquire) {
            return Ok(());
        }
        let (point, found) = (&self.point, remote.point_once(self.point.number()));
        let other = match found {
            Ok(found) if (found.chain_id, found.hash) == (point.chain_id, point.hash) => {
                self.is_checked.store(true, Ordering::Release);
                return Ok(());
            }
            Ok(found) => format!("chain {} has {} there", found.chain_id, found.hash),
            Err(Failure::Missing { what, .. }) => format!("it has {what}"),
            Err(failure) => return Err(failure),
        };
        Err(Failure::Other(format!(
            "this chain goes on from block {} ({}) of chain {}, and the node named is of another: \
             {other}",
            point.number(),
            point.hash,
            point.chain_id
        )))
    }

    pub(crate) fn point(&self) -> &ForkPoint {
        &self.point
    }

    /// The account after the fork's block; none that is empty (EIP-161). Its storage root is that of
    /// nothing: what is in storage is not known as a whole.
    pub(crate) fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        if let Some(known) = self.values.lock().account(address) {
            return Ok(known);
        }
        self.prefetch(&[address])?;
        Ok(self.values.lock().account(address).flatten())
    }

    /// Reads an account, and a slot of it, for a call that changes nothing.
    pub(crate) fn read(&self, address: Address, key: Option<U256>) -> Result<(), StateError> {
        {
            let values = self.values.lock();
            let is_known = match key {
                Some(key) => values.slot(address, key).is_some(),
                None => values.account(address).is_some(),
            };
            if is_known {
                return Ok(());
            }
            values.check_calls()?;
        }
        match key {
            Some(key) => self.slot(address, key).map(drop),
            None => self.account(address).map(drop),
        }
    }

    /// Reads accounts that are needed one after the other at once.
    pub(crate) fn prefetch(&self, addresses: &[Address]) -> Result<(), StateError> {
        let unknown: Vec<Address> = {
            let values = self.values.lock();
            addresses.iter().copied().filter(|a| values.account(*a).is_none()).collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        for (address, found) in self.remote()?.accounts(&unknown, self.at())? {
            self.values.lock().add_account(address, found)?;
        }
        Ok(())
    }

    /// The slot after the fork's block.
    pub(crate) fn slot(&self, address: Address, key: U256) -> Result<U256, StateError> {
        if let Some(known) = self.values.lock().slot(address, key) {
            return Ok(known);
        }
        self.prefetch_slots(&[(address, key)])?;
        Ok(self.values.lock().slot(address, key).unwrap_or_default())
    }

    /// Reads slots that are needed one after the other at once.
    pub(crate) fn prefetch_slots(&self, slots: &[(Address, U256)]) -> Result<(), StateError> {
        let mut unknown = Vec::new();
        for (address, key) in slots {
            // What has neither sent nor code has never had storage: contracts made here ask nobody.
            let account = self.account(*address)?;
            let may_store = account.is_some_and(|account| account.nonce > 0 || account.has_code());
            if may_store && self.values.lock().slot(*address, *key).is_none() {
                unknown.push((*address, *key));
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        for ((address, key), value) in self.remote()?.slots(&unknown, self.at())? {
            self.values.lock().add_slot(address, key, value)?;
        }
        Ok(())
    }

    /// The code of an account that was read.
    pub(crate) fn code(&self, hash: B256) -> Option<Bytecode> {
        self.values.lock().code(hash)
    }

    /// The hash of a block that is not after the fork's.
    pub(crate) fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        if number == self.point.number() {
            return Ok(self.point.hash);
        }
        if let Some(known) = self.values.lock().block_hash(number) {
            return Ok(known);
        }
        let hash = self.remote()?.block_hash(number)?;
        self.values.lock().add_block_hash(number, hash)?;
        Ok(hash)
    }

    /// Makes durable what was read.
    pub(crate) fn save(&self) -> Result<()> {
        self.values.lock().save()
    }

    /// What the node says to a request about something that is not after the fork's block; `None` if
    /// it is, or if there is no such thing.
    pub(crate) fn answer(
        &self,
        method: &str,
        mut params: Vec<Value>,
        place: Place,
    ) -> Result<Option<Value>, Failure> {
        let remote = self.remote()?;
        let number = match place {
            Place::Number(number) => {
                name_block(method, &mut params, number);
                Some(number)
            }
            Place::BlockHash(hash) => remote.number_of(hash)?,
            Place::Transaction(hash) => remote.number_of_transaction(hash)?,
        };
        match number {
            Some(number) if number <= self.point.number() => {
                remote.call(method, Value::Array(params)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn remote(&self) -> Result<&Remote, Failure> {
        let remote = self.remote.as_ref().ok_or_else(Failure::no_node)?;
        self.check(remote).map(|()| remote)
    }

    fn at(&self) -> At {
        At { number: self.point.number(), hash: self.point.hash }
    }
}

/// A tag, or nothing at all, means another block there: puts the block's number in its place.
fn name_block(method: &str, params: &mut Vec<Value>, number: u64) {
    let number = json!(format!("{number:#x}"));
    for param in params.iter_mut() {
        let named = param.get("blockNumber").unwrap_or(param);
        if is_tag(named) {
            *param = number.clone();
        }
    }
    if method == "eth_getProof" {
        params.resize(2, Value::Null);
        params.push(number);
    }
}

fn is_tag(param: &Value) -> bool {
    let tags = ["latest", "earliest", "pending", "safe", "finalized"];
    param.as_str().is_some_and(|text| tags.iter().any(|tag| text.eq_ignore_ascii_case(tag)))
}

impl From<Failure> for StateError {
    fn from(failure: Failure) -> Self {
        Self::Fork(failure.to_string())
    }
}
