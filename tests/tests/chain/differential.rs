//! The same random transactions, executed by `vouch chain` and by anvil, come to the same receipts
//! and state roots.
//!
//! `VOUCH_TEST_SEQUENCES` says how many sequences (2), `VOUCH_TEST_SEED` repeats a run.

use std::{collections::BTreeMap, path::Path};

use super::signing::{key, raw};
use alloy::{
    consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy},
    eips::{
        eip2930::{AccessList, AccessListItem},
        eip7702::Authorization,
    },
    signers::SignerSync,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};
use vouch_tests::{Anvil, Random, Running, rpc, seed, text, variable, vouch};

const CHAIN_ID: u64 = 424_242;
const GENESIS_TIME: u64 = 1_800_000_000;
/// EIP-2935's.
const HISTORY: &str = "0x0000f90827f1c53a10cb7a02335b175320002935";
const BLOCKS: u64 = 12;
const MOST_TRANSACTIONS: u64 = 12;
const SENDERS: u8 = 4;
const AUTHORITIES: u8 = 3;

/// Of each: what it does, and its code.
const CONTRACTS: [(&str, &[u8]); 8] = [
    ("stores a word at a key", &hex!("6020356000355500")),
    ("logs a word under a topic", &hex!("6020355f525f3560205fa100")),
    ("reverts with its input", &hex!("365f5f37365ffd")),
    // And stores where.
    ("deploys its input (CREATE2)", &hex!("365f5f375f365f5ff55f5500")),
    ("destroys itself for who calls", &hex!("33ff")),
    // call(gas, input[0], value, input[32..]); store its success at 0
    ("calls", &hex!("6020360360205f375f5f602036035f345f355af15f5500")),
    // The same by DELEGATECALL.
    ("delegates", &hex!("6020360360205f375f5f602036035f5f355af45f5500")),
    ("counts in storage until its gas is gone", &hex!("5b5f546001015f555f56")),
];

fn contract(number: usize) -> Address {
    Address::repeat_byte(0xc0 + u8::try_from(number).expect("few"))
}

/// Init code that deploys `runtime`.
fn deploys(runtime: &[u8]) -> Bytes {
    let length = u8::try_from(runtime.len()).expect("short");
    [&[0x60, length][..], &hex!("8060095f395ff3"), runtime].concat().into()
}

