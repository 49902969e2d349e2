//! Uniswap v2 and v3 from npm's artefacts, read when they are needed: for tests and demonstrations.
//!
//! The code is GPL, so it is never part of this crate or of a binary.

use std::path::{Path, PathBuf};

use alloy::{
    primitives::{Address, Bytes, U160, U256, hex, keccak256, ruint::UintTryFrom},
    providers::DynProvider,
    sol_types::SolValue,
};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    bindings::{NonfungiblePositionManager, UniswapV2Factory},
    create2, receipt,
};

const SALT_TEXT: &[u8] = b"vouch uniswap 1";

/// Init code of Uniswap's contracts, without constructor arguments.
#[derive(Debug, Clone)]
pub struct Artefacts {
    weth: Bytes,
    v2_factory: Bytes,
    v2_router: Bytes,
    v3_factory: Bytes,
    positions: Bytes,
    quoter: Bytes,
    router: Bytes,
}

impl Artefacts {
    /// Reads npm's packages below `node_modules`.
    ///
    /// # Errors
    /// [`Error::Artefact`] with the file that is missing or not an artefact.
    pub fn read(node_modules: &Path) -> Result<Self, Error> {
        let read = |path: &str| creation_code(node_modules.join("@uniswap").join(path));
        Ok(Self {
            weth: read("v2-periphery/build/WETH9.json")?,
            v2_factory: read("v2-core/build/UniswapV2Factory.json")?,
            v2_router: read("v2-periphery/build/UniswapV2Router02.json")?,
            v3_factory: read(
                "v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
            )?,
            positions: read(
                "v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/\
                 NonfungiblePositionManager.json",
            )?,
            quoter: read("v3-periphery/artifacts/contracts/lens/QuoterV2.sol/QuoterV2.json")?,
            router: read(
                "swap-router-contracts/artifacts/contracts/SwapRouter02.sol/SwapRouter02.json",
            )?,
        })
    }
}

fn creation_code(path: PathBuf) -> Result<Bytes, Error> {
    let read = || -> Result<Bytes, Box<dyn std::error::Error>> {
        let artefact: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let digits = artefact["bytecode"].as_str().ok_or("it holds no `bytecode`")?;
        Ok(hex::decode(digits)?.into())
    };
    read().map_err(|reason| Error::Artefact { reason: reason.to_string(), path: path.clone() })
}

/// Where Uniswap's contracts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Uniswap {
    /// `WETH9`.
    pub weth: Address,
    /// `UniswapV2Factory`.
    pub v2_factory: Address,
    /// `UniswapV2Router02`.
    pub v2_router: Address,
    /// `UniswapV3Factory`.
    pub v3_factory: Address,
    /// `NonfungiblePositionManager`.
    pub positions: Address,
    /// `QuoterV2`.
    pub quoter: Address,
    /// `SwapRouter02`.
    pub router: Address,
}

/// Deploys what is missing, at addresses that follow from the code. Nobody can change its fees.
///
/// # Errors
/// [`Error::NoProxy`], [`Error::Reverted`], [`Error::NoCode`] or [`Error::Rpc`].
pub async fn deploy(
    provider: &DynProvider,
    from: Address,
    artefacts: &Artefacts,
) -> Result<Uniswap, Error> {
    create2::require_proxy(provider).await?;
    let place = async |contract, code: &Bytes, arguments: Vec<u8>| {
        let creation = Bytes::from([code, arguments.as_slice()].concat());
        let salt = keccak256(SALT_TEXT);
        let address = create2::address(salt, &creation);
        create2::deploy(provider, from, contract, salt, address, &creation).await?;
        Ok::<_, Error>(address)
    };
    let weth = place("WETH9", &artefacts.weth, Vec::new()).await?;
    let nobody = Address::ZERO.abi_encode();
    let v2_factory = place("UniswapV2Factory", &artefacts.v2_factory, nobody).await?;
    let v2 = (v2_factory, weth).abi_encode_params();
    let v2_router = place("UniswapV2Router02", &artefacts.v2_router, v2).await?;
    let v3_factory = place("UniswapV3Factory", &artefacts.v3_factory, Vec::new()).await?;
    // No descriptor: positions have no picture.
    let manager = (v3_factory, weth, Address::ZERO).abi_encode_params();
    let positions = place("NonfungiblePositionManager", &artefacts.positions, manager).await?;
    let lens = (v3_factory, weth).abi_encode_params();
    let quoter = place("QuoterV2", &artefacts.quoter, lens).await?;
    let routes = (v2_factory, v3_factory, positions, weth).abi_encode_params();
    let router = place("SwapRouter02", &artefacts.router, routes).await?;
    Ok(Uniswap { weth, v2_factory, v2_router, v3_factory, positions, quoter, router })
}

