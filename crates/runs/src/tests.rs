//! Against a model; with every bit flipped; with the process or the power gone at every operation.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use vouch_journal::testing::{Fault, MemoryDisk};

use super::*;

const PREFIX: &str = "index/calls";

fn on(disk: &MemoryDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn open(disk: &MemoryDisk, filtered: bool, numbers: &[u32]) -> io::Result<Runs> {
    Runs::open(on(disk), PREFIX, filtered, numbers, 0)
}

/// Another one for each number, as if drawn: the finalizer of MurmurHash3.
fn key(number: u64) -> u64 {
    let number = (number ^ number >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ number >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ number >> 33
}

fn entries(indexes: std::ops::Range<u64>) -> Vec<Entry> {
    indexes.map(|index| Entry { key: key(index), index }).collect()
}

fn most_of_a_tier(runs: &Runs) -> usize {
    let mut tiers = BTreeMap::<u32, usize>::new();
    runs.runs.iter().for_each(|run| *tiers.entry(run.header.tier).or_default() += 1);
    tiers.into_values().max().unwrap_or(0)
}

fn files(disk: &MemoryDisk) -> BTreeSet<String> {
    disk.names().into_iter().collect()
}

fn files_of(runs: &Runs) -> BTreeSet<String> {
    runs.numbers().into_iter().map(|number| run::name(PREFIX, number)).collect()
}

#[derive(Debug, Clone)]
enum Step {
    With(Vec<Entry>, u64),
    Reopen(u64),
    Sweep,
}

/// Keys of which many are equal, and some are neighbours or at the ends.
fn any_key() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, (0..40_u64).prop_map(key), Just(u64::MAX), any::<u64>()]
}

