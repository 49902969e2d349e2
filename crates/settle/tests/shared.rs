//! Two settlers with one key and one database, on one foreign chain.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

#[path = "../../store/tests/common/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use the rest")]
mod postgres;
mod world;

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::B256,
    providers::{Provider, ProviderBuilder},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use futures_util::future::join_all;
use vouch_contracts::{bindings::BatchSettlement::Claimed, deploy, signing};
use vouch_core::channel::ChannelConfig;
use vouch_settle::{Endpoints, Finality, Sending};
use vouch_tests::Anvil;
use vouch_wallet::Wallet;
use world::{Setting, World};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_at_once_by_two_gateways_is_sent_in_turns_and_nothing_twice() {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let (anvil, server) = (Anvil::start(&[]), postgres::Server::start());
    let schema = server.schema();
    let provider = Arc::new(Wallet::random().unwrap());
    anvil.fund(&provider.address().to_string());
    let reader = ProviderBuilder::default().connect_http(anvil.url.parse().unwrap()).erased();
    let signer = signing(&reader, provider.signer().unwrap().into());
    let deployment = deploy(&signer, provider.address(), None, provider.address()).await.unwrap();
    let setting = Setting {
        endpoints: Endpoints::one(reader.clone()),
        deployment,
        finality: Finality::Blocks(0),
        sending: Sending::default(),
        shared: Some((schema.database(), schema.log())),
    };
    let worlds = [(); 2].map(|()| World::on(provider.clone(), setting.clone()));
    let filled = worlds.each_ref().map(|world| world.settler.faucet(world.payer.address()));
    assert!(join_all(filled).await.iter().all(Result::is_ok));
    for world in &worlds {
        world.settler.catch_up(1_000).await;
    }

    // Each takes the deposits of its buyer.
    let opened = worlds.iter().flat_map(|world| {
        (1..=8).map(async |salt| {
            let config = ChannelConfig { salt: B256::repeat_byte(salt), ..world.config() };
            world.open_as(config, 1_000).await
        })
    });
    let channels = join_all(opened).await;
    for (number, config) in channels.iter().enumerate() {
        worlds[number / 8].charge(config, 300, 300).await;
    }

    // One has sent a claim of one channel, and ended before it was mined or noted.
    let node = |method: &'static str, parameters: serde_json::Value| {
        let reader = reader.clone();
        async move {
            let _done: serde_json::Value =
                reader.raw_request(method.into(), parameters).await.unwrap();
        }
    };
    node("evm_setAutomine", serde_json::json!([false])).await;
    let gone = World::on(provider.clone(), setting.clone());
    let first = channels[0].id(&worlds[0].domain);
    let sending = gone.settler.claim(|view| view.id == first);
    assert!(tokio::time::timeout(Duration::from_secs(2), sending).await.is_err());
    drop(gone);
    let other = worlds[0].settler.claim(|view| view.id == first);
    let mined = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        node("evm_setAutomine", serde_json::json!([true])).await;
        node("evm_mine", serde_json::json!([])).await;
    };
    assert_eq!(tokio::join!(other, mined).0.unwrap(), 0, "it is claimed already");

    // Both find all the rest due, and both think of the log's newest state.
    let before = reader.get_transaction_count(provider.address()).await.unwrap();
    let claimed = join_all(worlds.each_ref().map(|world| world.settler.claim(|_| true))).await;
    let claimed: Vec<u128> = claimed.into_iter().map(Result::unwrap).collect();
    assert_eq!(claimed.iter().sum::<u128>(), 15 * 300, "{claimed:?}");
    let published = worlds[0].store.publish_checkpoint().await.unwrap();
    let anchored = join_all(worlds.each_ref().map(|world| world.settler.anchor(&published))).await;
    let anchored: Vec<bool> = anchored.into_iter().map(Result::unwrap).collect();
    assert_eq!(anchored.iter().filter(|sent| **sent).count(), 1);
    let after = reader.get_transaction_count(provider.address()).await.unwrap();
    assert_eq!(after - before, 2, "one claim and one anchor");
    let filter = Filter::new().event_signature(Claimed::SIGNATURE_HASH).from_block(0);
    assert_eq!(reader.get_logs(&filter).await.unwrap().len(), channels.len());
    assert_eq!(worlds[0].balance(provider.address()).await, 16 * 300);
}
