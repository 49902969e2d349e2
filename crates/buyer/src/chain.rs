//! What the buyer asks a chain: balances, withdrawals, and proofs of anchors.

use alloy::{
    network::EthereumWallet,
    providers::{DynProvider, Provider, ProviderBuilder},
};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use reqwest::Client;
use vouch_contracts::bindings::{BatchSettlement, CheckpointAnchor, TestDollar};
use vouch_core::{
    bundle::{AnchorProof, Bundle},
    log::{Checkpoint, note::Note},
};
use vouch_evidence::storage_slot;
use vouch_wallet::Wallet;
use vouch_wire::vouch::ProviderDocument;

use crate::{Error, Policy, error::printable, seller::Seller};

/// Which JSON-RPC to use: the policy's, else the provider's own if it is on the provider's host. A
/// stranger does not get to name other hosts for this machine to talk to.
pub(crate) fn rpc_of(policy: &Policy, seller: &Seller) -> Option<String> {
    if policy.rpc.is_some() {
        return policy.rpc.clone();
    }
    own_rpc(&seller.url, &seller.document)
}

/// The provider's own JSON-RPC, if it is on the provider's host.
pub(crate) fn own_rpc(url: &str, document: &ProviderDocument) -> Option<String> {
    let rpc = document.rpc.as_deref()?;
    let host = |url: &str| reqwest::Url::parse(url).ok()?.host_str().map(str::to_owned);
    (host(rpc).is_some() && host(rpc) == host(url)).then(|| rpc.to_owned())
}

pub(crate) fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Chain { what, why: printable(&error.to_string()) }
}

fn url(rpc: &str) -> Result<reqwest::Url, Error> {
    reqwest::Url::parse(rpc).map_err(failed("at its address"))
}

/// A connection that only reads.
pub(crate) fn connect(http: &Client, rpc: &str) -> Result<DynProvider, Error> {
    Ok(ProviderBuilder::new().connect_reqwest(http.clone(), url(rpc)?).erased())
}

/// A connection that signs transactions with the wallet.
pub(crate) fn connect_signing(
    http: &Client,
    rpc: &str,
    wallet: &Wallet,
) -> Result<DynProvider, Error> {
    let signer = wallet.signer().map_err(|error| Error::State(error.to_string()))?;
    Ok(vouch_contracts::signing(&connect(http, rpc)?, EthereumWallet::from(signer)))
}

/// What an address has of a token.
pub(crate) async fn balance(
    http: &Client,
    rpc: &str,
    token: Address,
    owner: Address,
) -> Result<u128, Error> {
    let balance = TestDollar::new(token, connect(http, rpc)?).balanceOf(owner).call().await;
    Ok(balance.map_err(failed("for a balance"))?.saturating_to())
}

/// A channel as the chain has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Deposits less what went back to the payer.
    pub(crate) balance: u128,
    /// What the provider has claimed in all; part of the balance.
    pub(crate) claimed: u128,
}

/// Reads a channel.
pub(crate) async fn settled(
    http: &Client,
    rpc: &str,
    settlement: Address,
    channel: B256,
) -> Result<Settled, Error> {
    let contract = BatchSettlement::new(settlement, connect(http, rpc)?);
    let found = contract.channels(channel).call().await.map_err(failed("for the channel"))?;
    Ok(Settled { balance: found.balance, claimed: found.totalClaimed })
}

/// Proves the newest anchor that covers a bundle's receipt, against the newest block; `None` if
/// there is none. The consistency path between anchor and checkpoint comes from the provider, and
/// is checked by whoever verifies the bundle.
pub(crate) async fn anchor_proof(
    http: &Client,
    rpc: &str,
    contract: Address,
    seller: &Seller,
    bundle: &Bundle,
) -> Result<Option<AnchorProof>, Error> {
    let Some(log) = &bundle.log else { return Ok(None) };
    let malformed = |error: vouch_core::Error| Error::protocol(&seller.url, error);
    let note = Note::parse(&log.checkpoint).map_err(malformed)?;
    let checkpoint = Checkpoint::parse(&note.text).map_err(malformed)?;
    let signer = bundle.receipt.provider;
    let provider = connect(http, rpc)?;
    let anchors = CheckpointAnchor::new(contract, provider.clone());
    let key = log_key(&checkpoint.origin, signer);
    let size = anchors.anchors(key).call().await.map_err(failed("for the newest anchor"))?.size;
    if size <= log.index {
        return Ok(None);
    }
    let slot = storage_slot(&checkpoint.origin, signer, size);
    let block = provider.get_block_number().await.map_err(failed("for its height"))?;
    let proof = provider.get_proof(contract, vec![slot]).number(block).await;
    let proof = proof.map_err(failed("for a storage proof"))?;
    let header = header(&provider, block).await?;
    let (old, new) = (size.min(checkpoint.size), size.max(checkpoint.size));
    let consistency = if old == new { Vec::new() } else { seller.consistency(old, new).await? };
    Ok(Some(AnchorProof {
        chain: seller.chain,
        contract,
        size,
        header,
        account_proof: proof.account_proof,
        storage_proof: proof.storage_proof.into_iter().next().map(|p| p.proof).unwrap_or_default(),
        consistency,
    }))
}

/// RLP of a block's header, checked against the hash that the node gives.
async fn header(provider: &DynProvider, number: u64) -> Result<Bytes, Error> {
    let block = provider.get_block_by_number(number.into()).await.map_err(failed("for a block"))?;
    let block = block.ok_or_else(|| failed("for a block")("it has none of that number"))?;
    let rlp = Bytes::from(alloy_rlp::encode(&block.header.inner));
    if keccak256(&rlp) == block.header.hash {
        Ok(rlp)
    } else {
        Err(failed("for a block")("its header has fields that this software does not know"))
    }
}

/// `CheckpointAnchor.logKey(origin, signer)`.
fn log_key(origin: &str, signer: Address) -> B256 {
    keccak256([keccak256(origin), signer.into_word()].concat())
}
