//! Texts embedded a second.

use std::time::Instant;

use anyhow::ensure;
use vouch_benches::figure::{Figure, median};
use vouch_model::{embed::Embedder, source::DEFAULT_EMBEDDING};

use crate::{BENCH, Options, documents, fetch, note};

const TEXTS: usize = 512;
/// As `vouch data index` embeds them.
const BATCH: usize = 64;

pub(crate) fn figures(options: &Options) -> anyhow::Result<Vec<Figure>> {
    note("embeddings: MiniLM");
    let path = fetch(DEFAULT_EMBEDDING)?;
    let texts: Vec<String> =
        documents::documents(TEXTS).into_iter().map(|document| document.text).collect();
    let mut figures = Vec::new();
    for threads in [1, 2] {
        let embedder = Embedder::open(&path, threads)?;
        let tokens: usize = texts.iter().map(|text| embedder.tokenizer().encode(text).len()).sum();
        embedder.embed(&texts[..BATCH])?;
        let mut per_second = Vec::new();
        for _ in 0..options.rounds {
            let start = Instant::now();
            for batch in texts.chunks(BATCH) {
                let vectors = embedder.embed(batch)?;
                ensure!(vectors.len() == batch.len(), "{} vectors", vectors.len());
            }
            per_second.push(TEXTS as f64 / start.elapsed().as_secs_f64());
        }
        let rate = median(&per_second);
        let named = |metric: &str| format!("{metric}, {threads} thread(s)");
        figures.push(Figure::alone(BENCH, &named("texts embedded"), "1/s", rate));
        let tokens = rate * tokens as f64 / TEXTS as f64;
        figures.push(Figure::alone(BENCH, &named("tokens embedded"), "1/s", tokens));
    }
    Ok(figures)
}
