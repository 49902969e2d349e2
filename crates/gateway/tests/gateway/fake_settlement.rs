//! A fake of the chain: balances in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy_primitives::{Address, B256};
use futures_util::future::{BoxFuture, ready};
use vouch_core::{
    channel::{ChannelConfig, OnChain},
    domain::Domain,
};
use vouch_gateway::{Deposited, Settlement, SettlementError};
use vouch_wire::x402::Deposit;

#[derive(Debug)]
pub struct FakeSettlement {
    domain: Domain,
    pub channels: Mutex<BTreeMap<B256, OnChain>>,
    /// What the next deposit meets instead of success.
    pub deposit_meets: Mutex<Option<SettlementError>>,
    pub closed: Mutex<Vec<B256>>,
    pub stale: AtomicBool,
}

impl FakeSettlement {
    pub fn new(domain: Domain) -> Self {
        Self {
            domain,
            channels: Mutex::default(),
            deposit_meets: Mutex::default(),
            closed: Mutex::default(),
            stale: AtomicBool::new(false),
        }
    }

    /// Puts money into a channel.
    pub fn add(&self, channel: B256, amount: u128) -> OnChain {
        let mut channels = self.channels.lock().unwrap();
        let on_chain = channels.entry(channel).or_default();
        on_chain.balance += amount;
        on_chain.block += 1;
        *on_chain
    }
}

impl Settlement for FakeSettlement {
    fn observe<'a>(
        &'a self,
        channel: &'a ChannelConfig,
    ) -> BoxFuture<'a, Result<OnChain, SettlementError>> {
        let id = channel.id(&self.domain);
        let on_chain = self.channels.lock().unwrap().get(&id).copied().unwrap_or_default();
        Box::pin(ready(Ok(on_chain)))
    }

    fn deposit<'a>(
        &'a self,
        channel: &'a ChannelConfig,
        deposit: &'a Deposit,
    ) -> BoxFuture<'a, Result<Deposited, SettlementError>> {
        if let Some(error) = self.deposit_meets.lock().unwrap().take() {
            return Box::pin(ready(Err(error)));
        }
        let on_chain = self.add(channel.id(&self.domain), deposit.amount);
        let transaction = B256::repeat_byte(0xde);
        Box::pin(ready(Ok(Deposited { transaction, on_chain })))
    }

    fn close(&self, channel: B256) -> BoxFuture<'_, Result<B256, SettlementError>> {
        self.closed.lock().unwrap().push(channel);
        Box::pin(ready(Ok(B256::repeat_byte(0xc1))))
    }

    fn faucet(&self, _: Address) -> BoxFuture<'_, Result<B256, SettlementError>> {
        Box::pin(ready(Ok(B256::repeat_byte(0xfa))))
    }

    fn health(&self) -> Result<(), String> {
        if self.stale.load(Ordering::SeqCst) { Err("a test".into()) } else { Ok(()) }
    }
}
