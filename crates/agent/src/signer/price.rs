//! What a pool's price promises before a swap, the fee left out.

use alloy::{providers::DynProvider, sol_types::SolCall};
use alloy_primitives::{Address, U256, U512, aliases::U24};
use vouch_contracts::bindings::{
    SwapRouter02, UniswapV2Factory, UniswapV2Pair, UniswapV2Router02, UniswapV3Factory,
    UniswapV3Pool,
};

use super::Refusal;
use crate::mandate::{
    Venue,
    abi::Multicall::{Call3, Result as Answer},
};

/// A pool, and what would be sold to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    venue: Venue,
    pool: Address,
    /// Whether token 0 is sold.
    forward: bool,
    amount_in: u128,
    fee: u32,
}

fn failed<E: std::fmt::Display>(error: E) -> Refusal {
    Refusal::Rpc(error.to_string())
}

/// The pool of two tokens that a router trades in.
pub(super) async fn pool(
    provider: &DynProvider,
    venue: Venue,
    router: Address,
    [sell, buy]: [Address; 2],
    fee: u32,
) -> Result<Address, Refusal> {
    let pool = match venue {
        Venue::UniswapV2 => {
            let router = UniswapV2Router02::new(router, provider);
            let factory = router.factory().call().await.map_err(failed)?;
            let factory = UniswapV2Factory::new(factory, provider);
            factory.getPair(sell, buy).call().await.map_err(failed)?
        }
        Venue::UniswapV3 => {
            let router = SwapRouter02::new(router, provider);
            let factory = router.factory().call().await.map_err(failed)?;
            let factory = UniswapV3Factory::new(factory, provider);
            let fee = U24::saturating_from(fee);
            factory.getPool(sell, buy, fee).call().await.map_err(failed)?
        }
    };
    if pool.is_zero() { Err(Refusal::NoPool) } else { Ok(pool) }
}

impl Spot {
    pub(super) fn new(
        venue: Venue,
        pool: Address,
        [sell, buy]: [Address; 2],
        amount_in: u128,
        fee: u32,
    ) -> Self {
        Self { venue, pool, forward: sell < buy, amount_in, fee }
    }

    pub(super) fn question(&self) -> Call3 {
        let data = match self.venue {
            Venue::UniswapV2 => UniswapV2Pair::getReservesCall {}.abi_encode(),
            Venue::UniswapV3 => UniswapV3Pool::slot0Call {}.abi_encode(),
        };
        Call3 { target: self.pool, allowFailure: true, callData: data.into() }
    }

    /// What `amount_in` would buy at the pool's price, less the fee, however much it moves it.
    pub(super) fn out(&self, answer: &Answer) -> Result<u128, Refusal> {
        if !answer.success {
            return Err(Refusal::NoPool);
        }
        let price = match self.venue {
            Venue::UniswapV2 => {
                let reserves =
                    UniswapV2Pair::getReservesCall::abi_decode_returns(&answer.returnData)
                        .map_err(|_| Refusal::NoPool)?;
                [U512::from(reserves.reserve0), U512::from(reserves.reserve1)]
            }
            Venue::UniswapV3 => {
                let slot = UniswapV3Pool::slot0Call::abi_decode_returns(&answer.returnData)
                    .map_err(|_| Refusal::NoPool)?;
                // Token 1 for one token 0 is (sqrtPriceX96 / 2^96)^2.
                let root = U512::from(U256::from(slot.sqrtPriceX96));
                [U512::from(1) << 192, root * root]
            }
        };
        let [sold, bought] = if self.forward { price } else { [price[1], price[0]] };
        let kept = U512::from(1_000_000_u32.saturating_sub(self.fee));
        // 128 + 20 + 320 bits at most.
        let out = (U512::from(self.amount_in) * kept * bought)
            .checked_div(sold * U512::from(1_000_000))
            .ok_or(Refusal::NoPool)?;
        Ok(u128::try_from(out).unwrap_or(u128::MAX))
    }
}

/// How far `out` is below `spot`, in basis points, rounded up.
pub(super) fn impact_bps(spot: u128, out: u128) -> u32 {
    let lost = U256::from(spot.saturating_sub(out)) * U256::from(10_000);
    let bps = lost.div_ceil(U256::from(spot.max(1)));
    u32::try_from(bps).unwrap_or(u32::MAX)
}

/// Whether `minimum` is at least what `expected` less `slippage_bps` is.
pub(super) fn within_slippage(minimum: u128, expected: u128, slippage_bps: u16) -> bool {
    let kept = U256::from(10_000_u16.saturating_sub(slippage_bps));
    U256::from(minimum) * U256::from(10_000) >= U256::from(expected) * kept
}
