//! `vouch agent mandate delegate`: part of a mandate, for a sub-agent.

use std::{fs, path::Path};

use alloy_primitives::{Address, B256};
use anyhow::{Context, bail, ensure};
use serde_json::json;
use vouch_agent::{
    act::Request,
    intent::Intent,
    mandate::{Mandate, Permission},
    signer::Outcome,
};

use super::{MANDATE, agent_key, client, home, read_grant};
use crate::{arguments::agent::Delegate, money::Dollars, output::Output};

pub(super) async fn run(
    arguments: Delegate,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let home = home(data_dir, &arguments.name)?;
    let mandate = read_grant(&home.join(MANDATE))?.mandate;
    let (to, file) = match (arguments.sub.parse::<Address>(), arguments.out) {
        (Ok(to), Some(out)) => (to, out),
        (Ok(to), None) => bail!("say with --out where the mandate of {to} is to be written"),
        (Err(_), out) => {
            let sub = super::home(data_dir, &arguments.sub)?;
            (agent_key(&sub)?.address(), out.unwrap_or_else(|| sub.join(MANDATE)))
        }
    };
    ensure!(!file.exists(), "{} exists: move it away, or use --out", file.display());
    let permission = permission(&mandate, to)?;
    let Dollars(dollars) = arguments.dollars;
    let intent = Intent::Delegate { permission, limit: arguments.limit, dollars };
    let (relied_on, strategy, parent) = (Vec::new(), B256::ZERO, B256::ZERO);
    let request = Request { intent, relied_on, strategy, parent, evidence: None };
    let reply = client(arguments.signer.as_ref(), &home).act(&request).await?;
    let grant = match reply.outcome {
        Outcome::Settled { grant: Some(grant), .. } => grant,
        Outcome::Refused { code, reason } => bail!("the signer refused ({code}): {reason}"),
        other => bail!("the signer handed nothing on: {other:?}"),
    };
    let receipt =
        reply.receipt.context("the signer could not log the act, and hands nothing on")?;
    let written = serde_json::to_vec_pretty(&grant)?;
    fs::write(&file, written).with_context(|| format!("{} cannot be written", file.display()))?;
    let value = json!({
        "agent": to,
        "limit": arguments.limit.to_string(),
        "dollars": dollars.to_string(),
        "file": file,
        "receipt": receipt,
    });
    output.answer(&value, || {
        format!(
            "{to} may spend {} in all, and {} on answers\n  kept in {}\n  act {receipt}",
            arguments.limit,
            Dollars(dollars),
            file.display(),
        )
    })
}

/// The permission to hand on to this sub-agent.
fn permission(mandate: &Mandate, sub: Address) -> anyhow::Result<usize> {
    let named = mandate
        .permissions
        .iter()
        .position(|permission| matches!(permission, Permission::Delegate { to, .. } if *to == sub));
    named.with_context(|| format!("the mandate has no permission to delegate to {sub}"))
}
