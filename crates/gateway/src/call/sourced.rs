//! Sources of a call: which are quoted, what they are credited, and their receipts.
//!
//! Who is paid is decided here, by the grants and before a word is generated; nothing that a
//! passage or the model says has a part in it.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use tokio::time::timeout;
use vouch_core::{
    commitment,
    data_use::{self, SEARCH},
    receipt::{Kind, Receipt, Status, Tier},
    sourced::{self, MAX_TITLE_BYTES, Source},
    terms::SourceTerms,
};
use vouch_model::{Engine, Prompt};
use vouch_store::Child;
use vouch_wire::openai::Endpoint;

use crate::{
    app::App,
    catalog::Model,
    error::Refusal,
    offer::{self, Asked},
    sources::{Passage, Retrieval, Sourcing},
};

/// Longer retrievals are given up: the payer's money is set aside meanwhile.
const RETRIEVAL_TIMEOUT: Duration = Duration::from_secs(10);
const WHOLE_BPS: u128 = 10_000;

/// Refuses what cannot be sourced, before there is a price.
pub(crate) fn check(model: &Model, endpoint: Endpoint, prompt: &Prompt) -> Result<(), Refusal> {
    match prompt {
        _ if model.terms.sources.is_none() => Ok(()),
        Prompt::Chat { messages, .. } if endpoint == Endpoint::Chat => {
            sourced::question(messages).map(|_| ()).map_err(|_| Refusal::NoQuestion)
        }
        _ => Err(Refusal::NoQuestion),
    }
}

/// The most input tokens that sources add to a prompt.
pub(crate) fn most_tokens(model: &Model) -> u32 {
    model.terms.sources.map_or(0, |terms| terms.max_bytes)
}

/// Retrieves, selects, and puts the sources into the prompt; `None` where the model is not sourced.
pub(super) async fn put(
    app: &App,
    asked: &Asked,
    engine: &Arc<dyn Engine>,
    prompt: &mut Prompt,
) -> Result<Option<Vec<Source>>, Refusal> {
    let model = &asked.model;
    let (Some(sourcing), Some(terms)) = (&model.sourcing, &model.terms.sources) else {
        return Ok(None);
    };
    let Prompt::Chat { messages, .. } = &*prompt else {
        return Err(Refusal::NoQuestion);
    };
    let question = sourced::question(messages).map_err(|_| Refusal::NoQuestion)?;
    let limit = usize::try_from(terms.max_sources).unwrap_or(usize::MAX);
    let passages =
        retrieve(sourcing, Retrieval { question, service: model.identity, limit }).await?;
    let party =
        Party { provider: app.config.provider, service: model.identity, now_s: app.now_s() };
    let mut sources = select(passages, &party, terms, model.prices.request);
    // An engine whose tokens are shorter than bytes would break the bound: fewer sources then.
    while !sources.is_empty() {
        let sourced = with_sources(prompt, &sources)?;
        let (sourced, tokens) = offer::count_of(engine, sourced).await?;
        if tokens <= asked.input_tokens {
            *prompt = sourced;
            return Ok(Some(sources));
        }
        sources.pop();
    }
    Err(Refusal::NoSources)
}

async fn retrieve(sourcing: &Sourcing, asked: Retrieval) -> Result<Vec<Passage>, Refusal> {
    match timeout(RETRIEVAL_TIMEOUT, sourcing.sources.retrieve(&asked)).await {
        Ok(Ok(passages)) => Ok(passages),
        Ok(Err(error)) => {
            tracing::warn!(%error, "sources could not be retrieved");
            Err(Refusal::SourcesFailed)
        }
        Err(_elapsed) => Err(Refusal::SourcesFailed),
    }
}

fn with_sources(prompt: &Prompt, sources: &[Source]) -> Result<Prompt, Refusal> {
    let Prompt::Chat { messages, tools } = prompt else { return Err(Refusal::NoQuestion) };
    let messages = sourced::prompt(messages, sources).map_err(|_| Refusal::NoQuestion)?;
    Ok(Prompt::Chat { messages, tools: tools.clone() })
}

