//! Transactions that wait: per sender by nonce, across senders by arrival.
//!
//! A transaction stays here while its block is executed and synced, and leaves in the same moment
//! as the block appears, so that the pending nonce never goes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::consensus::Transaction;
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, B256};

use crate::execute::SignedTransaction;

/// Most transactions that wait in all.
const MAX_TRANSACTIONS: usize = 1 << 16;
/// Most bytes that wait in all.
const MAX_BYTES: usize = 128 << 20;
/// Most transactions of one sender that wait.
const MAX_PER_SENDER: usize = 1 << 14;
/// What a replacement must offer of the fees it replaces, in percent.
const REPLACEMENT_PERCENT: u128 = 110;
/// The same where one of the two has blobs, as geth has it.
const BLOB_REPLACEMENT_PERCENT: u128 = 200;
/// Memory a transaction takes besides its input.
const OVERHEAD_BYTES: usize = 1 << 10;

/// Why the pool refuses a transaction, in geth's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    #[error("already known")]
    Known,
    #[error("replacement transaction underpriced")]
    Underpriced,
    #[error("nonce too low: the transaction with this nonce is being mined")]
    BeingMined,
    #[error("txpool is full: wait for blocks to be mined")]
    Full,
    #[error("account limit exceeded: {MAX_PER_SENDER} transactions of this sender wait already")]
    SenderFull,
}

#[derive(Debug)]
struct Waiting {
    arrival: u64,
    transaction: Arc<SignedTransaction>,
}

#[derive(Debug)]
struct Sender {
    by_nonce: BTreeMap<u64, Waiting>,
    /// The next nonce to execute; lower ones are in the block being made.
    next: u64,
}

/// The pool; see the module.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    senders: AddressMap<Sender>,
    by_hash: B256Map<Arc<SignedTransaction>>,
    /// Senders whose next transaction is here, by that transaction's arrival.
    ready: BTreeMap<u64, Address>,
    arrivals: u64,
    bytes: usize,
    /// The one being executed.
    taken: Option<B256>,
}

