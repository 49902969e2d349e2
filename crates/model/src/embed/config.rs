//! What a model's configuration says, and a refusal of all that is not computed here.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::kernels::ROWS;
use super::{Files, unsupported};
use crate::Error;

/// The measures of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Config {
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) feed_forward: usize,
    pub(super) positions: usize,
    pub(super) norm_epsilon: f32,
    /// The most ids of one text.
    pub(super) max_tokens: u32,
}

#[derive(Deserialize)]
struct Bert {
    model_type: String,
    hidden_act: String,
    #[serde(default)]
    position_embedding_type: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    vocab_size: usize,
    layer_norm_eps: f64,
}

#[derive(Deserialize)]
struct Sentence {
    max_seq_length: u32,
    do_lower_case: bool,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Pooling {
    word_embedding_dimension: usize,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
}

/// Most of any one measure: a bound on what a file can make us allocate or multiply.
const MAX_MEASURE: usize = 1 << 20;

impl Config {
    /// # Errors
    /// [`Error::UnsupportedEmbedding`], naming what stands in the way.
    pub(super) fn read(path: &Path, files: &Files) -> Result<Self, Error> {
        let bert: Bert = parse(path, files, "config.json")?;
        let sentence: Sentence = parse(path, files, "sentence_bert_config.json")?;
        let pooling: Pooling = parse(path, files, "1_Pooling/config.json")?;
        let modules: Vec<Module> = parse(path, files, "modules.json")?;
        let require = |holds: bool, detail: &str| match holds {
            true => Ok(()),
            false => Err(unsupported(path, detail)),
        };
        let absolute =
            bert.position_embedding_type.as_deref().is_none_or(|kind| kind == "absolute");
        require(bert.model_type == "bert" && absolute, "it is not BERT with absolute positions")?;
        require(bert.hidden_act == "gelu", "its activation is not the exact GELU")?;
        let kinds = ["Transformer", "Pooling", "Normalize"].map(|kind| format!(".{kind}"));
        let as_expected = modules.len() == kinds.len()
            && modules.iter().zip(&kinds).all(|(module, kind)| module.kind.ends_with(kind));
        let in_place = as_expected && modules[0].path.is_empty() && modules[1].path == "1_Pooling";
        require(in_place, "its modules are not a transformer, pooling and normalisation")?;
        let other = pooling.pooling_mode_cls_token
            || pooling.pooling_mode_max_tokens
            || pooling.pooling_mode_mean_sqrt_len_tokens;
        require(pooling.pooling_mode_mean_tokens && !other, "its pooling is not the mean")?;
        require(!sentence.do_lower_case, "it lowers case before its tokenizer")?;
        let config = Self {
            vocabulary: bert.vocab_size,
            width: bert.hidden_size,
            layers: bert.num_hidden_layers,
            heads: bert.num_attention_heads,
            feed_forward: bert.intermediate_size,
            positions: bert.max_position_embeddings,
            norm_epsilon: bert.layer_norm_eps as f32,
            max_tokens: sentence.max_seq_length,
        };
        require(config.is_computable(pooling.word_embedding_dimension), "its sizes do not fit")?;
        Ok(config)
    }

    /// Numbers of one head.
    pub(super) fn head_dimension(&self) -> usize {
        self.width / self.heads
    }

    fn is_computable(&self, pooled: usize) -> bool {
        let measures = [self.vocabulary, self.width, self.layers, self.heads, self.feed_forward];
        let bounded = measures.iter().all(|measure| (1..=MAX_MEASURE).contains(measure));
        bounded
            && self.positions <= MAX_MEASURE
            && (3..=self.positions).contains(&(self.max_tokens as usize))
            && self.width == pooled
            && self.width.is_multiple_of(self.heads)
            && self.head_dimension().is_multiple_of(ROWS)
            && self.feed_forward.is_multiple_of(ROWS)
            && self.norm_epsilon >= 0.0
            && self.norm_epsilon < 1.0
    }
}

fn parse<T: DeserializeOwned>(path: &Path, files: &Files, name: &str) -> Result<T, Error> {
    serde_json::from_slice(files.get(name))
        .map_err(|error| unsupported(path, &format!("its {name} cannot be read ({error})")))
}
