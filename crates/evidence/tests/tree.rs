//! Trees: an answer with its sources, agents with their budgets; nothing in them is ignored.
#![allow(clippy::unwrap_used, reason = "a test that cannot make its input fails")]

mod common;

use alloy_primitives::{Address, B256, U256, keccak256};
use common::{
    Draft, TIME_S,
    alter::{alterations, pointers},
    checkpoint, domain, key, provider, provider_key,
};
use secp256k1::SecretKey;
use serde_json::{Value, json};
use vouch_core::{
    act::{self, ANSWER, ASK, Act, DELEGATE},
    bundle::{Bundle, LogProof},
    commitment,
    data_use::{self, DataUse, Grant, SEARCH},
    log::{
        Checkpoint, merkle,
        note::{self, Note},
    },
    money::Usage,
    promise::{Promise, SignedPromise},
    receipt::{Kind, Receipt, Status, Tier, flags},
    signature::{Signature, address_of},
    sourced::{self, Source},
    terms::SourceTerms,
    tree::{Node, TreeBundle},
};
use vouch_evidence::{
    Detokenizer, Error, LinkName, Options, TreeVerdict, Verdict,
    fault::{Fault, Payout, omission},
    read_tree, verify, verify_tree,
};

/// The receipt's charge in [`common`]: 5 of input and 3 of output are rounded up to 5, and 5 more.
const CHARGE: u128 = 10;

fn strict(_: &Bundle) -> Options<'static> {
    let require = vec![
        LinkName::Sources,
        LinkName::Credit,
        LinkName::Inclusion,
        LinkName::Checkpoint,
        LinkName::Authorization,
        LinkName::Tokens,
    ];
    Options { provider: Some(provider()), require, ..Options::default() }
}

fn verdict(tree: &TreeBundle) -> TreeVerdict {
    let report = verify_tree(tree, &strict);
    // It can be printed, whatever it says.
    assert!(report.to_string().ends_with(&report.verdict.to_string()));
    report.verdict
}

fn broken(tree: &TreeBundle) -> LinkName {
    match verdict(tree) {
        TreeVerdict::Broken { link, .. } => link,
        holds => panic!("{holds}: {}", verify_tree(tree, &strict)),
    }
}

fn promises(key: &SecretKey, first: u64, receipts: &[&Receipt]) -> Vec<SignedPromise> {
    let leaves: Vec<_> = receipts.iter().map(|receipt| receipt.leaf_hash()).collect();
    let promise = Promise {
        root: merkle::root(&leaves),
        first,
        count: u32::try_from(leaves.len()).unwrap(),
        not_before: B256::repeat_byte(0x71),
        merge_by: TIME_S + 60,
    };
    let signature = Signature::sign(promise.digest(&domain()), key);
    let path = |at| merkle::inclusion_path(&leaves, at);
    (0..leaves.len())
        .map(|at| SignedPromise { promise, signature, index: first + at as u64, path: path(at) })
        .collect()
}

fn grant(owner: u8, price: u128, share_bps: u16) -> Grant {
    Grant {
        owner: Address::repeat_byte(owner),
        dataset: B256::repeat_byte(owner ^ 0xff),
        grantee: provider(),
        purpose: keccak256(SEARCH),
        service: B256::ZERO,
        price,
        share_bps,
        start: TIME_S - 100,
        end: TIME_S + 100,
        nonce: U256::from(owner),
    }
}

fn source(index: u32, terms: Grant) -> Source {
    Source {
        index,
        title: format!("Document {index}"),
        dataset: terms.dataset,
        document: B256::repeat_byte(0xd0),
        owner: terms.owner,
        grant: terms.id(),
        terms,
        passages: 2,
        text: "A fact.".into(),
        credited: terms.credit(CHARGE).unwrap(),
        revoked: false,
    }
}

fn sources() -> Vec<Source> {
    let revoked = Source { credited: 0, revoked: true, ..source(3, grant(0xa3, 1, 0)) };
    vec![source(1, grant(0xa1, 2, 1_000)), source(2, grant(0xa2, 3, 0)), revoked]
}

/// An answer with these sources, before it is promised.
fn answer(sources: &[Source]) -> Bundle {
    answer_of(sources, |_| ())
}

fn answer_of(sources: &[Source], change: impl FnOnce(&mut Draft)) -> Bundle {
    let mut draft = Draft::default();
    draft.terms.sources = Some(SourceTerms { max_sources: 4, max_bytes: 2_000 });
    draft.response["vouch"]["sources"] = serde_json::to_value(sources).unwrap();
    change(&mut draft);
    Bundle { anchor: None, ..draft.sign() }
}

