//! A chain with the economy's contracts, Uniswap, two tokens, an owner, an agent and its mandate.

use std::{path::Path, sync::Arc};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    network::{EthereumWallet, TransactionBuilder, TxSignerSync},
    primitives::{Address, Bytes, TxKind, U256, aliases::U24, hex},
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::local::PrivateKeySigner,
    sol_types::SolValue,
};
use tempfile::TempDir;
use vouch_agent::mandate::{Cap, Contracts, Grant, Mandate, Permission, Venue, install};
use vouch_chain::{Chain, Genesis, GenesisAccount, ManualClock, Mining, Options};
use vouch_contracts::{
    Economy,
    bindings::{Erc20, NonfungiblePositionManager, TestDollar, UniswapV2Router02},
    economy::{Governance, deploy_economy},
    uniswap::{self, Uniswap},
};
use vouch_wallet::Wallet;

pub(crate) const CHAIN: u64 = 0x7e57_0a9e;
pub(crate) const START: u64 = 1_800_000_000;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(crate) const DOLLAR: u128 = 1_000_000;
/// What the mandate allows in a period.
pub(crate) const CAP: u128 = 1_000 * DOLLAR;
pub(crate) const OTHER_CAP: u128 = 500 * DOLLAR;
pub(crate) const PERIOD_S: u64 = 86_400;
pub(crate) const FEE: u32 = 3_000;

/// Answers `balanceOf` with what slot 0 holds, and halves it at every other call.
pub(crate) const HALVING_TOKEN: [u8; 38] =
    hex!("5f3560e01c6370a0823114601d575f5460011c5f5560015f5260205ff35b5f545f5260205ff3");
