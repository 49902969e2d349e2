//! `vouch agent mandate`: signed by the owner, held by the chain.

use std::{fs, path::Path};

use alloy_primitives::{Address, U256};
use anyhow::{Context, bail};
use serde_json::json;
use vouch_agent::mandate::{
    Contracts, Grant, Mandate, Permission, Status, install, revoke, status,
};
use vouch_contracts::{economy, economy::Governance};
use vouch_wallet::Wallet;

use super::{MANDATE, agent_key, chain, hand, home, read_grant};
use crate::{
    arguments::agent::{Mandate as Command, Owner, Which},
    config::Config,
    money::Dollars,
    output::Output,
    time::unix_seconds,
};

pub(super) async fn run(
    command: Command,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        Command::New { file, which, owner, days, agent, gas } => {
            let (provider, chain_id) = chain(&which, config).await?;
            let home = home(data_dir, &which.name)?;
            let path = home.join(MANDATE);
            if path.exists() {
                bail!(
                    "{} exists: end it with `vouch agent mandate revoke`, or use another --name",
                    path.display()
                );
            }
            let owner = owner_key(&owner, data_dir)?;
            let agent = match agent {
                Some(agent) => agent,
                None => agent_key(&home)?.address(),
            };
            let now = unix_seconds();
            let expiry = now.saturating_add(days.saturating_mul(86_400));
            let mandate = read(&file, &[owner.address(), agent], chain_id, [now, expiry])?;
            // Where the framework stands does not depend on who governs.
            let economy = economy::economy(&Governance::development(Address::ZERO))?;
            let grant = Grant::sign(mandate, Contracts::of(&economy, chain_id), &owner, now)?;
            let mined = install(&provider, &owner, &grant, U256::from(gas)).await?;
            fs::create_dir_all(&home)
                .with_context(|| format!("cannot create {}", home.display()))?;
            fs::write(&path, serde_json::to_vec_pretty(&grant)?)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            let hash = grant.mandate.hash()?;
            let value = json!({
                "mandate": hash,
                "owner": owner.address(),
                "agent": agent,
                "file": path,
                "transaction": mined.transaction_hash,
            });
            output.answer(&value, || {
                format!(
                    "mandate {hash}\n  {agent} may act for {} until {}\n  in force by {}\n  kept in {}",
                    owner.address(),
                    grant.mandate.expiry,
                    mined.transaction_hash,
                    path.display()
                )
            })
        }
        Command::Delegate(arguments) => hand::run(arguments, data_dir, output).await,
        Command::Show { which } => show(&which, config, data_dir, output).await,
        Command::Revoke { which, owner } => {
            let (provider, _) = chain(&which, config).await?;
            let path = home(data_dir, &which.name)?.join(MANDATE);
            let grant = read_grant(&path)?;
            let owner = owner_key(&owner, data_dir)?;
            let mined = revoke(&provider, &owner, &grant).await?;
            let ended = path.with_extension(format!("{}.revoked.json", grant.mandate.start));
            fs::rename(&path, &ended)
                .with_context(|| format!("{} cannot be renamed", path.display()))?;
            let value = json!({
                "mandate": grant.mandate.hash()?,
                "transaction": mined.transaction_hash,
                "file": ended,
            });
            output.answer(&value, || {
                format!("the mandate has ended, in transaction {}", mined.transaction_hash)
            })
        }
    }
}

fn owner_key(owner: &Owner, data_dir: &Path) -> anyhow::Result<Wallet> {
    let passphrase = crate::passphrase();
    Ok(match &owner.key {
        Some(file) => Wallet::open_file(file, &passphrase)?,
        None => Wallet::open_or_create(&data_dir.join("buyer"), &passphrase)?,
    })
}

/// The file's mandate, with what it leaves out filled in.
fn read(
    file: &Path,
    [owner, agent]: &[Address; 2],
    chain: u64,
    [start, expiry]: [u64; 2],
) -> anyhow::Result<Mandate> {
    let text =
        fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut table: toml::Table =
        toml::from_str(&text).with_context(|| format!("{} is not TOML", file.display()))?;
    let number = |value: u64| i64::try_from(value).map(toml::Value::Integer);
    let defaults = [
        ("owner", toml::Value::String(owner.to_string())),
        ("agent", toml::Value::String(agent.to_string())),
        ("chain", number(chain)?),
        ("start", number(start)?),
        ("expiry", number(expiry)?),
    ];
    for (name, value) in defaults {
        table.entry(name).or_insert(value);
    }
    let mandate: Mandate =
        table.try_into().with_context(|| format!("{} is no mandate", file.display()))?;
    if mandate.owner != *owner || mandate.agent != *agent {
        bail!(
            "{} names owner {} and agent {}, and the keys here are {owner} and {agent}",
            file.display(),
            mandate.owner,
            mandate.agent
        );
    }
    Ok(mandate)
}

async fn show(
    which: &Which,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let (provider, _) = chain(which, config).await?;
    let grant = read_grant(&home(data_dir, &which.name)?.join(MANDATE))?;
    let left = status(&provider, &grant).await?;
    let value = json!({ "mandate": grant.mandate, "left": left });
    output.answer(&value, || text(&grant.mandate, &left))
}

fn text(mandate: &Mandate, left: &Status) -> String {
    let state = match (left.revoked, left.expired, left.installed) {
        (true, ..) => "ended by its owner",
        (_, true, _) => "expired",
        (.., false) => "not in force: the owner's account has no code for it",
        _ => "in force",
    };
    let mut lines = vec![
        format!("mandate {}, {state}", left.hash),
        format!("  owner {}", mandate.owner),
        format!("  agent {}", mandate.agent),
        format!("  until {}, {} of {} calls left", mandate.expiry, left.calls_left, mandate.calls),
    ];
    lines.extend(left.caps.iter().map(|cap| {
        format!("  {} of {} of {} left, renews at {}", cap.left, cap.amount, cap.token, cap.renews)
    }));
    let permissions = mandate.permissions.iter().enumerate();
    lines.extend(permissions.map(|(index, permission)| format!("  {index} {}", words(permission))));
    lines.join("\n")
}

fn words(permission: &Permission) -> String {
    match permission {
        Permission::Transfer { token, payees } => {
            let payees: Vec<String> = payees.iter().map(Address::to_string).collect();
            format!("transfer {token} to {}", payees.join(" or "))
        }
        Permission::Swap { router, sell, buy, fee, max_slippage_bps, max_impact_bps, .. } => {
            format!(
                "swap {sell} for {buy} at {router}, fee {fee}, slippage up to {max_slippage_bps} and \
             impact up to {max_impact_bps} basis points"
            )
        }
        Permission::Liquidity { manager, token0, token1, fee, .. } => {
            format!("provide {token0} and {token1} at {manager}, fee {fee}")
        }
        Permission::Vote { governor } => format!("vote at {governor}"),
        Permission::Ask { max_per_call, total, providers } => {
            let whom = match providers.len() {
                0 => String::new(),
                _ => format!(", of {providers:?} alone"),
            };
            format!("ask, up to {max_per_call} for an answer and {total} in all{whom}")
        }
        Permission::Delegate { to, token, limit, permissions, dollars } => {
            let answers = match dollars {
                0 => String::new(),
                dollars => format!(" and {} for answers", Dollars(*dollars)),
            };
            format!(
                "hand permissions {permissions:?} on to {to}, up to {limit} of {token}{answers}"
            )
        }
    }
}
