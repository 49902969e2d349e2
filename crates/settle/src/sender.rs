//! Sends the provider's transactions, one at a time, and says how each ended.

use std::{path::Path, sync::Arc, time::Duration};

use alloy::{
    eips::Encodable2718,
    network::{Ethereum, EthereumWallet, NetworkWallet, TransactionBuilder},
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
};
use alloy_primitives::{Address, B256, keccak256};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};
use vouch_core::planted::{Bug, planted};
use vouch_store::Store;
use vouch_wallet::Wallet;

use crate::{
    Error,
    fees::{self, Fees},
    outbox::{Outbox, Version},
    refusal::Refusal,
};

/// Headroom over the estimate, in percent: state may change between estimate and block.
const GAS_HEADROOM_PERCENT: u64 = 20;
/// Between looks for a transaction: at first, where a chain answers at once, and at most.
const LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// A nonce that is used counts as another's after this many looks without a receipt of ours: a
/// node may know the one a moment before the other.
const LOOKS_UNSEEN: u32 = 5;
/// How often fees are raised at once for a node that calls them too low.
const RAISES: u32 = 16;

/// How transactions are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// How long a transaction is waited for before its outcome is called unknown.
    pub patience: Duration,
    /// It is sent again with higher fees if it was not mined for this long.
    pub raise_after: Duration,
    /// The most wei that a unit of gas may cost.
    pub max_fee_per_gas: u128,
}

impl Default for Sending {
    /// Two minutes, higher fees after half a minute, at most 500 gwei.
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(120),
            raise_after: Duration::from_secs(30),
            max_fee_per_gas: 500_000_000_000,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Sender {
    provider: DynProvider,
    wallet: EthereumWallet,
    from: Address,
    pub(crate) sending: Sending,
    /// Gives turns among processes.
    store: Arc<dyn Store>,
    outbox: Mutex<Outbox>,
}

/// The turn to send: held from what is read to decide on, over nonce, to outcome, so that nothing is
/// sent twice and nonces have no gaps and no twins.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    sender: &'a Sender,
    outbox: MutexGuard<'a, Outbox>,
    /// Something was under way, here or from another gateway: what was read of the chain before may have changed.
    pub(crate) waited: bool,
    /// Among the processes that share the store.
    _shared: vouch_store::Turn,
}

impl Turn<'_> {
    /// Sends a call and waits until it is mined.
    pub(crate) async fn send(
        &mut self,
        what: &'static str,
        to: Address,
        request: TransactionRequest,
    ) -> Result<TransactionReceipt, Error> {
        self.sender.send(&mut self.outbox, what, to, request).await
    }
}

impl Sender {
    pub(crate) fn new(
        provider: &DynProvider,
        wallet: &Wallet,
        store: Arc<dyn Store>,
    ) -> Result<Self, Error> {
        Ok(Self {
            provider: provider.clone(),
            wallet: EthereumWallet::from(wallet.signer()?),
            from: wallet.address(),
            sending: Sending::default(),
            store,
            outbox: Mutex::default(),
        })
    }

    /// Keeps what is under way in a directory, where a restart finds it.
    pub(crate) fn remember(&mut self, directory: &Path) -> Result<(), Error> {
        *self.outbox.get_mut() = Outbox::open(directory)?;
        Ok(())
    }

    /// Takes the turn, and waits for what is under way.
    ///
    /// # Errors
    /// [`Error::Behind`] if that is still not mined, [`Error::Outbox`], [`Error::Store`].
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Error> {
        let mut outbox = self.outbox.lock().await;
        let shared = self.store.turn().await?;
        let mut waited = self.clear(&mut outbox).await?;
        if shared.is_shared() {
            waited |= self.wait_for_others().await?;
        }
        Ok(Turn { sender: self, outbox, waited, _shared: shared })
    }

    /// Waits for what another gateway has sent and did not see through: it may be the very thing that
    /// this one is about to send. True if there was anything. One that is stuck is waited for no
    /// longer than one's own.
    async fn wait_for_others(&self) -> Result<bool, Error> {
        let (start, mut pause, mut waited) = (Instant::now(), LOOK, false);
        while self.count(true).await? > self.count(false).await? {
            waited = true;
            if start.elapsed() >= self.sending.patience {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_LOOK);
        }
        Ok(waited)
    }

    async fn send(
        &self,
        outbox: &mut Outbox,
        what: &'static str,
        to: Address,
        request: TransactionRequest,
    ) -> Result<TransactionReceipt, Error> {
        let nonce = self.free_nonce(outbox).await?;
        let request = self.prepare(what, to, request).await?.with_nonce(nonce);
        let version = self.sign(what, request).await?;
        let transaction = version.hash;
        outbox.sending(nonce, what, version)?;
        if let Err(refusal) = self.publish(outbox, nonce).await {
            self.refused(outbox, nonce, refusal).await?;
        }
        let receipt = self.wait(outbox, nonce).await?;
        if receipt.status() {
            return Ok(receipt);
        }
        tracing::debug!(what, %transaction, "failed on the chain");
        Err(Error::Reverted { what, transaction: receipt.transaction_hash })
    }

