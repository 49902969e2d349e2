//! `vouch fsck` on the data of a real provider, buyer and witness, with damage in every part.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use vouch_tests::{Running, text, until, vouch};

use crate::house::{House, holds};

/// Exit code and report.
fn fsck(data: &Path, more: &[&str]) -> (i32, Value) {
    let output = vouch(data, &[&["fsck", "--json"], more].concat()).output().expect("it starts");
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code().expect("a code"), report.unwrap_or_else(|_| panic!("{}", text(&output))))
}

fn problems(report: &Value) -> Vec<&Value> {
    let journals = report["journals"].as_array().expect("journals");
    journals.iter().flat_map(|journal| journal["problems"].as_array().expect("problems")).collect()
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// A provider that has sold, a buyer that has bought, a witness that has seen; all ended.
fn used(house: &House) -> PathBuf {
    let witness = house.directory.path().join("witness");
    let up = house.up();
    let gateway = up.field("gateway");
    let watching = Running::start(&witness, &["witness", &gateway]);
    // It notes each size that it sees.
    let answers = [(1, "One?"), (2, "Two?"), (3, "Three?")].map(|(size, question)| {
        let answer = house.ask(&up, question);
        until("the witness has seen it", || {
            let journal = fs::read(witness.join("witness/journal/journal-00000000.log"));
            journal.is_ok_and(|bytes| {
                String::from_utf8_lossy(&bytes).contains(&format!("\"size\":{size},"))
            })
        });
        answer
    });
    holds(&up, &answers);
    let pid = up.pid().to_string();
    let busy = vouch(&house.data(), &["fsck"]).output().expect("it starts");
    assert_eq!(busy.status.code(), Some(1));
    assert!(
        text(&busy).contains(&format!("in use by another process (pid {pid})")),
        "{}",
        text(&busy)
    );
    watching.kill();
    assert!(up.stop());
    witness
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Changes all these files in one way: each is named, made again, and then as it was.
fn changed(data: &Path, files: &[&PathBuf], change: fn(&Path, Vec<u8>)) {
    let before: Vec<_> = files.iter().map(|path| fs::read(path).expect("a file")).collect();
    for (path, bytes) in files.iter().zip(&before) {
        change(path, bytes.clone());
    }
    for (rebuild, code) in [(&[][..], 1), (&["--rebuild"], 0)] {
        let (found, report) = fsck(data, rebuild);
        assert_eq!(found, code, "{report}");
        let found = problems(&report);
        assert_eq!(found.len(), files.len(), "{report}");
        for path in files {
            let path = path.strip_prefix(data).expect("below it").display().to_string();
            let problem = found.iter().find(|problem| field(problem, "place") == path);
            let problem = problem.unwrap_or_else(|| panic!("{path} is not in {report}"));
            assert_eq!(problem["rebuilt"], !rebuild.is_empty(), "{problem}");
            assert!(field(problem, "remedy").contains("from the journal"), "{problem}");
        }
    }
    for (path, before) in files.iter().zip(&before) {
        let after = fs::read(path).expect("it is there again");
        // Cosignatures are witnesses' and in no journal; a bundle's place in the log neither.
        let whole = before.starts_with(&after) || path.extension().is_some_and(|end| end == "json");
        assert!(whole, "{}", path.display());
    }
    assert_eq!(fsck(data, &[]).0, 0);
}

fn deleted(path: &Path, _: Vec<u8>) {
    fs::remove_file(path).expect("it was there");
}

fn truncated(path: &Path, bytes: Vec<u8>) {
    fs::write(path, &bytes[..bytes.len() / 2]).expect("it can be written");
}

fn flipped(path: &Path, mut bytes: Vec<u8>) {
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

/// One bit of a journal's second record: the place is named, the rest is kept, nothing is changed.
fn damaged(data: &Path, journal: &str) {
    let path = data.join(journal).join("journal-00000000.log");
    let right = fs::read(&path).expect("a journal");
    let length = u32::from_le_bytes(right[64..68].try_into().expect("four bytes"));
    let second = (64 + 16 + length as usize).next_multiple_of(8);
    let mut bytes = right.clone();
    bytes[second + 20] ^= 1;
    fs::write(&path, &bytes).expect("it can be written");
    for rebuild in [&[][..], &["--rebuild"], &["--rebuild"]] {
        let (code, report) = fsck(data, rebuild);
        assert_eq!(code, 1, "{report}");
        let found = problems(&report);
        assert_eq!(found.len(), 1, "{report}");
        let place = format!("{journal}/journal-00000000.log, bytes {second} to ");
        assert!(field(found[0], "place").starts_with(&place), "{report}");
        assert!(field(found[0], "remedy").contains("restore"), "{report}");
        assert_eq!(fs::read(&path).expect("a journal"), bytes, "nothing was changed");
    }
    let aside = data.join(journal).with_extension("readable");
    assert!(aside.join("journal-00000000.log").exists());
    // The whole journal gone.
    fs::remove_file(&path).expect("it was there");
    let (code, report) = fsck(data, &["--rebuild"]);
    assert_eq!(code, 1, "{report}");
    let found = problems(&report);
    assert_eq!(field(found[0], "place"), journal, "{report}");
    assert!(field(found[0], "problem").contains("missing"), "{report}");
    fs::write(&path, right).expect("it can be written");
    fs::remove_dir_all(aside).expect("it was there");
    assert_eq!(fsck(data, &[]).0, 0);
}

#[test]
fn everything_that_is_damaged_is_named_and_every_view_is_made_again() {
    let house = House::new();
    let witness = used(&house);
    let (provider, buyer) = (house.data(), house.directory.path().join("buyer"));
    for (data, journals) in [
        (&provider, &["chain", "provider/outbox", "provider/store/journal"][..]),
        (&buyer, &["buyer/journal"]),
        (&witness, &["witness/journal"]),
    ] {
        let (code, report) = fsck(data, &[]);
        assert_eq!((code, &report["damaged"]), (0, &Value::Bool(false)), "{report}");
        let found = report["journals"].as_array().expect("journals");
        let names: Vec<_> = found.iter().map(|journal| field(journal, "journal")).collect();
        assert_eq!(names, journals);
        for journal in journals {
            damaged(data, journal);
        }
    }
    let log = files(&house.store().join("log"));
    let size = {
        let note = fs::read_to_string(house.store().join("log/checkpoint")).expect("a note");
        note.lines().nth(1).expect("a size").to_owned()
    };
    let newest = |path: &&PathBuf| path.ends_with("checkpoint") || path.ends_with(&size);
    changed(&provider, &log.iter().filter(newest).collect::<Vec<_>>(), deleted);
    changed(&provider, &log.iter().collect::<Vec<_>>(), truncated);
    changed(&provider, &log.iter().collect::<Vec<_>>(), flipped);
    let bundles = files(&buyer.join("buyer/bundles"));
    assert_eq!(bundles.len(), 3);
    for change in [deleted, truncated, flipped] {
        changed(&buyer, &bundles.iter().collect::<Vec<_>>(), change);
    }
    // What was made again serves.
    let up = house.up();
    house.ask(&up, "Four?");
    assert!(up.stop());
}

#[test]
fn bad_usage_is_exit_code_2_and_no_journal_is_said() {
    let empty = tempfile::tempdir().expect("a directory");
    let wrong = vouch(empty.path(), &["fsck", "--repair"]).output().expect("it starts");
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong));
    let none = vouch(empty.path(), &["fsck"]).output().expect("it starts");
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none).contains("holds no journal"), "{}", text(&none));
}
