//! What lies on disk beside the journal: whatever goes there, answers are those of a chain that has
//! all in memory; and wherever a process ends, the next one finds all that was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use alloy::providers::{DynProvider, Provider};
use alloy::signers::local::PrivateKeySigner;
use proptest::prelude::*;
use serde_json::{Value, json};
use vouch_chain::{Chain, GenesisAccount, ManualClock, Mining, Options};
use vouch_journal::testing::{Fault, MemoryDisk};

use crate::support::{
    ETHER, GENESIS_TIME, LOG, LOG_AT, Origin, STORE, STORE_AT, genesis, init_code, words,
};

const TO: Address = Address::repeat_byte(0x55);

/// What is done to a chain.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Pay(u8),
    Store(u8, u8),
    Log(u8),
    Deploy,
    SetBalance(u8),
    SetStorage(u8, u8),
    BaseFee,
    Mine,
    MineMany(u16),
    Snapshot,
    Revert(u8),
    Reset,
    Restart,
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Pay),
        4 => (0..4_u8, 0..3_u8).prop_map(|(key, value)| Step::Store(key, value)),
        2 => (0..3_u8).prop_map(Step::Log),
        1 => Just(Step::Deploy),
        1 => any::<u8>().prop_map(Step::SetBalance),
        1 => (0..4_u8, 0..3_u8).prop_map(|(key, value)| Step::SetStorage(key, value)),
        1 => Just(Step::BaseFee),
        5 => Just(Step::Mine),
        2 => Just(Step::Snapshot),
        1 => (0..4_u8).prop_map(Step::Revert),
        1 => Just(Step::Restart),
    ]
}

/// A chain on a disk in memory, of which the blocks are made by hand.
pub(crate) struct World {
    pub(crate) disk: MemoryDisk,
    pub(crate) signer: PrivateKeySigner,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) step_bytes: usize,
    pub(crate) prune_blocks: Option<u64>,
    pub(crate) journal: vouch_journal::Options,
    /// What it is a fork of.
    pub(crate) origin: Option<Arc<Origin>>,
    pub(crate) chain: Option<Chain>,
}

impl World {
    pub(crate) fn new(signer: &PrivateKeySigner, step_bytes: usize) -> Self {
        Self {
            disk: MemoryDisk::default(),
            signer: signer.clone(),
            clock: Arc::new(ManualClock::new(GENESIS_TIME)),
            step_bytes,
            prune_blocks: None,
            journal: vouch_journal::Options::default(),
            origin: None,
            chain: None,
        }
    }

    fn of(signer: &PrivateKeySigner, step_bytes: usize, origin: Option<&Arc<Origin>>) -> Self {
        Self { origin: origin.cloned(), ..Self::new(signer, step_bytes) }
    }

    fn options(&self) -> Options {
        let contract = |code: &[u8]| GenesisAccount {
            code: code.to_vec().into(),
            ..GenesisAccount::funded(U256::ZERO)
        };
        let owner = self.signer.address();
        let genesis = match &self.origin {
            Some(origin) => origin.genesis(owner),
            None => genesis(owner)
                .with_account(STORE_AT, contract(&STORE))
                .with_account(LOG_AT, contract(&LOG)),
        };
        let mut options = Options::new(genesis, self.clock.clone());
        options.fork_url = self.origin.as_ref().map(|origin| origin.url.clone());
        options.mining = Mining::Manual;
        options.accounts = vec![self.signer.clone()];
        options.step_bytes = self.step_bytes;
        options.prune_blocks = self.prune_blocks;
        options.journal = self.journal;
        options
    }

    pub(crate) fn open(&mut self) -> vouch_chain::Result<()> {
        self.chain = None;
        self.chain = Some(Chain::open_on(Arc::new(self.disk.clone()), self.options())?);
        Ok(())
    }

    fn provider(&self) -> DynProvider {
        self.chain.as_ref().unwrap().provider()
    }

    pub(crate) async fn call(&self, method: &'static str, params: Value) -> Result<Value, String> {
        self.provider().raw_request(method.into(), params).await.map_err(|e| e.to_string())
    }

    async fn send(&self, to: Option<Address>, value: u64, input: &[u8]) -> Result<Value, String> {
        let from = self.signer.address();
        let input = alloy::primitives::hex::encode_prefixed(input);
        let mut transaction = json!({"from": from, "value": U256::from(value), "input": input});
        transaction["gas"] = json!("0x186a0");
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        self.call("eth_sendTransaction", json!([transaction])).await
    }

