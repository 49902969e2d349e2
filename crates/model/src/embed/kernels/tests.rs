//! The vector kernels against the definition, on random data: equal bits.

use proptest::prelude::*;

use super::*;

fn floats(seed: &mut u64, count: usize) -> Vec<f32> {
    let mut next = || {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match *seed >> 59 {
            0 => f32::from_bits((*seed >> 20) as u32 % 0x0080_0000), // denormal
            _ => ((*seed >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * 3.0,
        }
    };
    (0..count).map(|_| next()).collect()
}

fn both() -> [&'static Kernels; 2] {
    [InstructionSet::Scalar, InstructionSet::Detect].map(Kernels::select)
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

proptest! {
    #[test]
    fn matmul_is_the_definition(
        (rows, columns, tokens) in (1usize..40, 1usize..50, 1usize..20),
        has_bias: bool,
        mut seed: u64,
    ) {
        let (mut panels, mut tiles) = (Panels::default(), Tiles::default());
        panels.reset(rows, columns);
        for row in 0..rows {
            panels.set_row(row, &floats(&mut seed, columns));
        }
        tiles.fill(&floats(&mut seed, tokens * columns), columns);
        let bias = floats(&mut seed, panels.width());
        let [scalar, vector] = both().map(|kernels| {
            let mut out = vec![f32::NAN; tokens * panels.width()];
            (kernels.matmul)(&panels, &tiles, has_bias.then_some(bias.as_slice()), &mut out);
            bits(&out)
        });
        prop_assert_eq!(scalar, vector);
    }

    #[test]
    fn rows_are_the_definition(blocks in 1usize..60, mut seed: u64) {
        let count = blocks * 8;
        let [row, terms, weight, bias] = std::array::from_fn(|_| floats(&mut seed, count));
        let [scalar, vector] = both().map(|kernels| {
            let (mut normed, mut gelu, mut scores) = (row.clone(), terms.clone(), weight.clone());
            (kernels.add_norm)(&mut normed, &terms, (&weight, &bias), 1e-12);
            (kernels.gelu)(&mut gelu);
            scores[count - 3..].fill(f32::NEG_INFINITY);
            let total = (kernels.softmax)(&mut scores);
            (bits(&normed), bits(&gelu), bits(&scores), total.to_bits())
        });
        prop_assert_eq!(scalar, vector);
    }
}

#[test]
fn a_product_of_matrices_is_one() {
    let (mut panels, mut tiles) = (Panels::default(), Tiles::default());
    panels.reset(16, 2);
    panels.set_column(0, &[2.0; 16]);
    panels.set_row(3, &[5.0, 7.0]);
    tiles.fill(&[1.0, 10.0, 100.0, 1000.0], 2);
    for kernels in both() {
        let mut out = vec![0.0; 32];
        (kernels.matmul)(&panels, &tiles, Some(&[1.0; 16]), &mut out);
        assert_eq!((out[0], out[3], out[16], out[19]), (3.0, 76.0, 201.0, 7501.0));
    }
}
