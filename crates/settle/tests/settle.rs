//! Settlement against the embedded chain, the contracts and a store: all real.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod world;

use alloy::{
    eips::BlockId,
    primitives::{Address, B256},
    providers::Provider,
};
use vouch_core::channel::{ChannelConfig, Freeze, Mode, SignedVoucher, Voucher};
use vouch_settle::{Error, Schedule};
use vouch_store::{Begun, Call};
use vouch_wallet::Wallet;
use world::{DELAY_S, ORIGIN, World};

#[tokio::test]
async fn a_deposit_is_charged_claimed_and_closed() {
    let world = World::new().await;
    let before = world.balance(world.payer.address()).await;
    let config = world.open_channel(1_000).await;
    world.charge(&config, 300, 300).await;
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 300);
    assert_eq!(world.balance(world.provider.address()).await, 300);
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 0, "nothing new was charged");

    world.charge(&config, 50, 350).await;
    let channel = config.id(&world.domain);
    world.settler.close(channel).await.unwrap();
    assert_eq!(world.balance(world.provider.address()).await, 350);
    assert_eq!(world.balance(world.payer.address()).await, before - 350);
    let view = world.store.channel(&channel).unwrap();
    assert_eq!(view.frozen, Some(Freeze::Closing));
    assert_eq!((view.on_chain.balance, view.on_chain.claimed), (350, 350));
    // Closing what is closed changes nothing.
    world.settler.close(channel).await.unwrap();
    assert_eq!(world.balance(world.provider.address()).await, 350);
}

#[tokio::test]
async fn a_deposit_sent_twice_counts_once() {
    let world = World::new().await;
    let config = world.config();
    let deposit = world.deposit(&config, 1_000, 1);
    for _ in 0..2 {
        assert_eq!(world.settler.deposit(&config, &deposit).await.unwrap().1.balance, 1_000);
    }
    let more = world.deposit(&config, 500, 2);
    assert_eq!(world.settler.deposit(&config, &more).await.unwrap().1.balance, 1_500);
}

#[tokio::test]
async fn a_bad_deposit_is_refused_before_it_is_sent() {
    let world = World::new().await;
    let config = world.config();
    let mut forged = world.deposit(&config, 1_000, 1);
    forged.amount = 2_000;
    let refused = world.settler.deposit(&config, &forged).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    let foreign = ChannelConfig { receiver: Address::repeat_byte(9), ..config };
    let refused =
        world.settler.deposit(&foreign, &world.deposit(&foreign, 1, 1)).await.unwrap_err();
    assert!(matches!(refused, Error::Deposit(_)), "{refused}");
    assert_eq!(world.balance(world.provider.address()).await, 0);
}

#[tokio::test]
async fn a_withdrawal_freezes_the_channel_and_is_claimed_against() {
    let world = World::new().await;
    let config = world.open_channel(1_000).await;
    world.charge(&config, 400, 400).await;
    let channel = config.id(&world.domain);
    let payers = world.payers();
    let notice = payers.initiateWithdraw((&config).into(), 1_000).send().await.unwrap();
    assert!(notice.get_receipt().await.unwrap().status());

    let seen = world.settler.observe(channel).await.unwrap();
    assert_eq!(seen.withdrawing, 1_000);
    assert!(world.store.observe(channel, seen).await.unwrap().froze);
    assert_eq!(world.settler.claim(|view| view.frozen.is_some()).await.unwrap(), 400);

    let early = payers.finalizeWithdraw((&config).into()).send().await;
    assert!(early.is_err(), "the delay has not passed");
    let provider = world.reader.clone();
    let _offset: serde_json::Value =
        provider.raw_request("evm_increaseTime".into(), [DELAY_S + 1]).await.unwrap();
    // A hand that has sent nothing yet: the refused attempt may have taken a nonce of its own count.
    let last = world.payers().finalizeWithdraw((&config).into()).send().await.unwrap();
    assert!(last.get_receipt().await.unwrap().status());
    let seen = world.settler.observe(channel).await.unwrap();
    assert_eq!((seen.balance, seen.claimed, seen.withdrawing), (400, 400, 0));
    assert_eq!(world.balance(world.provider.address()).await, 400);
}

#[tokio::test]
async fn checkpoints_are_anchored_as_they_grow() {
    let world = World::new().await;
    let config = world.open_channel(1_000).await;
    assert_eq!(world.settler.anchored(ORIGIN).await.unwrap(), None);
    world.charge(&config, 1, 1).await;
    let first = world.store.publish_checkpoint().await.unwrap();
    assert!(world.settler.anchor(&first).await.unwrap());
    assert!(!world.settler.anchor(&first).await.unwrap(), "it is anchored already");
    world.charge(&config, 1, 2).await;
    let second = world.store.publish_checkpoint().await.unwrap();
    assert!(world.settler.anchor(&second).await.unwrap());
    let anchored = world.settler.anchored(ORIGIN).await.unwrap();
    assert_eq!(anchored, Some((2, second.checkpoint.root)));
    world.store.check_extends(2, second.checkpoint.root).unwrap();
    let block = world.reader.clone().get_block(BlockId::latest()).await.unwrap().unwrap();
    assert!(block.header.number > 0);
}

