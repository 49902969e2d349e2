//! `vouch connect`: a local OpenAI endpoint that pays.

use std::{net::SocketAddr, path::Path};

use anyhow::ensure;
use serde_json::json;
use vouch_buyer::Connect;

use crate::{arguments, buyer, config::Config, endpoint::Endpoint, output::Output, serve};

const DEFAULT_LISTEN: SocketAddr = serve::loopback(4021);

pub(crate) async fn run(
    arguments: arguments::Connect,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let listen = arguments.listen.or(config.buyer.listen).unwrap_or(DEFAULT_LISTEN);
    ensure!(
        listen.ip().is_loopback(),
        "{listen} can be reached by others, and this endpoint spends your money without asking for \
         a key: listen on 127.0.0.1"
    );
    let provider = buyer::provider(&arguments.purchase, config);
    let buyer = buyer::open(arguments.purchase, config, data_dir)?;
    let (listener, address) = serve::bind(listen, "--listen").await?;
    let endpoint = Endpoint { url: format!("http://{address}"), provider };
    let _announced = endpoint.announce(data_dir)?;
    let url = format!("{}/v1", endpoint.url);
    let following = tokio::spawn(buyer.clone().background());
    let end = serve::interrupted();
    output.ready(&json!({ "url": url, "wallet": buyer.address() }), || {
        format!(
            "wallet {} pays for what any OpenAI client asks at\n  {url}   (any key)\nCtrl-C ends it.",
            buyer.address()
        )
    })?;
    serve::until(listener, Connect::new(buyer).router(), end).await?;
    following.abort();
    output.line("ended");
    Ok(())
}
