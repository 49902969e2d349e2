//! From the journal back to a running state: every block is executed again and compared.

use std::sync::Arc;

use alloy::consensus::{Header, TxEnvelope};
use alloy::genesis::ChainConfig;
use alloy::rpc::types::state::StateOverride;
use alloy_primitives::{Address, B256, U256, keccak256};
use revm::bytecode::Bytecode;
use revm::primitives::hardfork::SpecId;
use vouch_journal::{Disk, Journal, Position};

use crate::block::{Body, SealedBlock, next_excess_blob_gas, seal};
use crate::chain::Progress;
use crate::edit::{self, Edit, NextBlock, Undone};
use crate::execute::{Executed, Execution};
use crate::fork::Fork;
use crate::index::{self, Index, Kept, Snapshot};
use crate::keeper::{self, Keeper, Last, Parts};
use crate::node::View;
use crate::record::{self, Stored};
use crate::rules::{self, Rules};
use crate::state::{Account, Changes, History, Overlay, Patch, State, Tries};
use crate::{Error, Genesis, Result};

/// How far back a block may name blocks beside the chain.
const OMMER_DEPTH: u64 = 6;

/// The chain as it is after its newest block.
pub(crate) struct Replayed {
    pub(crate) view: View,
    pub(crate) tries: Tries,
    pub(crate) last: Last,
    pub(crate) keeper: Keeper,
}

/// What is known of what was, and where.
#[derive(Debug)]
pub(crate) struct Past {
    /// Where what memory cannot hold goes; without, it is let go.
    pub(crate) disk: Option<Arc<dyn Disk>>,
    /// [`Options::history_blocks`](crate::Options::history_blocks).
    pub(crate) history_blocks: Option<u64>,
    /// [`Options::prune_blocks`](crate::Options::prune_blocks).
    pub(crate) prune_blocks: Option<u64>,
    /// [`Options::step_bytes`](crate::Options::step_bytes).
    pub(crate) step_bytes: usize,
}

impl Past {
    /// An index of nothing, in place of what there is, of a chain that begins with this block.
    fn begin(&self, begins: u64) -> Result<Option<Kept>> {
        if let Some(disk) = &self.disk {
            index::remove_index(disk.as_ref())?;
        }
        Ok(self.nothing(begins))
    }

    /// An index of nothing. What there is stays until a snapshot names another.
    pub(crate) fn nothing(&self, begins: u64) -> Option<Kept> {
        self.disk.clone().map(|disk| Kept::new(disk, self.prune_blocks, begins))
    }
}

/// What a journal begins with.
///
/// # Errors
/// [`Error::Journal`], [`Error::Record`] and [`Error::Newer`].
pub(crate) fn genesis(journal: &Journal) -> Result<Genesis> {
    let missing = || Error::Record { record: 0, reason: "it is missing".to_owned() };
    let (_, first) = journal.iter().next().transpose()?.ok_or_else(missing)?;
    record::decode_genesis(&first, 0)
}

/// The chain that one with this genesis goes on from, if it does, with what is on its disk of it.
///
/// # Errors
/// [`Error::Fork`] if the node at `url` is of another chain; [`Error::Journal`].
pub(crate) fn fork(
    genesis: &Genesis,
    url: Option<&str>,
    disk: &Arc<dyn Disk>,
) -> Result<Option<Arc<Fork>>> {
    let fork = genesis.fork_point().map(|point| Fork::open(point, url, disk)).transpose()?;
    Ok(fork.map(Arc::new))
}

/// What a replay needs besides the journal.
pub(crate) struct Replay<'a> {
    pub(crate) journal: &'a Journal,
    pub(crate) genesis: &'a Genesis,
    pub(crate) fork: Option<Arc<Fork>>,
    pub(crate) past: &'a Past,
    /// How many records there are.
    pub(crate) records: u64,
    pub(crate) progress: &'a mut dyn FnMut(Progress),
}

