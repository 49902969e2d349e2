//! Answers from ten thousand documents: what looking for passages adds before the first token.
//!
//! The documents are published, granted, served and indexed by the real commands. The index is then
//! searched here as `vouch up --sources` searches it, step by step, because a call's own time is
//! mostly the model's; paid calls at that provider show the whole.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::providers::{Provider, ProviderBuilder};
use alloy_primitives::{Address, B256};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use vouch_benches::{
    figure::{Figure, quantile_ms},
    process::Process,
    vouch::{Up, Vouch, text},
};
use vouch_buyer::{Buyer, system_clock};
use vouch_contracts::economy::{Governance, economy};
use vouch_core::sourced::{self, Source};
use vouch_data::{
    consent::{self, Consents, Purpose, Use},
    seal::Key,
    search::{Hit, Index, Query},
};
use vouch_model::{
    Engine, Prompt,
    embed::Embedder,
    exact::{ExactEngine, ExactOptions},
    source::{DEFAULT, DEFAULT_EMBEDDING},
};

use crate::{
    BENCH, Options,
    documents::{self, Document},
    fetch, note, paid, utf8,
};

/// As `vouch up` does: eight are looked for, and four put into the prompt.
const LOOKED_FOR: usize = 8;
const QUOTED: usize = 4;
/// Whole calls, which take the model's time.
const CALLS: usize = 8;

pub(crate) async fn figures(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let documents = documents::documents(options.documents);
    note(&format!("sources: publishing and indexing {} documents", documents.len()));
    let house = House::start(options, &documents).await?;
    note("sources: searching");
    let mut figures = house.figures.clone();
    figures.extend(search(&house, &documents, options.questions).await?);
    note("sources: whole calls");
    figures.extend(calls(&house, &documents).await?);
    Ok(figures)
}

/// A provider that may quote one owner's documents.
struct House {
    up: Up,
    _serving: Process,
    data: TempDir,
    figures: Vec<Figure>,
}

impl House {
    async fn start(options: &Options, documents: &[Document]) -> anyhow::Result<Self> {
        let data = tempfile::tempdir_in(&options.data_dir)?;
        let vouch = options.vouch();
        let (provider, owner) = (data.path().join("provider"), data.path().join("owner"));
        let up = vouch.up(&provider, &["--sources"])?;
        let chain = ["--chain", up.field("chain")?];
        let run = |words: &[&str]| vouch.json(&owner, &[&["data"], words, &chain].concat());
        up.faucet(text(&run(&["list"])?, "owner")?).await?;
        let directory = data.path().join("records");
        documents::write(&directory, documents)?;
        let start = Instant::now();
        let published = run(&["publish", utf8(&directory)?, "--licence", "CC-BY-4.0"])?;
        let publishing = start.elapsed();
        let dataset = text(&published, "dataset")?;
        run(&["grant", dataset, "--to", up.field("provider")?, "--price", "0.0003"])?;
        let (serving, source) = serve(&vouch, &owner, &chain)?;
        let start = Instant::now();
        let index = ["data", "index", dataset, "--source", &source];
        let indexed = vouch.json(&provider, &[&index[..], &chain].concat())?;
        let indexing = start.elapsed();
        ensure!(
            indexed["documents"] == json!(documents.len()),
            "{} documents were published, and indexed was {indexed}",
            documents.len()
        );
        let count = |metric: &str, unit, value: f64| Figure::alone(BENCH, metric, unit, value);
        ensure!(indexed["total"] == indexed["passages"], "the index lost what it had: {indexed}");
        let passages = indexed["passages"].as_f64().context("no passages were indexed")?;
        let figures = vec![
            count("documents published", "", documents.len() as f64),
            count("passages indexed", "", passages),
            count("publish: seal, root on the chain", "s", publishing.as_secs_f64()),
            count("index: fetch under a grant, embed", "s", indexing.as_secs_f64()),
        ];
        Ok(Self { up, _serving: serving, data, figures })
    }
}

fn serve(
    vouch: &Vouch,
    owner: &std::path::Path,
    chain: &[&str],
) -> anyhow::Result<(Process, String)> {
    let serve = ["data", "serve", "--listen", "127.0.0.1:0"];
    let (process, ready) = Process::ready(&mut vouch.command(owner, &[&serve, chain].concat()))?;
    let url = text(&ready, "url")?.to_owned();
    Ok((process, url))
}

/// Times of each step, over all questions.
#[derive(Default)]
struct Steps {
    grants: Vec<Duration>,
    embed: Vec<Duration>,
    scan: Vec<Duration>,
    prompt: Vec<Duration>,
    all: Vec<Duration>,
    /// Questions for which a document on their subject was quoted.
    found: usize,
}

/// What the provider does between a paid question and its model.
async fn search(
    house: &House,
    documents: &[Document],
    questions: usize,
) -> anyhow::Result<Vec<Figure>> {
    let finder = Finder::open(house).await?;
    let mut steps = Steps::default();
    for at in 0..questions {
        // Spread over all documents.
        let document = &documents[at * documents.len() / questions];
        finder.find(document, &mut steps).await?;
    }
    let share = steps.found as f64 / questions as f64;
    ensure!(share > 0.5, "only {} of {questions} questions found their subject", steps.found);
    let mut figures = Vec::new();
    for (name, times) in [
        ("added before generation", &steps.all),
        ("  grants of this block", &steps.grants),
        ("  embed the question", &steps.embed),
        ("  scan the index", &steps.scan),
        ("  build and count the prompt", &steps.prompt),
    ] {
        for (quantile, share) in [("p50", 0.5), ("p99", 0.99)] {
            let name = format!("{name}, {quantile}");
            figures.push(Figure::alone(BENCH, &name, "ms", quantile_ms(times, share)));
        }
    }
    figures.push(Figure::alone(BENCH, "questions that found their subject", "%", share * 100.0));
    Ok(figures)
}

