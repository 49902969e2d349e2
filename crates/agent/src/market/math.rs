//! Integer arithmetic with the contracts' rounding (Uniswap v3 `FullMath`).

use alloy_primitives::{U256, U512};

/// 2^96, the unit of square-root prices.
pub(crate) const Q96: U256 = U256::from_limbs([0, 1 << 32, 0, 0]);
/// Hundredths of a hundredth: 10,000 are the whole.
pub(crate) const BPS: u64 = 10_000;

pub(crate) fn wide(value: U256) -> U512 {
    let [a, b, c, d] = value.into_limbs();
    U512::from_limbs([a, b, c, d, 0, 0, 0, 0])
}

pub(crate) fn narrow(value: U512) -> Option<U256> {
    let [a, b, c, d, rest @ ..] = value.into_limbs();
    (rest == [0; 4]).then(|| U256::from_limbs([a, b, c, d]))
}

/// `a * b / divisor`, down; none where it does not fit or divides by zero.
pub(crate) fn mul_div(a: U256, b: U256, divisor: U256) -> Option<U256> {
    narrow((wide(a) * wide(b)).checked_div(wide(divisor))?)
}

/// `a * b / divisor`, up.
pub(crate) fn mul_div_up(a: U256, b: U256, divisor: U256) -> Option<U256> {
    let product = wide(a) * wide(b);
    let divisor = wide(divisor);
    let down = product.checked_div(divisor)?;
    let up = if (product % divisor).is_zero() { down } else { down + U512::from(1) };
    narrow(up)
}

/// `a / b`, up.
pub(crate) fn div_up(a: U256, b: U256) -> Option<U256> {
    let down = a.checked_div(b)?;
    if (a % b).is_zero() { Some(down) } else { down.checked_add(U256::ONE) }
}

/// `part` of `whole` in basis points, up; saturates.
pub(crate) fn bps_up(part: U256, whole: U256) -> u32 {
    let bps = mul_div_up(part, U256::from(BPS), whole);
    bps.and_then(|bps| u32::try_from(bps).ok()).unwrap_or(u32::MAX)
}

/// `bps` of `amount`, down. `bps` at most 10,000.
pub(crate) fn share(amount: U256, bps: u64) -> U256 {
    mul_div(amount, U256::from(bps), U256::from(BPS)).unwrap_or_default()
}

/// Serialises integers as decimal text, exact for every reader of JSON.
pub(crate) mod decimal {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
