//! `vouch agent delegate`.

use std::{path::Path, time::Duration};

use anyhow::Context;
use serde_json::json;
use vouch_agent::{
    govern::{Delegate, Policy},
    portfolio::Venues,
    run::Error,
};

use super::actor::{Actor, outcome};
use crate::{arguments::agent::AgentDelegate, config::Config, output::Output, serve};

/// Between looks for proposals.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(
    arguments: &AgentDelegate,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let policy = Policy::read(&arguments.policy)?;
    let (acting, file) = (&arguments.acting, &arguments.policy);
    let actor =
        Actor::open(acting, file, (Venues::default(), policy.hash()), config, data_dir).await?;
    let Actor { chain, chain_id, account, executor, adviser, journal } = actor;
    let mut delegate = Delegate::open(
        policy,
        (chain_id, account),
        journal,
        chain,
        executor.as_ref(),
        Some(&adviser),
        arguments.from_block,
    )?;
    delegate.check().await.context(
        "the policy's contracts were not found on this chain: `vouch contracts show` says where \
         they stand, and --chain names another",
    )?;
    let end = serve::interrupted();
    tokio::pin!(end);
    if !arguments.once {
        output.ready(&json!({ "account": account }), || {
            format!("votes with what is delegated to {account}\nCtrl-C ends it.")
        })?;
    }
    loop {
        match delegate.step().await {
            Ok(voted) if arguments.once => {
                let votes: Vec<_> = voted
                    .iter()
                    .map(|vote| json!({ "order": vote.order, "outcome": vote.outcome }))
                    .collect();
                return output.answer(&votes, || {
                    let lines = voted.iter().map(|vote| outcome(&vote.order, &vote.outcome));
                    let lines: Vec<String> = lines.collect();
                    if lines.is_empty() { "nothing to vote on".into() } else { lines.join("\n") }
                });
            }
            Ok(voted) => {
                voted.iter().for_each(|vote| output.line(outcome(&vote.order, &vote.outcome)))
            }
            Err(Error::Market(error)) if !arguments.once => {
                tracing::warn!(%error, "trying again");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = &mut end => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
