//! `vouch data serve`.

use std::{path::Path, time::Duration};

use serde_json::json;
use tokio::sync::watch;
use vouch_data::serve::{Server, router};

use super::owner::{Owner, clock};
use crate::{arguments::data::Serve, output::Output, serve};

/// Between looks at the chain; a request looks, too.
const POLL: Duration = Duration::from_secs(1);

pub(super) async fn run(arguments: Serve, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let owner = Owner::open(&arguments.on, data_dir).await?;
    let datasets = owner.library.list()?.len();
    let consents = owner.place.consents().await?;
    let (listener, address) = serve::bind(arguments.listen, "--listen").await?;
    let url = arguments.url.unwrap_or_else(|| format!("http://{address}"));
    let place = (owner.place.chain, owner.place.economy.consent);
    let server = Server::new(owner.library, consents.clone(), place, url.clone(), clock())?;
    let (stop, stopped) = watch::channel(false);
    let following = tokio::spawn(async move { consents.follow(POLL, stopped).await });
    let end = serve::interrupted();
    output.ready(&json!({ "url": url, "address": address, "datasets": datasets }), || {
        format!("{datasets} datasets are served at {url} to those who hold a grant, Ctrl-C ends it")
    })?;
    serve::until(listener, router(server), end).await?;
    stop.send_replace(true);
    Ok(following.await?)
}
