use alloy::primitives::{Address, B256};
use proptest::prelude::*;
use vouch_data::{
    dataset::{Document, content_hash},
    value::{
        Config, Examples, PARTS, Set, SetConfig, Validation, knn_shapley, remove_copies, train,
        validation_hash,
    },
};

use crate::support::{DIMENSIONS, Words, document};

fn examples(rows: &[(Vec<f32>, u32)], dimensions: usize) -> Examples {
    let mut examples = Examples::new(dimensions);
    rows.iter().for_each(|(vector, label)| examples.push(vector, *label).unwrap());
    examples
}

fn guess(validation: &Examples) -> f64 {
    let count = |label: u32| validation.labels().iter().filter(|l| **l == label).count();
    (0..3).map(count).max().unwrap() as f64 / validation.len() as f64
}

/// Shapley values from the definition, over all 2^n subsets.
fn brute_force(train: &Examples, validation: &Examples, k: usize) -> Vec<f64> {
    let n = train.len();
    let guess = guess(validation);
    let worth = |subset: usize| -> f64 {
        let members: Vec<usize> = (0..n).filter(|i| subset >> i & 1 == 1).collect();
        let of_point = |point: usize| {
            let near = |i: usize| -> f32 {
                train.vector(i).iter().zip(validation.vector(point)).map(|(a, b)| a * b).sum()
            };
            let mut sorted = members.clone();
            sorted.sort_by(|a, b| near(*b).total_cmp(&near(*a)).then(a.cmp(b)));
            let label = validation.labels()[point];
            let right = sorted.iter().take(k).filter(|i| train.labels()[**i] == label).count();
            (right as f64 + k.saturating_sub(sorted.len()) as f64 * guess) / k as f64
        };
        (0..validation.len()).map(of_point).sum::<f64>() / validation.len() as f64
    };
    let factorial = |m: usize| (1..=m).map(|i| i as f64).product::<f64>();
    let worths: Vec<f64> = (0..1 << n).map(worth).collect();
    let value = |i: usize| {
        let without = (0..1usize << n).filter(|subset| subset >> i & 1 == 0);
        without
            .map(|subset| {
                let size = subset.count_ones() as usize;
                let weight = factorial(size) * factorial(n - size - 1) / factorial(n);
                weight * (worths[subset | 1 << i] - worths[subset])
            })
            .sum()
    };
    (0..n).map(value).collect()
}

fn row() -> impl Strategy<Value = (Vec<f32>, u32)> {
    (proptest::collection::vec(-1f32..1.0, 3), 0u32..3)
        .prop_filter("has a direction", |(v, _)| v.iter().any(|x| x.abs() > 0.1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values_are_the_definitions(
        rows in proptest::collection::vec(row(), 1..8),
        points in proptest::collection::vec(row(), 1..5),
        k in 1usize..5,
    ) {
        let (train, validation) = (examples(&rows, 3), examples(&points, 3));
        let owners: Vec<usize> = (0..rows.len()).map(|i| i % 3).collect();
        let values = knn_shapley(&train, &validation, &owners, 3, k).unwrap();
        for (fast, exact) in values.examples.iter().zip(brute_force(&train, &validation, k)) {
            prop_assert!((fast - exact).abs() < 1e-9, "{} {}", fast, exact);
        }
        for owner in 0..3 {
            let own: f64 = values.examples.iter().zip(&owners)
                .filter(|(_, of)| **of == owner).map(|(value, _)| value).sum();
            prop_assert!((own - values.owners[owner].value).abs() < 1e-9);
        }
    }

    /// What all are worth is shared out whole; an empty set is worth nothing.
    #[test]
    fn values_are_efficient(
        rows in proptest::collection::vec(row(), 1..80),
        points in proptest::collection::vec(row(), 1..40),
        k in 1usize..8,
    ) {
        let (train, validation) = (examples(&rows, 3), examples(&points, 3));
        let values = knn_shapley(&train, &validation, &vec![0; rows.len()], 1, k).unwrap();
        prop_assert!((values.examples.iter().sum::<f64>() - values.total).abs() < 1e-9);
        prop_assert_eq!(values.guess, guess(&validation));
        // Rounded as the sum is.
        let least = -values.guess - 1e-9;
        prop_assert!((least..=least + 1.0 + 2e-9).contains(&values.total));
    }

    /// As by comparing every pair in full.
    #[test]
    fn copies_are_those_of_every_pair(
        rows in proptest::collection::vec(proptest::collection::vec(-1f32..1.0, 70), 1..20),
        twins in proptest::collection::vec((any::<proptest::sample::Index>(), -0.02f32..0.02), 0..10),
    ) {
        let mut rows = rows;
        for (twin, noise) in twins {
            let mut copy = twin.get(&rows).clone();
            copy.iter_mut().step_by(3).for_each(|value| *value += noise);
            rows.push(copy);
        }
        let labelled: Vec<_> = rows.into_iter().map(|row| (row, 0)).collect();
        let all = examples(&labelled, 70);
        let hashes: Vec<B256> = (0..all.len()).map(|i| content_hash(&i.to_string())).collect();
        let copies = remove_copies(&all, &hashes, 0.97);
        let near = |a: usize, b: usize| -> f32 {
            all.vector(a).iter().zip(all.vector(b)).map(|(a, b)| a * b).sum()
        };
        for (at, a) in copies.kept.iter().enumerate() {
            prop_assert!(copies.kept[..at].iter().all(|b| near(*a, *b) < 0.9701));
        }
        for (copy, original) in &copies.copies {
            prop_assert!(original < copy && copies.kept.contains(original));
            prop_assert!(near(*copy, *original) > 0.9699);
        }
        prop_assert_eq!(copies.kept.len() + copies.copies.len(), all.len());
    }
}

const SEA: &[&str] = &["lamp", "harbour", "keeper", "anchor", "storm", "whale", "sail", "tide"];
const BREAD: &[&str] = &["flour", "yeast", "oven", "crust", "dough", "salt", "knead", "loaf"];

/// Labelled examples: words of one theme, told apart by a number; `seed` makes sets differ.
fn set(seed: usize, count: usize, label: impl Fn(usize) -> &'static str) -> Vec<Document> {
    let line = |i: usize| {
        let words = if i.is_multiple_of(2) { SEA } else { BREAD };
        let pick = |n: usize| words[(seed * 7 + i * 3 + n * (seed + i / 2)) % words.len()];
        let text = format!("{} {} {} note{}x{}", pick(1), pick(2), pick(5), seed, i);
        let json = serde_json::json!({ "text": text, "label": label(i) }).to_string();
        document(&format!("{seed}.jsonl#{}", i + 1), &json)
    };
    (0..count).map(line).collect()
}

fn honest(i: usize) -> &'static str {
    if i.is_multiple_of(2) { "sea" } else { "bread" }
}

/// Half of the labels wrong, in no relation to the text.
fn random(i: usize) -> &'static str {
    if ((i * 2_654_435_761) >> 7).is_multiple_of(2) { "sea" } else { "bread" }
}

