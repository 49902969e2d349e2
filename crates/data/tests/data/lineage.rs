use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256};
use vouch_contracts::{addresses::TOKEN, bindings::RoyaltyVault::RoyaltyVaultInstance};
use vouch_data::lineage::{
    Graph, Kind, Lineage, Movement, Node, Step, Vault, explain, movements, plan, read,
};

use crate::support::{World, signing};

#[tokio::test(flavor = "multi_thread")]
async fn every_split_is_the_vaults_to_the_last_unit() {
    let world = World::new().await;
    let (owner, grantee) = (world.owner.address(), world.grantee.address());
    let registry = world.economy.lineage;
    let by_owner = Lineage::new(&world.provider, registry, &world.owner).unwrap();
    let by_grantee = Lineage::new(&world.provider, registry, &world.grantee).unwrap();
    let hash = B256::repeat_byte;
    let node =
        |owner, kind, content, parents| Node::new(owner, kind, hash(content), parents).unwrap();
    let data = node(owner, Kind::Dataset, 1, vec![]);
    let base = node(grantee, Kind::Model, 2, vec![(data.id(), 1_234)]);
    let tune = node(owner, Kind::FineTune, 3, vec![(base.id(), 3_333), (data.id(), 777)]);
    let service = node(grantee, Kind::Service, 4, vec![(tune.id(), 2_500), (data.id(), 501)]);
    assert!(by_grantee.register(&base).await.is_err(), "its parent is not there yet");
    by_owner.register(&data).await.unwrap();
    by_grantee.register(&base).await.unwrap();
    by_owner.register(&tune).await.unwrap();
    by_grantee.register(&service).await.unwrap();
    let graph = read(&world.provider, registry).await.unwrap();
    let all = [&data, &base, &tune, &service];
    assert_eq!(graph.order(), all.map(Node::id));
    assert_eq!(graph.ancestry(base.id()), [data.id(), base.id()]);

    let signing = signing(&world.provider, &world.grantee);
    let vault = RoyaltyVaultInstance::new(world.economy.vault, signing);
    let income = vault.receiverOf(service.id()).call().await.unwrap();
    let check = async || {
        let moved = movements(&world.provider, world.economy.vault, TOKEN).await.unwrap();
        let royalties = explain(&graph, &moved).unwrap();
        for books in &royalties.nodes {
            let account = vault.accounts(books.node, TOKEN).call().await.unwrap();
            assert_eq!(U256::from(account.received), books.received);
            assert_eq!(U256::from(account.withdrawn), books.withdrawn);
            let withdrawable = vault.withdrawable(books.node, TOKEN).call().await.unwrap();
            assert_eq!(withdrawable, books.withdrawable);
            for (index, edge) in books.parents.iter().enumerate() {
                let owed = vault.owed(books.node, U256::from(index), TOKEN).call().await.unwrap();
                assert_eq!(owed, edge.owed);
            }
        }
        royalties
    };
    let send = async |call: alloy::contract::CallBuilder<_, _>| {
        let sent = call.from(grantee).send().await.unwrap();
        assert!(sent.get_receipt().await.unwrap().status());
    };
    for amount in [1_000_003u128, 17] {
        world.mint(income, amount).await;
        send(vault.sweep(service.id(), TOKEN).clear_decoder()).await;
        check().await;
        for (child, index) in [(&service, 0), (&service, 1), (&tune, 0), (&base, 0), (&tune, 1)] {
            send(vault.pull(child.id(), U256::from(index), TOKEN).clear_decoder()).await;
            check().await;
        }
        send(vault.withdraw(service.id(), TOKEN).clear_decoder()).await;
    }
    // What is still to be moved is known already.
    let royalties = check().await;
    for node in [&tune, &base, &data] {
        for index in 0..node.parents.len() {
            send(vault.pull(node.id(), U256::from(index), TOKEN).clear_decoder()).await;
        }
    }
    for (before, after) in royalties.nodes.iter().zip(check().await.nodes) {
        assert_eq!(before.entitled, after.entitled);
        assert_eq!(after.entitled, after.withdrawable + after.withdrawn);
    }
    // A movement that the contract would not make is found out.
    let mut moved = movements(&world.provider, world.economy.vault, TOKEN).await.unwrap();
    moved.push(Movement::Withdrawn { node: data.id(), amount: U256::from(10_000_000) });
    assert!(explain(&graph, &moved).is_err());
}