    /// One pass over what is not final: what a reorganisation took out of its block is sent again as
    /// it is, which cannot do it twice; what is stuck gets higher fees; what is final is forgotten.
    ///
    /// # Errors
    /// [`Error::Outbox`].
    pub(crate) async fn tend(&self, newest_final: u64) -> Result<(), Error> {
        // Whoever sends now looks after it.
        let Ok(mut outbox) = self.outbox.try_lock() else { return Ok(()) };
        for nonce in outbox.nonces() {
            let Some(sent) = outbox.get(nonce) else { continue };
            let (what, before) = (sent.what, sent.mined);
            match self.receipt(&sent.versions).await {
                Err(error) => tracing::debug!(what, %error, "cannot be looked for"),
                Ok(Some(receipt)) => {
                    let block = receipt.block_number.unwrap_or(u64::MAX);
                    if block <= newest_final {
                        outbox.forget(nonce)?;
                    } else if let Some(sent) = outbox.get_mut(nonce) {
                        sent.mined = Some(block);
                    }
                }
                Ok(None) => {
                    if let Some(sent) = outbox.get_mut(nonce) {
                        sent.mined = None;
                    }
                    if before.is_some() {
                        tracing::warn!(what, nonce, "its block is gone: it is sent again");
                        self.again(&mut outbox, nonce, false).await?;
                    }
                }
            }
        }
        if let Some(nonce) = outbox.under_way()
            && outbox
                .get(nonce)
                .is_some_and(|sent| sent.tried.elapsed() >= self.sending.raise_after)
        {
            self.again(&mut outbox, nonce, true).await?;
        }
        Ok(())
    }

    /// The nonce of the next transaction. Whatever is under way comes first: a second transaction
    /// with its nonce would take its place.
    async fn free_nonce(&self, outbox: &mut Outbox) -> Result<u64, Error> {
        self.clear(outbox).await?;
        if planted(Bug::NonceReused) {
            return self.count(false).await;
        }
        let next = outbox.nonces().last().map_or(0, |last| last.saturating_add(1));
        // A node that lags does not know yet what was mined; another program may use this key, too.
        Ok(self.count(true).await?.max(next))
    }

