//! Every vector kernel against the definition, on random data: equal bits.

use proptest::prelude::*;

use super::*;
use crate::exact::math::f32_to_half;
use crate::exact::weights::{Q4_RECORD, Q8_RECORD, Q8_SCALES, ROWS, Records};

/// A small generator, so that proptest shrinks shapes and seeds, not megabytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From -`range` to `range`, now and then 0, tiny or at the edge.
    fn float(&mut self, range: f32) -> f32 {
        match self.next() % 40 {
            0 => 0.0,
            1 => -range,
            2 => f32::from_bits(self.next() as u32 % 0x0080_0000), // denormal
            _ => ((self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * range,
        }
    }

    fn floats(&mut self, count: usize, range: f32) -> Vec<f32> {
        (0..count).map(|_| self.float(range)).collect()
    }

    fn halves<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for half in bytes.as_chunks_mut().0 {
            *half = f32_to_half(self.float(0.1)).to_le_bytes();
        }
        bytes
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        // Extremes often, so that sums come near their bounds.
        let extreme = self.next().is_multiple_of(4);
        std::array::from_fn(|_| match extreme {
            true => [0x00, 0x7f, 0x80, 0x81, 0xff][self.next() as usize % 5],
            false => self.next() as u8,
        })
    }
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

fn both() -> [&'static Kernels; 2] {
    [InstructionSet::Scalar, InstructionSet::Detect].map(Kernels::select)
}

fn quantised(random: &mut Random, tokens: usize, columns: usize) -> Quantised {
    let mut out = Quantised::default();
    out.resize(tokens, columns);
    for token in 0..tokens {
        (scalar::KERNELS.quantise)(&random.floats(columns, 8.0), &mut out, token);
    }
    out
}

fn q4_records(random: &mut Random, count: usize) -> Vec<[u8; Q4_RECORD]> {
    let record = |random: &mut Random| {
        let mut record = random.bytes();
        record[128..].copy_from_slice(&random.halves::<32>());
        record
    };
    (0..count).map(|_| record(random)).collect()
}

proptest! {
    #[test]
    fn products_have_equal_bits(
        seed: u64, groups in 1usize..6, skip in 0usize..3, blocks in 1usize..20, tokens in 1usize..14,
    ) {
        let mut random = Random(seed);
        let input = quantised(&mut random, tokens, blocks * 32);
        let count = (skip + groups) * blocks;
        let q4 = q4_records(&mut random, count);
        let weights: Vec<[u8; Q8_RECORD]> = (0..count).map(|_| random.bytes()).collect();
        let scales: Vec<[u8; Q8_SCALES]> = (0..count).map(|_| random.halves()).collect();
        for records in [Records::Q4(&q4), Records::Q8 { weights: &weights, scales: &scales }] {
            let [definition, vector] = both().map(|kernels| {
                let mut out = vec![f32::NAN; tokens * groups * ROWS];
                let view = MatrixView { blocks, records };
                (kernels.matmul)(&view, skip..skip + groups, &input, &mut Panel::default(), &mut out);
                bits(&out)
            });
            prop_assert_eq!(definition, vector);
        }
    }

    #[test]
    fn rows_have_equal_bits(seed: u64, blocks in 1usize..60, range in 1e-30f32..100.0) {
        let mut random = Random(seed);
        let x = random.floats(blocks * 32, range);
        let weights = random.floats(blocks * 32, 2.0);
        let [definition, vector] = both().map(|kernels| {
            let mut quantised = Quantised::default();
            quantised.resize(2, x.len());
            (kernels.quantise)(&x, &mut quantised, 1);
            let (mut normed, mut gated) = (vec![0.0; x.len()], vec![0.0; x.len() / 2]);
            (kernels.norm)(&x, &weights, 1e-5, &mut normed);
            (kernels.swiglu)(&x, &mut gated);
            let Quantised { values, scales, sums, .. } = quantised;
            (values, bits(&scales), bits(&sums), bits(&normed), bits(&gated))
        });
        prop_assert_eq!(definition, vector);
    }

    #[test]
    fn attention_has_equal_bits(
        seed: u64,
        heads in 1usize..8,
        dimension in prop_oneof![Just(8usize), Just(40), Just(64), Just(128)],
        positions in 1usize..70,
        spare in 0usize..2,
    ) {
        let mut random = Random(seed);
        let capacity = positions.next_multiple_of(KEY_BLOCK) + spare * KEY_BLOCK;
        let queries = random.floats(heads * dimension, 4.0);
        let mut halves = || -> Vec<u16> {
            let floats = random.floats(capacity * dimension, 6.0);
            floats.into_iter().map(f32_to_half).collect()
        };
        let (keys, values) = (halves(), halves());
        let cache = HeadCache { keys: &keys, values: &values, dimension, positions };
        let [definition, vector] = both().map(|kernels| {
            let mut scores = vec![f32::NAN; scores_length(heads, positions)];
            let mut out = vec![f32::NAN; heads * dimension];
            (kernels.attend)(&queries, cache, &mut scores, &mut out);
            bits(&out)
        });
        prop_assert_eq!(definition, vector);
    }
}

/// What the integers can reach at most must not overflow 16 bits.
#[test]
fn extreme_products_are_exact() {
    let mut input = Quantised::default();
    for sign in [1.0f32, -1.0] {
        input.resize(5, 32);
        for token in 0..5 {
            (scalar::KERNELS.quantise)(&[127.0 * sign; 32], &mut input, token);
        }
        let mut record = [0xff; Q4_RECORD];
        record[128..144].as_chunks_mut().0.fill(f32_to_half(1.0).to_le_bytes());
        record[144..].fill(0);
        let ones: [u8; Q8_SCALES] = record[128..144].try_into().unwrap();
        for (weight, expected) in [(0x80u8, -128.0), (0x7f, 127.0), (0, 15.0)] {
            let (q4, weights, scales) = ([record; 2], [[weight; Q8_RECORD]; 2], [ones; 2]);
            let q8 = Records::Q8 { weights: &weights, scales: &scales };
            let records = if weight == 0 { Records::Q4(&q4) } else { q8 };
            for kernels in both() {
                let mut out = vec![0.0; 5 * 16];
                let view = MatrixView { blocks: 1, records };
                (kernels.matmul)(&view, 0..2, &input, &mut Panel::default(), &mut out);
                assert_eq!(out, vec![expected * 127.0 * 32.0 * sign; 5 * 16], "{}", kernels.name);
            }
        }
    }
}
