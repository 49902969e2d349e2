//! A model's weights, packed as the kernels read them.

use super::config::Config;
use super::kernels::Panels;
use super::safetensors::SafeTensors;
use crate::Error;

#[derive(Debug)]
pub(super) struct Weights {
    pub(super) words: Vec<f32>,
    pub(super) positions: Vec<f32>,
    /// Of the first sentence; there is no second.
    pub(super) kind: Vec<f32>,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) query_key_value: Linear,
    pub(super) output: Linear,
    pub(super) attention_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) output_norm: Norm,
}

/// A matrix and what is added to its products.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) panels: Panels,
    pub(super) bias: Vec<f32>,
}

/// Weights and biases of a layer norm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Weights {
    /// # Errors
    /// [`Error::Safetensors`] where a tensor is absent or of another shape.
    pub(super) fn load(tensors: &SafeTensors<'_>, config: &Config) -> Result<Self, Error> {
        let width = config.width;
        let name = |part: &str| format!("embeddings.{part}");
        let kinds = tensors.f32s(&name("token_type_embeddings.weight"), &[2, width])?;
        Ok(Self {
            words: tensors.f32s(&name("word_embeddings.weight"), &[config.vocabulary, width])?,
            positions: tensors
                .f32s(&name("position_embeddings.weight"), &[config.positions, width])?,
            kind: kinds[..width].to_vec(),
            norm: Norm::load(tensors, &name("LayerNorm"), width)?,
            layers: (0..config.layers)
                .map(|index| Layer::load(tensors, config, index))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Layer {
    fn load(tensors: &SafeTensors<'_>, config: &Config, index: usize) -> Result<Self, Error> {
        let (width, inner) = (config.width, config.feed_forward);
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let projections =
            ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        let names = |parts: &[&str]| parts.iter().map(|part| name(part)).collect::<Vec<_>>();
        Ok(Self {
            query_key_value: Linear::load(tensors, &projections, width, width)?,
            output: Linear::load(tensors, &names(&["attention.output.dense"]), width, width)?,
            attention_norm: Norm::load(tensors, &name("attention.output.LayerNorm"), width)?,
            up: Linear::load(tensors, &names(&["intermediate.dense"]), inner, width)?,
            down: Linear::load(tensors, &names(&["output.dense"]), width, inner)?,
            output_norm: Norm::load(tensors, &name("output.LayerNorm"), width)?,
        })
    }
}

impl Linear {
    /// The matrices `names`, one below the other.
    fn load(
        tensors: &SafeTensors<'_>,
        names: &[String],
        rows: usize,
        columns: usize,
    ) -> Result<Self, Error> {
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weights.extend(tensors.f32s(&format!("{name}.weight"), &[rows, columns])?);
            bias.extend(tensors.f32s(&format!("{name}.bias"), &[rows])?);
        }
        let mut panels = Panels::default();
        panels.reset(bias.len(), columns);
        for (row, weights) in weights.chunks_exact(columns).enumerate() {
            panels.set_row(row, weights);
        }
        Ok(Self { panels, bias })
    }
}

impl Norm {
    fn load(tensors: &SafeTensors<'_>, name: &str, width: usize) -> Result<Self, Error> {
        let part = |part: &str| tensors.f32s(&format!("{name}.{part}"), &[width]);
        Ok(Self { weight: part("weight")?, bias: part("bias")? })
    }
}
