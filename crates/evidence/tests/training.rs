//! Trainings: what was trained on is opened, the pot is shared out whole, each set is credited its part.
#![allow(clippy::unwrap_used, reason = "a test that cannot make its input fails")]

mod common;

use alloy_primitives::{Address, B256, U256, keccak256};
use common::{ORIGIN, TIME_S, checkpoint, domain, log_key, provider, provider_key};
use serde_json::{Value, json};
use vouch_core::{
    bundle::LogProof,
    commitment,
    data_use::{self, DataUse, Grant, TRAIN, WHOLE},
    log::{merkle, note::Verifier},
    money::Usage,
    promise::{Promise, SignedPromise},
    receipt::{Kind, Receipt, Status, Tier, VERSION},
    signature::Signature,
    training::{self, PARTS, Training},
    tree::{Node, TreeBundle},
};
use vouch_evidence::{LinkName, Options, TreeVerdict, read_tree, verify_tree};

const POT: u128 = 1_000_001;

fn grant(owner: u8) -> Grant {
    Grant {
        owner: Address::repeat_byte(owner),
        dataset: B256::repeat_byte(owner ^ 0xff),
        grantee: provider(),
        purpose: keccak256(TRAIN),
        service: B256::ZERO,
        price: 0,
        share_bps: 0,
        start: TIME_S - 100,
        end: TIME_S + 100,
        nonce: U256::from(owner),
    }
}

/// Three quarters, a quarter, and a copy that is worth nothing; the second was revoked meanwhile.
fn papers() -> (Value, Value) {
    let weights = [PARTS / 4 * 3, PARTS / 4, 0];
    let amounts = [750_001, 250_000, 0];
    let named = |owner: u8| {
        let grant = grant(owner);
        json!({ "owner": grant.owner, "dataset": grant.dataset, "grant": grant.id() })
    };
    let set = |at: usize| {
        let mut set = named(at as u8 + 1);
        set["examples"] = json!(10);
        set["copies"] = json!(if at == 2 { 10 } else { 0 });
        set["weight"] = json!(weights[at].to_string());
        set["amount"] = json!(u128::to_string(&amounts[at]));
        set["revoked"] = json!(at == 1);
        set
    };
    let sets: Vec<_> = (1..4).map(named).collect();
    let manifest = json!({ "version": 1, "classifier": { "pot": POT.to_string(), "sets": sets } });
    let owners: Vec<_> = (0..3).map(set).collect();
    (manifest, json!({ "model": B256::repeat_byte(0x77), "owners": owners }))
}

fn receipt(nonce: &B256, manifest: &Value, report: &Value) -> Receipt {
    Receipt {
        version: VERSION,
        domain: domain(),
        kind: Kind::TrainingRound,
        status: Status::Complete,
        tier: Tier::Signed,
        flags: 0,
        provider: provider(),
        agent: U256::ZERO,
        payer: provider(),
        channel: B256::ZERO,
        sequence: 0,
        request: training::manifest(nonce, manifest).unwrap(),
        response: training::report(nonce, report).unwrap(),
        tokens: B256::ZERO,
        usage: Usage::default(),
        model: B256::repeat_byte(0x77),
        sampling: B256::ZERO,
        seed: B256::ZERO,
        commitment: B256::ZERO,
        terms: B256::ZERO,
        charge: 750_001,
        cumulative: 0,
        asset: Address::repeat_byte(0x55),
        parent: B256::ZERO,
        time: TIME_S * 1_000,
    }
}

