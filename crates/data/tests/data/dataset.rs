use std::{fs, os::unix::fs::symlink};

use alloy::primitives::{Address, B256};
use proptest::prelude::*;
use vouch_data::{
    Error,
    dataset::{Archive, Facts, Library, Limits, dataset_id, document_leaf, read, verify_document},
    seal::Key,
};

use crate::support::document;

const OWNER: Address = Address::repeat_byte(1);

fn describe(facts: Facts) -> Facts {
    Facts { licence: "CC-BY-4.0".into(), published: 1_800_000_000, ..facts }
}

#[test]
fn a_directory_is_read_and_what_is_not_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("notes/deep")).unwrap();
    fs::write(at("notes/deep/a.md"), "# Lamps\n\nThey burn oil.").unwrap();
    fs::write(at("b.txt"), "Second.").unwrap();
    fs::write(
        at("rows.jsonl"),
        "{\"text\":\"one\",\"label\":\"x\"}\n\nnot json\n{\"text\":\"two\"}\n",
    )
    .unwrap();
    fs::write(at("page.html"), "<p>Third</p>").unwrap();
    let skipped = [
        ("B.TXT", b"Twin.".as_slice()),
        ("binary.txt", b"a\0b"),
        ("latin.txt", b"caf\xe9"),
        ("empty.md", b" \n"),
        ("image.png", b"png"),
        (".hidden.txt", b"secret"),
        ("large.txt", &[b'a'; 200]),
    ];
    skipped.iter().for_each(|(name, bytes)| fs::write(at(name), bytes).unwrap());
    symlink("/etc/hostname", at("link.txt")).unwrap();
    symlink("/etc", at("linked")).unwrap();

    let limits = Limits { file_bytes: 100, ..Limits::default() };
    let reading = read(directory.path(), &limits).unwrap();
    let paths: Vec<_> = reading.documents.iter().map(|d| d.path.as_str()).collect();
    // Of two names that differ in case alone, the first in byte order is taken.
    let expected = ["B.TXT", "notes/deep/a.md", "page.html", "rows.jsonl#1", "rows.jsonl#4"];
    assert_eq!(paths, expected);
    assert_eq!(reading.documents[1].title(), "Lamps");
    assert_eq!(reading.documents[3].label().as_deref(), Some("x"));
    let named: Vec<_> = reading.skipped.iter().map(|s| s.path.as_str()).collect();
    for name in [
        "b.txt",
        "binary.txt",
        "latin.txt",
        "empty.md",
        "image.png",
        ".hidden.txt",
        "large.txt",
        "link.txt",
        "linked",
        "rows.jsonl#3",
    ] {
        assert!(named.contains(&name), "{name}: {named:?}");
    }
    assert_eq!(named.len(), 10);
    let few = Limits { documents: 2, ..Limits::default() };
    assert!(matches!(read(directory.path(), &few), Err(Error::TooMuch { .. })));
    assert!(matches!(
        read(&at("notes"), &Limits { total_bytes: 3, ..few }),
        Err(Error::TooMuch { .. })
    ));
}

#[test]
fn a_directory_without_documents_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("x.bin"), "x").unwrap();
    assert!(matches!(
        read(directory.path(), &Limits::default()),
        Err(Error::NoDocuments { skipped: 1, .. })
    ));
}

#[test]
fn a_dataset_is_sealed_listed_and_opened_by_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let library = Library::new(directory.path(), "passphrase");
    let documents = [document("a.txt", "Alpha secret."), document("b.txt", "Beta secret.")];
    let published = library.add(OWNER, "letters", &documents, describe).unwrap();
    assert_eq!(published.id, dataset_id(OWNER, published.root));
    assert_eq!(library.add(OWNER, "letters", &documents, describe).unwrap(), published, "the same");
    let other = library.add(OWNER, "letters", &documents[..1], describe).unwrap();
    assert_ne!(other.id, published.id);
    assert_eq!(library.list().unwrap().len(), 2);

    let archive = library.open(published.id).unwrap();
    for (index, document) in documents.iter().enumerate() {
        assert_eq!(&archive.document(index).unwrap(), document);
        let (salt, proof) = (archive.salt(index), archive.proof(index).unwrap());
        let check =
            |document| verify_document(document, &salt, index as u64, 2, &proof, published.root);
        check(document).unwrap();
        assert!(check(&documents[1 - index]).is_err());
        assert_eq!(archive.documents()[index].leaf, document_leaf(&salt, document));
    }
    assert!(archive.document(2).is_err());
    let stranger = Library::new(directory.path(), "other");
    assert!(stranger.open(published.id).is_err(), "another's passphrase");

    // Nothing on disk shows a word or a name of a document.
    let sealed = directory.path().join(published.id.to_string()).join("documents.sealed");
    let mut bytes = fs::read(&sealed).unwrap();
    let card = fs::read(sealed.with_file_name("card.json")).unwrap();
    for file in [&bytes, &card] {
        for word in ["secret", "a.txt"] {
            assert!(!file.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
        }
    }
    // A changed byte is noticed: in the listing at opening, in a document at reading.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&sealed, &bytes).unwrap();
    let archive = library.open(published.id).unwrap();
    assert!(archive.document(0).is_ok() && matches!(archive.document(1), Err(Error::Sealed(_))));
    bytes[20] ^= 1;
    fs::write(&sealed, &bytes).unwrap();
    assert!(library.open(published.id).is_err());
}

#[test]
fn the_root_hides_what_it_binds() {
    let documents = [document("a.txt", "yes")];
    let (one, two) = (Key::random().unwrap(), Key::random().unwrap());
    assert_ne!(Archive::root(&documents, &one), Archive::root(&documents, &two));
    assert_eq!(Archive::root(&documents, &one), Archive::root(&documents, &one));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Every document is included, at its place alone, and opens to its content.
    #[test]
    fn every_document_is_in_the_tree(contents in proptest::collection::vec(".{0,40}", 1..12), flip: usize) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sealed");
        let documents: Vec<_> =
            contents.iter().enumerate().map(|(i, c)| document(&format!("{i}.txt"), c)).collect();
        let secret = directory.path().join("key.json");
        let key = || Key::open_or_create(&secret, "").unwrap();
        let root = Archive::root(&documents, &key());
        let (size, _) = Archive::write(&path, OWNER, &documents, &key()).unwrap();
        prop_assert_eq!(size, fs::metadata(&path).unwrap().len());
        let archive = Archive::open(&path, dataset_id(OWNER, root), key()).unwrap();
        let count = documents.len() as u64;
        for (index, document) in documents.iter().enumerate() {
            prop_assert_eq!(&archive.document(index).unwrap(), document);
            let (salt, proof) = (archive.salt(index), archive.proof(index).unwrap());
            prop_assert!(verify_document(document, &salt, index as u64, count, &proof, root).is_ok());
            let elsewhere = (index as u64 + 1) % count;
            let moved = verify_document(document, &salt, elsewhere, count, &proof, root).is_err();
            prop_assert!(moved || count == 1);
        }
        prop_assert!(Archive::open(&path, B256::ZERO, key()).is_err());
        // One flipped bit anywhere never gives another document.
        let mut bytes = fs::read(&path).unwrap();
        let at = flip % bytes.len();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        if let Ok(archive) = Archive::open(&path, dataset_id(OWNER, root), key()) {
            for (index, document) in documents.iter().enumerate() {
                prop_assert!(archive.document(index).map_or(true, |read| &read == document));
            }
        }
    }
}
