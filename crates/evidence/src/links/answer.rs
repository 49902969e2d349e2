//! What was asked and answered: receipt, request, response, model.

use serde::Deserialize;
use serde_json::Value;
use vouch_core::{
    B256,
    bundle::{self, Bundle},
    commitment,
    data_use::SEARCH,
    receipt::{Kind, Receipt, Status, Tier, flags},
    sourced::{self, Source},
};

use super::{
    Broken, Outcome,
    embeddings::{self, EMBEDDINGS},
    ensure, proven,
};
use crate::{MAX_BUNDLE_BYTES, Options, json};

/// The clocks of a provider and of the engine behind it may differ by this much.
const CLOCK_SLACK_S: u64 = 300;

pub(super) fn receipt(bundle: &Bundle, options: &Options<'_>) -> Outcome {
    let receipt = &bundle.receipt;
    if bundle.version != bundle::VERSION {
        let (found, read) = (bundle.version, bundle::VERSION);
        return Err(format!("bundle version {found} is unknown, this software reads {read}").into());
    }
    receipt.check()?;
    let expected = match bundle.resource.as_str() {
        EMBEDDINGS => Kind::Embedding,
        _ => Kind::Inference,
    };
    ensure(receipt.kind == expected, "its kind is not that of an answer to this resource")?;
    ensure(receipt.sequence > 0, "its sequence is 0, but a channel paid")?;
    let before = receipt.cumulative.checked_sub(receipt.charge);
    ensure(before.is_some(), "its channel's total is below its own charge")?;
    let first = receipt.sequence > 1 || before == Some(0);
    ensure(first, "it is the channel's first, but its channel's total is not its charge")?;
    let expected = options.provider.is_none_or(|provider| provider == receipt.provider);
    ensure(expected, "it is by another provider than expected")?;
    let expected = options.payer.is_none_or(|payer| payer == receipt.payer);
    ensure(expected, "it is for another payer than expected")?;
    let trust = match (options.provider, options.payer) {
        (Some(_), Some(_)) => String::new(),
        _ => format!("that {} and {} are whom you mean", receipt.provider, receipt.payer),
    };
    proven(format!("well formed; receipt {} of its channel", receipt.sequence), trust)
}

pub(super) fn request(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { nonce, resource, request: body, receipt, terms, .. } = bundle;
    ensure(body.len() <= MAX_BUNDLE_BYTES, "the request is too large")?;
    let committed = commitment::request(nonce, resource, body.as_bytes());
    ensure(committed == receipt.request, "the receipt is for another request, resource or nonce")?;
    let request = parsed(body)?;
    let model = request.get("model").and_then(Value::as_str);
    ensure(model == Some(&terms.model), "the request asks for another model than the terms sell")?;
    if receipt.kind == Kind::Embedding {
        embeddings::request(&request, receipt)?;
    } else {
        generation(&request, receipt, nonce)?;
    }
    let trust = if receipt.flags & flags::PROVIDERS_NONCE == 0 {
        ""
    } else {
        "that the provider chose a nonce that nobody can guess; it only hides the request"
    };
    let seeded = if receipt.kind == Kind::Inference { ", with this seed" } else { "" };
    proven(format!("this very body was received, for this model{seeded}"), trust)
}

/// A request for text: one answer, of at most so many tokens, with this seed.
fn generation(request: &Value, receipt: &Receipt, nonce: &B256) -> Result<(), Broken> {
    let single = request.get("n").is_none_or(|n| n.is_null() || *n == 1);
    ensure(single, "the request asks for several answers")?;
    let limit = limit(request)?;
    ensure(
        limit.is_none_or(|limit| receipt.usage.output <= limit),
        "more tokens were charged than the request allows",
    )?;
    seed(request, receipt, nonce)
}

/// The body as JSON. It was only hashed until now, so a key that stands twice could mean one thing
/// to the provider and another here.
pub(super) fn parsed(body: &str) -> Result<Value, Broken> {
    let request = json::parse(body).map_err(|error| format!("the request is not read: {error}"))?;
    ensure(request.is_object(), "the request is no JSON object")?;
    Ok(request)
}

