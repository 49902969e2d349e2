//! What WordPiece does to each character before words are looked up: dropped, folded, or a border.
//!
//! The reference (crate `tokenizers`, its `BertNormalizer` and `BertPreTokenizer`) cleans, lowers
//! case, decomposes and drops accents by tables of several old versions of Unicode. They are frozen
//! here in `wordpiece.txt`, which `tests/golden/wordpiece.py` wrote, so that a character's ids never
//! change with a library. Accents that survive are not reordered.

use std::collections::HashMap;
use std::sync::LazyLock;

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::parse(include_str!("wordpiece.txt")));

#[derive(Debug, Default)]
struct Tables {
    removed: Vec<(u32, u32)>,
    space: Vec<(u32, u32)>,
    punctuation: Vec<(u32, u32)>,
    folded: HashMap<u32, Vec<char>>,
}

/// Ideographs, which are words of their own (BERT's list).
const CHINESE: [(u32, u32); 8] = [
    (0x3400, 0x4dbf),
    (0x4e00, 0x9fff),
    (0xf900, 0xfaff),
    (0x20000, 0x2a6df),
    (0x2a700, 0x2b73f),
    (0x2b740, 0x2b81f),
    (0x2b920, 0x2ceaf),
    (0x2f800, 0x2fa1f),
];

/// A piece of cleaned text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// Part of the current word.
    Letter(char),
    /// A word by itself.
    Single(char),
    /// The end of a word.
    Space,
}

/// Calls `take` for what `char` becomes: nothing, one piece or a few.
pub(super) fn clean(char: char, mut take: impl FnMut(Piece)) {
    let code = char as u32;
    if char.is_ascii_alphanumeric() {
        return take(Piece::Letter(char.to_ascii_lowercase()));
    }
    let tables = &*TABLES;
    if contains(&tables.space, code) {
        return take(Piece::Space);
    }
    if contains(&tables.removed, code) {
        return;
    }
    let is_chinese = contains(&CHINESE, code);
    let mut put = |char: char| {
        let single = is_chinese || contains(&tables.punctuation, char as u32);
        take(if single { Piece::Single(char) } else { Piece::Letter(char) });
    };
    match (tables.folded.get(&code), code.checked_sub(0xac00).filter(|code| *code < 11_172)) {
        (Some(folded), _) => folded.iter().copied().for_each(put),
        (None, Some(syllable)) => jamo(syllable).into_iter().flatten().for_each(put),
        (None, None) => put(char),
    }
}

/// A Hangul syllable's parts (Unicode, section 3.12).
fn jamo(syllable: u32) -> [Option<char>; 3] {
    let last = syllable % 28;
    let last = if last > 0 { char::from_u32(0x11a7 + last) } else { None };
    let [first, middle] = [0x1100 + syllable / 588, 0x1161 + syllable % 588 / 28];
    [char::from_u32(first), char::from_u32(middle), last]
}

fn contains(ranges: &[(u32, u32)], code: u32) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= code);
    after.checked_sub(1).is_some_and(|index| code <= ranges[index].1)
}

impl Tables {
    /// Lines `removed|space|punctuation RANGE...` and `map RANGE[/STRIDE] CHAR...`, in
    /// hexadecimal; a range is mapped to a range.
    fn parse(text: &str) -> Self {
        let mut tables = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let kind = words.next();
            match kind {
                Some("removed") => tables.removed.extend(words.map(range)),
                Some("space") => tables.space.extend(words.map(range)),
                Some("punctuation") => tables.punctuation.extend(words.map(range)),
                _ => tables.fold(words),
            }
        }
        tables
    }

    fn fold<'a>(&mut self, mut words: impl Iterator<Item = &'a str>) {
        let key = words.next().unwrap_or_default();
        let (key, stride) =
            key.split_once('/').map_or((key, 1), |(key, stride)| (key, hex(stride)));
        let (first, last) = range(key);
        let to: Vec<u32> = words.map(hex).collect();
        for code in (first..=last).step_by(stride as usize) {
            let chars = to.iter().filter_map(|char| char::from_u32(char + (code - first)));
            self.folded.insert(code, chars.collect());
        }
    }
}

fn range(text: &str) -> (u32, u32) {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    (hex(first), hex(last))
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text, 16).expect("the built-in table is well-formed")
}
