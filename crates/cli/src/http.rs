//! Small, bounded reads from other people's servers.

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

/// Nothing that a command reads in one piece is larger than a bundle.
const MAX_BYTES: usize = vouch_evidence::MAX_BUNDLE_BYTES;

/// The body of a successful GET, at most 32 MiB.
pub(crate) async fn get_bytes(client: &reqwest::Client, url: &str) -> anyhow::Result<Vec<u8>> {
    let mut answer =
        client.get(url).send().await.with_context(|| format!("{url} cannot be reached"))?;
    if !answer.status().is_success() {
        bail!("{url} answered {}", answer.status());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_BYTES {
            bail!("{url} answered with more than {MAX_BYTES} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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
