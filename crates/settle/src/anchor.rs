//! Checkpoints on the chain.

use alloy::{rpc::types::TransactionRequest, sol_types::SolCall};
use alloy_primitives::{B256, Bytes};
use vouch_contracts::bindings::CheckpointAnchor::anchorCall;
use vouch_core::log::{
    Checkpoint,
    note::{Note, eip712_key_id},
};
use vouch_store::Published;

use crate::{Error, Settler};

impl Settler {
    /// The newest anchored size and root of this provider's log of that origin; `None` before
    /// the first.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn anchored(&self, origin: &str) -> Result<Option<(u64, B256)>, Error> {
        let contract = self.anchors();
        let key = contract.logKey(origin.to_owned(), self.operator).call().await;
        let key = key.map_err(Error::rpc("for a log's key"))?;
        let anchor = contract.anchors(key).call().await.map_err(Error::rpc("for an anchor"))?;
        Ok((anchor.size > 0).then_some((anchor.size, anchor.root)))
    }

    /// Anchors a checkpoint, unless it or a newer one is anchored; true if a transaction was sent.
    ///
    /// # Errors
    /// [`Error::Forked`] if another root is anchored at its size, [`Error::Unsigned`], and as any
    /// transaction.
    pub async fn anchor(&self, published: &Published) -> Result<bool, Error> {
        let checkpoint = &published.checkpoint;
        if checkpoint.size == 0 {
            return Ok(false);
        }
        if self.is_anchored(checkpoint).await? {
            return Ok(false);
        }
        let mut turn = self.sender.turn().await?;
        // Another gateway may have anchored it in the meantime.
        if self.is_anchored(checkpoint).await? {
            return Ok(false);
        }
        let call = anchorCall {
            origin: checkpoint.origin.clone(),
            size: checkpoint.size,
            root: checkpoint.root,
            signature: self.signature(checkpoint, &published.note)?,
        };
        let request = TransactionRequest::default().input(call.abi_encode().into());
        turn.send("the anchor", self.deployment.anchor, request).await?;
        tracing::debug!(size = checkpoint.size, "anchored");
        Ok(true)
    }

    async fn is_anchored(&self, checkpoint: &Checkpoint) -> Result<bool, Error> {
        let Some((size, root)) = self.anchored(&checkpoint.origin).await? else { return Ok(false) };
        if size == checkpoint.size && root != checkpoint.root {
            return Err(Error::Forked { size });
        }
        Ok(size >= checkpoint.size)
    }

    /// The secp256k1 line of the checkpoint's note: what the contract checks.
    fn signature(&self, checkpoint: &Checkpoint, note: &str) -> Result<Bytes, Error> {
        let unsigned = || Error::Unsigned(self.operator);
        let note = Note::parse(note).map_err(|_| unsigned())?;
        let id = eip712_key_id(&checkpoint.origin, self.operator);
        let line = note.by(&checkpoint.origin, id).next().ok_or_else(unsigned)?;
        Ok(Bytes::copy_from_slice(line))
    }
}