    pub(crate) async fn act(&self, step: Step) -> Result<Value, String> {
        let word = |value: u8| B256::from(U256::from(value));
        match step {
            Step::Pay(value) => self.send(Some(TO), value.into(), &[]).await,
            Step::Store(key, value) => {
                self.send(Some(STORE_AT), 0, &words(key.into(), value.into())).await
            }
            Step::Log(topic) => self.send(Some(LOG_AT), 0, &words(topic.into(), 5)).await,
            Step::Deploy => self.send(None, 0, &init_code(&STORE)).await,
            Step::SetBalance(value) => {
                let wei = U256::from(value) * U256::from(ETHER);
                self.call("anvil_setBalance", json!([TO, wei])).await
            }
            Step::SetStorage(key, value) => {
                let params = json!([STORE_AT, U256::from(key), word(value)]);
                self.call("anvil_setStorageAt", params).await
            }
            Step::BaseFee => self.call("anvil_setNextBlockBaseFeePerGas", json!(["0x1000"])).await,
            Step::Mine => self.call("evm_mine", json!([])).await,
            Step::MineMany(blocks) => self.call("anvil_mine", json!([blocks])).await,
            Step::Snapshot => self.call("evm_snapshot", json!([])).await,
            Step::Revert(id) => self.call("evm_revert", json!([U256::from(id)])).await,
            Step::Reset => self.call("anvil_reset", json!([])).await,
            Step::Restart => Ok(Value::Null),
        }
    }

    pub(crate) async fn head(&self) -> u64 {
        let head = self.call("eth_blockNumber", json!([])).await.unwrap();
        serde_json::from_value::<U256>(head).unwrap().to()
    }

    /// All that can be asked of the past.
    async fn past(&self, hashes: &[Value]) -> BTreeMap<String, Value> {
        // Of a fork, what is before its block is the other's.
        let first = self.origin.as_ref().map_or(0, |origin| origin.number);
        self.past_of(first..=self.head().await, hashes).await
    }

