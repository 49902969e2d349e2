//! `cargo xtask bench model`: the exact engine beside llama.cpp, on the same file, ids and threads.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, ensure};
use clap::Parser;
use futures_util::StreamExt;
use vouch_benches::{
    figure::{Better, Figure, median, print},
    peers::Llama,
};
use vouch_model::{
    Engine, Event, GenerateRequest, Prompt, Sampling,
    exact::{ExactEngine, ExactOptions, ReplayRequest},
    source::{ModelSource, default_cache_dir},
};

const BENCH: &str = "model";
/// Text that stays what it is: its first ids are the prompts.
const TEXT: &str = include_str!("../../../LICENSE");
const PREFILL: usize = 256;
const PROMPT: usize = 28;
const DECODE: usize = 100;
const THREADS: [usize; 2] = [1, 2];

#[derive(Debug, Parser)]
struct Arguments {
    /// The folder with llama.mjs and its packages; without it, ours alone is measured.
    #[arg(long)]
    llama: Option<PathBuf>,
    /// A GGUF file or a source [default: the model that a fresh machine serves].
    #[arg(long, default_value = vouch_model::source::DEFAULT)]
    model: String,
    /// How often ours and the peer take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measurements of each kind in a turn.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Print a line of JSON a figure.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let model = fetch(&arguments.model)?;
    let ids = ids(&model)?;
    let directory = tempfile::tempdir()?;
    let ids_file = directory.path().join("ids.json");
    std::fs::write(&ids_file, serde_json::to_vec(&ids)?)?;
    let llama = arguments.llama.clone().map(|directory| Llama { directory });
    let mut figures = Vec::new();
    for threads in THREADS {
        let (mut ours, mut theirs) = (Speed::default(), None);
        for round in 1..=arguments.rounds {
            note(&format!("round {round} of {}, {threads} threads", arguments.rounds));
            ours.measure(&model, &ids, threads, arguments.repetitions).await?;
            if let Some(llama) = &llama {
                let speed = llama.run(&model, &ids_file, threads, arguments.repetitions)?;
                let all = theirs.get_or_insert_with(|| (speed.name, Speed::default()));
                all.1.prefill.extend(speed.prefill);
                all.1.decode.extend(speed.decode);
            }
        }
        figures.extend(figures_of(threads, &ours, theirs.as_ref()));
    }
    Ok(print(&figures, arguments.json)?)
}

#[allow(clippy::print_stderr, reason = "how far it is, apart from the figures")]
fn note(text: &str) {
    eprintln!("    {text}");
}

fn fetch(source: &str) -> anyhow::Result<PathBuf> {
    let source: ModelSource = source.parse()?;
    let cache = default_cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache = cache.context("no place for models: set XDG_CACHE_HOME or HOME")?;
    Ok(source.fetch(&cache, &mut |_progress| {})?)
}

fn open(model: &Path, threads: usize) -> anyhow::Result<ExactEngine> {
    Ok(ExactEngine::open(model, &ExactOptions { threads, ..ExactOptions::default() })?)
}

fn ids(model: &Path) -> anyhow::Result<Vec<u32>> {
    let mut ids = open(model, 1)?.encode(&Prompt::Text(TEXT.to_owned()))?;
    ensure!(ids.len() > PREFILL, "the text has {} ids only", ids.len());
    ids.truncate(PREFILL + 1);
    Ok(ids)
}

/// Tokens a second, one value a measurement.
#[derive(Debug, Default)]
struct Speed {
    prefill: Vec<f64>,
    decode: Vec<f64>,
    verify: Vec<f64>,
    /// Time to verify an answer by time to generate it.
    verify_by_generate: Vec<f64>,
}

impl Speed {
    async fn measure(
        &mut self,
        model: &Path,
        ids: &[u32],
        threads: usize,
        repetitions: usize,
    ) -> anyhow::Result<()> {
        let engine = open(model, threads)?;
        // The first run pages the weights in.
        generate(&engine, &ids[..PROMPT], 1).await?;
        for _ in 0..repetitions {
            let prefill = generate(&engine, &ids[..PREFILL], 1).await?;
            self.prefill.push(PREFILL as f64 / prefill.first_s);
            let answer = generate(&engine, &ids[..PROMPT], DECODE).await?;
            let after_first = answer.whole_s - answer.first_s;
            self.decode.push((DECODE - 1) as f64 / after_first);
            let again_s = verify(&engine, &ids[..PROMPT], &answer.ids).await?;
            self.verify_by_generate.push(again_s / answer.whole_s);
            let start = Instant::now();
            // Mostly wrong ids cost what right ones do: every logit is computed and drawn from.
            engine.replay(replay(&ids[..1], &ids[1..=PREFILL])).await?;
            self.verify.push(PREFILL as f64 / start.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// An answer and its times since the request.
struct Answer {
    ids: Vec<u32>,
    first_s: f64,
    whole_s: f64,
}

async fn generate(engine: &ExactEngine, prompt: &[u32], count: usize) -> anyhow::Result<Answer> {
    let start = Instant::now();
    let request = GenerateRequest::new(Prompt::Tokens(prompt.to_vec()), u32::try_from(count)?);
    let mut events = engine.generate(request);
    let mut answer = Answer { ids: Vec::new(), first_s: 0.0, whole_s: 0.0 };
    while let Some(event) = events.next().await {
        let Event::Delta { ids, .. } = event? else { continue };
        answer.whole_s = start.elapsed().as_secs_f64();
        if answer.ids.is_empty() {
            answer.first_s = answer.whole_s;
        }
        answer.ids.extend(ids);
    }
    ensure!(answer.ids.len() == count, "the model stopped after {} tokens", answer.ids.len());
    Ok(answer)
}

/// Seconds to repeat an answer, which must be found right.
async fn verify(engine: &ExactEngine, prompt: &[u32], answer: &[u32]) -> anyhow::Result<f64> {
    let start = Instant::now();
    let found = engine.replay(replay(prompt, answer)).await?;
    let took = start.elapsed().as_secs_f64();
    ensure!(found.mismatch.is_none(), "the replay differs: {found:?}");
    Ok(took)
}

fn replay(prompt: &[u32], answer: &[u32]) -> ReplayRequest {
    ReplayRequest {
        input_ids: prompt.to_vec(),
        output_ids: answer.to_vec(),
        sampling: Sampling::greedy(),
        seed: [0; 32],
    }
}

fn figures_of(threads: usize, ours: &Speed, theirs: Option<&(String, Speed)>) -> Vec<Figure> {
    let named = |metric: &str| match threads {
        1 => format!("{metric}, 1 thread"),
        _ => format!("{metric}, {threads} threads"),
    };
    let figure = |metric: &str, of: fn(&Speed) -> &Vec<f64>| {
        let figure = Figure::alone(BENCH, &named(metric), "tokens/s", median(of(ours)));
        match theirs {
            Some((name, theirs)) => figure.beside(name, median(of(theirs)), Better::Higher),
            None => figure,
        }
    };
    let ratio = median(&ours.verify_by_generate);
    vec![
        figure("prefill 256", |speed| &speed.prefill),
        figure("decode 100 after 28", |speed| &speed.decode),
        Figure::alone(BENCH, &named("verify 256"), "tokens/s", median(&ours.verify)),
        Figure::alone(BENCH, &named("verify / generate, 100 after 28"), "", ratio),
    ]
}
