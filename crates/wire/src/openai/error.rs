use serde::{Deserialize, Serialize};

/// OpenAI's error body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// One sentence: what, why, what to do.
    pub message: String,
    /// OpenAI's class of error, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Stable, for programs.
    #[serde(default)]
    pub code: Option<String>,
    /// The field of the request that is wrong.
    #[serde(default)]
    pub param: Option<String>,
    /// With code `voucher_needed`: the total that must be signed for, in atomic units.
    #[serde(default, with = "crate::decimal::optional", skip_serializing_if = "Option::is_none")]
    pub required: Option<u128>,
}
