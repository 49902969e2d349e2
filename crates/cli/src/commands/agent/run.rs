//! `vouch agent run` on a chain.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use serde_json::json;
use vouch_agent::{
    portfolio::Portfolio,
    run::{Error, Live, Progress},
};

use super::{
    actor::{Actor, outcome},
    adviser::follows,
};
use crate::{arguments::agent::AgentRun, config::Config, output::Output, serve};

/// Between looks for a new block, and after a chain did not answer.
const LOOK: Duration = Duration::from_millis(250);
const AGAIN: Duration = Duration::from_secs(2);

pub(super) async fn run(
    arguments: &AgentRun,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let portfolio = Portfolio::read(&arguments.portfolio)?;
    let file = &arguments.portfolio;
    let actor = Actor::open(
        &arguments.acting,
        file,
        (portfolio.venues, portfolio.hash()),
        config,
        data_dir,
    )
    .await?;
    ensure!(
        actor.chain_id == portfolio.chain_id,
        "the portfolio is for chain {}, and this is chain {}",
        portfolio.chain_id,
        actor.chain_id
    );
    let Actor { chain, account, executor, adviser, journal, .. } = actor;
    let mut live =
        Live::open(portfolio, account, journal, chain, executor.as_ref(), Some(&adviser))?;
    let end = serve::interrupted();
    tokio::pin!(end);
    output.ready(&json!({ "account": account, "entries": live.entries().len() }), || {
        format!(
            "trades for {account}; what it did before: {} entries\nCtrl-C ends it.",
            live.entries().len()
        )
    })?;
    let mut seen = 0u64;
    loop {
        // An order that has begun is carried out: an interrupt is heard between steps.
        let wait = match live.step().await {
            Ok(Progress::Waiting) => LOOK,
            Ok(Progress::Ordered(order, came)) => {
                output.line(outcome(&order, &came));
                seen = seen.saturating_add(1);
                Duration::ZERO
            }
            Ok(Progress::Asked(question, advice)) => {
                let (model, answer) = (&question.model, advice.answer.as_deref());
                output.line(match answer {
                    Some(text) => {
                        format!("asked {model}; it answered {text:?}: {}", follows(&question, text))
                    }
                    None => format!("asked {model}; there is no answer"),
                });
                seen = seen.saturating_add(1);
                Duration::ZERO
            }
            Ok(_) => {
                seen = seen.saturating_add(1);
                Duration::ZERO
            }
            Err(Error::Market(error)) => {
                tracing::warn!(%error, "trying again");
                AGAIN
            }
            Err(error) => return Err(error.into()),
        };
        if live.is_over() {
            output.line("the stop-loss has sold everything: the run is over");
            return Ok(());
        }
        if arguments.blocks.is_some_and(|blocks| seen >= blocks) {
            return Ok(());
        }
        tokio::select! {
            () = &mut end => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}
