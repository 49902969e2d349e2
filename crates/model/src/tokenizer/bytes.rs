//! The bytes each token stands for, in one arena.

use super::TokenizerSpec;

/// Token bytes by id: token `id` is `arena[ends[id - 1]..ends[id]]`.
#[derive(Debug)]
pub(super) struct TokenBytes {
    arena: Vec<u8>,
    ends: Vec<u32>,
}

impl TokenBytes {
    /// `spec` has been validated: at most 2^20 tokens of 2^12 bytes, so ends fit 32 bits.
    pub(super) fn new(spec: &TokenizerSpec) -> Self {
        let table = byte_of_char();
        let mut bytes = Self {
            arena: Vec::with_capacity(spec.tokens.iter().map(String::len).sum()),
            ends: Vec::with_capacity(spec.tokens.len()),
        };
        let mut literal = vec![false; spec.tokens.len()];
        spec.control.iter().chain(&spec.user_defined).for_each(|id| literal[*id as usize] = true);
        for (token, literal) in spec.tokens.iter().zip(literal) {
            match literal {
                true => bytes.arena.extend_from_slice(token.as_bytes()),
                false => token.chars().for_each(|char| bytes.push(char, &table)),
            }
            bytes.ends.push(bytes.arena.len() as u32);
        }
        bytes
    }

    /// A character outside GPT-2's table stands for itself.
    fn push(&mut self, char: char, table: &[Option<u8>; TABLE_CHARS]) {
        match table.get(char as usize).copied().flatten() {
            Some(byte) => self.arena.push(byte),
            None => self.arena.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    pub(super) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(end) = self.ends.get(id) else { return &[] };
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.arena[start as usize..*end as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).map(|id| self.get(id))
    }
}

/// One past the greatest character of GPT-2's table.
const TABLE_CHARS: usize = 256 + 68;

/// GPT-2's `bytes_to_unicode`, inverted: printable bytes stand for themselves, the other 68 are
/// the characters from U+0100 on, in order.
fn byte_of_char() -> [Option<u8>; TABLE_CHARS] {
    let mut table = [None; TABLE_CHARS];
    let mut next = 256;
    for byte in 0..=255u8 {
        let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let char = if printable { usize::from(byte) } else { next };
        next += usize::from(!printable);
        table[char] = Some(byte);
    }
    table
}
