//! A chain with two tokens, Uniswap v2 and v3, one pool of each, and an account.

use std::{path::Path, sync::Arc};

use alloy::{
    network::{EthereumWallet, TransactionBuilder},
    primitives::{
        Address, U256,
        aliases::{I24, U24, U160},
    },
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol,
    sol_types::{SolCall, SolValue},
};
use vouch_agent::market::{Erc20, V2Router, V3Positions, V3Router, Watch, tick};
use vouch_chain::{Chain, Genesis, GenesisAccount, ManualClock, Options, random_chain_id};
use vouch_contracts::{artefacts, genesis_code};
use vouch_wallet::Wallet;

pub(crate) const START: u64 = 1_700_000_000;
/// A token, in its atomic units: the test dollar has six decimals.
pub(crate) const UNIT: u64 = 1_000_000;
pub(crate) const FEE: u32 = 3000;

sol! {
    #[sol(rpc)]
    interface Token { function mint(address to, uint256 amount) external; }
    #[sol(rpc)]
    interface Factory {
        function createPair(address a, address b) external returns (address pair);
        function getPair(address a, address b) external view returns (address pair);
        function getPool(address a, address b, uint24 fee) external view returns (address pool);
    }
    #[sol(rpc)]
    interface Quoter {
        struct QuoteExactInputSingleParams { address tokenIn; address tokenOut; uint256 amountIn; uint24 fee; uint160 sqrtPriceLimitX96; }
        function quoteExactInputSingle(QuoteExactInputSingleParams params) external returns (uint256 amountOut, uint160 sqrtPriceX96After, uint32 initializedTicksCrossed, uint256 gasEstimate);
    }
}

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
    pub(crate) v2_router: Address,
    pub(crate) v3_router: Address,
    pub(crate) positions: Address,
    pub(crate) quoter: Address,
    _directory: tempfile::TempDir,
}

pub(crate) fn signing(chain: &Chain, wallet: &Wallet) -> DynProvider {
    let wallet = EthereumWallet::from(wallet.signer().unwrap());
    ProviderBuilder::new().wallet(wallet).connect_provider(chain.provider()).erased()
}

fn bytecode(path: &str) -> Vec<u8> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/node_modules");
    let path = modules.join("@uniswap").join(path);
    let text = std::fs::read(&path)
        .unwrap_or_else(|_| panic!("{} is missing: run `cargo xtask setup`", path.display()));
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let code = json["bytecode"].as_str().unwrap();
    alloy::hex::decode(code).unwrap()
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
        let weth = deploy(bytecode("v2-periphery/build/WETH9.json"), vec![]).await;
        let v2_factory =
            deploy(bytecode("v2-core/build/UniswapV2Factory.json"), from.abi_encode()).await;
        let v2_router = deploy(
            bytecode("v2-periphery/build/UniswapV2Router02.json"),
            (v2_factory, weth).abi_encode(),
        )
        .await;
        let v3_factory = deploy(
            bytecode("v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json"),
            vec![],
        )
        .await;
        let positions = deploy(
            bytecode("v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json"),
            (v3_factory, weth, Address::ZERO).abi_encode(),
        )
        .await;
        let quoter = deploy(
            bytecode("swap-router-contracts/artifacts/contracts/lens/QuoterV2.sol/QuoterV2.json"),
            (v3_factory, weth).abi_encode(),
        )
        .await;
        let v3_router = deploy(
            bytecode(
                "swap-router-contracts/artifacts/contracts/SwapRouter02.sol/SwapRouter02.json",
            ),
            (v2_factory, v3_factory, positions, weth).abi_encode(),
        )
        .await;
        let mut world = Self {
            whale: whale.clone(),
            whale_address: from,
            agent,
            tokens,
            pair: Address::ZERO,
            pool: Address::ZERO,
            v2_router,
            v3_router,
            positions,
            quoter,
            clock,
            chain,
            _directory: directory,
        };
        for token in tokens {
            world.mint(token, from, units(1_000_000_000)).await;
            for spender in [v2_router, v3_router, positions] {
                Erc20::new(token, &whale)
                    .approve(spender, U256::MAX)
                    .send()
                    .await
                    .unwrap()
                    .get_receipt()
                    .await
                    .unwrap();
            }
        }
        let call = V2Router::addLiquidityCall {
            tokenA: tokens[0],
            tokenB: tokens[1],
            amountADesired: units(1_000_000),
            amountBDesired: units(1_000_000),
            amountAMin: U256::ZERO,
            amountBMin: U256::ZERO,
            to: from,
            deadline: U256::MAX,
        };
        world.call(v2_router, call).await;
        let factory = Factory::new(v2_factory, &whale);
        world.pair = factory.getPair(tokens[0], tokens[1]).call().await.unwrap();
        let call = V3Positions::createAndInitializePoolIfNecessaryCall {
            token0: tokens[0],
            token1: tokens[1],
            fee: U24::from(FEE),
            sqrtPriceX96: U160::from(tick::sqrt_price_at(0).unwrap()),
        };
        world.call(positions, call).await;
        let factory = Factory::new(v3_factory, &whale);
        world.pool = factory.getPool(tokens[0], tokens[1], U24::from(FEE)).call().await.unwrap();
        for (lower, upper, amount) in
            [(-60_000, 60_000, 300_000), (-6_000, 6_000, 200_000), (-600, 1_200, 50_000)]
        {
            world.provide(lower, upper, units(amount)).await;
        }
        world
    }

    pub(crate) async fn mint(&self, token: Address, to: Address, amount: U256) {
        let token = Token::new(token, &self.whale);
        token.mint(to, amount).send().await.unwrap().get_receipt().await.unwrap();
    }

    /// The whale adds liquidity to the v3 pool.
    pub(crate) async fn provide(&self, lower: i32, upper: i32, amount: U256) {
        let call = V3Positions::mintCall {
            params: V3Positions::MintParams {
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
        self.call(self.positions, call).await;
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
        let call = V3Router::exactInputSingleCall {
            params: V3Router::ExactInputSingleParams {
                tokenIn: self.tokens[token],
                tokenOut: self.tokens[1 - token],
                fee: U24::from(FEE),
                recipient: self.whale_address,
                amountIn: amount,
                amountOutMinimum: U256::ZERO,
                sqrtPriceLimitX96: U160::ZERO,
            },
        };
        self.call(self.v3_router, call).await;
    }

    /// The whale sells on v2.
    pub(crate) async fn sell_v2(&self, token: usize, amount: U256) {
        let call = V2Router::swapExactTokensForTokensCall {
            amountIn: amount,
            amountOutMin: U256::ZERO,
            path: vec![self.tokens[token], self.tokens[1 - token]],
            to: self.whale_address,
            deadline: U256::MAX,
        };
        self.call(self.v2_router, call).await;
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch {
            account: self.agent.address(),
            tokens: self.tokens.to_vec(),
            pairs: vec![self.pair],
            pools: vec![self.pool],
            positions: Some(self.positions),
        }
    }
}

async fn sent(provider: &DynProvider, request: TransactionRequest) -> TransactionReceipt {
    let receipt = provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status(), "a set-up transaction reverted");
    receipt
}
