//! JSON that says one thing only: no key twice, no number that readers round differently.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use vouch_core::{bundle::Bundle, tree::TreeBundle};

use crate::{Error, MAX_BUNDLE_BYTES};

/// The largest integer that every JSON reader keeps exact (RFC 8785 section 3.2.2.3, RFC 7493).
const MAX_EXACT: u64 = 1 << 53;

/// Reads a bundle from its JSON form.
///
/// Stricter than `serde_json::from_str`: every byte of the text has a meaning or is white space. A
/// key that stands twice, an unknown field, a second spelling of a value are refused.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Json`] or [`Error::Form`].
pub fn read(text: &str) -> Result<Bundle, Error> {
    if text.len() > MAX_BUNDLE_BYTES {
        let (found, limit) = (text.len(), MAX_BUNDLE_BYTES);
        return Err(Error::TooLarge { what: "bundle", found, limit });
    }
    let value = parse(text)?;
    let bundle = Bundle::deserialize(&value)?;
    if serde_json::to_value(&bundle)? == value { Ok(bundle) } else { Err(Error::Form) }
}

/// Reads a tree bundle from its JSON form, as strictly as [`read`].
///
/// # Errors
/// As [`read`].
pub fn read_tree(text: &str) -> Result<TreeBundle, Error> {
    if text.len() > MAX_BUNDLE_BYTES {
        let (found, limit) = (text.len(), MAX_BUNDLE_BYTES);
        return Err(Error::TooLarge { what: "tree", found, limit });
    }
    let value = parse(text)?;
    let tree = TreeBundle::deserialize(&value)?;
    if serde_json::to_value(&tree)? == value { Ok(tree) } else { Err(Error::Form) }
}

/// Reads JSON in which no key stands twice.
pub(crate) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str::<Unique>(text).map(|Unique(value)| value)
}

/// Whether every integer is one that RFC 8785 keeps: it writes numbers as doubles, so two larger
/// ones can have the same canonical form and thus the same hash.
pub(crate) fn is_exact(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Number(number) => {
            let integer = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            integer.is_none_or(|integer| integer <= MAX_EXACT)
        }
        _ => true,
    }
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Unique(value))) = fields.next_entry::<String, _>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert!(parse(r#"{"a": {"b": 1, "b": 1}}"#).is_err());
        let every_kind = r#"{"a": {"b": [1, -1, 0.5, null, true, "x", "\n"]}}"#;
        let value = json!({"a": {"b": [1, -1, 0.5, null, true, "x", "\n"]}});
        assert_eq!(parse(every_kind).unwrap(), value);
    }

    #[test]
    fn what_is_longer_than_32_mib_is_not_read() {
        let text = " ".repeat(32 * 1_048_576 + 1);
        let (limit, found) = (32 * 1_048_576, text.len());
        for (what, error) in
            [("bundle", read(&text).map(drop)), ("tree", read_tree(&text).map(drop))]
        {
            match error.unwrap_err() {
                Error::TooLarge { what: of, found: bytes, limit: most } => {
                    assert_eq!((of, bytes, most), (what, found, limit));
                }
                other => panic!("{other}"),
            }
        }
        let text = &text[1..];
        assert!(matches!(read(text), Err(Error::Json(_))), "it is read, and is none");
        assert!(matches!(read_tree(text), Err(Error::Json(_))));
    }

    #[test]
    fn numbers_that_round_are_seen() {
        assert!(is_exact(&json!([{"a": 1u64 << 53}, -(1i64 << 53), 1e300])));
        assert!(!is_exact(&json!([{"a": (1u64 << 53) + 1}])));
        assert!(!is_exact(&json!(i64::MIN)));
    }

    proptest! {
        #[test]
        fn what_it_reads_is_what_serde_json_reads(text in r#"[\[\]{}",:0-9a-b.e+ -]{0,24}"#) {
            if let Ok(value) = parse(&text) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
