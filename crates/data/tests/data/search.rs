use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};
use proptest::prelude::*;
use vouch_data::{
    Error,
    seal::Key,
    search::{Index, Query},
};

use crate::support::{DIMENSIONS, Words, document, vector};

const MODEL: B256 = B256::repeat_byte(5);

fn dataset(n: u8) -> (B256, Address) {
    (B256::repeat_byte(n), Address::repeat_byte(n))
}

fn index(sets: &[(u8, u64, &[&str])]) -> Index {
    let mut index = Index::new(MODEL, DIMENSIONS);
    for (n, block, texts) in sets {
        let (id, owner) = dataset(*n);
        let documents: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(i, text)| (B256::with_last_byte(i as u8), document(&format!("{i}.txt"), text)))
            .collect();
        index.add(id, owner, (*block, 0), &documents, &Words).unwrap();
    }
    index
}

fn found(index: &Index, question: &str, query: &Query, denied: &[u8]) -> Vec<(u8, String)> {
    let denied: BTreeSet<B256> = denied.iter().map(|n| dataset(*n).0).collect();
    let allowed = |id| (!denied.contains(&id)).then_some(id);
    let hits = index.search(&vector(question), query, allowed).unwrap();
    assert!(hits.iter().all(|hit| hit.allowed == hit.source.dataset));
    hits.iter().map(|hit| (hit.source.owner[0], hit.source.text.clone())).collect()
}

#[test]
fn what_is_near_is_found_and_what_is_not_allowed_is_not() {
    let index = index(&[
        (1, 1, &["The lighthouse lamp burns whale oil.", "Bread needs flour and yeast."]),
        (2, 2, &["A lighthouse keeper trims the lamp at dusk."]),
    ]);
    let query = Query::default();
    let both = found(&index, "who trims the lighthouse lamp", &query, &[]);
    assert_eq!(both[0].0, 2);
    assert!(both.iter().any(|(owner, _)| *owner == 1));
    let one = found(&index, "who trims the lighthouse lamp", &query, &[2]);
    assert!(!one.is_empty() && one.iter().all(|(owner, _)| *owner == 1));
    assert!(found(&index, "who trims the lighthouse lamp", &query, &[1, 2]).is_empty());
}

#[test]
fn one_owner_is_not_cited_too_often() {
    let texts = ["Lamp oil one whale.", "Lamp oil two cotton.", "Lamp oil three silver rain."];
    let index = index(&[(1, 1, &texts), (2, 2, &["Lamp oil far away mountains rivers clouds."])]);
    let query = Query { per_owner: 1, ..Query::default() };
    let owners: Vec<u8> = found(&index, "lamp oil", &query, &[]).iter().map(|(o, _)| *o).collect();
    assert_eq!(owners.len(), 2);
    assert!(owners.contains(&1) && owners.contains(&2));
}

#[test]
fn a_copy_is_not_cited_and_the_original_is_even_if_the_copy_scores_higher() {
    let original = "The old keeper climbed ninety steps every night carrying whale oil for the lamp \
        above the northern rocks while storms crossed the bay and ships waited outside harbour";
    let altered = format!("{original} lamp");
    // The copyist has the lower id and the better score, and was published later.
    let index = index(&[(1, 9, &[&altered]), (2, 3, &[original])]);
    let hits = found(&index, "whale oil lamp lamp", &Query::default(), &[]);
    assert_eq!(hits, [(2, original.to_owned())]);
    let exact = self::index(&[(1, 9, &[original]), (2, 3, &[original])]);
    assert_eq!(found(&exact, "whale oil lamp", &Query::default(), &[])[0].0, 2);
}

#[test]
fn an_index_is_kept_sealed_and_grows_and_shrinks_by_dataset() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let key = Key::random().unwrap();
    let mut index = index(&[(1, 1, &["Whale oil."]), (2, 2, &["Yeast and flour.", "Salt."])]);
    assert_eq!((index.len(), index.datasets().len()), (3, 2));
    index.save(&path, &key).unwrap();
    let loaded = Index::load(&path, &key).unwrap();
    assert_eq!(loaded.model(), MODEL);
    let query = Query { least: 0.0, ..Query::default() };
    for question in ["whale oil", "yeast", "salt"] {
        assert_eq!(found(&loaded, question, &query, &[]), found(&index, question, &query, &[]));
    }
    assert!(index.remove(dataset(2).0) && !index.remove(dataset(2).0));
    assert_eq!(index.len(), 1);
    assert!(found(&index, "yeast", &query, &[]).iter().all(|(owner, _)| *owner == 1));

    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(5).any(|window| window == b"flour"));
    assert!(matches!(Index::load(&path, &Key::random().unwrap()), Err(Error::Sealed(_))));
    for (at, flipped) in [(0, true), (40, true), (bytes.len() - 1, true), (bytes.len() / 2, false)]
    {
        let mut bad = bytes.clone();
        if flipped {
            bad[at] ^= 1
        } else {
            bad.truncate(at)
        }
        std::fs::write(&path, bad).unwrap();
        assert!(Index::load(&path, &key).is_err(), "{at}");
    }
}

#[test]
fn a_vector_of_another_length_is_refused() {
    let index = index(&[(1, 1, &["Whale oil."])]);
    assert!(index.search(&[1.0; 3], &Query::default(), Some).is_err());
    assert!(index.search(&[0.0; DIMENSIONS], &Query::default(), Some).is_err());
    assert!(index.search(&[f32::NAN; DIMENSIONS], &Query::default(), Some).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Exact: nothing that is allowed and left out scores above what was found.
    #[test]
    fn the_best_are_found(words in proptest::collection::vec("[a-f]{3} [a-f]{3} [a-f]{3}", 1..30), question in "[a-f]{3} [a-f]{3}") {
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let index = index(&[(1, 1, &texts)]);
        let query = Query { count: 3, per_owner: 3, least: -1.0, near_duplicate: 2.0 };
        let hits = index.search(&vector(&question), &query, Some).unwrap();
        let all = Query { count: 1_000, per_owner: 1_000, ..query };
        let all = index.search(&vector(&question), &all, Some).unwrap();
        prop_assert_eq!(&hits[..], &all[..hits.len()]);
        prop_assert!(all.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
}
