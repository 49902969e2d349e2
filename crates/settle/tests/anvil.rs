//! Settlement against a foreign node that takes blocks back, drops transactions and raises its fees:
//! anvil. What would be seen if the code had a bug is shown by planting it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod world;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::{Filter, TransactionRequest},
    sol_types::SolEvent,
};
use serde_json::{Value, json};
use vouch_contracts::{bindings::BatchSettlement::Claimed, deploy, signing};
use vouch_core::{
    channel::{ChannelConfig, Freeze},
    planted::{Bug, plant},
};
use vouch_settle::{Endpoints, Error, Finality, Sending};
use vouch_store::Call;
use vouch_tests::{Anvil, Mood, Proxy};
use vouch_wallet::Wallet;
use world::{ORIGIN, Setting, World};

/// As usual, but for tests that do not wait for minutes.
const SENDING: Sending = Sending {
    patience: Duration::from_secs(10),
    raise_after: Duration::from_secs(1),
    max_fee_per_gas: 500_000_000_000,
};

fn connect(url: &str) -> DynProvider {
    // The second time it is there already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    ProviderBuilder::default().connect_http(url.parse().unwrap()).erased()
}

/// A world on an anvil, behind these endpoints of it.
async fn world_behind(anvil: &Anvil, urls: &[&str], finality: Finality, sending: Sending) -> World {
    let provider = Arc::new(Wallet::random().unwrap());
    anvil.fund(&provider.address().to_string());
    let reader = connect(&anvil.url);
    let signer = signing(&reader, provider.signer().unwrap().into());
    let deployment = deploy(&signer, provider.address(), None, provider.address()).await.unwrap();
    let endpoints = Endpoints::new(urls.iter().map(|url| ((*url).to_owned(), connect(url))));
    let shared = None;
    let world = World::on(provider, Setting { endpoints, deployment, finality, sending, shared });
    world.settler.faucet(world.payer.address()).await.unwrap();
    // Whatever a test takes back is its own.
    anvil.mine(8);
    world.settler.catch_up(1_000).await;
    world
}

async fn world(anvil: &Anvil, finality: u64) -> World {
    world_behind(anvil, &[&anvil.url], Finality::Blocks(finality), SENDING).await
}

/// Deposits while blocks are made, and opens the channel.
async fn open(world: &World, anvil: &Anvil, config: ChannelConfig, amount: u128) -> B256 {
    let deposit = world.deposit(&config, amount, 1);
    let mining = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            anvil.mine(1);
        }
    };
    let (_, seen) = tokio::select! {
        deposited = world.settler.deposit(&config, &deposit) => deposited.unwrap(),
        () = mining => unreachable!("it does not end"),
    };
    if world.store.channel(&config.id(&world.domain)).is_none() {
        world.store.open_channel(config, world.mode, seen).await.unwrap();
    }
    world.settler.catch_up(1_000).await;
    config.id(&world.domain)
}

/// How often and to what totals a channel was claimed, on the chain as it is now.
async fn claims(world: &World) -> Vec<u128> {
    let filter = Filter::new()
        .address(world.settler.deployment().settlement)
        .event_signature(Claimed::SIGNATURE_HASH)
        .from_block(0);
    let logs = world.reader.get_logs(&filter).await.unwrap();
    logs.iter().map(|log| log.log_decode::<Claimed>().unwrap().inner.newTotalClaimed).collect()
}

/// What waits to be mined from an account, by nonce.
fn waiting(anvil: &Anvil, from: Address) -> BTreeMap<u64, Value> {
    let pool = anvil.call("txpool_content", json!([]));
    let sender = format!("{from:#x}");
    let senders = pool["pending"].as_object().unwrap();
    let sender = senders.iter().find(|(name, _)| name.eq_ignore_ascii_case(&sender));
    let waiting = sender.and_then(|(_, waiting)| waiting.as_object()).cloned().unwrap_or_default();
    waiting.into_iter().map(|(nonce, sent)| (nonce.parse().unwrap(), sent)).collect()
}

fn fee(transaction: &Value, name: &str) -> u128 {
    transaction[name].as_str().unwrap().parse::<U256>().unwrap().to()
}

