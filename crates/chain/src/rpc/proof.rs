//! `eth_getProof` (EIP-1186), for blocks since which not too much has changed.

use alloy::eips::BlockId;
use alloy::rpc::types::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy::serde::JsonStorageKey;
use alloy_primitives::{Address, U256};

use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};
use crate::fork::Place;

/// Most slots in one request.
const MAX_KEYS: usize = 1024;

impl Rpc {
    pub(super) fn proof(&self, mut params: Params) -> Outcome {
        let address: Address = params.next("address")?;
        let keys: Vec<JsonStorageKey> = params.next("storage keys")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        params.finish()?;
        if keys.len() > MAX_KEYS {
            return Err(RpcError::params(format!(
                "too many storage keys, want at most {MAX_KEYS}"
            )));
        }
        if self.is_elsewhere(target.number) {
            let place = Place::Number(target.number);
            return Err(RpcError::server("proof not found").elsewhere(place));
        }
        let numbers: Vec<U256> = keys.iter().map(|key| key.as_b256().into()).collect();
        let proof = {
            let tries = self.node.tries.read();
            let view = self.node.view.read();
            tries.prove(&view.state, address, &numbers, target.number)?
        };
        let storage_proof = keys
            .into_iter()
            .zip(proof.slots)
            .map(|(key, (_, value, proof))| EIP1186StorageProof { key, value, proof })
            .collect();
        json(EIP1186AccountProofResponse {
            address,
            balance: proof.account.balance,
            code_hash: proof.account.code_hash,
            nonce: proof.account.nonce,
            storage_hash: proof.account.storage_root,
            account_proof: proof.account_proof,
            storage_proof,
        })
    }
}
