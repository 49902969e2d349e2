//! From the journal back to a running state: every block is executed again and compared.

use std::sync::Arc;

use alloy_primitives::keccak256;
use revm::bytecode::Bytecode;
use vouch_journal::{Journal, Position};

use crate::block::{SealedBlock, seal};
use crate::chain::Progress;
use crate::execute::Execution;
use crate::index::Index;
use crate::node::View;
use crate::record;
use crate::state::{Account, HISTORY_ENTRIES, History, Overlay, State, Tries};
use crate::{Error, Genesis, Result};

/// The chain as it is after its newest block.
pub(crate) struct Replayed {
    pub(crate) genesis: Genesis,
    pub(crate) view: View,
    pub(crate) tries: Tries,
}

/// Reads the whole journal; an empty one gets `genesis` as its first record.
pub(crate) fn replay(
    journal: &mut Journal,
    genesis: &Genesis,
    history_blocks: usize,
    total_records: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Replayed> {
    let mut records = journal.iter();
    let genesis = match records.next().transpose()? {
        Some((_, record)) => record::decode_genesis(&record, 0)?,
        None => {
            genesis.validate()?;
            journal.append(&record::encode_genesis(genesis)?)?;
            journal.sync()?;
            genesis.clone()
        }
    };
    let (mut view, mut tries) = begin(&genesis, history_blocks)?;
    for (number, record) in (1..).zip(records) {
        let (position, record) = record?;
        let block = record::decode_block(&record, number)?;
        import(&mut view, &mut tries, block, position, &genesis)?;
        progress(Progress { block: number, of: total_records.saturating_sub(1) });
    }
    Ok(Replayed { genesis, view, tries })
}

/// State and index with block 0 alone.
fn begin(genesis: &Genesis, history_blocks: usize) -> Result<(View, Tries)> {
    let mut state = State::new(History::new(history_blocks, HISTORY_ENTRIES));
    let mut tries = Tries::default();
    let empty = View { state, index: Index::new(seal_genesis(genesis, Default::default())) };
    let mut overlay = Overlay::new(&empty);
    for (address, account) in &genesis.alloc {
        let code = Bytecode::new_raw_checked(account.code.clone())
            .map_err(|e| Error::Genesis(format!("the code of {address} is malformed: {e}")))?;
        let leaf = Account {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: keccak256(&account.code),
            ..Account::default()
        };
        overlay.set(*address, leaf, code, account.storage.iter().copied());
    }
    let mut changes = overlay.into_changes(&empty.state);
    state = empty.state;
    let state_root = tries.apply(0, &mut changes);
    state.apply(0, changes);
    Ok((View { state, index: Index::new(seal_genesis(genesis, state_root)) }, tries))
}

fn seal_genesis(genesis: &Genesis, state_root: alloy_primitives::B256) -> SealedBlock {
    seal(genesis.header(state_root), Vec::new(), Vec::new(), 0, state_root)
}

/// Executes a stored block on top of the newest and takes it in if all its roots come out again.
fn import(
    view: &mut View,
    tries: &mut Tries,
    block: SealedBlock,
    position: Position,
    genesis: &Genesis,
) -> Result<()> {
    let (number, hash) = (block.header.number, block.hash);
    let parent = view.index.head();
    if parent.hash != block.header.parent_hash || parent.header.number + 1 != number {
        return Err(Error::Parent { number, hash });
    }
    let mut overlay = Overlay::new(&*view);
    let mut execution = Execution::begin(&mut overlay, block.header.clone(), genesis.chain_id)?;
    for transaction in &block.transactions {
        execution.execute(transaction)?.map_err(|refused| Error::Execution {
            number,
            reason: format!("{} is not valid: {refused:?}", transaction.hash()),
        })?;
    }
    let (header, receipts, gas_used) = execution.finish();
    let mut changes = overlay.into_changes(&view.state);
    let state_root = tries.apply(number, &mut changes);
    let again = seal(header, block.transactions.clone(), receipts, gas_used, state_root);
    compare(&block, &again)?;
    view.state.apply(number, changes);
    view.index.push(Arc::new(block), position);
    Ok(())
}

fn compare(stored: &SealedBlock, again: &SealedBlock) -> Result<()> {
    let differs = |what, stored: &dyn ToString, computed: &dyn ToString| Error::Replay {
        number: again.header.number,
        what,
        stored: stored.to_string(),
        computed: computed.to_string(),
    };
    let (a, b) = (&stored.header, &again.header);
    if a.state_root != b.state_root {
        return Err(differs("state root", &a.state_root, &b.state_root));
    }
    if a.receipts_root != b.receipts_root || stored.receipts != again.receipts {
        return Err(differs("receipts root", &a.receipts_root, &b.receipts_root));
    }
    if a.gas_used != b.gas_used {
        return Err(differs("gas used", &a.gas_used, &b.gas_used));
    }
    if stored.hash != again.hash {
        return Err(differs("hash", &stored.hash, &again.hash));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::next_header;
    use alloy_primitives::B256;
    use tempfile::TempDir;

    /// Replays a journal with the genesis and one empty block, changed before it is sealed.
    fn replay_changed(
        change: impl FnOnce(&mut alloy::consensus::Header, &mut B256),
    ) -> Result<u64> {
        let dir = TempDir::new().unwrap();
        let (mut journal, _) = Journal::open(dir.path(), Default::default()).unwrap();
        let genesis = Genesis { alloc: Vec::new(), ..Genesis::development(7, 1_000) };
        let begun = replay(&mut journal, &genesis, 10, 0, &mut |_| {})?;
        let parent = begun.view.index.head();
        let mut state_root = parent.header.state_root;
        let mut header = next_header(&parent.header, parent.hash, 1_000);
        change(&mut header, &mut state_root);
        let block = seal(header, Vec::new(), Vec::new(), 0, state_root);
        journal.append(&record::encode_block(&block)).unwrap();
        journal.sync().unwrap();
        Ok(replay(&mut journal, &genesis, 10, 2, &mut |_| {})?.view.state.number())
    }

    #[test]
    fn only_blocks_that_execute_to_the_same_are_taken() {
        assert_eq!(replay_changed(|_, _| {}).unwrap(), 1);
        let error = replay_changed(|_, root| root.0[0] ^= 1).unwrap_err();
        assert!(matches!(error, Error::Replay { number: 1, what: "state root", .. }), "{error}");
        let error = replay_changed(|header, _| header.parent_hash.0[0] ^= 1).unwrap_err();
        assert!(matches!(error, Error::Parent { number: 1, .. }), "{error}");
        let error = replay_changed(|header, _| header.number = 2).unwrap_err();
        assert!(matches!(error, Error::Parent { number: 2, .. }), "{error}");
    }
}