/// Only what is due is called, children first; and the vault takes it in one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_collected_up_the_graph() {
    let world = World::new().await;
    let (owner, grantee) = (world.owner.address(), world.grantee.address());
    let by = |wallet| Lineage::new(&world.provider, world.economy.lineage, wallet).unwrap();
    let node = |owner, kind, parents| Node::new(owner, kind, B256::ZERO, parents).unwrap();
    let data = node(owner, Kind::Dataset, vec![]);
    let base = node(grantee, Kind::Model, vec![(data.id(), 1_000)]);
    let service = node(grantee, Kind::Service, vec![(base.id(), 5_000)]);
    let alone = node(grantee, Kind::Service, vec![]);
    by(&world.owner).register(&data).await.unwrap();
    for node in [&base, &service, &alone] {
        by(&world.grantee).register(node).await.unwrap();
    }
    let graph = read(&world.provider, world.economy.lineage).await.unwrap();
    let vault = RoyaltyVaultInstance::new(world.economy.vault, world.provider.clone());
    let own = BTreeSet::from([data.id()]);
    let due = async |amount: u128| {
        let moved = movements(&world.provider, world.economy.vault, TOKEN).await.unwrap();
        let waiting = BTreeMap::from([(service.id(), U256::from(amount))]);
        plan(&graph, &explain(&graph, &moved).unwrap(), &own, &waiting, U256::ZERO)
    };
    assert_eq!(due(0).await, []);
    let amount = 1_000_003;
    world.mint(vault.receiverOf(service.id()).call().await.unwrap(), amount).await;
    let steps = due(amount).await;
    let (service_id, base_id, data_id) = (service.id(), base.id(), data.id());
    let flows = [
        Step::Sweep(service_id),
        Step::Pull(service_id, 0),
        Step::Pull(base_id, 0),
        Step::Withdraw(data_id),
    ];
    assert_eq!(steps, flows);
    let hand = Vault::new(&world.provider, world.economy.vault, &world.owner).unwrap();
    assert_eq!(hand.take(&steps, TOKEN).await.unwrap().len(), 1);
    assert_eq!(due(0).await, [], "nothing is left for this owner");
    let moved = movements(&world.provider, world.economy.vault, TOKEN).await.unwrap();
    let books = explain(&graph, &moved).unwrap();
    let of = |id| books.nodes.iter().find(|books| books.node == id).unwrap();
    let net = of(service_id).earned;
    assert_eq!(of(data_id).withdrawn, net / U256::from(2) / U256::from(10));
    assert!(of(base_id).withdrawn.is_zero() && !of(base_id).withdrawable.is_zero());
}

#[test]
fn what_the_registry_would_refuse_is_said_before() {
    let node = |n: u8, parents| {
        Node::new(Address::repeat_byte(n), Kind::Model, B256::ZERO, parents).unwrap()
    };
    let mut graph = Graph::default();
    let refused = |graph: &Graph, node: &Node| graph.check(node).unwrap_err().to_string();
    let first = node(1, vec![]);
    graph.check(&first).unwrap();
    let child = node(2, vec![(first.id(), 1)]);
    assert!(refused(&graph, &child).contains("parents come first"));
    graph.insert(first.clone()).unwrap();
    graph.check(&child).unwrap();
    assert!(refused(&graph, &first).contains("registered already"));
    // Each is made of the three before it: the paths grow faster than two to the power of the depth.
    let mut last = vec![first.id()];
    let mut refusal = None;
    for n in 2..30 {
        let next = node(n, last.iter().rev().take(3).map(|id| (*id, 1)).collect());
        if graph.check(&next).is_err() {
            refusal = Some(refused(&graph, &next));
            break;
        }
        last.push(graph.insert(next).unwrap());
    }
    assert!(refusal.unwrap().contains("more than 1024"));
}

#[test]
fn nodes_that_the_registry_would_not_take_are_refused() {
    let node = |parents| Node::new(Address::repeat_byte(1), Kind::Model, B256::ZERO, parents);
    let parent = |n: u8, share| (B256::repeat_byte(n), share);
    assert!(node(vec![parent(1, 0)]).is_err());
    assert!(node(vec![parent(1, 5), parent(1, 6)]).is_err());
    assert!(node(vec![parent(1, 6_000), parent(2, 4_001)]).is_err());
    assert!(node((0..17).map(|n| parent(n, 1)).collect()).is_err());
    assert_eq!(node(vec![parent(2, 1), parent(1, 2)]).unwrap().parents[0], parent(1, 2));
}
