//! The walk over a GGUF header: foreign bytes in, checked ranges out. Errors are the middle of a
//! sentence whose subject is the file ("has 3 bytes left where ...").

use std::collections::BTreeMap;
use std::ops::Range;

use super::TensorKind;
use super::cursor::Cursor;
use super::value::{Scalar, Value, ValueKind};

/// No real model comes near these; a header that does is refused before any work is done on it.
const MAX_METADATA_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 18;
const MAX_SHAPE_EXTENTS: u32 = 4;
const MAX_ALIGNMENT_BYTES: u64 = 1 << 20;
const DEFAULT_ALIGNMENT_BYTES: u64 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// Smallest encodings: key length, type, a one-byte value; name length, extent count, type, offset.
const MIN_METADATA_BYTES: u64 = 8 + 4 + 1;
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 4 + 8;

#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, Value>,
    pub(super) tensors: BTreeMap<String, TensorRecord>,
}

#[derive(Debug)]
pub(super) struct TensorRecord {
    pub(super) shape: Vec<u64>,
    pub(super) kind: TensorKind,
    pub(super) range: Range<usize>,
}

/// Walks and checks the header of `file`.
pub(super) fn header(file: &[u8]) -> Result<Header, String> {
    let mut cursor = Cursor::new(file);
    if cursor.take(4) != Ok(0..4) || &file[..4] != b"GGUF" {
        return Err("is not a GGUF file (it does not begin with GGUF)".into());
    }
    match cursor.u32()? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => {
            return Err("is a big-endian GGUF file; only little-endian ones are read".into());
        }
        version => {
            return Err(format!("has GGUF version {version}; versions 2 and 3 are read"));
        }
    }
    let tensor_count = cursor.count("tensors", MAX_TENSORS, MIN_TENSOR_BYTES)?;
    let key_count = cursor.count("metadata keys", MAX_METADATA_KEYS, MIN_METADATA_BYTES)?;
    let metadata = metadata(&mut cursor, key_count)?;
    let alignment = alignment(&metadata)?;
    let tensors = tensors(&mut cursor, tensor_count, alignment)?;
    Ok(Header { metadata, tensors })
}

fn metadata(cursor: &mut Cursor<'_>, count: u64) -> Result<BTreeMap<String, Value>, String> {
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = cursor.name("metadata key")?;
        let kind = ValueKind::from_code(cursor.u32()?)?;
        let value = cursor.value(kind)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("has the metadata key {key:?} twice"));
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, String> {
    match metadata.get(ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT_BYTES),
        Some(Value::Scalar(Scalar::Unsigned(bytes)))
            if bytes.is_power_of_two() && *bytes <= MAX_ALIGNMENT_BYTES =>
        {
            Ok(*bytes)
        }
        Some(_) => {
            Err(format!("has an unusable {ALIGNMENT_KEY} (a power of two up to 1 MiB is needed)"))
        }
    }
}

fn tensors(
    cursor: &mut Cursor<'_>,
    count: u64,
    alignment: u64,
) -> Result<BTreeMap<String, TensorRecord>, String> {
    // Offsets count from the data section, whose start is known only after the last record.
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(tensor_record(cursor, alignment)?);
    }
    let data_start = (cursor.position() as u64).next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (name, shape, kind, offset) in records {
        let size = kind.size_bytes(&shape).ok_or_else(|| {
            format!(
                "has tensor {name:?} of shape {shape:?}, which is not whole blocks of {}",
                kind.name()
            )
        })?;
        let start = data_start.checked_add(offset);
        let end = start.and_then(|start| start.checked_add(size));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= cursor.file_bytes()))
        else {
            return Err(format!("ends before the data of tensor {name:?}; fetch it again"));
        };
        // Both are at most the file's length, which is a usize.
        let record = TensorRecord { shape, kind, range: start as usize..end as usize };
        if tensors.insert(name.clone(), record).is_some() {
            return Err(format!("has the tensor {name:?} twice"));
        }
    }
    Ok(tensors)
}

fn tensor_record(
    cursor: &mut Cursor<'_>,
    alignment: u64,
) -> Result<(String, Vec<u64>, TensorKind, u64), String> {
    let name = cursor.name("tensor name")?;
    let extents = cursor.u32()?;
    if !(1..=MAX_SHAPE_EXTENTS).contains(&extents) {
        return Err(format!("has tensor {name:?} with {extents} extents; 1 to 4 are read"));
    }
    let shape = (0..extents).map(|_| cursor.u64()).collect::<Result<Vec<_>, _>>()?;
    let code = cursor.u32()?;
    let kind = TensorKind::from_code(code).ok_or_else(|| {
        format!("has tensor {name:?} of ggml type {code}, which is not supported")
    })?;
    let offset = cursor.u64()?;
    if !offset.is_multiple_of(alignment) {
        return Err(format!("has tensor {name:?} at offset {offset}, not aligned to {alignment}"));
    }
    Ok((name, shape, kind, offset))
}
