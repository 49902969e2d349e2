//! Where a transaction or a contract is from.
//!
//! Old state tells the block where it is kept; of what is older, blocks are read.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy::consensus::{Transaction as _, TxReceipt};
use alloy::rpc::types::trace::otterscan::ContractCreator;
use alloy_primitives::Address;
use serde_json::Value;

use super::calls::Touch;
use super::search::{MAX_READ_BYTES, Reading, too_far};
use crate::block::SealedBlock;
use crate::fork::Place;
use crate::rpc::params::{Number, Params};
use crate::rpc::{Outcome, Rpc, RpcError, json};
use crate::state::{Account, State, StateError};

/// When something became so of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// It is not so.
    Never,
    /// After this block, not before.
    Block(u64),
    /// It was so after this block, the oldest whose state is kept.
    Before(u64),
}

/// Since when `holds` holds of an account, which must be lasting.
fn since(
    state: &State,
    address: Address,
    holds: impl Fn(&Account) -> bool,
) -> Result<Since, StateError> {
    let holds = |number| {
        let account = state.account_at(address, number)?;
        Ok::<_, StateError>(holds(&account.unwrap_or_default()))
    };
    let (mut without, mut with) = (state.oldest(), state.number());
    if !holds(with)? {
        return Ok(Since::Never);
    }
    if holds(without)? {
        return Ok(Since::Before(without));
    }
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        match holds(middle)? {
            true => with = middle,
            false => without = middle,
        }
    }
    Ok(Since::Block(with))
}

impl Rpc {
    /// The hash of a sender's transaction, if it is in a block. Nonces may be used up otherwise,
    /// too: by contracts that create, and by authorizations (EIP-7702).
    pub(super) fn transaction_by_sender_and_nonce(&self, mut params: Params) -> Outcome {
        let sender: Address = params.next("sender")?;
        let Number(nonce) = params.next("nonce")?;
        params.finish()?;
        self.node.prefetch(sender)?;
        let used = since(&self.node.view.read().state, sender, |account| account.nonce > nonce)?;
        let place = |block: &SealedBlock| {
            let mut transactions = block.transactions().iter();
            transactions.position(|sent| sent.signer() == sender && sent.nonce() == nonce)
        };
        let found = match used {
            Since::Never => None,
            Since::Block(number) => self.newest(number..=number, place)?,
            Since::Before(oldest) if self.is_elsewhere(oldest) => {
                return self.not_here(Place::Number(oldest));
            }
            Since::Before(oldest) => self.newest(self.node.first_block() + 1..=oldest, place)?,
        };
        json(found.map(|(block, index)| *block.transactions()[index].hash()))
    }

    /// The transaction in which a contract was created, and who created it: its sender, or
    /// another contract. Nothing for what the genesis had, and for what is no contract.
    pub(super) fn contract_creator(&self, mut params: Params) -> Outcome {
        let address: Address = params.next("address")?;
        params.finish()?;
        self.node.prefetch(address)?;
        let since = {
            let view = self.node.view.read();
            let account = view.state.account(address)?.unwrap_or_default();
            // Who delegates to a contract (EIP-7702) was not created.
            match view.state.code(account.code_hash)?.is_eip7702() {
                true => Since::Never,
                false => since(&view.state, address, Account::has_code)?,
            }
        };
        match since {
            Since::Never => Ok(Value::Null),
            Since::Block(number) => match self.node.block(number)? {
                Some(block) => json(self.creator_in(&block, address)?),
                None => Ok(Value::Null),
            },
            Since::Before(oldest) if self.is_elsewhere(oldest) => {
                self.not_here(Place::Number(oldest))
            }
            Since::Before(oldest) => self.creator_before(oldest, address),
        }
    }

    /// Calls of so long ago cannot be executed again: only transactions can be looked at.
    fn creator_before(&self, oldest: u64, address: Address) -> Outcome {
        let mut accounts = self.node.genesis.accounts();
        if accounts.any(|(given, leaf)| {
            given == address && leaf.code.as_ref().is_some_and(|code| !code.is_empty())
        }) {
            return Ok(Value::Null);
        }
        let found =
            self.newest(self.node.first_block() + 1..=oldest, |block| created_at(block, address))?;
        let Some((block, index)) = found else {
            return Err(RpcError::server(
                "another contract created it, in a block whose state is no longer kept",
            ));
        };
        json(creator(&block, index, None))
    }

    fn creator_in(
        &self,
        block: &SealedBlock,
        address: Address,
    ) -> Result<Option<ContractCreator>, RpcError> {
        if let Some(index) = created_at(block, address) {
            return Ok(creator(block, index, None));
        }
        let mut found = None;
        let all = 0..block.transactions().len();
        self.again(
            block,
            all,
            || Touch::new(address),
            |index, touch, _| {
                // One that was taken back may come before, and none can come after.
                found = touch.creator.map(|by| (index, by)).or(found);
                Ok(())
            },
        )?;
        Ok(found.and_then(|(index, by)| creator(block, index, Some(by))))
    }

    /// The newest of some blocks in which `place` finds something, with what it finds.
    fn newest<T>(
        &self,
        numbers: RangeInclusive<u64>,
        place: impl Fn(&SealedBlock) -> Option<T>,
    ) -> Result<Option<(Arc<SealedBlock>, T)>, RpcError> {
        let mut reading = Reading::new(&self.node, MAX_READ_BYTES);
        for number in numbers.rev() {
            let block = reading.block(number)?.ok_or_else(too_far)?;
            if let Some(found) = place(&block) {
                return Ok(Some((block, found)));
            }
        }
        Ok(None)
    }
}

/// The transaction that is the creation of a contract.
fn created_at(block: &SealedBlock, address: Address) -> Option<usize> {
    (0..block.transactions().len()).find(|index| {
        let status = block.receipts.get(*index).is_some_and(TxReceipt::status);
        status && block.created(*index) == Some(address)
    })
}

/// Made by transaction `index`, or by the contract `by` within it.
fn creator(block: &SealedBlock, index: usize, by: Option<Address>) -> Option<ContractCreator> {
    let transaction = block.transactions().get(index)?;
    let creator = by.unwrap_or_else(|| transaction.signer());
    Some(ContractCreator { hash: *transaction.hash(), creator })
}
