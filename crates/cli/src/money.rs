//! Dollars on the command line: decimal text to atomic units and back, never floats.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// Decimals of the dollar tokens that Vouch settles in.
const DECIMALS: usize = 6;
const UNIT: u128 = 1_000_000;

/// An amount in atomic units (millionths of a dollar).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dollars(pub(crate) u128);

impl FromStr for Dollars {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no amount of dollars: write it like 5 or 0.25");
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && part.is_empty() || !digits(whole) || !digits(part) {
            return Err(wrong());
        }
        if part.len() > DECIMALS {
            return Err(format!(
                "{text} has more than {DECIMALS} decimals, the token's smallest unit"
            ));
        }
        let number = |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u128>() };
        let whole = number(whole).map_err(|_| wrong())?;
        let part = number(&format!("{part:0<DECIMALS$}")).map_err(|_| wrong())?;
        let atomic = whole.checked_mul(UNIT).and_then(|whole| whole.checked_add(part));
        atomic.map(Self).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Dollars {
    /// `$1.25`, with as many decimals as it needs and at least two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:0DECIMALS$}", self.0 % UNIT);
        let trimmed = part.trim_end_matches('0');
        write!(f, "${}.{trimmed:0<2}", self.0 / UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_read_and_print() {
        for (text, atomic, printed) in [
            ("5", 5_000_000, "$5.00"),
            ("0.25", 250_000, "$0.25"),
            (".000001", 1, "$0.000001"),
            ("1.50", 1_500_000, "$1.50"),
            ("0", 0, "$0.00"),
        ] {
            assert_eq!(text.parse(), Ok(Dollars(atomic)));
            assert_eq!(Dollars(atomic).to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            ".",
            "-1",
            "1e3",
            "1.0000001",
            "five",
            "1.2.3",
            "+1",
            "99999999999999999999999999999999999999999",
        ] {
            assert!(text.parse::<Dollars>().is_err(), "{text}");
        }
    }
}
