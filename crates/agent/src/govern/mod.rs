//! Vote for an owner by a written policy.
//!
//! ```text
//! ProposalCreated ─▶ decode calls ─▶ policy ─▶ for | against | abstain ─▶ Order::Vote ─▶ Executor
//!                                       └─ within it: a model may choose one of the three
//! ```
//!
//! The policy says for each protocol parameter which values and steps are fine. A proposal is voted
//! for only if every call in it is one of those; a call that is not understood is never voted for,
//! whatever a model says. What a proposer wrote (the description) reaches neither policy nor model.
//! The reason goes on the chain with the vote; the owner overrules it by `castOverrideVote` while the
//! vote is open (OpenZeppelin `GovernorCountingOverridable`).

mod decide;
mod delegate;
mod policy;
mod proposal;

pub use decide::{Decision, decide, question};
pub use delegate::{Delegate, Voted};
pub use policy::{Policy, PolicyError, Rule, Unknown};
pub use proposal::{Change, Parameter, Proposal};
