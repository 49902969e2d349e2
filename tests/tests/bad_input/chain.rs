//! A chain that went back.

use std::fs;

use serde_json::json;
use vouch_tests::{text, until};

use vouch_tests::copy;

use crate::house::{House, holds, seen};

#[test]
fn a_chain_behind_what_the_store_saw_freezes_the_channels_without_a_deposit() {
    let house = House::new();
    assert!(house.up().stop(), "it ends cleanly");
    let (chain, old) = (house.data().join("chain"), house.directory.path().join("old"));
    copy(&chain, &old);
    let up = house.up();
    let answer = house.ask(&up, "One?");
    let channel = &answer["channel"];
    assert_eq!(seen(&up, channel)["frozen"], json!(null));
    holds(&up, std::slice::from_ref(&answer));
    assert!(up.stop(), "it ends cleanly");
    // The deposit was in a block that the older copy does not have.
    fs::remove_dir_all(&chain).expect("it can be removed");
    copy(&old, &chain);
    let up = house.up();
    until("the channel is frozen", || seen(&up, channel)["frozen"] == "uncovered");
    let said = up.said();
    assert!(said.contains("the chain is behind what was seen of it"), "{said}");
    assert!(said.contains("restore the newest copy"), "{said}");
    // Nothing is sold on it, and what was acknowledged stands.
    let before = seen(&up, channel)["charged"].clone();
    let refused = house.try_ask(&up, "Two?");
    assert_eq!(seen(&up, channel)["charged"], before, "{}", text(&refused));
    holds(&up, std::slice::from_ref(&answer));
    assert!(up.stop(), "it ends cleanly");
}
