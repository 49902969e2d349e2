//! A question through the `vouch connect` that runs: it has the wallet, and pays.

use std::path::Path;

use anyhow::{Context, bail};
use reqwest::{Client, Response};
use vouch_buyer::Question;
use vouch_core::bundle::Bundle;
use vouch_evidence::{Options, Verdict, verify};
use vouch_wire::{
    openai::{Chunk, ErrorBody, ModelList},
    sse::{Event, Parser},
    vouch::{Acknowledgement, RECEIPT_EVENT},
};

use super::Asked;
use crate::{
    http::{get_bytes, get_json},
    output::{Output, printable},
    tokenizer,
};

/// The first chunk carries the prompt's ids.
const MAX_EVENT_BYTES: usize = 8 << 20;

/// The model that a question is put to: the one that it names, if that is sold, or the cheapest.
pub(crate) async fn model(url: &str, question: &Question) -> anyhow::Result<String> {
    let client = Client::builder().no_proxy().build()?;
    let list: ModelList = get_json(&client, &format!("{url}/v1/models")).await?;
    match question.named() {
        Some(named) if list.data.iter().any(|model| model.id == named) => Ok(named),
        Some(named) => bail!("the provider sells no {} at acceptable terms", printable(&named)),
        None => cheapest(list, question.sourced),
    }
}

/// Asks at `url`, such as `http://127.0.0.1:4021`, for `most` atomic units at most.
pub(crate) async fn ask(
    url: &str,
    question: &Question,
    most: u128,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<Asked> {
    let model = model(url, question).await?;
    put(url, &model, question, most, data_dir, output).await
}

/// The same, of what [`model`] found.
pub(crate) async fn put(
    url: &str,
    model: &str,
    question: &Question,
    most: u128,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<Asked> {
    let client = Client::builder().no_proxy().build()?;
    let response = client
        .post(format!("{url}/v1/chat/completions"))
        .header("content-type", "application/json")
        .header("x-vouch", "1")
        .header("x-vouch-max-charge", most.to_string())
        .body(question.body(model))
        .send()
        .await
        .with_context(|| format!("the vouch connect at {url} cannot be reached"))?;
    let mut stream = Stream { output, ..Stream::default() };
    stream.read(response).await?;
    let receipt = stream.receipt.context("the answer came with no receipt")?.receipt.digest();
    let wait_s = question.patience.as_secs();
    let bundle = format!("{url}/vouch/bundles/{receipt}?wait_s={wait_s}");
    let bundle = get_bytes(&client, &bundle).await?;
    let bundle = vouch_evidence::read(std::str::from_utf8(&bundle)?)?;
    let verdict = checked(&bundle, data_dir);
    let tree = match bundle.terms.sources {
        Some(_) => {
            let tree = format!("{url}/vouch/trees/{receipt}?wait_s={wait_s}");
            let tree = get_bytes(&client, &tree).await?;
            Some(vouch_evidence::read_tree(std::str::from_utf8(&tree)?)?)
        }
        None => None,
    };
    Ok(Asked { text: stream.text, bundle, tree, verdict, vouchers: None, cut: stream.cut })
}

fn checked(bundle: &Bundle, data_dir: &Path) -> Verdict {
    let held = tokenizer::kept(data_dir, bundle);
    let recount = held.as_ref().map(|held| held.recount(bundle));
    let options =
        Options { detokenizer: recount.as_ref().map(|recount| recount as _), ..Options::default() };
    verify(bundle, &options).verdict
}

fn cheapest(list: ModelList, sourced: bool) -> anyhow::Result<String> {
    let price = |model: &vouch_wire::openai::Model| {
        model.vouch.as_ref().map_or(u128::MAX, |info| info.terms.prices.output)
    };
    let kind = |model: &vouch_wire::openai::Model| match &model.vouch {
        Some(info) => !info.embeddings && info.terms.sources.is_some() == sourced,
        None => !sourced,
    };
    let cheapest = list.data.into_iter().filter(kind).min_by_key(price);
    cheapest.map(|model| model.id).with_context(|| match sourced {
        true => "the provider sells no model with sources at acceptable terms",
        false => "the provider sells no model at acceptable terms",
    })
}

/// What has come of an answer.
#[derive(Default)]
struct Stream {
    output: Output,
    text: String,
    receipt: Option<Acknowledgement>,
    cut: Option<String>,
}

impl Stream {
    async fn read(&mut self, mut response: Response) -> anyhow::Result<()> {
        if !response.status().is_success() {
            let status = response.status();
            let body: Option<ErrorBody> = response.json().await.ok();
            match body {
                Some(body) => bail!("{}", printable(&body.error.message)),
                None => bail!("vouch connect answered {status}"),
            }
        }
        let mut parser = Parser::new(MAX_EVENT_BYTES);
        while let Some(bytes) = response.chunk().await.context("the answer broke off")? {
            for event in parser.push(&bytes)? {
                self.take(&event)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &Event) -> anyhow::Result<()> {
        if event.name.as_deref() == Some(RECEIPT_EVENT) {
            self.receipt = Some(serde_json::from_str(&event.data)?);
        } else if event.data == "[DONE]" || event.name.is_some() {
            // Nothing to show.
        } else if let Ok(chunk) = serde_json::from_str::<Chunk>(&event.data) {
            let choice = chunk.choices.into_iter().next();
            let delta = choice.and_then(|choice| choice.delta?.content).unwrap_or_default();
            self.output.piece(&delta);
            self.text.push_str(&delta);
        } else {
            let error: ErrorBody = serde_json::from_str(&event.data)?;
            let message = printable(&error.error.message);
            // An error after the receipt says why the answer was cut; before it, that there is none.
            if self.receipt.is_none() {
                bail!("{message}");
            }
            self.cut = Some(message);
        }
        Ok(())
    }
}
