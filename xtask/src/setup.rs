//! What must be there before the workspace compiles or its tests run.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::Path,
};

use anyhow::Context;

use crate::steps::{command, quiet, require, root};

/// The contracts' artefacts: `contracts/out`, from pinned npm packages.
pub(crate) fn contracts() -> anyhow::Result<()> {
    node()?;
    let inputs = ["package-lock.json", "foundry.toml", "tools", "src", "test"];
    once("contracts", &inputs, "node_modules", || {
        quiet("contracts: packages", &mut command("npm", &INSTALL, "contracts"))?;
        quiet("contracts: build", &mut command("npm", &["run", "build"], "contracts"))
    })
}

/// The foreign clients that the tests use, unmodified: from npm and PyPI.
pub(crate) fn clients() -> anyhow::Result<()> {
    node()?;
    python()?;
    let inputs = ["package-lock.json", "requirements.txt", "croissant.txt"];
    once("tests/clients", &inputs, "node_modules", || {
        quiet("test clients: npm", &mut command("npm", &INSTALL, "tests/clients"))?;
        let create = ["-m", "venv", "--clear", ".venv"];
        quiet("test clients: venv", &mut command("python3", &create, "tests/clients"))?;
        let install = ["install", "--quiet", "--requirement", "requirements.txt"];
        quiet("test clients: PyPI", &mut command(".venv/bin/pip", &install, "tests/clients"))?;
        let croissant = ["install", "--quiet", "--no-deps", "--requirement", "croissant.txt"];
        quiet("test clients: Croissant", &mut command(".venv/bin/pip", &croissant, "tests/clients"))
    })
}

/// Not `npm ci`: it insists on every platform's optional package, and registries that mirror others
/// may lack some. The lock file's versions and hashes hold all the same, and it is left as it is.
pub(crate) const INSTALL: [&str; 5] =
    ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"];

fn node() -> anyhow::Result<()> {
    require("node", "builds the contracts", "apt-get install nodejs npm")?;
    require("npm", "builds the contracts", "apt-get install npm")
}

pub(crate) fn python() -> anyhow::Result<()> {
    require(
        "python3",
        "fetches the default model",
        "apt-get install python3 python3-pip python3-venv",
    )
}

/// Does `work`, which fills `into`, unless it was done for inputs of the same content.
pub(crate) fn once(
    directory: &str,
    inputs: &[&str],
    into: &str,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let directory = root().join(directory);
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        hash(&directory.join(input), &mut hasher)?;
    }
    let digest = format!("{:016x}", hasher.finish());
    let stamp = directory.join(into).join(".vouch-setup");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == digest) {
        return Ok(());
    }
    work()?;
    fs::write(&stamp, digest).with_context(|| format!("{} cannot be written", stamp.display()))
}

fn hash(path: &Path, hasher: &mut DefaultHasher) -> anyhow::Result<()> {
    let context = || format!("{} cannot be read", path.display());
    if path.is_dir() {
        let mut children: Vec<_> =
            fs::read_dir(path).with_context(context)?.collect::<Result<_, _>>()?;
        children.sort_by_key(fs::DirEntry::file_name);
        return children.iter().try_for_each(|child| hash(&child.path(), hasher));
    }
    path.file_name().hash(hasher);
    fs::read(path).with_context(context)?.hash(hasher);
    Ok(())
}
