//! Reads GGUF files (versions 2 and 3), the format of llama.cpp's models.
//!
//! ```text
//! magic, version, counts | metadata (key, type, value)* | tensor (name, shape, type, offset)* | data
//!                         `-> typed getters               `-> Gguf::tensor: a view into the map
//! ```
//! A model file comes from a stranger: every length is checked against the bytes that are there
//! before it is used, nothing is allocated in proportion to a count that the file merely claims,
//! and the whole header is walked once, at opening, so that later reads cannot run off the end.
//! Arrays (a vocabulary is tens of thousands of strings) stay in the map until asked for.
//!
//! Source: ggml `docs/gguf.md`. Not read: big-endian files, split files, nested arrays.

mod cursor;
mod kind;
mod parse;
mod value;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::Error;
pub use kind::TensorKind;
use parse::{Header, TensorRecord};
use value::{ArrayValue, Scalar, Value};

/// An open GGUF file: its metadata and its tensors, backed by a memory map.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    bytes: Bytes,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorRecord>,
}

/// One tensor's shape, element kind and bytes as they stand in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorView<'a> {
    /// Name, such as `blk.0.attn_q.weight`.
    pub name: &'a str,
    /// Extents in ggml's order: the fastest-running first, so a weight matrix of R rows and
    /// C columns is `[C, R]`. One to four entries.
    pub shape: &'a [u64],
    /// How the elements are stored.
    pub kind: TensorKind,
    /// Exactly `kind.size_bytes(elements)` bytes; their alignment is that of the file (32 by default).
    pub bytes: &'a [u8],
}

/// Where the file's bytes are.
#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Gguf {
    /// Maps and checks the file at `path`. Costs one walk over its header (milliseconds); tensor
    /// data is paged in when read.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Gguf`] where it is malformed.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Err(gguf_error(path, "is not a regular file"));
        }
        // SAFETY: a map is sound while nobody truncates or rewrites the file beneath it. Models
        // are placed by a rename and never written in place (`source.rs`), and an operator who
        // can rewrite the model file can as well rewrite this binary.
        #[allow(unsafe_code, reason = "mapping a file is unsafe in memmap2; argued above")]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Self::parse(path, Bytes::Mapped(map))
    }

    /// Checks a GGUF file held in memory; `name` stands for its path in errors.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the bytes are malformed.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        Self::parse(Path::new(name), Bytes::Owned(bytes))
    }

    fn parse(path: &Path, bytes: Bytes) -> Result<Self, Error> {
        let Header { metadata, tensors } =
            parse::header(bytes.as_slice()).map_err(|detail| gguf_error(path, detail))?;
        Ok(Self { path: path.to_owned(), bytes, metadata, tensors })
    }

    /// The path it was opened at.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file, as for hashing it.
    #[must_use]
    pub fn file_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The model's architecture (`general.architecture`), such as `llama`.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent or not a string.
    pub fn architecture(&self) -> Result<&str, Error> {
        self.str("general.architecture")
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// [`Error::Gguf`], naming it, where there is none.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>, Error> {
        match self.tensors.get_key_value(name) {
            Some((name, record)) => Ok(self.view(name, record)),
            None => Err(self.error(format!("has no tensor {name:?}"))),
        }
    }

    /// Every tensor, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = TensorView<'_>> {
        self.tensors.iter().map(|(name, record)| self.view(name, record))
    }

    fn view<'a>(&'a self, name: &'a str, record: &'a TensorRecord) -> TensorView<'a> {
        TensorView {
            name,
            shape: &record.shape,
            kind: record.kind,
            bytes: self.slice(&record.range),
        }
    }

    /// Ranges come from `parse::header`, which has checked them against these very bytes.
    fn slice(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes.as_slice()[range.clone()]
    }

    fn error(&self, detail: impl Into<String>) -> Error {
        gguf_error(&self.path, detail)
    }
}

fn gguf_error(path: &Path, detail: impl Into<String>) -> Error {
    Error::Gguf { path: path.to_owned(), detail: detail.into() }
}

