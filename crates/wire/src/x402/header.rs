use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};

use crate::Error;

/// The header of a 402: [`super::PaymentRequired`].
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// The header of a paid request: [`super::PaymentPayload`].
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// The header of a paid answer: [`super::SettleResponse`].
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// A longer header is refused before it is decoded.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// A header's value: standard base64 of JSON.
///
/// # Errors
/// [`Error::Malformed`] never for the types of this module.
pub fn encode(value: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_vec(value).map_err(|why| Error::malformed("the header", why))?;
    Ok(STANDARD.encode(json))
}

/// Reads a header's value; `what` names it in errors.
///
/// # Errors
/// [`Error::TooLarge`] or [`Error::Malformed`].
pub fn decode<T: DeserializeOwned>(what: &'static str, value: &[u8]) -> Result<T, Error> {
    if value.len() > MAX_HEADER_BYTES {
        return Err(Error::TooLarge { what, limit_bytes: MAX_HEADER_BYTES });
    }
    let json = STANDARD
        .decode(value)
        .map_err(|_| Error::malformed(what, "it is not standard base64 with padding"))?;
    serde_json::from_slice(&json).map_err(|why| Error::malformed(what, why))
}
