//! A use of data: opened, under its grant, credited by rule, promised and logged with its answer.

use serde_json::Value;
use vouch_core::{
    B256,
    bundle::{self, Bundle},
    commitment,
    data_use::{self, DataUse, WHOLE},
    receipt::{Kind, Receipt, Status, Tier},
    sourced::Source,
};

use super::{Shape, training, until_broken};
use crate::{
    Link, LinkName, Options,
    links::{self, Outcome, absent, ensure, proven},
};

pub(super) fn links<'a>(
    shape: &Shape<'_>,
    used: &DataUse,
    options: &dyn Fn(&Bundle) -> Options<'a>,
) -> Vec<Link> {
    if let Some(under) = shape.training(&used.receipt.parent) {
        return training::under(used, under);
    }
    let answer = shape.answer(&used.receipt.parent);
    let known = answer.map_or_else(Options::default, options);
    let mut checks = vec![
        (LinkName::Receipt, answered(shape, used)),
        (LinkName::Grant, grant(used)),
        (LinkName::Credit, credit(used, answer)),
    ];
    match answer {
        Some(answer) => {
            let logged = as_logged(used, answer);
            checks.push((LinkName::Promise, promise(&logged, answer, &known)));
            checks.push((LinkName::Inclusion, links::log::inclusion(&logged, &known)));
            checks.push((LinkName::Checkpoint, links::log::checkpoint(&logged, &known)));
        }
        None => {
            let trust = "that the log is the provider's: the answer, whose terms name its key, is \
                         not here";
            checks.push((LinkName::Promise, promised(used)));
            checks.push((LinkName::Inclusion, absent("its log is not known", trust)));
        }
    }
    until_broken(&known, checks)
}

fn answered(shape: &Shape<'_>, used: &DataUse) -> Outcome {
    let parent = &used.receipt.parent;
    ensure(!parent.is_zero(), "it belongs to no answer")?;
    let answer = shape.answer(parent).is_some() || !shape.has(parent);
    ensure(answer, "it belongs to something that is no answer")?;
    receipt(used)
}

pub(super) fn receipt(used: &DataUse) -> Outcome {
    let receipt = &used.receipt;
    receipt.check()?;
    ensure(receipt.kind == Kind::DataUse, "it is no receipt of a use of data")?;
    let stream = data_use::stream(&receipt.domain, receipt.provider, receipt.payer);
    ensure(receipt.channel == stream, "it is in another stream than its owner's")?;
    ensure(receipt.sequence > 0, "its sequence is 0, but streams count from 1")?;
    let before = receipt.cumulative.checked_sub(receipt.charge);
    ensure(before.is_some(), "its stream's total is below its own credit")?;
    let first = receipt.sequence > 1 || before == Some(0);
    ensure(first, "it is its stream's first, but the total is not its credit")?;
    let paid = match receipt.status {
        Status::Complete => true,
        Status::Failed => receipt.charge == 0,
        Status::StoppedByPayer | Status::OutOfFunds => false,
    };
    ensure(paid, "its status is none of a use of data")?;
    ensure(is_bare(receipt), "it has what a use of data has not")?;
    proven(
        format!(
            "use {} of this owner's data, {} credited in all",
            receipt.sequence, receipt.cumulative
        ),
        "",
    )
}

fn is_bare(receipt: &Receipt) -> bool {
    let hashes =
        [receipt.response, receipt.tokens, receipt.sampling, receipt.seed, receipt.commitment];
    let usage = &receipt.usage;
    hashes.iter().all(B256::is_zero)
        && (receipt.flags, usage.cached, usage.output) == (0, 0, 0)
        && usage.input > 0
        && receipt.tier == Tier::Signed
}

