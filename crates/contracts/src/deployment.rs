//! The contracts on a network: placed in a genesis, or deployed by transactions.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    sol_types::SolValue,
};
use serde::{Deserialize, Serialize};

use crate::{Code, Error, addresses, artefacts, bindings::ERC3009DepositCollector, receipt};

/// Which contracts serve a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// EIP-155 id of the network.
    pub chain_id: u64,
    /// The dollar that channels are paid in.
    pub token: Address,
    /// x402's settlement contract.
    pub settlement: Address,
    /// Its collector for ERC-3009 deposits.
    pub collector: Address,
    /// The anchor of log checkpoints.
    pub anchor: Address,
}

impl Deployment {
    /// The deployment of a chain whose genesis holds [`genesis_code`].
    #[must_use]
    pub fn genesis(chain_id: u64) -> Self {
        Self {
            chain_id,
            token: addresses::TOKEN,
            settlement: addresses::SETTLEMENT,
            collector: addresses::COLLECTOR,
            anchor: addresses::ANCHOR,
        }
    }
}

/// One contract of a genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisContract {
    /// Where it stands.
    pub address: Address,
    /// Runtime code.
    pub code: Bytes,
    /// Storage, slot and value: what a constructor would have set.
    pub storage: Vec<(U256, U256)>,
}

/// Every contract of an embedded chain, at the addresses of [`Deployment::genesis`].
///
/// `minter` may mint the test dollar: the faucet.
///
/// # Errors
/// [`Error::NotBuilt`] if the contracts are not compiled.
pub fn genesis_code(minter: Address) -> Result<Vec<GenesisContract>, Error> {
    let code = artefacts()?;
    let place = |address, code: Code, storage: &[(U256, Address)]| GenesisContract {
        address,
        code: Bytes::from_static(code.runtime),
        storage: storage.iter().map(|(slot, value)| (*slot, value.into_word().into())).collect(),
    };
    Ok(vec![
        place(addresses::TOKEN, code.token, &[(addresses::TOKEN_MINTER_SLOT, minter)]),
        place(addresses::SETTLEMENT, code.settlement, &[]),
        place(
            addresses::COLLECTOR,
            code.collector,
            &[(addresses::COLLECTOR_SETTLEMENT_SLOT, addresses::SETTLEMENT)],
        ),
        place(addresses::ANCHOR, code.anchor, &[]),
        place(addresses::MULTICALL3, code.multicall, &[]),
        GenesisContract {
            address: addresses::CREATE2_PROXY,
            code: Bytes::from_static(&addresses::CREATE2_PROXY_CODE),
            storage: Vec::new(),
        },
    ])
}

/// Deploys by transactions from `from`, for which `provider` must be able to sign.
///
/// Where x402's own settlement contract stands it is used; stock clients know no other. Each call
/// deploys anew: keep the result. A failure on the way leaves the contracts that were created, which
/// hold nothing.
///
/// # Errors
/// [`Error::NotBuilt`], [`Error::Reverted`], [`Error::ForeignCollector`], or [`Error::Rpc`] when the
/// network cannot be asked.
pub async fn deploy(
    provider: &DynProvider,
    from: Address,
    minter: Address,
) -> Result<Deployment, Error> {
    let code = artefacts()?;
    let chain_id =
        provider.get_chain_id().await.map_err(Error::rpc("a question for its chain id"))?;
    let (settlement, collector) = match canonical_settlement(provider).await? {
        Some(found) => found,
        None => {
            let settlement =
                create(provider, from, "BatchSettlement", code.settlement, &[]).await?;
            let argument = settlement.abi_encode();
            let collector =
                create(provider, from, "ERC3009DepositCollector", code.collector, &argument)
                    .await?;
            (settlement, collector)
        }
    };
    let token = create(provider, from, "TestDollar", code.token, &minter.abi_encode()).await?;
    let anchor = create(provider, from, "CheckpointAnchor", code.anchor, &[]).await?;
    Ok(Deployment { chain_id, token, settlement, collector, anchor })
}

/// x402's settlement contract and collector, if the network has them.
async fn canonical_settlement(provider: &DynProvider) -> Result<Option<(Address, Address)>, Error> {
    let code = provider
        .get_code_at(addresses::SETTLEMENT)
        .await
        .map_err(Error::rpc("a question for the settlement contract"))?;
    if code.is_empty() {
        return Ok(None);
    }
    let serves = ERC3009DepositCollector::new(addresses::COLLECTOR, provider)
        .x402BatchSettlement()
        .call()
        .await
        .is_ok_and(|settlement| settlement == addresses::SETTLEMENT);
    if !serves {
        return Err(Error::ForeignCollector { collector: addresses::COLLECTOR });
    }
    Ok(Some((addresses::SETTLEMENT, addresses::COLLECTOR)))
}

/// Creates one contract and waits until it is mined.
async fn create(
    provider: &DynProvider,
    from: Address,
    contract: &'static str,
    code: Code,
    arguments: &[u8],
) -> Result<Address, Error> {
    let creation = [code.creation, arguments].concat();
    let request = TransactionRequest::default().with_from(from).with_deploy_code(creation);
    let sent = provider.send_transaction(request).await.map_err(Error::rpc("a deployment"))?;
    let receipt = receipt::deployed(contract, sent).await?;
    let reverted = Error::Reverted { contract, transaction: receipt.transaction_hash };
    let address = receipt.contract_address.ok_or(reverted)?;
    tracing::info!(contract, %address, "deployed");
    Ok(address)
}
