//! The golden vectors of faults, which the contract reads too: the same verdicts here.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its file fails")]

use serde::de::DeserializeOwned;
use serde_json::Value;
use vouch_core::{
    Address, B256, Bytes,
    log::note::{Note, Verifier},
    promise::{Promise, SignedPromise},
    receipt::Receipt,
};
use vouch_evidence::{
    Error,
    fault::{Fault, Promised, Uncovered, broken_promise, double_receipt, split_log, wrong_charge},
};

fn rows(group: &str) -> Vec<Value> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/faults.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    file[group].as_array().unwrap().clone()
}

fn get<T: DeserializeOwned>(row: &Value, name: &str) -> T {
    serde_json::from_value(row[name].clone()).unwrap()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap()
}

fn number(row: &Value, name: &str) -> u64 {
    text(row, name).parse().unwrap()
}

fn promised(row: &Value, prefix: &str) -> Promised {
    let field = |name: &str| format!("{prefix}{name}");
    let promise = Promise {
        root: get(row, &field("Root")),
        first: number(row, &field("First")),
        count: u32::try_from(number(row, &field("Count"))).unwrap(),
        not_before: get(row, &field("NotBefore")),
        merge_by: number(row, &field("MergeBy")),
    };
    Promised {
        receipt: Receipt::decode(&get::<Bytes>(row, &field("Receipt"))).unwrap(),
        promise: SignedPromise {
            promise,
            signature: get(row, &field("Signature")),
            index: number(row, &field("Index")),
            path: get(row, &field("Path")),
        },
        terms: serde_json::from_str(text(row, &field("Terms"))).unwrap(),
    }
}

/// Each row's verdict, and that the proof of a fault can be handed on.
fn check(group: &str, verdict: impl Fn(&Value) -> Result<Fault, Error>) {
    let rows = rows(group);
    let faulty = rows.iter().filter(|row| !text(row, "fault").is_empty()).count();
    assert!(faulty >= 2 && rows.len() - faulty >= 3, "{group}: {faulty} of {}", rows.len());
    for row in rows {
        let name = format!("{group}: {}", text(&row, "case"));
        match verdict(&row) {
            Ok(fault) => {
                assert!(!text(&row, "fault").is_empty(), "{name}");
                let json = serde_json::to_string(&fault).unwrap();
                let read: Fault = serde_json::from_str(&json).unwrap();
                assert_eq!(read, fault, "{name}");
                assert!(read.verify().is_ok(), "{name}");
            }
            Err(error) => assert!(text(&row, "fault").is_empty(), "{name}: {error}"),
        }
    }
}

#[test]
fn split_logs() {
    check("splitLogs", |row| {
        let key = Verifier::parse(text(row, "logKey"))?;
        let note = |name| Note::parse(text(row, name));
        let provider: Address = get(row, "provider");
        split_log(provider, &key, &note("firstNote")?, &note("secondNote")?)
    });
}

#[test]
fn double_sequences() {
    check("doubleSequences", |row| {
        let fault = double_receipt(&promised(row, "first"), &promised(row, "second"))?;
        match fault {
            Fault::DoubleSequence { .. } => Ok(fault),
            // They share an index of one log as well; whether that is a fault is another row's.
            _ => Err(Error::NoFault("not of one sequence")),
        }
    });
}

#[test]
fn double_indexes() {
    check("doubleIndexes", |row| {
        let fault = double_receipt(&promised(row, "first"), &promised(row, "second"))?;
        assert!(matches!(fault, Fault::DoubleIndex { .. }), "{}", text(row, "case"));
        Ok(fault)
    });
}

#[test]
fn broken_promises() {
    check("brokenPromises", |row| {
        let (note, leaf) = (Note::parse(text(row, "logNote"))?, get::<B256>(row, "leaf"));
        broken_promise(&promised(row, "first"), &note, leaf, get(row, "logPath"))
    });
}

#[test]
fn wrong_charges() {
    check("wrongCharges", |row| wrong_charge(&promised(row, "first")));
}

#[test]
fn claims_and_the_receipts_that_cover_them() {
    let rows = rows("claims");
    let held = promised(&rows[0], "first");
    for row in &rows {
        let claimed = text(row, "claimed").parse().unwrap();
        let doubt = Uncovered { receipt: Box::new(held.clone()), claimed };
        let covers = doubt.answered_by(&promised(row, "first")).is_ok();
        assert_eq!(covers, text(row, "covers") == "1", "{}", text(row, "case"));
        assert_eq!(doubt.verify().is_ok(), claimed > held.receipt.cumulative);
    }
}