/// Who wants to quote, in what, and when.
struct Party {
    provider: Address,
    service: B256,
    now_s: u64,
}

/// The passages that are allowed, affordable and fit, best first. Several of one document are one
/// source: overlapping passages earn no more than one.
fn select(
    passages: Vec<Passage>,
    party: &Party,
    terms: &SourceTerms,
    request_price: u128,
) -> Vec<Source> {
    let max_bytes = usize::try_from(terms.max_bytes).unwrap_or(usize::MAX);
    let max_sources = usize::try_from(terms.max_sources).unwrap_or(usize::MAX);
    let mut sources: Vec<Source> = Vec::new();
    for passage in passages {
        let Passage { document, grant, title, text } = passage;
        let allowed = grant.covers(party.provider, SEARCH, party.service, party.now_s);
        if !allowed || text.trim().is_empty() || text.len() > max_bytes {
            continue;
        }
        let mut more = sources.clone();
        let id = grant.id();
        match more.iter_mut().find(|known| known.grant == id && known.document == document) {
            Some(known) => {
                known.passages = known.passages.saturating_add(1);
                known.text.push_str("\n\n");
                known.text.push_str(&text);
            }
            None => more.push(Source {
                index: u32::try_from(more.len()).unwrap_or(u32::MAX).saturating_add(1),
                title: short(&title),
                dataset: grant.dataset,
                document,
                owner: grant.owner,
                grant: id,
                terms: grant,
                passages: 1,
                text,
                credited: 0,
                revoked: false,
            }),
        }
        let fits = more.len() <= max_sources && sourced::preamble(&more).len() <= max_bytes;
        if fits && affordable(&more, request_price) {
            sources = more;
        }
    }
    sources
}

/// Whether all credits fit a call that is charged no more than its request's price: then they fit
/// any, because a charge grows faster than the shares of it.
fn affordable(sources: &[Source], request_price: u128) -> bool {
    let sum = |part: fn(&Source) -> u128| {
        sources.iter().try_fold(0_u128, |sum, source| sum.checked_add(part(source)))
    };
    let prices = sum(|source| source.terms.price);
    let shares = sum(|source| source.terms.share_bps.into());
    let (Some(prices), Some(left)) = (prices, shares.and_then(|s| WHOLE_BPS.checked_sub(s))) else {
        return false;
    };
    let (whole, rest) = (request_price / WHOLE_BPS, request_price % WHOLE_BPS);
    let room = whole.saturating_mul(left).saturating_add(rest.saturating_mul(left) / WHOLE_BPS);
    prices <= room
}

fn short(title: &str) -> String {
    let end = (0..=MAX_TITLE_BYTES.min(title.len())).rev().find(|at| title.is_char_boundary(*at));
    title[..end.unwrap_or(0)].to_owned()
}

/// Asks once more which grants hold, and credits those. One that was revoked while the answer was
/// made is not credited. Where nobody can say, it holds as it did when the work began.
pub(super) async fn credit(model: &Model, sources: &mut [Source], charge: u128) {
    let Some(sourcing) = &model.sourcing else { return };
    let grants: Vec<_> = sources.iter().map(|source| source.grant).collect();
    let asked = sourcing.sources.still_allowed(&grants, model.identity);
    let allowed = match timeout(RETRIEVAL_TIMEOUT, asked).await {
        Ok(Ok(allowed)) if allowed.len() == sources.len() => allowed,
        failed => {
            tracing::warn!(?failed, "whether grants still hold is not known: they are credited");
            vec![true; sources.len()]
        }
    };
    for (source, allowed) in sources.iter_mut().zip(allowed) {
        source.revoked = !allowed;
        let credit = source.terms.credit(charge).unwrap_or_default();
        source.credited = if allowed { credit } else { 0 };
    }
}

/// The receipts of the uses in an answer whose own is `parent`.
pub(super) fn children(
    parent: &Receipt,
    nonce: &B256,
    sources: &[Source],
) -> Result<Vec<Child>, vouch_core::Error> {
    sources.iter().map(|source| child(parent, nonce, source)).collect()
}

