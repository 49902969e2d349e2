//! What the parts of a node's work take by themselves, in this process: the most that a node could
//! do which did nothing else.

use std::{
    hint::black_box,
    num::NonZeroUsize,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::eip2718::Decodable2718,
};
use alloy_primitives::{Address, U256, utils::Unit};
use alloy_sol_types::{SolCall, SolValue};
use anyhow::{Context as _, ensure};
use revm::{
    Context, DatabaseCommit, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext,
    context::{BlockEnv, CfgEnv, TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::AccountInfo,
};
use secp256k1::{
    Message, SECP256K1,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use vouch_benches::disk::syncs_per_second;
use vouch_contracts::bindings::TestDollar;

use crate::transfers::{ACCOUNT_ETHER, CHAIN_ID, Signed, Transfers};

/// As in a well filled block.
const BLOCK: usize = 1_000;
const MOST_RECOVERED: usize = 20_000;
const SYNCING: Duration = Duration::from_secs(2);
const BASE_FEE_WEI: u64 = 1_000_000_000;

/// Seconds that each takes on one thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceilings {
    /// To run one transfer by revm, its writes committed to a map.
    pub(crate) run_s: f64,
    /// The same where the writes of 1,000 are committed together.
    pub(crate) run_in_block_s: f64,
    /// To find out one sender by libsecp256k1.
    pub(crate) recover_s: f64,
    /// To append a little to a file and sync it.
    pub(crate) append_s: f64,
    /// The same where the file need not become larger: as fast as a log can be.
    pub(crate) sync_s: f64,
}

impl Ceilings {
    pub(crate) fn measure(
        transfers: &Transfers,
        count: usize,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let [append, sync] = syncs_per_second(directory, SYNCING)?;
        Ok(Self {
            run_s: run(transfers, count, 1)?,
            run_in_block_s: run(transfers, count, BLOCK)?,
            recover_s: recover(&transfers.signed[..count.min(MOST_RECOVERED)])?,
            append_s: 1.0 / append,
            sync_s: 1.0 / sync,
        })
    }

    /// Transfers a second, one after another, each durable before the next.
    pub(crate) fn in_turn(&self) -> f64 {
        1.0 / (self.recover_s + self.run_s + self.sync_s)
    }

    /// Transfers a second where all cores do nothing but recover senders and run transfers.
    pub(crate) fn on_all_cores(&self) -> f64 {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        cores as f64 / (self.recover_s + self.run_in_block_s)
    }
}

/// Runs the transfers by revm, without trie, disk or signatures; seconds for each.
fn run(transfers: &Transfers, count: usize, block: usize) -> anyhow::Result<f64> {
    let config = CfgEnv::new_with_spec(SpecId::OSAKA).with_chain_id(CHAIN_ID);
    let environment = BlockEnv { basefee: BASE_FEE_WEI, ..BlockEnv::default() };
    let context = Context::mainnet().with_db(accounts(transfers)).with_cfg(config);
    let mut evm = context.with_block(environment).build_mainnet();
    for transaction in transactions(&transfers.setup)? {
        ensure!(evm.transact_commit(transaction)?.is_success(), "revm refuses the setup");
    }
    let transactions = transactions(&transfers.signed[..count])?;
    let (start, mut succeeded) = (Instant::now(), 0);
    for part in transactions.chunks(block) {
        for transaction in part {
            succeeded += usize::from(evm.transact_one(transaction.clone())?.is_success());
        }
        let writes = evm.finalize();
        evm.ctx.journaled_state.database.commit(writes);
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(succeeded == count, "{succeeded} of {count} transfers succeeded in revm");

    let (giver, nonce) = (transfers.giver, transfers.setup.len() as u64);
    for (account, expected) in transfers.senders.iter().zip(transfers.balances(count)) {
        let call = TestDollar::balanceOfCall { account: *account }.abi_encode();
        let transaction = TxEnv::builder().caller(giver).nonce(nonce).chain_id(Some(CHAIN_ID));
        let transaction = transaction.gas_price(u128::from(BASE_FEE_WEI)).gas_limit(100_000);
        let transaction = transaction.call(transfers.token).data(call.into());
        let result = evm.transact(transaction.build().ok().context("no transaction")?)?.result;
        let ExecutionResult::Success { output, .. } = result else {
            anyhow::bail!("balanceOf fails in revm")
        };
        let found = U256::abi_decode(output.data())?;
        ensure!(found == U256::from(expected), "{account} has {found} in revm, not {expected}");
    }
    Ok(seconds / count as f64)
}

fn accounts(transfers: &Transfers) -> CacheDB<EmptyDB> {
    let mut accounts = CacheDB::new(EmptyDB::default());
    let balance = U256::from(ACCOUNT_ETHER) * Unit::ETHER.wei();
    let giver = AccountInfo { balance, ..AccountInfo::default() };
    accounts.insert_account_info(transfers.giver, giver);
    accounts
}

fn transactions(signed: &[Signed]) -> anyhow::Result<Vec<TxEnv>> {
    let decoded = signed.iter().map(|signed| {
        let transaction = TxEnvelope::decode_2718(&mut signed.raw.as_slice())?;
        Ok(environment(&transaction, signed.sender))
    });
    decoded.collect()
}

fn environment(transaction: &TxEnvelope, sender: Address) -> TxEnv {
    TxEnv {
        tx_type: transaction.tx_type().into(),
        caller: sender,
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        ..TxEnv::default()
    }
}

/// Finds out the public keys alone; seconds for each.
fn recover(signed: &[Signed]) -> anyhow::Result<f64> {
    let parts = signed.iter().map(|signed| {
        let (compact, v) = signed.signature.0.split_at(64);
        let id = RecoveryId::try_from(i32::from(v[0]) - 27)?;
        let signature = RecoverableSignature::from_compact(compact, id)?;
        Ok((Message::from_digest(signed.digest.0), signature))
    });
    let parts = parts.collect::<anyhow::Result<Vec<_>>>()?;
    let start = Instant::now();
    for (message, signature) in &parts {
        black_box(SECP256K1.recover_ecdsa(*message, signature)?);
    }
    Ok(start.elapsed().as_secs_f64() / parts.len() as f64)
}