    /// All that can be asked of some blocks.
    pub(crate) async fn past_of(
        &self,
        numbers: impl IntoIterator<Item = u64>,
        hashes: &[Value],
    ) -> BTreeMap<String, Value> {
        let mut past = BTreeMap::new();
        let mut asked = Vec::new();
        for number in numbers {
            let at = U256::from(number);
            asked.push(("eth_getBlockByNumber", json!([at, true])));
            asked.push(("eth_getBlockReceipts", json!([at])));
            for address in [TO, STORE_AT, self.signer.address(), Address::ZERO] {
                asked.push(("eth_getBalance", json!([address, at])));
                asked.push(("eth_getTransactionCount", json!([address, at])));
                let keys = ["0x0", "0x1", "0x2", "0x3"];
                asked.push(("eth_getProof", json!([address, keys, at])));
            }
            for key in 0..4 {
                asked.push(("eth_getStorageAt", json!([STORE_AT, U256::from(key), at])));
            }
        }
        asked.push(("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "latest"}])));
        for hash in hashes {
            for method in
                ["eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByHash"]
            {
                let full = method.ends_with("BlockByHash").then_some(json!(false));
                asked.push((
                    method,
                    json!([hash].into_iter().chain(full.as_ref()).collect::<Vec<_>>()),
                ));
            }
        }
        for (method, params) in asked {
            let answer = self.call(method, params.clone()).await;
            past.insert(format!("{method}{params}"), json!(answer));
        }
        past
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn what_is_on_disk_answers_as_memory_does(
        steps in prop::collection::vec(any_step(), 1..50),
        resets: bool,
        step_bytes in prop_oneof![Just(0_usize), Just(3_000), Just(20_000)],
        forked: bool,
    ) {
        let origin = forked.then(|| Arc::new(Origin::start()));
        runtime().block_on(async {
            let signer = PrivateKeySigner::random();
            let mut memory = World::of(&signer, usize::MAX, origin.as_ref());
            let mut disk = World::of(&signer, step_bytes, origin.as_ref());
            memory.open().unwrap();
            disk.open().unwrap();
            let mut hashes = Vec::new();
            let middle = steps.len() / 2;
            for (at, step) in steps.into_iter().enumerate() {
                if resets && at == middle {
                    assert_eq!(memory.act(Step::Reset).await, disk.act(Step::Reset).await);
                }
                if let Step::Restart = step {
                    // What waits and what can be gone back to is not kept.
                    let mine = Step::Mine;
                    assert_eq!(memory.act(mine).await, disk.act(mine).await);
                    memory.open().unwrap();
                    disk.open().unwrap();
                }
                let (one, other) = (memory.act(step).await, disk.act(step).await);
                assert_eq!(one, other, "{step:?}");
                if let (Step::Pay(_) | Step::Store(..) | Step::Log(_), Ok(hash)) = (step, one) {
                    hashes.push(hash);
                }
                let latest = json!(["latest", false]);
                if let Ok(block) = memory.call("eth_getBlockByNumber", latest).await {
                    hashes.push(block["hash"].clone());
                }
            }
            for opened in [false, true] {
                if opened {
                    assert_eq!(memory.act(Step::Mine).await, disk.act(Step::Mine).await);
                    disk.open().unwrap();
                }
                let (one, other) = (memory.past(&hashes).await, disk.past(&hashes).await);
                assert_eq!(one.len(), other.len());
                for (asked, answer) in one {
                    assert_eq!(answer, other[&asked], "{asked}, opened: {opened}");
                }
            }
        });
    }
}

/// Blocks, changes by hand and going back, each durable when it is answered.
const WORK: [Step; 22] = [
    Step::Pay(1),
    Step::Store(1, 1),
    Step::Mine,
    Step::SetBalance(7),
    Step::Pay(2),
    Step::Mine,
    Step::Snapshot,
    Step::Deploy,
    Step::Log(1),
    Step::Mine,
    Step::SetStorage(2, 2),
    Step::Store(1, 2),
    Step::Mine,
    Step::Revert(1),
    Step::Pay(3),
    Step::Mine,
    Step::BaseFee,
    Step::Mine,
    Step::Store(3, 1),
    Step::Mine,
    Step::Reset,
    Step::Mine,
];

impl World {
    /// What the chain is: of all its blocks and of the state after each.
    async fn fingerprint(&self) -> Vec<Value> {
        let past = self.past(&[]).await;
        let meant = |name: &str| !name.starts_with("eth_getProof");
        past.into_iter().filter(|(name, _)| meant(name)).map(|(_, value)| value).collect()
    }

    /// Works until something fails; gives how many steps were answered.
    async fn work(&mut self) -> usize {
        if self.open().is_err() {
            return 0;
        }
        for (done, step) in WORK.into_iter().enumerate() {
            if self.act(step).await.is_err() {
                return done;
            }
        }
        WORK.len()
    }
}

/// How many ends are tried: all that there are, or as many as `VOUCH_TEST_KILLS` says.
pub(crate) fn kills() -> usize {
    std::env::var("VOUCH_TEST_KILLS").map_or(120, |kills| kills.parse().unwrap())
}

/// How a process can end.
pub(crate) const ENDS: [&str; 4] = ["killed", "nothing", "all", "torn"];

/// The disk as the next process finds it.
pub(crate) fn after(disk: &MemoryDisk, end: &str, seed: u64) -> MemoryDisk {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed + 1);
    match end {
        "killed" => disk.killed(),
        "nothing" => disk.power_loss(|_| 0),
        "all" => disk.power_loss(|bytes| bytes),
        _ => disk.power_loss(|bytes| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % (bytes + 1)
        }),
    }
}

#[test]
fn wherever_it_ends_what_was_answered_is_there() {
    println!("{}", wherever_it_ends(None, kills()));
}

#[test]
fn wherever_a_fork_ends_what_was_answered_is_there() {
    println!("{}", wherever_it_ends(Some(&Arc::new(Origin::start())), kills()));
}

/// Gives what was tried.
fn wherever_it_ends(origin: Option<&Arc<Origin>>, kills: usize) -> String {
    let runtime = runtime();
    let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let mut expected = Vec::new();
    let operations = runtime.block_on(async {
        let mut world = World::of(&signer, 0, origin);
        world.open().unwrap();
        expected.push(world.fingerprint().await);
        for step in WORK {
            world.act(step).await.unwrap();
            expected.push(world.fingerprint().await);
        }
        world.chain.take().unwrap().close().unwrap();
        world.disk.operations()
    });
    // What waits is not kept, so that two steps can come to the same.
    let all = operations as usize * ENDS.len();
    let tried = kills.min(all);
    for number in 0..tried {
        let number = number * all / tried;
        let (at, end) = ((number / ENDS.len()) as u64, ENDS[number % ENDS.len()]);
        runtime.block_on(async {
            let mut world = World::of(&signer, 0, origin);
            let fault = if end == "killed" { Fault::Kill } else { Fault::PowerOff };
            world.disk.fail_at(at, fault);
            let done = world.work().await;
            world.chain = None;
            world.disk = after(&world.disk, end, number as u64);
            world.open().unwrap_or_else(|error| panic!("{end} at {at}: {error}"));
            let found = world.fingerprint().await;
            // The step that was not answered may have been done, or not.
            let meant = &expected[done..(done + 2).min(expected.len())];
            assert!(meant.contains(&found), "{end} at {at}, after {done} steps: {found:#?}");
            world.act(Step::Pay(9)).await.unwrap();
            world.act(Step::Mine).await.unwrap();
        });
    }
    format!("{tried} of {all} ends: {operations} operations, each killed and with the power gone")
}
