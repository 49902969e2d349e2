//! Metadata values: small ones read at once, strings and arrays left in place.

use std::ops::Range;

use super::cursor::Cursor;

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
    pub(super) element: ValueKind,
    pub(super) count: u64,
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
        let mut cursor = Cursor::within(file, &self.range);
        // The walk at opening has read these strings before, so none of them can fail now.
        (0..self.count).map_while(move |_| cursor.string().ok().map(|range| &file[range]))
    }
}

/// GGUF's `gguf_metadata_value_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
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
    pub(super) fn from_code(code: u32) -> Result<Self, String> {
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
    pub(super) fn fixed_bytes(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::Str | Self::Array => None,
        }
    }
}
