//! The contracts on a network: placed in a genesis, or deployed by transactions.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, Provider},
    sol_types::SolValue,
};
use serde::{Deserialize, Serialize};

use crate::{Code, Error, addresses, artefacts, bindings::ERC3009DepositCollector, create2};

/// Of every contract here: the code alone decides where it stands.
const SALT: B256 = B256::ZERO;

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

/// A deployment, and what of it is missing on its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where each contract stands, or would.
    pub deployment: Deployment,
    /// The names of those that do not stand.
    pub missing: Vec<&'static str>,
}

/// One contract that is ours to deploy.
struct Step {
    contract: &'static str,
    address: Address,
    creation: Bytes,
}

/// Where the contracts stand that channels need, or would if they were deployed.
///
/// Where x402's own settlement contract stands it is used; stock clients know no other. Ours stands
/// at an address that follows from its code, on every network the same. `token` pays; without one it
/// is the test dollar that `minter` may mint.
///
/// # Errors
/// [`Error::NotBuilt`], [`Error::ForeignCollector`], [`Error::NoCode`] if there is no such token, or
/// [`Error::Rpc`] when the network cannot be asked.
pub async fn standing(
    provider: &DynProvider,
    token: Option<Address>,
    minter: Address,
) -> Result<Standing, Error> {
    let (deployment, steps) = plan(provider, token, minter).await?;
    let mut missing = Vec::new();
    for step in &steps {
        if !create2::has_code(provider, step.address).await? {
            missing.push(step.contract);
        }
    }
    Ok(Standing { deployment, missing })
}

/// Deploys what is missing of [`standing`] by transactions from `from`, for which `provider` must be
/// able to sign, and waits until all of it stands. Again changes nothing.
///
/// # Errors
/// As [`standing`], and [`Error::NoProxy`], [`Error::Reverted`] or [`Error::Unknown`].
pub async fn deploy(
    provider: &DynProvider,
    from: Address,
    token: Option<Address>,
    minter: Address,
) -> Result<Deployment, Error> {
    let (deployment, steps) = plan(provider, token, minter).await?;
    create2::require_proxy(provider).await?;
    for Step { contract, address, creation } in steps {
        create2::deploy(provider, from, contract, SALT, address, &creation).await?;
    }
    Ok(deployment)
}

/// Where this project's settlement contract and its collector stand on networks without x402's: an
/// address that follows from the code can be trusted as the code is.
///
/// # Errors
/// [`Error::NotBuilt`] if the contracts are not compiled.
pub fn own_settlement() -> Result<(Address, Address), Error> {
    let code = artefacts()?;
    let settlement = step("BatchSettlement", code.settlement, &[]).address;
    let argument = settlement.abi_encode();
    Ok((settlement, step("ERC3009DepositCollector", code.collector, &argument).address))
}

fn step(contract: &'static str, code: Code, arguments: &[u8]) -> Step {
    let creation = Bytes::from([code.creation, arguments].concat());
    Step { contract, address: create2::address(SALT, &creation), creation }
}

async fn plan(
    provider: &DynProvider,
    token: Option<Address>,
    minter: Address,
) -> Result<(Deployment, Vec<Step>), Error> {
    let code = artefacts()?;
    let mut steps = Vec::new();
    let mut add = |contract, code: Code, arguments: &[u8]| {
        let step = step(contract, code, arguments);
        let address = step.address;
        steps.push(step);
        address
    };
    let chain_id =
        provider.get_chain_id().await.map_err(Error::rpc("a question for its chain id"))?;
    let (settlement, collector) = match canonical_settlement(provider).await? {
        Some(found) => found,
        None => {
            let settlement = add("BatchSettlement", code.settlement, &[]);
            let argument = settlement.abi_encode();
            (settlement, add("ERC3009DepositCollector", code.collector, &argument))
        }
    };
    let token = match token {
        Some(token) => {
            create2::require_code(provider, "the token", token).await?;
            token
        }
        None if create2::has_code(provider, addresses::TOKEN).await? => addresses::TOKEN,
        None => add("TestDollar", code.token, &minter.abi_encode()),
    };
    let anchor = match create2::has_code(provider, addresses::ANCHOR).await? {
        true => addresses::ANCHOR,
        false => add("CheckpointAnchor", code.anchor, &[]),
    };
    Ok((Deployment { chain_id, token, settlement, collector, anchor }, steps))
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
