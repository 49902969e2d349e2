//! Small, bounded reads from other people's servers.

use anyhow::{Context, bail, ensure};
use serde::{Serialize, de::DeserializeOwned};

use crate::output::printable;

/// The most characters of a stranger's refusal that are shown.
const MAX_SHOWN: usize = 300;
/// Nothing that a command reads in one piece is larger than a bundle.
const MAX_BYTES: usize = vouch_evidence::MAX_BUNDLE_BYTES;

/// The body of a successful GET, at most 32 MiB.
pub(crate) async fn get_bytes(client: &reqwest::Client, url: &str) -> anyhow::Result<Vec<u8>> {
    let mut answer =
        client.get(url).send().await.with_context(|| format!("{url} cannot be reached"))?;
    if !answer.status().is_success() {
        bail!("{url} answered {}", answer.status());
    }
    bounded(&mut answer, url, MAX_BYTES).await
}

/// The JSON of a successful GET.
pub(crate) async fn get_json<T: DeserializeOwned>(
    client: &reqwest::Client,
    url: &str,
) -> anyhow::Result<T> {
    let body = get_bytes(client, url).await?;
    serde_json::from_slice(&body)
        .with_context(|| format!("{url} did not answer with the JSON expected"))
}

/// The JSON that a POST of JSON is answered with, in at most `max_bytes`; a refusal in its own words.
pub(crate) async fn post_json<T: DeserializeOwned>(
    client: &reqwest::Client,
    url: &str,
    body: &impl Serialize,
    max_bytes: usize,
) -> anyhow::Result<T> {
    let sent = client.post(url).json(body).send().await;
    let mut answer = sent.with_context(|| format!("{url} cannot be reached"))?;
    let status = answer.status();
    let bytes = bounded(&mut answer, url, max_bytes).await?;
    if !status.is_success() {
        bail!("{url} refuses with {status}: {}", refusal(&bytes));
    }
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{url} did not answer with the JSON expected"))
}

/// The sentence of an error body, or its beginning where it has none.
fn refusal(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let said = value["error"]["message"].as_str().unwrap_or(&text);
    printable(&said.chars().take(MAX_SHOWN).collect::<String>())
}

/// A body of at most `max_bytes`.
pub(crate) async fn bounded(
    answer: &mut reqwest::Response,
    url: &str,
    max_bytes: usize,
) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        ensure!(
            body.len() + chunk.len() <= max_bytes,
            "{url} answered with more than {max_bytes} bytes"
        );
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
