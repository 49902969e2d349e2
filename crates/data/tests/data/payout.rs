use alloy::{
    primitives::{Address, B256, U256},
    providers::Provider as _,
};
use vouch_contracts::{
    addresses,
    bindings::{ContributionRoot::ContributionRootInstance, TestDollar::TestDollarInstance},
};
use vouch_core::{
    domain::Domain,
    log::merkle,
    money::Usage,
    promise::{Promise, SignedPromise},
    receipt::{Kind, Receipt, Status, Tier, VERSION},
};
use vouch_data::{
    Error,
    payout::{Contributions, Fault, Held, Leaf, Tree, explain, history, totals, verify_leaf},
};
use vouch_wallet::Wallet;

use crate::support::World;

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);

fn receipt(
    domain: Domain,
    provider: Address,
    owner: Address,
    (sequence, charge, cumulative): (u64, u128, u128),
    time: u64,
) -> Receipt {
    let zero = B256::ZERO;
    Receipt {
        version: VERSION,
        domain,
        kind: Kind::DataUse,
        status: Status::Complete,
        tier: Tier::Signed,
        flags: 0,
        provider,
        agent: U256::ZERO,
        payer: owner,
        channel: vouch_core::data_use::stream(&domain, provider, owner),
        sequence,
        request: B256::repeat_byte(sequence as u8),
        response: zero,
        tokens: zero,
        usage: Usage { input: 1, cached: 0, output: 0 },
        model: B256::repeat_byte(2),
        sampling: zero,
        seed: zero,
        commitment: zero,
        terms: B256::repeat_byte(3),
        charge,
        cumulative,
        asset: addresses::TOKEN,
        parent: B256::repeat_byte(4),
        time,
    }
}

/// One batch, promised by `wallet`.
fn promised(receipts: &[Receipt], wallet: &Wallet) -> Vec<Held> {
    let leaves: Vec<B256> = receipts.iter().map(Receipt::leaf_hash).collect();
    let promise = Promise {
        root: merkle::root(&leaves),
        first: 10,
        count: leaves.len() as u32,
        not_before: B256::ZERO,
        merge_by: 1,
    };
    let signature = wallet.sign(promise.digest(&receipts[0].domain));
    let held = |(place, receipt): (usize, &Receipt)| Held {
        receipt: receipt.clone(),
        promise: SignedPromise {
            promise,
            signature,
            index: 10 + place as u64,
            path: merkle::inclusion_path(&leaves, place),
        },
    };
    receipts.iter().enumerate().map(held).collect()
}

struct Paying {
    world: World,
    domain: Domain,
    receipts: Vec<Receipt>,
    held: Vec<Held>,
    until: u64,
}

/// The grantee is the provider: it used data of Alice three times and of Bob once.
async fn paying() -> Paying {
    let world = World::new().await;
    let domain = Domain { chain: world.chain.chain_id(), settlement: addresses::SETTLEMENT };
    let provider = world.grantee.address();
    let until = world.now().await * 1_000;
    let receipts = vec![
        receipt(domain, provider, ALICE, (1, 100, 100), until - 50),
        receipt(domain, provider, BOB, (1, 30, 30), until - 40),
        receipt(domain, provider, ALICE, (2, 50, 150), until - 30),
        receipt(domain, provider, ALICE, (3, 1, 151), until + 1),
    ];
    let held = promised(&receipts, &world.grantee);
    Paying { world, domain, receipts, held, until }
}