fn used(parent: &Receipt, nonce: &B256, source: &Source, sequence: u64) -> DataUse {
    let nonce = commitment::source_nonce(nonce, source.index);
    let receipt = Receipt {
        kind: Kind::DataUse,
        status: if source.revoked { Status::Failed } else { Status::Complete },
        tier: Tier::Signed,
        flags: 0,
        payer: source.owner,
        channel: data_use::stream(&domain(), provider(), source.owner),
        sequence,
        request: data_use::request(&nonce, &source.dataset, &source.document),
        response: B256::ZERO,
        tokens: B256::ZERO,
        usage: Usage { input: source.passages.into(), cached: 0, output: 0 },
        model: source.dataset,
        sampling: B256::ZERO,
        seed: B256::ZERO,
        commitment: B256::ZERO,
        terms: source.grant,
        charge: source.credited,
        cumulative: source.credited + if sequence > 1 { 100 } else { 0 },
        parent: parent.digest(),
        ..parent.clone()
    };
    let promise = promises(&provider_key(), 0, &[&receipt]).remove(0);
    let (dataset, document, grant) = (source.dataset, source.document, source.terms);
    DataUse { receipt, promise, log: None, nonce, dataset, document, grant }
}

/// Promises and logs an answer and its uses in one batch.
fn committed(mut bundle: Bundle, mut uses: Vec<DataUse>) -> TreeBundle {
    let mut receipts = vec![&bundle.receipt];
    receipts.extend(uses.iter().map(|used| &used.receipt));
    let leaves: Vec<_> = receipts.iter().map(|receipt| receipt.leaf_hash()).collect();
    let mut promises = promises(&provider_key(), 0, &receipts).into_iter();
    let note = checkpoint(leaves.len() as u64, merkle::root(&leaves)).to_string();
    let proof = |index: u64| {
        let path = merkle::inclusion_path(&leaves, usize::try_from(index).unwrap());
        Some(LogProof { index, path, checkpoint: note.clone() })
    };
    bundle.promise = promises.next().unwrap();
    bundle.log = proof(0);
    for used in &mut uses {
        used.promise = promises.next().unwrap();
        used.log = proof(used.promise.index);
    }
    TreeBundle::of_answer(bundle, uses)
}

fn tree_of(sources: &[Source]) -> TreeBundle {
    let bundle = answer(sources);
    let uses = sources
        .iter()
        .zip(1..)
        .map(|(source, sequence)| used(&bundle.receipt, &bundle.nonce, source, sequence));
    let uses = uses.collect();
    committed(bundle, uses)
}

/// The tree with one of its uses changed before all is promised.
fn with_changed(change: impl Fn(&mut DataUse)) -> TreeBundle {
    let bundle = answer(&sources());
    let listed = sources();
    let uses = listed.iter().zip(1..).map(|(source, sequence)| {
        let mut used = used(&bundle.receipt, &bundle.nonce, source, sequence);
        if source.index == 1 {
            change(&mut used);
        }
        used
    });
    let uses = uses.collect();
    committed(bundle, uses)
}

#[test]
fn an_answer_with_its_sources_is_proven() {
    let tree = tree_of(&sources());
    let report = verify_tree(&tree, &strict);
    // There is no witness and no anchor in it.
    let absent = vec![LinkName::Witnesses, LinkName::Anchor];
    assert_eq!(report.verdict, TreeVerdict::Partial { absent }, "{report}");
    assert_eq!(report.nodes.len(), 4);
    let text = serde_json::to_string(&tree).unwrap();
    assert_eq!(read_tree(&text).unwrap(), tree);
    assert!(report.to_string().contains("3 = 2 for the use and 1000 / 10000 of 10"), "{report}");
    assert!(report.to_string().contains("not credited"), "{report}");
    assert_eq!(report.tree.trust, "", "all that is referred to is here");
    let what = |at: usize| report.nodes[at].what.as_str();
    assert!(what(0).ends_with(" with smollm2-135m for 10"), "{}", what(0));
    assert!((1..4).all(|at| what(at).contains(" quoted ")), "{report}");
}

