//! The registry on the chain, written to.

use alloy::{network::EthereumWallet, providers::DynProvider, rpc::types::TransactionReceipt};
use alloy_primitives::{Address, B256, Bytes};
use vouch_contracts::bindings::ConsentRegistry::ConsentRegistryInstance;
use vouch_core::signature::Signature;
use vouch_wallet::Wallet;

use super::Grant;
use crate::{Error, Result, send::sent};

/// An account's hand on the consent registry.
#[derive(Debug, Clone)]
pub struct Registry {
    contract: ConsentRegistryInstance<DynProvider>,
    from: Address,
}

impl Registry {
    /// Writes as `wallet` to the registry at `address`.
    ///
    /// # Errors
    /// [`Error::Wallet`] if the key cannot sign transactions.
    pub fn new(provider: &DynProvider, address: Address, wallet: &Wallet) -> Result<Self> {
        let signing = signing(provider, wallet)?;
        Ok(Self {
            contract: ConsentRegistryInstance::new(address, signing),
            from: wallet.address(),
        })
    }

    /// Puts a dataset's root and the hash of its card on the chain: nothing else leaves the owner.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Reverted`], [`Error::Unknown`].
    pub async fn publish(&self, root: B256, card: B256) -> Result<TransactionReceipt> {
        sent("the dataset", self.from, self.contract.publish(root, card)).await
    }

    /// Records a grant: with the owner's signature, or without one if this wallet is the owner's.
    ///
    /// # Errors
    /// As [`Registry::publish`].
    pub async fn grant(
        &self,
        grant: &Grant,
        signature: Option<&Signature>,
    ) -> Result<TransactionReceipt> {
        grant.check()?;
        let signature = signature.map_or_else(Bytes::new, |s| Bytes::copy_from_slice(&s.0));
        sent("the grant", self.from, self.contract.grant(grant.message(), signature)).await
    }

    /// Ends a grant of this wallet's for ever, recorded or not.
    ///
    /// # Errors
    /// As [`Registry::publish`].
    pub async fn revoke(&self, id: B256) -> Result<TransactionReceipt> {
        sent("the revocation", self.from, self.contract.revoke(id)).await
    }

    /// Ends every grant of a dataset of this wallet's so far.
    ///
    /// # Errors
    /// As [`Registry::publish`].
    pub async fn revoke_all(&self, root: B256) -> Result<TransactionReceipt> {
        sent("the revocation", self.from, self.contract.revokeAll(root)).await
    }

    /// What the contract itself says of a use now.
    ///
    /// # Errors
    /// [`Error::Rpc`] if the chain does not answer.
    pub async fn allows(&self, id: B256, purpose: B256, service: B256) -> Result<bool> {
        let answer = self.contract.allows(id, purpose, service).call().await;
        answer.map_err(Error::rpc("whether a grant allows a use"))
    }
}

/// A provider that signs as `wallet`.
pub(crate) fn signing(provider: &DynProvider, wallet: &Wallet) -> Result<DynProvider> {
    Ok(vouch_contracts::signing(provider, EthereumWallet::from(wallet.signer()?)))
}