impl Replay<'_> {
    /// Goes on from a snapshot, or from the genesis where all was taken back since; `None` if it is
    /// of another journal, or if some of what it has was taken back. `before` are the snapshots
    /// before it, the newest last.
    ///
    /// # Errors
    /// [`Error::Index`] if the index cannot be read; and as [`Self::whole`].
    pub(crate) fn resume(
        &mut self,
        snapshot: &Snapshot,
        mut before: Vec<Snapshot>,
    ) -> Result<Option<Replayed>> {
        let Some(disk) = self.past.disk.clone() else { return Ok(None) };
        let known = snapshot.known();
        let reader = self.journal.reader();
        if known.journal != self.journal.id() {
            return Ok(None);
        }
        let Some(undone) = Undone::in_records(&reader, known.record, snapshot.record)? else {
            return self.reset(known.record, snapshot.record);
        };
        let kept = Kept::open(disk.clone(), snapshot, self.past.prune_blocks)?;
        let (mut view, _) = begin(self.genesis, self.fork.clone(), Some(kept), self.past)?;
        let mut tries = Tries::new(self.fork.clone());
        let mut changes = snapshot.state(disk.as_ref())?;
        if tries.apply(snapshot.blocks, &mut changes)? != snapshot.state_root {
            return Err(Error::Index(std::io::Error::other("the state is not that of its root")));
        }
        view.resume(snapshot, changes, &reader)?;
        let last = Last { record: snapshot.record, position: known.record };
        before.push(snapshot.clone());
        let keeper = Keeper::new(self.journal, self.past.prune_blocks, before);
        let mut replayed = Replayed { view, tries, last, keeper };
        // What was taken back is known: all goes by.
        self.go_on(&mut replayed, &undone)?;
        Ok(Some(replayed))
    }

    /// Begins anew behind the last record from this one on that has taken back all; `None` if there
    /// is none.
    fn reset(&mut self, position: Position, record: u64) -> Result<Option<Replayed>> {
        let reader = self.journal.reader();
        let Some((record, position)) = Undone::last_reset(&reader, position, record)? else {
            return Ok(None);
        };
        let undone = Undone::in_records(&reader, position, record)?.unwrap_or_default();
        let kept = self.past.nothing(self.genesis.first_block());
        let (view, tries) = begin(self.genesis, self.fork.clone(), kept, self.past)?;
        let keeper = Keeper::new(self.journal, self.past.prune_blocks, Vec::new());
        let last = Last { record, position };
        let mut replayed = Replayed { view, tries, last, keeper };
        self.go_on(&mut replayed, &undone)?;
        Ok(Some(replayed))
    }

    /// Reads the whole journal.
    ///
    /// # Errors
    /// [`Error::Journal`], and [`Error::Record`], [`Error::Newer`], [`Error::Replay`] or
    /// [`Error::Parent`] if what it holds is not a chain of this program.
    pub(crate) fn whole(&mut self) -> Result<Replayed> {
        // Most journals take nothing back, and are read once.
        let mut taken_back = Undone::default();
        loop {
            let kept = self.past.begin(self.genesis.first_block())?;
            let (view, tries) = begin(self.genesis, self.fork.clone(), kept, self.past)?;
            let last = Last { record: 0, position: Position::FIRST };
            let keeper = Keeper::new(self.journal, self.past.prune_blocks, Vec::new());
            let mut replayed = Replayed { view, tries, last, keeper };
            if self.go_on(&mut replayed, &taken_back)? {
                return Ok(replayed);
            }
            taken_back = Undone::of_all(&self.journal.reader())?;
        }
    }

    /// Executes what follows the last record; passes over what is `undone`, and stops with `false`
    /// if that is not all that was.
    fn go_on(&mut self, replayed: &mut Replayed, undone: &Undone) -> Result<bool> {
        let first = replayed.last;
        let records = self.journal.reader().iter_from(first.position).skip(1);
        for (index, record) in (first.record + 1..).zip(records) {
            let (position, record) = record?;
            let of = self.records.saturating_sub(1).saturating_sub(first.record);
            (self.progress)(Progress { done: index - first.record, of });
            replayed.last = Last { record: index, position };
            if undone.contains(index) {
                continue;
            }
            let Replayed { view, tries, last, keeper } = replayed;
            match record::decode(&record, index)? {
                Stored::Block(block) => import(view, tries, *block, position, self.genesis)?,
                Stored::Edit(Edit::Accounts(accounts)) => {
                    edit_again(view, tries, &accounts, index)?
                }
                Stored::Edit(Edit::Next(next)) => view.next = next,
                Stored::Edit(Edit::Rewind(_)) => return Ok(false),
            }
            if !view.is_full() {
                continue;
            }
            match view.index.kept().cloned() {
                Some(kept) => {
                    let step = view.step();
                    let parts = Parts::of(view, tries, kept, step);
                    let kept = keeper.keep_now(parts, *last, keeper::NONE)?;
                    view.keep(kept);
                }
                None => view.let_go(),
            }
        }
        Ok(true)
    }
}

/// Carries out a stored change of accounts.
fn edit_again(
    view: &mut View,
    tries: &mut Tries,
    accounts: &StateOverride,
    index: u64,
) -> Result<()> {
    let mut changes = edit::changes_again(accounts, view)
        .map_err(|e| Error::Record { record: index, reason: e.to_string() })?;
    let number = view.state.number();
    tries.apply(number, &mut changes)?;
    view.state.apply(number, changes)?;
    Ok(())
}

