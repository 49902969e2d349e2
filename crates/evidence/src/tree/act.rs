//! An agent's act: what it meant, what became of it, and what it handed on.

use vouch_core::{
    B256,
    act::{self, Act, DELEGATE, Delegation},
    receipt::{Kind, Status, Tier},
    tree::Node,
};

use super::{Shape, until_broken};
use crate::{
    Link, LinkName, Options, json,
    links::{Outcome, ensure, proven},
    report::printable,
};

pub(super) fn links(shape: &Shape<'_>, at: usize, act: &Act) -> Vec<Link> {
    let mut checks = vec![
        (LinkName::Receipt, receipt(act)),
        (LinkName::Intent, intent(act)),
        (LinkName::Outcome, outcome(act)),
        (LinkName::Promise, promise(act)),
    ];
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
