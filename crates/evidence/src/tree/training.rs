//! A training: opened, its pot shared out to the last unit, each set credited what its share says.

use alloy_primitives::{U256, keccak256};
use vouch_core::{
    B256,
    bundle::LogProof,
    commitment,
    data_use::{DataUse, TRAIN, WHOLE},
    log::note::Verifier,
    receipt::{Kind, Receipt, Status, Tier},
    training::{self, PARTS, Plan, Share, Shares, Training},
};

use super::{Shape, until_broken, used};
use crate::{
    Link, LinkName, Options, json,
    links::{self, Broken, Outcome, absent, ensure, proven},
};

pub(super) fn links(shape: &Shape<'_>, at: usize, training: &Training) -> Vec<Link> {
    let Training { receipt, log, .. } = training;
    let checks = [
        (LinkName::Receipt, self::receipt(training)),
        (LinkName::Manifest, manifest(training)),
        (LinkName::Shares, shares(training)),
        (LinkName::Sources, sources(shape, at, training)),
        (LinkName::Promise, promise(training)),
        (LinkName::Inclusion, inclusion(receipt, training.promise.index, log.as_ref())),
        (LinkName::Checkpoint, checkpoint(training, log.as_ref())),
    ];
    until_broken(&Options::default(), checks)
}

/// The links of a set's use under a training.
pub(super) fn under(used: &DataUse, under: &Training) -> Vec<Link> {
    let (receipt, log) = (&used.receipt, used.log.as_ref());
    let checks = [
        (LinkName::Receipt, used::receipt(used)),
        (LinkName::Grant, grant(used)),
        (LinkName::Credit, credit(used, under)),
        (LinkName::Promise, together(used, under)),
        (LinkName::Inclusion, inclusion(receipt, used.promise.index, log)),
        (LinkName::Checkpoint, checkpoint(under, log)),
    ];
    until_broken(&Options::default(), checks)
}

fn receipt(training: &Training) -> Outcome {
    let receipt = &training.receipt;
    receipt.check()?;
    ensure(receipt.kind == Kind::TrainingRound, "it is no receipt of a training")?;
    ensure(receipt.status == Status::Complete, "its status is none of a training")?;
    let no_channel = receipt.channel.is_zero() && (receipt.sequence, receipt.cumulative) == (0, 0);
    ensure(no_channel, "it is in a channel, but no channel pays for a training")?;
    let bare = [
        receipt.tokens,
        receipt.sampling,
        receipt.seed,
        receipt.commitment,
        receipt.terms,
        receipt.parent,
    ];
    let usage = &receipt.usage;
    let bare = bare.iter().all(B256::is_zero)
        && (receipt.flags, usage.input, usage.cached, usage.output) == (0, 0, 0, 0)
        && receipt.tier == Tier::Signed;
    ensure(bare, "it has what a training has not")?;
    proven("well formed", format!("that {} trained it for {}", receipt.provider, receipt.payer))
}

fn manifest(training: &Training) -> Outcome {
    let Training { receipt, nonce, manifest, .. } = training;
    ensure(json::is_exact(manifest), "the manifest has an integer above 2^53")?;
    let committed = training::manifest(nonce, manifest)?;
    ensure(committed == receipt.request, "the receipt is for another manifest or nonce")?;
    let plan = Plan::of(manifest)?;
    proven(
        format!("{} sets, {} to share out, as was written before", plan.sets.len(), plan.pot),
        "that the validation set is a fair one: its hash is in the manifest",
    )
}

/// The report is the receipt's, and its amounts are the pot's parts by its weights.
fn shares(training: &Training) -> Outcome {
    let Training { receipt, nonce, manifest, report, .. } = training;
    ensure(json::is_exact(report), "the report has an integer above 2^53")?;
    let committed = training::report(nonce, report)?;
    ensure(committed == receipt.response, "the receipt is for another report")?;
    let (plan, shares) = (Plan::of(manifest)?, Shares::of(report)?);
    ensure(shares.model == receipt.model, "the report is of another model")?;
    let same = shares.sets.iter().map(|share| share.set).eq(plan.sets.iter().copied());
    ensure(same, "the report's sets are not the manifest's")?;
    shared_out(&plan, &shares)?;
    let credited = shares.credited()?;
    ensure(credited == receipt.charge, "the charge is not what the sets are credited together")?;
    proven(
        format!("{credited} of {} credited, by the report's weights", plan.pot),
        "the trainer, that the weights follow from the data: whoever may read the sets repeats it",
    )
}