/// State and index with the first block alone, and an index on disk.
pub(crate) fn begin(
    genesis: &Genesis,
    fork: Option<Arc<Fork>>,
    kept: Option<Kept>,
    past: &Past,
) -> Result<(View, Tries)> {
    let first = genesis.first_block();
    let history = History::new(kept.clone(), past.history_blocks, first);
    let mut state = State::new(history, fork.clone());
    let mut tries = Tries::new(fork.clone());
    let view = |state, state_root| {
        let block = first_block(genesis, state_root);
        // That of a fork's block says nothing: what is made after it is merged.
        let total_difficulty = match genesis.fork_point() {
            Some(_) => U256::ZERO,
            None => block.header.difficulty,
        };
        // Of a fork's block that is as it is there.
        let is_other = block.header.gas_limit != genesis.gas_limit();
        // One before base fees is followed by blocks with, whose limit would be twice as high.
        let is_old = genesis.fork_point().is_some() && block.header.base_fee_per_gas.is_none();
        let chosen = (is_other || is_old).then_some(genesis.gas_limit());
        let next = NextBlock { gas_limit: chosen, ..NextBlock::default() };
        let index = Index::new(block, kept.clone());
        View { state, index, total_difficulty, next, gas_used: 0, step_bytes: past.step_bytes }
    };
    if let Some(fork) = &fork {
        let addresses: Vec<Address> = genesis.accounts().map(|(address, _)| address).collect();
        fork.prefetch(&addresses)?;
    }
    let empty = view(state, Default::default());
    let mut overlay = Overlay::new(&empty);
    for (address, account) in genesis.accounts() {
        if fork.is_some() {
            let balance = Some(account.balance);
            overlay.patch(address, &Patch { balance, ..Patch::default() })?;
            continue;
        }
        let code = account.code.clone().unwrap_or_default();
        let leaf = Account {
            nonce: account.nonce.unwrap_or_default(),
            balance: account.balance,
            code_hash: keccak256(&code),
            ..Account::default()
        };
        let code = Bytecode::new_raw_checked(code)
            .map_err(|e| Error::Genesis(format!("the code of {address} is malformed: {e}")))?;
        let slots = account.storage.iter().flatten();
        let slots = slots.filter(|(_, value)| !value.is_zero());
        overlay.set(
            address,
            leaf,
            code,
            slots.map(|(key, value)| ((*key).into(), (*value).into())),
        );
    }
    let mut changes = overlay.into_changes(&empty.state)?;
    state = empty.state;
    let state_root = tries.apply(first, &mut changes)?;
    state.apply(first, changes)?;
    if let Some(fork) = fork {
        fork.save()?;
    }
    Ok((view(state, state_root), tries))
}

/// Of a fork's block its header alone is here.
fn first_block(genesis: &Genesis, state_root: B256) -> SealedBlock {
    if let Some(point) = genesis.fork_point() {
        let (header, hash) = (point.header().clone(), point.hash());
        return SealedBlock { hash, header, body: Body::default(), receipts: Vec::new() };
    }
    let header = genesis.header(state_root);
    let rules = Rules::of_header(genesis.config(), &header);
    let executed = Executed {
        blob_gas_used: header.blob_gas_used,
        requests_hash: header.requests_hash,
        ..Executed::default()
    };
    seal(header, Body::of(Vec::new(), &rules), executed, state_root)
}

/// Executes a stored block on top of the newest and takes it in if it comes out again.
fn import(
    view: &mut View,
    tries: &mut Tries,
    block: SealedBlock,
    position: Position,
    genesis: &Genesis,
) -> Result<()> {
    let (again, changes) = execute(view, tries, &block.header, &block.body, genesis)?;
    if block.receipts != again.receipts {
        let reason = "its receipts are not those of its block".to_owned();
        return Err(Error::Record { record: block.header.number, reason });
    }
    view.push(Arc::new(block), changes, position)
}

