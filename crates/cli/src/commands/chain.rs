//! `vouch chain`: the embedded chain alone.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter},
    net::SocketAddr,
    path::Path,
};

use anyhow::Context;
use serde_json::json;
use vouch_chain::{Chain, Genesis};
use vouch_wallet::Wallet;

use crate::{
    arguments::{self, Blocks},
    config::Config,
    node,
    output::Output,
    serve,
};

pub(crate) const DEFAULT_LISTEN: SocketAddr = serve::loopback(8545);

pub(crate) async fn run(
    arguments: arguments::Chain,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let chain = match &arguments.genesis {
        Some(file) => node::open_of(data_dir, genesis(file)?)?,
        None => {
            let keys = data_dir.join("provider");
            let operator = Wallet::open_or_create(&keys, &crate::passphrase())?;
            node::open(data_dir, operator.address())?
        }
    };
    match arguments.blocks {
        Some(Blocks::Import { file }) => import(&chain, &file, output)?,
        Some(Blocks::Export { file, from, to }) => export(&chain, &file, from, to, output)?,
        None => {
            let listen = arguments.listen.or(config.chain.listen).unwrap_or(DEFAULT_LISTEN);
            listen_at(&chain, listen, output).await?;
        }
    }
    chain.close()?;
    Ok(())
}

async fn listen_at(chain: &Chain, listen: SocketAddr, output: Output) -> anyhow::Result<()> {
    let (listener, address) = serve::bind(listen, "--listen").await?;
    let url = format!("http://{address}");
    let end = serve::interrupted();
    output.ready(&json!({ "chain": url, "chainId": chain.chain_id() }), || {
        format!("chain {} listens on {url}, Ctrl-C ends it", chain.chain_id())
    })?;
    serve::until(listener, chain.router(), end).await
}

fn genesis(file: &Path) -> anyhow::Result<Genesis> {
    let json =
        fs::read(file).with_context(|| format!("--genesis {} cannot be read", file.display()))?;
    Genesis::from_json(&json).with_context(|| format!("--genesis {}", file.display()))
}

fn import(chain: &Chain, file: &Path, output: Output) -> anyhow::Result<()> {
    let why = || format!("{} cannot be imported", file.display());
    let blocks = BufReader::new(File::open(file).with_context(why)?);
    let bar = node::block_bar();
    let taken = chain.import(blocks, |progress| bar.set_position(progress.block));
    bar.finish_and_clear();
    let (taken, head) = (taken.with_context(why)?, *chain.subscribe_head().borrow());
    output.answer(&json!({ "imported": taken, "head": head }), || {
        format!("imported {taken} blocks, the newest is {head}")
    })
}

fn export(
    chain: &Chain,
    file: &Path,
    from: u64,
    to: Option<u64>,
    output: Output,
) -> anyhow::Result<()> {
    let why = || format!("{} cannot be written", file.display());
    // What is there stays until all is written.
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let blocks = File::create(&part).with_context(why)?;
    let numbers = from..=to.unwrap_or(u64::MAX);
    let written = chain.export(numbers, BufWriter::new(&blocks)).with_context(why)?;
    blocks.sync_all().with_context(why)?;
    fs::rename(&part, file).with_context(why)?;
    output.answer(&json!({ "exported": written }), || {
        format!("exported {written} blocks to {}", file.display())
    })
}
