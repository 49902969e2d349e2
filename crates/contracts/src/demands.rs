//! Demands for the receipts behind a provider's claims.

use std::collections::BTreeSet;

use alloy::{
    eips::BlockId,
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::Filter,
    sol_types::SolEvent,
};

use crate::{
    Error,
    bindings::Faults::{Demanded, FaultsInstance},
    events::{BLOCKS_A_QUERY, first_block_since, logs},
};

/// A demand that nobody has answered: until `deadline` a receipt of the channel whose `cumulative`
/// is at least `claimed` answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The channel that was claimed from.
    pub channel: B256,
    /// Atomic units.
    pub claimed: u128,
    /// Unix seconds.
    pub deadline: u64,
}

/// The demands of `provider` that are open at the contract `faults`, the oldest first.
///
/// # Errors
/// [`Error::Rpc`].
pub async fn open_demands(
    chain: &impl Provider,
    faults: Address,
    provider: Address,
) -> Result<Vec<Demand>, Error> {
    let unanswered = || Error::rpc("a question for demands");
    let contract = FaultsInstance::new(faults, chain);
    let window =
        contract.ANSWER_WINDOW().call().await.map_err(Error::rpc("a question for a window"))?;
    let head = chain.get_block(BlockId::latest()).await.map_err(unanswered())?;
    let Some(head) = head else { return Ok(Vec::new()) };
    // What was demanded earlier can be answered no more.
    let since = head.header.timestamp.saturating_sub(window);
    let first = first_block_since(chain, since).await.map_err(unanswered())?;
    let filter = Filter::new()
        .address(faults)
        .event_signature(Demanded::SIGNATURE_HASH)
        .topic2(provider.into_word());
    let said = logs(chain, &filter, first..=head.header.number, BLOCKS_A_QUERY).await;
    let said = said.map_err(unanswered())?;
    let (mut seen, mut open) = (BTreeSet::new(), Vec::new());
    for channel in said.iter().filter_map(|log| log.topics().get(1).copied()) {
        if !seen.insert(channel) {
            continue;
        }
        let demand = contract.demands(channel).call().await;
        let demand = demand.map_err(Error::rpc("a question for a demand"))?;
        // One that was answered is gone, and may have been made again.
        if demand.deadline != 0 {
            open.push(Demand { channel, claimed: demand.claimed, deadline: demand.deadline });
        }
    }
    Ok(open)
}