#[test]
fn sources_stay_within_what_the_terms_sell() {
    let length = u32::try_from(sourced::preamble(&sources()).len()).unwrap();
    let judged = |change: &dyn Fn(&mut Draft)| {
        let bundle = answer_of(&sources(), change);
        verify(&bundle, &Options::default()).verdict
    };
    let within = |max_sources, max_bytes| {
        judged(&move |draft: &mut Draft| {
            draft.terms.sources = Some(SourceTerms { max_sources, max_bytes });
        })
    };
    let broken = Verdict::Broken { link: LinkName::Response };
    assert!(within(3, length).holds(), "{}", within(3, length));
    assert_eq!((within(2, length), within(3, length - 1)), (broken.clone(), broken.clone()));
    assert_eq!(judged(&|draft| draft.terms.sources = None), broken, "none are sold");
    let unlisted = |draft: &mut Draft| {
        draft.response["vouch"].as_object_mut().unwrap().remove("sources");
    };
    assert_eq!(judged(&unlisted), broken, "they are sold, and there are none");
    assert_eq!(judged(&|draft| draft.flags |= flags::NO_TOKEN_IDS), broken);
}

#[test]
fn a_source_is_what_its_grant_says() {
    type Change = fn(&mut Source);
    let judged = |change: Change| {
        let mut listed = sources();
        change(&mut listed[0]);
        verify(&answer(&listed), &Options::default()).verdict
    };
    let changes: [Change; 7] = [
        |source| source.index = 2,
        |source| source.passages = 0,
        |source| source.grant = B256::ZERO,
        |source| source.owner = Address::ZERO,
        |source| source.dataset = B256::ZERO,
        |source| source.revoked = true,
        |source| source.credited += 1,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        assert_eq!(judged(change), Verdict::Broken { link: LinkName::Response }, "{at}");
    }
    // The answer began a second before its receipt was made: one of the two must be covered.
    let between = |start, end| {
        let mut listed = sources();
        listed[0] = source(1, Grant { start, end, ..grant(0xa1, 2, 1_000) });
        verify(&answer(&listed), &Options::default()).verdict.holds()
    };
    assert!(between(TIME_S, TIME_S + 1) && between(TIME_S - 1, TIME_S));
    assert!(!between(TIME_S - 2, TIME_S - 1) && !between(TIME_S + 1, TIME_S + 2));
}

/// A use of data as its owner holds it, changed before it is promised.
fn alone(change: impl Fn(&mut DataUse)) -> TreeBundle {
    let bundle = answer(&sources());
    let mut used = used(&bundle.receipt, &bundle.nonce, &source(1, grant(0xa1, 3, 0)), 1);
    change(&mut used);
    used.promise = promises(&provider_key(), 0, &[&used.receipt]).remove(0);
    let (digest, parent) = (used.receipt.digest(), used.receipt.parent);
    let absent = if parent.is_zero() { vec![] } else { vec![parent] };
    TreeBundle::new(digest, vec![Node::Use(Box::new(used))], absent)
}

#[test]
fn a_use_of_data_is_numbered_bare_and_credited_its_price_at_least() {
    let judged = |change: fn(&mut DataUse)| {
        let report = verify_tree(&alone(change), &|_| Options::default());
        match report.verdict {
            TreeVerdict::Broken { link, .. } => Some(link),
            _ => None,
        }
    };
    assert_eq!(judged(|_| ()), None);
    assert_eq!(judged(|used| (used.receipt.sequence, used.receipt.cumulative) = (2, 9)), None);
    let receipt: [fn(&mut DataUse); 13] = [
        |used| used.receipt.kind = Kind::Inference,
        |used| used.receipt.sequence = 0,
        |used| used.receipt.cumulative = 4,
        |used| (used.receipt.sequence, used.receipt.cumulative) = (2, 2),
        |used| used.receipt.channel = B256::ZERO,
        |used| used.receipt.status = Status::StoppedByPayer,
        |used| used.receipt.status = Status::Failed,
        |used| used.receipt.usage.input = 0,
        |used| used.receipt.usage.cached = 1,
        |used| used.receipt.flags = 1,
        |used| used.receipt.tier = Tier::Audited,
        |used| used.receipt.tokens = B256::repeat_byte(1),
        |used| used.receipt.parent = B256::ZERO,
    ];
    for (at, change) in receipt.into_iter().enumerate() {
        assert_eq!(judged(change), Some(LinkName::Receipt), "{at}");
    }
    assert_eq!(judged(|used| used.receipt.model = B256::ZERO), Some(LinkName::Grant));
    assert_eq!(judged(|used| used.nonce = B256::ZERO), Some(LinkName::Grant));
    let grantee = |used: &mut DataUse| {
        used.grant.grantee = Address::ZERO;
        used.receipt.terms = used.grant.id();
    };
    assert_eq!(judged(grantee), Some(LinkName::Grant));
    let charged = |used: &mut DataUse| (used.receipt.charge, used.receipt.cumulative) = (2, 2);
    assert_eq!(judged(charged), Some(LinkName::Credit), "the price is 3");
    let revoked = |used: &mut DataUse| {
        (used.receipt.charge, used.receipt.cumulative) = (0, 0);
        used.receipt.status = Status::Failed;
    };
    assert_eq!(judged(revoked), None);
    let mut unsigned = alone(|_| ());
    let Some(Node::Use(used)) = unsigned.nodes.first_mut() else { panic!("the root") };
    used.promise = promises(&key(9), 0, &[&used.receipt]).remove(0);
    let link = LinkName::Promise;
    let receipt = unsigned.root;
    let verdict = verify_tree(&unsigned, &|_| Options::default()).verdict;
    assert_eq!(verdict, TreeVerdict::Broken { receipt, link });
}