/// Both begin with it. Without the contracts that blocks call: anvil does not call all of them.
fn genesis() -> Value {
    let mut accounts = serde_json::Map::new();
    for number in 0..SENDERS + AUTHORITIES {
        let address = key(number).address().to_string();
        accounts.insert(address, json!({ "balance": "0x3635c9adc5dea00000" }));
    }
    for (number, (_, code)) in CONTRACTS.iter().enumerate() {
        let account = json!({ "balance": "0x5", "code": hex::encode_prefixed(code) });
        accounts.insert(contract(number).to_string(), account);
    }
    accounts.insert(HISTORY.to_owned(), json!({ "balance": "0x1" }));
    json!({
        "config": {
            "chainId": CHAIN_ID, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0,
            "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0,
            "terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": true,
            "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0,
            "blobSchedule": {
                "cancun": { "target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477 },
                "prague": { "target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716 }
            }
        },
        "timestamp": format!("{GENESIS_TIME:#x}"), "gasLimit": "0x1c9c380", "difficulty": "0x0",
        "baseFeePerGas": "0x3b9aca00", "nonce": "0x0", "extraData": "0x",
        "mixHash": B256::ZERO, "coinbase": Address::ZERO, "alloc": accounts,
    })
}

/// What is sent, and of whom.
struct Sequence {
    random: Random,
    nonces: [u64; SENDERS as usize],
    /// Of the authorities, if all that they have signed counted.
    authorized: [u64; AUTHORITIES as usize],
    /// Contracts, accounts, and what may have been deployed.
    known: Vec<Address>,
}

impl Sequence {
    fn new(random: Random) -> Self {
        let mut known: Vec<Address> = (0..CONTRACTS.len()).map(contract).collect();
        known.extend((0..SENDERS + AUTHORITIES).map(|number| key(number).address()));
        known.push(Address::with_last_byte(4));
        Self { random, nonces: [0; 4], authorized: [0; 3], known }
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.random.below(of.len() as u64);
        of[usize::try_from(at).expect("small")]
    }

    fn word(&mut self) -> [u8; 32] {
        U256::from(self.random.below(4)).to_be_bytes()
    }

    fn init_code(&mut self) -> Bytes {
        let codes: Vec<&[u8]> = CONTRACTS.iter().map(|(_, code)| *code).collect();
        let runtime = self.one_of(&codes);
        match self.random.below(5) {
            // Stores, and destroys what it creates.
            0 => hex!("600160015533ff").into(),
            // Reverts, or is no code.
            1 => hex!("60005ffd").into(),
            2 => hex!("60ef5f5360015ff3").into(),
            _ => deploys(runtime),
        }
    }

    fn input(&mut self, to: Address) -> Bytes {
        let known = self.known.clone();
        match () {
            () if to == contract(3) => self.init_code(),
            // Into another call.
            () if to == contract(5) || to == contract(6) => {
                let inner = self.one_of(&known);
                let rest = if inner == to {
                    [self.word(), self.word()].concat()
                } else {
                    self.input(inner).to_vec()
                };
                [inner.into_word().as_slice(), &rest].concat().into()
            }
            () => [self.word(), self.word()].concat().into(),
        }
    }

    fn access_list(&mut self) -> AccessList {
        let known = self.known.clone();
        let items = (0..self.random.below(3)).map(|_| AccessListItem {
            address: self.one_of(&known),
            storage_keys: (0..self.random.below(3)).map(|_| B256::from(self.word())).collect(),
        });
        AccessList(items.collect())
    }

    fn authorizations(&mut self) -> Vec<alloy::eips::eip7702::SignedAuthorization> {
        let known = self.known.clone();
        let count = 1 + self.random.below(3);
        let signed = (0..count).map(|_| {
            let who = u8::try_from(self.random.below(u64::from(AUTHORITIES))).expect("small");
            let nonce = &mut self.authorized[usize::from(who)];
            // Now and then one that does not count: of another nonce or chain.
            let (chain_id, wrong) = match self.random.below(6) {
                0 => (U256::ZERO, 0),
                1 => (U256::from(7), 0),
                2 => (U256::from(CHAIN_ID), 5),
                _ => (U256::from(CHAIN_ID), 0),
            };
            let counts = wrong == 0 && chain_id != U256::from(7);
            let nonce = std::mem::replace(nonce, *nonce + u64::from(counts)) + wrong;
            let address = match self.random.below(5) {
                0 => Address::ZERO,
                _ => self.one_of(&known),
            };
            let authorization = Authorization { chain_id, address, nonce };
            let hash = authorization.signature_hash();
            let signature = key(SENDERS + who).sign_hash_sync(&hash).expect("a signature");
            authorization.into_signed(signature)
        });
        signed.collect()
    }

    /// As it is sent.
    fn transaction(&mut self) -> String {
        let who = u8::try_from(self.random.below(u64::from(SENDERS))).expect("small");
        let signer = key(who);
        let nonce = self.nonces[usize::from(who)];
        self.nonces[usize::from(who)] += 1;
        let known = self.known.clone();
        let creates = self.random.below(6) == 0;
        let to = self.one_of(&known);
        let input = if creates { self.init_code() } else { self.input(to) };
        if creates {
            self.known.push(signer.address().create(nonce));
        }
        let kind = if creates { TxKind::Create } else { TxKind::Call(to) };
        let value = U256::from(self.random.below(3));
        // Enough to be taken; not always enough to end well.
        let gas_limit = self.one_of(&[160_000, 200_000, 400_000, 900_000]);
        let gwei = 1_000_000_000;
        let (fee, tip) =
            (u128::from(self.random.below(3) + 5) * gwei, u128::from(self.random.below(3)) * gwei);
        match self.random.below(4) {
            0 => {
                let chain_id = Some(CHAIN_ID);
                let tx =
                    TxLegacy { chain_id, nonce, gas_price: fee, gas_limit, to: kind, value, input };
                raw(tx, &signer)
            }
            1 => {
                let access_list = self.access_list();
                let tx = TxEip2930 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_price: fee,
                    gas_limit,
                    to: kind,
                    value,
                    input,
                    access_list,
                };
                raw(tx, &signer)
            }
            2 if !creates => {
                let (access_list, authorization_list) = (self.access_list(), self.authorizations());
                let tx = TxEip7702 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: fee,
                    max_priority_fee_per_gas: tip,
                    to,
                    value,
                    access_list,
                    authorization_list,
                    input,
                };
                raw(tx, &signer)
            }
            _ => {
                let access_list = self.access_list();
                let tx = TxEip1559 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: fee,
                    max_priority_fee_per_gas: tip,
                    to: kind,
                    value,
                    access_list,
                    input,
                };
                raw(tx, &signer)
            }
        }
    }
}

