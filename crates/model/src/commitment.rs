//! Commits to what an exact generation computed, so that a replay can be compared in 32 bytes.
//!
//! ```text
//! row_i   = normalised last hidden state from which generated token i was drawn, f32 little-endian
//! block_j = sha256(row_32j || ... || row_32j+31)            (the last block may be shorter)
//! root    = sha256("vouch-commitment/1" || tokens u64 big-endian || block_0 || block_1 || ...)
//! ```
//! The logits are an exact function of such a row, and a token of the logits, the settings and the
//! seed, so the rows bind all that was computed; they are 85 times shorter than the logits of a
//! vocabulary of 49,152. Blocks let a dispute be narrowed down to 32 tokens.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// Tokens of one block.
pub const BLOCK_TOKENS: usize = 32;

/// Builds a commitment token by token.
#[derive(Debug, Clone, Default)]
pub struct Commitment {
    block: Sha256,
    blocks: Vec<B256>,
    tokens: u64,
}

impl Commitment {
    /// Adds the row from which the next token is drawn.
    pub fn push(&mut self, row: &[f32]) {
        for value in row {
            self.block.update(value.to_le_bytes());
        }
        self.tokens += 1;
        if self.tokens.is_multiple_of(BLOCK_TOKENS as u64) {
            self.blocks.push(B256::new(self.block.finalize_reset().into()));
        }
    }

    /// The hashes of the full blocks so far.
    #[must_use]
    pub fn blocks(&self) -> &[B256] {
        &self.blocks
    }

    /// The root over all rows.
    #[must_use]
    pub fn root(&self) -> B256 {
        let mut root = Sha256::new();
        root.update(b"vouch-commitment/1");
        root.update(self.tokens.to_be_bytes());
        for block in &self.blocks {
            root.update(block);
        }
        if !self.tokens.is_multiple_of(BLOCK_TOKENS as u64) {
            root.update(self.block.clone().finalize());
        }
        B256::new(root.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_and_their_number_count() {
        let rows: Vec<[f32; 3]> = (0..70).map(|i| [i as f32, 0.5, -1.0]).collect();
        let root = |rows: &[[f32; 3]]| {
            let mut commitment = Commitment::default();
            rows.iter().for_each(|row| commitment.push(row));
            assert_eq!(commitment.blocks().len(), rows.len() / BLOCK_TOKENS);
            commitment.root()
        };
        let whole = root(&rows);
        for length in 0..rows.len() {
            assert_ne!(root(&rows[..length]), whole);
        }
        for index in 0..rows.len() {
            let mut altered = rows.clone();
            altered[index][2] = (-1.0f32).next_up();
            assert_ne!(root(&altered), whole);
        }
        let mut signed_zero = rows;
        signed_zero[0][0] = -0.0;
        assert_ne!(root(&signed_zero), whole, "bits are committed to, not values");
    }

    #[test]
    fn root_is_as_specified() {
        let mut commitment = Commitment::default();
        commitment.push(&[1.0]);
        let block = Sha256::digest(1f32.to_le_bytes());
        let bytes = [b"vouch-commitment/1", &1u64.to_be_bytes()[..], &block[..]].concat();
        assert_eq!(commitment.root(), B256::new(Sha256::digest(bytes).into()));
    }
}