/// Answers every call with 1: balances never change, and `transfer` says it worked.
pub(crate) const CONSTANT_TOKEN: [u8; 9] = hex!("60015f5260205ff300");

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) chain: Chain,
    /// In process, signs nothing.
    pub(crate) provider: DynProvider,
    /// Signs for `deployer`.
    pub(crate) rich: DynProvider,
    pub(crate) deployer: Address,
    pub(crate) owner: Wallet,
    pub(crate) agent: Wallet,
    pub(crate) economy: Economy,
    pub(crate) uniswap: Uniswap,
    pub(crate) dollar: Address,
    pub(crate) other: Address,
    pub(crate) payees: [Address; 2],
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(Mining::Instant).await
    }

    /// Blocks are made by [`World::mine`] alone, once the world stands.
    pub(crate) async fn start_manual() -> Self {
        Self::start_with(Mining::Manual).await
    }

    async fn start_with(mining: Mining) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(START + 100));
        let deployer = PrivateKeySigner::random();
        let (owner, agent) = (Wallet::random().unwrap(), Wallet::random().unwrap());
        let funded = GenesisAccount::funded(U256::from(1_000_000 * ETHER));
        let mut genesis = Genesis::development(CHAIN, START);
        for account in [deployer.address(), owner.address(), agent.address()] {
            genesis = genesis.with_account(account, funded.clone());
        }
        for contract in vouch_contracts::genesis_code(deployer.address()).unwrap() {
            let account = GenesisAccount {
                storage: contract.storage,
                ..GenesisAccount::contract(contract.code)
            };
            genesis = genesis.with_account(contract.address, account);
        }
        let mut options = Options::new(genesis, clock.clone());
        options.mining = mining;
        let chain = Chain::open(&dir.path().join("chain"), options).unwrap();
        let provider = chain.provider();
        let miner = (mining == Mining::Manual).then(|| tokio::spawn(mine_always(provider.clone())));
        provider.client().set_poll_interval(std::time::Duration::from_millis(5));
        let deployer_address = deployer.address();
        let rich = vouch_contracts::signing(&provider, EthereumWallet::from(deployer));
        let governance = Governance::development(deployer_address);
        let economy = deploy_economy(&rich, deployer_address, &governance).await.unwrap();
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/node_modules");
        let artefacts = uniswap::Artefacts::read(&modules).unwrap();
        let uniswap = uniswap::deploy(&rich, deployer_address, &artefacts).await.unwrap();
        let dollar = vouch_contracts::addresses::TOKEN;
        let token = vouch_contracts::artefacts().unwrap().token.creation;
        let other = [token, &deployer_address.abi_encode()].concat();
        let world = Self {
            clock,
            chain,
            provider,
            rich,
            deployer: deployer_address,
            owner,
            agent,
            economy,
            uniswap,
            dollar,
            other: Address::ZERO,
            payees: [Address::repeat_byte(0xa1), Address::repeat_byte(0xa2)],
            dir,
        };
        let other = world.create(other.into()).await;
        let world = Self { other, ..world };
        world.fill().await;
        if let Some(miner) = miner {
            miner.abort();
        }
        world
    }

    /// One block with all that waits.
    pub(crate) async fn mine(&self) {
        mine(&self.provider).await;
    }

    /// Does what needs blocks while blocks are made.
    pub(crate) async fn mining<T>(&self, work: impl Future<Output = T>) -> T {
        let miner = tokio::spawn(mine_always(self.provider.clone()));
        let done = work.await;
        miner.abort();
        done
    }

    /// Waits until a transaction of `account` is in the pool.
    pub(crate) async fn until_pending(&self, account: Address) {
        let nonce = self.provider.get_transaction_count(account).await.unwrap();
        while self.provider.get_transaction_count(account).pending().await.unwrap() == nonce {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Money for everybody, and pools with a million of each token at one to one.
    async fn fill(&self) {
        let million = U256::from(1_000_000 * DOLLAR);
        for token in [self.dollar, self.other] {
            let contract = TestDollar::new(token, &self.rich);
            for account in [self.owner.address(), self.deployer] {
                let mint = contract.mint(account, million * U256::from(10)).from(self.deployer);
                assert!(mint.send().await.unwrap().get_receipt().await.unwrap().status());
            }
            for spender in [self.uniswap.v2_router, self.uniswap.positions, self.uniswap.router] {
                let approve = contract.approve(spender, U256::MAX).from(self.deployer);
                assert!(approve.send().await.unwrap().get_receipt().await.unwrap().status());
            }
        }
        let [token0, token1] = self.sorted();
        self.uniswap.create_v2_pool(&self.rich, self.deployer, [token0, token1]).await.unwrap();
        let deadline = U256::from(START * 2);
        let v2 = UniswapV2Router02::new(self.uniswap.v2_router, &self.rich);
        let add = v2
            .addLiquidity(
                token0,
                token1,
                million,
                million,
                U256::ZERO,
                U256::ZERO,
                self.deployer,
                deadline,
            )
            .from(self.deployer);
        assert!(add.send().await.unwrap().get_receipt().await.unwrap().status());
        self.uniswap
            .create_v3_pool(&self.rich, self.deployer, [token0, token1], FEE, [1, 1])
            .await
            .unwrap();
        let v3 = NonfungiblePositionManager::new(self.uniswap.positions, &self.rich);
        let ticks = |tick: i32| tick.try_into().unwrap();
        let mint = NonfungiblePositionManager::MintParams {
            token0,
            token1,
            fee: U24::from(FEE),
            tickLower: ticks(-60_000),
            tickUpper: ticks(60_000),
            amount0Desired: million,
            amount1Desired: million,
            amount0Min: U256::ZERO,
            amount1Min: U256::ZERO,
            recipient: self.deployer,
            deadline,
        };
        let mint = v3.mint(mint).from(self.deployer);
        assert!(mint.send().await.unwrap().get_receipt().await.unwrap().status());
    }

    pub(crate) async fn create(&self, creation: Bytes) -> Address {
        let request = TransactionRequest::default().from(self.deployer).with_deploy_code(creation);
        let receipt =
            self.rich.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
        assert!(receipt.status());
        receipt.contract_address.unwrap()
    }

    /// A contract of hand-written runtime code, with a word in slot 0.
    pub(crate) async fn place(&self, runtime: &[u8], slot0: u128) -> Address {
        // PUSH32 slot0 PUSH0 SSTORE; then copy the runtime and return it.
        let mut code = vec![0x7f];
        code.extend(U256::from(slot0).to_be_bytes::<32>());
        code.extend(hex!("5f55"));
        let length = u8::try_from(runtime.len()).unwrap();
        let start = u8::try_from(code.len() + 11).unwrap();
        code.extend([0x60, length, 0x60, start, 0x5f, 0x39, 0x60, length, 0x5f, 0xf3, 0x00]);
        code.extend(runtime);
        self.create(code.into()).await
    }

    pub(crate) fn sorted(&self) -> [Address; 2] {
        let mut tokens = [self.dollar, self.other];
        tokens.sort_unstable();
        tokens
    }

    pub(crate) fn contracts(&self) -> Contracts {
        Contracts::of(&self.economy, CHAIN)
    }

    /// 0 transfer, 1 swap v2, 2 swap v3 back, 3 liquidity v3, 4 vote, 5 ask, 6 liquidity v2.
    pub(crate) fn mandate(&self) -> Mandate {
        let [token0, token1] = self.sorted();
        let (dollar, other) = (self.dollar, self.other);
        let swap = |venue, router, sell, buy| Permission::Swap {
            venue,
            router,
            sell,
            buy,
            fee: FEE,
            max_slippage_bps: 100,
            max_impact_bps: 200,
        };
        let liquidity = |venue, manager| Permission::Liquidity {
            venue,
            manager,
            token0,
            token1,
            fee: FEE,
            max_slippage_bps: 100,
        };
        Mandate {
            owner: self.owner.address(),
            agent: self.agent.address(),
            chain: CHAIN,
            start: START,
            expiry: START + 365 * PERIOD_S,
            calls: 1_000_000,
            caps: vec![
                Cap { token: dollar, amount: CAP, period_s: PERIOD_S },
                Cap { token: other, amount: OTHER_CAP, period_s: 2 * PERIOD_S },
            ],
            permissions: vec![
                Permission::Transfer { token: dollar, payees: self.payees.to_vec() },
                swap(Venue::UniswapV2, self.uniswap.v2_router, dollar, other),
                swap(Venue::UniswapV3, self.uniswap.router, other, dollar),
                liquidity(Venue::UniswapV3, self.uniswap.positions),
                Permission::Vote { governor: self.economy.governor },
                Permission::Ask { max_per_call: DOLLAR, total: 10 * DOLLAR, providers: Vec::new() },
                liquidity(Venue::UniswapV2, self.uniswap.v2_router),
            ],
        }
    }

    /// The mandate, signed and in force.
    pub(crate) async fn granted(&self, change: impl FnOnce(&mut Mandate)) -> Grant {
        let mut mandate = self.mandate();
        change(&mut mandate);
        let grant = Grant::sign(mandate, self.contracts(), &self.owner, START + 1).unwrap();
        install(&self.provider, &self.owner, &grant, U256::ZERO).await.unwrap();
        grant
    }

    /// A transaction of `key`, mined; its fate is the caller's to look at.
    pub(crate) async fn send(&self, key: &Wallet, to: Address, input: Bytes) -> TransactionReceipt {
        let mut transaction = TxEip1559 {
            chain_id: CHAIN,
            nonce: self.provider.get_transaction_count(key.address()).await.unwrap(),
            gas_limit: 5_000_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(to),
            input,
            ..TxEip1559::default()
        };
        let signer = key.signer().unwrap();
        let signature = signer.sign_transaction_sync(&mut transaction).unwrap();
        let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        let mut head = self.chain.subscribe_head();
        let hash = *self.provider.send_raw_transaction(&raw).await.unwrap().tx_hash();
        loop {
            if let Some(receipt) = self.provider.get_transaction_receipt(hash).await.unwrap() {
                return receipt;
            }
            head.changed().await.unwrap();
        }
    }

    pub(crate) async fn balance(&self, token: Address, account: Address) -> u128 {
        Erc20::new(token, &self.provider).balanceOf(account).call().await.unwrap().to()
    }
}

async fn mine(provider: &DynProvider) {
    provider.raw_request::<_, serde_json::Value>("evm_mine".into(), ()).await.unwrap();
}

async fn mine_always(provider: DynProvider) {
    loop {
        mine(&provider).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
