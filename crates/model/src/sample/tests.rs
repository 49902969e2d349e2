use proptest::prelude::*;

use super::*;

fn sampler(temperature: f64, top_p: f64, seed: u8) -> Sampler {
    let sampling = Sampling { temperature, top_p };
    sampling.check().unwrap();
    Sampler::new(sampling, &[seed; 32])
}

/// The same draw without the short cuts: everything sorted, nothing skipped.
fn draw_plainly(sampler: &Sampler, logits: &[f32], position: u64) -> u32 {
    let Sampling { temperature, top_p } = sampler.sampling;
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let scaled = |logit: f32| (f64::from(logit) - max) / temperature;
    let weight = |logit: f32| f64::from(exp(scaled(logit) as f32));
    let total: f64 = logits.iter().fold(0.0, |sum, logit| sum + weight(*logit));
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
    let mut sum = 0.0;
    let end = order.iter().position(|id| {
        sum += weight(logits[*id as usize]);
        sum >= top_p * total
    });
    if top_p < 1.0 {
        order.truncate(end.map_or(order.len(), |end| end + 1));
    }
    let score = |id: u32| scaled(logits[id as usize]) + gumbel(sampler.noise.word(position, id));
    let best = order.iter().copied().map(score).fold(f64::NEG_INFINITY, f64::max);
    order.into_iter().filter(|id| score(*id) == best).min().unwrap()
}

proptest! {
    #[test]
    fn short_cuts_change_nothing(
        logits in proptest::collection::vec(-12f32..12.0, 1..600),
        temperature in 0.05f64..2.0,
        top_p in prop_oneof![Just(1.0), 0.01f64..1.0],
        position in 0u64..1000,
    ) {
        let sampler = sampler(temperature, top_p, 7);
        prop_assert_eq!(
            sampler.draw(&logits, position),
            Some(draw_plainly(&sampler, &logits, position))
        );
    }

    #[test]
    fn noise_stays_below_its_bound(word in any::<u32>()) {
        for word in [word, 0, u32::MAX] {
            prop_assert!(gumbel(word).is_finite() && gumbel(word) < NOISE_MAX);
        }
    }
}

#[test]
fn temperature_zero_takes_the_lowest_of_the_largest() {
    let mut logits = vec![0.5f32; 100];
    assert_eq!(sampler(0.0, 1.0, 0).draw(&logits, 0), Some(0));
    (logits[37], logits[90]) = (2.0, 2.0);
    assert_eq!(sampler(0.0, 0.3, 0).draw(&logits, 9), Some(37));
    logits[99] = 2.5;
    assert_eq!(sampler(0.0, 1.0, 0).draw(&logits, 0), Some(99));
}

#[test]
fn logits_that_are_not_numbers_give_no_token() {
    for bad in [f32::NAN, f32::INFINITY] {
        for at in [0, 20, 33] {
            let mut logits = vec![0f32; 34];
            logits[at] = bad;
            assert_eq!(sampler(0.0, 1.0, 0).draw(&logits, 0), None);
            assert_eq!(sampler(1.0, 0.9, 0).draw(&logits, 0), None);
        }
    }
    assert_eq!(sampler(0.0, 1.0, 0).draw(&[f32::NEG_INFINITY; 20], 0), None);
}

#[test]
fn draws_follow_the_probabilities() {
    let probabilities = [0.5f64, 0.25, 0.15, 0.1];
    let logits = probabilities.map(|p| p.ln() as f32);
    let draws = 40_000;
    for (top_p, shares) in [(1.0, probabilities), (0.7, [2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0])] {
        let sampler = sampler(1.0, top_p, 3);
        let mut counts = [0u32; 4];
        for position in 0..draws {
            counts[sampler.draw(&logits, position).unwrap() as usize] += 1;
        }
        for (count, share) in counts.iter().zip(shares) {
            let deviation = (f64::from(*count) / draws as f64 - share).abs();
            assert!(deviation < 0.012, "{counts:?} for {shares:?}");
        }
    }
}

#[test]
fn canonical_form_and_hash_are_pinned() {
    let sampling = Sampling { temperature: 0.7, top_p: 0.95 };
    let json = sampling.canonical_json().unwrap();
    assert_eq!(
        String::from_utf8(json.clone()).unwrap(),
        r#"{"method":"gumbel-philox4x32-10/1","temperature":0.7,"top_p":0.95}"#
    );
    assert_eq!(sampling.hash().unwrap(), keccak256(json));
    let negative = Sampling { temperature: -0.0, top_p: 1.0 };
    assert_eq!(negative.hash().unwrap(), Sampling::greedy().hash().unwrap());
}

#[test]
fn settings_out_of_range_are_refused() {
    for (temperature, top_p) in [
        (-1.0, 1.0),
        (2.1, 1.0),
        (1e-9, 1.0),
        (f64::NAN, 1.0),
        (1.0, 0.0),
        (1.0, 1.1),
        (1.0, f64::NAN),
    ] {
        let sampling = Sampling { temperature, top_p };
        assert!(sampling.check().is_err() && sampling.hash().is_err());
    }
}
