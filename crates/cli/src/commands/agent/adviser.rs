//! Questions to a model through a `vouch connect`: paid and receipted there, and under a mandate
//! counted by the signer.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail, ensure};
use futures_util::future::{BoxFuture, FutureExt};
use vouch_agent::{
    run::Adviser,
    strategy::{Advice, Question},
};
use vouch_evidence::Verdict;

use super::asker::Asker;
use crate::{commands::ask::through, output::Output};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// A letter needs few.
const MAX_TOKENS: u32 = 4;
/// Nothing of an answer is printed before it is checked.
const SILENT: Output = Output { json: true };

/// A `vouch connect` to ask.
pub(super) enum Connected {
    /// Within a mandate.
    Guarded(Asker),
    /// With no more than the budget of `vouch connect`.
    Unguarded { connect: String, data_dir: PathBuf },
}

impl Connected {
    async fn answer(&self, question: &Question) -> anyhow::Result<Advice> {
        let asked = vouch_buyer::Question {
            model: Some(question.model.clone()),
            max_tokens: Some(MAX_TOKENS),
            temperature: Some(0.0),
            patience: Duration::ZERO,
            ..vouch_buyer::Question::new(question.text.clone())
        };
        let asking = async {
            match self {
                Self::Guarded(asker) => {
                    let note = |text: &str| follows(question, text);
                    Ok(asker.ask(asked, None, note, SILENT).await?.answer)
                }
                Self::Unguarded { connect, data_dir } => {
                    through::ask(connect, &asked, u128::MAX, data_dir, SILENT).await
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, asking).await.context("it took too long")??;
        let is_broken = matches!(answer.verdict, Verdict::Broken { .. });
        ensure!(!is_broken, "the answer's proof is broken: it is not followed");
        if let Some(why) = &answer.cut {
            bail!("the answer was cut, and is not followed: {why}");
        }
        Ok(Advice::new(question.id, answer.text, Some(answer.bundle.receipt.digest())))
    }
}

/// What follows from an answer, in our own words.
pub(super) fn follows(question: &Question, answer: &str) -> String {
    let advice = Advice::new(question.id, answer.to_owned(), None);
    let named = advice.option(&question.letters);
    let letter = named.and_then(|at| question.letters.chars().nth(at));
    match (letter, question.letters.chars().next()) {
        (Some(letter), _) => format!("it chooses {letter}"),
        (None, Some(first)) => format!("it names no option: {first}, the default, applies"),
        (None, None) => "it names no option".to_owned(),
    }
}

impl Adviser for Connected {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Advice> {
        async move {
            self.answer(question).await.unwrap_or_else(|error| {
                tracing::warn!("no advice: {error:#}");
                Advice::none(question.id)
            })
        }
        .boxed()
    }
}