fn used(parent: &Receipt, nonce: &B256, number: u32) -> DataUse {
    let (grant, nonce) = (grant(number as u8 + 1), commitment::source_nonce(nonce, number));
    let charge = if number == 0 { 750_001 } else { 0 };
    let receipt = Receipt {
        kind: Kind::DataUse,
        status: if number == 1 { Status::Failed } else { Status::Complete },
        payer: grant.owner,
        channel: data_use::stream(&domain(), provider(), grant.owner),
        sequence: 1,
        request: data_use::request(&nonce, &grant.dataset, &WHOLE),
        response: B256::ZERO,
        usage: Usage { input: 10, ..Usage::default() },
        model: grant.dataset,
        terms: grant.id(),
        charge,
        cumulative: charge,
        parent: parent.digest(),
        ..parent.clone()
    };
    let promise = promises(&[&receipt]).remove(0);
    let dataset = grant.dataset;
    DataUse { receipt, promise, log: None, nonce, dataset, document: WHOLE, grant }
}

fn promises(receipts: &[&Receipt]) -> Vec<SignedPromise> {
    let leaves: Vec<_> = receipts.iter().map(|receipt| receipt.leaf_hash()).collect();
    let promise = Promise {
        root: merkle::root(&leaves),
        first: 0,
        count: u32::try_from(leaves.len()).unwrap(),
        not_before: B256::repeat_byte(0x71),
        merge_by: TIME_S + 60,
    };
    let signature = Signature::sign(promise.digest(&domain()), &provider_key());
    let path = |at| merkle::inclusion_path(&leaves, at);
    (0..leaves.len())
        .map(|at| SignedPromise { promise, signature, index: at as u64, path: path(at) })
        .collect()
}

/// A training whose papers and receipts are changed before all is promised and logged.
fn tree_with(
    papers_changed: impl Fn(&mut Value, &mut Value),
    changed: impl Fn(&mut Receipt, &mut Vec<DataUse>),
) -> TreeBundle {
    let nonce = B256::repeat_byte(9);
    let (mut manifest, mut report) = papers();
    papers_changed(&mut manifest, &mut report);
    let mut receipt = receipt(&nonce, &manifest, &report);
    let mut uses: Vec<_> = (0..3).map(|number| used(&receipt, &nonce, number)).collect();
    changed(&mut receipt, &mut uses);
    for used in &mut uses {
        used.receipt.parent = receipt.digest();
    }
    let mut receipts = vec![&receipt];
    receipts.extend(uses.iter().map(|used| &used.receipt));
    let leaves: Vec<_> = receipts.iter().map(|receipt| receipt.leaf_hash()).collect();
    let note = checkpoint(leaves.len() as u64, merkle::root(&leaves)).to_string();
    let mut promises = promises(&receipts).into_iter();
    let proof = |index: u64| {
        let path = merkle::inclusion_path(&leaves, usize::try_from(index).unwrap());
        Some(LogProof { index, path, checkpoint: note.clone() })
    };
    let promise = promises.next().unwrap();
    for used in &mut uses {
        used.promise = promises.next().unwrap();
        used.log = proof(used.promise.index);
    }
    let log_key = Verifier::log(ORIGIN, &log_key()).to_string();
    let root = receipt.digest();
    let log = proof(0);
    let node = Training { receipt, promise, log, log_key, nonce, manifest, report };
    let mut nodes = vec![Node::Training(Box::new(node))];
    nodes.extend(uses.into_iter().map(|used| Node::Use(Box::new(used))));
    TreeBundle::new(root, nodes, Vec::new())
}

fn tree() -> TreeBundle {
    tree_with(|_, _| {}, |_, _| {})
}

fn verdict(tree: &TreeBundle) -> TreeVerdict {
    verify_tree(tree, &|_| Options::default()).verdict
}

fn broken(tree: &TreeBundle) -> LinkName {
    match verdict(tree) {
        TreeVerdict::Broken { link, .. } => link,
        holds => panic!("{holds}: {}", verify_tree(tree, &|_| Options::default())),
    }
}