/// The most tokens that a request allows to be generated.
fn limit(request: &Value) -> Result<Option<u64>, Broken> {
    let given = |name| request.get(name).filter(|value| !value.is_null());
    match given("max_completion_tokens").or_else(|| given("max_tokens")) {
        None => Ok(None),
        Some(limit) => {
            limit.as_u64().map(Some).ok_or_else(|| "the request's token limit is no count".into())
        }
    }
}

fn seed(request: &Value, receipt: &Receipt, nonce: &B256) -> Result<(), Broken> {
    let flagged = receipt.flags & flags::CALLERS_SEED != 0;
    let given = request.get("seed").filter(|seed| !seed.is_null());
    ensure(
        given.is_some() == flagged,
        "receipt and request differ in whether the caller chose the seed",
    )?;
    let seed = match given {
        None => commitment::derived_seed(nonce, &receipt.request),
        Some(seed) => {
            let seed = seed.as_i64().ok_or("the request's seed is no 64-bit integer")?;
            commitment::callers_seed(seed)
        }
    };
    let committed = commitment::seed(nonce, &seed);
    ensure(committed == receipt.seed, "the receipt is for another seed than the request's")
}

pub(super) fn response(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { nonce, response, receipt, terms, .. } = bundle;
    ensure(json::is_exact(response), "the response has an integer above 2^53, which JSON rounds")?;
    let canonical = commitment::canonical_json(response)?;
    let committed = commitment::response(nonce, &canonical);
    ensure(committed == receipt.response, "the receipt is for another response")?;
    let model = response.get("model").and_then(Value::as_str);
    ensure(model == Some(&terms.model), "the response names another model than the terms")?;
    let created = response.get("created").and_then(Value::as_u64);
    let latest = (receipt.time / 1000).saturating_add(CLOCK_SLACK_S);
    ensure(created.is_some_and(|at| at <= latest), "the response was made after its receipt")?;
    if receipt.kind == Kind::Embedding {
        embeddings::response(bundle)?;
        return proven("this very response was given; its counts and model are the receipt's", "");
    }
    usage(response, receipt)?;
    finish(response, receipt.status)?;
    if let Some(sources) = sources(bundle)? {
        let credited = sources.iter().map(|source| source.credited).sum::<u128>();
        return proven(
            format!(
                "this very response was given, from {} sources whose owners are credited {credited}",
                sources.len()
            ),
            "the provider, that the quotations are the documents', and which grants it says were \
             revoked",
        );
    }
    proven("this very response was given; its counts, model and ending are the receipt's", "")
}

/// The sources of a sourced answer, which follow from terms, grants and charge; `None` of an answer
/// that is not.
pub(crate) fn sources(bundle: &Bundle) -> Result<Option<Vec<Source>>, Broken> {
    let Bundle { response, receipt, terms, .. } = bundle;
    let listed = response.get("vouch").and_then(|vouch| vouch.get("sources"));
    let (listed, bounds) = match (listed, &terms.sources) {
        (None, None) => return Ok(None),
        (Some(listed), Some(bounds)) => (listed, bounds),
        (Some(_), None) => return Err("the response has sources, but the terms sell none".into()),
        (None, Some(_)) => return Err("the terms sell sources, but the response has none".into()),
    };
    let sources = Vec::<Source>::deserialize(listed)
        .map_err(|error| format!("the sources are not read: {error}"))?;
    let exact = serde_json::to_value(&sources).is_ok_and(|value| value == *listed);
    ensure(exact, "the sources are not in their own form")?;
    let most = usize::try_from(bounds.max_sources).unwrap_or(usize::MAX);
    ensure(!sources.is_empty() && sources.len() <= most, "there are more sources than sold")?;
    let bytes = u64::try_from(sourced::preamble(&sources).len()).unwrap_or(u64::MAX);
    ensure(bytes <= bounds.max_bytes.into(), "the sources are longer than the terms allow")?;
    ensure(receipt.flags & flags::NO_TOKEN_IDS == 0, "a sourced answer has no token ids")?;
    let created = response.get("created").and_then(Value::as_u64).unwrap_or(0);
    let mut left = receipt.charge;
    for (source, index) in sources.iter().zip(1_u32..) {
        ensure(source.index == index, "the sources are not numbered from 1")?;
        ensure(source.passages > 0, "a source has no passage")?;
        grant(source, receipt, created)?;
        left = left
            .checked_sub(source.credited)
            .ok_or("the sources are credited more than was charged")?;
    }
    Ok(Some(sources))
}

