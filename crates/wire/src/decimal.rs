//! `u128` as a decimal string: JSON numbers lose precision above 2^53.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

pub(crate) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    parse(&std::borrow::Cow::<'de, str>::deserialize(deserializer)?)
        .ok_or_else(|| D::Error::custom("expected a decimal integer below 2^128, as a string"))
}

/// One number has one spelling: no sign, no leading zero.
fn parse(text: &str) -> Option<u128> {
    let canonical =
        text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    text.parse().ok().filter(|_| canonical)
}

/// The same where the field may be absent.
pub(crate) mod optional {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Decimal(#[serde(with = "super")] u128);

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<u128>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u128>, D::Error> {
        Ok(Option::<Decimal>::deserialize(deserializer)?.map(|decimal| decimal.0))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_number_has_one_spelling() {
        for text in ["", "+1", "-1", "01", "00", "1e3", " 1", "0x1", "1.0"] {
            assert_eq!(super::parse(text), None, "{text:?}");
        }
        assert_eq!(super::parse("0"), Some(0));
        assert_eq!(super::parse(&u128::MAX.to_string()), Some(u128::MAX));
        assert_eq!(super::parse("340282366920938463463374607431768211456"), None);
    }
}
