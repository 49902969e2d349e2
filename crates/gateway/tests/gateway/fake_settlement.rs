//! A fake of the chain: balances in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use alloy_primitives::{Address, B256};
use futures_util::future::{BoxFuture, ready};
use tokio::sync::Semaphore;
use vouch_core::{
    channel::{ChannelConfig, OnChain},
    domain::Domain,
};
use vouch_gateway::{Deposited, Settlement, SettlementError};
use vouch_store::Store;
use vouch_wire::x402::Deposit;

#[derive(Debug)]
pub struct FakeSettlement {
    domain: Domain,
    pub channels: Mutex<BTreeMap<B256, OnChain>>,
    /// What the next deposit meets instead of success.
    pub deposit_meets: Mutex<Option<SettlementError>>,
    pub closed: Mutex<Vec<B256>>,
    pub stale: AtomicBool,
    /// Where set, a deposit takes a permit: the test decides when it settles.
    pub deposit_gate: OnceLock<Arc<Semaphore>>,
    /// How many deposits were sent.
    pub deposits: AtomicU32,
    /// What was charged is what a close claims.
    pub store: OnceLock<Arc<dyn Store>>,
}

impl FakeSettlement {
    pub fn new(domain: Domain) -> Self {
        Self {
            domain,
            channels: Mutex::default(),
            deposit_meets: Mutex::default(),
            closed: Mutex::default(),
            stale: AtomicBool::new(false),
            deposit_gate: OnceLock::new(),
            deposits: AtomicU32::new(0),
            store: OnceLock::new(),
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
        self.deposits.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.deposit_meets.lock().unwrap().take() {
            return Box::pin(ready(Err(error)));
        }
        Box::pin(async move {
            if let Some(gate) = self.deposit_gate.get() {
                gate.acquire().await.unwrap().forget();
            }
            let on_chain = self.add(channel.id(&self.domain), deposit.amount);
            Ok(Deposited { transaction: B256::repeat_byte(0xde), on_chain })
        })
    }

    fn close(&self, channel: B256) -> BoxFuture<'_, Result<B256, SettlementError>> {
        self.closed.lock().unwrap().push(channel);
        let charged = self.store.get().unwrap().channel(&channel).unwrap().charged;
        let mut channels = self.channels.lock().unwrap();
        let on_chain = channels.get_mut(&channel).unwrap();
        (on_chain.balance, on_chain.claimed) = (charged, charged);
        on_chain.block += 1;
        Box::pin(ready(Ok(B256::repeat_byte(0xc1))))
    }

    fn faucet(&self, _: Address) -> BoxFuture<'_, Result<B256, SettlementError>> {
        Box::pin(ready(Ok(B256::repeat_byte(0xfa))))
    }

    fn health(&self) -> Result<(), String> {
        if self.stale.load(Ordering::SeqCst) { Err("a test".into()) } else { Ok(()) }
    }
}