/// Every part is its quota rounded down, or one more, and nothing is left over.
fn shared_out(plan: &Plan, shares: &Shares) -> Result<(), Broken> {
    let sum = |amount: fn(&Share) -> u128| {
        let mut amounts = shares.sets.iter().map(amount);
        amounts.try_fold(0u128, u128::checked_add).ok_or("the report's sums exceed 128 bits")
    };
    let weights = sum(|share| share.weight)?;
    let amounts = sum(|share| share.amount)?;
    let worthless = (weights, amounts) == (0, 0);
    ensure(
        worthless || (weights, amounts) == (PARTS, plan.pot),
        "the pot is not shared out whole",
    )?;
    for share in &shares.sets {
        let product = U256::from(plan.pot).checked_mul(U256::from(share.weight));
        let quota = product.and_then(|product| product.checked_div(U256::from(PARTS)));
        let over = quota.and_then(|quota| U256::from(share.amount).checked_sub(quota));
        let fits = over.is_some_and(|over| over <= U256::from(1));
        ensure(fits, "a set's amount does not follow from pot and weight")?;
        ensure(share.weight > 0 || share.amount == 0, "a set of no weight is paid")?;
        ensure(share.examples > 0 || share.amount == 0, "a set of no examples is paid")?;
    }
    Ok(())
}

/// The number of the set that this is the use of.
fn number(used: &DataUse, under: &Training, shares: &[Share]) -> Option<u32> {
    let same = |number: &u32, share: &Share| {
        used.nonce == commitment::source_nonce(&under.nonce, *number)
            && (share.set.owner, share.set.dataset) == (used.grant.owner, used.dataset)
            && share.set.grant == used.grant.id()
            && share.examples == used.receipt.usage.input
            && share.credited() == used.receipt.charge
            && share.revoked == (used.receipt.status == Status::Failed)
    };
    let found = (0u32..).zip(shares).find(|(number, share)| same(number, share));
    found.map(|(number, _)| number)
}

/// Each set that had examples has its receipt.
fn sources(shape: &Shape<'_>, at: usize, training: &Training) -> Outcome {
    let shares = Shares::of(&training.report)?.sets;
    let uses = shape.uses(at);
    let found = uses.iter().filter_map(|used| number(used, training, &shares));
    let mut found: Vec<u32> = found.collect();
    found.sort_unstable();
    found.dedup();
    ensure(found.len() == uses.len(), "a use of data is of no set, or of one that has a receipt")?;
    let all = shares.iter().filter(|share| share.examples > 0).count();
    if found.len() < all {
        let finding = format!("{} of {all} sets have their receipt here", found.len());
        return absent(finding, "the trainer, that it logged the others");
    }
    proven(format!("each of {all} sets has its receipt"), "")
}

fn promise(training: &Training) -> Outcome {
    let Training { receipt, promise, .. } = training;
    promise.verify(receipt.leaf_hash(), &receipt.domain, receipt.provider)?;
    let due = promise.promise.merge_by;
    ensure(due >= receipt.time / 1000, "the promise was due before the receipt was made")?;
    proven(
        format!("the trainer signed this receipt and promised log index {}", promise.index),
        "the trainer's clock",
    )
}

fn inclusion(receipt: &Receipt, promised: u64, log: Option<&LogProof>) -> Outcome {
    match log {
        Some(log) => links::log::included(receipt.leaf_hash(), promised, log),
        None => absent("not in the log yet", "the promise"),
    }
}

fn checkpoint(training: &Training, log: Option<&LogProof>) -> Outcome {
    let Some(log) = log else { return absent("no checkpoint", "") };
    let key = Verifier::parse(&training.log_key)?;
    links::log::signed(log, &key, training.receipt.provider)
}

fn grant(used: &DataUse) -> Outcome {
    ensure(used.grant.purpose == keccak256(TRAIN), "the grant is not for training")?;
    ensure(used.document == WHOLE, "a training uses a set as a whole, not one document")?;
    used::grant(used)
}

fn credit(used: &DataUse, under: &Training) -> Outcome {
    let (receipt, parent) = (&used.receipt, &under.receipt);
    let same = (receipt.domain, receipt.provider, receipt.agent, receipt.asset, receipt.time)
        == (parent.domain, parent.provider, parent.agent, parent.asset, parent.time);
    ensure(same, "trainer, token, chain or time are not the training's")?;
    let shares = Shares::of(&under.report)?.sets;
    let number = number(used, under, &shares);
    ensure(number.is_some(), "the training's report has no such set with this credit")?;
    match receipt.status {
        Status::Failed => proven(
            "trained on, and not credited",
            "the chain, that the grant was revoked before the training's time",
        ),
        _ => proven(format!("{} is this set's part of the pot", receipt.charge), ""),
    }
}

/// One signature covers the training and what it credits.
fn together(used: &DataUse, under: &Training) -> Outcome {
    let DataUse { receipt, promise, .. } = used;
    let same =
        promise.promise == under.promise.promise && promise.signature == under.promise.signature;
    ensure(same, "it was not committed with its training")?;
    promise.verify(receipt.leaf_hash(), &receipt.domain, receipt.provider)?;
    proven(
        format!("the trainer signed this receipt and promised log index {}", promise.index),
        "the trainer's clock; a payout that leaves it out is a provable fault",
    )
}
