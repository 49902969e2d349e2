//! Nothing in a bundle is ignored: every leaf of its JSON altered in turn, every item dropped,
//! doubled or swapped, every key removed, renamed or added is refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot make its input fails")]

mod common;

use common::alter::{alterations, pointers};
use proptest::prelude::*;
use serde_json::Value;
use vouch_core::bundle::Bundle;
use vouch_evidence::{Options, Verdict, read, verify};

/// The verdict on a JSON text; `None` if it is not even read.
fn judged(text: &str, options: &Options<'_>) -> Option<Verdict> {
    read(text).ok().map(|bundle| verify(&bundle, options).verdict)
}

fn refused(value: &Value, options: &Options<'_>) -> bool {
    judged(&value.to_string(), options).is_none_or(|verdict| !verdict.holds())
}

/// Every alteration of every value that is not refused.
fn ignored(bundle: &Bundle, options: &Options<'_>) -> (usize, Vec<String>) {
    let value = serde_json::to_value(bundle).unwrap();
    assert!(!refused(&value, options), "{}", verify(bundle, options));
    let mut places = Vec::new();
    pointers(&value, "", &mut places);
    let (mut tried, mut ignored) = (0, Vec::new());
    for place in places {
        for altered in alterations(value.pointer(&place).unwrap()) {
            let mut other = value.clone();
            *other.pointer_mut(&place).unwrap() = altered;
            tried += 1;
            if !refused(&other, options) {
                ignored.push(format!("{place}: {}", other.pointer(&place).unwrap()));
            }
        }
    }
    (tried, ignored)
}

#[test]
fn every_field_altered_in_turn_is_refused() {
    let bundle = common::bundle();
    let (tried, ignored) = ignored(&bundle, &common::strict(&bundle));
    assert!(tried > 5_000, "only {tried} alterations");
    assert!(ignored.is_empty(), "{} of {tried}: {ignored:#?}", ignored.len());
}

/// Without a known block and code, only what the anchor's trust lines name can be altered.
#[test]
fn without_options_only_what_the_report_leaves_to_trust_can_be_altered() {
    let bundle = common::bundle();
    let options = Options { block: None, anchor_code: None, ..common::strict(&bundle) };
    let (_, ignored) = ignored(&bundle, &options);
    assert!(!ignored.is_empty());
    for place in &ignored {
        assert!(
            place.starts_with("/anchor/header:") || place.starts_with("/anchor/chain:"),
            "{place}"
        );
    }
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let bundle = common::bundle();
    let text = serde_json::to_string(&bundle).unwrap();
    let twice = text.replacen("\"id\":", "\"id\":\"chatcmpl-1\",\"id\":", 1);
    assert_ne!(text, twice);
    assert!(judged(&text, &Options::default()).is_some());
    assert!(judged(&twice, &Options::default()).is_none());
}

fn json_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..600)
            .prop_map(|bytes| Value::from(alloy_primitives::hex::encode_prefixed(bytes))),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_text_never_panics(text: String) {
        prop_assert_eq!(judged(&text, &Options::default()), None);
    }

    /// A stranger's values anywhere in a true bundle: never a panic, never accepted.
    #[test]
    fn arbitrary_values_in_a_true_bundle_are_refused(at: prop::sample::Index, other in json_tree()) {
        let bundle = common::bundle();
        let mut value = serde_json::to_value(&bundle).unwrap();
        let mut places = Vec::new();
        pointers(&value, "", &mut places);
        let place = &places[at.index(places.len())];
        let before = value.pointer(place).unwrap();
        // A double that equals an integer is the same JSON number.
        prop_assume!(before.as_f64().is_none() || before.as_f64() != other.as_f64());
        prop_assume!(*before != other);
        *value.pointer_mut(place).unwrap() = other;
        prop_assert!(refused(&value, &common::strict(&bundle)));
    }
}