#[test]
fn a_training_and_what_it_credits_is_proven() {
    let tree = tree();
    let report = verify_tree(&tree, &|_| Options::default());
    assert_eq!(report.verdict, TreeVerdict::Proven, "{report}");
    assert_eq!(read_tree(&serde_json::to_string(&tree).unwrap()).unwrap(), tree);
    let text = report.to_string();
    assert!(text.contains("750001 of 1000001 credited"), "{text}");
    assert!(text.contains("trained on, and not credited"), "{text}");
    let what = |words: &str| report.nodes.iter().filter(|node| node.what.contains(words)).count();
    assert_eq!((what("trained on a set"), what(", failed")), (3, 1), "{text}");
}

#[test]
fn papers_that_are_not_the_receipts_are_refused() {
    let swapped = |change: fn(&mut Training)| {
        let mut tree = tree();
        let Some(Node::Training(training)) = tree.nodes.first_mut() else { panic!("the root") };
        change(training);
        broken(&tree)
    };
    let pot = |training: &mut Training| training.manifest["classifier"]["pot"] = json!("1");
    assert_eq!(swapped(pot), LinkName::Manifest);
    let amount = |training: &mut Training| training.report["owners"][0]["copies"] = json!(1);
    assert_eq!(swapped(amount), LinkName::Shares);
    assert_eq!(swapped(|training| training.log_key.pop().map(drop).unwrap()), LinkName::Checkpoint);
}

#[test]
fn a_pot_that_is_not_shared_out_by_its_weights_is_refused() {
    let with = |change: fn(&mut Value, &mut Value)| broken(&tree_with(change, |_, _| {}));
    let moved = |_: &mut Value, report: &mut Value| {
        report["owners"][0]["amount"] = json!("749999");
        report["owners"][1]["amount"] = json!("250002");
    };
    assert_eq!(with(moved), LinkName::Shares);
    let kept = |_: &mut Value, report: &mut Value| report["owners"][1]["amount"] = json!("249999");
    assert_eq!(with(kept), LinkName::Shares);
    let another = |manifest: &mut Value, _: &mut Value| {
        manifest["classifier"]["sets"][0]["grant"] = json!(B256::ZERO);
    };
    assert_eq!(with(another), LinkName::Shares);
    let model = |_: &mut Value, report: &mut Value| report["model"] = json!(B256::ZERO);
    assert_eq!(with(model), LinkName::Shares);
    let big = |_: &mut Value, report: &mut Value| report["seen"] = json!(u64::MAX);
    assert_eq!(with(big), LinkName::Shares);
}

#[test]
fn a_credit_that_is_not_the_reports_is_refused() {
    let with = |change: fn(&mut Receipt, &mut Vec<DataUse>)| broken(&tree_with(|_, _| {}, change));
    let less = |_: &mut Receipt, uses: &mut Vec<DataUse>| {
        (uses[0].receipt.charge, uses[0].receipt.cumulative) = (1, 1);
    };
    assert_eq!(with(less), LinkName::Sources);
    assert_eq!(with(|receipt, _| receipt.charge += 1), LinkName::Shares);
    assert_eq!(with(|receipt, _| receipt.tokens = B256::repeat_byte(1)), LinkName::Receipt);
    assert_eq!(with(|_, uses| uses[0].receipt.time += 1), LinkName::Credit);
    let search = |_: &mut Receipt, uses: &mut Vec<DataUse>| {
        uses[0].document = B256::repeat_byte(1);
    };
    assert_eq!(with(search), LinkName::Grant);
    assert_eq!(with(|_, uses| uses[2].receipt.usage.input = 0), LinkName::Sources);
    let left_out = tree_with(|_, _| {}, |_, uses| drop(uses.pop()));
    let absent = vec![LinkName::Sources];
    assert_eq!(verdict(&left_out), TreeVerdict::Partial { absent });
}

