//! What the journal holds: a genesis, then blocks, and what is changed by hand between them.
//!
//! ```text
//! record = kind (u8) || version (u8) || body
//! kind 0, genesis: body = JSON, as geth's genesis.json
//! kind 1, block:   body = rlp([ block, [sender, ...], [[status, gas, [log, ...]], ...] ])
//! kind 2, edit:    body = JSON; see `edit`
//! kind 3, fork:    body = JSON, { "genesis": as geth's genesis.json, "fork": block }, in place of a
//!                         genesis
//! ```
//! `block` is Ethereum's own encoding. Senders are stored because recovering them costs more than
//! executing; receipts so that old ones are read, not computed. Blooms are left out. The first
//! version's genesis was of another form, and its blocks were all by the rules of Prague.

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Block, Eip658Value, Receipt, ReceiptEnvelope, TxEnvelope, TxReceipt};
use alloy_primitives::{Address, Log};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use serde::{Deserialize, Serialize};

use crate::block::{Body, SealedBlock};
use crate::edit::Edit;
use crate::fork::ForkPoint;
use crate::genesis::FirstGenesis;
use crate::{Error, Genesis, Result};

const KIND_GENESIS: u8 = 0;
const KIND_BLOCK: u8 = 1;
const KIND_EDIT: u8 = 2;
const KIND_FORK: u8 = 3;
const VERSION: u8 = 2;

