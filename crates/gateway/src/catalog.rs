//! The models on sale, their terms and their documents.

use std::sync::Arc;

use alloy_primitives::B256;
use bytes::Bytes;
use vouch_core::{
    money::Prices,
    receipt::Tier,
    terms::{self, SourceTerms, Terms},
};
use vouch_model::{Engine, embed::Embed, entry::ModelEntry};
use vouch_wire::{
    openai::{Model as ListedModel, ModelList},
    vouch::ModelInfo,
};

use crate::{
    Config, SetupError,
    sources::{SUFFIX, Sourcing},
};

/// A model to sell.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// What callers ask for.
    pub name: String,
    /// What answers.
    pub engine: ModelEngine,
    /// What it costs. Cached input must not cost more than input, which is what is reserved.
    pub prices: Prices,
    /// Served to buyers, who recount with it; `None` where the engine has no ids.
    pub tokenizer: Option<TokenizerDocument>,
}

/// What answers: with text, or with vectors.
#[derive(Debug, Clone)]
pub enum ModelEngine {
    /// Answers chats and completions.
    Generator(Arc<dyn Engine>),
    /// Answers with embeddings.
    Embedder(Arc<dyn Embed>),
}

impl ModelEngine {
    fn entry(&self) -> &ModelEntry {
        match self {
            Self::Generator(engine) => engine.entry(),
            Self::Embedder(engine) => engine.entry(),
        }
    }
}

/// A tokenizer as buyers fetch it.
#[derive(Debug, Clone)]
pub struct TokenizerDocument {
    /// SHA-256 of `json`; the model's identity names it.
    pub sha256: B256,
    /// The canonical JSON of the tokenizer's specification.
    pub json: Bytes,
}

/// A model on sale.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) engine: ModelEngine,
    pub(crate) prices: Prices,
    pub(crate) terms: Terms,
    pub(crate) terms_hash: B256,
    pub(crate) identity: B256,
    pub(crate) tier: Tier,
    /// Where its sources come from, if it is sold with some.
    pub(crate) sourcing: Option<Sourcing>,
    identity_json: Bytes,
    tokenizer: Option<TokenizerDocument>,
}

/// All models on sale. A handful, so that a search beats a map.
#[derive(Debug)]
pub(crate) struct Catalog {
    models: Vec<Arc<Model>>,
    list_json: Bytes,
}

impl Catalog {
    pub(crate) fn new(
        config: &Config,
        models: Vec<ModelConfig>,
        sourcing: Option<Sourcing>,
        created_s: u64,
    ) -> Result<Self, SetupError> {
        if models.is_empty() {
            return Err(SetupError::NoModels);
        }
        let sourced = match &sourcing {
            Some(sourcing) => sourced(&models, sourcing)?,
            None => Vec::new(),
        };
        let plain = models.into_iter().map(|model| Model::new(config, model, None));
        let sourced = sourced.into_iter().map(|model| Model::new(config, model, sourcing.clone()));
        let models: Vec<_> =
            plain.chain(sourced).map(|model| model.map(Arc::new)).collect::<Result<_, _>>()?;
        for (at, model) in models.iter().enumerate() {
            if models[..at].iter().any(|other| other.name == model.name) {
                return Err(SetupError::TwiceNamed(model.name.clone()));
            }
        }
        let list = ModelList {
            object: "list".into(),
            data: models.iter().map(|model| model.listed(config, created_s)).collect(),
        };
        let list_json = serde_json::to_vec(&list).map_err(SetupError::Document)?.into();
        Ok(Self { models, list_json })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Model>> {
        self.models.iter().find(|model| model.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|model| model.name.as_str())
    }

    /// The first model: what an offer without a request is about.
    pub(crate) fn first(&self) -> Option<&Arc<Model>> {
        self.models.first()
    }

    pub(crate) fn list_json(&self) -> Bytes {
        self.list_json.clone()
    }

    pub(crate) fn identity_json(&self, identity: &B256) -> Option<Bytes> {
        let model = self.models.iter().find(|model| model.identity == *identity)?;
        Some(model.identity_json.clone())
    }

    pub(crate) fn tokenizer_json(&self, sha256: &B256) -> Option<Bytes> {
        let mut tokenizers = self.models.iter().filter_map(|model| model.tokenizer.as_ref());
        tokenizers.find(|tokenizer| tokenizer.sha256 == *sha256).map(|found| found.json.clone())
    }
}

/// The models that can be sold with sources, under their other names and at their other prices.
/// Without token ids nobody could check what the engine was shown.
fn sourced(models: &[ModelConfig], sourcing: &Sourcing) -> Result<Vec<ModelConfig>, SetupError> {
    let generates = |model: &&ModelConfig| matches!(model.engine, ModelEngine::Generator(_));
    let with_ids = models.iter().filter(generates).filter(|model| model.tokenizer.is_some());
    let sourced: Vec<_> = with_ids
        .map(|model| {
            let request = model.prices.request.checked_add(sourcing.price);
            let request = request.ok_or_else(|| SetupError::SourcePrice(model.name.clone()))?;
            let name = format!("{}{SUFFIX}", model.name);
            Ok(ModelConfig { name, prices: Prices { request, ..model.prices }, ..model.clone() })
        })
        .collect::<Result<_, _>>()?;
    if sourced.is_empty() { Err(SetupError::NoIds) } else { Ok(sourced) }
}

impl Model {
    fn new(
        config: &Config,
        model: ModelConfig,
        sourcing: Option<Sourcing>,
    ) -> Result<Self, SetupError> {
        let ModelConfig { name, engine, prices, tokenizer } = model;
        if prices.cached > prices.input {
            return Err(SetupError::CachedPrice(name));
        }
        let entry = &engine.entry().identity;
        let identity_json = entry.to_json().map_err(SetupError::Identity)?.into();
        let identity = entry.hash().map_err(SetupError::Identity)?;
        let tier = if entry.is_exact() { Tier::Replayed } else { Tier::Signed };
        let terms = Terms {
            version: terms::VERSION,
            domain: config.domain,
            provider: config.provider,
            receiver: config.receiver,
            asset: config.asset.address,
            model: name.clone(),
            identity,
            prices,
            quantum_tokens: config.quantum_tokens,
            log: config.log.clone(),
            sources: sourcing.as_ref().map(|sourcing| SourceTerms {
                max_sources: sourcing.max_sources,
                max_bytes: sourcing.max_bytes,
            }),
        };
        terms.check().map_err(SetupError::Terms)?;
        let terms_hash = terms.hash().map_err(SetupError::Terms)?;
        Ok(Self {
            name,
            engine,
            prices,
            terms,
            terms_hash,
            identity,
            tier,
            sourcing,
            identity_json,
            tokenizer,
        })
    }

    fn listed(&self, config: &Config, created_s: u64) -> ListedModel {
        ListedModel {
            id: self.name.clone(),
            object: "model".into(),
            created: created_s,
            owned_by: config.provider.to_string(),
            vouch: Some(ModelInfo {
                identity: self.identity,
                terms: self.terms.clone(),
                terms_hash: self.terms_hash,
                embeddings: matches!(self.engine, ModelEngine::Embedder(_)),
            }),
        }
    }
}
