use serde::{Deserialize, Serialize};

use crate::vouch::ModelInfo;

/// `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// `list`.
    pub object: String,
    /// The models.
    pub data: Vec<Model>,
}

/// A model on sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name at this provider.
    pub id: String,
    /// `model`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// Who sells it.
    pub owned_by: String,
    /// Identity and terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouch: Option<ModelInfo>,
}
