//! Reads safetensors files: a JSON table of names, types, shapes and ranges, then the bytes.
//!
//! A file comes from a stranger: the table is bounded, every range is checked against the bytes
//! that are there and against its shape before it is used. Source: the format's page in
//! huggingface/safetensors. Read: F32.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;

/// Longest table; those of models of this kind are some ten kilobytes.
const MAX_TABLE_BYTES: usize = 4 << 20;

/// A file whose table has been read.
#[derive(Debug)]
pub(super) struct SafeTensors<'a> {
    path: PathBuf,
    records: BTreeMap<String, serde_json::Value>,
    data: &'a [u8],
}

#[derive(Debug, Deserialize)]
struct Record {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl<'a> SafeTensors<'a> {
    /// # Errors
    /// [`Error::Safetensors`] where the table is cut off, too long or not a table.
    pub(super) fn parse(path: &Path, bytes: &'a [u8]) -> Result<Self, Error> {
        let refuse = |detail: &str| Err(error(path, detail.to_owned()));
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return refuse("is shorter than a safetensors file can be");
        };
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_TABLE_BYTES || length > rest.len() {
            return refuse("has a table that is longer than the file or than 4 MiB");
        }
        let (table, data) = rest.split_at(length);
        let records = serde_json::from_slice(table)
            .map_err(|reason| error(path, format!("has a table that is malformed: {reason}")))?;
        Ok(Self { path: path.to_owned(), records, data })
    }

    /// The numbers of the F32 tensor `name`, row after row.
    ///
    /// # Errors
    /// [`Error::Safetensors`] where there is none of that name, type and shape within the file.
    pub(super) fn f32s(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let refuse = |detail: &str| error(&self.path, format!("{detail} ({name})"));
        let record = self.records.get(name).ok_or_else(|| refuse("lacks a tensor"))?;
        let Record { dtype, shape: found, data_offsets: [start, end] } =
            Record::deserialize(record).map_err(|_| refuse("has a malformed tensor"))?;
        if dtype != "F32" || found != shape {
            return Err(refuse("has a tensor of another type or shape than its configuration"));
        }
        let size = shape.iter().try_fold(4usize, |size, extent| size.checked_mul(*extent));
        let bytes = self.data.get(start..end).filter(|bytes| Some(bytes.len()) == size);
        let bytes = bytes.ok_or_else(|| refuse("has a tensor outside of its bytes"))?;
        Ok(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
    }
}

fn error(path: &Path, detail: String) -> Error {
    Error::Safetensors { path: path.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(table: &str, data: &[u8]) -> Vec<u8> {
        [&(table.len() as u64).to_le_bytes(), table.as_bytes(), data].concat()
    }

    fn read(table: &str, data: &[u8]) -> Result<Vec<f32>, Error> {
        let bytes = file(table, data);
        SafeTensors::parse(Path::new("m"), &bytes)?.f32s("a", &[2])
    }

    #[test]
    fn a_tensor_is_read() {
        let table = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        let data = [0f32, 1.5, -2.0].map(f32::to_le_bytes).concat();
        assert_eq!(read(table, &data).unwrap(), [1.5, -2.0]);
    }

    #[test]
    fn lies_are_refused() {
        let at = |offsets: &str, dtype: &str, shape: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let data = [0u8; 8];
        assert!(read(&at("[0,8]", "F32", "[2]"), &data).is_ok());
        for table in [
            at("[0,12]", "F32", "[2]"),
            at("[8,0]", "F32", "[2]"),
            at("[1,8]", "F32", "[2]"),
            at("[0,8]", "F16", "[2]"),
            at("[0,8]", "F32", "[2,1]"),
            at("[0,18446744073709551615]", "F32", "[2]"),
            at("[0,8,8]", "F32", "[2]"),
            at("[0,8]", "F32", "[2").to_owned(),
            "{}".to_owned(),
            "[]".to_owned(),
        ] {
            assert!(read(&table, &data).is_err(), "{table}");
        }
        for cut in [&b""[..], &[255; 8], &[9, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']] {
            assert!(SafeTensors::parse(Path::new("m"), cut).is_err());
        }
    }
}