/// Executes a block that was made before or elsewhere on top of the newest. The tries are moved on;
/// after an error they are as before.
///
/// # Errors
/// [`Error::Parent`], [`Error::Execution`], or [`Error::Replay`] if it is not what its header says.
pub(crate) fn execute(
    view: &View,
    tries: &mut Tries,
    header: &Header,
    body: &Body,
    genesis: &Genesis,
) -> Result<(SealedBlock, Changes)> {
    let rules = check(view, header, body, genesis)?;
    let mut overlay = Overlay::new(view);
    let ran = run(&mut overlay, view, tries, header, body, rules);
    let mut changes = overlay.into_writes(&view.state)?;
    if rules.are(SpecId::BYZANTIUM) {
        changes.retain_changed(&view.state)?;
    }
    let sealed = ran.and_then(|(begun, executed)| {
        let state_root = tries.apply(header.number, &mut changes)?;
        let again = seal(begun, body.clone(), executed, state_root);
        compare(header, &again).map(|()| again)
    });
    match sealed {
        Ok(again) => {
            changes.retain_changed(&view.state)?;
            Ok((again, changes))
        }
        Err(error) => {
            tries.apply(view.state.number(), &mut changes.undone(&view.state)?)?;
            Err(error)
        }
    }
}

fn run(
    overlay: &mut Overlay<&View>,
    view: &View,
    tries: &mut Tries,
    header: &Header,
    body: &Body,
    rules: Rules,
) -> Result<(Header, Executed)> {
    let number = header.number;
    let mut execution = Execution::begin(overlay, header.clone(), rules)?;
    for transaction in &body.transactions {
        execution.execute(transaction)?.map_err(|refused| Error::Execution {
            number,
            reason: format!("{} is not valid: {refused:?}", transaction.hash()),
        })?;
        if !rules.are(SpecId::BYZANTIUM) {
            let accounts = execution.overlay().writes(&view.state, view.state.number())?;
            let root = tries.apply(number, &mut Changes { accounts, codes: Vec::new() })?;
            execution.set_post_state(root);
        }
    }
    execution.finish(body)
}

/// What a block must be by what precedes it, before it is executed. Work (ethash) is not looked at,
/// and times may repeat, as they do in blocks that are made here.
fn check(view: &View, header: &Header, body: &Body, genesis: &Genesis) -> Result<Rules> {
    let (number, parent) = (header.number, view.index.head());
    if parent.hash != header.parent_hash || parent.header.number + 1 != number {
        return Err(Error::Parent { number, hash: header.hash_slow() });
    }
    let config = genesis.config();
    let rules = Rules::of_header(config, header);
    let merged = rules::is_merged(config, view.total_difficulty);
    let parent = &parent.header;
    let base_fee = rules.are(SpecId::LONDON).then(|| view.next.base_fee(parent));
    let first_fee = rules.are(SpecId::LONDON) && parent.base_fee_per_gas.is_none();
    // A block with a base fee is half full at the same use of gas (EIP-1559).
    let parent_limit = parent.gas_limit.saturating_mul(if first_fee { 2 } else { 1 });
    let moved = header.gas_limit.abs_diff(parent_limit);
    let wrong_gas_limit = match view.next.gas_limit {
        Some(chosen) => header.gas_limit != chosen,
        None => moved >= (parent_limit / 1024).max(1) || header.gas_limit < 5_000,
    };
    let excess_blob_gas = next_excess_blob_gas(&rules, parent);
    let wrong = [
        ("difficulty", header.difficulty.is_zero() != merged),
        ("nonce", merged && !header.nonce.is_zero()),
        ("timestamp", header.timestamp < parent.timestamp),
        ("gas limit", wrong_gas_limit),
        ("extra data", header.extra_data.len() > 32),
        ("base fee", header.base_fee_per_gas != base_fee),
        ("excess blob gas", header.excess_blob_gas != excess_blob_gas),
        ("beacon root", header.parent_beacon_block_root.is_some() != rules.are(SpecId::CANCUN)),
        ("withdrawals", body.withdrawals.is_some() != rules.are(SpecId::SHANGHAI)),
        ("ommers", !are_ommers(view, number, &body.ommers, merged)?),
        ("transactions", !are_transactions(config, number, body)),
    ];
    match wrong.into_iter().find_map(|(what, wrong)| wrong.then_some(what)) {
        Some(what) => Err(Error::Execution {
            number,
            reason: format!("its {what} cannot follow the block before it"),
        }),
        None => Ok(rules),
    }
}

/// Whether these blocks may be named beside the chain: at most two, each once, of the last six
/// heights, grown from the chain and not in it.
fn are_ommers(view: &View, number: u64, ommers: &[Header], merged: bool) -> Result<bool> {
    if merged || ommers.len() > 2 {
        return Ok(ommers.is_empty());
    }
    let mut named: Vec<B256> = (1..=OMMER_DEPTH + 1)
        .filter_map(|depth| view.index.recent(number.checked_sub(depth)?))
        .flat_map(|block| block.body.ommers.iter().map(Header::hash_slow).collect::<Vec<_>>())
        .collect();
    for ommer in ommers {
        let hash = ommer.hash_slow();
        let depth = number.checked_sub(ommer.number);
        let parent = match ommer.number.checked_sub(1) {
            Some(number) => view.index.hash(number)?,
            None => None,
        };
        if named.contains(&hash)
            || !depth.is_some_and(|depth| (1..=OMMER_DEPTH).contains(&depth))
            || view.index.hash(ommer.number)? == Some(hash)
            || parent != Some(ommer.parent_hash)
        {
            return Ok(false);
        }
        named.push(hash);
    }
    Ok(true)
}

