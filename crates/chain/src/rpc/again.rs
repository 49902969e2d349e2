//! A block's transactions executed again, one after the other. Only as far back as old state is
//! kept.

use std::sync::Arc;

use revm::context::result::ResultAndState;
use revm::context::{BlockEnv, TxEnv};
use revm::handler::MainnetContext;
use revm::{DatabaseCommit, ExecuteEvm, InspectEvm, Inspector};

use super::RpcError;
use crate::block::SealedBlock;
use crate::execute::{
    Execution, SignedTransaction, block_env, config_for, evm, inspecting, tx_env,
};
use crate::node::{Node, StateAt};
use crate::rules::Rules;
use crate::state::Overlay;

/// The block so far; see the module.
#[derive(Debug)]
pub(super) struct Again {
    rules: Rules,
    pub(super) block: BlockEnv,
    /// The state before the next transaction.
    pub(super) overlay: Overlay<StateAt>,
}

impl Again {
    /// Before the first transaction: with what the block itself does before.
    ///
    /// # Errors
    /// If the state before the block is not kept, or it is the first.
    pub(super) fn begin(node: &Arc<Node>, block: &SealedBlock) -> Result<Self, RpcError> {
        let header = &block.header;
        let Some(parent) = header.number.checked_sub(1) else {
            return Err(RpcError::server("genesis is not traceable"));
        };
        let rules = Rules::of_header(node.genesis.config(), header);
        let mut overlay = Overlay::new(node.state_at(parent)?);
        drop(Execution::begin(&mut overlay, header.clone(), rules)?);
        Ok(Self { rules, block: block_env(header, &rules), overlay })
    }

    /// Executes the next transaction under an inspector; what it changes is not there until it is
    /// [committed](Self::commit).
    pub(super) fn watch<I: Watcher>(
        &mut self,
        transaction: &SignedTransaction,
        inspector: I,
    ) -> Result<(TxEnv, ResultAndState), RpcError> {
        let tx = tx_env(transaction, transaction.signer());
        let (config, block) = (config_for(&self.rules, transaction), self.block.clone());
        let ran = inspecting(&mut self.overlay, config, block, inspector).inspect_tx(tx.clone());
        Ok((tx, ran.map_err(|error| RpcError::internal(error.to_string()))?))
    }

    /// Goes past the next transaction.
    pub(super) fn pass(&mut self, transaction: &SignedTransaction) -> Result<(), RpcError> {
        let tx = tx_env(transaction, transaction.signer());
        let (config, block) = (config_for(&self.rules, transaction), self.block.clone());
        let ran = evm(&mut self.overlay, config, block).transact(tx);
        self.commit(ran.map_err(|error| RpcError::internal(error.to_string()))?);
        Ok(())
    }

    pub(super) fn commit(&mut self, result: ResultAndState) {
        self.overlay.commit(result.state);
    }
}

/// What may watch a transaction that is executed again.
pub(super) trait Watcher:
    for<'a> Inspector<MainnetContext<&'a mut Overlay<StateAt>>>
{
}

impl<I: for<'a> Inspector<MainnetContext<&'a mut Overlay<StateAt>>>> Watcher for I {}
