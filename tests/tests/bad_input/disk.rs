//! A full disk, a torn tail, damage: what was acknowledged is there again, or nothing is touched.

use std::fs;

use vouch_tests::{text, until};

use vouch_tests::copy;

use crate::house::{House, holds};

/// The end of the last record: behind it there are zeros.
fn end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).expect("a journal") + 1
}

#[test]
fn a_full_disk_ends_the_process_and_loses_nothing() {
    let house = House::new();
    // Room for the journal's first 4 MiB, not for its next.
    let mut up = house.up_limited(6 << 20);
    let mut answers = Vec::new();
    let failed = loop {
        let output = house.try_ask(&up, "A long answer, please");
        if !output.status.success() {
            break output;
        }
        answers.push(serde_json::from_slice(&output.stdout).expect("JSON"));
        assert!(answers.len() < 20, "the disk was never full");
    };
    assert!(answers.len() >= 3, "{}", text(&failed));
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    assert!(!text(&failed).contains("store/journal"), "{}", text(&failed));
    assert_eq!(up.ended(), Some(1), "{}", up.said());
    let said = up.said();
    let last = said.lines().rfind(|line| line.starts_with("vouch: ")).unwrap_or_default();
    assert!(last.contains("no space is left to extend"), "{said}");
    assert!(last.contains("journal-00000000.log") && last.contains("start again"), "{said}");
    drop(up);
    let up = house.up();
    holds(&up, &answers);
    answers.push(house.ask(&up, "And now?"));
    holds(&up, &answers);
    assert!(up.stop(), "it ends cleanly");
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let house = House::new();
    let up = house.up();
    let answers = [house.ask(&up, "One?"), house.ask(&up, "Two?")];
    holds(&up, &answers);
    up.kill();
    // A write that a crash cut short: half a record, never synced, so never acknowledged.
    let mut bytes = fs::read(house.journal()).expect("a journal");
    let end = end(&bytes).next_multiple_of(8);
    bytes.resize(bytes.len().max(end + 100), 0);
    bytes[end..end + 100].fill(0xab);
    fs::write(house.journal(), bytes).expect("it can be written");
    let up = house.up();
    holds(&up, &answers);
    assert!(up.said().contains("cut a torn journal tail"), "{}", up.said());
    assert!(up.said().contains("bytes=100"), "{}", up.said());
    house.ask(&up, "Three?");
    assert!(up.stop(), "it ends cleanly");
}

#[test]
fn damage_in_the_middle_is_refused_with_place_and_way_out() {
    let house = House::new();
    let up = house.up();
    let answers = [house.ask(&up, "One?"), house.ask(&up, "Two?")];
    holds(&up, &answers);
    assert!(up.stop(), "it ends cleanly");
    let whole = fs::read(house.journal()).expect("a journal");
    let mut bytes = whole.clone();
    let middle = end(&bytes) / 2;
    bytes[middle] ^= 0x10;
    fs::write(house.journal(), &bytes).expect("it can be written");
    let said = house.refused();
    let journal = house.journal();
    for part in
        [&*journal.to_string_lossy(), "is damaged at byte", "restore", "nothing was changed"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(fs::read(&journal).expect("a journal") == bytes, "it was touched");
    fs::write(journal, whole).expect("it can be written");
    let up = house.up();
    holds(&up, &answers);
    assert!(up.stop(), "it ends cleanly");
}

#[test]
fn an_end_that_was_acknowledged_and_is_gone_is_no_torn_tail() {
    let house = House::new();
    let up = house.up();
    let answers = [house.ask(&up, "One?"), house.ask(&up, "Two?")];
    holds(&up, &answers);
    up.kill();
    // An older copy of the journal, beside the newest of everything else.
    let mut bytes = fs::read(house.journal()).expect("a journal");
    let half = end(&bytes) / 2;
    bytes[half..].fill(0);
    fs::write(house.journal(), bytes).expect("it can be written");
    let said = house.refused();
    assert!(said.contains("2 entries was already released"), "{said}");
    assert!(said.contains("restore the newest"), "{said}");
}

#[test]
fn a_log_behind_its_anchor_does_not_start() {
    let house = House::new();
    let up = house.up();
    let first = house.ask(&up, "One?");
    holds(&up, std::slice::from_ref(&first));
    assert!(up.stop(), "it ends cleanly");
    let old = house.directory.path().join("old");
    copy(&house.store(), &old);
    let up = house.up();
    let answers = [first, house.ask(&up, "Two?")];
    holds(&up, &answers);
    // A clean end anchors the newest checkpoint.
    assert!(up.stop(), "it ends cleanly");
    let newest = house.directory.path().join("newest");
    fs::rename(house.store(), &newest).expect("it can be moved");
    copy(&old, &house.store());
    let said = house.refused();
    assert!(said.contains("the log has 1 entries but a checkpoint of 2"), "{said}");
    fs::remove_dir_all(house.store()).expect("it can be removed");
    fs::rename(newest, house.store()).expect("it can be moved");
    let up = house.up();
    holds(&up, &answers);
    until("it is healthy", || up.get("/healthz").0 == 200);
    assert!(up.stop(), "it ends cleanly");
}
