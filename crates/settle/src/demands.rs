//! Demands for the receipts behind this provider's claims: answered by the channel's last receipt.
//!
//! A demand without an answer is a fault after three days, and whoever makes one need not tell the
//! provider.

use alloy::{rpc::types::TransactionRequest, sol_types::SolCall};
use alloy_primitives::Address;
use vouch_contracts::{Demand, bindings::Faults::answerCall, fault_evidence, open_demands};

use crate::{Error, Settler, sender::Turn};

impl Settler {
    /// Answers what is demanded of this provider at the contract `faults`, while it follows the
    /// chain.
    #[must_use]
    pub fn answering(self, faults: Address) -> Self {
        Self { faults: Some(faults), ..self }
    }

    /// Answers the demands that are open; returns how many it answered.
    ///
    /// # Errors
    /// [`Error::NoReceipt`] if a claim has no receipt here, and as any transaction; the others are
    /// answered first.
    pub async fn answer_demands(&self) -> Result<usize, Error> {
        let Some(faults) = self.faults else { return Ok(0) };
        if self.open_demands(faults).await?.is_empty() {
            return Ok(0);
        }
        let mut turn = self.sender.turn().await?;
        let (mut answered, mut failed) = (0_usize, None);
        // Those that no other gateway has answered in the meantime.
        for demand in self.open_demands(faults).await? {
            match self.answer(&mut turn, faults, demand).await {
                Ok(()) => answered = answered.saturating_add(1),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(answered), Err)
    }

    async fn open_demands(&self, faults: Address) -> Result<Vec<Demand>, Error> {
        let open = open_demands(&self.provider, faults, self.operator).await;
        open.map_err(Error::rpc("for demands"))
    }

    async fn answer(
        &self,
        turn: &mut Turn<'_>,
        faults: Address,
        demand: Demand,
    ) -> Result<(), Error> {
        let Demand { channel, claimed, .. } = demand;
        let view = self.store.channel(&channel).ok_or(Error::UnknownChannel(channel))?;
        self.store.durable().await?;
        let last = self.store.receipt_by_sequence(&channel, view.sequence)?;
        let covering = last.filter(|last| last.receipt.cumulative >= claimed);
        let shown = covering.ok_or(Error::NoReceipt { channel, claimed })?;
        let call = answerCall { evidence: fault_evidence(&shown.receipt, &shown.promise) };
        let request = TransactionRequest::default().input(call.abi_encode().into());
        let mined = turn.send("the answer to a demand", faults, request).await?;
        let transaction = mined.transaction_hash;
        tracing::info!(%channel, claimed, %transaction, "answered a demand for a receipt");
        Ok(())
    }
}
