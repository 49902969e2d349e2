//! ERC-7710 delegations: hashes, signatures, chains and executions.

use std::borrow::Cow;

use alloy::sol_types::{Eip712Domain, SolCall, SolStruct, SolValue};
use alloy_primitives::{Address, B256, Bytes, U256};
pub use vouch_contracts::bindings::DelegationManager::{Caveat, Delegation};
use vouch_contracts::bindings::{DelegationManager, delegation::typed};
use vouch_core::signature::Signature;
use vouch_wallet::Wallet;

use super::{Contracts, MandateError, abi::Execution};

/// The authority of a delegation that comes from the account itself.
pub const ROOT_AUTHORITY: B256 = B256::repeat_byte(0xff);
/// ERC-7579: one call, all or nothing.
const SINGLE: B256 = B256::ZERO;

/// ERC-7579: several calls, all or nothing.
pub(crate) fn batch_mode() -> B256 {
    let mut mode = B256::ZERO;
    mode[0] = 1;
    mode
}

/// One that is not signed yet.
pub(crate) fn unsigned(
    delegator: Address,
    delegate: Address,
    authority: B256,
    caveats: Vec<Caveat>,
    salt: B256,
) -> Delegation {
    let (salt, signature) = (salt.into(), Bytes::new());
    Delegation { delegate, delegator, authority, caveats, salt, signature }
}

/// By which the manager knows a delegation; its signature is not in it.
#[must_use]
pub fn hash_of(delegation: &Delegation) -> B256 {
    typed::Delegation::from(delegation).eip712_hash_struct()
}

/// What its delegator signs.
fn digest(delegation: &Delegation, contracts: &Contracts) -> B256 {
    typed::Delegation::from(delegation).eip712_signing_hash(&eip712("DelegationManager", contracts))
}

/// A domain at the manager.
pub(super) fn eip712(name: &'static str, contracts: &Contracts) -> Eip712Domain {
    Eip712Domain::new(
        Some(Cow::Borrowed(name)),
        Some(Cow::Borrowed("1")),
        Some(U256::from(contracts.chain)),
        Some(contracts.manager),
        None,
    )
}

/// Signed by its delegator.
///
/// # Errors
/// [`MandateError::Signature`] if the key is another's.
pub fn signed(
    mut delegation: Delegation,
    contracts: &Contracts,
    key: &Wallet,
) -> Result<Delegation, MandateError> {
    let wanted = delegation.delegator;
    if key.address() != wanted {
        return Err(MandateError::Signature { signer: key.address(), wanted });
    }
    let signature = key.sign(digest(&delegation, contracts));
    delegation.signature = Bytes::copy_from_slice(&signature.0);
    Ok(delegation)
}

/// Whether its delegator's key signed it.
pub(crate) fn verify(delegation: &Delegation, contracts: &Contracts) -> Result<(), MandateError> {
    check_signature(&delegation.signature, digest(delegation, contracts), delegation.delegator)
}

/// Whether `wanted` signed a digest.
pub(super) fn check_signature(
    signature: &[u8],
    digest: B256,
    wanted: Address,
) -> Result<(), MandateError> {
    let signature = Signature::from_slice(signature)
        .map_err(|_| MandateError::Signature { signer: Address::ZERO, wanted })?;
    let signer = signature.recover(digest).unwrap_or_default();
    if signer == wanted { Ok(()) } else { Err(MandateError::Signature { signer, wanted }) }
}

/// The calldata of the manager for one call under a chain of delegations, its last link first.
#[must_use]
pub fn redeem(chain: &[Delegation], target: Address, data: &[u8]) -> Bytes {
    redeem_all(&[(chain, target, data)])
}

/// As [`redeem`], for several calls in one transaction, each under a chain of its own.
#[must_use]
pub fn redeem_all(calls: &[(&[Delegation], Address, &[u8])]) -> Bytes {
    let execution = |target: &Address, data: &[u8]| -> Bytes {
        [target.as_slice(), &[0; 32], data].concat().into()
    };
    let call = DelegationManager::redeemDelegationsCall {
        permissionContexts: calls
            .iter()
            .map(|(chain, ..)| chain.to_vec().abi_encode().into())
            .collect(),
        modes: vec![SINGLE; calls.len()],
        executionCallDatas: calls.iter().map(|(_, target, data)| execution(target, data)).collect(),
    };
    call.abi_encode().into()
}

/// ERC-7579's encoding of a batch.
pub(crate) fn batch(calls: Vec<(Address, U256, Bytes)>) -> Bytes {
    let execution = |(target, value, data)| Execution { target, value, callData: data };
    calls.into_iter().map(execution).collect::<Vec<_>>().abi_encode().into()
}
