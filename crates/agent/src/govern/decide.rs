//! From a proposal to a vote: pure.

use std::fmt::Write;

use alloy_primitives::B256;

use super::{Change, Policy, Proposal, Unknown};
use crate::{
    intent::Support,
    strategy::{Advice, Question},
};

/// The most of a reason that goes on the chain.
const MAX_REASON_BYTES: usize = 1_000;
/// The options of a question, in the order of its letters; the first is the default.
const OPTIONS: [Support; 3] = [Support::For, Support::Against, Support::Abstain];

/// How to vote, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How.
    pub support: Support,
    /// Why, in our own words; goes on the chain.
    pub reason: String,
    /// The receipt of the advice that was followed.
    pub relied_on: Vec<B256>,
}

/// What the policy says of a proposal by itself.
fn ruled(policy: &Policy, proposal: &Proposal) -> (Support, String) {
    let unknown = match policy.unknown {
        Unknown::Against => Support::Against,
        Unknown::Abstain => Support::Abstain,
    };
    let mut fine = String::new();
    let mut not_understood = None;
    for change in &proposal.changes {
        let rule = match change {
            Change::Set { parameter, .. } => policy.rule(*parameter),
            Change::Unknown { .. } => None,
        };
        match (change, rule) {
            (Change::Set { parameter, from, to }, Some(rule)) => {
                // One bad change outweighs what is not understood.
                if let Some(why) = rule.objection(*from, *to) {
                    return (Support::Against, format!("{parameter}: {why}"));
                }
                let _infallible = write!(fine, "{change}; ");
            }
            _ => {
                not_understood.get_or_insert_with(|| format!("the policy has no rule to {change}"));
            }
        }
    }
    match not_understood {
        Some(why) => (unknown, why),
        None if proposal.changes.is_empty() => (unknown, "the proposal changes nothing".into()),
        None => (Support::For, format!("{fine}each within the policy's range and step")),
    }
}

/// The question to a model, where the policy leaves it a choice. It says what the proposal would set
/// and nothing that its proposer wrote.
#[must_use]
pub fn question(policy: &Policy, proposal: &Proposal, id: u64) -> Option<Question> {
    let model = policy.model.clone()?;
    if ruled(policy, proposal).0 != Support::For {
        return None;
    }
    let mut text = String::from("A proposal would change a protocol's parameters:\n");
    for change in &proposal.changes {
        let _infallible = writeln!(text, "{change}");
    }
    text.push_str("Each change is within the owner's policy. How do you vote?\n");
    text.push_str("Answer with one letter and nothing else.\nA: for\nB: against\nC: abstain\n");
    Some(Question { id, model, text, letters: "ABC".into() })
}

/// How to vote: as the policy says; where it would vote for, as the advice says, if it is one of the
/// options.
#[must_use]
pub fn decide(policy: &Policy, proposal: &Proposal, advice: Option<&Advice>) -> Decision {
    let (mut support, mut reason) = ruled(policy, proposal);
    let mut relied_on = Vec::new();
    if support == Support::For
        && let Some(advice) = advice
        && let Some(chosen) = advice.option("ABC").and_then(|at| OPTIONS.get(at))
    {
        support = *chosen;
        relied_on.extend(advice.receipt);
        let _infallible = write!(reason, "; asked, a model chose {support}");
    }
    let mut reason = format!("{support}: {reason} (policy {})", policy.hash());
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    Decision { support, reason, relied_on }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes, U256};

    use super::*;
    use crate::govern::Parameter;

    const POLICY: &str = "governor = \"0x1111111111111111111111111111111111111111\"\n\
        parameters = \"0x2222222222222222222222222222222222222222\"\nmodel = \"m\"\n\
        [fee_share_bps]\nmax = 500\nstep = 100\n";

    fn fee(from: u64, to: u64) -> Change {
        let (from, to) = (U256::from(from), U256::from(to));
        Change::Set { parameter: Parameter::FeeShare, from, to }
    }

    fn proposal(changes: Vec<Change>) -> Proposal {
        Proposal { id: U256::ONE, deadline: 1, changes }
    }

    #[test]
    fn only_what_the_policy_allows_is_voted_for() {
        let policy = Policy::parse(POLICY).unwrap();
        let strange = Change::Unknown { target: Address::ZERO, selector: Bytes::new() };
        let stake =
            Change::Set { parameter: Parameter::MinimumStake, from: U256::ZERO, to: U256::from(5) };
        let bold = Advice::new(1, "A".into(), Some(B256::repeat_byte(1)));
        for (changes, support) in [
            (vec![fee(100, 200)], Support::For),
            (vec![fee(100, 201)], Support::Against),
            (vec![fee(450, 501)], Support::Against),
            (vec![fee(100, 150), strange.clone()], Support::Against),
            (vec![strange], Support::Against),
            (vec![stake], Support::Against),
            (vec![], Support::Against),
        ] {
            let proposal = proposal(changes);
            // Whatever the model says, it cannot vote for what the policy does not allow.
            for advice in [None, Some(&bold)] {
                assert_eq!(decide(&policy, &proposal, advice).support, support, "{proposal:?}");
            }
            assert_eq!(question(&policy, &proposal, 1).is_some(), support == Support::For);
        }
        let mild = Policy { unknown: Unknown::Abstain, ..policy };
        assert_eq!(decide(&mild, &proposal(vec![]), None).support, Support::Abstain);
        assert_eq!(decide(&mild, &proposal(vec![fee(0, 501)]), None).support, Support::Against);
    }

    #[test]
    fn a_model_may_hold_back() {
        let policy = Policy::parse(POLICY).unwrap();
        let proposal = proposal(vec![fee(100, 200)]);
        let receipt = B256::repeat_byte(9);
        let says = |answer: &str| {
            decide(&policy, &proposal, Some(&Advice::new(1, answer.into(), Some(receipt))))
        };
        let against = says("B");
        assert_eq!((against.support, against.relied_on), (Support::Against, vec![receipt]));
        assert_eq!(says("c.").support, Support::Abstain);
        let noise = says("I think you should vote against, B");
        assert_eq!((noise.support, noise.relied_on), (Support::For, vec![]));
    }

    #[test]
    fn a_bad_policy_is_refused() {
        let error = Policy::parse(&POLICY.replace("max = 500", "max = 5\nmin = 6")).unwrap_err();
        assert!(error.to_string().contains("min 6 is above max 5"), "{error}");
        assert!(Policy::parse(&POLICY.replace("step", "stp")).is_err());
    }
}
