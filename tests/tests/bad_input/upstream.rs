//! An upstream that is down, or dies in mid-stream.

use serde_json::json;
use vouch_tests::text;

use crate::house::{House, holds, seen};

#[test]
fn an_upstream_that_is_down_costs_nothing() {
    let house = House::new();
    let up = house.up_alone();
    let output = house.try_ask(&up, "Anyone?");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("nothing was charged"), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("vouch: ")).count(), 1, "{said}");
    let metrics = String::from_utf8(up.get("/metrics").1).expect("UTF-8");
    assert!(metrics.contains("vouch_charged_units_total 0\n"), "{metrics}");
    assert!(up.stop(), "it ends cleanly");
}

#[test]
fn an_upstream_that_dies_is_owed_what_arrived() {
    let house = House::new();
    let up = house.up();
    let answer = house.ask(&up, "Say something and die");
    assert_eq!(answer["text"], "word word word ", "{answer}");
    let channel = seen(&up, &answer["channel"]);
    assert_eq!(channel["charged"], answer["charge"], "{answer}");
    assert_ne!(answer["charge"], json!("0"), "{answer}");
    assert_eq!(channel["reserved"], json!("0"));
    holds(&up, std::slice::from_ref(&answer));
    assert!(up.stop(), "it ends cleanly");
}
