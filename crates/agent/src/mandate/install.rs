//! The owner's two transactions: one that makes a mandate work, one that ends it.

use alloy::{
    eips::eip7702::Authorization,
    network::{EthereumWallet, TransactionBuilder7702},
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::SignerSync,
    sol_types::SolCall,
};
use alloy_primitives::{Address, Bytes, U256};
use vouch_contracts::{
    bindings::{DelegationManager, Erc20, UniswapV2Factory, UniswapV2Router02},
    signing,
};
use vouch_wallet::Wallet;

use super::{
    Grant, MandateError, Permission, Venue,
    abi::Account,
    delegation::{batch, batch_mode},
};

/// Makes a mandate work, in one transaction of the owner: EIP-7702 code for its account, the
/// allowances that the permissions need, and `gas_wei` of the chain's coin for the agent and each
/// sub-agent.
///
/// # Errors
/// [`MandateError::NotDeployed`], [`MandateError::Reverted`], [`MandateError::Rpc`].
pub async fn install(
    provider: &DynProvider,
    owner: &Wallet,
    grant: &Grant,
    gas_wei: U256,
) -> Result<TransactionReceipt, MandateError> {
    let contracts = &grant.contracts;
    for address in [contracts.manager, contracts.delegator, contracts.enforcers.spend_per_period] {
        if code(provider, address).await?.is_empty() {
            return Err(MandateError::NotDeployed(address));
        }
    }
    let mut calls = approvals(provider, grant, Allow::AsCapped).await?;
    if !gas_wei.is_zero() {
        let sub_agents =
            grant.mandate.permissions.iter().filter_map(|permission| match permission {
                Permission::Delegate { to, .. } => Some(*to),
                _ => None,
            });
        let agents = std::iter::once(grant.mandate.agent).chain(sub_agents);
        calls.extend(agents.map(|agent| (agent, gas_wei, Bytes::new())));
    }
    send(provider, owner, grant, calls).await
}

/// Ends a mandate at once: the frame is disabled and the allowances are taken back, in one
/// transaction of the owner.
///
/// # Errors
/// As [`install`].
pub async fn revoke(
    provider: &DynProvider,
    owner: &Wallet,
    grant: &Grant,
) -> Result<TransactionReceipt, MandateError> {
    let frame = grant.compiled()?.frame;
    let disable = DelegationManager::disableDelegationCall { delegation: frame }.abi_encode();
    let mut calls = vec![(grant.contracts.manager, U256::ZERO, disable.into())];
    calls.extend(approvals(provider, grant, Allow::Nothing).await?);
    send(provider, owner, grant, calls).await
}

#[derive(Clone, Copy)]
enum Allow {
    AsCapped,
    Nothing,
}

async fn code(provider: &DynProvider, address: Address) -> Result<Bytes, MandateError> {
    provider.get_code_at(address).await.map_err(MandateError::rpc("a question for code"))
}

type Call = (Address, U256, Bytes);

/// `approve` for each token and spender: as much as the cap allows until the end, or nothing.
async fn approvals(
    provider: &DynProvider,
    grant: &Grant,
    allow: Allow,
) -> Result<Vec<Call>, MandateError> {
    let mandate = &grant.mandate;
    let mut allowances: Vec<(Address, Address, U256)> = mandate
        .allowances()
        .into_iter()
        .map(|(token, spender)| {
            let most = mandate.cap(token).map_or(U256::ZERO, |(_, cap)| {
                let periods = mandate.expiry.saturating_sub(mandate.start).div_ceil(cap.period_s);
                U256::from(cap.amount).saturating_mul(U256::from(periods))
            });
            (token, spender, most)
        })
        .collect();
    for pair in pairs(provider, grant).await? {
        allowances.push((pair.0, pair.1, U256::MAX));
    }
    let approve = |(token, spender, most)| {
        let amount = match allow {
            Allow::AsCapped => most,
            Allow::Nothing => U256::ZERO,
        };
        (token, U256::ZERO, Erc20::approveCall { spender, value: amount }.abi_encode().into())
    };
    Ok(allowances.into_iter().map(approve).collect())
}

/// v2's pool tokens, which its router takes to remove liquidity: (pool, router).
async fn pairs(
    provider: &DynProvider,
    grant: &Grant,
) -> Result<Vec<(Address, Address)>, MandateError> {
    let mut pairs = Vec::new();
    for permission in &grant.mandate.permissions {
        let Permission::Liquidity { venue: Venue::UniswapV2, manager, token0, token1, .. } =
            permission
        else {
            continue;
        };
        let failed = || MandateError::rpc("a question for a pool");
        let factory =
            UniswapV2Router02::new(*manager, provider).factory().call().await.map_err(failed())?;
        let factory = UniswapV2Factory::new(factory, provider);
        let pair = factory.getPair(*token0, *token1).call().await.map_err(failed())?;
        if !pair.is_zero() {
            pairs.push((pair, *manager));
        }
    }
    Ok(pairs)
}

/// Calls `calls` from the owner's account, which gets its code on the way if it has another.
async fn send(
    provider: &DynProvider,
    owner: &Wallet,
    grant: &Grant,
    calls: Vec<Call>,
) -> Result<TransactionReceipt, MandateError> {
    let account = owner.address();
    if account != grant.mandate.owner {
        return Err(MandateError::Signature { signer: account, wanted: grant.mandate.owner });
    }
    let signer = owner.signer().map_err(MandateError::rpc("a signature"))?;
    let execute =
        Account::executeCall { mode: batch_mode(), executionCalldata: batch(calls) }.abi_encode();
    let mut request =
        TransactionRequest::default().from(account).to(account).input(Bytes::from(execute).into());
    let delegator = grant.contracts.delegator;
    let designator = [&[0xef, 0x01, 0x00], delegator.as_slice()].concat();
    if code(provider, account).await? != designator {
        let nonce = provider.get_transaction_count(account).pending().await;
        let nonce = nonce.map_err(MandateError::rpc("a question for a nonce"))?;
        // The transaction itself takes `nonce`, before its authorizations are looked at.
        let authorization = Authorization {
            chain_id: U256::from(grant.mandate.chain),
            address: delegator,
            nonce: nonce.saturating_add(1),
        };
        let signature = signer
            .sign_hash_sync(&authorization.signature_hash())
            .map_err(MandateError::rpc("a signature"))?;
        request.set_authorization_list(vec![authorization.into_signed(signature)]);
    }
    let provider = signing(provider, EthereumWallet::from(signer));
    let pending = provider.send_transaction(request).await;
    let pending = pending.map_err(MandateError::rpc("the owner's transaction"))?;
    let receipt = pending.get_receipt().await;
    let receipt = receipt.map_err(MandateError::rpc("a question for a receipt"))?;
    if receipt.status() {
        Ok(receipt)
    } else {
        Err(MandateError::Reverted(receipt.transaction_hash))
    }
}
