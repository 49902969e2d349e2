//! The definition of every operation, computed in exactly the order in which it is written.

use super::{Kernels, Panels, ROWS, Tiles};
use crate::exact::kernels::{scalar::softmax, sum_lanes};

pub(super) static KERNELS: Kernels = Kernels { name: "scalar", matmul, add_norm, gelu, softmax };

fn matmul(matrix: &Panels, input: &Tiles, bias: Option<&[f32]>, out: &mut [f32]) {
    let width = matrix.width();
    for (first, count, tile) in input.iter() {
        for token in 0..count {
            let out = &mut out[(first + token) * width..][..width];
            let panels = matrix.data.chunks_exact(matrix.columns);
            for (panel, out) in panels.zip(out.as_chunks_mut::<ROWS>().0) {
                *out = [0.0; ROWS];
                for (weights, values) in panel.iter().zip(tile.chunks_exact(count)) {
                    for (acc, weight) in out.iter_mut().zip(weights) {
                        *acc += weight * values[token];
                    }
                }
            }
            for (out, bias) in out.iter_mut().zip(bias.unwrap_or_default()) {
                *out += bias;
            }
        }
    }
}

#[inline(always)]
pub(super) fn add_norm(
    row: &mut [f32],
    terms: &[f32],
    (weight, bias): (&[f32], &[f32]),
    epsilon: f32,
) {
    let mut sums = [0f32; 8];
    for (row, terms) in row.as_chunks_mut::<8>().0.iter_mut().zip(terms.as_chunks::<8>().0) {
        for ((x, term), sum) in row.iter_mut().zip(terms).zip(&mut sums) {
            *x += term;
            *sum += *x;
        }
    }
    let mean = sum_lanes(sums) / row.len() as f32;
    let mut squares = [0f32; 8];
    for row in row.as_chunks_mut::<8>().0 {
        for (x, square) in row.iter_mut().zip(&mut squares) {
            *x -= mean;
            *square += *x * *x;
        }
    }
    let variance = sum_lanes(squares) / row.len() as f32;
    let inverse = 1.0 / (variance + epsilon).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
        *x = (*x * inverse) * weight + bias;
    }
}

#[inline(always)]
pub(super) fn gelu(values: &mut [f32]) {
    for values in values.as_chunks_mut::<8>().0 {
        for x in values {
            *x = (0.5 * *x) * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

/// The error function: an odd rational function of `x` clamped to [-4, 4], highest powers first
/// (the coefficients of Eigen's `erf` for floats); error below 5e-7. NaN gives `erf(-4)`.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    const NUMERATOR: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const DENOMINATOR: [f32; 5] =
        [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    let x = if x > -4.0 { x } else { -4.0 };
    let x = if x < 4.0 { x } else { 4.0 };
    let square = x * x;
    let horner = |coefficients: &[f32]| {
        let mut value = coefficients[0];
        for coefficient in &coefficients[1..] {
            value = value * square + coefficient;
        }
        value
    };
    (x * horner(&NUMERATOR)) / horner(&DENOMINATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_is_accurate() {
        // The Taylor series, in binary64: exact to 1e-13 below 3, where erf is 1 - 2e-5.
        let exact = |x: f64| {
            let mut term = x;
            let mut sum = x;
            for n in 1..80 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        };
        for i in -3_000_000..=3_000_000 {
            let x = i as f32 * 1e-6;
            let error = (f64::from(erf(x)) - exact(f64::from(x))).abs();
            assert!(error < 5e-7, "erf({x}) is off by {error:e}");
        }
        for x in [3.0f32, 3.5, 4.0, 9.0, f32::INFINITY] {
            assert!((erf(x) - 1.0).abs() < 3e-5 && erf(-x) == -erf(x));
        }
        assert!((erf(4.0) - 1.0).abs() < 5e-7);
        assert_eq!(erf(0.0), 0.0);
    }
}
