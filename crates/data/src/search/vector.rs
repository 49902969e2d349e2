//! Inner products with one order of additions, so that the same vectors give the same bits on any
//! machine; written so that the compiler can use its vector registers.

use crate::{Error, Result};

/// Partial sums that run side by side.
const LANES: usize = 16;

/// The inner product of two vectors of one length.
#[inline]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let mut sums = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_chunks.remainder(), b_chunks.remainder());
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[lane] += a * b;
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0]
}

/// Scales a vector to length one.
///
/// # Errors
/// [`Error::Malformed`] if it is zero or holds what is no number.
pub(crate) fn normalise(vector: &mut [f32]) -> Result<()> {
    let length = dot(vector, vector).sqrt();
    if !length.is_normal() {
        return Err(Error::malformed("embedding", "its length is zero, infinite or no number"));
    }
    vector.iter_mut().for_each(|value| *value /= length);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dot_is_the_sum_of_products(pairs in proptest::collection::vec((-1f32..1.0, -1f32..1.0), 0..500)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-3);
            prop_assert_eq!(dot(&a, &b).to_bits(), dot(&b, &a).to_bits());
        }
    }

    #[test]
    fn what_has_no_direction_is_refused() {
        for mut vector in [vec![0.0; 4], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            assert!(normalise(&mut vector).is_err());
        }
    }
}
