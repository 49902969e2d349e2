use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use vouch_contracts::bindings::ConsentRegistry::ConsentRegistryInstance;
use vouch_data::{
    Error,
    consent::{Consents, Denial, Grant, Purpose, Registry, Use},
    dataset::dataset_id,
};

use crate::support::{SECOND, World};

const ROOT: B256 = B256::repeat_byte(7);

struct Consenting {
    world: World,
    registry: Registry,
    consents: Consents,
    dataset: B256,
}

async fn consenting() -> Consenting {
    let world = World::new().await;
    let at = world.economy.consent;
    let registry = Registry::new(&world.provider, at, &world.owner).unwrap();
    registry.publish(ROOT, B256::repeat_byte(8)).await.unwrap();
    let age = Duration::from_secs(5);
    let consents = Consents::new(world.provider.clone(), at, world.clock(), age);
    let dataset = dataset_id(world.owner.address(), ROOT);
    Consenting { world, registry, consents, dataset }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_digests_are_the_contracts() {
    let Consenting { world, dataset, .. } = consenting().await;
    let contract = ConsentRegistryInstance::new(world.economy.consent, world.provider.clone());
    let owner = world.owner.address();
    assert_eq!(contract.datasetId(owner, ROOT).call().await.unwrap(), dataset);
    let grant = world.grant(dataset).await;
    assert_eq!(contract.grantId(grant.message()).call().await.unwrap(), grant.id());
    // The contract takes the signature of the digest: recorded by another than the owner.
    let by_grantee = Registry::new(&world.provider, world.economy.consent, &world.grantee).unwrap();
    let grant = Grant { start: world.now().await + 1, ..grant };
    let signature = grant.sign(&world.owner, world.chain.chain_id(), world.economy.consent);
    let forged = grant.sign(&world.grantee, world.chain.chain_id(), world.economy.consent);
    let elsewhere = grant.sign(&world.owner, 1, world.economy.consent);
    for wrong in [Some(&forged), Some(&elsewhere), None] {
        let refused = by_grantee.grant(&grant, wrong).await.unwrap_err();
        assert!(refused.to_string().contains("InvalidSignature"), "{refused}");
    }
    by_grantee.grant(&grant, Some(&signature)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_granted_is_allowed() {
    let Consenting { world, registry, consents, dataset } = consenting().await;
    let wanted = world.wanted().await;
    assert_eq!(consents.find(dataset, &wanted), Err(Denial::Stale), "nothing is known yet");
    consents.catch_up().await.unwrap();
    let none = Denial::NoGrant { dataset, grantee: wanted.grantee };
    assert_eq!(consents.find(dataset, &wanted), Err(none.clone()));

    let grant = world.grant(dataset).await;
    let id = grant.id();
    assert_eq!(consents.check(id, &wanted), Err(Denial::Unknown(id)));
    registry.grant(&grant, None).await.unwrap();
    consents.catch_up().await.unwrap();
    assert_eq!(consents.check(id, &wanted), Ok(grant));
    assert_eq!(consents.find(dataset, &wanted), Ok((id, grant)));
    let published = consents.dataset(dataset).unwrap();
    assert_eq!((published.owner, published.root), (world.owner.address(), ROOT));

    let stranger = Address::repeat_byte(9);
    let denials = [
        (Use { grantee: stranger, ..wanted }, Denial::Grantee { id, grantee: wanted.grantee }),
        (Use { purpose: Purpose::train(), ..wanted }, Denial::Purpose(id)),
        (Use { at: grant.start - 1, ..wanted }, Denial::Early { id, start: grant.start }),
        (Use { at: grant.end, ..wanted }, Denial::Ended { id, end: grant.end }),
    ];
    for (wrong, denial) in denials {
        assert_eq!(consents.check(id, &wrong), Err(denial));
        assert!(consents.find(dataset, &wrong).is_err());
    }
    // A grant for one service is for no other; the cheapest that allows is found.
    let service = B256::repeat_byte(3);
    let bound = Grant { service, price: 1, ..grant };
    registry.grant(&bound, None).await.unwrap();
    consents.catch_up().await.unwrap();
    assert_eq!(consents.check(bound.id(), &wanted), Err(Denial::Service(bound.id())));
    assert_eq!(consents.find(dataset, &wanted).unwrap().0, id);
    assert_eq!(consents.find(dataset, &Use { service, ..wanted }).unwrap().0, bound.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_grant_stops_at_once_and_the_view_agrees_with_the_contract() {
    let Consenting { world, registry, consents, dataset } = consenting().await;
    let wanted = world.wanted().await;
    let first = world.grant(dataset).await;
    let second = Grant { price: 200, ..first };
    registry.grant(&first, None).await.unwrap();
    registry.grant(&second, None).await.unwrap();
    consents.catch_up().await.unwrap();
    let started = consents.check(first.id(), &wanted);
    assert!(started.is_ok(), "the use begins");

    let stranger = Registry::new(&world.provider, world.economy.consent, &world.grantee).unwrap();
    stranger.revoke(first.id()).await.unwrap();
    consents.catch_up().await.unwrap();
    assert!(consents.check(first.id(), &wanted).is_ok(), "a stranger revokes nothing");

    registry.revoke(first.id()).await.unwrap();
    consents.catch_up().await.unwrap();
    assert_eq!(consents.check(first.id(), &wanted), Err(Denial::Revoked(first.id())), "unsettled");
    assert_eq!(consents.find(dataset, &wanted).unwrap().0, second.id());
    registry.revoke_all(ROOT).await.unwrap();
    consents.catch_up().await.unwrap();
    assert!(consents.find(dataset, &wanted).is_err());
    let again = registry.grant(&second, None).await.unwrap_err();
    assert!(
        matches!(&again, Error::Refused { why, .. } if why.contains("GrantRevoked")),
        "{again}"
    );

    let third = Grant { price: 300, ..first };
    registry.grant(&third, None).await.unwrap();
    consents.catch_up().await.unwrap();
    for (grant, expected) in [(first, false), (second, false), (third, true)] {
        let on_chain = registry.allows(grant.id(), wanted.purpose.0, B256::ZERO).await.unwrap();
        assert_eq!(on_chain, expected);
        assert_eq!(consents.check(grant.id(), &wanted).is_ok(), expected);
    }
    // A view from the start says the same as one that followed.
    let clock = world.clock();
    let fresh = Consents::new(world.provider.clone(), world.economy.consent, clock, Duration::MAX);
    fresh.catch_up().await.unwrap();
    assert_eq!(fresh.grants(), consents.grants());
    assert_eq!(fresh.datasets(), consents.datasets());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_view_denies() {
    let Consenting { world, registry, consents, dataset } = consenting().await;
    let wanted = world.wanted().await;
    registry.grant(&world.grant(dataset).await, None).await.unwrap();
    consents.catch_up().await.unwrap();
    assert!(consents.find(dataset, &wanted).is_ok());
    world.time.fetch_add(5 * SECOND, Ordering::Relaxed);
    assert!(consents.find(dataset, &wanted).is_ok());
    world.time.fetch_add(1, Ordering::Relaxed);
    assert_eq!(consents.find(dataset, &wanted), Err(Denial::Stale));
    consents.catch_up().await.unwrap();
    assert!(consents.find(dataset, &wanted).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn following_sees_a_revocation_by_itself() {
    let Consenting { world, registry, consents, dataset } = consenting().await;
    let wanted = world.wanted().await;
    let grant = world.grant(dataset).await;
    registry.grant(&grant, None).await.unwrap();
    let consents = Arc::new(consents);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let following = tokio::spawn({
        let consents = consents.clone();
        async move { consents.follow(Duration::from_millis(20), stopped).await }
    });
    let until = async |allowed: bool| {
        for _ in 0..500 {
            if consents.check(grant.id(), &wanted).is_ok() == allowed {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never {allowed}");
    };
    until(true).await;
    registry.revoke(grant.id()).await.unwrap();
    until(false).await;
    stop.send(true).unwrap();
    following.await.unwrap();
}