    /// Waits for all that is under way, in its order; true if there was anything.
    async fn clear(&self, outbox: &mut Outbox) -> Result<bool, Error> {
        let mut waited = false;
        while let Some(nonce) = outbox.under_way().filter(|_| !planted(Bug::NonceReused)) {
            waited = true;
            match self.wait(outbox, nonce).await {
                Ok(_) | Err(Error::Replaced { .. }) => {}
                Err(Error::Unknown { what, transaction }) => {
                    return Err(Error::Behind { what, transaction });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(waited)
    }

    /// Waits until a nonce's transaction is mined, raising its fees where that takes long.
    async fn wait(&self, outbox: &mut Outbox, nonce: u64) -> Result<TransactionReceipt, Error> {
        let (start, mut pause, mut unseen) = (Instant::now(), LOOK, 0_u32);
        loop {
            // First the count: what it shows as used must have a receipt by then, if it is ours.
            let used = self.count(false).await.is_ok_and(|count| count > nonce);
            let Some(sent) = outbox.get(nonce) else { return Err(Error::OutboxFormat) };
            let (what, raise) = (sent.what, sent.tried.elapsed() >= self.sending.raise_after);
            let lost = sent.newest.is_none();
            let transaction = sent.versions.last().copied().unwrap_or_default();
            if let Ok(found) = self.receipt(&sent.versions).await {
                if let Some(receipt) = found {
                    if let Some(sent) = outbox.get_mut(nonce) {
                        sent.mined = receipt.block_number;
                    }
                    return Ok(receipt);
                }
                unseen = if used { unseen.saturating_add(1) } else { 0 };
            }
            if unseen >= LOOKS_UNSEEN {
                outbox.forget(nonce)?;
                tracing::warn!(what, nonce, "another transaction has taken its nonce");
                return Err(Error::Replaced { what, transaction });
            }
            if start.elapsed() >= self.sending.patience {
                return Err(Error::Unknown { what, transaction });
            }
            if (raise || lost) && unseen == 0 {
                self.again(outbox, nonce, raise).await?;
                if outbox.get(nonce).is_none() {
                    return Err(Error::Replaced { what, transaction });
                }
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_LOOK);
        }
    }

    /// Sends once more what has a nonce, with higher fees if `raise` says so and the ceiling allows.
    async fn again(&self, outbox: &mut Outbox, nonce: u64, raise: bool) -> Result<(), Error> {
        let Some(sent) = outbox.get_mut(nonce) else { return Ok(()) };
        sent.tried = Instant::now();
        if sent.newest.is_none() {
            let versions = sent.versions.clone();
            match self.known_to_the_node(&versions).await {
                Ok(Some(version)) => sent.newest = Some(version),
                // Only the hash survived the restart, and nobody has the rest: it will not be mined.
                Ok(None) => return outbox.forget(nonce),
                Err(_) => return Ok(()),
            }
        }
        if raise && let Err(error) = self.raise(outbox, nonce).await {
            tracing::warn!(nonce, %error, "its fees are not raised");
        }
        if let Err(refusal) = self.publish(outbox, nonce).await {
            tracing::debug!(nonce, %refusal, "sent again");
        }
        Ok(())
    }

    /// Signs what has a nonce with higher fees, and notes it.
    async fn raise(&self, outbox: &mut Outbox, nonce: u64) -> Result<(), Error> {
        let Some((what, newest)) =
            outbox.get(nonce).and_then(|sent| Some((sent.what, sent.newest.clone()?)))
        else {
            return Ok(());
        };
        let now = fees::estimate(&self.provider).await?;
        let fees = Fees::of(&newest.request).raised(now, self.sending.max_fee_per_gas)?;
        let version = self.sign(what, fees.on(newest.request)).await?;
        tracing::info!(what, nonce, wei = fees.max, "not mined: sends it with higher fees");
        outbox.sending(nonce, what, version)
    }

    /// What became of a first version that nobody took: refused for good, or taken with higher fees.
    async fn refused(
        &self,
        outbox: &mut Outbox,
        nonce: u64,
        mut refusal: Refusal,
    ) -> Result<(), Error> {
        for _ in 0..RAISES {
            if !matches!(refusal, Refusal::Underpriced(_))
                || self.raise(outbox, nonce).await.is_err()
            {
                break;
            }
            match self.publish(outbox, nonce).await {
                Ok(()) => return Ok(()),
                Err(again) => refusal = again,
            }
        }
        let what = outbox.get(nonce).map_or("a transaction", |sent| sent.what);
        outbox.forget(nonce)?;
        Err(Error::Refused { what, why: refusal.to_string() })
    }

    /// Sends the newest version; only a node that answers has refused.
    async fn publish(&self, outbox: &Outbox, nonce: u64) -> Result<(), Refusal> {
        let newest = outbox.get(nonce).and_then(|sent| sent.newest.as_ref());
        let Some(newest) = newest else { return Ok(()) };
        match self.provider.send_raw_transaction(&newest.raw).await {
            Ok(_) => Ok(()),
            Err(error) => error.as_error_resp().and_then(Refusal::read).map_or(Ok(()), Err),
        }
    }

    /// Simulates and fills; nothing has left before this returns.
    async fn prepare(
        &self,
        what: &'static str,
        to: Address,
        request: TransactionRequest,
    ) -> Result<TransactionRequest, Error> {
        let request = request.with_from(self.from).with_to(to);
        let estimate = self.provider.estimate_gas(request.clone()).await;
        let gas = estimate.map_err(|error| match error.as_error_resp() {
            Some(response) => Error::Refused { what, why: response.to_string() },
            None => Error::Rpc { what: "for an estimate of gas", source: Box::new(error) },
        })?;
        let fees = fees::estimate(&self.provider).await?.below(self.sending.max_fee_per_gas)?;
        let chain = self.provider.get_chain_id().await.map_err(Error::rpc("for its id"))?;
        let gas = gas.saturating_add(gas.saturating_mul(GAS_HEADROOM_PERCENT) / 100);
        Ok(fees.on(request.with_chain_id(chain).with_gas_limit(gas)))
    }

    async fn sign(
        &self,
        what: &'static str,
        request: TransactionRequest,
    ) -> Result<Version, Error> {
        let signed = NetworkWallet::<Ethereum>::sign_request(&self.wallet, request.clone()).await;
        let signed = signed.map_err(|error| Error::Refused { what, why: error.to_string() })?;
        let raw = signed.encoded_2718();
        Ok(Version { request, hash: keccak256(&raw), raw: raw.into() })
    }

    /// How many nonces are used, in blocks or with what waits for one.
    async fn count(&self, waiting: bool) -> Result<u64, Error> {
        let count = self.provider.get_transaction_count(self.from);
        let count = if waiting { count.pending().await } else { count.await };
        count.map_err(Error::rpc("for the nonce"))
    }

    /// The receipt of whichever version was mined.
    async fn receipt(&self, versions: &[B256]) -> Result<Option<TransactionReceipt>, Error> {
        for hash in versions.iter().rev() {
            let receipt = self.provider.get_transaction_receipt(*hash).await;
            if let Some(receipt) = receipt.map_err(Error::rpc("for a receipt"))? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// A transaction that the node still has, as it was sent.
    async fn known_to_the_node(&self, versions: &[B256]) -> Result<Option<Version>, Error> {
        for hash in versions.iter().rev() {
            let known = self.provider.get_transaction_by_hash(*hash).await;
            if let Some(known) = known.map_err(Error::rpc("for a transaction"))? {
                let raw = known.inner.encoded_2718().into();
                return Ok(Some(Version { request: known.into(), raw, hash: *hash }));
            }
        }
        Ok(None)
    }
}
