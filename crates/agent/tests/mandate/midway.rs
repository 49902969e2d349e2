//! The world changes between a signer's simulation and the block.

use std::sync::Arc;

use alloy::{primitives::U256, providers::Provider};
use vouch_agent::{
    intent::Intent,
    mandate::{Cap, Mandate, revoke},
    signer::Outcome,
};
use vouch_contracts::bindings::UniswapV2Router02;
use vouch_wallet::Wallet;

use crate::{
    signer::{Bench, pay, refused, request},
    world::{CAP, DOLLAR, START, World},
};

async fn bench() -> Bench {
    let world = World::start_manual().await;
    let change = |mandate: &mut Mandate| {
        mandate.caps[0] = Cap { amount: 10 * CAP, ..mandate.caps[0] };
    };
    let grant = world.mining(world.granted(change)).await;
    Bench { world, acts: Arc::default(), grant }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_while_an_act_is_under_way() {
    let bench = bench().await;
    let signer = Arc::new(bench.open());
    let world = &bench.world;
    // The owner's transaction waits first; nobody sees its effect before the block.
    let (provider, grant) = (world.provider.clone(), bench.grant.clone());
    let secret = world.owner.signer().unwrap().to_bytes();
    let owner = Wallet::import(&world.dir.path().join("owner"), &secret, "").unwrap();
    let revoking = tokio::spawn(async move { revoke(&provider, &owner, &grant).await.unwrap() });
    world.until_pending(world.owner.address()).await;
    let acting = {
        let signer = signer.clone();
        tokio::spawn(async move { signer.act(&pay(0, DOLLAR)).await })
    };
    world.until_pending(world.agent.address()).await;
    world.mine().await;
    assert!(revoking.await.unwrap().status());
    let reply = acting.await.unwrap();
    assert!(matches!(reply.outcome, Outcome::Failed { .. }), "{reply:?}");
    assert_eq!(world.balance(world.dollar, world.payees[0]).await, 0);
    assert_eq!(signer.ledger().await.spent(0, 0), 0, "nothing was spent, nothing is counted");
    assert_eq!(refused(&signer.act(&pay(0, DOLLAR)).await).0, "revoked");
    assert_eq!(bench.acts.0.lock().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_moves_after_the_simulation_costs_gas_alone() {
    let bench = bench().await;
    let signer = Arc::new(bench.open());
    let world = &bench.world;
    let router = UniswapV2Router02::new(world.uniswap.v2_router, &world.rich);
    let trade = router
        .swapExactTokensForTokens(
            U256::from(50_000 * DOLLAR),
            U256::ZERO,
            vec![world.dollar, world.other],
            world.deployer,
            U256::from(START * 2),
        )
        .from(world.deployer)
        .gas(500_000);
    let trade = trade.send().await.unwrap();
    let deadline = bench.deadline();
    let owner = world.owner.address();
    let before = world.balance(world.dollar, owner).await;
    let (amount_in, min_out) = (100 * DOLLAR, 99 * DOLLAR);
    let swap = request(Intent::Swap { permission: 1, amount_in, min_out, deadline });
    let acting = {
        let signer = signer.clone();
        tokio::spawn(async move { signer.act(&swap).await })
    };
    world.until_pending(world.agent.address()).await;
    world.mine().await;
    assert!(trade.get_receipt().await.unwrap().status());
    let reply = acting.await.unwrap();
    assert!(matches!(reply.outcome, Outcome::Failed { .. }), "{reply:?}");
    assert_eq!(world.balance(world.dollar, owner).await, before);
    assert_eq!(signer.ledger().await.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_dies_with_a_transaction_out_sends_it_once() {
    let bench = bench().await;
    let world = &bench.world;
    let signer = Arc::new(bench.open());
    let dying = {
        let signer = signer.clone();
        tokio::spawn(async move { signer.act(&pay(0, CAP)).await })
    };
    world.until_pending(world.agent.address()).await;
    dying.abort();
    assert!(dying.await.is_err());
    drop(signer);
    assert!(bench.acts.0.lock().is_empty(), "it died before it could say anything");

    let signer = bench.open();
    assert_eq!(signer.ledger().await.spent(0, 0), CAP, "what is out counts");
    let next = world.mining(signer.act(&pay(1, DOLLAR))).await;
    assert!(next.outcome.is_settled(), "{next:?}");
    assert_eq!(world.balance(world.dollar, world.payees[0]).await, CAP, "once");
    let nonce = world.provider.get_transaction_count(world.agent.address()).await.unwrap();
    assert_eq!(nonce, 2);
    let acts = bench.acts.0.lock();
    let charges: Vec<u128> = acts.iter().map(|act| act.receipt.charge).collect();
    assert_eq!(charges, [CAP, DOLLAR], "the first act has its receipt after all");
}
