//! From a proof to the contract that punishes it.

use alloy::{
    eips::BlockId,
    network::TransactionBuilder as _,
    providers::Provider as _,
    rpc::types::TransactionRequest,
    sol_types::{SolCall as _, SolEvent as _, SolValue as _},
};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use anyhow::{Context, bail};
use serde_json::json;
use vouch_contracts::{
    bindings::{
        BondVault::{BondVaultInstance, Slashed},
        Faults::{
            Evidence, Logged, Proven, SignedRoot, reportBrokenPromiseCall, reportDoubleIndexCall,
            reportDoubleSequenceCall, reportSplitLogCall, reportWrongChargeCall,
        },
    },
    fault_evidence,
};
use vouch_core::{
    commitment::canonical_json,
    log::{
        Checkpoint,
        note::{Note, eip712_key_id},
    },
};
use vouch_evidence::fault::{Fault, Promised};

use super::{Bench, name};
use crate::{money::Dollars, output::Output};

/// Where a report cannot be estimated: the block that an estimate sees may be the commitment's own.
/// No terms that [`vouch_core::terms::Terms::check`] lets pass need more.
const REPORT_GAS: u64 = 4_000_000;

pub(super) async fn run(
    bench: &Bench,
    fault: &Fault,
    provider: Address,
    output: Output,
) -> anyhow::Result<()> {
    let contract = bench.contract().await?;
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).context("the system gives no random bytes")?;
    let data = call(fault, provider, salt.into())?;
    let commitment = keccak256((bench.account, data.clone()).abi_encode_params());
    let sent = contract.commit(commitment).send().await.context("the commitment was refused")?;
    let mined = sent.get_receipt().await.context("the commitment is not seen on the chain")?;
    if !mined.status() {
        bail!("the commitment to the report failed: transaction {}", mined.transaction_hash);
    }
    let request = TransactionRequest::default()
        .with_from(bench.account)
        .with_to(bench.faults)
        .with_input(data);
    let estimate = bench.signing.estimate_gas(request.clone()).block(BlockId::pending()).await;
    // A quarter more: what the vault writes depends on what is in it by then.
    let gas = estimate.map_or(REPORT_GAS, |gas| gas.saturating_add(gas / 4));
    let sent = bench.signing.send_transaction(request.clone().with_gas_limit(gas)).await;
    let receipt = sent
        .context("the report was refused")?
        .get_receipt()
        .await
        .context("the report is not seen on the chain")?;
    if !receipt.status() {
        // What is said now was true then: a fault does not go away.
        bench.signing.call(request).await.with_context(|| {
            format!("the contract takes this {} for no fault, or for a known one", name(fault))
        })?;
        bail!("the report failed: transaction {}", receipt.transaction_hash);
    }
    let logs = || receipt.logs().iter().map(|log| &log.inner);
    let proven =
        logs().find_map(|log| Proven::decode_log(log).ok()).context("no fault is logged")?;
    let slashed = logs().find_map(|log| Slashed::decode_log(log).ok());
    let (reward, burnt) = slashed.map_or_else(Default::default, |log| (log.reward, log.burnt));
    let vault = contract.vault().call().await.context("the chain does not answer")?;
    let vault = BondVaultInstance::new(vault, bench.signing.clone());
    let left = vault.bonds(provider).call().await.context("the chain does not answer")?.stake;
    let value = json!({
        "fault": name(fault), "id": proven.fault, "provider": provider, "reward": reward.to_string(),
        "burnt": burnt.to_string(), "stake": left.to_string(),
        "transaction": receipt.transaction_hash,
    });
    output.answer(&value, || {
        format!(
            "{} by {provider} is proven: fault {}\n  {} for this machine's key (`vouch faults \
             withdraw`), {} burnt, {} left of its stake",
            name(fault),
            proven.fault,
            Dollars(reward.saturating_to()),
            Dollars(burnt.saturating_to()),
            Dollars(left),
        )
    })
}

/// The contract's call that proves this fault.
fn call(fault: &Fault, provider: Address, salt: B256) -> anyhow::Result<Bytes> {
    Ok(match fault {
        Fault::SplitLog { first, second, .. } => {
            let (checkpoint, first) = signed_root(first, provider)?;
            let (_, second) = signed_root(second, provider)?;
            let Checkpoint { origin, size, .. } = checkpoint;
            reportSplitLogCall { provider, origin, size, first, second, _5: salt }.abi_encode()
        }
        Fault::DoubleSequence { first, second } => {
            let (first, second) = (evidence(first), evidence(second));
            reportDoubleSequenceCall { first, second, _2: salt }.abi_encode()
        }
        Fault::DoubleIndex { first, second } => reportDoubleIndexCall {
            first: evidence(first),
            firstTerms: canonical_json(&first.terms)?.into(),
            second: evidence(second),
            secondTerms: canonical_json(&second.terms)?.into(),
            _4: salt,
        }
        .abi_encode(),
        Fault::BrokenPromise { receipt, checkpoint, leaf, path } => {
            let (held, checkpoint) = signed_root(checkpoint, provider)?;
            reportBrokenPromiseCall {
                evidence: evidence(receipt),
                terms: canonical_json(&receipt.terms)?.into(),
                logged: Logged { size: held.size, checkpoint, leaf: *leaf, path: path.clone() },
                _3: salt,
            }
            .abi_encode()
        }
        Fault::WrongCharge { receipt } => reportWrongChargeCall {
            evidence: evidence(receipt),
            terms: canonical_json(&receipt.terms)?.into(),
            _2: salt,
        }
        .abi_encode(),
        Fault::Omission { .. } => bail!(
            "an omission is shown to the contract that pays: `vouch data earnings --challenge`"
        ),
    }
    .into())
}

fn evidence(promised: &Promised) -> Evidence {
    fault_evidence(&promised.receipt, &promised.promise)
}

/// A note's checkpoint with the signature that a contract checks.
fn signed_root(note: &str, provider: Address) -> anyhow::Result<(Checkpoint, SignedRoot)> {
    let note = Note::parse(note)?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    let id = eip712_key_id(&checkpoint.origin, provider);
    let signature = note.by(&checkpoint.origin, id).next();
    let signature = signature.context("the note has no secp256k1 signature of the provider")?;
    let signed = SignedRoot { root: checkpoint.root, signature: Bytes::copy_from_slice(signature) };
    Ok((checkpoint, signed))
}
