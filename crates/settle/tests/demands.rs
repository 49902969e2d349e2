//! Demands for receipts, on the embedded chain with the real contracts.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod world;

use alloy::{
    network::EthereumWallet,
    primitives::{Address, B256, Bytes, U256},
};
use vouch_contracts::{
    Governance,
    bindings::{
        Faults::{self, Evidence, FaultsInstance, Promise},
        TestDollar::TestDollarInstance,
    },
    deploy_economy, signing,
};
use vouch_core::channel::ChannelConfig;
use vouch_settle::Error;
use world::World;

/// The payer demands the receipt behind what was claimed: how much, and of whom.
async fn demand(world: &World, faults: Address, config: &ChannelConfig) -> (u128, Address) {
    let chain = world.payers().provider().clone();
    let token = TestDollarInstance::new(config.token, &chain);
    let approval = token.approve(faults, U256::MAX).send().await.unwrap();
    assert!(approval.get_receipt().await.unwrap().status());
    let contract = FaultsInstance::new(faults, chain);
    let of = Faults::ChannelConfig {
        payer: config.payer,
        payerAuthorizer: config.payer_authorizer,
        receiver: config.receiver,
        receiverAuthorizer: config.receiver_authorizer,
        token: config.token,
        withdrawDelay: config.withdraw_delay.try_into().unwrap(),
        salt: config.salt,
    };
    let zero = B256::ZERO;
    // The receiver is the provider: nothing else must be shown.
    let nothing = Evidence {
        receipt: Bytes::new(),
        promised: Promise { root: zero, first: 0, count: 0, notBefore: zero, mergeBy: 0 },
        signature: Bytes::new(),
        index: 0,
        path: Vec::new(),
    };
    let sent = contract.demand(of, nothing).send().await.unwrap();
    assert!(sent.get_receipt().await.unwrap().status());
    let demand = contract.demands(config.id(&world.domain)).call().await.unwrap();
    (demand.claimed, demand.provider)
}

/// Whoever doubts a claim demands the receipt behind it. The provider answers from its store by
/// itself, so that the demander's bond is its own; and says so if it cannot.
#[tokio::test]
async fn a_demand_for_a_receipt_is_answered_from_the_store() {
    let mut world = World::new().await;
    let provider = world.provider.address();
    let own = EthereumWallet::from(world.provider.signer().unwrap());
    let sending = signing(&world.reader, own);
    let governance = Governance::development(provider);
    let faults = deploy_economy(&sending, provider, &governance).await.unwrap().faults;
    world.settler = world.settler.answering(faults);
    let config = world.open_channel(1_000).await;
    let channel = config.id(&world.domain);
    world.charge(&config, 300, 300).await;
    world.settler.claim(|_| true).await.unwrap();
    assert_eq!(world.settler.answer_demands().await.unwrap(), 0);

    assert_eq!(demand(&world, faults, &config).await, (300, provider));
    assert_eq!(world.settler.answer_demands().await.unwrap(), 1);
    let contract = FaultsInstance::new(faults, world.reader.clone());
    assert_eq!(contract.demands(channel).call().await.unwrap().deadline, 0);
    let bond = contract.credits(provider).call().await.unwrap();
    assert_eq!(bond, U256::from(contract.DEMAND_BOND().call().await.unwrap()));

    // A claim beyond what the store knows: it was restored from an older copy, or is at fault.
    world.charge(&config, 100, 400).await;
    world.settler.claim(|_| true).await.unwrap();
    world.settler.faucet(world.payer.address()).await.unwrap();
    demand(&world, faults, &config).await;
    let mut empty = world.emptied();
    assert!(empty.store.channel(&channel).is_none());
    empty.settler = empty.settler.answering(faults);
    let unanswered = empty.settler.answer_demands().await.unwrap_err();
    assert!(matches!(unanswered, Error::UnknownChannel(id) if id == channel), "{unanswered}");
    assert_ne!(contract.demands(channel).call().await.unwrap().deadline, 0);
}
