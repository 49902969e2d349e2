//! A chain with two tokens, Uniswap v2 and v3, one pool of each, and an account.

use std::{path::Path, sync::Arc};

use alloy::{
    network::{EthereumWallet, TransactionBuilder},
    primitives::{
        Address, U256,
        aliases::{I24, U24, U160},
    },
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::{SolCall, SolValue},
};
use vouch_agent::market::Watch;
use vouch_chain::{Chain, Genesis, GenesisAccount, ManualClock, Options, random_chain_id};
use vouch_contracts::{
    artefacts,
    bindings::{
        NonfungiblePositionManager as Positions, SwapRouter02, TestDollar, UniswapV2Router02,
    },
    genesis_code,
    uniswap::{self, Uniswap},
};
use vouch_wallet::Wallet;

pub(crate) const START: u64 = 1_700_000_000;
/// A token, in its atomic units: the test dollar has six decimals.
pub(crate) const UNIT: u64 = 1_000_000;
pub(crate) const FEE: u32 = 3000;

/// Everything stands; the whale has moved nothing yet.
pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) clock: Arc<ManualClock>,
    /// Signs for the whale, who deployed everything and owns the pools' first liquidity.
    pub(crate) whale: DynProvider,
    pub(crate) whale_address: Address,
    pub(crate) agent: Wallet,
    /// By address: token0, token1. The agent counts in token0.
    pub(crate) tokens: [Address; 2],
    pub(crate) pair: Address,
    pub(crate) pool: Address,
    pub(crate) uniswap: Uniswap,
    _directory: tempfile::TempDir,
}

pub(crate) fn signing(chain: &Chain, wallet: &Wallet) -> DynProvider {
    let wallet = EthereumWallet::from(wallet.signer().unwrap());
    vouch_contracts::signing(&chain.provider(), wallet)
}

pub(crate) fn units(amount: u64) -> U256 {
    U256::from(amount) * U256::from(UNIT)
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (whale_wallet, agent) = (Wallet::random().unwrap(), Wallet::random().unwrap());
        let rich = || GenesisAccount::funded(U256::from(10u64.pow(19)));
        let mut genesis = Genesis::development(random_chain_id().unwrap(), START)
            .with_account(whale_wallet.address(), rich())
            .with_account(agent.address(), rich());
        for contract in genesis_code(whale_wallet.address()).unwrap() {
            let account = GenesisAccount {
                storage: contract.storage,
                ..GenesisAccount::contract(contract.code)
            };
            genesis = genesis.with_account(contract.address, account);
        }
        let clock = Arc::new(ManualClock::new(START));
        let chain =
            Chain::open(&directory.path().join("chain"), Options::new(genesis, clock.clone()))
                .unwrap();
        let whale = signing(&chain, &whale_wallet);
        let from = whale_wallet.address();
        let deploy = async |code: Vec<u8>, arguments: Vec<u8>| {
            let code = [code, arguments].concat();
            let request = TransactionRequest::default().with_from(from).with_deploy_code(code);
            sent(&whale, request).await.contract_address.unwrap()
        };
        let token_code = artefacts().unwrap().token.creation.to_vec();
        let mut tokens = [
            deploy(token_code.clone(), from.abi_encode()).await,
            deploy(token_code, from.abi_encode()).await,
        ];
        tokens.sort();
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/node_modules");
        let artefacts = uniswap::Artefacts::read(&modules).unwrap();
        let uniswap = uniswap::deploy(&whale, from, &artefacts).await.unwrap();
        let pair = uniswap.create_v2_pool(&whale, from, tokens).await.unwrap();
        let pool = uniswap.create_v3_pool(&whale, from, tokens, FEE, [1, 1]).await.unwrap();
        let world = Self {
            whale: whale.clone(),
            whale_address: from,
            agent,
            tokens,
            pair,
            pool,
            uniswap,
            clock,
            chain,
            _directory: directory,
        };
        for token in tokens {
            world.mint(token, from, units(1_000_000_000)).await;
            for spender in [uniswap.v2_router, uniswap.router, uniswap.positions] {
                TestDollar::new(token, &whale)
                    .approve(spender, U256::MAX)
                    .send()
                    .await
                    .unwrap()
                    .get_receipt()
                    .await
                    .unwrap();
            }
        }
        let call = UniswapV2Router02::addLiquidityCall {
            tokenA: tokens[0],
            tokenB: tokens[1],
            amountADesired: units(1_000_000),
            amountBDesired: units(1_000_000),
            amountAMin: U256::ZERO,
            amountBMin: U256::ZERO,
            to: from,
            deadline: U256::MAX,
        };
        world.call(uniswap.v2_router, call).await;
        for (lower, upper, amount) in
            [(-60_000, 60_000, 300_000), (-6_000, 6_000, 200_000), (-600, 1_200, 50_000)]
        {
            world.provide(lower, upper, units(amount)).await;
        }
        world
    }

    pub(crate) async fn mint(&self, token: Address, to: Address, amount: U256) {
        let token = TestDollar::new(token, &self.whale);
        token.mint(to, amount).send().await.unwrap().get_receipt().await.unwrap();
    }

    /// The whale adds liquidity to the v3 pool.
    pub(crate) async fn provide(&self, lower: i32, upper: i32, amount: U256) {
        let call = Positions::mintCall {
            params: Positions::MintParams {
                token0: self.tokens[0],
                token1: self.tokens[1],
                fee: U24::from(FEE),
                tickLower: I24::try_from(lower).unwrap(),
                tickUpper: I24::try_from(upper).unwrap(),
                amount0Desired: amount,
                amount1Desired: amount,
                amount0Min: U256::ZERO,
                amount1Min: U256::ZERO,
                recipient: self.whale_address,
                deadline: U256::MAX,
            },
        };
        self.call(self.uniswap.positions, call).await;
    }

    /// The whale calls a contract.
    pub(crate) async fn call(&self, to: Address, call: impl SolCall) -> TransactionReceipt {
        let request = TransactionRequest::default()
            .with_from(self.whale_address)
            .with_to(to)
            .with_input(call.abi_encode());
        sent(&self.whale, request).await
    }

    /// The whale sells on v3.
    pub(crate) async fn sell_v3(&self, token: usize, amount: U256) {
        let call = SwapRouter02::exactInputSingleCall {
            params: SwapRouter02::ExactInputSingleParams {
                tokenIn: self.tokens[token],
                tokenOut: self.tokens[1 - token],
                fee: U24::from(FEE),
                recipient: self.whale_address,
                amountIn: amount,
                amountOutMinimum: U256::ZERO,
                sqrtPriceLimitX96: U160::ZERO,
            },
        };
        self.call(self.uniswap.router, call).await;
    }

    /// The whale sells on v2.
    pub(crate) async fn sell_v2(&self, token: usize, amount: U256) {
        let call = UniswapV2Router02::swapExactTokensForTokensCall {
            amountIn: amount,
            amountOutMin: U256::ZERO,
            path: vec![self.tokens[token], self.tokens[1 - token]],
            to: self.whale_address,
            deadline: U256::MAX,
        };
        self.call(self.uniswap.v2_router, call).await;
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch {
            account: self.agent.address(),
            tokens: self.tokens.to_vec(),
            pairs: vec![self.pair],
            pools: vec![self.pool],
            positions: Some(self.uniswap.positions),
        }
    }
}

async fn sent(provider: &DynProvider, request: TransactionRequest) -> TransactionReceipt {
    let receipt = provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status(), "a set-up transaction reverted");
    receipt
}
