//! Providers that break their word: caught, named, kept as evidence, left.

use std::path::Path;

use vouch_buyer::{Buyer, Error, Misconduct};
use vouch_core::planted::{Bug, plant};
use vouch_evidence::{LinkName, fault::Fault};

use crate::{
    PER_CALL, TOTAL, body, charge, run, spending,
    stub::{Misbehave, Stub, buyer, policy},
};

type Named = Box<dyn Fn(&Misconduct) -> bool>;

fn link(expected: LinkName) -> Named {
    Box::new(move |what| matches!(what, Misconduct::Evidence { link, .. } if *link == expected))
}

fn total(why: &'static str) -> Named {
    Box::new(move |what| matches!(what, Misconduct::Total { why: w, .. } if w.contains(why)))
}

fn cases() -> Vec<(Misbehave, Named)> {
    vec![
        (Misbehave::Overcharge, link(LinkName::Price)),
        (Misbehave::OverchargeTokens, link(LinkName::Tokens)),
        (Misbehave::NoIds, link(LinkName::Tokens)),
        (Misbehave::WrongIds, link(LinkName::Tokens)),
        (Misbehave::WrongResponse, link(LinkName::Response)),
        (Misbehave::WrongRequest, link(LinkName::Request)),
        (Misbehave::OldReceipt, link(LinkName::Request)),
        (Misbehave::ForeignPromise, link(LinkName::Promise)),
        (Misbehave::OtherNonce, Box::new(|what| *what == Misconduct::OtherCall)),
        (Misbehave::PhantomCharge, total("make another")),
        (Misbehave::SkipsSequence, total("places for calls that were never made")),
        (Misbehave::DatesBack, Box::new(|what| matches!(what, Misconduct::Dated { .. }))),
        (Misbehave::DatesAhead, link(LinkName::Authorization)),
        (
            Misbehave::SameSequence,
            Box::new(|what| matches!(what, Misconduct::SequenceReused { .. })),
        ),
        (Misbehave::SameIndex, Box::new(|what| matches!(what, Misconduct::IndexReused { .. }))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misconduct_is_caught_named_and_remembered() {
    for stream in [false, true] {
        for (how, named) in &cases() {
            let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
            let opened = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
            run(&opened, &body(stream, 9)).await.1.unwrap();
            stub.misbehave(*how);
            let error = run(&opened, &body(stream, 9)).await.1.unwrap_err();
            let Error::Misconduct { what, evidence, .. } = &error else {
                panic!("{how:?}: {error}")
            };
            assert!(named(what), "{how:?}: {what}");
            assert!(evidence.as_ref().unwrap().exists(), "{how:?}: the evidence is kept");
            proves_itself(dir.path(), &stub, *how);
            assert_eq!((opened.status().in_flight, opened.status().receipts), (0, 2));
            assert_eq!(spending(&opened).0, 2 * charge(9) + extra(*how), "{how:?}");
            left(&opened, stream, *how).await;
            drop(opened);
            let reopened = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
            left(&reopened, stream, *how).await;
        }
    }
}

/// The check of times, taken out: a receipt that is dated back passes, so the cases above test it.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_check_a_receipt_that_is_dated_back_passes() {
    plant(Some(Bug::TimestampTrusted));
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    stub.misbehave(Misbehave::DatesBack);
    run(&buyer, &body(false, 9)).await.1.unwrap();
}

/// What the stub charges more than it should where it cheats.
fn extra(how: Misbehave) -> u128 {
    u128::from(how == Misbehave::Overcharge)
}

async fn left(buyer: &Buyer, stream: bool, how: Misbehave) {
    let again = run(buyer, &body(stream, 9)).await.1.unwrap_err();
    assert!(matches!(again, Error::Distrusted { .. }), "{how:?}: {again}");
}

/// Where signatures alone prove a fault, the proof is there, for anyone.
fn proves_itself(dir: &Path, stub: &Stub, how: Misbehave) {
    let proof = |name: &str| {
        let files = std::fs::read_dir(dir.join("bundles")).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        let file = files.find(|path| {
            let file = path.file_name().unwrap().to_str().unwrap();
            file.starts_with("evidence-0x") && std::fs::read_to_string(path).unwrap().contains(name)
        });
        let text = std::fs::read_to_string(file.unwrap()).unwrap();
        let fault: Fault = serde_json::from_str(&text).unwrap();
        assert_eq!(fault.verify().unwrap(), stub.inner.document.provider, "{how:?}");
    };
    match how {
        Misbehave::Overcharge => proof("wrong-charge"),
        Misbehave::SameSequence => proof("double-sequence"),
        Misbehave::SameIndex => proof("double-index"),
        _ => {}
    }
}

/// The receipt of an earlier call, given again, must not take the place of that call's evidence.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_receipt_does_not_overwrite_its_bundle() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let first = run(&buyer, &body(false, 9)).await.1.unwrap();
    stub.misbehave(Misbehave::OldReceipt);
    run(&buyer, &body(false, 9)).await.1.unwrap_err();
    assert_eq!(buyer.bundle(&first.bundle.receipt.digest()).unwrap(), first.bundle);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_what_was_streamed_is_caught() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    stub.misbehave(Misbehave::ChangesAnswer);
    let opened = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let (chunks, error) = run(&opened, &body(true, 30)).await;
    let error = error.unwrap_err();
    let Error::Misconduct { what, evidence, .. } = &error else { panic!("{error}") };
    assert_eq!(*what, Misconduct::AnswerChanged);
    assert!(evidence.as_ref().unwrap().exists());
    let digest = opened.receipts(1)[0].digest;
    let streamed = dir.path().join(format!("bundles/evidence-streamed-{digest}.json"));
    let streamed = std::fs::read_to_string(streamed).unwrap();
    assert!(streamed.contains(&chunks.concat()), "{streamed}");
    assert_eq!((opened.status().in_flight, stub.books().charges.len()), (0, 1));
    left(&opened, true, Misbehave::ChangesAnswer).await;
}

/// Without the tokenizer nobody can tell whether ids are the text: nothing is paid.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hides_its_tokenizer_sells_nothing() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    stub.misbehave(Misbehave::NoTokenizer);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    run(&buyer, &body(false, 9)).await.1.unwrap_err();
    let books = stub.books();
    assert!(books.salts.is_empty() && books.sent.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_asks_for_too_much_gets_nothing() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    stub.misbehave(Misbehave::Overreach);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, 500));
    let error = run(&buyer, &body(true, 9)).await.1.unwrap_err();
    assert_eq!(error.code(), "voucher_refused", "{error}");
    assert!(buyer.status().channels[0].signed.parse::<u128>().unwrap() <= 500);
    assert_eq!(buyer.status().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_asks_for_too_much_in_mid_stream_is_stopped() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    stub.misbehave(Misbehave::OverreachLater);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, 500));
    let (chunks, answered) = run(&buyer, &body(true, 30)).await;
    let answered = answered.unwrap();
    assert_eq!(chunks.concat(), "Two ti", "what came before is passed on");
    assert_eq!(answered.cut.unwrap().code(), "voucher_refused");
    assert!(buyer.status().channels[0].signed.parse::<u128>().unwrap() <= 500);
    assert_eq!(spending(&buyer).0, charge(6));
}

/// What is in flight with a provider when it is caught gets nothing more either.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_more_is_signed_for_parallel_calls() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    *stub.inner.pace.lock() = std::time::Duration::from_millis(4);
    let long = {
        let buyer = buyer.clone();
        tokio::spawn(async move { run(&buyer, &body(true, 800)).await })
    };
    crate::wait(|| stub.books().generated > 3).await;
    stub.misbehave(Misbehave::WrongIds);
    let error = run(&buyer, &body(false, 4)).await.1.unwrap_err();
    assert!(matches!(error, Error::Misconduct { .. }), "{error}");
    let signed = buyer.status().channels[0].signed.clone();
    let answered = long.await.unwrap().1.unwrap();
    assert_eq!(answered.cut.unwrap().code(), "provider_distrusted");
    assert_eq!(buyer.status().channels[0].signed, signed);
    assert!(answered.bundle.receipt.usage.output < 200);
}