#[test]
fn data_is_used_in_answers_that_list_it() {
    let plain = common::bundle();
    let listed = source(1, grant(0xa1, 2, 1_000));
    let one = used(&plain.receipt, &plain.nonce, &listed, 1);
    let tree = committed(Bundle { anchor: None, ..plain }, vec![one]);
    assert_eq!(broken(&tree), LinkName::Sources, "the answer has no sources");
    let node = act(5, "swap", B256::ZERO, 0, json!({}));
    let under = used(&Receipt { ..node.receipt().clone() }, &B256::ZERO, &listed, 1);
    let tree = of(vec![node, Node::Use(Box::new(under))]);
    assert_eq!(broken(&tree), LinkName::Receipt, "an act is no answer");
}

#[test]
fn an_owner_alone_proves_its_own_receipt() {
    let tree = tree_of(&sources());
    let mine = tree.nodes.iter().find(|node| matches!(node, Node::Use(_))).unwrap().clone();
    let parent = mine.receipt().parent;
    let alone = TreeBundle::new(mine.receipt().digest(), vec![mine], vec![parent]);
    let verdict = verify_tree(&alone, &|_| Options::default()).verdict;
    let absent = vec![LinkName::Inclusion, LinkName::Credit];
    assert_eq!(verdict, TreeVerdict::Partial { absent });
}

#[test]
fn what_does_not_follow_by_rule_is_broken() {
    let changed = |change: fn(&mut DataUse)| broken(&with_changed(change));
    assert_eq!(changed(|used| used.receipt.cumulative += 1), LinkName::Receipt);
    let less = |used: &mut DataUse| {
        used.receipt.charge -= 1;
        used.receipt.cumulative -= 1;
    };
    // The answer is first in the report: it has a source whose receipt says otherwise.
    assert_eq!(changed(less), LinkName::Sources);
    assert_eq!(changed(|used| used.receipt.payer = Address::ZERO), LinkName::Receipt);
    assert_eq!(changed(|used| used.receipt.parent = B256::ZERO), LinkName::Tree);
    assert_eq!(changed(|used| used.document = B256::ZERO), LinkName::Sources);
    assert_eq!(changed(|used| used.receipt.terms = B256::ZERO), LinkName::Grant);
    assert_eq!(changed(|used| used.receipt.usage.output = 1), LinkName::Receipt);
    assert_eq!(changed(|used| used.receipt.time += 1), LinkName::Credit);

    let mut dear = sources();
    dear[1] = source(2, grant(0xa2, 8, 0));
    assert_eq!(broken(&tree_of(&dear)), LinkName::Response, "3 and 8 are more than 10");
    let mut less = sources();
    less[0].credited -= 1;
    assert_eq!(broken(&tree_of(&less)), LinkName::Response);
    let mut training = sources();
    training[0].terms.purpose = keccak256("train");
    training[0].grant = training[0].terms.id();
    assert_eq!(broken(&tree_of(&training)), LinkName::Response);
    assert_eq!(broken(&tree_of(&[])), LinkName::Response);

    let mut left_out = tree_of(&sources());
    left_out.nodes.remove(1);
    assert_eq!(broken(&left_out), LinkName::Sources, "a receipt is required and not here");
}

#[test]
fn a_receipt_of_another_commit_is_broken() {
    let mut tree = tree_of(&sources());
    let Some(Node::Use(used)) = tree.nodes.iter_mut().find(|node| matches!(node, Node::Use(_)))
    else {
        panic!("there is one")
    };
    used.promise = promises(&provider_key(), 9, &[&used.receipt]).remove(0);
    assert_eq!(broken(&tree), LinkName::Promise);
}

/// A tokenizer that decodes any ids to one text.
#[derive(Debug)]
struct Says(String);

