//! Budgets, deposits, prices, and the end of a channel.

use vouch_buyer::{Error, Misconduct, Phase, Policy};
use vouch_core::{
    money::{Prices, Usage},
    receipt::Status,
};

use crate::{
    PER_CALL, TOTAL, body, charge, run, spending,
    stub::{Misbehave, PRICES, QUANTUM, Stub, buyer, policy},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_paid_a_few_quanta_at_a_time() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let mut policy = policy(TOTAL, PER_CALL);
    policy.ahead_quanta = 2;
    let buyer = buyer(dir.path(), &stub, policy);
    let (chunks, answered) = run(&buyer, &body(true, 400)).await;
    assert_eq!(chunks.len(), 400 + 2, "one a token, the first and the last");
    assert_eq!(answered.unwrap().bundle.receipt.charge, charge(400));
    let books = stub.books();
    let ahead = u64::from(2 * QUANTUM);
    // The body's bytes bound the input before the ids are known.
    let bytes = body(true, 400).len() as u64 + 512;
    let first = PRICES.charge(&Usage { input: bytes, cached: 0, output: ahead }).unwrap();
    assert!(books.most_ahead <= first, "{} was signed ahead", books.most_ahead);
    let quanta = charge(ahead) - charge(0);
    assert!(books.most_ahead_later <= quanta, "{} in mid-stream", books.most_ahead_later);
    assert!(books.vouchers.len() > 30, "it was paid as it came");
    let signed = *books.highest.values().next().unwrap();
    assert!(signed - charge(400) <= quanta, "{signed} was signed for {}", charge(400));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_ends_a_stream_and_refuses_the_next() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let total = charge(60);
    let mut policy = policy(total, total);
    policy.max_deposit = 2000;
    let buyer = buyer(dir.path(), &stub, policy);
    let (chunks, answered) = run(&buyer, &body(true, 500)).await;
    let answered = answered.unwrap();
    assert!(chunks.len() > 40 && answered.bundle.receipt.charge <= total);
    assert_ne!(answered.bundle.receipt.status, Status::Complete);
    let (spent, _) = spending(&buyer);
    assert!(spent > charge(40) && spent <= total);
    // What is left buys no other call of that size.
    let error = loop {
        if let Err(error) = run(&buyer, &body(false, 50)).await.1 {
            break error;
        }
    };
    assert_eq!(error.code(), "budget_exceeded", "{error}");
    let signed: u128 = stub.books().highest.values().sum();
    assert!(signed <= total, "{signed} was signed of {total}");
    let (spent, ahead) = spending(&buyer);
    assert!(spent + ahead <= total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_channel_is_topped_up() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let mut policy = policy(TOTAL, charge(30));
    policy.deposit = 500;
    let buyer = buyer(dir.path(), &stub, policy);
    for _ in 0..6 {
        run(&buyer, &body(true, 20)).await.1.unwrap();
    }
    let status = buyer.status();
    assert_eq!(status.channels.len(), 1);
    let deposits = stub.books().salts.len();
    assert!(deposits >= 3, "{deposits} deposits");
    assert_eq!(status.channels[0].deposited, (500 * deposits).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_without_money_is_told_what_it_needs() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    stub.books().faucet_gives = 100;
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let error = run(&buyer, &body(false, 5)).await.1.unwrap_err();
    let Error::Funds { have, need, .. } = error else { panic!("{error}") };
    let input = body(false, 5).len() as u64 + 512;
    let most = PRICES.charge(&Usage { input, cached: 0, output: 5 }).unwrap();
    assert_eq!((have, need), (100, most));
    let status = buyer.status();
    assert_eq!((status.in_flight, spending(&buyer)), (0, (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_terms_are_taken_if_they_cost_no_more() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    run(&buyer, &body(false, 5)).await.1.unwrap();
    *stub.inner.prices.lock() = Prices { output: PRICES.output / 2, ..PRICES };
    run(&buyer, &body(false, 5)).await.1.unwrap();
    *stub.inner.prices.lock() = Prices { output: PRICES.output * 2, ..PRICES };
    let error = run(&buyer, &body(false, 5)).await.1.unwrap_err();
    assert!(matches!(error, Error::TermsChanged { .. }), "{error}");
    // Asking again accepts them.
    run(&buyer, &body(false, 5)).await.1.unwrap();
    assert_eq!(buyer.status().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_chain_and_contracts_are_checked() {
    let stub = Stub::start().await;
    let refused = async |change: fn(&mut Policy)| {
        let dir = tempfile::tempdir().unwrap();
        let mut policy = policy(TOTAL, PER_CALL);
        change(&mut policy);
        let error = run(&buyer(dir.path(), &stub, policy), &body(false, 5)).await.1.unwrap_err();
        assert!(stub.books().salts.is_empty(), "nothing was paid");
        error.code()
    };
    assert_eq!(refused(|p| p.chain = Some(1)).await, "policy");
    assert_eq!(refused(|p| p.settlement = alloy_primitives::Address::ZERO).await, "policy");
    let cheap = |p: &mut Policy| p.max_prices = Some(Prices { output: 1, ..PRICES });
    assert_eq!(refused(cheap).await, "model_not_found");
    assert_eq!(refused(|p| p.max_deposit = 100).await, "policy");
    assert_eq!(refused(|p| p.max_withdraw_delay_s = 60).await, "policy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_channel_frees_what_was_signed_ahead() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let answered = run(&buyer, &body(true, 9)).await.1.unwrap();
    let channel = answered.bundle.receipt.channel;
    assert_ne!(buyer.status().budget.ahead, "0");
    let transaction = buyer.close_channel(channel).await.unwrap();
    assert_eq!(transaction.len(), 66);
    assert_eq!(spending(&buyer), (charge(9), 0));
    // The next call opens another; what is ahead there is not freed by closing the first again.
    let next = run(&buyer, &body(true, 9)).await.1.unwrap();
    assert_ne!(next.bundle.receipt.channel, channel);
    let before = spending(&buyer);
    let again = buyer.close_channel(channel).await.unwrap_err();
    assert!(matches!(again, Error::NotFound { .. }), "{again}");
    assert_eq!(spending(&buyer), before);
    assert_eq!(stub.books().closed, [channel]);
}

/// A provider's word that a channel is closed frees nothing: it holds the voucher still.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_closed_when_the_chain_says_so() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let buyer = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let answered = run(&buyer, &body(true, 9)).await.1.unwrap();
    let before = spending(&buyer);
    stub.misbehave(Misbehave::SaysClosed);
    let error = buyer.close_channel(answered.bundle.receipt.channel).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("withdraw"), "{error}");
    assert_eq!(spending(&buyer), before);
    assert_eq!(buyer.status().channels[0].phase, Phase::Closing);
    // It comes to its senses.
    stub.books().misbehave = None;
    buyer.close_channel(answered.bundle.receipt.channel).await.unwrap();
    assert_eq!(spending(&buyer), (charge(9), 0));
}

/// What a provider claims without a receipt is lost, and spent: else each closed channel would
/// give the budget back what was stolen from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_above_the_receipts_is_caught_and_counted() {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let opened = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    let answered = run(&opened, &body(true, 9)).await.1.unwrap();
    let (spent, ahead) = spending(&opened);
    stub.misbehave(Misbehave::ClaimsAll);
    let error = opened.close_channel(answered.bundle.receipt.channel).await.unwrap_err();
    let Error::Misconduct { what, evidence, .. } = error else { panic!("{error}") };
    assert_eq!(what, Misconduct::Claimed { claimed: spent + ahead, receipted: spent });
    assert!(evidence.unwrap().exists());
    assert_eq!(spending(&opened), (spent + ahead, 0));
    drop(opened);
    let reopened = buyer(dir.path(), &stub, policy(TOTAL, PER_CALL));
    assert_eq!(spending(&reopened), (spent + ahead, 0));
    let again = run(&reopened, &body(true, 9)).await.1.unwrap_err();
    assert!(matches!(again, Error::Distrusted { .. }), "{again}");
}