/// Waits until something waits to be mined.
async fn until_waiting(anvil: &Anvil, from: Address) -> (u64, Value) {
    for _ in 0..200 {
        if let Some(first) = waiting(anvil, from).pop_first() {
            return first;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing was sent")
}

#[tokio::test]
async fn a_deposit_counts_when_it_is_final() {
    let anvil = Anvil::start(&[]);
    let sending = Sending { patience: Duration::from_secs(1), ..SENDING };
    let world = world_behind(&anvil, &[&anvil.url], Finality::Blocks(3), sending).await;
    let config = world.config();
    let deposit = world.deposit(&config, 1_000, 1);
    let early = world.settler.deposit(&config, &deposit).await.unwrap_err();
    assert!(matches!(early, Error::NotFinal), "{early}");
    let channel = config.id(&world.domain);
    assert_eq!(world.settler.observe(channel).await.unwrap().balance, 0);
    anvil.mine(3);
    // The same authorization again is not sent again.
    let (transaction, seen) = world.settler.deposit(&config, &deposit).await.unwrap();
    assert_eq!((transaction, seen.balance), (B256::ZERO, 1_000));

    // A second deposit into a channel that is known counts by itself, once it is final.
    world.store.open_channel(config, world.mode, seen).await.unwrap();
    let more = world.deposit(&config, 500, 2);
    assert!(matches!(world.settler.deposit(&config, &more).await, Err(Error::NotFinal)));
    let balance = || world.store.channel(&channel).unwrap().on_chain.balance;
    world.settler.catch_up(1_000).await;
    assert_eq!(balance(), 1_000);
    anvil.mine(3);
    world.settler.catch_up(1_000).await;
    assert_eq!(balance(), 1_500);
}

#[tokio::test]
async fn a_node_says_itself_what_is_final() {
    let anvil = Anvil::start(&["--slots-in-an-epoch", "2"]);
    let world = world_behind(&anvil, &[&anvil.url], Finality::Finalized, SENDING).await;
    let channel = open(&world, &anvil, world.config(), 1_000).await;
    assert_eq!(world.store.channel(&channel).unwrap().on_chain.balance, 1_000);
}

/// A deposit that counted is taken back; gives what is wrong with what follows.
async fn deposit_taken_back() -> Result<(), String> {
    let anvil = Anvil::start(&[]);
    let world = world(&anvil, 1).await;
    let config = world.config();
    let before = anvil.height();
    let channel = open(&world, &anvil, config, 1_000).await;
    world.charge(&config, 300, 300).await;
    anvil.reorganise(anvil.height() - before);
    world.settler.catch_up(1_000).await;
    let frozen = world.store.channel(&channel).unwrap().frozen;
    let request = B256::repeat_byte(9);
    let call = Call { channel, request, amount: 0, voucher: None };
    if frozen != Some(Freeze::Uncovered) || world.store.reserve(&call).is_ok() {
        return Err(format!("the deposit is gone and the channel serves on: {frozen:?}"));
    }
    // The same authorization is good for another block.
    open(&world, &anvil, config, 1_000).await;
    assert_eq!(world.store.channel(&channel).unwrap().frozen, None);
    world.charge(&config, 100, 400).await;
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 400);
    assert_eq!(
        (claims(&world).await, world.balance(world.provider.address()).await),
        (vec![400], 400)
    );
    Ok(())
}

#[tokio::test]
async fn a_channel_whose_deposit_a_reorganisation_took_freezes_until_it_is_back() {
    deposit_taken_back().await.unwrap();
}

#[tokio::test]
async fn a_reorganisation_that_is_ignored_is_caught() {
    plant(Some(Bug::ReorgIgnored));
    let wrong = deposit_taken_back().await.unwrap_err();
    assert!(wrong.contains("serves on"), "{wrong}");
}

#[tokio::test]
async fn what_a_reorganisation_took_out_of_its_block_is_sent_again() {
    let anvil = Anvil::start(&[]);
    let world = world(&anvil, 4).await;
    let config = world.config();
    open(&world, &anvil, config, 1_000).await;
    world.charge(&config, 300, 300).await;
    let published = world.store.publish_checkpoint().await.unwrap();
    let before = anvil.height();
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 300);
    assert!(world.settler.anchor(&published).await.unwrap());
    assert_eq!(anvil.height(), before + 2);
    anvil.reorganise(2);
    assert_eq!(
        (claims(&world).await, world.settler.anchored(ORIGIN).await.unwrap()),
        (vec![], None)
    );
    world.settler.catch_up(1_000).await;
    world.settler.claim_urgent().await;
    assert_eq!(claims(&world).await, [300]);
    let anchored = world.settler.anchored(ORIGIN).await.unwrap();
    assert_eq!(anchored, Some((1, published.checkpoint.root)));
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 0);
    assert_eq!(world.balance(world.provider.address()).await, 300);
}