/// A record after the first.
#[derive(Debug)]
pub(crate) enum Stored {
    Block(Box<SealedBlock>),
    Edit(Edit),
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredBlock {
    block: Block<TxEnvelope>,
    senders: Vec<Address>,
    receipts: Vec<StoredReceipt>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredReceipt {
    /// Until Byzantium the state's root.
    status: Eip658Value,
    cumulative_gas_used: u64,
    logs: Vec<Log>,
}

/// The first record of a chain that is a fork.
#[derive(Serialize, Deserialize)]
struct StoredFork<G> {
    genesis: G,
    fork: ForkPoint,
}

/// The genesis record.
pub(crate) fn encode_genesis(genesis: &Genesis) -> Result<Vec<u8>> {
    let mut record = Vec::new();
    let written = match genesis.fork_point().cloned() {
        None => {
            record.extend([KIND_GENESIS, VERSION]);
            serde_json::to_writer(&mut record, genesis.geth())
        }
        Some(fork) => {
            record.extend([KIND_FORK, VERSION]);
            serde_json::to_writer(&mut record, &StoredFork { genesis: genesis.geth(), fork })
        }
    };
    written.map_err(|e| Error::Genesis(e.to_string()))?;
    Ok(record)
}

/// Whether this is what a chain's journal begins with, of any version: for whoever looks after
/// journals without opening a chain.
#[must_use]
pub fn is_genesis_record(record: &[u8]) -> bool {
    matches!(record, [KIND_GENESIS | KIND_FORK, _, b'{', ..])
}

/// A block's record.
pub(crate) fn encode_block(block: &SealedBlock) -> Vec<u8> {
    let stored = StoredBlock {
        block: block.to_consensus(),
        senders: block.transactions().iter().map(Recovered::signer).collect(),
        receipts: block
            .receipts
            .iter()
            .map(|receipt| StoredReceipt {
                status: receipt.status_or_post_state(),
                cumulative_gas_used: receipt.cumulative_gas_used(),
                logs: receipt.logs().to_vec(),
            })
            .collect(),
    };
    let mut record = Vec::with_capacity(2 + stored.length());
    record.extend([KIND_BLOCK, VERSION]);
    stored.encode(&mut record);
    record
}

/// The record of a change by hand.
pub(crate) fn encode_edit(edit: &Edit) -> Result<Vec<u8>> {
    let mut record = vec![KIND_EDIT, VERSION];
    serde_json::to_writer(&mut record, edit).map_err(|e| Error::Edit(e.to_string()))?;
    Ok(record)
}

/// Reads the record at place `index`, which is not the first.
pub(crate) fn decode(record: &[u8], index: u64) -> Result<Stored> {
    Ok(match decode_edit(record, index)? {
        Some(edit) => Stored::Edit(edit),
        None => Stored::Block(Box::new(decode_block(record, index)?)),
    })
}

/// As [`decode`], for edits alone.
pub(crate) fn decode_edit(record: &[u8], index: u64) -> Result<Option<Edit>> {
    if record.first() != Some(&KIND_EDIT) {
        return Ok(None);
    }
    let (_, body) = body(record, KIND_EDIT, index)?;
    serde_json::from_slice(body).map(Some).map_err(|e| malformed(index, &e))
}

/// Reads the record at place `index`, which must be a genesis.
pub(crate) fn decode_genesis(record: &[u8], index: u64) -> Result<Genesis> {
    if record.first() == Some(&KIND_FORK) {
        let (_, body) = body(record, KIND_FORK, index)?;
        let stored: StoredFork<_> =
            serde_json::from_slice(body).map_err(|e| malformed(index, &e))?;
        return Ok(Genesis::new(stored.genesis, Some(stored.fork)));
    }
    let (version, body) = body(record, KIND_GENESIS, index)?;
    if version == 1 {
        let first = serde_json::from_slice::<FirstGenesis>(body);
        return first.map(Genesis::from).map_err(|e| malformed(index, &e));
    }
    let genesis = serde_json::from_slice(body).map_err(|e| malformed(index, &e))?;
    Ok(Genesis::new(genesis, None))
}

/// Reads the record at place `index`, which must be a block.
pub(crate) fn decode_block(record: &[u8], index: u64) -> Result<SealedBlock> {
    let (_, mut body) = body(record, KIND_BLOCK, index)?;
    let stored = StoredBlock::decode(&mut body).map_err(|e| malformed(index, &e))?;
    let alloy::consensus::BlockBody { transactions, ommers, withdrawals } = stored.block.body;
    if !body.is_empty()
        || transactions.len() != stored.senders.len()
        || transactions.len() != stored.receipts.len()
    {
        return Err(malformed(index, &"its parts do not belong together"));
    }
    let receipts = transactions
        .iter()
        .zip(stored.receipts)
        .map(|(transaction, stored)| {
            let receipt = Receipt {
                status: stored.status,
                cumulative_gas_used: stored.cumulative_gas_used,
                logs: stored.logs,
            };
            ReceiptEnvelope::from_typed(transaction.tx_type(), receipt.with_bloom())
        })
        .collect();
    let transactions = transactions
        .into_iter()
        .zip(stored.senders)
        .map(|(transaction, sender)| Recovered::new_unchecked(transaction, sender))
        .collect();
    let header = stored.block.header;
    let body = Body { transactions, ommers, withdrawals };
    Ok(SealedBlock { hash: header.hash_slow(), header, body, receipts })
}

/// Version and body.
fn body(record: &[u8], kind: u8, index: u64) -> Result<(u8, &[u8])> {
    match record {
        [found, version @ 1..=VERSION, body @ ..] if *found == kind => Ok((*version, body)),
        [found, version, ..] if *found == kind && *version > VERSION => {
            Err(Error::Newer { found: *version, supported: VERSION })
        }
        [..] => Err(malformed(index, &"it is not of the kind expected here")),
    }
}

fn malformed(record: u64, reason: &dyn std::fmt::Display) -> Error {
    Error::Record { record, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block;
    use crate::edit::NextBlock;
    use crate::execute::Executed;
    use alloy::consensus::{Header, SignableTransaction, TxEip1559, TxLegacy};
    use alloy::eips::eip4895::Withdrawal;
    use alloy_primitives::{B256, Bytes, Signature, TxKind, U256};
    use proptest::prelude::*;

    fn sealed(inputs: Vec<(Vec<u8>, bool, u64)>) -> SealedBlock {
        let signature = Signature::new(U256::from(5), U256::from(9), true);
        let mut transactions = Vec::new();
        let mut receipts = Vec::new();
        for (index, (data, legacy, gas)) in (0u64..).zip(inputs) {
            let (to, input) = (TxKind::Call(Address::with_last_byte(3)), Bytes::from(data.clone()));
            let tx: TxEnvelope = if legacy {
                TxLegacy { chain_id: Some(9), nonce: index, to, input, ..TxLegacy::default() }
                    .into_signed(signature)
                    .into()
            } else {
                TxEip1559 { chain_id: 9, nonce: index, to, input, ..TxEip1559::default() }
                    .into_signed(signature)
                    .into()
            };
            let log = Log::new_unchecked(
                Address::with_last_byte(8),
                vec![B256::with_last_byte(1)],
                data.into(),
            );
            // As until Byzantium, or as after it.
            let status = match gas % 2 {
                0 if legacy => Eip658Value::PostState(B256::repeat_byte(7)),
                _ => legacy.into(),
            };
            let receipt = Receipt { status, cumulative_gas_used: gas, logs: vec![log] };
            receipts.push(ReceiptEnvelope::from_typed(tx.tx_type(), receipt.with_bloom()));
            transactions.push(Recovered::new_unchecked(tx, Address::with_last_byte(index as u8)));
        }
        let genesis = Genesis::development(9, 5);
        let header = block::next_header(
            &genesis,
            &Header::default(),
            B256::repeat_byte(4),
            77,
            &NextBlock::default(),
        );
        let ommers = vec![Header { number: 3, ..Header::default() }];
        let withdrawals = Some(vec![Withdrawal::default()].into());
        let body = Body { transactions, ommers, withdrawals };
        let (blob_gas_used, requests_hash) = (Some(0), Some(B256::repeat_byte(8)));
        let executed = Executed { receipts, gas_used: 21_000, blob_gas_used, requests_hash };
        block::seal(header, body, executed, B256::repeat_byte(6))
    }

    proptest! {
        #[test]
        fn blocks_survive_and_cut_ones_are_refused(
            inputs in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..80), any::<bool>(), any::<u64>()), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let block = sealed(inputs);
            let record = encode_block(&block);
            prop_assert_eq!(decode_block(&record, 1).unwrap(), block);
            prop_assert!(decode_block(&record[..cut.index(record.len())], 1).is_err());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut record = vec![KIND_BLOCK, VERSION];
            record.extend(bytes);
            prop_assert!(decode_block(&record, 1).is_err());
        }
    }

    #[test]
    fn edits_are_read_as_they_were() {
        let accounts = r#"{"accounts":{"0x0000000000000000000000000000000000000001":
            {"balance":"0x5","nonce":"0x2","code":"0x5f","stateDiff":
            {"0x0000000000000000000000000000000000000000000000000000000000000001":
            "0x0000000000000000000000000000000000000000000000000000000000000007"}}}}"#;
        let next = r#"{"next":{"baseFee":7,"gasLimit":null}}"#;
        for edit in [accounts, next, r#"{"rewind":3}"#] {
            let edit: Edit = serde_json::from_str(edit).unwrap();
            let record = encode_edit(&edit).unwrap();
            assert!(matches!(decode(&record, 5).unwrap(), Stored::Edit(found) if found == edit));
            assert!(decode(&record[..record.len() - 1], 5).is_err());
            assert!(decode_block(&record, 5).is_err());
        }
    }

    #[test]
    fn newer_and_other_records_are_refused() {
        let record = encode_genesis(&Genesis::development(5, 6)).unwrap();
        assert_eq!(decode_genesis(&record, 0).unwrap(), Genesis::development(5, 6));
        assert!(matches!(decode_block(&record, 0), Err(Error::Record { .. })));
        assert!(matches!(
            decode_genesis(&[KIND_GENESIS, VERSION + 1, 1], 0),
            Err(Error::Newer { found: 3, supported: 2 })
        ));
    }
}
