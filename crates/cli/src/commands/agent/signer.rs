//! `vouch agent signer`: the process that holds the agent's key.

use std::{fs::File, os::fd::AsFd, path::Path, sync::Arc};

use anyhow::ensure;
use serde_json::json;
use vouch_agent::signer::{Signer, Surroundings, serve, serve_lines};
use vouch_contracts::Deployment;
use vouch_core::domain::Domain;

use super::{MANDATE, agent_key, chain, home, log::AgentLog, read_grant, socket};
use crate::{
    arguments::agent, config::Config, output::Output, serve::interrupted, time::unix_milliseconds,
};

pub(super) async fn run(
    arguments: agent::Signer,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let home = home(data_dir, &arguments.which.name)?;
    let path = arguments.mandate.unwrap_or_else(|| home.join(MANDATE));
    let grant = read_grant(&path)?;
    let (provider, chain_id) = chain(&arguments.which, config).await?;
    ensure!(
        chain_id == grant.mandate.chain,
        "the chain is {chain_id} and the mandate is for chain {}: use --chain",
        grant.mandate.chain
    );
    let key = Arc::new(agent_key(&home)?);
    let domain = Domain { chain: chain_id, settlement: Deployment::genesis(chain_id).settlement };
    let log = Arc::new(AgentLog::open(&home, domain, key, Some(provider.clone()))?);
    let surroundings =
        Surroundings { provider, clock: Arc::new(unix_milliseconds), log: log.clone(), domain };
    let hash = grant.mandate.hash()?;
    // One journal for each mandate, and each part of one that was handed on: what was used of one
    // says nothing of another.
    let part = grant.hand.as_ref().map(|hand| format!("-{}-{}", hand.permission, hand.before));
    let state = home.join("signer").join(format!("{hash}{}", part.unwrap_or_default()));
    let signer = Arc::new(Signer::open(&state, grant, agent_key(&home)?, surroundings)?);
    let publishing = tokio::spawn(log.clone().publish());
    let end = interrupted();
    let ended = if arguments.stdio {
        tokio::select! {
            ended = serve_lines(&signer, stream(std::io::stdin())?, stream(std::io::stdout())?) => {
                ended.map_err(anyhow::Error::from)
            }
            () = end => Ok(()),
        }
    } else {
        let socket = arguments.socket.unwrap_or_else(|| socket(&home));
        let ready = json!({ "socket": socket, "mandate": hash, "agent": signer.grant().agent() });
        output.ready(&ready, || {
            format!(
                "{} acts for {}\nlistens at {}, Ctrl-C ends it",
                signer.grant().agent(),
                signer.grant().mandate.owner,
                socket.display()
            )
        })?;
        tokio::select! {
            ended = serve(signer.clone(), &socket) => ended.map_err(anyhow::Error::from),
            () = end => Ok(()),
        }
    };
    publishing.abort();
    log.checkpoint().await?;
    ended
}

/// A standard stream as a file: reads and writes run where blocking is allowed.
fn stream(standard: impl AsFd) -> anyhow::Result<tokio::fs::File> {
    let owned = standard.as_fd().try_clone_to_owned()?;
    Ok(tokio::fs::File::from_std(File::from(owned)))
}
