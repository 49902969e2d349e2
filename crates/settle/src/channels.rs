//! Channels on the chain: what they hold, deposits in, claims and refunds out.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use alloy::{
    eips::BlockId, providers::Provider, rpc::types::TransactionRequest, sol_types::SolCall,
};
use alloy_primitives::{B256, Bytes, U256};
use tokio::time::Instant;
use vouch_contracts::{
    bindings::BatchSettlement::{
        VoucherClaim, claimCall, depositCall, multicallCall, refundCall, settleCall,
    },
    collector_data, deposit_nonce, voucher_claim,
};
use vouch_core::{
    channel::{ChannelConfig, Mode, OnChain},
    domain::Domain,
    signature::Signature,
};
use vouch_store::{ChannelView, Claim, Observed};

use crate::{Error, Settler, sender::Turn};

/// Rows of one claim: some 19,000 gas each, far below any network's limit.
const CLAIMS_A_TRANSACTION: usize = 50;
/// How long a close waits for calls that are still in flight.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Between looks whether a deposit is final: at first, and at most.
const FINALITY_LOOK: Duration = Duration::from_millis(50);
const LONGEST_FINALITY_LOOK: Duration = Duration::from_secs(2);

/// A payer's ERC-3009 authorization to fund a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deposit {
    /// Atomic units.
    pub amount: u128,
    /// Unix seconds, excluded.
    pub valid_after: U256,
    /// Unix seconds, excluded.
    pub valid_before: U256,
    /// Tells apart deposits into one channel.
    pub salt: U256,
    /// By the payer, over `ReceiveWithAuthorization` in the token's domain.
    pub signature: Signature,
}

impl Settler {
    /// The domain that channels belong to.
    #[must_use]
    pub fn domain(&self) -> Domain {
        Domain { chain: self.deployment.chain_id, settlement: self.deployment.settlement }
    }