async fn wait(world: &World, seconds: u64) {
    let call =
        world.provider.raw_request::<_, serde_json::Value>("evm_increaseTime".into(), (seconds,));
    call.await.unwrap();
    let mined = world.provider.raw_request::<_, serde_json::Value>("evm_mine".into(), ());
    mined.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_owner_is_paid_what_its_receipts_say() {
    let Paying { world, domain, receipts, held, until } = paying().await;
    let provider = world.grantee.address();
    let leaves = totals(&receipts, &domain, provider, addresses::TOKEN, until).unwrap();
    let tree = Tree::new(leaves).unwrap();
    assert_eq!(tree.total().unwrap(), 180, "the one after the cut-off waits");

    let contract = world.economy.contributions;
    let contributions = Contributions::new(&world.provider, contract, &world.grantee).unwrap();
    world.mint(provider, 1_000).await;
    let settlement = addresses::SETTLEMENT;
    let series =
        contributions.open(settlement, addresses::TOKEN, Address::ZERO, 60, 20).await.unwrap();
    contributions.propose(series, &tree, until).await.unwrap();
    let early = contributions.claim(series, &tree, ALICE).await.unwrap_err();
    assert!(matches!(early, Error::Refused { .. }), "{early}");
    wait(&world, 61).await;
    contributions.claim(series, &tree, ALICE).await.unwrap();
    let token = TestDollarInstance::new(addresses::TOKEN, world.provider.clone());
    assert_eq!(token.balanceOf(ALICE).call().await.unwrap(), U256::from(150));

    // The contract's leaf is ours.
    let reader = ContributionRootInstance::new(contract, world.provider.clone());
    for leaf in tree.leaves() {
        let theirs = reader.leafOf(leaf.account, leaf.cumulative, leaf.sequence).call().await;
        assert_eq!(theirs.unwrap(), leaf.hash());
    }
    let history = history(&world.provider, contract, series).await.unwrap();
    let explanation = explain(&history, &held);
    assert_eq!(explanation.faults, []);
    let [alice, bob] = &explanation.accounts[..] else { panic!("two accounts") };
    assert_eq!(
        (alice.earned, alice.due, alice.in_root, alice.paid),
        (151, 150, 150, U256::from(150))
    );
    assert_eq!((bob.earned, bob.in_root, bob.paid), (30, 30, U256::ZERO));
    assert!(alice.omission.is_none() && bob.omission.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_omission_is_named_and_its_proof_voids_the_root() {
    let Paying { world, held, until, .. } = paying().await;
    let provider = world.grantee.address();
    // Bob is left out, and Alice's second receipt.
    let tree = Tree::new(vec![Leaf { account: ALICE, cumulative: 100, sequence: 1 }]).unwrap();
    let contract = world.economy.contributions;
    let cheating = Contributions::new(&world.provider, contract, &world.grantee).unwrap();
    let owner = Contributions::new(&world.provider, contract, &world.owner).unwrap();
    world.mint(provider, 1_000).await;
    world.mint(world.owner.address(), 20).await;
    let settlement = addresses::SETTLEMENT;
    let series = cheating.open(settlement, addresses::TOKEN, Address::ZERO, 60, 20).await.unwrap();
    cheating.propose(series, &tree, until).await.unwrap();

    let before = history(&world.provider, contract, series).await.unwrap();
    let explanation = explain(&before, &held);
    let omissions: Vec<_> =
        explanation.accounts.iter().map(|a| a.omission.as_ref().unwrap()).collect();
    assert_eq!(omissions.len(), 2);
    assert_eq!(omissions[0].proof.receipt.cumulative, 150);
    assert_eq!(omissions[0].leaf, Some(tree.leaves()[0]));
    let bobs = omissions[1];
    assert_eq!((bobs.leaf, bobs.proof.receipt.payer), (None, BOB));
    // A receipt after the cut-off proves nothing, neither here nor there.
    let late = &held[3];
    assert!(owner.challenge(series, &late.receipt, &late.promise).await.is_err());

    owner.challenge(series, &bobs.proof.receipt, &bobs.proof.promise).await.unwrap();
    wait(&world, 61).await;
    owner.enforce(series).await.unwrap();
    let after = history(&world.provider, contract, series).await.unwrap();
    assert!(after.proposals[0].is_void && after.newest().is_none());
    let reader = ContributionRootInstance::new(contract, world.provider.clone());
    let credit = reader.credits(addresses::TOKEN, world.owner.address()).call().await.unwrap();
    assert_eq!(credit, U256::from(40), "the bond of the one who cheated");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_promised_counts_for_nothing() {
    let Paying { world, domain, receipts, mut held, .. } = paying().await;
    let provider = world.grantee.address();
    let contract = world.economy.contributions;
    let publisher = Contributions::new(&world.provider, contract, &world.grantee).unwrap();
    let token = addresses::TOKEN;
    let series = publisher.open(domain.settlement, token, Address::ZERO, 60, 0).await.unwrap();
    let history = history(&world.provider, contract, series).await.unwrap();
    held[1].receipt.charge += 1;
    let forged = promised(&receipts[1..2], &world.owner);
    held.extend(forged);
    let twin = receipt(domain, provider, ALICE, (2, 60, 160), 5);
    held.extend(promised(&[twin], &world.grantee));
    let explanation = explain(&history, &held);
    let count = |is: fn(&Fault) -> bool| explanation.faults.iter().filter(|f| is(f)).count();
    assert_eq!(count(|fault| matches!(fault, Fault::NotPromised { .. })), 2);
    assert_eq!(count(|fault| matches!(fault, Fault::TwoInOnePlace { .. })), 1);
    assert_eq!(count(|fault| matches!(fault, Fault::TotalDoesNotFollow { .. })), 1);
    assert!(explanation.accounts.iter().all(|account| account.account == ALICE));
}

#[test]
fn streams_with_gaps_are_refused() {
    let domain = Domain { chain: 1, settlement: Address::repeat_byte(1) };
    let provider = Address::repeat_byte(9);
    let at = |sequence, charge, cumulative| {
        receipt(domain, provider, ALICE, (sequence, charge, cumulative), 1)
    };
    let sum = |receipts: &[Receipt]| totals(receipts, &domain, provider, addresses::TOKEN, 10);
    assert_eq!(sum(&[at(2, 5, 15), at(1, 10, 10)]).unwrap()[0].cumulative, 15);
    assert!(sum(&[at(1, 10, 10), at(3, 5, 15)]).is_err());
    assert!(sum(&[at(1, 10, 10), at(2, 5, 16)]).is_err());
    assert!(sum(&[at(1, 10, 9)]).is_err());
    let strange = Receipt { channel: B256::ZERO, ..at(1, 10, 10) };
    assert!(sum(&[strange]).is_err());
    assert!(sum(&[Receipt { asset: ALICE, ..at(1, 10, 10) }]).unwrap().is_empty());
    let tree = Tree::new(sum(&[at(1, 10, 10)]).unwrap()).unwrap();
    let (leaf, proof) = tree.proof(ALICE).unwrap();
    assert!(verify_leaf(&leaf, &proof, tree.root()) && proof.is_empty());
}
