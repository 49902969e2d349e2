//! Ticks and square-root prices (Uniswap v3 `TickMath`; whitepaper 6.1).

use alloy_primitives::{U256, uint};

/// The ends of the price range, 2^-128 and 2^128.
pub const MIN_TICK: i32 = -887_272;
/// See [`MIN_TICK`].
pub const MAX_TICK: i32 = 887_272;
/// The square-root price at [`MIN_TICK`].
pub const MIN_SQRT_PRICE: U256 = uint!(4_295_128_739_U256);
/// The square-root price at [`MAX_TICK`].
pub const MAX_SQRT_PRICE: U256 =
    uint!(1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342_U256);

/// sqrt(1.0001)^-(2^i) as Q128.128, for bit i of the tick.
const POWERS: [u128; 20] = [
    0xfffc_b933_bd6f_ad37_aa2d_162d_1a59_4001,
    0xfff9_7272_373d_4132_59a4_6990_580e_213a,
    0xfff2_e50f_5f65_6932_ef12_357c_f3c7_fdcc,
    0xffe5_caca_7e10_e4e6_1c36_24ea_a094_1cd0,
    0xffcb_9843_d60f_6159_c9db_5883_5c92_6644,
    0xff97_3b41_fa98_c081_472e_6896_dfb2_54c0,
    0xff2e_a164_66c9_6a38_43ec_78b3_26b5_2861,
    0xfe5d_ee04_6a99_a2a8_11c4_61f1_969c_3053,
    0xfcbe_86c7_900a_88ae_dcff_c83b_479a_a3a4,
    0xf987_a725_3ac4_1317_6f2b_074c_f781_5e54,
    0xf339_2b08_22b7_0005_940c_7a39_8e4b_70f3,
    0xe715_9475_a2c2_9b74_43b2_9c7f_a6e8_89d9,
    0xd097_f3bd_fd20_22b8_845a_d8f7_92aa_5825,
    0xa9f7_4646_2d87_0fdf_8a65_dc1f_90e0_61e5,
    0x70d8_69a1_56d2_a1b8_90bb_3df6_2baf_32f7,
    0x31be_135f_97d0_8fd9_8123_1505_542f_cfa6,
    0x09aa_508b_5b7a_84e1_c677_de54_f3e9_9bc9,
    0x005d_6af8_dedb_8119_6699_c329_225e_e604,
    0x0000_2216_e584_f5fa_1ea9_2604_1bed_fe98,
    0x0000_0000_048a_1703_91f7_dc42_444e_8fa2,
];

/// The square-root price (Q64.96, token1 per token0) at `tick`; none outside the range.
#[must_use]
pub fn sqrt_price_at(tick: i32) -> Option<U256> {
    if !(MIN_TICK..=MAX_TICK).contains(&tick) {
        return None;
    }
    let distance = tick.unsigned_abs();
    let mut ratio = U256::ONE << 128;
    for (bit, power) in POWERS.iter().enumerate() {
        if distance >> bit & 1 == 1 {
            ratio = (ratio * U256::from(*power)) >> 128;
        }
    }
    if tick > 0 {
        ratio = U256::MAX / ratio;
    }
    // Up, so that the tick at this price is this tick again.
    let whole: U256 = ratio >> 32;
    Some(if (whole << 32) == ratio { whole } else { whole + U256::ONE })
}

/// The greatest tick whose price is not above `sqrt_price`; none outside the range.
#[must_use]
pub fn tick_at(sqrt_price: U256) -> Option<i32> {
    if sqrt_price < MIN_SQRT_PRICE || sqrt_price >= MAX_SQRT_PRICE {
        return None;
    }
    // The contract takes a logarithm to save gas; a search among its own prices gives the same.
    let (mut low, mut high) = (MIN_TICK, MAX_TICK);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if sqrt_price_at(middle)? <= sqrt_price { low = middle } else { high = middle }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_the_contracts() {
        assert_eq!(sqrt_price_at(MIN_TICK), Some(MIN_SQRT_PRICE));
        assert_eq!(sqrt_price_at(MAX_TICK), Some(MAX_SQRT_PRICE));
        assert_eq!(sqrt_price_at(0), Some(U256::ONE << 96));
        assert_eq!(sqrt_price_at(MAX_TICK + 1), None);
        assert_eq!(tick_at(MIN_SQRT_PRICE), Some(MIN_TICK));
        assert_eq!(tick_at(MAX_SQRT_PRICE - U256::ONE), Some(MAX_TICK - 1));
        assert_eq!(tick_at(MAX_SQRT_PRICE), None);
    }

    #[test]
    fn tick_and_price_are_inverse() {
        for tick in (MIN_TICK..MAX_TICK).step_by(997) {
            let price = sqrt_price_at(tick).unwrap();
            assert_eq!(tick_at(price), Some(tick));
            if tick > MIN_TICK {
                assert_eq!(tick_at(price - U256::ONE), Some(tick - 1));
            }
        }
    }
}
