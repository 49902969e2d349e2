//! One question, one checked answer.

use std::time::Duration;

use serde_json::json;
use vouch_core::{bundle::Bundle, tree::TreeBundle};
use vouch_evidence::Report;
use vouch_wire::{openai::Endpoint, vouch::ModelInfo};

use crate::{Buyer, Error, Event};

/// What the names of models with sources end in.
const SOURCES: &str = "+sources";

/// A question to a model.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model's name; the cheapest one on sale if it is not given.
    pub model: Option<String>,
    /// Whether it is to be answered from sources whose owners are paid: the model of that name, or
    /// the cheapest, that is sold with some.
    pub sourced: bool,
    /// What the user says.
    pub prompt: String,
    /// What the system says before it.
    pub system: Option<String>,
    /// The most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// 0 to 2; the model's default if it is not given.
    pub temperature: Option<f64>,
    /// Repeats the draws of an earlier call.
    pub seed: Option<i64>,
    /// How long to wait for the answer's place in the log, and for an anchor that covers it.
    pub patience: Duration,
}

impl Question {
    /// A question with nothing but its text.
    #[must_use]
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            model: None,
            sourced: false,
            prompt: prompt.into(),
            system: None,
            max_tokens: None,
            temperature: None,
            seed: None,
            patience: Duration::from_secs(5),
        }
    }
}

/// A checked answer with its evidence.
#[derive(Debug)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// The evidence, completed as far as patience went; it is kept, too.
    pub bundle: Bundle,
    /// What was checked, link by link.
    pub report: Report,
    /// Answer and uses of data in it, where it was made from sources.
    pub tree: Option<TreeBundle>,
    /// Why it is not whole, if it is not.
    pub cut: Option<Error>,
    /// How many vouchers were signed while it came, besides the one that began it.
    pub vouchers: u32,
}

impl Question {
    /// The name of the model to ask, where one was named.
    #[must_use]
    pub fn named(&self) -> Option<String> {
        let model = self.model.as_ref()?;
        let plain = self.sourced && !model.ends_with(SOURCES);
        Some(if plain { format!("{model}{SOURCES}") } else { model.clone() })
    }

    /// The body of the request for it, streamed.
    #[must_use]
    pub fn body(&self, model: &str) -> String {
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(json!({"role": "system", "content": system}));
        }
        messages.push(json!({"role": "user", "content": self.prompt}));
        let mut body = json!({"model": model, "messages": messages, "stream": true});
        for (name, value) in [
            ("max_tokens", self.max_tokens.map(|n| json!(n))),
            ("temperature", self.temperature.map(|t| json!(t))),
            ("seed", self.seed.map(|seed| json!(seed))),
        ] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        body.to_string()
    }
}

impl Buyer {
    /// Asks, passes the text on as it comes, checks the answer, and completes its bundle.
    ///
    /// # Errors
    /// Any of [`Error`]; with [`Error::Misconduct`] the text that was passed on is not to be relied
    /// on.
    pub async fn ask(
        &self,
        question: &Question,
        mut on_text: impl FnMut(&str),
    ) -> Result<Answer, Error> {
        let model = match question.named() {
            Some(model) => model,
            None => self.cheapest(question.sourced).await?,
        };
        let body = question.body(&model);
        let mut running = self.start(Endpoint::Chat, &body)?;
        let answered = loop {
            match running.events.recv().await {
                Some(Event::Chunk(chunk)) => {
                    let delta = chunk.choices.first().and_then(|choice| choice.delta.as_ref());
                    if let Some(text) = delta.and_then(|delta| delta.content.as_deref()) {
                        on_text(text);
                    }
                }
                Some(Event::Done(answered)) => break *answered,
                Some(Event::Failed(error)) => return Err(error),
                None => return Err(Error::State("a call ended without an outcome".into())),
            }
        };
        let response = answered.response()?;
        let choice = response.choices.into_iter().next();
        let text = choice.and_then(|choice| choice.message).map(|message| message.content);
        let digest = answered.bundle.receipt.digest();
        let (bundle, report) = self.complete(&digest, question.patience).await?;
        let tree = match bundle.terms.sources {
            Some(_) => Some(self.tree(&digest, question.patience).await?),
            None => None,
        };
        let (vouchers, cut) = (answered.vouchers, answered.cut);
        Ok(Answer { text: text.unwrap_or_default(), bundle, report, tree, cut, vouchers })
    }

    async fn cheapest(&self, sourced: bool) -> Result<String, Error> {
        let models = self.models().await.into_iter();
        let kind = models
            .filter(|(_, (_, info))| !info.embeddings && info.terms.sources.is_some() == sourced);
        let price = |info: &ModelInfo| (info.terms.prices.output, info.terms.prices.request);
        let cheapest = kind.min_by_key(|(_, (_, info))| price(info));
        cheapest.map(|(name, _)| name).ok_or_else(|| Error::NoModel {
            model: if sourced { "any with sources".into() } else { "any".into() },
            why: "no provider was reached that sells one at acceptable terms".into(),
        })
    }
}
