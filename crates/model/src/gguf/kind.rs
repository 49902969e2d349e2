//! The element kinds of ggml: how many elements make a block, and how many bytes a block takes.

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($name:ident = $code:literal, $label:literal, $block:literal elements in $bytes:literal bytes;)*) => {
        /// How a tensor's elements are stored (ggml's `ggml_type`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        #[allow(non_camel_case_types, reason = "ggml's own names, as in files and papers")]
        pub enum TensorKind {
            $(#[doc = concat!($label, ": blocks of ", $block, " elements in ", $bytes, " bytes.")] $name,)*
        }

        impl TensorKind {
            /// The kind with ggml's number `code`, if it is one that is known here.
            #[must_use]
            pub fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// ggml's name, such as `Q4_1`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Elements in a block; a tensor's first extent is a multiple of it.
            #[must_use]
            pub fn block_elements(self) -> u64 {
                match self { $(Self::$name => $block,)* }
            }

            /// Bytes in a block.
            #[must_use]
            pub fn block_bytes(self) -> u64 {
                match self { $(Self::$name => $bytes,)* }
            }
        }
    };
}

kinds! {
    F32 = 0, "F32", 1 elements in 4 bytes;
    F16 = 1, "F16", 1 elements in 2 bytes;
    Q4_0 = 2, "Q4_0", 32 elements in 18 bytes;
    Q4_1 = 3, "Q4_1", 32 elements in 20 bytes;
    Q5_0 = 6, "Q5_0", 32 elements in 22 bytes;
    Q5_1 = 7, "Q5_1", 32 elements in 24 bytes;
    Q8_0 = 8, "Q8_0", 32 elements in 34 bytes;
    Q8_1 = 9, "Q8_1", 32 elements in 36 bytes;
    Q2_K = 10, "Q2_K", 256 elements in 84 bytes;
    Q3_K = 11, "Q3_K", 256 elements in 110 bytes;
    Q4_K = 12, "Q4_K", 256 elements in 144 bytes;
    Q5_K = 13, "Q5_K", 256 elements in 176 bytes;
    Q6_K = 14, "Q6_K", 256 elements in 210 bytes;
    Q8_K = 15, "Q8_K", 256 elements in 292 bytes;
    I8 = 24, "I8", 1 elements in 1 bytes;
    I16 = 25, "I16", 1 elements in 2 bytes;
    I32 = 26, "I32", 1 elements in 4 bytes;
    I64 = 27, "I64", 1 elements in 8 bytes;
    F64 = 28, "F64", 1 elements in 8 bytes;
    BF16 = 30, "BF16", 1 elements in 2 bytes;
}

impl TensorKind {
    /// Bytes that a tensor of this shape (ggml order) takes, or `None` where the shape is not
    /// whole blocks or the size overflows.
    #[must_use]
    pub fn size_bytes(self, shape: &[u64]) -> Option<u64> {
        let row = *shape.first()?;
        if !row.is_multiple_of(self.block_elements()) {
            return None;
        }
        let row_bytes = (row / self.block_elements()).checked_mul(self.block_bytes())?;
        shape[1..].iter().try_fold(row_bytes, |bytes, extent| bytes.checked_mul(*extent))
    }
}
