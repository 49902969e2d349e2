//! Honest providers, and callers of every kind.

use std::time::Duration;

use serde_json::json;
use vouch_buyer::{Event, Question};
use vouch_core::receipt::Status;
use vouch_evidence::{LinkName, Status as Link};
use vouch_wire::openai::Endpoint;

use crate::{
    PER_CALL, TOTAL, body, charge, finish, run, said, spending,
    stub::{ANSWER_TOKENS, MODEL, Misbehave, Stub, buyer, policy},
    wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_is_paid_checked_and_kept() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let answered = run(&buyer, &body(false, 7)).await.1.unwrap();
    assert_eq!(answered.bundle.receipt.charge, charge(7));
    let tokens = answered.report.link(LinkName::Tokens).unwrap();
    assert_eq!(tokens.status, Link::Proven);
    assert!(tokens.finding.contains("they are the text's"), "{}", tokens.finding);
    let digest = answered.bundle.receipt.digest();
    assert_eq!(buyer.bundle(&digest).unwrap(), answered.bundle);
    let status = buyer.status();
    assert_eq!(status.budget.spent, charge(7).to_string());
    assert_eq!((status.receipts, status.in_flight, status.channels.len()), (1, 0, 1));
    assert_eq!(stub.books().salts.len(), 1, "one deposit");
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_are_paid_alike() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    for stream in [false, true] {
        let body = json!({"model": MODEL, "prompt": "two", "stream": stream, "max_tokens": 9});
        let running = buyer.start(Endpoint::Completions, &body.to_string()).unwrap();
        let answered = finish(running).await.1.unwrap();
        let text = answered.response().unwrap().choices.remove(0).text.unwrap();
        assert_eq!(text, "Two times");
    }
    assert_eq!(spending(&buyer).0, 2 * charge(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_a_channel() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    *stub.inner.pace.lock() = Duration::from_millis(1);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let calls = (0..12).map(|n| {
        let buyer = buyer.clone();
        tokio::spawn(async move { run(&buyer, &body(n % 2 == 0, 5 + n)).await.1.unwrap() })
    });
    let mut sum = 0;
    for call in calls.collect::<Vec<_>>() {
        sum += call.await.unwrap().bundle.receipt.charge;
    }
    let status = buyer.status();
    assert_eq!((status.channels.len(), status.receipts), (1, 12));
    assert_eq!(status.budget.spent, sum.to_string());
    assert_eq!(status.channels[0].charged, sum.to_string());
    assert_eq!(stub.books().salts.len(), 1, "one deposit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_keeps_the_receipt_of_what_came() {
    for stream in [true, false] {
        let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
        *stub.inner.pace.lock() = Duration::from_millis(2);
        let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
        let running = buyer.start(Endpoint::Chat, &body(stream, 900)).unwrap();
        wait(|| stub.books().generated > 5).await;
        drop(running);
        wait(|| buyer.status().receipts == 1).await;
        let bundle = buyer.bundle(&buyer.receipts(1)[0].digest).unwrap();
        assert_eq!(bundle.receipt.status, Status::StoppedByPayer);
        assert!(bundle.receipt.usage.output < 300, "the engine was stopped");
        assert_eq!(stub.books().charges.len(), 1);
        assert_eq!(buyer.status().in_flight, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_dies_goes_on_from_the_stored_answer() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    stub.misbehave(Misbehave::Dies);
    let mut policy = policy(TOTAL, PER_CALL);
    policy.receipt_timeout = Duration::from_secs(5);
    let buyer = buyer(dir.path(), &stub, policy);
    let (chunks, answered) = run(&buyer, &body(true, 30)).await;
    let text = chunks.concat();
    assert_eq!(text, said(&answered.unwrap()), "the client has the whole of what was charged");
    assert!(text.len() > 4, "{text}");
    assert_eq!(stub.books().charges.len(), 1, "charged once");
}

/// What the first sending became is not known: the second has the same nonce, and a caller that
/// streams gets a stream all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_stumbled_is_sent_again_and_streamed() {
    for stream in [true, false] {
        let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
        stub.misbehave(Misbehave::Stumbles);
        let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
        let (chunks, answered) = run(&buyer, &body(stream, 9)).await;
        assert_eq!(said(&answered.unwrap()), "Two times");
        assert_eq!(chunks.concat(), if stream { "Two times" } else { "" });
        let sent: Vec<u32> = stub.books().sent.values().copied().collect();
        assert_eq!(sent, [2], "one nonce");
        assert_eq!(stub.books().charges.len(), 1);
    }
}

/// The background must not take a call that is being answered for one that was lost: its repeat
/// would stop it.
#[tokio::test(flavor = "multi_thread")]
async fn the_background_leaves_calls_alone_that_are_being_answered() {
    for stream in [true, false] {
        let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
        *stub.inner.pace.lock() = Duration::from_millis(3);
        let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
        let running = buyer.start(Endpoint::Chat, &body(stream, 100)).unwrap();
        let background = buyer.clone();
        let resolving = tokio::spawn(async move {
            loop {
                assert_eq!(background.resolve().await.unwrap(), 0);
                tokio::task::yield_now().await;
            }
        });
        let answered = finish(running).await.1.unwrap();
        resolving.abort();
        assert_eq!(answered.bundle.receipt.status, Status::Complete);
        let sent: Vec<u32> = stub.books().sent.values().copied().collect();
        assert_eq!(sent, [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_question_gives_text_bundle_and_report() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let mut streamed = String::new();
    let question = Question { seed: Some(-3), ..Question::new("two times three?") };
    let answer = buyer.ask(&question, |text| streamed.push_str(text)).await.unwrap();
    assert_eq!(answer.text, streamed);
    assert_eq!(answer.text.len(), ANSWER_TOKENS as usize);
    assert!(answer.report.verdict.holds() && answer.bundle.log.is_some());
}

/// A body with a key that stands twice would be evidence against an honest provider.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_says_two_things_is_sent_saying_one() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let body = body(false, 4).replacen('{', "{\"max_tokens\": 9,", 1);
    let answered = run(&buyer, &body).await.1.unwrap();
    assert_eq!(said(&answered), "Two ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_caller_who_reads_nothing_stay_few() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let mut running = buyer.start(Endpoint::Chat, &body(true, 900)).unwrap();
    assert!(matches!(running.events.recv().await, Some(Event::Chunk(_))));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let generated = stub.books().generated;
    assert!(generated < 900, "the provider waits for the reader: {generated}");
    let answered = finish(running).await.1.unwrap();
    assert_eq!(answered.bundle.receipt.charge, charge(900));
}