    /// What the chain says of a channel, at the depth that counts as final. Deposits count when
    /// final; a withdrawal counts as soon as it is seen.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn observe(&self, channel: B256) -> Result<OnChain, Error> {
        let seen = self.read(channel).await?;
        self.apart().insert(channel, false);
        Ok(seen)
    }

    /// Channels that were read between looks.
    pub(crate) fn apart(&self) -> MutexGuard<'_, BTreeMap<B256, bool>> {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Self::observe`], by a look.
    pub(crate) async fn read(&self, channel: B256) -> Result<OnChain, Error> {
        let (head, newest_final) = self.newest().await?;
        let contract = self.settlement();
        let at = BlockId::number(newest_final);
        let final_state = contract.channels(channel).block(at).call().await;
        let final_state = final_state.map_err(Error::rpc("for a channel"))?;
        let (state, pending) = (contract.channels(channel), contract.pendingWithdrawals(channel));
        let newest = state.call().await.map_err(Error::rpc("for a channel"))?;
        let pending = pending.call().await.map_err(Error::rpc("for a withdrawal"))?;
        let newest = (newest.balance, newest.totalClaimed);
        Ok(OnChain::seen(final_state.balance, newest, pending.amount, head))
    }

    /// Takes a payer's deposit; returns the transaction and the channel with it. The same
    /// authorization again is recognised by its nonce on the chain and not sent twice: the
    /// transaction is then 0. It returns when the deposit is final.
    ///
    /// # Errors
    /// [`Error::Deposit`], [`Error::Refused`] or [`Error::Reverted`] if it was not taken,
    /// [`Error::Unknown`] or [`Error::NotFinal`] if that cannot be known yet, [`Error::Rpc`].
    pub async fn deposit(
        &self,
        config: &ChannelConfig,
        deposit: &Deposit,
    ) -> Result<(B256, OnChain), Error> {
        if config.receiver != self.receiver {
            return Err(Error::Deposit(
                "the channel pays another receiver: use the payTo of the offer",
            ));
        }
        if config.token != self.deployment.token {
            return Err(Error::Deposit(
                "the channel pays in another token: use the asset of the offer",
            ));
        }
        let channel = config.id(&self.domain());
        let nonce = deposit_nonce(channel, deposit.salt);
        let transaction = self.send_deposit(config, deposit, nonce).await?;
        self.wait_until_final(config, nonce).await?;
        // It has settled: that nothing can be read now must not look like a failure.
        let seen = self.observe(channel).await.map_err(|error| {
            tracing::warn!(%channel, %error, "a deposit settled and cannot be read");
            Error::Unknown { what: "the deposit", transaction }
        })?;
        Ok((transaction, seen))
    }

    /// Sends it unless it is on the chain; its transaction, 0 if there was none to send.
    async fn send_deposit(
        &self,
        config: &ChannelConfig,
        deposit: &Deposit,
        nonce: B256,
    ) -> Result<B256, Error> {
        if self.is_used(config, nonce, BlockId::latest()).await? {
            return Ok(B256::ZERO);
        }
        let mut turn = self.sender.turn().await?;
        let call = depositCall {
            config: config.into(),
            amount: deposit.amount,
            collector: self.deployment.collector,
            collectorData: collector_data(
                deposit.valid_after,
                deposit.valid_before,
                deposit.salt,
                &deposit.signature,
            ),
        };
        let refused = match self.transact(&mut turn, "the deposit", &call).await {
            Err(refused @ (Error::Refused { .. } | Error::Reverted { .. })) => refused,
            sent => return sent,
        };
        // Whoever saw the authorization may have sent it first; its money is in the channel then.
        let used = self.is_used(config, nonce, BlockId::latest()).await?;
        if used { Ok(B256::ZERO) } else { Err(refused) }
    }

    /// Waits until the block that a deposit is in counts.
    async fn wait_until_final(&self, config: &ChannelConfig, nonce: B256) -> Result<(), Error> {
        let (start, mut pause) = (Instant::now(), FINALITY_LOOK);
        loop {
            // An answer that does not come is asked for again: the deposit is on its way.
            let used = match self.newest().await {
                Ok((_, newest_final)) => {
                    self.is_used(config, nonce, BlockId::number(newest_final)).await
                }
                Err(error) => Err(error),
            };
            if matches!(used, Ok(true)) {
                return Ok(());
            }
            if start.elapsed() >= self.sender.sending.patience {
                return Err(Error::NotFinal);
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_FINALITY_LOOK);
        }
    }

    async fn is_used(
        &self,
        config: &ChannelConfig,
        nonce: B256,
        at: BlockId,
    ) -> Result<bool, Error> {
        let used = self.token().authorizationState(config.payer, nonce).block(at).call().await;
        used.map_err(Error::rpc("for a deposit's authorization"))
    }

    /// Claims what was charged on channels that `due` picks, and moves it to the receiver.
    /// Returns how much, in atomic units.
    ///
    /// # Errors
    /// As any transaction; what was claimed before the error stays claimed.
    pub async fn claim(&self, due: impl Fn(&ChannelView) -> bool) -> Result<u128, Error> {
        let channels = self.store.channels();
        let due = channels.iter().filter(|view| due(view) && is_due(view)).map(|view| view.id);
        let (mut claimed, mut failed) = (0_u128, None);
        for channels in due.collect::<Vec<_>>().chunks(CLAIMS_A_TRANSACTION) {
            let mut turn = self.sender.turn().await?;
            let rows = self.due_now(&turn, channels).await?;
            match self.claim_rows(&mut turn, &rows).await {
                // The chain refused them together: one bad row must not hold up the others.
                Err(Error::Refused { .. } | Error::Reverted { .. }) if rows.len() > 1 => {
                    for row in rows.chunks(1) {
                        note(self.claim_rows(&mut turn, row).await, &mut claimed, &mut failed)?;
                    }
                }
                together => note(together, &mut claimed, &mut failed)?,
            }
        }
        failed.map_or(Ok(claimed), Err)
    }

    /// What is to be claimed of these channels in this turn: before it another gateway may have
    /// claimed them, or what was under way may have been this very claim.
    async fn due_now(&self, turn: &Turn<'_>, channels: &[B256]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for channel in channels {
            if turn.waited {
                self.observe_in_store(*channel).await?;
            }
            rows.extend(self.store.channel(channel).as_ref().and_then(row));
        }
        if !rows.is_empty() {
            self.store.durable().await?;
        }
        Ok(rows)
    }

    /// Claims these rows in one transaction; gives what they gained.
    async fn claim_rows(&self, turn: &mut Turn<'_>, rows: &[Row]) -> Result<u128, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        for row in rows.iter().filter(|row| row.buys_alone) {
            let amount = row.claim.voucher.maxClaimableAmount;
            self.store.publish(row.channel, amount).await?;
        }
        let claims = rows.iter().map(|row| row.claim.clone()).collect();
        let calls = [claimCall { voucherClaims: claims }.abi_encode(), self.settle_call()];
        let transaction = self.multicall(turn, "the claim", &calls).await?;
        let mut gained: u128 = 0;
        for row in rows {
            gained = gained.saturating_add(row.gain);
            self.after_claim(row, transaction).await?;
        }
        Ok(gained)
    }

    /// Ends a channel in agreement with its payer: claims what was charged and refunds the rest,
    /// in one transaction, whose hash is returned. Repeating it is safe.
    ///
    /// # Errors
    /// [`Error::UnknownChannel`], [`Error::InFlight`] while calls run, and as any transaction.
    pub async fn close(&self, channel: B256) -> Result<B256, Error> {
        self.store.close_channel(channel).await?;
        let view = self.idle(channel).await?;
        self.store.durable().await?;
        let mut turn = self.sender.turn().await?;
        let newest = self.settlement().channels(channel).call().await;
        let newest = newest.map_err(Error::rpc("for a channel"))?;
        let row = row(&view).filter(|_| view.charged > newest.totalClaimed);
        let rest = newest.balance.saturating_sub(view.charged.max(newest.totalClaimed));
        let mut calls = Vec::new();
        if let Some(row) = &row {
            calls.push(claimCall { voucherClaims: vec![row.claim.clone()] }.abi_encode());
            calls.push(self.settle_call());
        }
        if rest > 0 {
            calls.push(refundCall { config: (&view.config).into(), amount: rest }.abi_encode());
        }
        if calls.is_empty() {
            return Ok(view.claim.map_or(B256::ZERO, |claim| claim.transaction));
        }
        let transaction = self.multicall(&mut turn, "the close", &calls).await?;
        if let Some(row) = &row {
            self.after_claim(row, transaction).await?;
        } else {
            self.observe_in_store(channel).await?;
        }
        tracing::info!(%channel, refunded = rest, %transaction, "closed");
        Ok(transaction)
    }

    /// Reads a channel and tells the store.
    pub(crate) async fn observe_in_store(&self, channel: B256) -> Result<Observed, Error> {
        let seen = self.observe(channel).await?;
        Ok(self.store.observe(channel, seen).await?)
    }

    /// Waits until nothing is in flight on a closing channel.
    async fn idle(&self, channel: B256) -> Result<ChannelView, Error> {
        let look = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        loop {
            let view = self.store.channel(&channel).ok_or(Error::UnknownChannel(channel))?;
            if view.reserved == 0 {
                return Ok(view);
            }
            if waited >= CLOSE_PATIENCE {
                return Err(Error::InFlight(view.reserved));
            }
            tokio::time::sleep(look).await;
            waited = waited.saturating_add(look);
        }
    }

    async fn after_claim(&self, row: &Row, transaction: B256) -> Result<(), Error> {
        let claim = Claim { channel: row.channel, total: row.claim.totalClaimed, transaction };
        self.store.record_claim(claim).await?;
        self.observe_in_store(row.channel).await?;
        Ok(())
    }

    fn settle_call(&self) -> Vec<u8> {
        settleCall { receiver: self.receiver, token: self.deployment.token }.abi_encode()
    }

    async fn multicall(
        &self,
        turn: &mut Turn<'_>,
        what: &'static str,
        calls: &[Vec<u8>],
    ) -> Result<B256, Error> {
        let data = calls.iter().map(|call| Bytes::copy_from_slice(call)).collect();
        self.transact(turn, what, &multicallCall { data }).await
    }

    async fn transact(
        &self,
        turn: &mut Turn<'_>,
        what: &'static str,
        call: &impl SolCall,
    ) -> Result<B256, Error> {
        let request = TransactionRequest::default().input(call.abi_encode().into());
        let receipt = turn.send(what, self.deployment.settlement, request).await?;
        Ok(receipt.transaction_hash)
    }

    /// The newest block's number, and that of the newest that counts.
    async fn newest(&self) -> Result<(u64, u64), Error> {
        let head = self.provider.get_block_number().await;
        let head = head.map_err(Error::rpc("for its newest block"))?;
        Ok((head, self.finality.newest(&self.provider, head).await?))
    }
}