/// What a source says of its grant, and what follows from it.
fn grant(source: &Source, receipt: &Receipt, created_s: u64) -> Result<(), Broken> {
    let grant = &source.terms;
    ensure(source.grant == grant.id(), "a source names another grant than it quotes")?;
    ensure(source.owner == grant.owner, "a source is another's than its grant's")?;
    ensure(source.dataset == grant.dataset, "a source is of another dataset than its grant")?;
    // It was in force when the work began; the clock of that is between the two.
    let covers = |time_s| grant.covers(receipt.provider, SEARCH, receipt.model, time_s);
    ensure(
        covers(created_s) || covers(receipt.time / 1000),
        "a source's grant does not cover this use",
    )?;
    let owed = if source.revoked { 0 } else { grant.credit(receipt.charge)? };
    ensure(source.credited == owed, "a source is credited another amount than its grant says")
}

/// OpenAI counts cached tokens among those of the prompt; a receipt counts them apart.
fn usage(response: &Value, receipt: &Receipt) -> Result<(), Broken> {
    let count = |pointer| response.pointer(pointer).and_then(Value::as_u64);
    let usage = &receipt.usage;
    let input = usage.input.checked_add(usage.cached);
    let total = input.and_then(|input| input.checked_add(usage.output));
    let cached = count("/usage/prompt_tokens_details/cached_tokens").unwrap_or(0);
    let agrees = total.is_some()
        && count("/usage/prompt_tokens") == input
        && count("/usage/completion_tokens") == Some(usage.output)
        && count("/usage/total_tokens") == total
        && cached == usage.cached;
    ensure(agrees, "the response's usage is not what the receipt counts")
}

fn finish(response: &Value, status: Status) -> Result<(), Broken> {
    let choices = response.get("choices").and_then(Value::as_array).map(Vec::as_slice);
    let Some([choice]) = choices else {
        return Err("the response has not exactly one choice".into());
    };
    let reason = choice.get("finish_reason").ok_or("the response's choice has no finish_reason")?;
    let agrees = match status {
        Status::Complete => reason.is_string(),
        Status::StoppedByPayer | Status::OutOfFunds | Status::Failed => reason.is_null(),
    };
    ensure(agrees, "the response's finish_reason contradicts the receipt's status")
}

pub(super) fn model(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { model, receipt, terms, .. } = bundle;
    ensure(model.is_object(), "the identity document is no JSON object")?;
    ensure(json::is_exact(model), "the identity document has an integer above 2^53")?;
    let identity = commitment::canonical_hash(model)?;
    ensure(identity == terms.identity, "the terms sell another model than the identity document")?;
    ensure(
        identity == receipt.model,
        "the receipt names another model than the identity document",
    )?;
    let trust = match receipt.tier {
        Tier::Signed => "the provider, that it ran this model and no other",
        Tier::Audited => "the provider and its audits by sample, that it ran this model",
        Tier::Replayed => "nobody, once you replay it: the run is repeatable bit for bit",
        Tier::Proven => "the proof of the run, which is not checked here",
        Tier::Attested => "the hardware's attestation, which is not checked here",
    };
    proven("the answer is claimed for exactly this model, which the terms sold", trust)
}
