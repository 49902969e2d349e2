//! The embedding model against others' results (`golden/README.md`), and against itself.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod common;

use std::sync::LazyLock;
use std::time::Instant;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use vouch_model::embed::{Embedder, WordPiece, WordPieceSpec, is_embedding_model};
use vouch_model::exact::InstructionSet;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    vectors: Vec<Vector>,
    /// By plane of Unicode, the hash of all ids of `a{char}b {char}`.
    planes: Vec<String>,
}

#[derive(Deserialize)]
struct Vector {
    text: String,
    vector: Vec<f64>,
}

static GOLDEN: LazyLock<Golden> =
    LazyLock::new(|| serde_json::from_str(include_str!("golden/embed.json")).unwrap());
static EMBEDDER: LazyLock<Embedder> =
    LazyLock::new(|| Embedder::open(&common::embedding_model(), 1).unwrap());

fn bits(vectors: Vec<Vec<f32>>) -> Vec<Vec<u32>> {
    vectors.iter().map(|vector| vector.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn ids_equal_the_tokenizers_package() {
    let tokenizer = EMBEDDER.tokenizer();
    assert!(GOLDEN.texts.len() > 300 && GOLDEN.ids.len() == GOLDEN.texts.len());
    for (text, ids) in GOLDEN.texts.iter().zip(&GOLDEN.ids) {
        assert_eq!(tokenizer.encode(text), *ids, "{text:?}");
    }
}

#[test]
fn ids_of_every_character_equal_the_tokenizers_package() {
    let tokenizer = EMBEDDER.tokenizer();
    for (plane, expected) in (0u32..).zip(&GOLDEN.planes) {
        let mut hasher = Sha256::new();
        for char in (plane << 16..(plane + 1) << 16).filter_map(char::from_u32) {
            for id in tokenizer.encode(&format!("a{char}b {char}")) {
                hasher.update(id.to_le_bytes());
            }
        }
        let found = alloy_primitives::hex::encode(hasher.finalize());
        assert_eq!(found, *expected, "plane {plane}");
    }
}

#[test]
fn vectors_equal_binary64() {
    let texts: Vec<String> = GOLDEN.vectors.iter().map(|vector| vector.text.clone()).collect();
    let vectors = EMBEDDER.embed(&texts).unwrap();
    let mut worst = 0f64;
    for (found, golden) in vectors.iter().zip(&GOLDEN.vectors) {
        assert_eq!(found.len(), EMBEDDER.dimensions());
        for (found, expected) in found.iter().zip(&golden.vector) {
            worst = worst.max((f64::from(*found) - expected).abs());
        }
        let length: f64 = found.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6);
    }
    println!("largest difference: {worst:e}");
    assert!(worst < 2e-6, "{worst:e}");
}

#[test]
fn bits_depend_on_nothing_but_the_text() {
    let texts = &GOLDEN.texts[..60];
    let expected = bits(EMBEDDER.embed(texts).unwrap());
    let one_by_one =
        texts.iter().flat_map(|text| EMBEDDER.embed(std::slice::from_ref(text)).unwrap());
    assert_eq!(bits(one_by_one.collect()), expected);
    let path = common::embedding_model();
    for (threads, set) in
        [(1, InstructionSet::Scalar), (2, InstructionSet::Detect), (5, InstructionSet::Detect)]
    {
        let embedder = Embedder::open_with(&path, threads, set).unwrap();
        assert_eq!(bits(embedder.embed(texts).unwrap()), expected, "{threads} threads, {set:?}");
    }
    // Pinned: receipts stand for these bits.
    let hash =
        Sha256::digest(expected.concat().iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
    assert_eq!(
        alloy_primitives::hex::encode(hash),
        "4246826f656623dd86bc3486584a5028ef071a5eaf375b81c7ca202244b008ec"
    );
}

#[test]
fn more_texts_than_one_pass_takes_are_all_embedded() {
    let texts: Vec<String> = (0..50).map(|n| format!("{n} {}", "word ".repeat(300))).collect();
    let vectors = EMBEDDER.embed(&texts).unwrap();
    assert_eq!(vectors.len(), 50);
    assert_eq!(bits(EMBEDDER.embed(&texts[49..]).unwrap())[0], bits(vectors)[49]);
    assert!(EMBEDDER.embed(&[]).unwrap().is_empty());
}

#[test]
fn long_texts_are_cut_and_take_no_time() {
    let tokenizer = EMBEDDER.tokenizer();
    assert_eq!(EMBEDDER.max_tokens(), 256);
    assert_eq!(tokenizer.encode(""), [101, 102]);
    let started = Instant::now();
    for part in ["word ", "x", "[", "[MASK]", "\u{301}", "漢", "\0"] {
        let ids = tokenizer.encode(&part.repeat(4 << 20));
        assert!(ids.len() <= 256 && ids[0] == 101 && ids[ids.len() - 1] == 102);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn ids_are_taken_as_they_stand_and_checked() {
    let text = "A cat sits on the mat.".to_owned();
    let ids = EMBEDDER.tokenizer().encode(&text);
    let by_ids = EMBEDDER.embed_ids(&[ids]).unwrap();
    assert_eq!(bits(by_ids), bits(EMBEDDER.embed(&[text]).unwrap()));
    for ids in [vec![], vec![30_522], vec![101; 257]] {
        assert!(EMBEDDER.embed_ids(&[ids]).is_err());
    }
}

#[test]
fn the_model_is_described() {
    let entry = EMBEDDER.entry();
    assert_eq!(entry.card.name, "all-MiniLM-L6-v2");
    assert_eq!(entry.card.license.as_deref(), Some("apache-2.0"));
    assert_eq!(entry.identity.architecture, "bert");
    assert!(entry.identity.is_exact() && entry.identity.files.len() == 6);
    assert_eq!(entry.identity.tokenizer, Some(EMBEDDER.tokenizer().hash()));
    // Pinned: receipts name the model by this hash.
    assert_eq!(
        entry.identity.hash().unwrap().to_string(),
        "0x74189a9dd89492dfb72b87582448351170095f43fcf6e16d7615c43cb93e2ad9"
    );
}

#[test]
fn the_tokenizer_survives_json_and_lies_are_refused() {
    let spec = EMBEDDER.tokenizer().spec();
    let again = WordPiece::from_spec(&spec.to_json().unwrap()).unwrap();
    assert_eq!(again.hash(), EMBEDDER.tokenizer().hash());
    let lies: [fn(&mut WordPieceSpec); 6] = [
        |spec| spec.first = 30_522,
        |spec| spec.special.push(u32::MAX),
        |spec| spec.special.push(2000),
        |spec| spec.max_tokens = 2,
        |spec| spec.model = "gpt2".into(),
        |spec| spec.tokens.clear(),
    ];
    for lie in lies {
        let mut spec = spec.clone();
        lie(&mut spec);
        assert!(WordPiece::new(spec).is_err());
    }
}

#[test]
fn what_is_no_embedding_model_is_refused() {
    let model = common::embedding_model();
    assert!(is_embedding_model(&model) && !is_embedding_model(&common::default_model()));
    let directory = tempfile::tempdir().unwrap();
    let missing = Embedder::open(directory.path(), 1).unwrap_err().to_string();
    assert!(missing.contains("cannot be used"), "{missing}");
    std::fs::create_dir(directory.path().join("1_Pooling")).unwrap();
    for entry in EMBEDDER.entry().identity.files.iter() {
        std::fs::copy(model.join(&entry.name), directory.path().join(&entry.name)).unwrap();
    }
    assert!(Embedder::open(directory.path(), 1).is_ok());
    for (file, from, to) in [
        ("config.json", "\"gelu\"", "\"gelu_new\""),
        ("config.json", "\"hidden_size\": 384", "\"hidden_size\": 768"),
        ("config.json", "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 0"),
        (
            "1_Pooling/config.json",
            "\"pooling_mode_mean_tokens\": true",
            "\"pooling_mode_mean_tokens\": false",
        ),
        ("sentence_bert_config.json", "256", "1256"),
        ("modules.json", "models.Normalize", "models.Dense"),
        ("tokenizer.json", "\"lowercase\":true", "\"lowercase\":false"),
    ] {
        let path = directory.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        assert!(Embedder::open(directory.path(), 1).is_err(), "{file} {to}");
        std::fs::write(&path, text).unwrap();
    }
}

/// Not a test of speed: shows it, with `--nocapture`.
#[test]
fn speed_is_shown() {
    let texts: Vec<String> = vec!["word ".repeat(126); 16];
    EMBEDDER.embed(&texts[..1]).unwrap();
    let started = Instant::now();
    EMBEDDER.embed(&texts).unwrap();
    println!("{:.0} tokens/s on one thread", 16.0 * 128.0 / started.elapsed().as_secs_f64());
}