/// Counts a claim; one that the chain refused waits until the others were made, any other error
/// ends them.
fn note(
    gained: Result<u128, Error>,
    claimed: &mut u128,
    failed: &mut Option<Error>,
) -> Result<(), Error> {
    match gained {
        Ok(gained) => *claimed = claimed.saturating_add(gained),
        Err(refused @ (Error::Refused { .. } | Error::Reverted { .. })) => *failed = Some(refused),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether there is something to claim.
pub(crate) fn is_due(view: &ChannelView) -> bool {
    row(view).is_some()
}

/// One row of a claim: what a channel's best voucher gives over what was claimed.
#[derive(Debug)]
struct Row {
    channel: B256,
    claim: VoucherClaim,
    gain: u128,
    /// In stock mode a voucher alone buys: whoever sees it in the claim could spend it.
    buys_alone: bool,
}

/// Nothing where nothing new was charged.
fn row(view: &ChannelView) -> Option<Row> {
    let best = view.best.as_ref()?;
    let total = view.on_chain.claimable(view.charged, view.accepted)?;
    let gain = total.saturating_sub(view.on_chain.claimed);
    let buys_alone = view.mode == Mode::Stock;
    let claim = voucher_claim(&view.config, best, total);
    Some(Row { channel: view.id, claim, gain, buys_alone })
}
