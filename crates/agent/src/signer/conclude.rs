//! What became of a transaction: found again, read by its logs, counted.

use alloy::rpc::types::TransactionReceipt;
use alloy_primitives::Address;

use super::{
    Amount, Change, Mined, Moved, Outcome, Refusal, Signer, SignerError, Spend, State, Taken,
    record::Sent, send,
};

impl Signer {
    /// Finds out what became of a transaction that was sent and not seen again. The very same bytes
    /// are sent once more: they can be mined once.
    pub(super) async fn settle_open(&self, state: &mut State) -> Result<(), Refusal> {
        let Some((act, sent)) = state.book.open.clone() else { return Ok(()) };
        let (outcome, charge) = match send::find(self.provider(), &self.key, &sent).await {
            send::Found::Mined(receipt) => {
                self.conclude(state, act, &sent, &receipt, Vec::new())?
            }
            send::Found::Never => {
                let ended = state.book.end(act, sent.taken.clone());
                ended.map_err(|error| Refusal::Journal(error.to_string()))?;
                (Refusal::Replaced(sent.transaction).into(), (0, Address::ZERO))
            }
            send::Found::Open => return Err(Refusal::Pending(sent.transaction)),
        };
        if self.log(&sent.request, &outcome, charge).await.is_none() {
            state.unlogged = true;
            return Err(Refusal::Unlogged);
        }
        Ok(())
    }

    /// What a mined transaction did, and what it spent of which token.
    pub(super) fn conclude(
        &self,
        state: &mut State,
        act: u64,
        sent: &Sent,
        receipt: &TransactionReceipt,
        simulated: Vec<Change>,
    ) -> Result<(Outcome, (u128, Address)), Refusal> {
        let mined = Mined::from(receipt);
        let failed = |error: SignerError| Refusal::Journal(error.to_string());
        if !receipt.status() {
            state.book.end(act, sent.taken.clone()).map_err(failed)?;
            let reason = "it was mined and reverted: the chain had moved on since the simulation";
            return Ok((Outcome::Failed { mined, reason: reason.to_owned() }, (0, Address::ZERO)));
        }
        let owner = self.grant.mandate.owner;
        let moved = send::moved(receipt, owner);
        let (unused, charge) = self.used(&sent.taken, &moved);
        state.book.end(act, unused).map_err(failed)?;
        Ok((Outcome::Settled { mined: Some(mined), simulated, moved, grant: None }, charge))
    }

    /// Of what was taken: what the logs show as not used, and what the act spent (of its first
    /// token, which is what a receipt has room for).
    fn used(&self, taken: &Taken, moved: &[Moved]) -> (Taken, (u128, Address)) {
        let owner = self.grant.mandate.owner;
        let mut unused = Taken::default();
        let mut charge = (0, Address::ZERO);
        for spend in &taken.spends {
            let Some(cap) = self.grant.mandate.caps.get(spend.cap) else { continue };
            let of_token = moved.iter().filter(|moved| moved.token == cap.token);
            let (mut left, mut came) = (0_u128, 0_u128);
            for transfer in of_token {
                let sum = if transfer.from == owner { &mut left } else { &mut came };
                *sum = sum.saturating_add(transfer.amount);
            }
            let spent = left.saturating_sub(came).min(spend.amount.0);
            let rest = Amount(spend.amount.0.saturating_sub(spent));
            unused.spends.push(Spend { amount: rest, ..*spend });
            if charge.0 == 0 {
                charge = (spent, cap.token);
            }
        }
        (unused, charge)
    }
}
