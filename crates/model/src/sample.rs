//! Draws a token from logits so that anyone with the same settings and seed draws the same.
//!
//! Gumbel-max: the drawn token maximises `logit / temperature + g`, where `g` is Gumbel noise made
//! from (seed, position, token id) alone, so a draw depends on no other draw and no state. Top-p
//! restricts it to the nucleus: the most probable tokens that together reach the share `top_p`.
//! `docs/ARITHMETIC.md` states every operation.

mod philox;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::exact::math::{exp, ln};
use philox::Philox;

/// How a token is drawn. Its canonical JSON is hashed into receipts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// 0 takes the most probable token; otherwise above 0, up to 2.
    pub temperature: f64,
    /// Share of the probability to draw from: above 0, up to 1.
    pub top_p: f64,
}

/// The name of the way tokens are drawn, part of the canonical form.
pub const METHOD: &str = "gumbel-philox4x32-10/1";

/// Divisors below this would only overflow; the draw is then the most probable token anyway.
const TEMPERATURE_MIN: f64 = 1e-3;
const TEMPERATURE_MAX: f64 = 2.0;

/// No Gumbel noise exceeds it: `-ln(-ln(u))` of the largest u, `1 - 2^-33`, rounded up.
const NOISE_MAX: f64 = 22.9;

impl Sampling {
    /// The most probable token, always.
    #[must_use]
    pub const fn greedy() -> Self {
        Self { temperature: 0.0, top_p: 1.0 }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Request`], naming the setting.
    pub fn check(&self) -> Result<(), Error> {
        let temperatures = TEMPERATURE_MIN..=TEMPERATURE_MAX;
        if self.temperature != 0.0 && !temperatures.contains(&self.temperature) {
            return Err(Error::Request(format!(
                "temperature is {}; it must be 0 or from {TEMPERATURE_MIN} to {TEMPERATURE_MAX}",
                self.temperature
            )));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            let top_p = self.top_p;
            return Err(Error::Request(format!(
                "top_p is {top_p}; it must be above 0 and at most 1"
            )));
        }
        Ok(())
    }

    /// The RFC 8785 form: method, temperature and top-p.
    ///
    /// # Errors
    /// [`Error::Request`] where a setting is out of range (a NaN has no JSON form).
    pub fn canonical_json(&self) -> Result<Vec<u8>, Error> {
        #[derive(Serialize)]
        struct Canonical<'a> {
            method: &'a str,
            temperature: f64,
            top_p: f64,
        }
        self.check()?;
        // -0 and 0 are one setting.
        let temperature = if self.temperature == 0.0 { 0.0 } else { self.temperature };
        let canonical = Canonical { method: METHOD, temperature, top_p: self.top_p };
        serde_json_canonicalizer::to_vec(&canonical)
            .map_err(|error| Error::Request(format!("its sampling has no JSON form: {error}")))
    }

    /// keccak-256 of the canonical form, as receipts carry it.
    ///
    /// # Errors
    /// As [`Self::canonical_json`].
    pub fn hash(&self) -> Result<B256, Error> {
        self.canonical_json().map(keccak256)
    }
}

/// Draws the tokens of one generation.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    noise: Philox,
}

impl Sampler {
    /// A sampler for settings that were checked.
    #[must_use]
    pub fn new(sampling: Sampling, seed: &[u8; 32]) -> Self {
        Self { sampling, noise: Philox::new(seed) }
    }

    /// The token drawn from the logits at generated position `position` (the first is 0), by
    /// lowest id where several are equal. `None` where the logits are not finite numbers.
    #[must_use]
    pub fn draw(&self, logits: &[f32], position: u64) -> Option<u32> {
        let best = argmax(logits)?;
        if self.sampling.temperature == 0.0 {
            return Some(best);
        }
        let max = f64::from(logits[best as usize]);
        let scaled = |logit: f32| (f64::from(logit) - max) / self.sampling.temperature;
        let mut winner = Winner { id: best, score: f64::NEG_INFINITY };
        if self.sampling.top_p < 1.0 {
            for (id, logit) in self.nucleus(logits, &scaled) {
                winner.offer(&self.noise, position, id, scaled(logit));
            }
        } else {
            for (id, logit) in (0u32..).zip(logits) {
                winner.offer(&self.noise, position, id, scaled(*logit));
            }
        }
        Some(winner.id)
    }

    /// The shortest run of the most probable tokens whose weight reaches top-p of the whole.
    fn nucleus(&self, logits: &[f32], scaled: &dyn Fn(f32) -> f64) -> Vec<(u32, f32)> {
        let weight = |logit: f32| f64::from(exp(scaled(logit) as f32));
        let total: f64 = logits.iter().fold(0.0, |sum, logit| sum + weight(*logit));
        let threshold = self.sampling.top_p * total;
        let mut candidates: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        // A nucleus is short, so only the first few of the order are sorted; more where needed.
        let (mut sorted, mut sum) = (0, 0.0);
        for count in (6..).map(|power| 1usize << power) {
            let rest = &mut candidates[sorted..];
            if count < rest.len() {
                rest.select_nth_unstable_by(count, order);
            }
            let count = count.min(rest.len());
            rest[..count].sort_unstable_by(order);
            for (_, logit) in &rest[..count] {
                sorted += 1;
                sum += weight(*logit);
                if sum >= threshold || sorted == logits.len() {
                    candidates.truncate(sorted);
                    return candidates;
                }
            }
        }
        candidates
    }
}

/// The best score so far.
struct Winner {
    id: u32,
    score: f64,
}

impl Winner {
    fn offer(&mut self, noise: &Philox, position: u64, id: u32, scaled: f64) {
        // Rounding is monotone, so what cannot win with the largest noise cannot win.
        if scaled + NOISE_MAX < self.score {
            return;
        }
        let score = scaled + gumbel(noise.word(position, id));
        if score > self.score || (score == self.score && id < self.id) {
            (self.id, self.score) = (id, score);
        }
    }
}

/// Gumbel noise from 32 random bits: `-ln(-ln((word + 0.5) / 2^32))`.
fn gumbel(word: u32) -> f64 {
    let uniform = (f64::from(word) + 0.5) / 4_294_967_296.0;
    -ln(-ln(uniform))
}

/// The lowest id of the largest logit; `None` where one is NaN or the largest is not finite.
fn argmax(logits: &[f32]) -> Option<u32> {
    // Lanes first, so that the compiler can use wide registers: a maximum has no order.
    let (lanes, rest) = logits.as_chunks::<16>();
    let mut largest = [f32::NEG_INFINITY; 16];
    let mut nan = [false; 16];
    for lanes in lanes {
        for ((largest, nan), logit) in largest.iter_mut().zip(&mut nan).zip(lanes) {
            *largest = if *logit > *largest { *logit } else { *largest };
            *nan |= logit.is_nan();
        }
    }
    let max = rest.iter().chain(&largest).fold(f32::NEG_INFINITY, |max, x| max.max(*x));
    if !max.is_finite() || nan.contains(&true) || rest.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let id = logits.iter().position(|logit| *logit == max)?;
    u32::try_from(id).ok()
}

#[cfg(test)]
mod tests;