impl Detokenizer for Says {
    fn text(&self, ids: &[u32], _: &Value) -> Result<String, String> {
        Ok(if ids.len() == 3 { "Hello!".into() } else { self.0.clone() })
    }

    fn input_ids(&self, _: &str, request: &Value) -> Option<Vec<u32>> {
        // What it would be given to render: the sources are before the question.
        let asked = request["messages"][0]["content"].as_str().unwrap();
        Some(if asked == self.0 { vec![1, 2, 3, 4, 5] } else { Vec::new() })
    }
}

#[test]
fn the_engine_was_shown_the_sources_that_are_listed() {
    let bundle = answer(&sources());
    let judged = |shown: String| {
        let says = Says(shown);
        let options = Options { detokenizer: Some(&says), ..Options::default() };
        verify(&bundle, &options).verdict
    };
    let shown = format!("{}Say hello.", sourced::preamble(&sources()));
    assert!(judged(shown.clone()).holds(), "{}", judged(shown.clone()));
    let link = LinkName::Tokens;
    assert_eq!(judged(shown.replace("fact", "lie")), Verdict::Broken { link });
    assert_eq!(judged(format!("{shown} Pay me.")), Verdict::Broken { link });
}

/// Every leaf of the tree's JSON altered in turn.
#[test]
fn every_field_altered_in_turn_is_refused() {
    let tree = tree_of(&sources());
    let value = serde_json::to_value(&tree).unwrap();
    let refused = |value: &Value| {
        read_tree(&value.to_string())
            .map_or(true, |tree| !verify_tree(&tree, &strict).verdict.holds())
    };
    assert!(!refused(&value));
    let mut places = Vec::new();
    pointers(&value, "", &mut places);
    let (mut tried, mut ignored) = (0, Vec::new());
    for place in places {
        // The witnesses' lines are the anchor's test's, where they are required.
        for altered in alterations(value.pointer(&place).unwrap()).into_iter().step_by(7) {
            let mut other = value.clone();
            *other.pointer_mut(&place).unwrap() = altered;
            tried += 1;
            if !refused(&other) && !place.ends_with("/log/checkpoint") {
                ignored.push(format!("{place}: {}", other.pointer(&place).unwrap()));
            }
        }
    }
    assert!(tried > 2_000, "only {tried} alterations");
    assert!(ignored.is_empty(), "{} of {tried}: {ignored:#?}", ignored.len());
}

/// An act of the agent with this key.
fn act(byte: u8, kind: &str, parent: B256, charge: u128, intent: Value) -> Node {
    let (nonce, key) = (B256::repeat_byte(byte), key(byte));
    let outcome = json!({"status": "done"});
    let Bundle { receipt, .. } = common::bundle();
    let receipt = Receipt {
        kind: Kind::AgentAct,
        tier: Tier::Signed,
        flags: 0,
        provider: address_of(&key),
        payer: Address::repeat_byte(0x0e),
        channel: B256::ZERO,
        sequence: 0,
        cumulative: 0,
        request: act::intent(&nonce, kind, &intent).unwrap(),
        response: act::outcome(&nonce, &outcome).unwrap(),
        tokens: B256::ZERO,
        usage: Usage::default(),
        sampling: B256::ZERO,
        seed: B256::ZERO,
        commitment: B256::ZERO,
        charge,
        parent,
        ..receipt
    };
    let promise = promises(&key, 0, &[&receipt]).remove(0);
    Node::Act(Box::new(Act {
        receipt,
        promise,
        nonce,
        kind: kind.into(),
        intent,
        outcome,
        log: None,
    }))
}

fn digest(node: &Node) -> B256 {
    node.receipt().digest()
}

fn delegate(byte: u8, to: u8, limit: u128, parent: B256) -> Node {
    let to = address_of(&key(to));
    let asset = common::terms().asset;
    let intent = json!({"to": to, "asset": asset, "limit": limit.to_string()});
    act(byte, DELEGATE, parent, 0, intent)
}

/// Agent 5 lets 6 spend 100, which lets 7 spend 60 of it.
fn agents(by_six: u128, by_seven: u128) -> Vec<Node> {
    let relied = common::bundle();
    let on = json!({"reliedOn": [relied.receipt.digest()], "amount": "5"});
    let root = delegate(5, 6, 100, B256::ZERO);
    let sub = delegate(6, 7, 60, digest(&root));
    let swap = act(6, "swap", digest(&root), by_six, on);
    let other = act(7, "swap", digest(&sub), by_seven, json!({}));
    vec![root, sub, swap, other, Node::Answer(Box::new(relied))]
}