#[tokio::test]
async fn a_voucher_that_the_chain_refuses_holds_up_no_other() {
    let world = World::new().await;
    let good = world.open_channel(1_000).await;
    world.charge(&good, 300, 300).await;
    let salt = B256::repeat_byte(8);
    let bad = world.open_as(ChannelConfig { salt, ..world.config() }, 1_000).await;
    let voucher = Voucher { channel_id: bad.id(&world.domain), max_claimable_amount: 200 };
    let signature = Wallet::random().unwrap().sign(voucher.digest(&world.domain));
    world.charge_with(&bad, 200, SignedVoucher { voucher, signature }).await;
    let refused = world.settler.claim(|_| true).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert_eq!(world.balance(world.provider.address()).await, 300);
}

#[tokio::test]
async fn a_channel_that_froze_before_a_restart_is_claimed_at_once() {
    let world = World::new().await;
    let config = world.open_channel(1_000).await;
    world.charge(&config, 400, 400).await;
    let channel = config.id(&world.domain);
    let notice = world.payers().initiateWithdraw((&config).into(), 1_000).send().await.unwrap();
    assert!(notice.get_receipt().await.unwrap().status());
    // The store knows, and the process ends before the claim is sent.
    let seen = world.settler.observe(channel).await.unwrap();
    assert!(world.store.observe(channel, seen).await.unwrap().froze);
    let world = world.restarted();
    let World { store, settler, .. } = &world;
    assert!(store.channel(&channel).unwrap().frozen.is_some());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let hour = std::time::Duration::from_secs(3600);
    let schedule = Schedule { claim: hour, anchor: hour, ..Schedule::default() };
    let watching = async {
        while store.channel(&channel).unwrap().on_chain.claimed == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stop.send(true).unwrap();
    };
    let both = async { tokio::join!(settler.follow(schedule, stopped), watching) };
    tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap();
    assert_eq!(world.balance(world.provider.address()).await, 400);
}

#[tokio::test]
async fn a_claim_on_a_stock_channel_notes_that_its_voucher_is_public() {
    let mut world = World::new().await;
    world.mode = Mode::Stock;
    let config = world.open_channel(1_000).await;
    let channel = config.id(&world.domain);
    world.charge(&config, 300, 300).await;
    assert_eq!(world.store.channel(&channel).unwrap().published, []);
    // A call of at most 500 that cost 100.
    let voucher = Voucher { channel_id: channel, max_claimable_amount: 800 };
    let signature = world.payer.sign(voucher.digest(&world.domain));
    let request = B256::repeat_byte(5);
    let voucher = Some(SignedVoucher { voucher, signature });
    let call = Call { channel, request, amount: 500, voucher };
    let Begun::New(hold) = world.store.reserve(&call).unwrap() else { panic!("a new call") };
    let receipt = world.receipt(&config, request, 100);
    world.store.commit(hold, receipt, b"answer".to_vec()).await.unwrap();
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 400);
    assert_eq!(world.store.channel(&channel).unwrap().published, [800]);
    // 400 more would be covered by what everyone has seen.
    let again = Call { request: B256::repeat_byte(6), amount: 400, ..call };
    assert!(world.store.reserve(&again).is_err());
}

/// A vault as receiver: the provider's key claims, the vault is paid, a close refunds the rest.
#[tokio::test]
async fn a_channel_may_pay_a_vault_that_the_provider_claims_for() {
    let vault = Address::repeat_byte(0x55);
    let mut world = World::new().await;
    let mut config = world.config();
    config.receiver = vault;
    let foreign = world.settler.deposit(&config, &world.deposit(&config, 1_000, 1)).await;
    assert!(matches!(foreign, Err(Error::Deposit(_))), "{foreign:?}");
    world.settler = world.settler.paying(vault);
    let config = world.open_as(config, 1_000).await;
    world.charge(&config, 300, 300).await;
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 300);
    assert_eq!(
        (world.balance(vault).await, world.balance(world.provider.address()).await),
        (300, 0)
    );
    let before = world.balance(world.payer.address()).await;
    world.settler.close(config.id(&world.domain)).await.unwrap();
    assert_eq!(world.balance(world.payer.address()).await - before, 700);
}