#[tokio::test]
async fn a_claim_that_counted_as_final_and_is_gone_is_made_again() {
    let anvil = Anvil::start(&[]);
    let world = world(&anvil, 1).await;
    let config = world.config();
    let channel = open(&world, &anvil, config, 1_000).await;
    world.charge(&config, 300, 300).await;
    let before = anvil.height();
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 300);
    anvil.mine(3);
    world.settler.catch_up(1_000).await;
    assert_eq!(world.store.channel(&channel).unwrap().claim.unwrap().total, 300);
    // Deeper than what is called final: nothing that was sent is remembered.
    anvil.reorganise(anvil.height() - before);
    assert_eq!(claims(&world).await, []);
    world.settler.catch_up(1_000).await;
    world.settler.claim_urgent().await;
    let view = world.store.channel(&channel).unwrap();
    assert_eq!((claims(&world).await, view.on_chain.claimed), (vec![300], 300));
    assert_eq!(world.balance(world.provider.address()).await, 300);
}

#[tokio::test]
async fn a_transaction_that_is_stuck_is_sent_with_higher_fees() {
    let anvil = Anvil::start(&[]);
    let world = world(&anvil, 0).await;
    anvil.call("evm_setAutomine", json!([false]));
    let (config, from) = (world.config(), world.provider.address());
    let deposit = world.deposit(&config, 1_000, 1);
    let chain = async {
        let (nonce, first) = until_waiting(&anvil, from).await;
        // Ten times what it pays: no block takes it.
        let base = fee(&first, "maxFeePerGas") * 10;
        let base = format!("{base:#x}");
        anvil.call("anvil_setNextBlockBaseFeePerGas", json!([base]));
        anvil.mine(1);
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(25)).await;
            let Some(second) = waiting(&anvil, from).remove(&nonce) else { continue };
            if second["hash"] == first["hash"] {
                continue;
            }
            assert_eq!(second["input"], first["input"]);
            for name in ["maxFeePerGas", "maxPriorityFeePerGas"] {
                let (before, after) = (fee(&first, name), fee(&second, name));
                assert!(after * 8 >= before * 9, "{name}: {before}, then {after}");
            }
            break;
        }
        anvil.call("anvil_setNextBlockBaseFeePerGas", json!([base]));
        anvil.mine(1);
    };
    let (deposited, ()) = tokio::join!(world.settler.deposit(&config, &deposit), chain);
    assert_eq!(deposited.unwrap().1.balance, 1_000);
}

#[tokio::test]
async fn nothing_is_sent_above_the_ceiling() {
    let anvil = Anvil::start(&[]);
    let world = world(&anvil, 0).await;
    anvil.call("anvil_setNextBlockBaseFeePerGas", json!(["0xe8d4a51000"]));
    anvil.mine(1);
    let config = world.config();
    let count =
        || anvil.call("eth_getTransactionCount", json!([world.provider.address(), "pending"]));
    let before = count();
    let dear = world.settler.deposit(&config, &world.deposit(&config, 1_000, 1)).await.unwrap_err();
    assert!(matches!(dear, Error::TooDear { ceiling: 500_000_000_000, .. }), "{dear}");
    assert_eq!(count(), before);
}

#[tokio::test]
async fn a_transaction_that_nodes_drop_is_sent_again() {
    let anvil = Anvil::start(&[]);
    let world = world(&anvil, 0).await;
    anvil.call("evm_setAutomine", json!([false]));
    let (config, from) = (world.config(), world.provider.address());
    let deposit = world.deposit(&config, 1_000, 1);
    let chain = async {
        let (_, sent) = until_waiting(&anvil, from).await;
        anvil.call("anvil_dropTransaction", json!([sent["hash"]]));
        assert!(waiting(&anvil, from).is_empty());
        let (_, again) = until_waiting(&anvil, from).await;
        assert_eq!(again["input"], sent["input"]);
        anvil.mine(1);
    };
    let (deposited, ()) = tokio::join!(world.settler.deposit(&config, &deposit), chain);
    assert_eq!(deposited.unwrap().1.balance, 1_000);
}

#[tokio::test]
async fn a_nonce_that_another_program_took_is_a_failure_and_not_unknown() {
    let anvil = Anvil::start(&[]);
    let world = world(&anvil, 0).await;
    anvil.call("evm_setAutomine", json!([false]));
    let (config, from) = (world.config(), world.provider.address());
    let deposit = world.deposit(&config, 1_000, 1);
    let chain = async {
        let (nonce, sent) = until_waiting(&anvil, from).await;
        let fees = fee(&sent, "maxFeePerGas") * 2;
        let other = TransactionRequest {
            nonce: Some(nonce),
            max_fee_per_gas: Some(fees),
            max_priority_fee_per_gas: Some(fees),
            ..TransactionRequest::default().from(from).to(Address::repeat_byte(1))
        };
        let provider = signing(&connect(&anvil.url), world.provider.signer().unwrap().into());
        let _sent = provider.send_transaction(other).await.unwrap();
        anvil.mine(1);
    };
    let (deposited, ()) = tokio::join!(world.settler.deposit(&config, &deposit), chain);
    let error = deposited.unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    // It is certain that it did not happen: the payer's authorization is still good.
    anvil.call("evm_setAutomine", json!([true]));
    assert_eq!(world.settler.deposit(&config, &deposit).await.unwrap().1.balance, 1_000);
}

