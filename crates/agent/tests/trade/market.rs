//! Quotes are what the contracts answer, to the last unit.

use alloy::primitives::{U160, U256, aliases::U24};
use vouch_agent::market::{Chain, Pool};
use vouch_contracts::bindings::{QuoterV2, UniswapV2Router02};

use crate::world::{FEE, UNIT, World, units};

/// Amounts from dust to what crosses several ranges.
fn amounts() -> Vec<U256> {
    let mut amounts: Vec<U256> = [1, 2, 999, 1_000, 1_001, 123_457].map(U256::from).to_vec();
    amounts.extend([1, 77, 1_234, 9_999, 40_000, 100_000, 250_000, 400_000].map(units));
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    amounts.extend((0..24).map(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        U256::from(random >> 24) % (units(300_000))
    }));
    amounts
}

async fn compare(world: &World) {
    let snapshot = Chain::new(world.chain.provider()).snapshot(&world.watch()).await.unwrap();
    let [Pool::V2(_), Pool::V3(state)] = snapshot.pools.as_slice() else {
        panic!("{:?}", snapshot.pools)
    };
    let quoter = QuoterV2::new(world.uniswap.quoter, &world.whale);
    let router = UniswapV2Router02::new(world.uniswap.v2_router, &world.whale);
    let mut impacts = 0;
    for amount in amounts() {
        for (at, sell) in world.tokens.into_iter().enumerate() {
            let buy = world.tokens[1 - at];
            let theirs = quoter
                .quoteExactInputSingle(QuoterV2::QuoteExactInputSingleParams {
                    tokenIn: sell,
                    tokenOut: buy,
                    amountIn: amount,
                    fee: U24::from(FEE),
                    sqrtPriceLimitX96: U160::ZERO,
                })
                .call()
                .await
                .unwrap();
            let ours = state.swap(at == 0, amount).unwrap();
            assert_eq!(ours.amount_out, theirs.amountOut, "v3 sells {amount} of token{at}");
            assert_eq!(ours.sqrt_price, U256::from(theirs.sqrtPriceX96After));
            let quote = snapshot.pools[1].quote(sell, amount).unwrap();
            assert_eq!(quote.amount_out, theirs.amountOut);
            impacts += usize::from(quote.impact_bps > 100);
            let theirs = router.getAmountsOut(amount, vec![sell, buy]).call().await.unwrap();
            let ours = snapshot.pools[0].quote(sell, amount).unwrap();
            assert_eq!(ours.amount_out, theirs[1], "v2 sells {amount} of token{at}");
        }
    }
    assert!(impacts > 4, "the large amounts move the price: {impacts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_are_the_contracts() {
    let world = World::new().await;
    compare(&world).await;
    // Elsewhere: odd prices, below zero, other ranges in force.
    world.sell_v3(0, U256::from(123_456_789_123u64)).await;
    world.sell_v2(0, U256::from(98_765_432_101u64)).await;
    world.provide(-12_000, -1_200, units(30_000)).await;
    compare(&world).await;
    world.sell_v3(1, U256::from(399_999_999_999u64)).await;
    compare(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn impact_leaves_the_fee_out() {
    let world = World::new().await;
    let snapshot = Chain::new(world.chain.provider()).snapshot(&world.watch()).await.unwrap();
    // A thousandth of the reserves moves a constant product by a thousandth, about 10 bps.
    let quote = snapshot.pools[0].quote(world.tokens[0], units(1_000)).unwrap();
    assert_eq!(quote.impact_bps, 10);
    assert_eq!(quote.fee, U256::from(3 * UNIT));
    let small = snapshot.pools[0].quote(world.tokens[0], units(1)).unwrap();
    assert_eq!(small.impact_bps, 1);
    assert_eq!(snapshot.pools[0].value(world.tokens[0], units(5)).unwrap(), units(5));
    assert_eq!(snapshot.pools[1].value(world.tokens[1], units(5)).unwrap(), units(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_pool_is_said() {
    let world = World::new().await;
    let chain = Chain::new(world.chain.provider());
    let mut watch = world.watch();
    watch.pools = vec![world.tokens[0]];
    let error = chain.snapshot(&watch).await.unwrap_err().to_string();
    assert!(error.contains("is not a Uniswap v3 pool"), "{error}");
    assert!(error.contains(&world.tokens[0].to_string()), "{error}");
}
