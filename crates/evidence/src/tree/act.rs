//! An agent's act: what it meant, what became of it, and what it handed on.

use vouch_core::{
    B256,
    act::{self, ANSWER, ASK, Act, Answered, Asked, DELEGATE, Delegation},
    commitment,
    log::{Checkpoint, merkle, note},
    receipt::{Kind, Status, Tier},
    tree::Node,
};

use super::{Shape, until_broken};
use crate::{
    Link, LinkName, Options, json,
    links::{Outcome, absent, ensure, log::stated, proven},
    report::printable,
};

pub(super) fn links(shape: &Shape<'_>, at: usize, act: &Act) -> Vec<Link> {
    let mut checks = vec![
        (LinkName::Receipt, receipt(act)),
        (LinkName::Intent, intent(act)),
        (LinkName::Outcome, outcome(act)),
        (LinkName::Promise, promise(act)),
        (LinkName::Inclusion, inclusion(act)),
        (LinkName::Checkpoint, checkpoint(act)),
    ];
    if act.kind == ANSWER && act.receipt.status == Status::Complete {
        checks.push((LinkName::Price, answered(shape, act)));
    }
    if act.kind == DELEGATE {
        checks.push((LinkName::Budget, budget(shape, at, act)));
    }
    until_broken(&Options::default(), checks)
}

fn receipt(act: &Act) -> Outcome {
    let receipt = &act.receipt;
    receipt.check()?;
    ensure(receipt.kind == Kind::AgentAct, "it is no receipt of an agent's act")?;
    let ended = matches!(receipt.status, Status::Complete | Status::Failed);
    ensure(ended, "its status is none of an act")?;
    let no_channel = receipt.channel.is_zero() && (receipt.sequence, receipt.cumulative) == (0, 0);
    ensure(no_channel, "it is in a channel, but acts are paid on the chain")?;
    let bare = [receipt.tokens, receipt.sampling, receipt.seed, receipt.commitment];
    let usage = &receipt.usage;
    let bare = bare.iter().all(B256::is_zero)
        && (receipt.flags, usage.input, usage.cached, usage.output) == (0, 0, 0, 0)
        && receipt.tier == Tier::Signed;
    ensure(bare, "it has what an act has not")?;
    proven("well formed", format!("that {} is the agent of {}", receipt.provider, receipt.payer))
}

fn intent(act: &Act) -> Outcome {
    ensure(act.intent.is_object(), "the intent is no JSON object")?;
    ensure(json::is_exact(&act.intent), "the intent has an integer above 2^53")?;
    let committed = act::intent(&act.nonce, &act.kind, &act.intent)?;
    ensure(committed == act.receipt.request, "the receipt is for another intent, kind or nonce")?;
    let relied = act::relied_on(&act.intent)?.len();
    proven(format!("to {}, relying on {relied} receipts", printable(&act.kind)), "")
}

fn outcome(act: &Act) -> Outcome {
    ensure(json::is_exact(&act.outcome), "the outcome has an integer above 2^53")?;
    let committed = act::outcome(&act.nonce, &act.outcome)?;
    ensure(committed == act.receipt.response, "the receipt is for another outcome")?;
    match act.receipt.status {
        Status::Failed => proven("refused or failed, for the reason that it gives", ""),
        _ => proven(
            format!("done, for {} atomic units of its budget", act.receipt.charge),
            "the agent, unless you look up the transaction that the outcome names",
        ),
    }
}

fn promise(act: &Act) -> Outcome {
    let Act { receipt, promise, .. } = act;
    promise.verify(receipt.leaf_hash(), &receipt.domain, receipt.provider)?;
    proven(
        format!("the agent signed this receipt and promised log index {}", promise.index),
        "the agent's clock",
    )
}

fn inclusion(act: &Act) -> Outcome {
    let Some(log) = &act.log else { return absent("not in the agent's log yet", "the promise") };
    ensure(log.index == act.promise.index, "it is at another index of the log than promised")?;
    let (_, Checkpoint { size, root, .. }) = stated(log)?;
    let leaf = act.receipt.leaf_hash();
    merkle::verify_inclusion(leaf, log.index, size, &log.path, root)?;
    proven(format!("it is entry {} of {size}, as promised", log.index), "")
}

fn checkpoint(act: &Act) -> Outcome {
    let Some(log) = &act.log else { return absent("no checkpoint", "") };
    let (note, checkpoint) = stated(log)?;
    note::verify_eip712(&note, &checkpoint.origin, act.receipt.provider, checkpoint.digest())?;
    proven(
        format!("the agent signed its log at size {}", checkpoint.size),
        "that the agent shows everyone the same log",
    )
}

/// What an answer cost, of what was set aside for this very question.
fn answered(shape: &Shape<'_>, act: &Act) -> Outcome {
    let Answered { request, nonce, charge } = Answered::of(&act.intent)?;
    ensure(act.receipt.charge == 0, "it counts again what the answer's own receipt charged")?;
    if let Some(ask) = shape.act(&act.receipt.parent) {
        ensure(ask.kind == ASK, "what it was made under set nothing aside")?;
        let asked = Asked::of(&ask.intent)?;
        ensure(asked.request == request, "money was set aside for another question")?;
        ensure(charge <= asked.max_charge, "the answer cost more than was set aside for it")?;
    }
    let mut relied = act::relied_on(&act.intent)?.into_iter();
    let Some(answer) = relied.find_map(|digest| shape.answer(&digest)) else {
        return absent("the answer is not here", "the agent, for what it cost");
    };
    ensure(answer.receipt.charge == charge, "the answer's receipt says another charge")?;
    let question = commitment::request(&nonce, &answer.resource, answer.request.as_bytes());
    ensure(question == request, "it is the answer to another question")?;
    proven(format!("the answer cost {charge}, and is to the question that was set aside for"), "")
}

fn budget(shape: &Shape<'_>, at: usize, act: &Act) -> Outcome {
    let Delegation { to, asset, limit } = Delegation::of(&act.intent)?;
    for child in shape.children(at) {
        let Node::Act(child) = child else { continue };
        ensure(child.receipt.provider == to, "another agent acts under it than it names")?;
        ensure(child.receipt.payer == act.receipt.payer, "an act under it is for another owner")?;
    }
    let mut spent = 0_u128;
    for node in shape.descendants(at) {
        let receipt = node.receipt();
        // What an answer's sources are credited is part of its charge.
        if matches!(node, Node::Use(_)) || receipt.charge == 0 {
            continue;
        }
        ensure(receipt.asset == asset, "something under it spends another token than delegated")?;
        spent = spent.checked_add(receipt.charge).ok_or("what was spent exceeds 128 bits")?;
    }
    if spent > limit {
        return Err(format!("{spent} was spent under it, {limit} was delegated").into());
    }
    proven(
        format!("{spent} of {limit} spent by all under it"),
        "that no act under it is left out here",
    )
}
