//! Sourced answers: each source has its receipt, or the answer is not given out.

use std::time::Duration;

use vouch_buyer::{Error, Misconduct, Question};
use vouch_core::{data_use::DataUse, money::Prices, tree::Node};
use vouch_evidence::{LinkName, Options, read_tree, verify_tree};

use crate::{
    PER_CALL, TOTAL, body, run,
    stub::{Misbehave, PRICES, Stub, buyer, policy, sourced::grant},
};

async fn sourced() -> Stub {
    let stub = Stub::selling("m+sources").await;
    let grants = [grant(&stub.inner, 0xa1, 20), grant(&stub.inner, 0xa2, 5)];
    *stub.inner.grants.lock() = grants.into();
    // The stub sets aside what a prompt without sources costs.
    *stub.inner.prices.lock() = Prices { input: 0, cached: 0, ..PRICES };
    stub
}

fn body_for_sources(stream: bool) -> String {
    body(stream, 9).replace(crate::stub::MODEL, "m+sources")
}

#[tokio::test(flavor = "multi_thread")]
async fn its_sources_are_checked_and_kept_as_a_tree() {
    for stream in [false, true] {
        let (dir, stub) = (tempfile::tempdir().unwrap(), sourced().await);
        let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
        let answered = run(&buyer, &body_for_sources(stream)).await.1.unwrap();
        let credits = |used: &DataUse| used.receipt.charge;
        let share = answered.bundle.receipt.charge / 10;
        assert_eq!(share, 9, "9 tokens at 10, and 1 for the request");
        assert_eq!(answered.uses.iter().map(credits).collect::<Vec<_>>(), [20 + share, 5 + share]);
        let digest = answered.bundle.receipt.digest();
        let tree = buyer.tree(&digest, Duration::from_secs(5)).await.unwrap();
        let json = serde_json::to_string_pretty(&tree).unwrap();
        let require = vec![LinkName::Sources, LinkName::Credit, LinkName::Inclusion];
        let options = |_: &_| Options { require: require.clone(), ..Options::default() };
        let report = verify_tree(&read_tree(&json).unwrap(), &options);
        assert!(report.verdict.holds(), "{report}");
        let logged = |node: &&Node| matches!(node, Node::Use(used) if used.log.is_some());
        assert_eq!(tree.nodes.iter().filter(logged).count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_goes_to_the_model_that_has_sources() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), sourced().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    for model in [None, Some("m"), Some("m+sources")] {
        let model = model.map(str::to_owned);
        let question = Question { model, sourced: true, ..Question::new("two times three?") };
        let question = Question { max_tokens: Some(9), patience: Duration::ZERO, ..question };
        assert_eq!(question.named().unwrap_or_else(|| "m+sources".into()), "m+sources");
        if question.model.is_none() {
            let answer = buyer.ask(&question, |_| {}).await.unwrap();
            assert_eq!(answer.tree.unwrap().nodes.len(), 3);
        }
    }
    let plain = Question { max_tokens: Some(9), ..Question::new("two times three?") };
    let refused = buyer.ask(&plain, |_| {}).await.unwrap_err();
    assert!(matches!(refused, Error::NoModel { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_its_receipt_or_its_due_is_misconduct() {
    for how in [Misbehave::KeepsUse, Misbehave::CreditsLess] {
        let (dir, stub) = (tempfile::tempdir().unwrap(), sourced().await);
        let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
        stub.misbehave(how);
        let error = run(&buyer, &body_for_sources(true)).await.1.unwrap_err();
        let Error::Misconduct { what, .. } = &error else { panic!("{how:?}: {error}") };
        let sources = matches!(what, Misconduct::Evidence { link: LinkName::Sources, .. });
        assert!(sources, "{how:?}: {what}");
    }
}
