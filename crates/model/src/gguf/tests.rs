//! A small synthetic file, read back; then damaged in every way that is cheap to think of.

use proptest::prelude::*;

use super::*;

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn key(out: &mut Vec<u8>, name: &str, kind: u32) {
    string(out, name);
    out.extend(kind.to_le_bytes());
}

fn tensor(out: &mut Vec<u8>, name: &str, shape: &[u64], kind: u32, offset: u64) {
    string(out, name);
    out.extend((shape.len() as u32).to_le_bytes());
    shape.iter().for_each(|extent| out.extend(extent.to_le_bytes()));
    out.extend(kind.to_le_bytes());
    out.extend(offset.to_le_bytes());
}

/// Seven keys, two tensors: F32 [2, 3] at 0 and Q4_1 [32, 2] at 32.
fn sample() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend(2u64.to_le_bytes());
    out.extend(7u64.to_le_bytes());
    key(&mut out, "general.architecture", 8);
    string(&mut out, "llama");
    key(&mut out, "count", 4);
    out.extend(30u32.to_le_bytes());
    key(&mut out, "signed", 5);
    out.extend((-3i32).to_le_bytes());
    key(&mut out, "eps", 6);
    out.extend(1e-5f32.to_le_bytes());
    key(&mut out, "flag", 7);
    out.push(1);
    key(&mut out, "words", 9);
    out.extend(8u32.to_le_bytes());
    out.extend(3u64.to_le_bytes());
    ["a", "", "bé"].iter().for_each(|word| string(&mut out, word));
    key(&mut out, "types", 9);
    out.extend(5u32.to_le_bytes());
    out.extend(2u64.to_le_bytes());
    [1i32, -1].iter().for_each(|kind| out.extend(kind.to_le_bytes()));
    tensor(&mut out, "norm", &[2, 3], 0, 0);
    tensor(&mut out, "weight", &[32, 2], 3, 32);
    out.resize(out.len().next_multiple_of(32), 0);
    (0..72u8).for_each(|byte| out.push(byte));
    out
}

fn parse(bytes: Vec<u8>) -> Result<Gguf, Error> {
    Gguf::from_bytes("sample.gguf", bytes)
}

/// Reads everything a file offers; panics only if a checked range was wrong.
fn read_all(gguf: &Gguf) -> usize {
    let keys: Vec<String> = gguf.metadata.keys().cloned().collect();
    for key in &keys {
        drop((gguf.u32(key), gguf.f32(key), gguf.bool(key), gguf.str(key)));
        drop((gguf.strings(key), gguf.f32s(key), gguf.i32s(key)));
    }
    gguf.tensors().map(|tensor| tensor.bytes.len()).sum()
}

#[test]
fn reads_what_was_written() {
    let gguf = parse(sample()).unwrap();
    assert_eq!(gguf.architecture().unwrap(), "llama");
    assert_eq!(gguf.u32("count").unwrap(), 30);
    assert_eq!(gguf.f32("eps").unwrap(), 1e-5);
    assert!(gguf.bool("flag").unwrap());
    assert_eq!(gguf.strings("words").unwrap(), ["a", "", "bé"]);
    assert_eq!(gguf.i32s("types").unwrap(), [1, -1]);
    let weight = gguf.tensor("weight").unwrap();
    assert_eq!((weight.shape, weight.kind), (&[32u64, 2][..], TensorKind::Q4_1));
    assert_eq!(weight.bytes, (32..72).collect::<Vec<u8>>());
    assert_eq!(gguf.tensors().map(|tensor| tensor.name).collect::<Vec<_>>(), ["norm", "weight"]);
    assert_eq!(gguf.tensor("norm").unwrap().bytes.len(), 24);
}

#[test]
fn a_mapped_file_reads_like_one_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sample.gguf");
    std::fs::write(&path, sample()).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.file_bytes(), sample());
    assert_eq!(read_all(&gguf), 64);
}

#[test]
fn errors_name_the_file_and_the_key() {
    let gguf = parse(sample()).unwrap();
    let message = |error: Error| error.to_string();
    assert_eq!(
        message(gguf.u32("words").unwrap_err()),
        "sample.gguf words should be an integer and is an array of 3 Str"
    );
    assert_eq!(
        message(gguf.u32("absent").unwrap_err()),
        "sample.gguf has no metadata key \"absent\""
    );
    assert_eq!(message(gguf.u32("signed").unwrap_err()), "sample.gguf signed is negative: -3");
    assert_eq!(message(gguf.tensor("x").unwrap_err()), "sample.gguf has no tensor \"x\"");
}

#[test]
fn false_counts_are_refused_before_any_work() {
    for at in [8, 16] {
        let mut bytes = sample();
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        let error = parse(bytes).unwrap_err().to_string();
        assert!(error.contains("more than it can hold"), "{error}");
    }
}

#[test]
fn other_files_are_told_apart() {
    let error = |bytes: &[u8]| parse(bytes.to_vec()).unwrap_err().to_string();
    let with_version = |version: u32| [&b"GGUF"[..], &version.to_le_bytes(), &[0; 16]].concat();
    assert_eq!(error(b""), "sample.gguf is not a GGUF file (it does not begin with GGUF)");
    assert!(error(b"PK\x03\x04").contains("not a GGUF file"));
    assert!(error(&with_version(1)).contains("version 1"));
    assert!(error(&with_version(3u32.swap_bytes())).contains("big-endian"));
    assert!(parse(with_version(2)).is_ok());
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(Gguf::open(empty.path()).unwrap_err().to_string().contains("not a GGUF file"));
    let directory = tempfile::tempdir().unwrap();
    assert!(Gguf::open(directory.path()).unwrap_err().to_string().contains("not a regular file"));
    assert!(matches!(Gguf::open(&directory.path().join("none")), Err(Error::Io { .. })));
}

#[test]
fn every_truncation_is_an_error() {
    let whole = sample();
    for length in 0..whole.len() {
        assert!(parse(whole[..length].to_vec()).is_err(), "cut at {length}");
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_reads_safely() {
    let whole = sample();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(gguf) = parse(bytes) {
            read_all(&gguf);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_damage_never_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<[u8; 8]>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample();
        for (at, value) in edits {
            let at = at.index(bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&value);
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(gguf) = parse(bytes) {
            read_all(&gguf);
        }
    }
}
