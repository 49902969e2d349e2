//! Positional parameters, with messages that name the one that is wrong.

use alloy_primitives::{B256, U256};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{RpcError, quote};

/// A number as tools send it: a JSON number or a hex or decimal string.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Number(pub(crate) u64);

impl TryFrom<Value> for Number {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => {
                text.parse::<U256>().ok().and_then(|number| u64::try_from(number).ok())
            }
            _ => None,
        };
        number.map(Self).ok_or_else(|| "want a number".to_owned())
    }
}

/// The parameters not yet taken.
#[derive(Debug)]
pub(crate) struct Params {
    values: std::vec::IntoIter<Value>,
    taken: usize,
}

impl Params {
    /// An array, or nothing at all.
    pub(crate) fn parse(raw: Option<&RawValue>) -> Result<Self, RpcError> {
        let values: Option<Vec<Value>> = match raw {
            None => None,
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|_| RpcError::params("parameters must be given as an array"))?,
        };
        Ok(Self { values: values.unwrap_or_default().into_iter(), taken: 0 })
    }

    /// The next one, which must be there.
    pub(crate) fn next<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, RpcError> {
        let index = self.taken;
        self.optional(name)?
            .ok_or_else(|| RpcError::params(format!("missing value for argument {index}: {name}")))
    }

    /// The next one; absent and `null` are the same.
    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, RpcError> {
        let index = self.taken;
        self.taken += 1;
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(|error| {
                let reason = quote(&error.to_string());
                RpcError::params(format!("invalid argument {index} ({name}): {reason}"))
            }),
        }
    }

    /// A hash, which must have its prefix.
    pub(crate) fn hash(&mut self, name: &str) -> Result<B256, RpcError> {
        let index = self.taken;
        let text: String = self.next(name)?;
        let hash = text.starts_with("0x").then(|| text.parse().ok()).flatten();
        hash.ok_or_else(|| {
            let wanted = "want 0x and 64 hexadecimal digits";
            RpcError::params(format!("invalid argument {index} ({name}): {wanted}"))
        })
    }

    /// There must be no more.
    pub(crate) fn finish(mut self) -> Result<(), RpcError> {
        match self.values.next() {
            None => Ok(()),
            Some(_) => {
                Err(RpcError::params(format!("too many arguments, want at most {}", self.taken)))
            }
        }
    }
}
