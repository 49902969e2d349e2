//! Reading foreign bytes without ever passing their end.

use std::ops::Range;

use super::value::{ArrayValue, Scalar, Value, ValueKind};

/// Longest metadata key or tensor name; real ones have some dozens of bytes.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// A position in foreign bytes that never passes their end.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Self { bytes: file, at: 0 }
    }

    /// A cursor over `range` of `file`, whose positions are still those of the file.
    pub(super) fn within(file: &'a [u8], range: &Range<usize>) -> Self {
        Self { bytes: &file[..range.end], at: range.start }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn take(&mut self, length: u64) -> Result<Range<usize>, String> {
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

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn string(&mut self) -> Result<Range<usize>, String> {
        let length = self.u64()?;
        self.take(length)
    }

    /// A count of things that take at least `min_bytes` each, refused where they cannot be there.
    pub(super) fn count(&mut self, what: &str, max: u64, min_bytes: u64) -> Result<u64, String> {
        let count = self.u64()?;
        if count > max || count.saturating_mul(min_bytes) > self.bytes.len() as u64 {
            return Err(format!("claims {count} {what}, more than it can hold"));
        }
        Ok(count)
    }

    pub(super) fn name(&mut self, what: &str) -> Result<String, String> {
        let range = self.string()?;
        if range.len() as u64 > MAX_NAME_BYTES {
            return Err(format!("has a {what} of {} bytes", range.len()));
        }
        match std::str::from_utf8(&self.bytes[range]) {
            Ok(name) => Ok(name.to_owned()),
            Err(_) => Err(format!("has a {what} that is not UTF-8")),
        }
    }

    pub(super) fn value(&mut self, kind: ValueKind) -> Result<Value, String> {
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
