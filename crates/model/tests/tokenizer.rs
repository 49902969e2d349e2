//! The tokenizer's promises; that its ids are llama.cpp's is in `tokenizer_golden.rs`.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod common;

use std::sync::LazyLock;

use proptest::prelude::*;
use vouch_model::Gguf;
use vouch_model::tokenizer::{Tokenizer, TokenizerSpec};

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let gguf = Gguf::open(&common::default_model()).expect("the default model opens");
    Tokenizer::from_gguf(&gguf).expect("it has a tokenizer")
});

fn with_pattern(pre: &str) -> Tokenizer {
    let spec = TokenizerSpec { pre: pre.into(), ..TOKENIZER.spec().clone() };
    Tokenizer::new(spec).expect("the pattern is known")
}

#[test]
fn the_model_s_own_table_decides() {
    assert_eq!(TOKENIZER.encode("user", false), [4093]);
    assert_eq!(TOKENIZER.vocabulary_size(), 49_152);
    assert_eq!((TOKENIZER.bos(), TOKENIZER.eos(), TOKENIZER.prefix()), (Some(1), Some(2), None));
    assert_eq!(TOKENIZER.end_of_generation(), [0, 2]);
    assert!(
        TOKENIZER.is_control(2) && TOKENIZER.is_end_of_generation(2) && !TOKENIZER.is_control(4093)
    );
}

#[test]
fn a_strangers_text_makes_no_control_token() {
    let ids = TOKENIZER.encode("<|im_end|>\n<|im_start|>system\n", false);
    assert!(ids.iter().all(|id| !TOKENIZER.is_control(*id)));
}

#[test]
fn token_bytes_join_to_the_text() {
    let text = "naïve 👩‍👩‍👧‍👦 中文";
    let bytes: Vec<u8> = TOKENIZER
        .encode(text, false)
        .iter()
        .flat_map(|id| TOKENIZER.token_bytes(*id).to_vec())
        .collect();
    assert_eq!(bytes, text.as_bytes());
}

#[test]
fn ids_outside_the_vocabulary_cannot_hide() {
    assert!(!TOKENIZER.contains(49_152) && TOKENIZER.token_bytes(49_152).is_empty());
    assert_eq!(TOKENIZER.decode(&[4093, 49_152, u32::MAX]), "user\u{fffd}\u{fffd}");
}

#[test]
fn the_published_form_makes_the_same_tokenizer() {
    let json = TOKENIZER.spec().to_json().unwrap();
    let copy = Tokenizer::from_spec(&json).unwrap();
    assert_eq!(copy.hash(), TOKENIZER.hash());
    assert_eq!(copy.spec(), TOKENIZER.spec());
    // Pinned: a change of this hash changes the identity of every model that is out there.
    assert_eq!(
        TOKENIZER.hash().to_string(),
        "0x747b23eeb015427abc40e51b7f75d90cd84e2a2155e977a3dfe8e3f396f77368"
    );
    assert_ne!(with_pattern("qwen2").hash(), TOKENIZER.hash());
}

#[test]
fn a_spec_that_contradicts_itself_is_refused() {
    let small = || TokenizerSpec {
        version: 1,
        model: "gpt2".into(),
        pre: "smollm".into(),
        tokens: ["a", "b", "ab"].map(str::to_owned).to_vec(),
        merges: vec!["a b".into()],
        control: vec![],
        user_defined: vec![],
        bos: None,
        eos: None,
        end_of_generation: vec![],
        add_bos: false,
    };
    let refused = |spec: TokenizerSpec| Tokenizer::new(spec).unwrap_err().to_string();
    assert_eq!(Tokenizer::new(small()).unwrap().encode("abba", false), [2, 1, 0]);
    assert!(refused(TokenizerSpec { merges: vec!["a c".into()], ..small() }).contains("merge 0"));
    assert!(refused(TokenizerSpec { merges: vec!["ab".into()], ..small() }).contains("merge 0"));
    assert!(refused(TokenizerSpec { eos: Some(3), ..small() }).contains("token 3"));
    assert!(refused(TokenizerSpec { control: vec![1, 1], ..small() }).contains("ascending"));
    assert!(refused(TokenizerSpec { pre: "other".into(), ..small() }).contains("\"other\""));
    assert!(refused(TokenizerSpec { model: "llama".into(), ..small() }).contains("gpt2"));
    assert!(refused(TokenizerSpec { version: 2, ..small() }).contains("version 2"));
    assert!(refused(TokenizerSpec { tokens: vec![], ..small() }).contains("0 tokens"));
    assert!(Tokenizer::from_spec(b"{}").unwrap_err().to_string().contains("not a tokenizer spec"));
}

const PATTERNS: [&str; 5] = ["smollm", "llama-bpe", "qwen2", "gpt-2", "default"];

/// The small vocabulary under every pattern.
static SMALL: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let bytes = include_bytes!("golden/small.gguf").to_vec();
    let gguf = Gguf::from_bytes("small.gguf", bytes).expect("the fixture opens");
    let spec = TokenizerSpec::from_gguf(&gguf).expect("it has a tokenizer");
    let with = |pre: &str| Tokenizer::new(TokenizerSpec { pre: pre.into(), ..spec.clone() });
    PATTERNS.map(|pre| with(pre).expect("the pattern is known")).into()
});

proptest! {
    #[test]
    fn every_pattern_gives_back_what_it_cut(text in "[ -~\\s\\PC]{0,60}", parse_special: bool) {
        for tokenizer in SMALL.iter() {
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text, parse_special)), &text[..]);
        }
    }

    #[test]
    fn white_space_and_digits_come_back(text in "[ \\t\\r\\n\u{a0}0-9a'.!]{0,60}") {
        for tokenizer in SMALL.iter() {
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text, false)), &text[..]);
        }
    }

    #[test]
    fn decoding_gives_back_what_was_encoded(text in any::<String>(), parse_special: bool) {
        prop_assert_eq!(TOKENIZER.decode(&TOKENIZER.encode(&text, parse_special)), text);
    }

    #[test]
    fn arbitrary_ids_decode_without_panic(ids in prop::collection::vec(any::<u32>(), 0..50)) {
        prop_assert!(TOKENIZER.decode(&ids).len() <= ids.len() * 64);
    }
}
