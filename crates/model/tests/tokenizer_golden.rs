//! Tokenizers against llama.cpp's ids (`golden/README.md`): the default model's vocabulary under
//! every supported pattern, and a small one made to tell the patterns apart.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod common;

use std::collections::BTreeMap;

use serde::Deserialize;
use vouch_model::Gguf;
use vouch_model::tokenizer::{Tokenizer, TokenizerSpec};

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    /// By pattern.
    ids: BTreeMap<String, Ids>,
}

#[derive(Deserialize)]
struct Ids {
    /// By text, without parsing control tokens.
    plain: Vec<Vec<u32>>,
    /// By index of the text, with control tokens parsed, only where that differs.
    special: BTreeMap<usize, Vec<u32>>,
}

impl Ids {
    fn of(&self, index: usize, parse_special: bool) -> &[u32] {
        let special = self.special.get(&index).filter(|_| parse_special);
        special.unwrap_or(&self.plain[index])
    }
}

/// Compares every text under every pattern and reports the first few that differ.
fn assert_equal_to_llama_cpp(golden: &Golden, spec: &TokenizerSpec) {
    let mut differing = Vec::new();
    for (pre, ids) in &golden.ids {
        let spec = TokenizerSpec { pre: pre.clone(), ..spec.clone() };
        let tokenizer = Tokenizer::new(spec).expect("the pattern is known");
        for (index, text) in golden.texts.iter().enumerate() {
            for parse_special in [false, true] {
                let expected = ids.of(index, parse_special);
                let found = tokenizer.encode(text, parse_special);
                if found != expected {
                    differing.push(format!("{pre} {text:?}: {found:?}, not {expected:?}"));
                }
                assert_eq!(tokenizer.decode(&found), *text, "{pre}");
            }
        }
    }
    let first = differing.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(differing.is_empty(), "{} differ:\n{first}", differing.len());
}

#[test]
fn the_default_vocabulary_equals_llama_cpp() {
    let golden: Golden = serde_json::from_str(include_str!("golden/tokenizer.json")).unwrap();
    assert!(golden.texts.len() >= 500 && golden.ids.len() == 5);
    assert!(golden.ids.values().all(|ids| ids.plain.len() == golden.texts.len()));
    let gguf = Gguf::open(&common::default_model()).unwrap();
    assert_equal_to_llama_cpp(&golden, &TokenizerSpec::from_gguf(&gguf).unwrap());
}

#[test]
fn a_vocabulary_that_tells_patterns_apart_equals_llama_cpp() {
    let golden: Golden = serde_json::from_str(include_str!("golden/small.json")).unwrap();
    assert!(golden.texts.len() >= 200 && golden.ids.len() == 5);
    let plain: Vec<_> = golden.ids.values().map(|ids| &ids.plain).collect();
    assert!((1..5).all(|a| (0..a).all(|b| plain[a] != plain[b])), "each pattern is distinct");
    let bytes = include_bytes!("golden/small.gguf").to_vec();
    let gguf = Gguf::from_bytes("small.gguf", bytes).unwrap();
    assert_equal_to_llama_cpp(&golden, &TokenizerSpec::from_gguf(&gguf).unwrap());
}