fn config(sets: &[Set], validation: &[Document]) -> Config {
    let named = |set: &Set| SetConfig {
        owner: set.owner,
        dataset: set.dataset,
        grant: set.grant,
        source: "here".into(),
    };
    Config {
        name: "themes".into(),
        k: 5,
        near_duplicate: 0.9999,
        pot: 1_000_003,
        validation: Validation {
            path: "validation".into(),
            commitment: validation_hash(validation),
        },
        sets: sets.iter().map(named).collect(),
    }
}

fn sets(documents: Vec<Vec<Document>>) -> Vec<Set> {
    let set = |(n, documents): (u8, Vec<Document>)| Set {
        owner: Address::repeat_byte(n),
        dataset: B256::repeat_byte(n),
        grant: B256::repeat_byte(n),
        documents,
    };
    (1..).zip(documents).map(set).collect()
}

#[test]
fn copies_and_noise_earn_nothing() {
    let original = set(1, 60, honest);
    let copy: Vec<_> =
        original.iter().cloned().map(|d| Document { path: format!("x/{}", d.path), ..d }).collect();
    let sets = sets(vec![original, set(2, 60, honest), copy, set(3, 60, random)]);
    let validation = set(9, 80, honest);
    let config = config(&sets, &validation);
    let embedding = B256::repeat_byte(6);
    let run = || train(&config, &sets, &validation, embedding, DIMENSIONS, &Words).unwrap();
    let trained = run();
    let report = &trained.report;
    let [first, second, copy, noise] = &report.owners[..] else { panic!("four owners") };
    assert!(first.weight > 0 && second.weight > 0);
    assert_eq!((copy.copies, copy.weight, copy.amount), (60, 0, 0));
    assert!(noise.value <= noise.error, "{noise:?}");
    assert_eq!((noise.weight, noise.amount), (0, 0), "{noise:?}");
    assert_eq!(report.owners.iter().map(|owner| owner.weight).sum::<u128>(), PARTS);
    assert_eq!(report.owners.iter().map(|owner| owner.amount).sum::<u128>(), config.pot);
    let sum: f64 = report.owners.iter().map(|owner| owner.value).sum();
    assert!((sum - report.total).abs() < 1e-9);
    assert!(
        report.right * 10 >= report.validation * 8,
        "{} of {}",
        report.right,
        report.validation
    );
    // The same again, bit for bit.
    assert_eq!(run(), trained);
    assert_eq!(run().classifier.identity().unwrap(), report.model);
}

#[test]
fn a_validation_set_that_was_not_committed_to_is_refused() {
    let sets = sets(vec![set(1, 10, honest)]);
    let validation = set(9, 10, honest);
    let config = config(&sets, &validation);
    let go = |sets: &[Set], validation: &[Document]| {
        train(&config, sets, validation, B256::ZERO, DIMENSIONS, &Words).is_ok()
    };
    assert!(go(&sets, &validation));
    assert!(!go(&sets, &validation[1..]));
    let mut other = sets.clone();
    other[0].grant = B256::ZERO;
    assert!(!go(&other, &validation), "sets of another grant");
}

#[test]
fn classifier_toml_is_read_and_checked() {
    let text = r#"
        name = "tickets"
        pot = "1000000"
        [validation]
        path = "validation"
        commitment = "0x0101010101010101010101010101010101010101010101010101010101010101"
        [[sets]]
        owner = "0x0101010101010101010101010101010101010101"
        dataset = "0x0101010101010101010101010101010101010101010101010101010101010101"
        grant = "0x0101010101010101010101010101010101010101010101010101010101010101"
        source = "http://127.0.0.1:4030"
    "#;
    assert_eq!(Config::from_toml(text).unwrap().k, 5);
    for bad in [
        format!("k = 0\n{text}"),
        format!("near_duplicate = 0.1\n{text}"),
        format!("pots = 1\n{text}"),
    ] {
        assert!(Config::from_toml(&bad).is_err(), "{bad}");
    }
}
