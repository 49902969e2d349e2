//! The walk over a GGUF header: foreign bytes in, checked ranges out. Errors are the middle of a
//! sentence whose subject is the file ("has 3 bytes left where ...").

use std::collections::BTreeMap;
use std::ops::Range;

use super::TensorKind;

/// No real model comes near these; a header that does is refused before any work is done on it.
const MAX_METADATA_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 18;
const MAX_NAME_BYTES: u64 = 1 << 16;
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

#[derive(Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    Str(Range<usize>),
    Array(ArrayValue),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
}

/// An array left in place: `range` has been walked once and holds exactly `count` elements.
#[derive(Debug)]
pub(super) struct ArrayValue {
    element: ValueKind,
    count: u64,
    pub(super) range: Range<usize>,
}

impl Value {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Scalar(Scalar::Unsigned(_) | Scalar::Signed(_)) => "an integer".into(),
            Self::Scalar(Scalar::Float(_)) => "a float".into(),
            Self::Scalar(Scalar::Bool(_)) => "a boolean".into(),
            Self::Str(_) => "a string".into(),
            Self::Array(array) => format!("an array of {} {:?}", array.count, array.element),
        }
    }
}

impl ArrayValue {
    pub(super) fn is_strings(&self) -> bool {
        self.element == ValueKind::Str
    }

    pub(super) fn is_f32(&self) -> bool {
        self.element == ValueKind::F32
    }

    pub(super) fn is_i32(&self) -> bool {
        matches!(self.element, ValueKind::I32 | ValueKind::U32)
    }

    /// The strings of an array of strings in `file`, as bytes.
    pub(super) fn strings<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut cursor = Cursor { bytes: &file[..self.range.end], at: self.range.start };
        // The walk at opening has read these strings before, so none of them can fail now.
        (0..self.count).map_while(move |_| cursor.string().ok().map(|range| &file[range]))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Str,
    Array,
    U64,
    I64,
    F64,
}

impl ValueKind {
    fn from_code(code: u32) -> Result<Self, String> {
        Ok(match code {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Str,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return Err(format!("has a metadata value of unknown type {code}")),
        })
    }

    /// Bytes of one element; `None` where that differs from element to element.
    fn fixed_bytes(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::Str | Self::Array => None,
        }
    }
}

/// Walks and checks the header of `file`.
pub(super) fn header(file: &[u8]) -> Result<Header, String> {
    let mut cursor = Cursor { bytes: file, at: 0 };
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
    let data_start = (cursor.at as u64).next_multiple_of(alignment);
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
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= cursor.bytes.len() as u64))
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

/// A position in foreign bytes that never passes their end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take(&mut self, length: u64) -> Result<Range<usize>, String> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                let start = self.at;
                self.at += length;
                Ok(start..self.at)
            }
            _ => Err(format!("has {left} bytes left where {length} are needed; fetch it again")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let range = self.take(N as u64)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[range]);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Result<Range<usize>, String> {
        let length = self.u64()?;
        self.take(length)
    }

    /// A count of things that take at least `min_bytes` each, refused where they cannot be there.
    fn count(&mut self, what: &str, max: u64, min_bytes: u64) -> Result<u64, String> {
        let count = self.u64()?;
        if count > max || count.saturating_mul(min_bytes) > self.bytes.len() as u64 {
            return Err(format!("claims {count} {what}, more than it can hold"));
        }
        Ok(count)
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        let range = self.string()?;
        if range.len() as u64 > MAX_NAME_BYTES {
            return Err(format!("has a {what} of {} bytes", range.len()));
        }
        match std::str::from_utf8(&self.bytes[range]) {
            Ok(name) => Ok(name.to_owned()),
            Err(_) => Err(format!("has a {what} that is not UTF-8")),
        }
    }

    fn value(&mut self, kind: ValueKind) -> Result<Value, String> {
        let scalar = match kind {
            ValueKind::Str => return self.string().map(Value::Str),
            ValueKind::Array => return self.array_value().map(Value::Array),
            ValueKind::U8 => Scalar::Unsigned(u8::from_le_bytes(self.array()?).into()),
            ValueKind::U16 => Scalar::Unsigned(u16::from_le_bytes(self.array()?).into()),
            ValueKind::U32 => Scalar::Unsigned(self.u32()?.into()),
            ValueKind::U64 => Scalar::Unsigned(self.u64()?),
            ValueKind::I8 => Scalar::Signed(i8::from_le_bytes(self.array()?).into()),
            ValueKind::I16 => Scalar::Signed(i16::from_le_bytes(self.array()?).into()),
            ValueKind::I32 => Scalar::Signed(i32::from_le_bytes(self.array()?).into()),
            ValueKind::I64 => Scalar::Signed(i64::from_le_bytes(self.array()?)),
            ValueKind::F32 => Scalar::Float(f32::from_le_bytes(self.array()?).into()),
            ValueKind::F64 => Scalar::Float(f64::from_le_bytes(self.array()?)),
            ValueKind::Bool => match u8::from_le_bytes(self.array()?) {
                0 => Scalar::Bool(false),
                1 => Scalar::Bool(true),
                other => return Err(format!("has a boolean of value {other}")),
            },
        };
        Ok(Value::Scalar(scalar))
    }

    fn array_value(&mut self) -> Result<ArrayValue, String> {
        let element = ValueKind::from_code(self.u32()?)?;
        let count = self.u64()?;
        let start = self.at;
        match element.fixed_bytes() {
            Some(size) => {
                self.take(count.saturating_mul(size))?;
            }
            None if element == ValueKind::Str => {
                // Each string takes 8 bytes or more, so a false count ends at the file's end.
                for _ in 0..count {
                    self.string()?;
                }
            }
            None => return Err("has an array of arrays, which is not supported".into()),
        }
        Ok(ArrayValue { element, count, range: start..self.at })
    }
}
