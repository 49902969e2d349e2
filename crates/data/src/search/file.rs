//! The index in a file: `"VOUCHIX1" | sealed body`. The seal is the checksum: an index holds other
//! people's text, so it is kept as the datasets are.
//!
//! Body, little-endian: model 32 bytes, dimensions u32, header length u64, header (JSON: parts
//! without vectors), then the vectors of each part in order, f32.

use std::{collections::BTreeMap, path::Path};

use alloy_primitives::B256;

use super::{Index, index::Part};
use crate::{
    Error, Result,
    files::{read_bounded, replace},
    seal::Key,
};

const MAGIC: &[u8; 8] = b"VOUCHIX1";
const PLACE: &[u8] = b"vouch index 1";
const MAX_BYTES: u64 = 8 << 30;
const MAX_DIMENSIONS: usize = 1 << 16;

impl Index {
    /// Writes the index, whole or not at all, sealed.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Random`].
    pub fn save(&self, path: &Path, key: &Key) -> Result<()> {
        let header =
            serde_json::to_vec(&self.parts).map_err(|error| Error::malformed("index", error))?;
        let mut body = Vec::with_capacity(header.len() + self.len() * self.dimensions * 4 + 64);
        body.extend_from_slice(self.model.as_slice());
        body.extend_from_slice(&(self.dimensions as u32).to_le_bytes());
        body.extend_from_slice(&(header.len() as u64).to_le_bytes());
        body.extend_from_slice(&header);
        for value in self.parts.values().flat_map(|part| &part.vectors) {
            body.extend_from_slice(&value.to_le_bytes());
        }
        replace(path, &[MAGIC.as_slice(), &key.seal(&body, PLACE)?].concat())
    }

    /// Reads an index.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Sealed`] if it was changed or is another's, [`Error::Malformed`].
    pub fn load(path: &Path, key: &Key) -> Result<Self> {
        let bytes = read_bounded(path, MAX_BYTES, "the index")?;
        let sealed = bytes.strip_prefix(MAGIC).ok_or_else(|| {
            Error::malformed("index", "it is no file of version 1: build it again")
        })?;
        let body = key.unseal(sealed, PLACE, "the index")?;
        parse(&body).ok_or_else(|| Error::malformed("index", "its parts do not add up"))
    }
}

fn parse(body: &[u8]) -> Option<Index> {
    let (model, rest) = body.split_first_chunk::<32>()?;
    let (dimensions, rest) = rest.split_first_chunk::<4>()?;
    let dimensions = u32::from_le_bytes(*dimensions) as usize;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (header, mut rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
    if dimensions > MAX_DIMENSIONS {
        return None;
    }
    let mut parts: BTreeMap<B256, Part> = serde_json::from_slice(header).ok()?;
    for part in parts.values_mut() {
        let length = part.sources.len().checked_mul(dimensions)?.checked_mul(4)?;
        let (vectors, after) = rest.split_at_checked(length)?;
        let floats = vectors.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        part.vectors = floats.collect();
        rest = after;
    }
    let model = B256::from(*model);
    rest.is_empty().then_some(Index { model, dimensions, parts })
}
