//! What an answer cost, by its receipt.

use alloy_primitives::{Address, B256};
use vouch_core::receipt::Kind;

use super::{Outcome, Refusal, Taken, record::Book};
use crate::{
    act::{Evidence, Request},
    mandate::Permission,
};

/// Settles a question: the rest of what was set aside comes back. A receipt settles one.
pub(super) fn settle(
    book: &mut Book,
    permission: &Permission,
    question: &B256,
    charge: u128,
    request: &Request,
) -> Result<(Outcome, (u128, Address)), Refusal> {
    let (act, aside) = *book.questions.get(question).ok_or(Refusal::NoQuestion)?;
    let evidence = request.evidence.as_deref().ok_or(Refusal::NotProven("no receipt is shown"))?;
    let answer = proven(evidence, charge)?;
    if let Permission::Ask { providers, .. } = permission
        && !(providers.is_empty() || providers.contains(&evidence.receipt.provider))
    {
        return Err(Refusal::NotProven(
            "the receipt is by a provider that the mandate does not name",
        ));
    }
    if !request.relied_on.contains(&answer) {
        return Err(Refusal::NotProven("the receipt is not among those that it relied on"));
    }
    if book.answers.contains(&answer) {
        return Err(Refusal::NotProven("the receipt has settled another question"));
    }
    let dollars = aside.checked_sub(charge).ok_or(Refusal::OverAside { charge, aside })?;
    let settled = book.answered(act, Taken { dollars, ..Taken::default() }, answer);
    settled.map_err(|error| Refusal::Journal(error.to_string()))?;
    let outcome =
        Outcome::Settled { mined: None, simulated: Vec::new(), moved: Vec::new(), grant: None };
    // The answer's own receipt has the charge: counted here it would be counted twice.
    Ok((outcome, (0, Address::ZERO)))
}

fn proven(evidence: &Evidence, charge: u128) -> Result<B256, Refusal> {
    let Evidence { receipt, promise } = evidence;
    receipt.check().map_err(|_| Refusal::NotProven("the receipt is malformed"))?;
    if !matches!(receipt.kind, Kind::Inference | Kind::Embedding) {
        return Err(Refusal::NotProven("the receipt is of no answer"));
    }
    if receipt.charge != charge {
        return Err(Refusal::NotProven("the receipt says another charge"));
    }
    let signed = promise.verify(receipt.leaf_hash(), &receipt.domain, receipt.provider);
    signed.map_err(|_| Refusal::NotProven("the receipt is not signed by its provider"))?;
    Ok(receipt.digest())
}
