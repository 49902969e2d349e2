//! The registry's events, read in bounded pieces.

use alloy::{
    providers::DynProvider,
    rpc::types::{Filter, Log},
};
use alloy_primitives::{Address, B256};
use alloy_sol_types::SolEventInterface;
use vouch_contracts::{
    BLOCKS_A_QUERY,
    bindings::ConsentRegistry::{self, ConsentRegistryEvents},
};

use super::Grant;
use crate::{Error, Result};

/// Something the registry said, in the chain's order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A dataset, or a new card of one.
    Published {
        /// Its owner.
        owner: Address,
        /// Its id.
        dataset: B256,
        /// Of its documents.
        root: B256,
        /// Hash of its card.
        card: B256,
        /// Its place on the chain: block, then log index.
        at: (u64, u64),
    },
    /// A grant.
    Granted(B256, Grant),
    /// The end of a grant, if it is this owner's.
    Revoked {
        /// The grant.
        id: B256,
        /// Who said so.
        owner: Address,
    },
    /// The end of every grant of a dataset so far.
    RevokedAll(B256),
}

/// The registry's events in blocks `from` to `to`.
///
/// # Errors
/// [`Error::Rpc`] if the chain does not answer.
pub async fn events(
    provider: &DynProvider,
    registry: Address,
    from: u64,
    to: u64,
) -> Result<Vec<Event>> {
    let logs = logs(provider, registry, from, to).await?;
    Ok(logs.iter().filter_map(decode).collect())
}

/// All logs of a contract in blocks `from` to `to`, in the chain's order.
pub(crate) async fn logs(
    provider: &DynProvider,
    contract: Address,
    from: u64,
    to: u64,
) -> Result<Vec<Log>> {
    let filter = Filter::new().address(contract);
    let logs = vouch_contracts::logs(provider, &filter, from..=to, BLOCKS_A_QUERY).await;
    logs.map_err(Error::rpc("for events"))
}

fn decode(log: &Log) -> Option<Event> {
    let event = ConsentRegistryEvents::decode_log(&log.inner).ok()?;
    match event.data {
        ConsentRegistryEvents::Published(ConsentRegistry::Published {
            owner,
            dataset,
            root,
            card,
        }) => {
            let at = (log.block_number?, log.log_index?);
            Some(Event::Published { owner, dataset, root, card, at })
        }
        ConsentRegistryEvents::Granted(granted) => {
            Some(Event::Granted(granted.id, Grant::from(&granted)))
        }
        ConsentRegistryEvents::Revoked(ConsentRegistry::Revoked { id, owner }) => {
            Some(Event::Revoked { id, owner })
        }
        ConsentRegistryEvents::RevokedAll(ConsentRegistry::RevokedAll { dataset, .. }) => {
            Some(Event::RevokedAll(dataset))
        }
        ConsentRegistryEvents::EIP712DomainChanged(_) => None,
    }
}
