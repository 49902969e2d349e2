//! `vouch contracts market`: real Uniswap pools on a test chain, for agents to trade on.

use std::path::Path;

use alloy::{
    network::TransactionBuilder,
    providers::{DynProvider, Provider as _},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::{SolCall, SolValue},
};
use alloy_primitives::{Address, Bytes, U256};
use anyhow::{Context, ensure};
use serde_json::json;
use vouch_contracts::{
    addresses, artefacts,
    bindings::{
        TestDollar::{TestDollarInstance, approveCall, mintCall},
        UniswapV2Router02::addLiquidityCall,
    },
    uniswap::{self, Artefacts},
};

use crate::{arguments::Market, onchain, output::Output, provider::Keys};

/// What the pool holds of each token: a million, of six decimals.
const DEPTH: u64 = 1_000_000_000_000;

pub(crate) async fn run(arguments: &Market, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let keys = Keys::open(data_dir)?;
    let from = keys.wallet.address();
    let reader = onchain::reader(arguments.on.chain.as_deref().unwrap_or(onchain::DEFAULT_CHAIN))?;
    let minter = TestDollarInstance::new(addresses::TOKEN, &reader).minter().call().await;
    ensure!(
        minter.is_ok_and(|minter| minter == from),
        "this is no test chain of this machine's provider, who alone may mint its dollar"
    );
    let maker = Maker { provider: onchain::signer(&reader, &keys.wallet)?, from };
    let artefacts = Artefacts::read(&arguments.artefacts)?;
    let uniswap = uniswap::deploy(&maker.provider, from, &artefacts).await?;
    let tokens = [addresses::TOKEN, maker.token().await?];
    let pair = uniswap.create_v2_pool(&maker.provider, from, tokens).await?;
    for token in tokens {
        let amount = U256::from(DEPTH);
        maker.send(token, &mintCall { to: from, amount }).await?;
        maker.send(token, &approveCall { spender: uniswap.v2_router, value: amount }).await?;
    }
    let (desired, none) = (U256::from(DEPTH), U256::ZERO);
    let liquidity = addLiquidityCall {
        tokenA: tokens[0],
        tokenB: tokens[1],
        amountADesired: desired,
        amountBDesired: desired,
        amountAMin: none,
        amountBMin: none,
        to: from,
        deadline: U256::MAX,
    };
    maker.send(uniswap.v2_router, &liquidity).await?;
    let value = json!({ "uniswap": uniswap, "tokens": tokens, "pair": pair });
    output.answer(&value, || {
        format!(
            "router  {}\npair    {pair}\ntokens  {} (the test dollar)\n        {}",
            uniswap.v2_router, tokens[0], tokens[1]
        )
    })
}

/// Who makes the market.
struct Maker {
    provider: DynProvider,
    from: Address,
}

impl Maker {
    /// A second token with the dollar's code, which this account may mint.
    async fn token(&self) -> anyhow::Result<Address> {
        let code = [artefacts()?.token.creation, self.from.abi_encode().as_slice()].concat();
        let receipt = self.mined(TransactionRequest::default().with_deploy_code(code)).await?;
        receipt.contract_address.context("the token was not created")
    }

    async fn send(&self, to: Address, call: &impl SolCall) -> anyhow::Result<()> {
        let input = Bytes::from(call.abi_encode());
        self.mined(TransactionRequest::default().with_to(to).with_input(input)).await?;
        Ok(())
    }

    async fn mined(&self, request: TransactionRequest) -> anyhow::Result<TransactionReceipt> {
        let sent = self.provider.send_transaction(request.with_from(self.from)).await;
        onchain::mined("a transaction of the market", sent).await
    }
}
