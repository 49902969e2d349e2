//! Providers that say nothing, break off, or are all that at once.

use std::time::Duration;

use tokio::time::timeout;
use vouch_buyer::{Error, Policy, system_clock};
use vouch_wire::openai::Endpoint;

use crate::{
    PER_CALL, TOTAL, body, body_for, charge, run, spending,
    stub::{Misbehave, Stub, WHILE_SELLING, buyer, buyer_at, buyer_of, policy, try_buyer},
    wait,
};

fn impatient(total: u128, per_call: u128) -> Policy {
    let mut policy = policy(total, per_call);
    policy.idle_timeout = Duration::from_millis(300);
    policy.answer_timeout = Duration::from_millis(400);
    policy.receipt_timeout = Duration::from_millis(300);
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_receipt_stays_in_flight_and_is_paid_once() {
    for stream in [false, true] {
        let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
        stub.misbehave(Misbehave::NoReceipt);
        let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
        let error = run(&buyer, &body(stream, 9)).await.1.unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
        assert!(error.to_string().contains("no receipt"), "{error}");
        assert_eq!(buyer.status().in_flight, 1);
        // The provider comes to its senses.
        stub.books().misbehave = None;
        assert_eq!(buyer.resolve().await.unwrap(), 1);
        assert_eq!((buyer.status().in_flight, buyer.status().receipts), (0, 1));
        assert_eq!(stub.books().charges.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_provider_is_given_up() {
    for stream in [false, true] {
        let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
        stub.misbehave(Misbehave::Hangs);
        let buyer = buyer(dir.path(), &stub, impatient(TOTAL, PER_CALL));
        let body = body(stream, 9);
        let call = timeout(Duration::from_secs(10), run(&buyer, &body));
        let error = call.await.expect("it ends").1.unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
        assert_eq!(buyer.status().in_flight, 1);
        let resolving = timeout(Duration::from_secs(10), buyer.resolve());
        assert_eq!(resolving.await.expect("it ends").unwrap(), 0);
    }
}

/// Comments without end keep a connection alive: the caller may leave, and the receipt of what came
/// is had.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_drips_can_be_left() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    stub.misbehave(Misbehave::Drips);
    let buyer = buyer(dir.path(), &stub, impatient(TOTAL, PER_CALL));
    let mut running = buyer.start(Endpoint::Chat, &body(true, 30)).unwrap();
    for _ in 0..5 {
        running.events.recv().await.unwrap();
    }
    drop(running);
    wait(|| buyer.status().receipts == 1).await;
    assert_eq!(buyer.status().in_flight, 0);
}

/// Its first call's deposit is under way for as long as it says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (bad, good) = (Stub::selling("bad").await, Stub::selling("good").await);
    bad.misbehave(Misbehave::Hangs);
    let buyer = buyer_at(dir.path(), &[&bad, &good], policy(TOTAL, PER_CALL), system_clock());
    let hanging = {
        let buyer = buyer.clone();
        tokio::spawn(async move { run(&buyer, &body_for("bad", false, 9)).await })
    };
    wait(|| !bad.books().salts.is_empty()).await;
    let body = body_for("good", false, 9);
    let answered = timeout(Duration::from_secs(10), run(&buyer, &body)).await;
    answered.expect("it is answered").1.unwrap();
    hanging.abort();
}

/// One that accepts connections and never answers is among those that may sell.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_holds_no_call_up() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = format!("http://{}", listener.local_addr().unwrap());
    let urls = [down, stub.url.clone()];
    let buyer = buyer_of(dir.path(), &urls, policy(TOTAL, PER_CALL), system_clock());
    let body = body(false, 9);
    let answered = timeout(Duration::from_secs(10), run(&buyer, &body)).await;
    answered.expect("it is answered").1.unwrap();
}

/// A call that no provider has, and none may begin any more, is forgotten; until then it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_began_is_given_up_when_it_expired() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    stub.misbehave(Misbehave::Fails);
    let mut policy = impatient(TOTAL, PER_CALL);
    policy.expiry_s = 1;
    let buyer = buyer(dir.path(), &stub, policy);
    let error = run(&buyer, &body(false, 9)).await.1.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert_eq!(buyer.resolve().await.unwrap(), 0);
    assert_eq!(buyer.status().in_flight, 1, "it may yet begin");
    stub.books().misbehave = None;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(buyer.resolve().await.unwrap(), 0);
    assert_eq!((buyer.status().in_flight, buyer.status().receipts), (0, 0));
    assert!(stub.books().charges.is_empty());
}

/// Several calls at once to a provider that does each thing it can: never more is signed than the
/// budget, and its books open again.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_provider_does_the_budget_holds() {
    for how in WHILE_SELLING {
        let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
        let total = charge(40) + 700;
        let opened = buyer(dir.path(), &stub, impatient(total, total));
        let _first = run(&opened, &body(true, 4)).await;
        stub.misbehave(how);
        let calls = (0..4u32).map(|n| {
            let buyer = opened.clone();
            tokio::spawn(async move {
                timeout(Duration::from_secs(2), run(&buyer, &body(n % 2 == 0, 10 + n))).await
            })
        });
        for call in calls.collect::<Vec<_>>() {
            // Whatever came of it.
            drop(call.await.unwrap());
        }
        opened.resolve().await.unwrap();
        let signed: u128 = stub.books().highest.values().sum();
        let (spent, ahead) = spending(&opened);
        assert!(spent + ahead <= total, "{how:?}: {spent} and {ahead} of {total}");
        assert!(signed <= spent + ahead, "{how:?}: {signed} was signed, {spent} + {ahead} known");
        drop(opened);
        // Calls that were left may be ending yet, and hold the journal.
        let mut reopened = None;
        wait(|| {
            reopened = try_buyer(dir.path(), &stub, impatient(total, total));
            reopened.is_some()
        })
        .await;
        let (spent, ahead) = spending(&reopened.unwrap());
        assert!(signed <= spent + ahead && spent + ahead <= total, "{how:?}: after a restart");
    }
}
