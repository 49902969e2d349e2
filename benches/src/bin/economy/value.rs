//! What each training example is worth: exact KNN-Shapley.

use std::time::Instant;

use anyhow::ensure;
use vouch_benches::{
    figure::{Figure, median},
    random::Random,
};
use vouch_data::value::{Examples, knn_shapley};

use crate::{BENCH, Options, note};

const TRAINING: usize = 10_000;
const VALIDATION: usize = 1_000;
const DIMENSIONS: usize = 384;
const CLASSES: usize = 20;
const OWNERS: usize = 10;
const K: usize = 5;

pub(crate) fn figures(options: &Options) -> anyhow::Result<Vec<Figure>> {
    note("valuation: KNN-Shapley");
    let mut random = Random(0x5a91);
    let centres: Vec<Vec<f32>> = (0..CLASSES).map(|_| vector(&mut random)).collect();
    let train = examples(&mut random, &centres, TRAINING)?;
    let validation = examples(&mut random, &centres, VALIDATION)?;
    let owners: Vec<usize> = (0..TRAINING).map(|_| random.below(OWNERS)).collect();
    let mut seconds = Vec::new();
    for _ in 0..options.rounds {
        let start = Instant::now();
        let values = knn_shapley(&train, &validation, &owners, OWNERS, K)?;
        seconds.push(start.elapsed().as_secs_f64());
        // Efficiency: all that is worth something is shared out, and nothing else.
        let by_example: f64 = values.examples.iter().sum();
        let by_owner: f64 = values.owners.iter().map(|owner| owner.value).sum();
        for sum in [by_example, by_owner] {
            ensure!((sum - values.total).abs() < 1e-9, "{sum} is not the worth {}", values.total);
        }
        ensure!(values.total > 0.1 && values.total < 0.99, "the worth is {}", values.total);
    }
    let name = "KNN-Shapley, 10,000 x 1,000 x 384";
    Ok(vec![Figure::alone(BENCH, name, "s", median(&seconds))])
}

/// Vectors around their classes' centres, as embeddings lie; one label in ten is wrong.
fn examples(random: &mut Random, centres: &[Vec<f32>], count: usize) -> anyhow::Result<Examples> {
    let mut examples = Examples::new(DIMENSIONS);
    for _ in 0..count {
        let class = random.below(CLASSES);
        let noise = vector(random);
        let vector: Vec<f32> =
            centres[class].iter().zip(noise).map(|(centre, noise)| 0.3 * centre + noise).collect();
        let label = if random.below(10) == 0 { random.below(CLASSES) } else { class };
        examples.push(&vector, label as u32)?;
    }
    Ok(examples)
}

fn vector(random: &mut Random) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| random.normal() as f32).collect()
}
