//! Embeds the contracts' bytecode, if they are built, so that the binary needs no files beside it.
//!
//! Reads forge's artefacts from `contracts/out` and MetaMask's bytecode from its npm package. If
//! any is missing, none of its group is embedded and the crate says so at run time; building Rust
//! never needs Node.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

/// Placed in a genesis, without a constructor. Field of `Artefacts`, contract.
const GENESIS: [(&str, &str); 5] = [
    ("token", "TestDollar"),
    ("settlement", "BatchSettlement"),
    ("collector", "ERC3009DepositCollector"),
    ("anchor", "CheckpointAnchor"),
    ("multicall", "Multicall3"),
];

/// Deployed by transactions. Field of `EconomyCode`, contract.
const ECONOMY: [(&str, &str); 10] = [
    ("consent", "ConsentRegistry"),
    ("lineage", "LineageRegistry"),
    ("vault", "RoyaltyVault"),
    ("contributions", "ContributionRoot"),
    ("parameters", "ProtocolParameters"),
    ("votes", "VouchVotes"),
    ("governor", "VouchGovernor"),
    ("keys", "KeyRegistry"),
    ("faults", "Faults"),
    ("spend_per_period", "SpendPerPeriodEnforcer"),
];

/// MetaMask's Delegation Framework (MIT-0 or Apache-2.0). Field of `EconomyCode`, contract.
const METAMASK: [(&str, &str); 14] = [
    ("delegation_manager", "DelegationManager"),
    ("delegator", "EIP7702StatelessDeleGator"),
    ("allowed_targets", "AllowedTargetsEnforcer"),
    ("allowed_methods", "AllowedMethodsEnforcer"),
    ("allowed_calldata", "AllowedCalldataEnforcer"),
    ("exact_calldata", "ExactCalldataEnforcer"),
    ("timestamp", "TimestampEnforcer"),
    ("limited_calls", "LimitedCallsEnforcer"),
    ("erc20_transfer_amount", "ERC20TransferAmountEnforcer"),
    ("erc20_period_transfer", "ERC20PeriodTransferEnforcer"),
    ("native_period_transfer", "NativeTokenPeriodTransferEnforcer"),
    ("value_lte", "ValueLteEnforcer"),
    ("redeemer", "RedeemerEnforcer"),
    ("nonce", "NonceEnforcer"),
];

fn main() -> Result<(), Failure> {
    let contracts = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../contracts");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let forge = |contract: &str| contracts.join(format!("out/{contract}.sol/{contract}.json"));
    let metamask = |contract: &str| {
        let package = "node_modules/@metamask/delegation-abis/dist/bytecode";
        contracts.join(format!("{package}/{contract}.cjs"))
    };

    let genesis = group(&GENESIS, forge, |contract, path| {
        let (creation, runtime) = forge_code(path, contract, true)?;
        fs::write(out.join(format!("{contract}.creation")), creation)?;
        fs::write(out.join(format!("{contract}.runtime")), runtime)?;
        Ok(format!(
            "Code {{ creation: include_bytes!(\"{contract}.creation\"), \
             runtime: include_bytes!(\"{contract}.runtime\") }}"
        ))
    })?;
    let creation = |contract: &str, code: Vec<u8>| -> Result<String, Failure> {
        fs::write(out.join(format!("{contract}.creation")), code)?;
        Ok(format!("include_bytes!(\"{contract}.creation\")"))
    };
    let ours = group(&ECONOMY, forge, |contract, path| {
        creation(contract, forge_code(path, contract, false)?.0)
    })?;
    let metamasks =
        group(&METAMASK, metamask, |contract, path| creation(contract, script_code(path)?))?;

    let economy = ours.zip(metamasks).map(|(ours, theirs)| format!("{ours}{theirs}"));
    let text = format!(
        "const EMBEDDED: Option<Artefacts> = {};\nconst ECONOMY: Option<EconomyCode> = {};\n",
        value("Artefacts", genesis),
        value("EconomyCode", economy),
    );
    fs::write(out.join("artefacts.rs"), text)?;
    Ok(())
}

/// The fields of one struct, or `None` if a file is missing.
fn group(
    contracts: &[(&str, &str)],
    path: impl Fn(&str) -> PathBuf,
    embed: impl Fn(&str, &Path) -> Result<String, Failure>,
) -> Result<Option<String>, Failure> {
    // Cargo runs this again while a file listed here is missing: that is how it sees a first build.
    for (_, contract) in contracts {
        println!("cargo::rerun-if-changed={}", path(contract).display());
    }
    if !contracts.iter().all(|(_, contract)| path(contract).is_file()) {
        return Ok(None);
    }
    let mut fields = String::new();
    for (field, contract) in contracts {
        fields.push_str(&format!("{field}: {},\n", embed(contract, &path(contract))?));
    }
    Ok(Some(fields))
}

fn value(name: &str, fields: Option<String>) -> String {
    fields.map_or("None".to_owned(), |fields| format!("Some({name} {{\n{fields}}})"))
}

/// Creation and runtime code of forge's artefact.
fn forge_code(
    artefact: &Path,
    contract: &str,
    of_genesis: bool,
) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let json: Value = serde_json::from_slice(&fs::read(artefact)?)?;
    let is_whole = |name: &str| {
        json["deployedBytecode"][name].as_object().is_none_or(serde_json::Map::is_empty)
    };
    // Where no constructor runs, nothing may be left to fill in.
    if of_genesis && !is_whole("immutableReferences") {
        return Err(format!("{contract} has immutables; a genesis cannot hold it").into());
    }
    if !is_whole("linkReferences") {
        return Err(
            format!("{contract} has unlinked libraries; make their functions internal").into()
        );
    }
    let code = |key: &str| {
        let hex = json[key]["object"]
            .as_str()
            .ok_or_else(|| format!("{} holds no {key}", artefact.display()))?;
        decode_hex(hex)
    };
    Ok((code("bytecode")?, code("deployedBytecode")?))
}

/// The one long hexadecimal string of a script of MetaMask's package.
fn script_code(script: &Path) -> Result<Vec<u8>, Failure> {
    let text = fs::read_to_string(script)?;
    let hex = text
        .split('"')
        .find(|literal| literal.len() > 100 && literal.starts_with("0x"))
        .ok_or_else(|| {
            format!("{} holds no bytecode; pin the package's version", script.display())
        })?;
    decode_hex(hex)
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
