//! Questions to a model through a `vouch connect`: paid and receipted there.

use std::time::Duration;

use alloy::primitives::B256;
use anyhow::{Context, bail};
use futures_util::future::{BoxFuture, FutureExt};
use reqwest::Client;
use serde_json::{Value, json};
use vouch_agent::{
    run::Adviser,
    strategy::{Advice, Question},
};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// A letter needs few.
const MAX_TOKENS: u32 = 4;
const MAX_BYTES: usize = 1 << 20;

/// An OpenAI endpoint that pays.
pub(super) struct Connected {
    client: Client,
    url: String,
}

impl Connected {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { client, url: format!("{}/v1/chat/completions", url.trim_end_matches('/')) })
    }

    async fn answer(&self, question: &Question) -> anyhow::Result<Advice> {
        let body = json!({
            "model": question.model,
            "messages": [{ "role": "user", "content": question.text }],
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        });
        let mut response =
            self.client.post(&self.url).json(&body).send().await.context("it cannot be reached")?;
        if !response.status().is_success() {
            bail!("it answered {}", response.status());
        }
        let receipt = response.headers().get("x-vouch-receipt");
        let receipt: Option<B256> =
            receipt.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_BYTES {
                bail!("its answer is longer than {MAX_BYTES} bytes");
            }
        }
        let answer: Value = serde_json::from_slice(&bytes)?;
        let text = answer["choices"][0]["message"]["content"].as_str();
        let text = text.context("its answer has no text")?;
        Ok(Advice::new(question.id, text.to_owned(), receipt))
    }
}

impl Adviser for Connected {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Advice> {
        async move {
            self.answer(question).await.unwrap_or_else(|error| {
                tracing::warn!(url = self.url, "no advice: {error:#}");
                Advice::none(question.id)
            })
        }
        .boxed()
    }
}
