//! Amounts as decimal strings: JSON numbers lose precision above 2^53, TOML's end at 2^63.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

pub(crate) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// One number has one spelling: no sign, no leading zeros, no separators.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let canonical =
        text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    match text.parse() {
        Ok(value) if canonical => Ok(value),
        _ => Err(D::Error::custom(
            "expected a whole number below 2^128 in atomic units, as a string",
        )),
    }
}

/// For fields that are left out where they say nothing.
pub(crate) fn is_zero(value: &u128) -> bool {
    *value == 0
}