pub(super) fn grant(used: &DataUse) -> Outcome {
    let DataUse { receipt, nonce, dataset, document, grant, .. } = used;
    let opened = data_use::request(nonce, dataset, document);
    ensure(opened == receipt.request, "the receipt is for another document, dataset or nonce")?;
    ensure(receipt.model == *dataset, "the receipt names another dataset")?;
    ensure(receipt.terms == grant.id(), "the receipt names another grant")?;
    ensure(grant.dataset == *dataset, "the grant is for another dataset")?;
    ensure(grant.owner == receipt.payer, "the receipt credits another than the grant's owner")?;
    ensure(grant.grantee == receipt.provider, "the grant is another provider's")?;
    proven(
        match used.document == WHOLE {
            true => "this set was used under this grant",
            false => "this document was used under this grant",
        },
        "the chain, that the owner gave the grant, and whether it was revoked",
    )
}

/// The number of the source that this is the use of.
pub(super) fn source(used: &DataUse, answer: &Bundle, sources: &[Source]) -> Option<u32> {
    let same = |source: &&Source| {
        commitment::source_nonce(&answer.nonce, source.index) == used.nonce
            && source.dataset == used.dataset
            && source.document == used.document
            && source.terms == used.grant
            && source.credited == used.receipt.charge
            && u64::from(source.passages) == used.receipt.usage.input
            && source.revoked == (used.receipt.status == Status::Failed)
    };
    sources.iter().find(same).map(|source| source.index)
}

fn credit(used: &DataUse, answer: Option<&Bundle>) -> Outcome {
    let DataUse { receipt, grant, .. } = used;
    let revoked = receipt.status == Status::Failed;
    let Some(answer) = answer else {
        let least = revoked || receipt.charge >= grant.price;
        ensure(least, "less is credited than the grant's price")?;
        return absent(
            "the answer is not here",
            "the provider's word for the charge that the grant has a share of",
        );
    };
    let parent = &answer.receipt;
    let same = (receipt.domain, receipt.provider, receipt.agent, receipt.asset, receipt.time)
        == (parent.domain, parent.provider, parent.agent, parent.asset, parent.time);
    ensure(same, "provider, token, chain or time are not the answer's")?;
    let owed = if revoked { 0 } else { grant.credit(parent.charge)? };
    ensure(receipt.charge == owed, "the credit does not follow from grant and charge")?;
    let sources = links::answer::sources(answer)?.unwrap_or_default();
    ensure(
        source(used, answer, &sources).is_some(),
        "the answer does not list this use among its sources",
    )?;
    let (price, share) = (grant.price, grant.share_bps);
    match revoked {
        true => proven(
            "quoted, and not credited",
            "the chain, that the grant was revoked before the answer's time",
        ),
        false => proven(
            format!("{owed} = {price} for the use and {share} / 10000 of {}", parent.charge),
            "",
        ),
    }
}

/// A bundle with this receipt in the answer's place: the log's links are the same.
fn as_logged(used: &DataUse, answer: &Bundle) -> Bundle {
    Bundle {
        version: bundle::VERSION,
        nonce: B256::ZERO,
        resource: String::new(),
        request: String::new(),
        response: Value::Null,
        receipt: used.receipt.clone(),
        terms: answer.terms.clone(),
        channel: answer.channel,
        voucher: answer.voucher,
        authorization: None,
        promise: used.promise.clone(),
        log: used.log.clone(),
        anchor: None,
        model: Value::Null,
    }
}

fn promise(logged: &Bundle, answer: &Bundle, options: &Options<'_>) -> Outcome {
    let same = logged.promise.promise == answer.promise.promise
        && logged.promise.signature == answer.promise.signature;
    ensure(same, "it was not committed with its answer")?;
    links::log::promise(logged, options)
}

fn promised(used: &DataUse) -> Outcome {
    let DataUse { receipt, promise, .. } = used;
    promise.verify(receipt.leaf_hash(), &receipt.domain, receipt.provider)?;
    proven(
        format!("the provider signed this receipt and promised log index {}", promise.index),
        "the provider's clock; a receipt that never comes into the log is a provable fault",
    )
}