fn of(nodes: Vec<Node>) -> TreeBundle {
    TreeBundle::new(digest(&nodes[0]), nodes, Vec::new())
}

#[test]
fn budgets_go_down_a_tree_and_are_kept() {
    let judged = |six, seven| verify_tree(&of(agents(six, seven)), &|_| Options::default()).verdict;
    assert!(judged(40, 60).holds(), "{}", judged(40, 60));
    let over = |nodes: &[Node], at: usize| TreeVerdict::Broken {
        receipt: digest(&nodes[at]),
        link: LinkName::Budget,
    };
    assert_eq!(judged(41, 60), over(&agents(41, 60), 0));
    assert_eq!(judged(1, 61), over(&agents(1, 61), 1));
    assert!(!judged(u128::MAX, 1).holds());

    let mut nodes = agents(1, 1);
    nodes.push(act(8, "swap", digest(&nodes[1]), 1, json!({})));
    assert_eq!(broken(&of(nodes)), LinkName::Budget, "8 was not delegated to");

    let changed = |change: fn(&mut Receipt)| {
        let mut nodes = agents(1, 1);
        resigned(&mut nodes[3], 7, change);
        verify_tree(&of(nodes), &|_| Options::default()).verdict
    };
    let link_of = |verdict| match verdict {
        TreeVerdict::Broken { link, .. } => Some(link),
        _ => None,
    };
    let budget = Some(LinkName::Budget);
    assert_eq!(link_of(changed(|receipt| receipt.payer = Address::ZERO)), budget);
    assert_eq!(link_of(changed(|receipt| receipt.asset = Address::ZERO)), budget);
    let free = |receipt: &mut Receipt| (receipt.asset, receipt.charge) = (Address::ZERO, 0);
    assert_eq!(link_of(changed(free)), None, "what spends nothing spends no other token");
}

/// An act's receipt changed, and promised anew by the agent with this key.
fn resigned(node: &mut Node, byte: u8, change: impl Fn(&mut Receipt)) {
    let Node::Act(act) = node else { panic!("it is one") };
    change(&mut act.receipt);
    act.promise = promises(&key(byte), 0, &[&act.receipt]).remove(0);
}

#[test]
fn an_act_is_in_no_channel_and_counts_no_tokens() {
    let changes: [fn(&mut Receipt); 13] = [
        |receipt| receipt.kind = Kind::Inference,
        |receipt| receipt.status = Status::OutOfFunds,
        |receipt| receipt.channel = B256::repeat_byte(1),
        |receipt| receipt.sequence = 1,
        |receipt| receipt.cumulative = 1,
        |receipt| receipt.flags = 1,
        |receipt| receipt.usage.input = 1,
        |receipt| receipt.usage.cached = 1,
        |receipt| receipt.usage.output = 1,
        |receipt| receipt.tier = Tier::Audited,
        |receipt| receipt.tokens = B256::repeat_byte(1),
        |receipt| receipt.seed = B256::repeat_byte(1),
        |receipt| receipt.commitment = B256::repeat_byte(1),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut node = act(6, "swap", B256::ZERO, 1, json!({}));
        resigned(&mut node, 6, change);
        assert_eq!(broken(&of(vec![node])), LinkName::Receipt, "{at}");
    }
    let mut node = act(6, "swap", B256::ZERO, 1, json!({}));
    resigned(&mut node, 6, |receipt| receipt.status = Status::Failed);
    assert!(verify_tree(&of(vec![node]), &|_| Options::default()).verdict.holds());
    let mut forged = act(6, "swap", B256::ZERO, 1, json!({}));
    resigned(&mut forged, 5, |_| ());
    assert_eq!(broken(&of(vec![forged])), LinkName::Promise, "another agent's signature");
}

#[test]
fn an_act_is_in_the_log_that_its_agent_signs() {
    const NAME: &str = "agent.example/log";
    let logged = |signer: u8, index: u64, first: B256| {
        let mut node = act(6, "swap", B256::ZERO, 1, json!({}));
        let Node::Act(act) = &mut node else { panic!("it is one") };
        let leaves = [first, B256::repeat_byte(1)];
        let checkpoint = Checkpoint { origin: NAME.into(), size: 2, root: merkle::root(&leaves) };
        let signature = Signature::sign(checkpoint.digest(), &key(signer));
        let signature = note::sign_eip712(NAME, address_of(&key(signer)), &signature);
        let note = Note { text: checkpoint.text(), signatures: vec![signature] };
        let path = merkle::inclusion_path(&leaves, 0);
        act.log = Some(LogProof { index, path, checkpoint: note.to_string() });
        verify_tree(&of(vec![node]), &|_| Options::default()).verdict
    };
    let node = act(6, "swap", B256::ZERO, 1, json!({}));
    let (receipt, leaf) = (digest(&node), node.receipt().leaf_hash());
    assert_eq!(logged(6, 0, leaf), TreeVerdict::Proven);
    let broken = |link| TreeVerdict::Broken { receipt, link };
    assert_eq!(logged(6, 1, leaf), broken(LinkName::Inclusion), "it was promised at 0");
    assert_eq!(logged(6, 0, B256::ZERO), broken(LinkName::Inclusion));
    assert_eq!(logged(5, 0, leaf), broken(LinkName::Checkpoint));
}

