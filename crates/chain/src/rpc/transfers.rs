//! Logs as they are written, and transfers of ether among them as if they were a token's.

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, address, b256};
use revm::Inspector;
use revm::context_interface::{ContextTr, JournalTr};
use revm::inspector::JournalExt;
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome};

/// Whose logs transfers of ether are told as (EIP-7528).
const ETHER: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// `Transfer(address,address,uint256)`
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Watches one transaction after the other.
#[derive(Debug)]
pub(super) struct Transfers {
    /// Whether transfers are told.
    told: bool,
    /// Logs of the calls that run, innermost last, with their number in the block.
    frames: Vec<Vec<(u64, Log)>>,
    /// Those of a transaction that has ended.
    ended: Vec<(u64, Log)>,
    /// How many were written in the block, also by calls that were reverted.
    count: u64,
}

impl Transfers {
    pub(super) fn new(told: bool) -> Self {
        Self { told, frames: Vec::new(), ended: Vec::new(), count: 0 }
    }

    /// What the transaction has written that has just ended.
    pub(super) fn take(&mut self) -> Vec<(u64, Log)> {
        self.frames.clear();
        std::mem::take(&mut self.ended)
    }

    fn begin(&mut self, from: Address, to: Address, value: Option<U256>) {
        self.frames.push(Vec::new());
        self.transfer(from, to, value.unwrap_or_default());
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if self.told && !value.is_zero() {
            let topics = vec![TRANSFER, from.into_word(), to.into_word()];
            let data = Bytes::from(value.to_be_bytes::<32>());
            self.write(Log { address: ETHER, data: LogData::new_unchecked(topics, data) });
        }
    }

    fn write(&mut self, log: Log) {
        if let Some(frame) = self.frames.last_mut() {
            frame.push((self.count, log));
            self.count += 1;
        }
    }

    fn end(&mut self, kept: bool) {
        let Some(frame) = self.frames.pop().filter(|_| kept) else { return };
        self.frames.last_mut().unwrap_or(&mut self.ended).extend(frame);
    }
}

impl<C: ContextTr<Journal: JournalExt>> Inspector<C> for Transfers {
    fn log(&mut self, _: &mut C, log: Log) {
        self.write(log);
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.begin(inputs.transfer_from(), inputs.transfer_to(), inputs.transfer_value());
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end(outcome.result.is_ok());
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let creator = context.journal_ref().evm_state().get(&inputs.caller());
        let nonce = creator.map_or(0, |creator| creator.info.nonce);
        self.begin(inputs.caller(), inputs.created_address(nonce), Some(inputs.value()));
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end(outcome.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}
