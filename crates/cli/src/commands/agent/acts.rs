//! `vouch agent log`: what an agent did, and the proof of one act for others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::B256;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use vouch_agent::signer::ClientError;
use vouch_contracts::Deployment;
use vouch_core::{
    act::{self, Act},
    bundle::Bundle,
    data_use::DataUse,
    domain::Domain,
    receipt::Status,
    tree::{Node, TreeBundle},
};

use super::{MANDATE, agent_key, client, home, log::AgentLog, read_grant};
use crate::{
    arguments::agent,
    money::Dollars,
    output::{Output, printable},
};

pub(super) async fn run(
    arguments: &agent::AgentLog,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let home = home(data_dir, &arguments.name)?;
    ensure!(
        home.join("log").is_dir(),
        "the agent {:?} has no log yet: `vouch agent signer` begins it",
        arguments.name
    );
    let acts = match client(arguments.signer.as_ref(), &home).acts().await {
        Ok(acts) => acts,
        Err(ClientError::Absent { .. }) => read(arguments.mandate.as_deref(), &home).await?,
        Err(error) => return Err(error.into()),
    };
    match (arguments.bundle, &arguments.out) {
        (Some(root), Some(out)) => {
            let others = others(data_dir, &home).await?;
            export((&acts, &others), root, out, data_dir, output)
        }
        _ => list(&acts, output),
    }
}

/// The log that no signer holds.
async fn read(named: Option<&Path>, home: &Path) -> anyhow::Result<Vec<Act>> {
    let mandate = match named {
        Some(named) => named.to_owned(),
        None => mandate(home)?,
    };
    let chain = read_grant(&mandate)?.mandate.chain;
    let domain = Domain { chain, settlement: Deployment::genesis(chain).settlement };
    let log = AgentLog::open(home, domain, Arc::new(agent_key(home)?), None)
        .context("the agent's log cannot be read: end the `vouch agent signer` that holds it")?;
    log.read(0, usize::MAX).await
}

/// What the other agents of this machine did: those who delegated to this one, and its sub-agents.
/// An agent whose log cannot be read is left out.
async fn others(data_dir: &Path, home: &Path) -> anyhow::Result<Vec<Act>> {
    let agents = data_dir.join("agent");
    let cannot = || format!("{} cannot be read", agents.display());
    let mut acts = Vec::new();
    for agent in fs::read_dir(&agents).with_context(cannot)? {
        let other = agent.with_context(cannot)?.path();
        if other == home || !other.join("log").is_dir() {
            continue;
        }
        let read = match client(None, &other).acts().await {
            Err(ClientError::Absent { .. }) => read(None, &other).await,
            told => told.map_err(Into::into),
        };
        match read {
            Ok(more) => acts.extend(more),
            Err(error) => {
                let log = other.display();
                tracing::warn!("what the agent in {log} did is left out: {error:#}");
            }
        }
    }
    Ok(acts)
}

/// The mandate in force here, else the last one that was: a log outlives its mandates.
fn mandate(home: &Path) -> anyhow::Result<PathBuf> {
    let current = home.join(MANDATE);
    if current.exists() {
        return Ok(current);
    }
    let cannot = || format!("{} cannot be read", home.display());
    let mut ended = Vec::new();
    for file in fs::read_dir(home).with_context(cannot)? {
        let path = file.with_context(cannot)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("mandate.") && name.ends_with(".revoked.json") {
            ended.push(path);
        }
    }
    Ok(ended.into_iter().max().unwrap_or(current))
}

fn list(acts: &[Act], output: Output) -> anyhow::Result<()> {
    let listed = acts.iter().map(entry).collect::<anyhow::Result<Vec<_>>>()?;
    output.answer(&listed, || {
        let lines: Vec<_> = acts.iter().map(line).collect();
        if lines.is_empty() { "no acts yet".into() } else { lines.join("\n") }
    })
}

fn status(act: &Act) -> &'static str {
    if act.receipt.status == Status::Complete { "complete" } else { "failed" }
}

fn entry(act: &Act) -> anyhow::Result<Value> {
    let receipt = &act.receipt;
    Ok(json!({
        "receipt": receipt.digest(),
        "index": act.promise.index,
        "time": receipt.time,
        "kind": act.kind,
        "status": status(act),
        "charge": receipt.charge.to_string(),
        "asset": receipt.asset,
        "parent": receipt.parent,
        "reliedOn": act::relied_on(&act.intent)?,
        "intent": act.intent,
        "outcome": act.outcome,
    }))
}

