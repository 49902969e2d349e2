//! A question within a mandate: set aside by the signer, asked, and settled by the answer's receipt.

use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use anyhow::{Context, bail};
use vouch_agent::{
    act::{Evidence, Request},
    intent::Intent,
    mandate::{Mandate, Permission},
    signer::{Client, Outcome},
};
use vouch_buyer::Question;
use vouch_core::commitment;
use vouch_wire::openai::Endpoint;

use crate::{
    commands::ask::{Asked, through},
    money::Dollars,
    output::Output,
};

/// Asks for an agent. It holds no key and no money: the signer counts, `vouch connect` pays.
pub(super) struct Asker {
    signer: Client,
    /// The mandate's `ask`: its index, and the most for one answer.
    permission: Option<(usize, u128)>,
    connect: String,
    data_dir: PathBuf,
    strategy: B256,
}

/// An answer with its acts.
pub(super) struct Answered {
    pub(super) answer: Asked,
    /// The act that set money aside.
    pub(super) ask: B256,
    /// How much.
    pub(super) aside: u128,
    /// The act that says what it cost.
    pub(super) act: B256,
}

impl Asker {
    pub(super) fn new(
        signer: Client,
        mandate: &Mandate,
        connect: String,
        data_dir: &Path,
        strategy: B256,
    ) -> Self {
        let asks =
            mandate.permissions.iter().enumerate().find_map(|(at, permission)| match permission {
                Permission::Ask { max_per_call, .. } => Some((at, *max_per_call)),
                _ => None,
            });
        Self { signer, permission: asks, connect, data_dir: data_dir.to_owned(), strategy }
    }

    /// Asks for `most` at most, or for what the mandate allows. `note` says what follows from the
    /// answer's text.
    pub(super) async fn ask(
        &self,
        question: Question,
        most: Option<u128>,
        note: impl FnOnce(&str) -> String,
        output: Output,
    ) -> anyhow::Result<Answered> {
        let (permission, per_call) =
            self.permission.context("the mandate has no permission to ask")?;
        let left = self.signer.used().await?.dollars_left.0;
        let aside = match most.unwrap_or(per_call) {
            // Nothing is left: the signer says so, and its log has it.
            most if left == 0 => most,
            most => most.min(left),
        };
        let model = through::model(&self.connect, &question).await?;
        let body = question.body(&model);
        let mut nonce = B256::ZERO;
        getrandom::fill(nonce.as_mut_slice()).context("the system gives no random bytes")?;
        let request = commitment::request(&nonce, Endpoint::Chat.resource(), body.as_bytes());
        let intent = Intent::Ask { permission, max_charge: aside, request };
        let ask = self.act(intent, None, B256::ZERO).await?;

        let answer = through::put(&self.connect, &model, &question, aside, &self.data_dir, output);
        let answer = answer.await;
        let answer = answer.with_context(|| {
            format!("{} stay set aside, as no receipt says what was charged", Dollars(aside))
        })?;
        let bundle = &answer.bundle;
        let charge = bundle.receipt.charge;
        let (receipt, promise) = (bundle.receipt.clone(), bundle.promise.clone());
        let note = note(&answer.text);
        let intent = Intent::Answer { permission, request, nonce, charge, note };
        let act = self.act(intent, Some(Evidence { receipt, promise }), ask).await?;
        Ok(Answered { answer, ask, aside, act })
    }

    /// One act of the signer; its receipt.
    async fn act(
        &self,
        intent: Intent,
        evidence: Option<Evidence>,
        parent: B256,
    ) -> anyhow::Result<B256> {
        let relied_on = evidence.iter().map(|evidence| evidence.receipt.digest()).collect();
        let (strategy, evidence) = (self.strategy, evidence.map(Box::new));
        let request = Request { intent, relied_on, strategy, parent, evidence };
        let reply = self.signer.act(&request).await?;
        match (reply.outcome, reply.receipt) {
            (Outcome::Settled { .. }, Some(receipt)) => Ok(receipt),
            (Outcome::Settled { .. }, None) => bail!("the signer could not log the act"),
            (Outcome::Refused { code, reason }, _) => {
                bail!("the signer refused the question ({code}): {reason}")
            }
            (other, _) => bail!("the signer did not settle the question: {other:?}"),
        }
    }
}