impl Pool {
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// About what all that waits takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, hash: B256) -> Option<Arc<SignedTransaction>> {
        self.by_hash.get(&hash).cloned()
    }

    /// What waits, by sender and nonce.
    pub(crate) fn senders(
        &self,
    ) -> impl Iterator<Item = (Address, impl Iterator<Item = (u64, Arc<SignedTransaction>)> + '_)>
    {
        self.senders.iter().map(|(address, sender)| {
            let waiting = sender.by_nonce.iter();
            (*address, waiting.map(|(nonce, waiting)| (*nonce, waiting.transaction.clone())))
        })
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The nonce after the last of `sender`'s transactions that follow `state_nonce` without gap.
    pub(crate) fn pending_nonce(&self, sender: Address, state_nonce: u64) -> u64 {
        let Some(sender) = self.senders.get(&sender) else { return state_nonce };
        let mut nonce = state_nonce;
        while sender.by_nonce.contains_key(&nonce) {
            nonce += 1;
        }
        nonce
    }

    /// Adds a transaction whose sender has `state_nonce`, which its own nonce is not below.
    pub(crate) fn insert(
        &mut self,
        transaction: SignedTransaction,
        state_nonce: u64,
    ) -> Result<(), PoolError> {
        if self.by_hash.contains_key(transaction.hash()) {
            return Err(PoolError::Known);
        }
        let (sender, nonce) = (transaction.signer(), transaction.nonce());
        let waiting = self.senders.get(&sender);
        let replaced = waiting.and_then(|s| s.by_nonce.get(&nonce)).map(|w| w.transaction.clone());
        match (&replaced, waiting) {
            (Some(_), Some(waiting)) if nonce < waiting.next => return Err(PoolError::BeingMined),
            (Some(old), _) if !outbids(&transaction, old) => return Err(PoolError::Underpriced),
            (None, Some(waiting)) if waiting.by_nonce.len() >= MAX_PER_SENDER => {
                return Err(PoolError::SenderFull);
            }
            _ => {}
        }
        if self.len() >= MAX_TRANSACTIONS || self.bytes >= MAX_BYTES {
            return Err(PoolError::Full);
        }
        if let Some(old) = replaced {
            self.remove(&old);
        }
        self.add(transaction, state_nonce);
        Ok(())
    }

    fn add(&mut self, transaction: SignedTransaction, state_nonce: u64) {
        let (sender, nonce) = (transaction.signer(), transaction.nonce());
        if self.senders.get(&sender).is_some_and(|entry| entry.next < state_nonce) {
            self.set_nonce(sender, state_nonce);
        }
        let (arrival, transaction) = (self.arrivals, Arc::new(transaction));
        self.arrivals += 1;
        self.bytes += size_bytes(&transaction);
        self.by_hash.insert(*transaction.hash(), transaction.clone());
        let entry = self
            .senders
            .entry(sender)
            .or_insert_with(|| Sender { by_nonce: BTreeMap::new(), next: state_nonce });
        if nonce == entry.next {
            self.ready.insert(arrival, sender);
        }
        entry.by_nonce.insert(nonce, Waiting { arrival, transaction });
    }

    /// The executable transaction that arrived first. The caller must follow up with
    /// [`executed`](Self::executed), [`postpone`](Self::postpone) or [`reject`](Self::reject).
    pub(crate) fn take(&mut self) -> Option<Arc<SignedTransaction>> {
        let (_, address) = self.ready.pop_first()?;
        let sender = self.senders.get(&address)?;
        let transaction = sender.by_nonce.get(&sender.next)?.transaction.clone();
        self.taken = Some(*transaction.hash());
        Some(transaction)
    }

    /// It is in the block being made: the sender's next one becomes executable.
    pub(crate) fn executed(&mut self, transaction: &SignedTransaction) {
        self.taken = None;
        let address = transaction.signer();
        let Some(sender) = self.senders.get_mut(&address) else { return };
        sender.next = transaction.nonce() + 1;
        if let Some(waiting) = sender.by_nonce.get(&sender.next) {
            self.ready.insert(waiting.arrival, address);
        }
    }

    /// It stays for a later block, and with it what follows it.
    pub(crate) fn postpone(&mut self, transaction: &SignedTransaction) {
        self.taken = None;
        let address = transaction.signer();
        let Some(sender) = self.senders.get(&address) else { return };
        if let Some(waiting) = sender.by_nonce.get(&sender.next) {
            self.ready.insert(waiting.arrival, address);
        }
    }

    /// It can never be executed. What follows it waits for another with its nonce.
    pub(crate) fn reject(&mut self, transaction: &SignedTransaction) {
        self.taken = None;
        self.remove(transaction);
    }

    /// The sender's nonce is `nonce`, moved by something else than its own transactions (an
    /// EIP-7702 authorization): lower ones are dropped.
    pub(crate) fn set_nonce(&mut self, address: Address, nonce: u64) {
        let Some(sender) = self.senders.get_mut(&address) else { return };
        if let Some(waiting) = sender.by_nonce.get(&sender.next) {
            self.ready.remove(&waiting.arrival);
        }
        sender.next = nonce;
        let lower: Vec<_> =
            sender.by_nonce.range(..nonce).map(|(_, w)| w.transaction.clone()).collect();
        if let Some(waiting) = sender.by_nonce.get(&nonce) {
            self.ready.insert(waiting.arrival, address);
        }
        lower.iter().for_each(|transaction| self.remove(transaction));
    }

    /// No block came of what was taken: all wait again, from the nonces that the senders have.
    pub(crate) fn put_back(&mut self, nonce: impl Fn(Address) -> u64) {
        self.taken = None;
        let ready = self.senders.iter_mut().filter_map(|(address, sender)| {
            sender.next = nonce(*address);
            sender.by_nonce.get(&sender.next).map(|waiting| (waiting.arrival, *address))
        });
        self.ready = ready.collect();
    }

    /// Forgets all; what comes later is still later.
    pub(crate) fn clear(&mut self) {
        *self = Self { arrivals: self.arrivals, ..Self::default() };
    }

    /// Forgets those that are meant, by hash and sender; gives which. Those in the block being made
    /// stay.
    pub(crate) fn forget(&mut self, is_meant: impl Fn(B256, Address) -> bool) -> Vec<B256> {
        let waits = |transaction: &SignedTransaction| {
            let sender = self.senders.get(&transaction.signer());
            let waits = sender.is_some_and(|sender| transaction.nonce() >= sender.next);
            waits && self.taken != Some(*transaction.hash())
        };
        let meant = self.by_hash.values().filter(|transaction| {
            is_meant(*transaction.hash(), transaction.signer()) && waits(transaction)
        });
        let meant: Vec<_> = meant.cloned().collect();
        meant.iter().for_each(|transaction| self.remove(transaction));
        meant.iter().map(|transaction| *transaction.hash()).collect()
    }

    /// The block with these transactions is visible.
    pub(crate) fn mined(&mut self, transactions: &[SignedTransaction]) {
        transactions.iter().for_each(|transaction| self.remove(transaction));
    }

    fn remove(&mut self, transaction: &SignedTransaction) {
        if self.by_hash.remove(transaction.hash()).is_none() {
            return;
        }
        self.bytes -= size_bytes(transaction);
        let address = transaction.signer();
        let Some(sender) = self.senders.get_mut(&address) else { return };
        if let Some(waiting) = sender.by_nonce.remove(&transaction.nonce()) {
            self.ready.remove(&waiting.arrival);
        }
        if sender.by_nonce.is_empty() {
            self.senders.remove(&address);
        }
    }
}

fn outbids(new: &SignedTransaction, old: &SignedTransaction) -> bool {
    let percent = match new.is_eip4844() || old.is_eip4844() {
        true => BLOB_REPLACEMENT_PERCENT,
        false => REPLACEMENT_PERCENT,
    };
    let enough = |new: u128, old: u128| new >= old.saturating_mul(percent).div_ceil(100);
    let blob_fees = new.max_fee_per_blob_gas().zip(old.max_fee_per_blob_gas());
    enough(new.max_fee_per_gas(), old.max_fee_per_gas())
        && enough(new.priority_fee_or_price(), old.priority_fee_or_price())
        && blob_fees.is_none_or(|(new, old)| enough(new, old))
}

fn size_bytes(transaction: &SignedTransaction) -> usize {
    let access_list = transaction.access_list().map_or(0, |list| list.size());
    let authorizations = transaction.authorization_list().map_or(0, |list| list.len() * 160);
    OVERHEAD_BYTES + transaction.input().len() + access_list + authorizations
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::consensus::{SignableTransaction, TxEip1559};
    use alloy_primitives::{Signature, U256};

    fn transaction(sender: u8, nonce: u64, fee: u128) -> SignedTransaction {
        let signature = Signature::new(U256::from(sender), U256::from(fee), false);
        let tx = TxEip1559 {
            nonce,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: fee,
            ..TxEip1559::default()
        };
        SignedTransaction::new_unchecked(
            tx.into_signed(signature).into(),
            Address::with_last_byte(sender),
        )
    }

    fn drain(pool: &mut Pool) -> Vec<(u8, u64)> {
        let mut order = Vec::new();
        while let Some(transaction) = pool.take() {
            order.push((transaction.signer()[19], transaction.nonce()));
            pool.executed(&transaction);
        }
        order
    }

    #[test]
    fn order_is_arrival_within_nonces_and_gaps_wait() {
        let mut pool = Pool::default();
        for (sender, nonce) in [(1, 6), (2, 0), (1, 5), (1, 9), (2, 1)] {
            pool.insert(transaction(sender, nonce, 10), if sender == 1 { 5 } else { 0 }).unwrap();
        }
        let first = Address::with_last_byte(1);
        assert_eq!(pool.pending_nonce(first, 5), 7);
        assert_eq!(drain(&mut pool), [(2, 0), (1, 5), (1, 6), (2, 1)]);
        assert_eq!(pool.pending_nonce(first, 5), 7, "until the block is visible");
        pool.mined(&[transaction(1, 5, 10), transaction(1, 6, 10)]);
        assert_eq!(pool.pending_nonce(first, 7), 7);
        pool.insert(transaction(1, 8, 10), 7).unwrap();
        pool.insert(transaction(1, 7, 10), 7).unwrap();
        assert_eq!(drain(&mut pool), [(1, 7), (1, 8), (1, 9)]);
    }

    #[test]
    fn what_no_block_came_of_waits_as_before() {
        let mut pool = Pool::default();
        for (sender, nonce) in [(1, 3), (1, 4), (2, 0), (1, 5)] {
            pool.insert(transaction(sender, nonce, 10), if sender == 1 { 3 } else { 0 }).unwrap();
        }
        let all = [(1, 3), (1, 4), (2, 0), (1, 5)];
        assert_eq!(drain(&mut pool), all);
        assert!(!pool.has_ready());
        pool.put_back(|sender| if sender == Address::with_last_byte(1) { 3 } else { 0 });
        assert_eq!(drain(&mut pool), all);
    }

    #[test]
    fn a_nonce_set_back_leaves_others_ready() {
        let mut pool = Pool::default();
        pool.insert(transaction(1, 5, 10), 5).unwrap();
        pool.insert(transaction(2, 0, 10), 0).unwrap();
        let first = Address::with_last_byte(1);
        pool.set_nonce(first, 3);
        assert_eq!(drain(&mut pool), [(2, 0)], "5 waits for 3 and 4");
        pool.set_nonce(first, 5);
        let taken = pool.take().unwrap();
        assert!(pool.forget(|_, _| true).is_empty(), "one is executed, the other was");
        pool.postpone(&taken);
        assert_eq!(pool.forget(|_, sender| sender == first), [*taken.hash()]);
        assert!(!pool.has_ready());
    }

    #[test]
    fn replacements_pay_a_tenth_more_and_not_while_mined() {
        let mut pool = Pool::default();
        pool.insert(transaction(1, 0, 100), 0).unwrap();
        assert_eq!(pool.insert(transaction(1, 0, 100), 0), Err(PoolError::Known));
        assert_eq!(pool.insert(transaction(1, 0, 109), 0), Err(PoolError::Underpriced));
        pool.insert(transaction(1, 0, 110), 0).unwrap();
        assert_eq!(pool.len(), 1);
        assert_eq!(drain(&mut pool), [(1, 0)]);
        assert_eq!(pool.insert(transaction(1, 0, 500), 0), Err(PoolError::BeingMined));
    }

    #[test]
    fn bounds_hold_and_everything_leaves() {
        let mut pool = Pool::default();
        let per_sender = MAX_PER_SENDER as u64;
        for nonce in 0..per_sender {
            pool.insert(transaction(1, nonce, 1), 0).unwrap();
        }
        assert_eq!(pool.insert(transaction(1, per_sender, 1), 0), Err(PoolError::SenderFull));
        let all: Vec<_> = (0..per_sender).map(|nonce| transaction(1, nonce, 1)).collect();
        pool.reject(&all[0]);
        assert!(!pool.has_ready(), "the rest has a gap before it");
        pool.mined(&all);
        assert_eq!((pool.len(), pool.bytes, pool.senders.len()), (0, 0, 0));
    }
}
