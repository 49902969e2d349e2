//! What a chain fixes: a checkpoint in the storage of `CheckpointAnchor`.

use alloy_primitives::{U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::TrieAccount;
use vouch_core::{
    Address, B256,
    bundle::{AnchorProof, Bundle},
    log::{Checkpoint, merkle},
};

use super::{Broken, Outcome, absent, ensure, log, proven};
use crate::{
    Options,
    trie::{self, BlockHeader},
};

/// The storage slot that holds the root anchored at `size` by the log of `origin` and `signer`:
/// `roots[keccak256(abi.encode(keccak256(origin), signer))][size]`, `roots` being slot 1.
#[must_use]
pub fn storage_slot(origin: &str, signer: Address, size: u64) -> B256 {
    const ROOTS: U256 = U256::ONE;
    let pair = |first: B256, second: B256| keccak256([first, second].concat());
    let key = pair(keccak256(origin), signer.into_word());
    let of_log = pair(key, ROOTS.into());
    pair(U256::from(size).into(), of_log)
}

pub(super) fn anchor(bundle: &Bundle, options: &Options<'_>) -> Outcome {
    let (Some(anchor), Some(log)) = (&bundle.anchor, &bundle.log) else {
        return absent("not anchored", "the provider and the witnesses, for the order of things");
    };
    let (_, checkpoint) = log::stated(log)?;
    let provider = bundle.receipt.provider;
    let header = BlockHeader::decode(&anchor.header)?;
    known_block(anchor, &header, options)?;
    let account = account(anchor, &header)?;
    let code = options.anchor_code.is_none_or(|code| code == account.code_hash);
    ensure(code, "the contract at the anchor's address is no CheckpointAnchor")?;
    let root = anchored_root(anchor, &account, &checkpoint.origin, provider)?;
    ensure(anchor.size > log.index, "the log was anchored before this receipt was in it")?;
    consistent(anchor, &checkpoint, root)?;
    let finding = format!(
        "anchored at size {} in the state of block {} of {}, Unix time {}",
        anchor.size, header.number, anchor.chain, header.timestamp
    );
    proven(finding, trust(&header, options))
}

fn known_block(
    anchor: &AnchorProof,
    header: &BlockHeader,
    options: &Options<'_>,
) -> Result<(), Broken> {
    let Some(known) = options.block else { return Ok(()) };
    ensure(known.chain == anchor.chain, "the anchor is on another chain than the known block")?;
    ensure(known.hash == header.hash, "the anchor's header is not the known block's")
}

fn account(anchor: &AnchorProof, header: &BlockHeader) -> Result<TrieAccount, Broken> {
    let rlp = trie::prove(header.state_root, anchor.contract.as_slice(), &anchor.account_proof)
        .map_err(|why| format!("account proof: {why}"))?;
    let account = TrieAccount::decode(&mut rlp.as_slice());
    account.map_err(|error| format!("the anchor's account is malformed: {error}").into())
}

fn anchored_root(
    anchor: &AnchorProof,
    account: &TrieAccount,
    origin: &str,
    provider: Address,
) -> Result<B256, Broken> {
    let slot = storage_slot(origin, provider, anchor.size);
    let rlp = trie::prove(account.storage_root, slot.as_slice(), &anchor.storage_proof)
        .map_err(|why| format!("storage proof: {why}"))?;
    let root = U256::decode(&mut rlp.as_slice());
    root.map(B256::from).map_err(|error| format!("the anchored root is malformed: {error}").into())
}

/// The smaller of checkpoint and anchor is the beginning of the larger.
fn consistent(anchor: &AnchorProof, checkpoint: &Checkpoint, root: B256) -> Result<(), Broken> {
    let (anchored, stated) = ((anchor.size, root), (checkpoint.size, checkpoint.root));
    let (old, new) = if anchored.0 < stated.0 { (anchored, stated) } else { (stated, anchored) };
    merkle::verify_consistency(old.0, old.1, new.0, new.1, &anchor.consistency)?;
    Ok(())
}

fn trust(header: &BlockHeader, options: &Options<'_>) -> String {
    let mut trust = Vec::new();
    if options.block.is_none() {
        trust.push(format!("that block {} is on that chain", header.hash));
    }
    if options.anchor_code.is_none() {
        trust.push("that the contract is a CheckpointAnchor".into());
    }
    trust.push("whoever makes that chain's blocks: the provider itself, on a chain it runs".into());
    trust.join("; ")
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    /// The value is eth-abi's and eth-utils' for Solidity's layout of nested mappings.
    #[test]
    fn the_slot_is_soliditys() {
        let slot = storage_slot("provider.example/log", Address::repeat_byte(0x11), 300);
        assert_eq!(slot, b256!("ab023a8da764844ab89927177edcb9a110641dea8e87c0d9ba187d08ce1a6461"));
    }
}
