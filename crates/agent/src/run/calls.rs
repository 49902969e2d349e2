//! The contract calls of an order.

use alloy::sol_types::SolCall;
use alloy_primitives::{
    Address, Bytes, U256,
    aliases::{I24, U24},
};

use vouch_contracts::bindings::{
    NonfungiblePositionManager as Positions, SwapRouter02, UniswapV2Router02, VouchGovernor,
};

use super::{Action, Order, Venue};
use crate::portfolio::Venues;

/// One call, and what the called contract must be allowed to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The contract.
    pub to: Address,
    /// Its input.
    pub data: Bytes,
    /// Token and amount that `to` takes from the account.
    pub takes: Vec<(Address, U256)>,
}

/// The call that carries `order` out for `account`; everything goes to and comes from it.
///
/// # Errors
/// In one sentence, why there is none.
pub fn calls(order: &Order, venues: &Venues, account: Address) -> Result<Call, String> {
    let deadline = U256::from(order.deadline);
    match &order.action {
        Action::Swap { venue, sell, buy, amount_in, min_out, .. } => {
            swap(*venue, venues, (*sell, *buy), (*amount_in, *min_out), account, deadline)
        }
        Action::AddLiquidity { venue, tokens, range, amounts, minima, .. } => {
            add(*venue, venues, *tokens, *range, *amounts, *minima, account, deadline)
        }
        Action::RemoveLiquidity { venue: Venue::V2, pool, tokens, liquidity, minima, .. } => {
            let call = UniswapV2Router02::removeLiquidityCall {
                tokenA: tokens.0,
                tokenB: tokens.1,
                liquidity: U256::from(*liquidity),
                amountAMin: minima.0,
                amountBMin: minima.1,
                to: account,
                deadline,
            };
            let to = venues.v2_router.ok_or("the portfolio names no v2 router")?;
            Ok(Call { to, data: encode(&call), takes: vec![(*pool, U256::from(*liquidity))] })
        }
        Action::RemoveLiquidity { id, liquidity, minima, .. } => {
            let mut data = Vec::new();
            if *liquidity > 0 {
                let params = Positions::DecreaseLiquidityParams {
                    tokenId: *id,
                    liquidity: *liquidity,
                    amount0Min: minima.0,
                    amount1Min: minima.1,
                    deadline,
                };
                data.push(encode(&Positions::decreaseLiquidityCall { params }));
            }
            data.push(collect(*id, account));
            positions(venues, encode(&Positions::multicallCall { data }), Vec::new())
        }
        Action::Collect { id, .. } => positions(venues, collect(*id, account), Vec::new()),
        Action::Vote { governor, proposal, support, reason } => {
            let call = VouchGovernor::castVoteWithReasonCall {
                proposalId: *proposal,
                support: *support as u8,
                reason: reason.clone(),
            };
            Ok(Call { to: *governor, data: encode(&call), takes: Vec::new() })
        }
    }
}

fn encode(call: &impl SolCall) -> Bytes {
    call.abi_encode().into()
}

fn swap(
    venue: Venue,
    venues: &Venues,
    (sell, buy): (Address, Address),
    (amount_in, min_out): (U256, U256),
    account: Address,
    deadline: U256,
) -> Result<Call, String> {
    let takes = vec![(sell, amount_in)];
    match venue {
        Venue::V2 => {
            let call = UniswapV2Router02::swapExactTokensForTokensCall {
                amountIn: amount_in,
                amountOutMin: min_out,
                path: vec![sell, buy],
                to: account,
                deadline,
            };
            let to = venues.v2_router.ok_or("the portfolio names no v2 router")?;
            Ok(Call { to, data: encode(&call), takes })
        }
        Venue::V3 { fee } => {
            let params = SwapRouter02::ExactInputSingleParams {
                tokenIn: sell,
                tokenOut: buy,
                fee: U24::from(fee),
                recipient: account,
                amountIn: amount_in,
                amountOutMinimum: min_out,
                sqrtPriceLimitX96: Default::default(),
            };
            let data = vec![encode(&SwapRouter02::exactInputSingleCall { params })];
            let call = SwapRouter02::multicallCall { deadline, data };
            let to = venues.v3_router.ok_or("the portfolio names no v3 router")?;
            Ok(Call { to, data: encode(&call), takes })
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "they are the contract's")]
fn add(
    venue: Venue,
    venues: &Venues,
    tokens: (Address, Address),
    range: (i32, i32),
    amounts: (U256, U256),
    minima: (U256, U256),
    account: Address,
    deadline: U256,
) -> Result<Call, String> {
    let takes = vec![(tokens.0, amounts.0), (tokens.1, amounts.1)];
    let Venue::V3 { fee } = venue else {
        let call = UniswapV2Router02::addLiquidityCall {
            tokenA: tokens.0,
            tokenB: tokens.1,
            amountADesired: amounts.0,
            amountBDesired: amounts.1,
            amountAMin: minima.0,
            amountBMin: minima.1,
            to: account,
            deadline,
        };
        let to = venues.v2_router.ok_or("the portfolio names no v2 router")?;
        return Ok(Call { to, data: encode(&call), takes });
    };
    let tick = |tick| I24::try_from(tick).map_err(|_| "a tick does not fit".to_owned());
    let params = Positions::MintParams {
        token0: tokens.0,
        token1: tokens.1,
        fee: U24::from(fee),
        tickLower: tick(range.0)?,
        tickUpper: tick(range.1)?,
        amount0Desired: amounts.0,
        amount1Desired: amounts.1,
        amount0Min: minima.0,
        amount1Min: minima.1,
        recipient: account,
        deadline,
    };
    positions(venues, encode(&Positions::mintCall { params }), takes)
}

fn collect(id: U256, account: Address) -> Bytes {
    let params = Positions::CollectParams {
        tokenId: id,
        recipient: account,
        amount0Max: u128::MAX,
        amount1Max: u128::MAX,
    };
    encode(&Positions::collectCall { params })
}

fn positions(venues: &Venues, data: Bytes, takes: Vec<(Address, U256)>) -> Result<Call, String> {
    let to = venues.v3_positions.ok_or("the portfolio names no v3 position manager")?;
    Ok(Call { to, data, takes })
}
