//! Random transactions, executed on our overlay and on revm's own `CacheDB`: the same results,
//! and after each block the state root that alloy-trie computes from `CacheDB`'s content.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_trie::TrieAccount;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use proptest::prelude::*;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::{AccountState, CacheDB, EmptyDB};
use revm::handler::{ExecuteCommitEvm, MainBuilder, MainnetContext};
use revm::state::AccountInfo;

use super::*;
use crate::Genesis;
use crate::execute::{config, evm};
use crate::rules::Rules;

/// `sstore(calldata[0], calldata[32])`
const STORE: Address = Address::repeat_byte(0xa1);
/// `create2(init code: calldata, salt: 0)`
const FACTORY: Address = Address::repeat_byte(0xa2);
/// `selfdestruct(caller)`, which since Cancun only moves the balance
const DESTRUCT: Address = Address::repeat_byte(0xa3);
const CONTRACTS: [(Address, &[u8]); 3] = [
    (STORE, &hex!("6020356000355500")),
    (FACTORY, &hex!("365f5f375f365f5ff55000")),
    (DESTRUCT, &hex!("33ff")),
];
const SENDERS: [Address; 2] = [Address::repeat_byte(1), Address::repeat_byte(2)];

/// Init code that stores, and destroys what it has just created.
const STORE_AND_DESTRUCT: [u8; 7] = hex!("600160015533ff");
/// Init code that stores and deploys one byte.
const STORE_AND_STAY: [u8; 12] = hex!("60026003555f5f5360015ff3");

#[derive(Debug, Clone)]
enum Step {
    Transfer(u8, u64),
    Store(u8, u8),
    Create(bool),
    Create2(bool),
    Destruct(u64),
    OutOfGas,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..5, 0u64..1000).prop_map(|(to, value)| Step::Transfer(to, value)),
        (0u8..6, 0u8..3).prop_map(|(key, value)| Step::Store(key, value)),
        any::<bool>().prop_map(Step::Create),
        any::<bool>().prop_map(Step::Create2),
        (0u64..1000).prop_map(Step::Destruct),
        Just(Step::OutOfGas),
    ]
}

fn transaction(step: &Step, sender: Address) -> TxEnv {
    let word = |value: u8| U256::from(value).to_be_bytes::<32>();
    let init = |destruct| match destruct {
        true => Bytes::from(STORE_AND_DESTRUCT),
        false => Bytes::from(STORE_AND_STAY),
    };
    let (kind, value, data, gas_limit) = match step {
        Step::Transfer(to, value) => {
            (TxKind::Call(Address::with_last_byte(0x80 + to)), *value, Bytes::new(), 1_000_000)
        }
        Step::Store(key, value) => {
            (TxKind::Call(STORE), 0, [word(*key), word(*value)].concat().into(), 1_000_000)
        }
        Step::Create(destruct) => (TxKind::Create, 7, init(*destruct), 1_000_000),
        Step::Create2(destruct) => (TxKind::Call(FACTORY), 0, init(*destruct), 1_000_000),
        Step::Destruct(value) => (TxKind::Call(DESTRUCT), *value, Bytes::new(), 1_000_000),
        Step::OutOfGas => (TxKind::Call(STORE), 0, [word(1), word(9)].concat().into(), 23_000),
    };
    TxEnv {
        caller: sender,
        kind,
        value: U256::from(value),
        data,
        gas_limit,
        gas_price: 3,
        ..TxEnv::default()
    }
}

fn test_config() -> CfgEnv {
    let genesis = Genesis::development(1, 0);
    let mut config = config(&Rules::of(genesis.config(), 1, 1, true));
    config.disable_nonce_check = true;
    config
}

fn reference_root(db: &CacheDB<EmptyDB>) -> B256 {
    let exists = |state: &AccountState, info: &AccountInfo| {
        *state != AccountState::NotExisting && !info.is_empty()
    };
    state_root_unhashed(
        db.cache
            .accounts
            .iter()
            .filter(|(_, account)| exists(&account.account_state, &account.info))
            .map(|(address, account)| {
                let slots = account.storage.iter().filter(|(_, value)| !value.is_zero());
                let root = storage_root_unhashed(slots.map(|(k, v)| (B256::from(*k), *v)));
                let info = &account.info;
                (*address, TrieAccount::new(info.nonce, info.balance, root, info.code_hash))
            }),
    )
}

/// The newest state alone, without block hashes.
impl StateRead for &State {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        State::account(self, address)
    }

    fn slot(&self, address: Address, key: U256) -> Result<U256, StateError> {
        State::slot(self, address, key)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        State::code(self, hash)
    }

    fn block_hash(&self, _: u64) -> Result<B256, StateError> {
        Ok(B256::ZERO)
    }
}

struct Both {
    state: State,
    tries: Tries,
    reference: CacheDB<EmptyDB>,
}

impl Both {
    fn new() -> Self {
        let mut state = State::new(History::default(), None);
        let (mut tries, mut reference) = (Tries::default(), CacheDB::new(EmptyDB::default()));
        let mut overlay = Overlay::new(&state);
        let balance = U256::from(u64::MAX);
        for (address, code) in CONTRACTS {
            let code = Bytecode::new_legacy(Bytes::from_static(code));
            let hash = code.hash_slow();
            let account = Account { nonce: 1, code_hash: hash, ..Account::default() };
            overlay.set(address, account, code.clone(), []);
            reference.insert_account_info(address, AccountInfo::new(U256::ZERO, 1, hash, code));
        }
        for address in SENDERS {
            let account = Account { balance, ..Account::default() };
            overlay.set(address, account, Bytecode::default(), []);
            reference.insert_account_info(address, AccountInfo::from_balance(balance));
        }
        let mut changes = overlay.into_changes(&state).unwrap();
        tries.apply(0, &mut changes).unwrap();
        state.apply(0, changes).unwrap();
        Self { state, tries, reference }
    }

    fn block(&mut self, number: u64, steps: &[(bool, Step)]) -> (B256, B256) {
        let mut overlay = Overlay::new(&self.state);
        {
            let block = BlockEnv { beneficiary: Address::repeat_byte(0xfe), ..BlockEnv::default() };
            let mut ours = evm(&mut overlay, test_config(), block.clone());
            let context: MainnetContext<&mut CacheDB<EmptyDB>> =
                revm::Context::new(&mut self.reference, test_config().spec);
            let mut theirs = context.with_cfg(test_config()).with_block(block).build_mainnet();
            for (first, step) in steps {
                let tx = transaction(step, SENDERS[usize::from(*first)]);
                let result = ours.transact_commit(tx.clone()).unwrap();
                assert_eq!(result, theirs.transact_commit(tx).unwrap());
            }
        }
        let mut changes = overlay.into_changes(&self.state).unwrap();
        let root = self.tries.apply(number, &mut changes).unwrap();
        self.state.apply(number, changes).unwrap();
        (root, reference_root(&self.reference))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_transactions_give_the_reference_state(
        blocks in prop::collection::vec(prop::collection::vec((any::<bool>(), step()), 1..8), 1..8)
    ) {
        let mut both = Both::new();
        for (number, steps) in (1..).zip(&blocks) {
            let (ours, theirs) = both.block(number, steps);
            prop_assert_eq!(ours, theirs, "block {}", number);
        }
    }
}