/// What of a block both must have alike, by name: all that follows from its transactions.
fn outcome(url: &str, number: u64) -> Vec<(String, Value)> {
    let at = format!("{number:#x}");
    let receipts = rpc(url, "eth_getBlockReceipts", &json!([at]));
    let block = rpc(url, "eth_getBlockByNumber", &json!([at, false]));
    let mut outcome = Vec::new();
    for (number, receipt) in receipts.as_array().expect("receipts").iter().enumerate() {
        for field in [
            "transactionHash",
            "type",
            "status",
            "gasUsed",
            "cumulativeGasUsed",
            "effectiveGasPrice",
            "contractAddress",
            "from",
            "to",
            "logsBloom",
        ] {
            outcome.push((format!("{field} of receipt {number}"), receipt[field].clone()));
        }
        for log in receipt["logs"].as_array().expect("logs") {
            let log = ["address", "topics", "data", "logIndex"].map(|field| log[field].clone());
            outcome.push((format!("log of receipt {number}"), json!(log)));
        }
    }
    for field in [
        "transactions",
        "timestamp",
        "gasUsed",
        "baseFeePerGas",
        "logsBloom",
        "transactionsRoot",
        "receiptsRoot",
    ] {
        outcome.push((field.to_owned(), block[field].clone()));
    }
    outcome
}

/// An account in `anvil_dumpState`.
#[derive(Deserialize)]
struct Account {
    nonce: u64,
    balance: U256,
    code: Bytes,
    storage: BTreeMap<B256, U256>,
}

/// The root of the state that a node has. Anvil keeps accounts that are empty, which Ethereum does
/// not (EIP-161), and has them in its own roots.
fn root_of(url: &str) -> B256 {
    let dumped = rpc(url, "anvil_dumpState", &json!([]));
    let packed = hex::decode(dumped.as_str().expect("text")).expect("hex");
    let state: Value = serde_json::from_reader(GzDecoder::new(&*packed)).expect("JSON");
    let accounts: BTreeMap<Address, Account> =
        serde_json::from_value(state["accounts"].clone()).expect("accounts");
    let leaves = accounts.into_iter().filter_map(|(address, account)| {
        let Account { nonce, balance, code, storage } = account;
        let empty = nonce == 0 && balance.is_zero() && code.is_empty();
        let storage = storage.into_iter().filter(|(_, value)| !value.is_zero());
        let leaf =
            TrieAccount::new(nonce, balance, storage_root_unhashed(storage), keccak256(code));
        (!empty).then_some((address, leaf))
    });
    state_root_unhashed(leaves)
}

/// An anvil with the accounts and contracts, of which the blocks are made by hand.
fn anvil(data: &Path) -> (Anvil, String) {
    let file = data.join("genesis.json");
    std::fs::write(&file, genesis().to_string()).expect("a file");
    let file = file.display().to_string();
    let anvil = Anvil::start(&[
        "--init",
        &file,
        "--hardfork",
        "prague",
        "--no-mining",
        "--order",
        "fifo",
        "--accounts",
        "0",
        "--disable-default-create2-deployer",
        "--chain-id",
        &CHAIN_ID.to_string(),
    ]);
    // Which anvil has beside the genesis, and each block calls: it would keep hashes of blocks, and
    // those differ by what anvil writes into headers.
    let _code = anvil.call("anvil_setCode", json!([HISTORY, "0x"]));
    let _balance = anvil.call("anvil_setBalance", json!([HISTORY, "0x1"]));
    (anvil, file)
}

/// Sends what is next to all of them, and makes their next block; gives what was sent.
fn make_block(sequence: &mut Sequence, urls: &[&str], block: u64) -> Vec<String> {
    let sent: Vec<String> = (0..1 + sequence.random.below(MOST_TRANSACTIONS))
        .map(|_| {
            let raw = sequence.transaction();
            let send = |url: &&str| rpc(url, "eth_sendRawTransaction", &json!([raw]));
            let hashes: Vec<Value> = urls.iter().map(send).collect();
            assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
            raw
        })
        .collect();
    for url in urls {
        let time = json!([GENESIS_TIME + 12 * block]);
        let _set = rpc(url, "evm_setNextBlockTimestamp", &time);
        let _mined = rpc(url, "evm_mine", &json!([]));
    }
    sent
}