fn line(act: &Act) -> String {
    let text = |key: &str| act.outcome[key].as_str().map(printable);
    let came = match (text("reason"), act.outcome["mined"]["transaction"].as_str()) {
        (Some(reason), _) => format!("{}: {reason}", text("code").unwrap_or_default()),
        (None, Some(transaction)) => format!("in {}", printable(transaction)),
        (None, None) => "without a transaction".to_owned(),
    };
    let receipt = &act.receipt;
    let mut line = format!(
        "{} {} {} ({})\n  {came}",
        receipt.digest(),
        printable(&act.kind),
        text("status").unwrap_or_default(),
        status(act)
    );
    let intent = |key: &str| act.intent[key].as_str().map(printable);
    let dollars = |key| intent(key).and_then(|text| text.parse().ok()).map(Dollars);
    if let Some(aside) = dollars("maxCharge") {
        line += &format!(
            "\n  up to {aside} for the question {}",
            intent("request").unwrap_or_default()
        );
    }
    if act.kind == act::ANSWER
        && let Some(charge) = dollars("charge")
    {
        let note = intent("note").map(|note| format!("; {note}")).unwrap_or_default();
        line += &format!("\n  it cost {charge}{note}");
    }
    if receipt.charge > 0 {
        line += &format!("\n  spent {} of {}", receipt.charge, receipt.asset);
    }
    for digest in act::relied_on(&act.intent).unwrap_or_default() {
        line += &format!("\n  relied on {digest}");
    }
    line
}

fn export(
    acts: (&[Act], &[Act]),
    root: B256,
    out: &Path,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let tree = tree(acts, root, &data_dir.join("buyer").join("bundles"))?;
    fs::write(out, serde_json::to_vec_pretty(&tree)?)
        .with_context(|| format!("{} cannot be written", out.display()))?;
    let said = json!({ "out": out, "nodes": tree.nodes.len(), "absent": tree.absent });
    output.answer(&said, || {
        let absent: Vec<_> = tree.absent.iter().map(|digest| format!("\n  {digest}")).collect();
        let absent = match absent.len() {
            0 => String::new(),
            many => format!(
                "\n{many} receipts that it refers to are not on this machine:{}",
                absent.concat()
            ),
        };
        format!("{} receipts written to {}{absent}", tree.nodes.len(), out.display())
    })
}

/// An act of this agent with all that it leads to: the answers and acts that it relied on, what was
/// done under it, and the acts that it was made under itself.
fn tree((own, others): (&[Act], &[Act]), root: B256, bought: &Path) -> anyhow::Result<TreeBundle> {
    ensure!(
        own.iter().any(|act| act.receipt.digest() == root),
        "{root} is no act of this agent: see `vouch agent log`"
    );
    let here: BTreeMap<B256, &Act> =
        own.iter().chain(others).map(|act| (act.receipt.digest(), act)).collect();
    let mut nodes = BTreeMap::new();
    let mut waiting = vec![root];
    // Of what it was made under, nothing is handed out but what led to it.
    let mut above = here.get(&root).map(|act| act.receipt.parent);
    while let Some((digest, act)) = above.and_then(|digest| Some((digest, *here.get(&digest)?))) {
        nodes.insert(digest, Node::Act(Box::new(act.clone())));
        waiting.extend(act::relied_on(&act.intent)?);
        above = Some(act.receipt.parent);
    }
    while let Some(digest) = waiting.pop() {
        if nodes.contains_key(&digest) {
            continue;
        }
        if let Some(&act) = here.get(&digest) {
            waiting.extend(act::relied_on(&act.intent)?);
            let under = here.iter().filter(|(_, other)| other.receipt.parent == digest);
            waiting.extend(under.map(|(other, _)| *other));
            nodes.insert(digest, Node::Act(Box::new(act.clone())));
        } else if let Some((bundle, uses)) = answer(bought, digest)? {
            nodes.insert(digest, Node::Answer(Box::new(bundle)));
            let uses = uses.into_iter().map(|used| {
                let digest = used.receipt.digest();
                (digest, Node::Use(Box::new(used)))
            });
            nodes.extend(uses);
        }
    }
    let mut absent = BTreeSet::new();
    for node in nodes.values() {
        let mut named = vec![node.receipt().parent];
        if let Node::Act(act) = node {
            named.extend(act::relied_on(&act.intent)?);
        }
        absent.extend(named.into_iter().filter(|to| !to.is_zero() && !nodes.contains_key(to)));
    }
    Ok(TreeBundle::new(root, nodes.into_values().collect(), absent.into_iter().collect()))
}

/// The bundle of an answer that this machine bought, with the uses of data in it.
fn answer(bought: &Path, digest: B256) -> anyhow::Result<Option<(Bundle, Vec<DataUse>)>> {
    let Some((path, text)) = file(bought, &format!("{digest}.json"))? else { return Ok(None) };
    let bundle = vouch_evidence::read(&text)
        .with_context(|| format!("{} proves nothing", path.display()))?;
    ensure!(
        bundle.receipt.digest() == digest,
        "{} is the bundle of another answer",
        path.display()
    );
    let uses = match file(bought, &format!("uses-{digest}.json"))? {
        Some((path, text)) => serde_json::from_str(&text)
            .with_context(|| format!("{} holds no uses of data", path.display()))?,
        None => Vec::new(),
    };
    Ok(Some((bundle, uses)))
}

fn file(directory: &Path, name: &str) -> anyhow::Result<Option<(PathBuf, String)>> {
    let path = directory.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}
