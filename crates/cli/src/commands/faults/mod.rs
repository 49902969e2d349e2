//! `vouch faults`: proofs that a provider contradicted itself, and the stakes that they cost.

mod answer;
mod bond;
mod report;

use std::path::Path;

use alloy::providers::{DynProvider, Provider as _};
use alloy_primitives::Address;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use vouch_contracts::{bindings::Faults::FaultsInstance, economy};
use vouch_evidence::fault::Fault;

use super::contracts::governance;
use crate::{
    arguments::faults::{At, Faults},
    onchain,
    output::Output,
    provider::Keys,
};

/// A proof holds two receipts and two quotes, or two notes.
const MAX_PROOF_BYTES: u64 = 1 << 20;

pub(crate) async fn run(arguments: Faults, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    match arguments {
        Faults::Check { proof } => {
            let (fault, provider) = read(&proof)?;
            let value = json!({ "fault": name(&fault), "provider": provider });
            output.answer(&value, || format!("{} by {provider}: proven", name(&fault)))
        }
        Faults::Report { proof, at } => {
            let (fault, provider) = read(&proof)?;
            report::run(&Bench::open(&at, data_dir)?, &fault, provider, output).await
        }
        Faults::Show { provider, at } => {
            let bench = Bench::open(&at, data_dir)?;
            bond::show(&bench, provider.unwrap_or(bench.account), output).await
        }
        Faults::Answer { channel, receipt, at } => {
            let bench = Bench::open(&at, data_dir)?;
            answer::run(&bench, channel, receipt.as_deref(), data_dir, output).await
        }
        Faults::Bond { amount, at } => {
            bond::deposit(&Bench::open(&at, data_dir)?, amount, output).await
        }
        Faults::Unbond { amount, at } => {
            bond::start(&Bench::open(&at, data_dir)?, amount, output).await
        }
        Faults::Withdraw(at) => bond::withdraw(&Bench::open(&at, data_dir)?, output).await,
    }
}

/// A faults contract, and who speaks to it.
struct Bench {
    faults: Address,
    signing: DynProvider,
    account: Address,
}

impl Bench {
    fn open(at: &At, data_dir: &Path) -> anyhow::Result<Self> {
        let keys = Keys::open(data_dir)?;
        let account = keys.wallet.address();
        let reader = onchain::reader(at.on.chain.as_deref().unwrap_or(onchain::DEFAULT_CHAIN))?;
        let signing = onchain::signer(&reader, &keys.wallet)?;
        let faults = match at.faults {
            Some(faults) => faults,
            None => economy(&governance(&at.on, account))?.faults,
        };
        Ok(Self { faults, signing, account })
    }

    async fn chain(&self) -> anyhow::Result<u64> {
        Ok(self.signing.get_chain_id().await?)
    }

    /// The contract; an error if none stands there.
    async fn contract(&self) -> anyhow::Result<FaultsInstance<DynProvider>> {
        let code = self.signing.get_code_at(self.faults).await;
        if code.context("the chain does not answer: name it by --chain")?.is_empty() {
            bail!(
                "no faults contract stands at {}: name the one in the provider's document by \
                 --faults, or deploy it with `vouch contracts deploy`",
                self.faults
            );
        }
        Ok(FaultsInstance::new(self.faults, self.signing.clone()))
    }
}

/// Reads a proof and checks it.
fn read(path: &Path) -> anyhow::Result<(Fault, Address)> {
    let (shown, text) = (path.display(), bounded(path)?);
    let fault: Fault =
        serde_json::from_str(&text).with_context(|| format!("{shown} is no proof of a fault"))?;
    let provider = fault.verify().with_context(|| format!("{shown} proves nothing"))?;
    Ok((fault, provider))
}

fn bounded(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("{shown} cannot be read"))?.len();
    if size > MAX_PROOF_BYTES {
        bail!("{shown} has {size} bytes: a proof has at most {MAX_PROOF_BYTES}");
    }
    std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))
}

/// The fault's name in its JSON form.
fn name(fault: &Fault) -> String {
    let value = serde_json::to_value(fault).unwrap_or_default();
    value.get("fault").and_then(Value::as_str).unwrap_or("fault").to_owned()
}
