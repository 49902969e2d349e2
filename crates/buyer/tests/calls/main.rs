//! Calls against the stub: what is paid, what is checked, what is kept.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod honest;
mod log;
mod misconduct;
mod money;
mod sourced;
#[path = "../stub/mod.rs"]
mod stub;

use std::time::Duration;

use serde_json::json;
use stub::{INPUT_TOKENS, MODEL, PRICES};
use vouch_buyer::{Answered, Buyer, Error, Event, Running};
use vouch_core::money::Usage;
use vouch_wire::openai::Endpoint;

const TOTAL: u128 = 1_000_000;
const PER_CALL: u128 = 10_000;

fn body(stream: bool, max_tokens: u32) -> String {
    body_for(MODEL, stream, max_tokens)
}

fn body_for(model: &str, stream: bool, max_tokens: u32) -> String {
    json!({
        "model": model, "messages": [{"role": "user", "content": "two times three?"}],
        "stream": stream, "max_tokens": max_tokens,
    })
    .to_string()
}

/// Runs a call to its end; the text that was streamed, and what came of it.
async fn run(buyer: &Buyer, body: &str) -> (Vec<String>, Result<Answered, Error>) {
    finish(buyer.start(Endpoint::Chat, body).unwrap()).await
}

async fn finish(mut running: Running) -> (Vec<String>, Result<Answered, Error>) {
    let mut chunks = Vec::new();
    loop {
        match running.events.recv().await.unwrap() {
            Event::Chunk(chunk) => {
                let delta = chunk.choices.into_iter().next().and_then(|choice| choice.delta);
                chunks.push(delta.and_then(|delta| delta.content).unwrap_or_default());
            }
            Event::Done(answered) => return (chunks, Ok(*answered)),
            Event::Failed(error) => return (chunks, Err(error)),
            other => panic!("{other:?}"),
        }
    }
}

fn said(answered: &Answered) -> String {
    answered.response().unwrap().choices.remove(0).message.unwrap().content
}

/// What a call with so many tokens costs.
fn charge(output: u64) -> u128 {
    PRICES.charge(&Usage { input: INPUT_TOKENS, cached: 0, output }).unwrap()
}

fn spending(buyer: &Buyer) -> (u128, u128) {
    let budget = buyer.status().budget;
    (budget.spent.parse().unwrap(), budget.ahead.parse().unwrap())
}

async fn wait(mut until: impl FnMut() -> bool) {
    for _ in 0..500 {
        if until() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come about in 5 seconds");
}