/// Whether these may be in a block at all: bound to a chain only when that has begun (EIP-155), and
/// without blobs, which are not the execution layer's.
fn are_transactions(config: &ChainConfig, number: u64, body: &Body) -> bool {
    let bound = config.eip155_block.is_some_and(|at| at <= number);
    body.transactions.iter().all(|transaction| match transaction.inner() {
        TxEnvelope::Legacy(legacy) => bound || legacy.tx().chain_id.is_none(),
        TxEnvelope::Eip4844(blobs) => blobs.tx().sidecar().is_none(),
        _ => true,
    })
}

/// Refuses a block that executing it makes another.
fn compare(stored: &Header, again: &SealedBlock) -> Result<()> {
    let hash = stored.hash_slow();
    if hash == again.hash {
        return Ok(());
    }
    let (number, b) = (again.header.number, &again.header);
    let fields: [(&'static str, &dyn ToString, &dyn ToString); 5] = [
        ("gas used", &stored.gas_used, &b.gas_used),
        ("receipts root", &stored.receipts_root, &b.receipts_root),
        ("transactions root", &stored.transactions_root, &b.transactions_root),
        ("state root", &stored.state_root, &b.state_root),
        ("hash", &hash, &again.hash),
    ];
    for (what, stored, computed) in fields {
        let (stored, computed) = (stored.to_string(), computed.to_string());
        if stored != computed {
            return Err(Error::Replay { number, what, stored, computed });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::next_header;
    use crate::genesis::FirstGenesis;
    use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
    use tempfile::TempDir;

    const PAST: Past = Past { disk: None, history_blocks: None, prune_blocks: None, step_bytes: 0 };

    /// Replays a journal with the genesis and one empty block, changed before it is sealed.
    fn replay_changed(
        change: impl FnOnce(&mut alloy::consensus::Header, &mut B256),
    ) -> Result<u64> {
        let dir = TempDir::new().unwrap();
        let (mut journal, _) = Journal::open(dir.path(), Default::default()).unwrap();
        // As the first version stored it: without accounts a block changes nothing.
        let first = r#"{"chain_id": 7, "timestamp": 1000, "gas_limit": 1000000000, "alloc": []}"#;
        let genesis: Genesis = serde_json::from_str::<FirstGenesis>(first).unwrap().into();
        journal.append(&record::encode_genesis(&genesis)?).unwrap();
        journal.sync().unwrap();
        let begun = again(&journal, 1)?;
        let parent = begun.view.index.head();
        let mut state_root = parent.header.state_root;
        let mut header =
            next_header(&genesis, &parent.header, parent.hash, 1_000, &NextBlock::default());
        change(&mut header, &mut state_root);
        let rules = Rules::of_header(genesis.config(), &header);
        let executed = Executed {
            blob_gas_used: Some(0),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Executed::default()
        };
        let block = seal(header, Body::of(Vec::new(), &rules), executed, state_root);
        journal.append(&record::encode_block(&block)).unwrap();
        journal.sync().unwrap();
        Ok(again(&journal, 2)?.view.state.number())
    }

    fn again(journal: &Journal, records: u64) -> Result<Replayed> {
        let genesis = &super::genesis(journal)?;
        Replay { journal, genesis, fork: None, past: &PAST, records, progress: &mut |_| {} }.whole()
    }

    /// As some networks begin that have never known work.
    #[test]
    fn a_first_block_with_difficulty_may_be_merged_already() {
        let genesis = br#"{
            "config": {
                "chainId": 7, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
                "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0,
                "petersburgBlock": 0, "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0,
                "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0
            },
            "difficulty": "0x1", "gasLimit": "0x1c9c380", "alloc": {}
        }"#;
        let genesis = Genesis::from_json(genesis).unwrap();
        let (view, _) = begin(&genesis, None, None, &PAST).unwrap();
        let first = view.index.head();
        assert_eq!(first.header, genesis.header(first.header.state_root));
        assert!(first.header.withdrawals_root.is_some() && first.header.blob_gas_used.is_some());
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