/// The provider's own parts, opened on its own data.
struct Finder {
    index: Index,
    consents: Consents,
    embedder: Arc<Embedder>,
    engine: Arc<ExactEngine>,
    provider: Address,
}

impl Finder {
    async fn open(house: &House) -> anyhow::Result<Self> {
        let home = house.data.path().join("provider").join("provider");
        let key = Key::open(&home.join("search-key.json"), "")?;
        let provider: Address = house.up.field("provider")?.parse()?;
        let chain = ProviderBuilder::new().connect_http(house.up.field("chain")?.parse()?).erased();
        let registry = economy(&Governance::development(provider))?.consent;
        let age = Duration::from_secs(30);
        let engine = ExactEngine::open(&fetch(DEFAULT)?, &ExactOptions::default())?;
        Ok(Self {
            index: Index::load(&home.join("search.index"), &key)?,
            consents: Consents::new(chain, registry, system_clock(), age),
            embedder: Arc::new(Embedder::open(&fetch(DEFAULT_EMBEDDING)?, 0)?),
            engine: Arc::new(engine),
            provider,
        })
    }

    async fn find(&self, document: &Document, steps: &mut Steps) -> anyhow::Result<()> {
        let start = Instant::now();
        self.consents.catch_up().await?;
        let grants = start.elapsed();
        let (embedder, question) = (self.embedder.clone(), vec![document.question.clone()]);
        let vectors = tokio::task::spawn_blocking(move || embedder.embed(&question)).await??;
        let embed = start.elapsed();
        let at = system_clock()() / 1_000;
        let service = B256::ZERO;
        let usage = Use { grantee: self.provider, purpose: Purpose::search(), service, at };
        let allowed = |dataset| Some(self.consents.find(dataset, &usage).ok()?.1);
        let query = Query { count: LOOKED_FOR, ..Query::default() };
        let hits = self.index.search(&vectors[0], &query, allowed)?;
        let scan = start.elapsed();
        let sources: Vec<Source> = hits.iter().take(QUOTED).zip(1..).map(source).collect();
        let messages = json!([{ "role": "user", "content": document.question }]);
        let messages = sourced::prompt(&messages, &sources)?;
        let engine = self.engine.clone();
        let counted = tokio::task::spawn_blocking(move || {
            engine.count_input(&Prompt::Chat { messages, tools: None })
        });
        ensure!(counted.await??.tokens > 0, "a prompt has no tokens");
        let all = start.elapsed();
        ensure!(!sources.is_empty(), "nothing answers {:?}", document.question);
        let found = sources.iter().any(|source| source.text.contains(&document.subject));
        steps.found += usize::from(found);
        steps.grants.push(grants);
        steps.embed.push(embed - grants);
        steps.scan.push(scan - embed);
        steps.prompt.push(all - scan);
        steps.all.push(all);
        Ok(())
    }
}

fn source((hit, index): (&Hit<'_, consent::Grant>, u32)) -> Source {
    let terms: vouch_core::data_use::Grant = hit.allowed.into();
    Source {
        index,
        title: hit.source.title.clone(),
        dataset: hit.source.dataset,
        document: hit.source.leaf,
        owner: hit.source.owner,
        grant: terms.id(),
        terms,
        passages: 1,
        text: hit.source.text.clone(),
        credited: 0,
        revoked: false,
    }
}

/// Paid calls of one token: sourced, and the very same prompt without sources.
async fn calls(house: &House, documents: &[Document]) -> anyhow::Result<Vec<Figure>> {
    let buyer = paid::buyer(&house.data.path().join("buyer"), house.up.address)?;
    let model = house.up.field("model")?;
    let (mut sourced_, mut plain) = (Vec::new(), Vec::new());
    for at in 0..=CALLS {
        let question = &documents[at * documents.len() / (CALLS + 1)].question;
        let messages = json!([{ "role": "user", "content": question }]);
        let (first, sources) = call(&buyer, &format!("{model}+sources"), &messages).await?;
        ensure!(!sources.is_empty(), "an answer has no sources");
        let messages = sourced::prompt(&messages, &sources)?;
        let (second, _) = call(&buyer, model, &messages).await?;
        // The first of each opens channels and pages weights in.
        if at > 0 {
            sourced_.push(first);
            plain.push(second);
        }
    }
    let figure = |name: &str, times: &[Duration]| {
        Figure::alone(BENCH, &format!("{name}, p50"), "ms", quantile_ms(times, 0.5))
    };
    Ok(vec![
        figure("paid sourced call of one token", &sourced_),
        figure("paid plain call of that prompt", &plain),
    ])
}

async fn call(
    buyer: &Buyer,
    model: &str,
    messages: &Value,
) -> anyhow::Result<(Duration, Vec<Source>)> {
    let body = json!({ "model": model, "messages": messages, "max_tokens": 1, "temperature": 0 });
    let start = Instant::now();
    let answered = paid::call(buyer, &body.to_string()).await?;
    let took = start.elapsed();
    let sources = answered.response()?.vouch.and_then(|vouch| vouch.sources);
    let sources = sources.unwrap_or_default();
    ensure!(sources.len() == answered.uses.len(), "a source has no receipt");
    Ok((took, sources))
}