/// An agent asks with 20 set aside, and writes down what the answer cost.
struct Asking {
    kind: &'static str,
    max_charge: &'static str,
    asked: B256,
    nonce: B256,
    written: &'static str,
    charge: u128,
}

impl Asking {
    fn new() -> Self {
        let (bundle, nonce) = (common::bundle(), B256::repeat_byte(0x33));
        let asked = commitment::request(&nonce, &bundle.resource, bundle.request.as_bytes());
        Self { kind: ASK, max_charge: "20", asked, nonce, written: "10", charge: 0 }
    }

    fn nodes(&self) -> Vec<Node> {
        let bundle = common::bundle();
        let set_aside = json!({"request": self.asked, "maxCharge": self.max_charge});
        let ask = act(6, self.kind, B256::ZERO, 0, set_aside);
        let answered = json!({
            "request": Self::new().asked, "nonce": self.nonce, "charge": self.written,
            "reliedOn": [bundle.receipt.digest()],
        });
        let answer = act(6, ANSWER, digest(&ask), self.charge, answered);
        vec![ask, answer, Node::Answer(Box::new(bundle))]
    }

    fn price(&self) -> Option<vouch_evidence::Status> {
        let tree = of(self.nodes());
        let report = verify_tree(&tree, &|_| Options::default());
        let answered = digest(&self.nodes()[1]);
        let node = report.nodes.into_iter().find(|node| node.receipt == answered).unwrap();
        let price = node.links.iter().find(|link| link.link == LinkName::Price);
        price.map(|link| link.status)
    }
}

#[test]
fn an_answer_costs_what_was_set_aside_for_it_at_most() {
    use vouch_evidence::Status::{Absent, Broken, Proven};
    assert_eq!(Asking::new().price(), Some(Proven));
    assert_eq!(Asking { max_charge: "10", ..Asking::new() }.price(), Some(Proven));
    for wrong in [
        Asking { max_charge: "9", ..Asking::new() },
        Asking { kind: "swap", ..Asking::new() },
        Asking { asked: B256::ZERO, ..Asking::new() },
        Asking { nonce: B256::ZERO, ..Asking::new() },
        Asking { written: "9", ..Asking::new() },
        Asking { charge: 1, ..Asking::new() },
    ] {
        assert_eq!(wrong.price(), Some(Broken));
    }
    let mut nodes = Asking::new().nodes();
    let absent = nodes.pop().unwrap();
    let tree = TreeBundle::new(digest(&nodes[0]), nodes, vec![digest(&absent)]);
    let report = verify_tree(&tree, &|_| Options::default());
    let price = |links: &[vouch_evidence::Link]| {
        links.iter().find(|link| link.link == LinkName::Price).map(|link| link.status)
    };
    assert_eq!(price(&report.nodes[1].links), Some(Absent), "{report}");
    let mut failed = Asking::new().nodes();
    resigned(&mut failed[1], 6, |receipt| receipt.status = Status::Failed);
    let report = verify_tree(&of(failed), &|_| Options::default());
    assert!(
        report
            .nodes
            .iter()
            .skip(1)
            .all(|node| { matches!(node.links.len(), 13) || price(&node.links).is_none() })
    );
}

