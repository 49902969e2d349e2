//! The shape of a model, read from its GGUF metadata and checked.

use crate::{Error, Gguf};

/// Extents of a llama model. All are checked against each other and against what the kernels take.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// Transformer blocks.
    pub(crate) layers: usize,
    /// Width of the residual stream; a multiple of 32.
    pub(crate) width: usize,
    /// Inner width of the feed-forward blocks; a multiple of 32.
    pub(crate) feed_forward: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// Key-value heads; divides `heads`.
    pub(crate) kv_heads: usize,
    /// Dimension of one head; a multiple of 8.
    pub(crate) head_dimension: usize,
    /// Entries of the vocabulary; a multiple of 8.
    pub(crate) vocabulary: usize,
    /// Positions the model was trained for.
    pub(crate) context: usize,
    /// Base of the rotary frequencies.
    pub(crate) rope_base: f32,
    /// Added to the mean square in RMS norm.
    pub(crate) norm_epsilon: f32,
}

/// No model of this engine is larger in any extent; keeps products of extents within 64 bits.
const EXTENT_MAX: u32 = 1 << 20;

impl Config {
    /// Reads the shape of a `llama` model.
    ///
    /// # Errors
    /// [`Error::Gguf`] where a key is absent; [`Error::Unsupported`] where the model is not one
    /// this engine computes.
    pub(crate) fn read(gguf: &Gguf) -> Result<Self, Error> {
        let refuse = |detail: String| unsupported(gguf, detail);
        let architecture = gguf.architecture()?;
        if architecture != "llama" {
            return Err(refuse(format!("its architecture is {architecture:?}, not llama")));
        }
        let extent = |key: &str| -> Result<usize, Error> {
            match gguf.u32(key)? {
                value @ 1..=EXTENT_MAX => Ok(value as usize),
                value => Err(refuse(format!("{key} is {value}"))),
            }
        };
        let heads = extent("llama.attention.head_count")?;
        let width = extent("llama.embedding_length")?;
        let embedding = gguf.tensor("token_embd.weight")?;
        let config = Self {
            layers: extent("llama.block_count")?,
            width,
            feed_forward: extent("llama.feed_forward_length")?,
            heads,
            kv_heads: extent("llama.attention.head_count_kv")?,
            head_dimension: width / heads,
            vocabulary: embedding.shape.get(1).map_or(0, |rows| *rows as usize),
            context: extent("llama.context_length")?,
            rope_base: gguf.f32("llama.rope.freq_base").unwrap_or(10_000.0),
            norm_epsilon: gguf.f32("llama.attention.layer_norm_rms_epsilon")?,
        };
        config.check(gguf).map_err(refuse)?;
        Ok(config)
    }

    fn check(&self, gguf: &Gguf) -> Result<(), String> {
        let multiple = |name: &str, value: usize, of: usize| match value % of {
            0 => Ok(()),
            _ => Err(format!("its {name} of {value} is no multiple of {of}")),
        };
        multiple("width", self.width, 32)?;
        multiple("width", self.width, self.heads)?;
        multiple("feed-forward width", self.feed_forward, 32)?;
        multiple("head count", self.heads, self.kv_heads)?;
        multiple("head dimension", self.head_dimension, 8)?;
        multiple("vocabulary", self.vocabulary, 8)?;
        if self.vocabulary == 0 {
            return Err("its vocabulary is empty".into());
        }
        if !(self.rope_base.is_finite() && self.rope_base > 0.0) {
            return Err(format!("its RoPE base is {}", self.rope_base));
        }
        if !(self.norm_epsilon.is_finite() && self.norm_epsilon >= 0.0) {
            return Err(format!("its norm epsilon is {}", self.norm_epsilon));
        }
        if let Ok(dimension) = gguf.u32("llama.rope.dimension_count")
            && dimension as usize != self.head_dimension
        {
            return Err(format!("it rotates {dimension} of {} dimensions", self.head_dimension));
        }
        if let Ok(scaling) = gguf.str("llama.rope.scaling.type")
            && scaling != "none"
        {
            return Err(format!("it scales RoPE by {scaling:?}"));
        }
        if gguf.tensor("rope_freqs.weight").is_ok() {
            return Err("it brings its own RoPE factors".into());
        }
        Ok(())
    }

    /// Query heads that share one key-value head.
    #[must_use]
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

pub(crate) fn unsupported(gguf: &Gguf, detail: String) -> Error {
    Error::Unsupported { model: gguf.path().display().to_string(), detail }
}
