//! The engine's promise, on a real model: equal bits however the work is split.

use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::cache::KvCache;
use super::forward::{Model, Outputs, Runner, Segment};
use super::kernels::InstructionSet;
use crate::Gguf;
use crate::source::{ModelSource, default_cache_dir};

const POSITIONS: usize = 128;

/// SHA-256 over the logits' bits of the first 32 positions of [`tokens`], as f32 little-endian, in
/// order. Changes only with the arithmetic's version; stated in `docs/ARITHMETIC.md`.
const GOLDEN: &str = "787d8e8753818ed7fc6918242a29b0fbac0a1f5ac5276171fe939591f683f078";

fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let load = || {
        let cache = default_cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
        let path = ModelSource::default().fetch(&cache.expect("HOME is set"), &mut |_| ());
        let gguf = Gguf::open(&path.expect("the default model can be fetched")).unwrap();
        Arc::new(Model::load(&gguf, 1024).unwrap())
    };
    Arc::clone(MODEL.get_or_init(load))
}

/// "The capital of France is" and then ids without sense, which reach all of the vocabulary.
fn tokens() -> Vec<u32> {
    let mut tokens = vec![504, 3575, 282, 4649, 314];
    let mut state = 12_345u64;
    while tokens.len() < POSITIONS {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokens.push((state >> 40) as u32 % 49_152);
    }
    tokens
}

fn hash(rows: impl Iterator<Item = f32>) -> [u8; 32] {
    let mut sha = Sha256::new();
    rows.for_each(|value| sha.update(value.to_le_bytes()));
    sha.finalize().into()
}

/// A hash of hidden state and logits at each position, the tokens fed in steps of `chunk`.
fn run(runner: &mut Runner, tokens: &[u32], chunk: usize) -> Vec<[u8; 32]> {
    let mut cache = KvCache::new(&runner.model.config, tokens.len());
    let mut hashes = vec![];
    for tokens in tokens.chunks(chunk) {
        runner.step(&mut [Segment { cache: &mut cache, tokens, outputs: Outputs::All }]);
        let rows = runner.hidden().zip(runner.logits());
        hashes.extend(rows.map(|(hidden, logits)| hash(hidden.iter().chain(logits).copied())));
    }
    hashes
}

/// One token at a time, on one thread.
fn reference() -> &'static [[u8; 32]] {
    static REFERENCE: OnceLock<Vec<[u8; 32]>> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let mut runner = Runner::new(model(), InstructionSet::Detect, 1).unwrap();
        run(&mut runner, &tokens(), 1)
    })
}

#[test]
fn any_split_on_any_threads_gives_the_bits_of_single_tokens() {
    for threads in 1..=4 {
        let mut runner = Runner::new(model(), InstructionSet::Detect, threads).unwrap();
        let chunks: &[usize] = match threads {
            1 => &[2, 3, 7, 32, 128],
            2 => &[1, 2, 5, 13, 64, 128],
            _ => &[1, 19, 128],
        };
        for &chunk in chunks {
            let hashes = run(&mut runner, &tokens(), chunk);
            assert!(hashes == reference(), "{threads} threads, steps of {chunk}");
        }
    }
}

#[test]
fn scalar_code_gives_the_same_bits() {
    for (threads, chunk, positions) in [(1, 24, 24), (2, 1, 6), (2, 5, 10)] {
        let mut runner = Runner::new(model(), InstructionSet::Scalar, threads).unwrap();
        assert_eq!(runner.instruction_set(), "scalar");
        let hashes = run(&mut runner, &tokens()[..positions], chunk);
        assert!(hashes == reference()[..positions], "{threads} threads, steps of {chunk}");
    }
}

/// Several sequences in one step, each at its own pace.
#[test]
fn neighbours_in_a_step_change_nothing() {
    let mut runner = Runner::new(model(), InstructionSet::Detect, 2).unwrap();
    let tokens = tokens();
    let paces = [1, 2, 9, 30];
    let mut caches = paces.map(|_| KvCache::new(&runner.model.config, tokens.len()));
    let mut compared = 0;
    while caches.iter().any(|cache| cache.length() < 60) {
        let segment = |(cache, pace): (_, usize)| {
            let cache: &mut KvCache = cache;
            let fed = cache.length();
            let tokens = &tokens[fed..(fed + pace).min(60)];
            Segment { cache, tokens, outputs: Outputs::Last }
        };
        let unfinished = caches.iter_mut().zip(paces).filter(|(cache, _)| cache.length() < 60);
        let mut segments: Vec<_> = unfinished.map(segment).collect();
        runner.step(&mut segments);
        for (segment, (hidden, logits)) in segments.iter().zip(runner.hidden().zip(runner.logits()))
        {
            let position = segment.cache.length() - 1;
            assert_eq!(hash(hidden.iter().chain(logits).copied()), reference()[position]);
            compared += 1;
        }
    }
    assert_eq!(compared, 60 + 30 + 7 + 2);
}

#[test]
fn bits_are_those_of_this_arithmetic_version() {
    let mut runner = Runner::new(model(), InstructionSet::Detect, 2).unwrap();
    let mut cache = KvCache::new(&runner.model.config, 32);
    let tokens = &tokens()[..32];
    runner.step(&mut [Segment { cache: &mut cache, tokens, outputs: Outputs::All }]);
    let logits = runner.logits().flatten().copied();
    assert_eq!(alloy_primitives::hex::encode(hash(logits)), GOLDEN);
}
