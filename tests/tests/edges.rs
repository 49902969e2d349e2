//! Holds the workspace to its architecture: only these edges between crates exist.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// From each crate to those it may depend on, without the `vouch-` prefix. `cli` may use any.
const EDGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("journal", &[]),
    ("evidence", &["core"]),
    ("contracts", &["core"]),
    ("wire", &["core"]),
    ("wallet", &["core"]),
    ("model", &["core"]),
    ("runs", &["journal"]),
    ("chain", &["core", "journal", "runs"]),
    ("store", &["core", "journal", "runs"]),
    // journal: what was sent and is not final must survive a restart.
    ("settle", &["core", "contracts", "store", "wallet", "journal"]),
    ("buyer", &["core", "evidence", "wire", "model", "contracts", "wallet", "journal"]),
    ("gateway", &["core", "evidence", "wire", "model", "store"]),
    // journal: what an agent has begun must survive it, and every durable write goes through there.
    ("agent", &["core", "contracts", "wallet", "buyer", "journal"]),
    ("data", &["core", "contracts", "wallet", "buyer"]),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// Dependencies of each of our crates on others of ours, tests' left out.
fn ours(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .filter_map(|package| {
            let name = package["name"].as_str()?.strip_prefix("vouch-")?.to_owned();
            let edges =
                package["dependencies"].as_array()?.iter().filter(|edge| edge["kind"] != "dev");
            let names = edges.filter_map(|edge| edge["name"].as_str()?.strip_prefix("vouch-"));
            Some((name, names.map(str::to_owned).collect()))
        })
        .collect()
}

#[test]
fn only_the_drawn_edges_exist() {
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, edges) in ours(&metadata()) {
        if matches!(name.as_str(), "benches" | "cli" | "simulation" | "tests") {
            continue;
        }
        let Some(allowed) = allowed.get(name.as_str()) else {
            wrong.push(format!("{name} is not drawn in EDGES"));
            continue;
        };
        let extra = edges.iter().filter(|edge| !allowed.contains(&edge.as_str()));
        wrong.extend(extra.map(|edge| format!("{name} -> {edge}")));
    }
    assert!(wrong.is_empty(), "edges that the architecture does not have: {wrong:?}");
}

#[test]
fn folder_and_crate_have_one_name() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let short = name.strip_prefix("vouch-");
        if let Some(short) =
            short.filter(|short| !matches!(*short, "benches" | "simulation" | "tests"))
        {
            let folder = format!("crates/{short}/Cargo.toml");
            assert!(manifest.ends_with(&folder), "{name} is in {manifest}");
        }
    }
}