#[test]
fn a_training_is_in_no_channel_and_draws_nothing() {
    let changes: [fn(&mut Receipt); 13] = [
        |receipt| receipt.status = Status::Failed,
        |receipt| receipt.channel = B256::repeat_byte(1),
        |receipt| receipt.sequence = 1,
        |receipt| receipt.cumulative = 1,
        |receipt| receipt.flags = 1,
        |receipt| receipt.usage.input = 1,
        |receipt| receipt.usage.cached = 1,
        |receipt| receipt.usage.output = 1,
        |receipt| receipt.tier = Tier::Audited,
        |receipt| receipt.sampling = B256::repeat_byte(1),
        |receipt| receipt.seed = B256::repeat_byte(1),
        |receipt| receipt.commitment = B256::repeat_byte(1),
        |receipt| receipt.terms = B256::repeat_byte(1),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let tree = tree_with(|_, _| {}, |receipt, _| change(receipt));
        assert_eq!(broken(&tree), LinkName::Receipt, "{at}");
    }
    let late = tree_with(|_, _| {}, |receipt, _| receipt.time = (TIME_S + 61) * 1_000);
    assert_eq!(broken(&late), LinkName::Promise, "it was due before the training ended");
}

#[test]
fn a_set_without_weight_or_examples_is_paid_nothing() {
    let with = |change: fn(&mut Value, &mut Value)| broken(&tree_with(change, |_, _| {}));
    let weightless = |_: &mut Value, report: &mut Value| {
        report["owners"][0]["amount"] = json!("750000");
        report["owners"][2]["amount"] = json!("1");
    };
    assert_eq!(with(weightless), LinkName::Shares);
    let empty = |_: &mut Value, report: &mut Value| report["owners"][0]["examples"] = json!(0);
    assert_eq!(with(empty), LinkName::Shares);
    let unseen = |_: &mut Value, report: &mut Value| report["owners"][2]["examples"] = json!(0);
    let tree = tree_with(unseen, |_, uses| drop(uses.pop()));
    assert_eq!(verdict(&tree), TreeVerdict::Proven, "and it needs no receipt");
}

#[test]
fn a_pot_may_be_kept_whole_where_no_set_is_worth_anything() {
    let worthless = |_: &mut Value, report: &mut Value| {
        for set in report["owners"].as_array_mut().unwrap() {
            (set["weight"], set["amount"]) = (json!("0"), json!("0"));
        }
    };
    let uncharged = |receipt: &mut Receipt, uses: &mut Vec<DataUse>| {
        receipt.charge = 0;
        (uses[0].receipt.charge, uses[0].receipt.cumulative) = (0, 0);
    };
    assert_eq!(verdict(&tree_with(worthless, uncharged)), TreeVerdict::Proven);
}

#[test]
fn a_use_is_of_one_set_of_the_report_in_every_respect() {
    let changes: [fn(&mut DataUse); 6] = [
        |used| used.nonce = B256::ZERO,
        |used| used.dataset = B256::ZERO,
        |used| used.grant.owner = Address::ZERO,
        |used| used.grant.nonce = U256::MAX,
        |used| used.receipt.usage.input = 9,
        |used| used.receipt.status = Status::Failed,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let tree = tree_with(|_, _| {}, |_, uses| change(&mut uses[0]));
        assert_eq!(broken(&tree), LinkName::Sources, "{at}");
    }
    let twice = tree_with(
        |_, _| {},
        |_, uses| {
            let mut again = uses[0].clone();
            again.receipt.sequence = 2;
            again.receipt.cumulative *= 2;
            uses.push(again);
        },
    );
    assert_eq!(broken(&twice), LinkName::Sources, "a set is credited once");
}

#[test]
fn a_set_is_credited_in_the_commit_of_its_training() {
    let mut tree = tree();
    let Some(Node::Use(used)) = tree.nodes.get_mut(1) else { panic!("a use") };
    used.promise = promises(&[&used.receipt]).remove(0);
    let receipt = used.receipt.digest();
    assert_eq!(verdict(&tree), TreeVerdict::Broken { receipt, link: LinkName::Promise });
}
