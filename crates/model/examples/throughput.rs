//! Measures the exact engine as its users meet it, through [`Engine::generate`] and replay, and
//! prints one JSON line a figure.
//!
//! ```text
//! cargo run --release -p vouch-model --example throughput -- MODEL.gguf IDS.json THREADS [ROUNDS]
//! ```
//! IDS.json is an array of at least 257 token ids. Figures, in tokens a second, best of the rounds:
//! `prefill` of 256 ids up to the first token; `decode` of 100 tokens after 28; `verify` of 256 ids,
//! all logits computed and drawn from.

#![allow(clippy::print_stdout, reason = "the output of a measurement")]

use std::path::PathBuf;
use std::time::Instant;

use futures_util::StreamExt;
use vouch_model::exact::{ExactEngine, ExactOptions, ReplayRequest};
use vouch_model::{Engine, Event, GenerateRequest, Prompt, Sampling};

type Failure = Box<dyn std::error::Error>;

const PREFILL: usize = 256;
const PROMPT: usize = 28;
const DECODE: u32 = 100;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next =
        || arguments.next().ok_or("usage: throughput MODEL.gguf IDS.json THREADS [ROUNDS]");
    let (model, ids) = (PathBuf::from(next()?), next()?);
    let (threads, rounds) = (next()?.parse()?, next().map_or(Ok(3), |rounds| rounds.parse())?);
    let ids: Vec<u32> = serde_json::from_slice(&std::fs::read(ids)?)?;
    if ids.len() <= PREFILL {
        return Err(format!("{} ids are too few; give more than {PREFILL}", ids.len()).into());
    }
    let engine = ExactEngine::open(&model, &ExactOptions { threads, ..ExactOptions::default() })?;
    let (mut prefill, mut decode, mut verify) = (0f64, 0f64, 0f64);
    for _ in 0..rounds {
        prefill = prefill.max(PREFILL as f64 / first_token_seconds(&engine, &ids).await?);
        decode = decode.max(f64::from(DECODE - 1) / decode_seconds(&engine, &ids).await?);
        verify = verify.max(PREFILL as f64 / verify_seconds(&engine, &ids).await?);
    }
    for (figure, value) in [("prefill", prefill), ("decode", decode), ("verify", verify)] {
        let line = serde_json::json!({
            "figure": figure,
            "tokens_per_second": value,
            "threads": threads,
            "instruction_set": engine.instruction_set(),
        });
        println!("{line}");
    }
    Ok(())
}

/// Seconds until the first token of a prompt of 256 ids.
async fn first_token_seconds(engine: &ExactEngine, ids: &[u32]) -> Result<f64, Failure> {
    let started = Instant::now();
    let request = GenerateRequest::new(Prompt::Tokens(ids[..PREFILL].to_vec()), 1);
    let mut events = engine.generate(request);
    while let Some(event) = events.next().await {
        event?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds from the first to the hundredth token after a prompt of 28 ids.
async fn decode_seconds(engine: &ExactEngine, ids: &[u32]) -> Result<f64, Failure> {
    let request = GenerateRequest::new(Prompt::Tokens(ids[..PROMPT].to_vec()), DECODE);
    let mut events = engine.generate(request);
    let (mut first, mut count) = (None, 0);
    while let Some(event) = events.next().await {
        if let Event::Delta { tokens, .. } = event? {
            first.get_or_insert_with(Instant::now);
            count += tokens;
        }
    }
    match first {
        Some(first) if count == DECODE => Ok(first.elapsed().as_secs_f64()),
        _ => Err(format!("the model stopped after {count} tokens; give other ids").into()),
    }
}

/// Seconds to verify an answer of 255 ids to a prompt of one.
async fn verify_seconds(engine: &ExactEngine, ids: &[u32]) -> Result<f64, Failure> {
    let started = Instant::now();
    let request = ReplayRequest {
        input_ids: ids[..1].to_vec(),
        output_ids: ids[1..=PREFILL].to_vec(),
        sampling: Sampling::greedy(),
        seed: [0; 32],
    };
    engine.replay(request).await?;
    Ok(started.elapsed().as_secs_f64())
}