/// Metadata by key. A missing key and a value of another type are both errors that name the key;
/// ask [`Gguf::contains`] first where absence has a meaning.
impl Gguf {
    /// Whether the file has the metadata key.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }

    /// An unsigned integer of any stored width that fits 32 bits.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent, no integer, negative or too large.
    pub fn u32(&self, key: &str) -> Result<u32, Error> {
        let value = self.u64(key)?;
        u32::try_from(value).map_err(|_| self.error(format!("{key} is {value}, above 32 bits")))
    }

    /// An unsigned integer of any stored width.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent, no integer or negative.
    pub fn u64(&self, key: &str) -> Result<u64, Error> {
        match self.value(key)? {
            Value::Scalar(Scalar::Unsigned(value)) => Ok(*value),
            Value::Scalar(Scalar::Signed(value)) => {
                u64::try_from(*value).map_err(|_| self.error(format!("{key} is negative: {value}")))
            }
            other => Err(self.mismatch(key, "an integer", other)),
        }
    }

    /// A float; an f64 is rounded to f32.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent or no float.
    pub fn f32(&self, key: &str) -> Result<f32, Error> {
        match self.value(key)? {
            Value::Scalar(Scalar::Float(value)) => Ok(*value as f32),
            other => Err(self.mismatch(key, "a float", other)),
        }
    }

    /// A boolean.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent or no boolean.
    pub fn bool(&self, key: &str) -> Result<bool, Error> {
        match self.value(key)? {
            Value::Scalar(Scalar::Bool(value)) => Ok(*value),
            other => Err(self.mismatch(key, "a boolean", other)),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent, no string or not UTF-8.
    pub fn str(&self, key: &str) -> Result<&str, Error> {
        match self.value(key)? {
            Value::Str(range) => self.utf8(key, self.slice(range)),
            other => Err(self.mismatch(key, "a string", other)),
        }
    }

    /// An array of strings, borrowed from the map.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent, no array of strings, or one is not UTF-8.
    pub fn strings(&self, key: &str) -> Result<Vec<&str>, Error> {
        let array = self.array(key, "an array of strings", ArrayValue::is_strings)?;
        array.strings(self.bytes.as_slice()).map(|bytes| self.utf8(key, bytes)).collect()
    }

    /// An array of f32.
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent or no array of f32.
    pub fn f32s(&self, key: &str) -> Result<Vec<f32>, Error> {
        let array = self.array(key, "an array of f32", ArrayValue::is_f32)?;
        Ok(self.words(array).map(f32::from_le_bytes).collect())
    }

    /// An array of i32 (or u32, reinterpreted).
    ///
    /// # Errors
    /// [`Error::Gguf`] where the key is absent or no array of 32-bit integers.
    pub fn i32s(&self, key: &str) -> Result<Vec<i32>, Error> {
        let array = self.array(key, "an array of i32", ArrayValue::is_i32)?;
        Ok(self.words(array).map(i32::from_le_bytes).collect())
    }

    fn words(&self, array: &ArrayValue) -> impl Iterator<Item = [u8; 4]> {
        self.slice(&array.range).as_chunks::<4>().0.iter().copied()
    }

    fn array(
        &self,
        key: &str,
        wanted: &str,
        is: fn(&ArrayValue) -> bool,
    ) -> Result<&ArrayValue, Error> {
        match self.value(key)? {
            Value::Array(array) if is(array) => Ok(array),
            other => Err(self.mismatch(key, wanted, other)),
        }
    }

    fn value(&self, key: &str) -> Result<&Value, Error> {
        self.metadata.get(key).ok_or_else(|| self.error(format!("has no metadata key {key:?}")))
    }

    fn utf8<'a>(&self, key: &str, bytes: &'a [u8]) -> Result<&'a str, Error> {
        std::str::from_utf8(bytes)
            .map_err(|_| self.error(format!("{key} holds text that is not UTF-8")))
    }

    fn mismatch(&self, key: &str, wanted: &str, found: &Value) -> Error {
        self.error(format!("{key} should be {wanted} and is {}", found.describe()))
    }
}

#[cfg(test)]
#[path = "gguf/tests.rs"]
mod tests;