/// Holds both nodes' outcomes of a block against each other; gives how many transactions failed.
fn compare(urls: [&str; 2], block: u64, said: &[String]) -> u64 {
    let [one, other] = urls.map(|url| outcome(url, block));
    assert_eq!(one.len(), other.len(), "receipts and logs of block {block}: {said:?}");
    let mut failed = 0;
    for ((name, one), (_, other)) in one.iter().zip(&other) {
        assert_eq!(one, other, "{name} in block {block}: {said:?}");
        failed += u64::from(name.starts_with("status") && one == "0x0");
    }
    failed
}

#[test]
fn anvil_comes_to_the_same() {
    let seed = seed();
    let (mut transactions, mut failed) = (0, 0);
    for number in 0..variable("VOUCH_TEST_SEQUENCES").unwrap_or(2) {
        let data = tempfile::tempdir().expect("a directory");
        let (anvil, file) = anvil(data.path());
        let arguments = ["chain", "--genesis", &file, "--port", "0", "--no-mining", "--json"];
        let running = Running::spawn(vouch(&data.path().join("data"), &arguments));
        let ours = running.field("chain");
        let both = [ours.as_str(), &anvil.url];
        // Of the first block; anvil does not reckon it from the genesis.
        for url in both {
            let _set = rpc(url, "anvil_setNextBlockBaseFeePerGas", &json!(["0x3b9aca00"]));
        }
        let mut sequence = Sequence::new(Random::of(seed ^ number));
        for block in 1..=BLOCKS {
            let said = make_block(&mut sequence, &both, block);
            transactions += said.len() as u64;
            failed += compare(both, block, &said);
            let root = &rpc(&ours, "eth_getBlockByNumber", &json!(["latest", false]))["stateRoot"];
            assert_eq!(*root, json!(root_of(&anvil.url)), "state after block {block}: {said:?}");
        }
        assert!(running.stop(), "it ends cleanly");
    }
    println!("{transactions} transactions, of which {failed} failed");
    assert!(failed > 0 && failed < transactions, "{failed} of {transactions} failed");
}

/// Half of the blocks are anvil's alone; then a fork of it goes on beside it.
#[test]
fn a_fork_of_anvil_comes_to_the_same() {
    let seed = seed();
    let (mut transactions, mut failed) = (0, 0);
    for number in 0..variable("VOUCH_TEST_SEQUENCES").unwrap_or(2) {
        let data = tempfile::tempdir().expect("a directory");
        let (anvil, _) = anvil(data.path());
        let mut sequence = Sequence::new(Random::of(seed ^ number));
        for block in 1..=BLOCKS / 2 {
            let _sent = make_block(&mut sequence, &[&anvil.url], block);
        }
        let mut arguments = vec!["chain", "--fork-url", &anvil.url];
        arguments.extend(["--accounts", "0", "--port", "0", "--no-mining", "--json"]);
        let running = Running::spawn(vouch(&data.path().join("data"), &arguments));
        let ours = running.field("chain");
        let both = [ours.as_str(), &anvil.url];
        for block in BLOCKS / 2 + 1..=BLOCKS {
            let said = make_block(&mut sequence, &both, block);
            transactions += said.len() as u64;
            failed += compare(both, block, &said);
        }
        for address in &sequence.known {
            for method in ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"] {
                let [one, other] = both.map(|url| rpc(url, method, &json!([address, "latest"])));
                assert_eq!(one, other, "{method} of {address}, sequence {number}");
            }
            for slot in ["0x0", "0x1", "0x2", "0x3"] {
                let at = json!([address, slot, "latest"]);
                let [one, other] = both.map(|url| rpc(url, "eth_getStorageAt", &at));
                assert_eq!(one, other, "slot {slot} of {address}, sequence {number}");
            }
        }
        // Executed again from what was read.
        assert!(running.stop(), "it ends cleanly");
        let checked = vouch(&data.path().join("data"), &["chain", "fsck"]).output();
        let checked = checked.expect("it runs");
        assert!(checked.status.success(), "{}", text(&checked));
    }
    println!("{transactions} transactions on forks, of which {failed} failed");
    assert!(failed > 0 && failed < transactions, "{failed} of {transactions} failed");
}
