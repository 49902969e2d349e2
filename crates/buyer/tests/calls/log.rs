//! Every buyer is a witness: logs that hold, and logs that do not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use vouch_buyer::{Clock, Error, Misconduct, system_clock};
use vouch_evidence::{LinkName, Status, Verdict, fault::Fault};

use crate::{
    PER_CALL, TOTAL, body, run,
    stub::{Misbehave, Stub, buyer, buyer_at, policy},
};

#[tokio::test(flavor = "multi_thread")]
async fn receipts_come_into_a_log_that_only_grows() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    for n in 1..6 {
        let answered = run(&buyer, &body(false, n)).await.1.unwrap();
        let digest = answered.bundle.receipt.digest();
        let (bundle, report) = buyer.complete(&digest, Duration::from_secs(2)).await.unwrap();
        assert_eq!(bundle.log.as_ref().unwrap().index, u64::from(n) - 1);
        assert_eq!(report.link(LinkName::Inclusion).unwrap().status, Status::Proven);
        assert_eq!(report.link(LinkName::Checkpoint).unwrap().status, Status::Proven);
        assert_eq!(
            report.verdict,
            Verdict::Partial { absent: vec![LinkName::Witnesses, LinkName::Anchor] }
        );
        assert_eq!(buyer.bundle(&digest).unwrap(), bundle);
    }
    assert_eq!(buyer.status().unlogged, 0);
    assert_eq!(buyer.witness(&stub.url).await.unwrap().size, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_breaks_its_word_is_caught() {
    type Named = fn(&Misconduct) -> bool;
    let cases: [(Misbehave, Named); 4] = [
        (Misbehave::Equivocates, |what| *what == Misconduct::SplitLog { size: 3 }),
        (Misbehave::Rewrites, |what| *what == Misconduct::HistoryRewritten { old: 3, new: 4 }),
        (Misbehave::RewritesInSilence, |what| {
            *what == Misconduct::HistoryRewritten { old: 3, new: 4 }
        }),
        (Misbehave::HalfSigned, |what| matches!(what, Misconduct::Checkpoint(_))),
    ];
    for (how, named) in cases {
        let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
        let opened = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
        for _ in 0..3 {
            run(&opened, &body(false, 4)).await.1.unwrap();
        }
        let followed = opened.follow().await;
        assert_eq!((followed.logged, followed.problems.len()), (3, 0));
        drop(opened);
        // The last checkpoint outlives the process.
        let reopened = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
        stub.misbehave(how);
        let error = reopened.witness(&stub.url).await.unwrap_err();
        let Error::Misconduct { what, evidence, .. } = &error else { panic!("{how:?}: {error}") };
        assert!(named(what), "{how:?}: {what}");
        let evidence = std::fs::read_to_string(evidence.as_ref().unwrap()).unwrap();
        if how == Misbehave::Equivocates {
            let fault: Fault = serde_json::from_str(&evidence).unwrap();
            assert_eq!(fault.verify().unwrap(), stub.inner.document.provider);
        }
        let refused = run(&reopened, &body(false, 4)).await.1.unwrap_err();
        assert!(matches!(refused, Error::Distrusted { .. }), "{refused}");
    }
}

/// Each of two checkpoints continues the one before, and they do not continue each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_forks_between_two_looks_at_once_is_caught() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    run(&buyer, &body(false, 4)).await.1.unwrap();
    assert_eq!(buyer.witness(&stub.url).await.unwrap().size, 1);
    stub.misbehave(Misbehave::Forks);
    let looks = tokio::join!(buyer.witness(&stub.url), buyer.witness(&stub.url));
    let caught = looks.0.err().or(looks.1.err()).expect("one of them is caught");
    let Error::Misconduct { what, .. } = &caught else { panic!("{caught}") };
    assert_eq!(*what, Misconduct::HistoryRewritten { old: 2, new: 3 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_is_not_kept_is_caught() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let later = Arc::new(AtomicU64::new(0));
    let offset = Arc::clone(&later);
    let clock: Clock = Arc::new(move || system_clock()() + offset.load(Ordering::Relaxed));
    let buyer = buyer_at(dir.path(), &[&stub], policy(TOTAL, PER_CALL), clock);
    run(&buyer, &body(false, 4)).await.1.unwrap();
    stub.misbehave(Misbehave::NeverLogs);
    assert_eq!(buyer.follow().await.waiting, 1, "there is time yet");
    later.store(3_600_000, Ordering::Relaxed);
    let problems = buyer.follow().await.problems;
    let [Error::Misconduct { what, .. }] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(*what, Misconduct::PromiseBroken { index: 0 });
}