fn any_step() -> impl Strategy<Value = Step> {
    let entry = (any_key(), 0..1000_u64).prop_map(|(key, index)| Entry { key, index });
    let with = (prop::collection::vec(entry, 0..600), 0..1200_u64);
    prop_oneof![
        8 => with.prop_map(|(entries, keep_from)| Step::With(entries, keep_from)),
        1 => (0..1200_u64).prop_map(Step::Reopen),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn answers_as_a_map_does(
        filtered: bool,
        steps in prop::collection::vec(any_step(), 1..24),
        others in prop::collection::vec(any_key(), 20),
        from in 0..1200_u64,
    ) {
        let disk = MemoryDisk::default();
        let mut runs = Runs::new(on(&disk), PREFIX, filtered);
        let mut model = BTreeMap::<u64, BTreeSet<u64>>::new();
        for step in steps {
            match step {
                Step::With(entries, keep_from) => {
                    let before = runs.numbers();
                    let next = runs.with(entries.clone(), keep_from).unwrap();
                    prop_assert_eq!(runs.numbers(), before);
                    for Entry { key, index } in entries {
                        model.entry(key).or_default().insert(index);
                    }
                    runs = next;
                }
                Step::Reopen(keep_from) => {
                    let numbers = runs.numbers();
                    runs = Runs::open(on(&disk), PREFIX, filtered, &numbers, keep_from).unwrap();
                    prop_assert_eq!(runs.numbers(), numbers);
                }
                Step::Sweep => {
                    runs.sweep().unwrap();
                    prop_assert_eq!(files(&disk), files_of(&runs));
                }
            }
            prop_assert!(most_of_a_tier(&runs) < FANOUT);
        }
        for key in model.keys().chain(&others) {
            for from in [0, from] {
                let known = model.get(key).into_iter().flatten().copied();
                let known: Vec<u64> = known.filter(|index| *index >= from).collect();
                prop_assert_eq!(runs.first(*key, from).unwrap(), known.first().copied());
                prop_assert_eq!(runs.get(*key, from).unwrap(), known);
            }
        }
    }

    /// Checksums that match do not make the rest true.
    #[test]
    fn a_sealed_header_that_is_not_true_is_refused(
        filtered: bool,
        tier: u32,
        count in prop_oneof![0..600_u64, any::<u64>(), Just(u64::MAX)],
        newest: u64,
        words in prop::collection::vec(any::<u64>(), 0..2048),
    ) {
        let disk = MemoryDisk::default();
        let header = Header { tier, filtered, count, newest };
        let mut bytes = [vec![0; 4], header.encode()].concat();
        bytes.resize(4096, 0);
        let checksum = crc32c::crc32c_append(format::checksum_start(7, 0), &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_be_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        disk.replace(&run::name(PREFIX, 7), bytes);
        let error = open(&disk, filtered, &[7]).unwrap_err();
        prop_assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn runs_of_many_chunks_are_merged_whole() {
    let disk = MemoryDisk::default();
    let mut runs = Runs::new(on(&disk), PREFIX, true);
    for part in 0..4 {
        // Of different lengths, the first of two chunks of full pages.
        let size = 2 * 64 * 255 - part * 1000;
        runs = runs.with(entries(part * 50_000..part * 50_000 + size), 0).unwrap();
    }
    let [run] = runs.runs.as_slice() else { panic!("{:?}", runs.numbers()) };
    assert_eq!((run.number, run.header.tier, run.header.count), (3, 1, 4 * 32_640 - 6_000));
    let merged: Vec<Entry> = run.entries().collect::<io::Result<_>>().unwrap();
    let sizes = (0..4).map(|part| part * 50_000..part * 50_000 + 32_640 - part * 1000);
    let mut all: Vec<Entry> = sizes.flat_map(entries).collect();
    all.sort_unstable();
    assert!(merged == all);
    let runs = open(&disk, true, &runs.numbers()).unwrap();
    for Entry { key, index } in all.into_iter().step_by(7) {
        assert_eq!(runs.get(key, 0).unwrap(), [index]);
        assert_eq!(runs.get(key, index + 1).unwrap(), Vec::<u64>::new());
    }
}

#[test]
fn of_a_hundred_thousand_keys_few_others_read_a_page() {
    let runs = Runs::new(on(&MemoryDisk::default()), PREFIX, true);
    let runs = runs.with(entries(0..100_000), 0).unwrap();
    let filter = runs.runs[0].filter.as_ref().unwrap();
    let wrong = (100_000..1_100_000).filter(|number| filter.may_contain(key(*number))).count();
    assert!(wrong < 20_000, "{wrong} of 1,000,000");
    println!("false positives: {wrong} of 1,000,000");
}

#[test]
fn a_key_may_fill_pages() {
    let runs = Runs::new(on(&MemoryDisk::default()), PREFIX, true);
    let same = |index| Entry { key: 9, index };
    let others = [(8, 7), (10, 7)].map(|(key, index)| Entry { key, index });
    let runs = runs.with((0..1000).map(same).chain(others).collect(), 0).unwrap();
    assert_eq!(runs.get(9, 0).unwrap(), (0..1000).collect::<Vec<_>>());
    assert_eq!(runs.get(9, 700).unwrap(), (700..1000).collect::<Vec<_>>());
    let firsts = [0, 254, 255, 700, 999, 1000].map(|from| runs.first(9, from).unwrap());
    assert_eq!(firsts, [Some(0), Some(254), Some(255), Some(700), Some(999), None]);
    assert_eq!((runs.first(8, 0).unwrap(), runs.first(11, 0).unwrap()), (Some(7), None));
    assert_eq!((runs.get(9, 999).unwrap(), runs.get(9, 1000).unwrap()), (vec![999], vec![]));
    assert_eq!((runs.get(8, 0).unwrap(), runs.get(10, 0).unwrap()), (vec![7], vec![7]));
    assert_eq!((runs.get(7, 0).unwrap(), runs.get(11, 0).unwrap()), (vec![], vec![]));
}

#[test]
fn old_runs_need_no_filter() {
    let disk = MemoryDisk::default();
    let runs = Runs::new(on(&disk), PREFIX, true).with(entries(0..500), 0).unwrap();
    let kept = |runs: &Runs| runs.runs.iter().map(|run| run.filter.is_some()).collect::<Vec<_>>();
    let next = runs.with(entries(500..1000), 500).unwrap();
    assert_eq!((kept(&runs), kept(&next)), (vec![true], vec![false, true]));
    let next = Runs::open(on(&disk), PREFIX, true, &next.numbers(), 1000).unwrap();
    assert_eq!(kept(&next), [false, false]);
    assert_eq!(next.get(key(3), 0).unwrap(), [3]);
    assert_eq!(next.get(key(2_000), 0).unwrap(), Vec::<u64>::new());
}

/// Every bit of a run of two pages: the open or a lookup has to fail, and none is wrong.
#[test]
fn every_flipped_bit_is_found() {
    for filtered in [true, false] {
        let disk = MemoryDisk::default();
        let written = Runs::new(on(&disk), PREFIX, filtered).with(entries(0..300), 0).unwrap();
        let (numbers, name) = (written.numbers(), run::name(PREFIX, 0));
        let bytes = disk.bytes(&name).unwrap();
        let mut sorted = entries(0..300);
        sorted.sort_unstable();
        let asked: Vec<(u64, Vec<u64>)> = (0..300)
            .step_by(23) // the last one too, which is on the second page
            .map(|place| (sorted[place].key, vec![sorted[place].index]))
            .chain((300..303).map(|number| (key(number), vec![])))
            .collect();
        let file = disk.open(&name, false).unwrap();
        let mut found = [0, 0];
        for bit in 0..bytes.len() * 8 {
            let (at, flipped) = (bit / 8, bytes[bit / 8] ^ 1 << (bit % 8));
            file.write_all_at(&[flipped], at as u64).unwrap();
            match open(&disk, filtered, &numbers) {
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                    found[0] += 1;
                }
                Ok(runs) => {
                    let page = format!("{PREFIX}-00000000: page {}: ", at / 4096);
                    let mut errors = 0;
                    for (key, indexes) in &asked {
                        match runs.get(*key, 0) {
                            Ok(answer) => assert_eq!(answer, *indexes, "bit {bit}"),
                            Err(error) => {
                                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                                assert!(error.to_string().contains(&page), "{error}");
                                errors += 1;
                            }
                        }
                    }
                    assert!(errors > 0, "bit {bit}");
                    let merged: io::Result<Vec<Entry>> = runs.runs[0].entries().collect();
                    assert!(merged.is_err(), "bit {bit}");
                    found[1] += 1;
                }
            }
            file.write_all_at(&bytes[at..=at], at as u64).unwrap();
        }
        assert_eq!(found[1], 2 * 4096 * 8, "the two pages");
        assert_eq!(found[0], (bytes.len() - 2 * 4096) * 8, "all the rest");
        assert!(open(&disk, filtered, &numbers).is_ok());
    }
}

#[test]
fn a_file_of_another_size_place_or_kind_is_refused() {
    let disk = MemoryDisk::default();
    let runs = Runs::new(on(&disk), PREFIX, true).with(entries(0..300), 0).unwrap();
    let next = runs.with(entries(300..600), 0).unwrap();
    let (name, other) = (run::name(PREFIX, 0), run::name(PREFIX, 1));
    let bytes = disk.bytes(&name).unwrap();
    let refused = |bytes: Vec<u8>| {
        disk.replace(&name, bytes);
        let error = open(&disk, true, &[0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    };
    (0..bytes.len()).step_by(61).for_each(|size| refused(bytes[..size].to_vec()));
    refused([bytes.as_slice(), &[0]].concat());
    refused(vec![0; bytes.len()]);
    // A whole run, but another one.
    refused(disk.bytes(&other).unwrap());
    // A whole page, but from another run.
    let mut mixed = bytes.clone();
    mixed[4096..8192].copy_from_slice(&disk.bytes(&other).unwrap()[4096..8192]);
    disk.replace(&name, mixed);
    let first = entries(0..300).into_iter().min().unwrap();
    assert!(open(&disk, true, &[0]).unwrap().get(first.key, 0).is_err());
    disk.replace(&name, bytes);
    assert!(open(&disk, false, &[0]).is_err(), "it has a filter");
    assert_eq!(open(&disk, true, &[0, 2]).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(open(&disk, true, &next.numbers()).unwrap().get(key(450), 0).unwrap(), [450]);
    // A file that was cut while open, below a page that is asked for.
    let open_runs = open(&disk, true, &[0]).unwrap();
    disk.open(&name, false).unwrap().set_size(5000).unwrap();
    assert!(open_runs.get(first.key, 0).is_err());
}

#[test]
fn damage_is_not_merged() {
    let disk = MemoryDisk::default();
    let mut runs = Runs::new(on(&disk), PREFIX, true);
    for part in 0..3 {
        runs = runs.with(entries(part * 300..part * 300 + 300), 0).unwrap();
    }
    let file = disk.open(&run::name(PREFIX, 1), false).unwrap();
    file.write_all_at(&[1; 8], 2 * 4096 + 100).unwrap();
    let error = runs.with(entries(900..1200), 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("index/calls-00000001: page 2: "), "{error}");
}

/// Three runs of tier one and three of tier zero: one more makes them one of tier two. Whatever
/// happens to it, the old ones are read, and it can be done again.
#[test]
fn an_interrupted_merge_leaves_the_old_runs() {
    let before = MemoryDisk::default();
    let mut old = Runs::new(on(&before), PREFIX, true);
    for part in 0..15 {
        old = old.with(entries(part * 100..part * 100 + 100), 0).unwrap();
        old.sweep().unwrap();
    }
    assert_eq!(old.numbers(), [3, 7, 11, 12, 13, 14]);
    before.sync().unwrap();
    let numbers = old.numbers();
    let whole = |disk: &MemoryDisk, numbers: &[u32], size: u64| {
        let runs = open(disk, true, numbers).unwrap();
        for index in (0..size).step_by(13) {
            assert_eq!(runs.get(key(index), 0).unwrap(), [index]);
        }
        assert_eq!(runs.get(key(size), 0).unwrap(), Vec::<u64>::new());
        runs
    };
    let done = before.killed();
    let merged = open(&done, true, &numbers).unwrap().with(entries(1500..1600), 0).unwrap();
    assert_eq!((merged.numbers(), merged.runs[0].header.tier), (vec![15], 2));
    let operations = done.operations();
    assert!(operations >= 5, "{operations}: create, resize, write, sync, sync names");
    whole(&done.power_loss(|_| 0), &[15], 1600);
    for at in 0..operations {
        for fault in [Fault::Kill, Fault::PowerOff, Fault::Full, Fault::SyncLost] {
            let disk = before.killed();
            disk.fail_at(at, fault);
            let result = open(&disk, true, &numbers).unwrap().with(entries(1500..1600), 0);
            // A full disk, or a sync that is lost, needs an operation of its kind.
            assert!(result.is_err() || matches!(fault, Fault::Full | Fault::SyncLost));
            let torn = |keep: usize| disk.power_loss(move |size| size.min(keep));
            for found in [disk.killed(), torn(0), torn(1), torn(100), torn(512)] {
                if let Ok(runs) = &result {
                    whole(&found, &runs.numbers(), 1600);
                }
                let runs = whole(&found, &numbers, 1500);
                let again = runs.with(entries(1500..1600), 0).unwrap();
                whole(&found, &again.numbers(), 1600);
                assert!(again.numbers()[0] >= 15);
                whole(&found, &numbers, 1500);
                runs.sweep().unwrap();
                assert_eq!(files(&found), files_of(&runs));
            }
        }
    }
}

#[test]
fn numbers_and_files_of_others_are_left_alone() {
    let disk = MemoryDisk::default();
    let others = ["index/calls-old-00000001", "index/calls-1", "index/calls", "calls-00000009"];
    others.iter().for_each(|name| disk.replace(name, vec![1]));
    disk.replace("index/calls-00000041", vec![1; 9000]);
    let runs = Runs::new(on(&disk), PREFIX, false);
    let first = runs.with(entries(0..10), 0).unwrap();
    let second = runs.with(entries(10..20), 0).unwrap();
    assert_eq!((first.numbers(), second.numbers()), (vec![42], vec![43]));
    second.sweep().unwrap();
    let left = others.map(str::to_owned).into_iter().chain(files_of(&second)).collect();
    assert_eq!(files(&disk), left);
    // Its file has no name any more, and is open.
    assert_eq!(first.get(key(3), 0).unwrap(), [3]);
    assert_eq!(second.get(key(13), 0).unwrap(), [13]);
    disk.replace("index/calls-4294967295", vec![]);
    assert!(second.with(entries(20..30), 0).is_err());
    assert_eq!(runs.with(Vec::new(), 0).unwrap().numbers(), Vec::<u32>::new());
}

#[test]
fn what_is_below_is_left_out_in_time() {
    const WINDOW: u64 = 1_000;
    let disk = MemoryDisk::default();
    let mut runs = Runs::new(on(&disk), PREFIX, true);
    for part in 0..200_u64 {
        let (from, to) = (part * 100, part * 100 + 100);
        let least = to.saturating_sub(WINDOW);
        runs = runs.above(least).with(entries(from..to), 0).unwrap();
        runs.sweep().unwrap();
        for index in (least..to).step_by(37) {
            assert_eq!(runs.first(key(index), least).unwrap(), Some(index));
        }
        let count: u64 = runs.runs.iter().map(|run| run.header.count).sum();
        assert!(count <= 2 * WINDOW + 100, "{count} entries after {part} steps");
        assert_eq!(files(&disk), files_of(&runs));
    }
    // A run that is opened again has what it had.
    let runs = open(&disk, true, &runs.numbers()).unwrap();
    assert_eq!(runs.get(key(19_999), 0).unwrap(), [19_999]);
    assert_eq!(runs.get(key(0), 0).unwrap(), Vec::<u64>::new());
}
