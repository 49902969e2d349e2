//! The calldata of Uniswap's routers and position manager; what comes out goes to the owner.

use alloy::sol_types::SolCall;
use alloy_primitives::{Address, U256, aliases::U24};
use vouch_contracts::bindings::{
    NonfungiblePositionManager as Positions, SwapRouter02, UniswapV2Router02,
};

use super::Refusal;
use crate::{intent::Range, mandate::Venue};

/// Beyond these no v3 pool has a price.
const MAX_TICK: i32 = 887_272;

pub(super) fn swap(
    venue: Venue,
    [sell, buy]: [Address; 2],
    fee: u32,
    [amount_in, min_out]: [u128; 2],
    to: Address,
    deadline: u64,
) -> Vec<u8> {
    match venue {
        Venue::UniswapV2 => UniswapV2Router02::swapExactTokensForTokensCall {
            amountIn: U256::from(amount_in),
            amountOutMin: U256::from(min_out),
            path: vec![sell, buy],
            to,
            deadline: U256::from(deadline),
        }
        .abi_encode(),
        // SwapRouter02 knows no deadline here: the minimum holds, whenever it is included.
        Venue::UniswapV3 => SwapRouter02::exactInputSingleCall {
            params: SwapRouter02::ExactInputSingleParams {
                tokenIn: sell,
                tokenOut: buy,
                fee: U24::saturating_from(fee),
                recipient: to,
                amountIn: U256::from(amount_in),
                amountOutMinimum: U256::from(min_out),
                sqrtPriceLimitX96: Default::default(),
            },
        }
        .abi_encode(),
    }
}

pub(super) fn add_liquidity(
    venue: Venue,
    [token0, token1]: [Address; 2],
    fee: u32,
    range: Option<Range>,
    amounts: [u128; 4],
    to: Address,
    deadline: u64,
) -> Result<Vec<u8>, Refusal> {
    let [amount0, amount1, min0, min1] = amounts.map(U256::from);
    let deadline = U256::from(deadline);
    match (venue, range) {
        (Venue::UniswapV2, None) => Ok(UniswapV2Router02::addLiquidityCall {
            tokenA: token0,
            tokenB: token1,
            amountADesired: amount0,
            amountBDesired: amount1,
            amountAMin: min0,
            amountBMin: min1,
            to,
            deadline,
        }
        .abi_encode()),
        (Venue::UniswapV3, Some(Range { lower, upper }))
            if -MAX_TICK <= lower && lower < upper && upper <= MAX_TICK =>
        {
            let tick = |tick: i32| {
                tick.try_into().map_err(|_| Refusal::Malformed("a tick is out of range"))
            };
            let params = Positions::MintParams {
                token0,
                token1,
                fee: U24::saturating_from(fee),
                tickLower: tick(lower)?,
                tickUpper: tick(upper)?,
                amount0Desired: amount0,
                amount1Desired: amount1,
                amount0Min: min0,
                amount1Min: min1,
                recipient: to,
                deadline,
            };
            Ok(Positions::mintCall { params }.abi_encode())
        }
        _ => Err(Refusal::Malformed(
            "a range goes with v3, lower below upper and both within 887272 ticks; v2 has none",
        )),
    }
}

pub(super) fn remove_liquidity(
    venue: Venue,
    [token_a, token_b]: [Address; 2],
    position: U256,
    liquidity: u128,
    minima: [u128; 2],
    to: Address,
    deadline: u64,
) -> Result<Vec<u8>, Refusal> {
    let [min0, min1] = minima.map(U256::from);
    let deadline = U256::from(deadline);
    match venue {
        Venue::UniswapV2 if !position.is_zero() => {
            Err(Refusal::Malformed("v2 has no positions: leave it 0"))
        }
        Venue::UniswapV2 => Ok(UniswapV2Router02::removeLiquidityCall {
            tokenA: token_a,
            tokenB: token_b,
            liquidity: U256::from(liquidity),
            amountAMin: min0,
            amountBMin: min1,
            to,
            deadline,
        }
        .abi_encode()),
        Venue::UniswapV3 => {
            let params = Positions::DecreaseLiquidityParams {
                tokenId: position,
                liquidity,
                amount0Min: min0,
                amount1Min: min1,
                deadline,
            };
            Ok(Positions::decreaseLiquidityCall { params }.abi_encode())
        }
    }
}
