//! `vouch chain`: the embedded chain alone.

use std::{net::SocketAddr, path::Path};

use serde_json::json;
use vouch_wallet::Wallet;

use crate::{arguments, config::Config, node, output::Output, serve};

pub(crate) const DEFAULT_LISTEN: SocketAddr = serve::loopback(8545);

pub(crate) async fn run(
    arguments: arguments::Chain,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let operator = Wallet::open_or_create(&data_dir.join("provider"), &crate::passphrase())?;
    let chain = node::open(data_dir, operator.address())?;
    let listen = arguments.listen.or(config.chain.listen).unwrap_or(DEFAULT_LISTEN);
    let (listener, address) = serve::bind(listen, "--listen").await?;
    let url = format!("http://{address}");
    let end = serve::interrupted();
    output.ready(&json!({ "chain": url, "chainId": chain.chain_id() }), || {
        format!("chain {} listens on {url}, Ctrl-C ends it", chain.chain_id())
    })?;
    serve::until(listener, chain.router(), end).await?;
    chain.close()?;
    Ok(())
}