impl Uniswap {
    /// The v2 pool of two tokens, created if there is none. It is empty until liquidity is added.
    ///
    /// # Errors
    /// [`Error::Reverted`] or [`Error::Rpc`].
    pub async fn create_v2_pool(
        &self,
        provider: &DynProvider,
        from: Address,
        tokens: [Address; 2],
    ) -> Result<Address, Error> {
        let factory = UniswapV2Factory::new(self.v2_factory, provider);
        let pool = || async {
            let question = factory.getPair(tokens[0], tokens[1]);
            question.call().await.map_err(Error::rpc("a question for a pool"))
        };
        let existing = pool().await?;
        if existing != Address::ZERO {
            return Ok(existing);
        }
        let create = factory.createPair(tokens[0], tokens[1]).from(from);
        let sent = create.send().await.map_err(Error::rpc("a new pool"))?;
        receipt::deployed("UniswapV2Pair", sent).await?;
        pool().await
    }

    /// The v3 pool of two tokens at a fee (500, 3,000 or 10,000 millionths), created if there is
    /// none, with the price of `tokens[0]` in `tokens[1]`: `price[0] / price[1]` atomic units.
    ///
    /// # Errors
    /// [`Error::Price`], [`Error::Reverted`] or [`Error::Rpc`].
    pub async fn create_v3_pool(
        &self,
        provider: &DynProvider,
        from: Address,
        tokens: [Address; 2],
        fee: u32,
        price: [u128; 2],
    ) -> Result<Address, Error> {
        let ([token0, token1], [numerator, denominator]) = if tokens[0] < tokens[1] {
            (tokens, price)
        } else {
            ([tokens[1], tokens[0]], [price[1], price[0]])
        };
        let start = sqrt_price_x96(numerator, denominator)?;
        let fee = alloy::primitives::aliases::U24::from(fee);
        let positions = NonfungiblePositionManager::new(self.positions, provider);
        let create =
            positions.createAndInitializePoolIfNecessary(token0, token1, fee, start).from(from);
        let sent = create.send().await.map_err(Error::rpc("a new pool"))?;
        receipt::deployed("UniswapV3Pool", sent).await?;
        let factory = crate::bindings::UniswapV3Factory::new(self.v3_factory, provider);
        let question = factory.getPool(token0, token1, fee);
        question.call().await.map_err(Error::rpc("a question for a pool"))
    }
}

/// A v3 pool's price: the root of `numerator / denominator` (atomic units of token 1 for one of
/// token 0) in 2^-96, rounded down.
///
/// # Errors
/// [`Error::Price`] if it is none that a pool takes.
pub fn sqrt_price_x96(numerator: u128, denominator: u128) -> Result<U160, Error> {
    // TickMath.MIN_SQRT_RATIO and MAX_SQRT_RATIO: the latter is excluded.
    let least = U256::from(4_295_128_739_u64);
    let most = U256::from_limbs([0x5d95_1d52_6398_8d26, 0xefd1_fc6a_5064_8849, 0xfffd_8963, 0]);
    let error = || Error::Price { numerator, denominator };
    if denominator == 0 {
        return Err(error());
    }
    // floor(sqrt(n / d * 2^192)); n * 2^192 needs 320 bits.
    type U320 = alloy::primitives::Uint<320, 5>;
    let ratio = (U320::from(numerator) << 192_usize) / U320::from(denominator);
    let root = U256::uint_try_from(ratio.root(2)).map_err(|_| error())?;
    if root < least || root >= most {
        return Err(error());
    }
    U160::uint_try_from(root).map_err(|_| error())
}