fn child(parent: &Receipt, nonce: &B256, source: &Source) -> Result<Child, vouch_core::Error> {
    let nonce = commitment::source_nonce(nonce, source.index);
    let opening =
        Opening { nonce, dataset: source.dataset, document: source.document, grant: source.terms };
    let draft = Receipt {
        kind: Kind::DataUse,
        status: if source.revoked { Status::Failed } else { Status::Complete },
        tier: Tier::Signed,
        flags: 0,
        payer: source.owner,
        channel: data_use::stream(&parent.domain, parent.provider, source.owner),
        request: data_use::request(&nonce, &source.dataset, &source.document),
        response: B256::ZERO,
        tokens: B256::ZERO,
        usage: vouch_core::money::Usage { input: source.passages.into(), ..Default::default() },
        model: source.dataset,
        sampling: B256::ZERO,
        seed: B256::ZERO,
        commitment: B256::ZERO,
        terms: source.grant,
        charge: source.credited,
        ..parent.clone()
    };
    Ok(Child { draft, opening: commitment::canonical_json(&opening)? })
}

/// What is kept beside a data-use receipt for the owner.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Opening {
    pub(crate) nonce: B256,
    pub(crate) dataset: B256,
    pub(crate) document: B256,
    pub(crate) grant: data_use::Grant,
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, keccak256};

    use super::*;

    const TERMS: SourceTerms = SourceTerms { max_sources: 2, max_bytes: 1000 };

    fn party() -> Party {
        Party { provider: Address::repeat_byte(1), service: B256::repeat_byte(2), now_s: 50 }
    }

    fn passage(document: u8, price: u128, share_bps: u16) -> Passage {
        let grant = data_use::Grant {
            owner: Address::repeat_byte(9),
            dataset: B256::repeat_byte(8),
            grantee: party().provider,
            purpose: keccak256(SEARCH),
            service: B256::ZERO,
            price,
            share_bps,
            start: 0,
            end: 100,
            nonce: U256::ZERO,
        };
        Passage {
            document: B256::repeat_byte(document),
            grant,
            title: "t".into(),
            text: "x".into(),
        }
    }

    fn selected(passages: Vec<Passage>, price: u128) -> Vec<(u32, B256, u32)> {
        let sources = select(passages, &party(), &TERMS, price);
        sources.iter().map(|source| (source.index, source.document, source.passages)).collect()
    }

    #[test]
    fn what_does_not_fit_the_price_is_not_quoted() {
        let of = B256::repeat_byte;
        let passages = || vec![passage(1, 60, 0), passage(2, 60, 0), passage(3, 40, 0)];
        assert_eq!(selected(passages(), 100), [(1, of(1), 1), (2, of(3), 1)]);
        assert_eq!(selected(vec![passage(1, 51, 5_000)], 100), []);
        assert_eq!(selected(vec![passage(1, 50, 5_000)], 100), [(1, of(1), 1)]);
        assert_eq!(selected(vec![passage(1, 0, 6_000), passage(2, 0, 6_000)], 1), [(1, of(1), 1)]);
        assert_eq!(
            selected(vec![passage(1, 1, 0), passage(2, 1, 0), passage(3, 1, 0)], 9).len(),
            2
        );
    }

    #[test]
    fn one_document_is_one_source_and_a_grant_must_cover_the_use() {
        let twice = vec![passage(1, 1, 0), passage(1, 1, 0)];
        assert_eq!(selected(twice, 1), [(1, B256::repeat_byte(1), 2)]);
        let spoil: [fn(&mut Passage); 6] = [
            |passage| passage.grant.grantee = Address::ZERO,
            |passage| passage.grant.purpose = keccak256("train"),
            |passage| passage.grant.service = B256::repeat_byte(7),
            |passage| passage.grant.end = 50,
            |passage| passage.text = " \n".into(),
            |passage| passage.text = "x".repeat(1_001),
        ];
        for spoil in spoil {
            let mut passage = passage(1, 1, 0);
            spoil(&mut passage);
            assert_eq!(selected(vec![passage], 100), []);
        }
    }
}