/// A deposit that nobody mines, then another of a second channel; gives what is wrong with nonces.
async fn a_second_transaction_while_one_is_stuck() -> Result<(), String> {
    let anvil = Anvil::start(&[]);
    // No fees are raised: what takes a nonce's place here is another transaction.
    let sending = Sending {
        patience: Duration::from_secs(1),
        raise_after: Duration::from_secs(60),
        ..SENDING
    };
    let world = world_behind(&anvil, &[&anvil.url], Finality::Blocks(0), sending).await;
    anvil.call("evm_setAutomine", json!([false]));
    let configs =
        [1, 2].map(|salt| ChannelConfig { salt: B256::repeat_byte(salt), ..world.config() });
    let mut sent = BTreeMap::new();
    let mut outcomes = Vec::new();
    for config in &configs {
        let deposit = world.deposit(config, 1_000, 1);
        outcomes.push(world.settler.deposit(config, &deposit).await.unwrap_err());
        for (nonce, transaction) in waiting(&anvil, world.provider.address()) {
            let input = transaction["input"].clone();
            let first = sent.entry(nonce).or_insert_with(|| input.clone());
            if *first != input {
                return Err(format!("two transactions were sent with nonce {nonce}"));
            }
        }
    }
    assert!(matches!(outcomes[0], Error::Unknown { .. }), "{}", outcomes[0]);
    assert!(matches!(outcomes[1], Error::Behind { .. }), "{}", outcomes[1]);
    anvil.call("evm_setAutomine", json!([true]));
    anvil.mine(1);
    for config in &configs {
        let deposit = world.deposit(config, 1_000, 1);
        assert_eq!(world.settler.deposit(config, &deposit).await.unwrap().1.balance, 1_000);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_sent_waits_for_what_is_under_way() {
    a_second_transaction_while_one_is_stuck().await.unwrap();
}

#[tokio::test]
async fn a_nonce_that_is_used_twice_is_caught() {
    plant(Some(Bug::NonceReused));
    let wrong = a_second_transaction_while_one_is_stuck().await.unwrap_err();
    assert!(wrong.contains("two transactions"), "{wrong}");
}

#[tokio::test]
async fn a_restart_in_mid_send_finds_what_was_sent() {
    let anvil = Anvil::start(&[]);
    let sending = Sending { patience: Duration::from_secs(1), ..SENDING };
    let world = world_behind(&anvil, &[&anvil.url], Finality::Blocks(0), sending).await;
    let config = world.config();
    let channel = open(&world, &anvil, config, 1_000).await;
    world.charge(&config, 300, 300).await;
    anvil.call("evm_setAutomine", json!([false]));
    let unknown = world.settler.claim(|_| true).await.unwrap_err();
    assert!(matches!(unknown, Error::Unknown { .. }), "{unknown}");

    let world = world.restarted();
    let behind = world.settler.claim(|_| true).await.unwrap_err();
    assert!(matches!(behind, Error::Behind { .. }), "{behind}");
    let waits = waiting(&anvil, world.provider.address());
    assert_eq!(waits.len(), 1, "one claim waits, however often it was sent: {waits:#?}");
    anvil.mine(1);
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 0, "it was made already");
    let view = world.store.channel(&channel).unwrap();
    assert_eq!((claims(&world).await, view.on_chain.claimed), (vec![300], 300));
}

#[tokio::test]
async fn what_every_node_forgot_over_a_restart_holds_nothing_up() {
    let anvil = Anvil::start(&[]);
    let sending = Sending { patience: Duration::from_secs(1), ..SENDING };
    let world = world_behind(&anvil, &[&anvil.url], Finality::Blocks(0), sending).await;
    let config = world.config();
    open(&world, &anvil, config, 1_000).await;
    world.charge(&config, 300, 300).await;
    anvil.call("evm_setAutomine", json!([false]));
    assert!(matches!(world.settler.claim(|_| true).await, Err(Error::Unknown { .. })));
    let world = world.restarted();
    anvil.call("anvil_dropAllTransactions", json!([]));
    anvil.call("evm_setAutomine", json!([true]));
    assert_eq!(world.settler.claim(|_| true).await.unwrap(), 300);
    assert_eq!(claims(&world).await, [300]);
}

#[tokio::test]
async fn an_endpoint_that_fails_lags_or_is_elsewhere_is_gone_past() {
    let anvil = Anvil::start(&[]);
    let proxy = Proxy::start(&anvil.url);
    // The proxy is preferred.
    let urls = [proxy.url.as_str(), anvil.url.as_str()];
    let world = world_behind(&anvil, &urls, Finality::Blocks(1), SENDING).await;
    let channel = open(&world, &anvil, world.config(), 1_000).await;
    let limit = Duration::from_secs(30);
    let old = anvil.height();
    vouch_tests::later(&anvil.url, 60);
    for (salt, mood) in [(2, Mood::Down), (3, Mood::OtherChain), (4, Mood::Behind(old))] {
        proxy.becomes(mood);
        world.settler.catch_up(1_000).await;
        world.settler.fresh(limit).unwrap();
        let config = ChannelConfig { salt: B256::repeat_byte(salt), ..world.config() };
        let id = open(&world, &anvil, config, 1_000).await;
        assert_eq!(world.settler.observe(id).await.unwrap().balance, 1_000, "{mood:?}");
        proxy.becomes(Mood::Well);
        world.settler.catch_up(1_000).await;
    }
    // One endpoint that fails in the middle of a read.
    proxy.becomes(Mood::Down);
    assert_eq!(world.settler.observe(channel).await.unwrap().balance, 1_000);
}

#[tokio::test]
async fn endpoints_that_disagree_stop_new_work_until_they_agree() {
    let anvil = Anvil::start(&[]);
    let proxy = Proxy::start(&anvil.url);
    let urls = [anvil.url.as_str(), proxy.url.as_str()];
    let world = world_behind(&anvil, &urls, Finality::Blocks(1), SENDING).await;
    let limit = Duration::from_secs(30);
    world.settler.fresh(limit).unwrap();
    proxy.becomes(Mood::Forked);
    anvil.mine(1);
    world.settler.catch_up(1_000).await;
    let why = world.settler.fresh(limit).unwrap_err();
    assert!(why.contains("differ at height"), "{why}");
    assert!(!why.contains("http"), "strangers are told of no endpoint: {why}");
    proxy.becomes(Mood::Well);
    world.settler.catch_up(1_000).await;
    world.settler.fresh(limit).unwrap();
}

#[tokio::test]
async fn a_chain_that_nobody_shows_or_that_stands_goes_stale() {
    let anvil = Anvil::start(&[]);
    let proxies = [Proxy::start(&anvil.url), Proxy::start(&anvil.url)];
    let urls = [proxies[0].url.as_str(), proxies[1].url.as_str()];
    let mut world = world_behind(&anvil, &urls, Finality::Blocks(1), SENDING).await;
    let limit = Duration::from_millis(500);
    for proxy in &proxies {
        proxy.becomes(Mood::Down);
    }
    tokio::time::sleep(limit).await;
    world.settler.catch_up(1_000).await;
    let why = world.settler.fresh(limit).unwrap_err();
    assert!(why.contains("last seen"), "{why}");
    for proxy in &proxies {
        proxy.becomes(Mood::Well);
    }
    world.settler.catch_up(1_000).await;
    world.settler.fresh(limit).unwrap();

    // The newest block is from years before the clock's time.
    let clock = Arc::new(|| 4_000_000_000_000);
    world.settler = world.settler.with_head_age(Duration::from_secs(300), clock);
    world.settler.catch_up(1_000).await;
    let why = world.settler.fresh(limit).unwrap_err();
    assert!(why.contains("s old"), "{why}");
}

#[tokio::test]
async fn a_node_that_gives_few_events_at_once_is_asked_for_fewer() {
    let anvil = Anvil::start(&[]);
    let proxy = Proxy::start(&anvil.url);
    let world = world_behind(&anvil, &[&proxy.url], Finality::Blocks(0), SENDING).await;
    let config = world.config();
    let channel = open(&world, &anvil, config, 1_000).await;
    proxy.becomes(Mood::FewLogs(2));
    let notice = world.payers().initiateWithdraw((&config).into(), 400).send().await.unwrap();
    assert!(notice.get_receipt().await.unwrap().status());
    anvil.mine(20);
    world.settler.catch_up(1_000).await;
    world.settler.fresh(Duration::from_secs(30)).unwrap();
    assert_eq!(world.store.channel(&channel).unwrap().frozen, Some(Freeze::Withdrawing));
}
