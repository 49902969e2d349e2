//! The elementary functions of the arithmetic: `exp`, `ln`, half precision, the RoPE table.
//!
//! Each is a fixed sequence of IEEE additions, multiplications and divisions, so that it gives the
//! same bits on every machine; `docs/ARITHMETIC.md` states them.

/// Adding and subtracting it rounds an f32 of magnitude below 2^22 to the nearest integer, ties to even.
pub(crate) const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// Constants of [`exp`], shared with the vector form.
pub(crate) mod exp_constants {
    pub(crate) const MIN: f32 = -87.0;
    pub(crate) const MAX: f32 = 88.0;
    pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;
    /// ln 2 in two parts; products of the first with small integers are exact.
    pub(crate) const LN2_HIGH: f32 = 0.693_359_4;
    pub(crate) const LN2_LOW: f32 = -2.121_944_4e-4;
    /// Highest degree first (Cephes `expf`).
    pub(crate) const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
}

/// `e^x` for x clamped to [-87, 88]; relative error below 2e-7. NaN gives `exp(-87)`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    use exp_constants::{LN2_HIGH, LN2_LOW, LOG2_E, MAX, MIN, POLYNOMIAL};
    // Written as the vector instructions max and min choose, so that NaN goes the same way.
    let x = if x > MIN { x } else { MIN };
    let x = if x < MAX { x } else { MAX };
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = POLYNOMIAL[0];
    for c in &POLYNOMIAL[1..] {
        p = p * r + c;
    }
    let y = (p * (r * r) + r) + 1.0;
    f32::from_bits(y.to_bits().wrapping_add(exponent << 23))
}

/// Natural logarithm of a positive, normal f64 (fdlibm's `e_log.c`; error below 1 ulp).
pub(crate) fn ln(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const LG: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    debug_assert!(x.is_normal() && x > 0.0);
    // x = 2^k * m with m in [sqrt(2)/2, sqrt(2)).
    let bits = x.to_bits();
    let high = (bits >> 32) as u32 + (0x3ff0_0000 - 0x3fe6_a09e);
    let k = f64::from((high >> 20) as i32 - 0x3ff);
    let high = (high & 0x000f_ffff) + 0x3fe6_a09e;
    let m = f64::from_bits(u64::from(high) << 32 | bits & 0xffff_ffff);

    let f = m - 1.0;
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (LG[1] + w * (LG[3] + w * LG[5]));
    let odd = z * (LG[0] + w * (LG[2] + w * (LG[4] + w * LG[6])));
    let r = odd + even;
    s * (half_square + r) + k * LN2_LOW - half_square + f + k * LN2_HIGH
}

/// Widens an IEEE half; exact.
#[inline(always)]
pub(crate) fn half_to_f32(half: u16) -> f32 {
    let half = u32::from(half);
    let sign = (half & 0x8000) << 16;
    let magnitude = half & 0x7fff;
    let bits = match magnitude >> 10 {
        0 => (magnitude as f32 * f32::from_bits(0x3380_0000)).to_bits(), // m * 2^-24
        31 => 0x7f80_0000 | (magnitude & 0x3ff) << 13,
        _ => (magnitude << 13) + (112 << 23),
    };
    f32::from_bits(bits | sign)
}

/// Rounds to an IEEE half, to nearest, ties to even; too large becomes infinite.
#[inline(always)]
pub(crate) fn f32_to_half(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00; // 65536 and above
    }
    if magnitude < 0x3880_0000 {
        // Below 2^-14 halves are multiples of 2^-24: adding 0.5 rounds at that place.
        return sign | (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000) as u16;
    }
    // A carry out of the fraction runs into the exponent, as it should: 65520 becomes infinite.
    let odd = magnitude >> 13 & 1;
    sign | ((magnitude - (112 << 23) + 0xfff + odd) >> 13) as u16
}

/// Cosines and sines of the rotary position embedding.
#[derive(Debug)]
pub(crate) struct RopeTable {
    half_dimension: usize,
    /// Position-major pairs (cos, sin).
    pairs: Vec<(f32, f32)>,
}

impl RopeTable {
    /// For `positions` positions of heads of `dimension`, frequencies `base^(-2i/dimension)`: all in
    /// f64 by `libm`, rounded to f32 once.
    pub(crate) fn new(base: f64, dimension: usize, positions: usize) -> Self {
        let half_dimension = dimension / 2;
        let frequencies: Vec<f64> = (0..half_dimension)
            .map(|i| libm::pow(base, -(2.0 * i as f64) / dimension as f64))
            .collect();
        let pairs = (0..positions)
            .flat_map(|position| {
                frequencies.iter().map(move |frequency| {
                    let angle = position as f64 * frequency;
                    (libm::cos(angle) as f32, libm::sin(angle) as f32)
                })
            })
            .collect();
        Self { half_dimension, pairs }
    }

    /// Rotates the adjacent pairs of one head's vector in place.
    #[inline(always)]
    pub(crate) fn rotate(&self, position: usize, head: &mut [f32]) {
        let row = &self.pairs[position * self.half_dimension..][..self.half_dimension];
        for (pair, &(cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(row) {
            let [a, b] = *pair;
            *pair = [a * cos - b * sin, a * sin + b * cos];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate() {
        let mut worst = 0f64;
        for i in 0..=1_750_000 {
            let x = -87.0 + i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - exact) / exact).abs());
        }
        assert!(worst < 2e-7, "relative error {worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
        assert_eq!(exp(f32::INFINITY), exp(88.0));
        assert_eq!(exp(f32::NAN), exp(-87.0));
    }

    #[test]
    fn ln_is_accurate() {
        for i in 1..2_000_000u32 {
            let x = (f64::from(i.wrapping_mul(2_654_435_761)) + 0.5) / 4_294_967_296.0;
            for x in [x, -x.ln()] {
                let exact = x.ln();
                assert!((ln(x) - exact).abs() <= exact.abs() * 3e-16, "ln({x})");
            }
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn halves_round_trip_and_round_to_even() {
        for half in 0..=u16::MAX {
            let wide = half_to_f32(half);
            if wide.is_nan() {
                assert!(half_to_f32(f32_to_half(wide)).is_nan());
            } else {
                assert_eq!(f32_to_half(wide), half);
            }
        }
        // Between two neighbours, the nearer wins and a tie goes to the even one.
        for half in 0..0x7bff_u16 {
            let (low, high) = (half_to_f32(half), half_to_f32(half + 1));
            let middle = (low + high) / 2.0; // exact in f32
            assert_eq!(f32_to_half(middle), half + (half & 1));
            assert_eq!(f32_to_half(middle.next_down()), half);
            assert_eq!(f32_to_half(-middle.next_up()), (half + 1) | 0x8000);
        }
        assert_eq!(f32_to_half(65_520.0), 0x7c00);
        assert_eq!(f32_to_half(65_519.996), 0x7bff);
    }

    #[test]
    fn rope_turns_by_the_angle() {
        let table = RopeTable::new(10_000.0, 4, 3);
        let mut head = [1.0, 0.0, 0.0, 1.0];
        table.rotate(2, &mut head);
        let (a, b) = (2f64, 2f64 / 100.0);
        let expected = [a.cos(), a.sin(), -b.sin(), b.cos()];
        for (got, want) in head.iter().zip(expected) {
            assert!((f64::from(*got) - want).abs() < 1e-7);
        }
    }
}