#[test]
fn an_edge_leads_to_a_node_or_to_one_that_is_named_absent() {
    let nodes = agents(1, 1);
    assert!(verify_tree(&of(nodes.clone()), &|_| Options::default()).verdict.holds());
    let mut without_answer = nodes.clone();
    let answer = without_answer.pop().unwrap();
    assert_eq!(broken(&of(without_answer.clone())), LinkName::Tree);
    let named = TreeBundle::new(digest(&nodes[0]), without_answer, vec![digest(&answer)]);
    let report = verify_tree(&named, &|_| Options::default());
    assert!(report.verdict.holds() && report.tree.trust.starts_with("1 receipts"), "{report}");
    let mut swapped = of(nodes.clone());
    swapped.nodes.swap(1, 2);
    assert_eq!(broken(&swapped), LinkName::Tree, "a tree has one order");
    let idle = TreeBundle::new(digest(&nodes[0]), nodes.clone(), vec![B256::repeat_byte(1)]);
    assert_eq!(broken(&idle), LinkName::Tree, "nothing refers to it");
    let mut stray = nodes.clone();
    stray.push(act(9, "swap", B256::ZERO, 0, json!({})));
    assert_eq!(broken(&of(stray)), LinkName::Tree, "it hangs on nothing");
    let mut twice = of(nodes);
    twice.nodes.push(twice.nodes[4].clone());
    assert_eq!(broken(&twice), LinkName::Tree);
}

#[test]
fn an_act_is_checked_with_the_delegations_that_it_was_made_under() {
    let under = |by_seven| {
        let [root, sub, _, other, _] = <[Node; 5]>::try_from(agents(1, by_seven)).unwrap();
        of(vec![other, sub, root])
    };
    let tree = under(60);
    let report = verify_tree(&tree, &|_| Options::default());
    assert!(report.verdict.holds(), "{}", report.verdict);
    let parents: Vec<_> = report.nodes.iter().map(|node| (node.depth, node.parent)).collect();
    let first = |at: usize| report.nodes[at].receipt;
    assert_eq!(parents, [(0, B256::ZERO), (1, first(0)), (2, first(1))]);
    assert_eq!(first(2), tree.root);
    assert_eq!(broken(&under(61)), LinkName::Budget);

    let mut cut = tree.nodes;
    cut.retain(|node| node.receipt().parent != first(0));
    assert_eq!(broken(&of(cut)), LinkName::Tree, "what is between is missing");
}

#[test]
fn an_act_is_what_it_says() {
    type Spoil = (fn(&mut Act), LinkName);
    let spoil: [Spoil; 4] = [
        (|act| act.intent["amount"] = "6".into(), LinkName::Intent),
        (|act| act.kind = "vote".into(), LinkName::Intent),
        (|act| act.outcome = json!({"status": "refused"}), LinkName::Outcome),
        (|act| act.nonce = B256::ZERO, LinkName::Intent),
    ];
    for (spoil, link) in spoil {
        let mut node = act(6, "swap", B256::ZERO, 1, json!({"amount": "5"}));
        let Node::Act(spoilt) = &mut node else { panic!("it is one") };
        spoil(spoilt);
        assert_eq!(broken(&of(vec![node])), link);
    }
}

#[test]
fn a_payout_that_leaves_out_a_use_is_a_fault() {
    let source = source(1, grant(0xa1, 2, 0));
    let bundle = answer(std::slice::from_ref(&source));
    let held = used(&bundle.receipt, &bundle.nonce, &source, 3);
    let total = held.receipt.cumulative;
    // Two owners' leaves under one root, as StandardMerkleTree has them.
    let leaf = |owner: Address, cumulative: u128, sequence: u64| {
        let words: [B256; 3] =
            [owner.into_word(), U256::from(cumulative).into(), U256::from(sequence).into()];
        keccak256(keccak256(words.concat()))
    };
    let payout = |cumulative, sequence| {
        let (mine, other) = (leaf(source.owner, cumulative, sequence), leaf(Address::ZERO, 1, 1));
        let (low, high) = if mine <= other { (mine, other) } else { (other, mine) };
        let root = keccak256([low, high].concat());
        Payout { root, cumulative, sequence, proof: vec![other] }
    };
    let proven = |payout| omission(&held.receipt, &held.promise, payout);
    let fault = proven(payout(total - 1, 3)).unwrap();
    let json = serde_json::to_string(&fault).unwrap();
    assert_eq!(serde_json::from_str::<Fault>(&json).unwrap().verify().unwrap(), provider());
    assert!(proven(payout(total - 1, 9)).is_ok(), "later ones cannot make up for it");
    for honest in [payout(total, 3), payout(total + 5, 4), payout(total - 2, 2)] {
        assert!(matches!(proven(honest), Err(Error::NoFault(_))));
    }
    let mut forged = payout(total - 1, 3);
    forged.cumulative -= 1;
    assert!(matches!(proven(forged), Err(Error::NoFault(_))));
    let mut unsigned = held.clone();
    unsigned.receipt.cumulative += 1;
    let none = omission(&unsigned.receipt, &unsigned.promise, payout(total - 1, 3));
    assert!(matches!(none, Err(Error::Core(_))));
}
