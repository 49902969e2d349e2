//! Embeds the contracts' bytecode, if they are built, so that the binary needs no files beside it.
//!
//! Reads forge's artefacts from `contracts/out`. If any is missing, none is embedded and the crate
//! says so at run time; building Rust never needs Node.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

/// Field of `Artefacts`, contract.
const CONTRACTS: [(&str, &str); 5] = [
    ("token", "TestDollar"),
    ("settlement", "BatchSettlement"),
    ("collector", "ERC3009DepositCollector"),
    ("anchor", "CheckpointAnchor"),
    ("multicall", "Multicall3"),
];

fn main() -> Result<(), Failure> {
    let built = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../contracts/out");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let artefact = |contract| built.join(format!("{contract}.sol/{contract}.json"));

    // Cargo runs this again while a file listed here is missing: that is how it sees a first build.
    for (_, contract) in CONTRACTS {
        println!("cargo::rerun-if-changed={}", artefact(contract).display());
    }

    let complete = CONTRACTS.iter().all(|(_, contract)| artefact(contract).is_file());
    let mut fields = String::new();
    if complete {
        for (field, contract) in CONTRACTS {
            embed(&artefact(contract), contract, &out)?;
            fields.push_str(&format!(
                "{field}: Code {{ creation: include_bytes!(\"{contract}.creation\"), \
                 runtime: include_bytes!(\"{contract}.runtime\") }},\n"
            ));
        }
    }
    let value =
        if complete { format!("Some(Artefacts {{\n{fields}}})") } else { "None".to_owned() };
    fs::write(out.join("artefacts.rs"), format!("const EMBEDDED: Option<Artefacts> = {value};\n"))?;
    Ok(())
}

fn embed(artefact: &Path, contract: &str, out: &Path) -> Result<(), Failure> {
    let json: Value = serde_json::from_slice(&fs::read(artefact)?)?;
    // The runtime code is used where no constructor runs: nothing may be left to fill in.
    let is_whole = |name: &str| {
        json["deployedBytecode"][name].as_object().is_none_or(serde_json::Map::is_empty)
    };
    if !is_whole("immutableReferences") || !is_whole("linkReferences") {
        return Err(format!(
            "{contract} has immutables or unlinked libraries; a genesis cannot hold it"
        )
        .into());
    }
    for (key, kind) in [("bytecode", "creation"), ("deployedBytecode", "runtime")] {
        let hex = json[key]["object"]
            .as_str()
            .ok_or_else(|| format!("{} holds no {key}", artefact.display()))?;
        fs::write(out.join(format!("{contract}.{kind}")), decode_hex(hex)?)?;
    }
    Ok(())
}

fn decode_hex(hex: &str) -> Result<Vec<u8>, Failure> {
    let digits = hex.strip_prefix("0x").unwrap_or(hex).as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return Err(format!("bytecode of {} hexadecimal digits", digits.len()).into());
    }
    digits
        .chunks_exact(2)
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}
