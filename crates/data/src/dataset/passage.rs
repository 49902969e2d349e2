//! Passages: a few whole sentences each, what is embedded, found and cited.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use super::{Document, content_hash};

/// Words that a passage is filled up to.
pub const WORDS: usize = 120;
/// A sentence of more words than this is cut.
const MAX_WORDS: usize = 180;
/// A passage of more bytes than this is cut, whatever its words are.
const MAX_BYTES: usize = 2_000;
/// The most passages of one document; the rest of it is not found.
const MAX_PASSAGES: usize = 4_096;

/// A piece of a document's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Its number in the document, from 0.
    pub index: u32,
    /// Whole sentences, one space between words.
    pub text: String,
    /// [`content_hash`] of the text: the same for a copy in another dataset.
    pub hash: B256,
}

/// The passages of a document, in order; none if it has no text.
#[must_use]
pub fn passages(document: &Document) -> Vec<Passage> {
    let text = document.text();
    let mut pieces: Vec<String> = Vec::new();
    let mut open = String::new();
    let mut words = 0;
    for sentence in sentences(&text) {
        let count = sentence.split(' ').count();
        let full = words + count > WORDS || open.len() + sentence.len() >= MAX_BYTES;
        if full && !open.is_empty() {
            pieces.push(std::mem::take(&mut open));
            words = 0;
        }
        if !open.is_empty() {
            open.push(' ');
        }
        open.push_str(&sentence);
        words += count;
    }
    if !open.is_empty() {
        pieces.push(open);
    }
    let numbered = pieces.into_iter().take(MAX_PASSAGES).zip(0..);
    numbered.map(|(text, index)| Passage { index, hash: content_hash(&text), text }).collect()
}

/// Sentences with single spaces, none longer than [`MAX_WORDS`] or [`MAX_BYTES`].
fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut open = String::new();
    let mut words = 0;
    for paragraph in text.split("\n\n") {
        for word in paragraph.split_whitespace().flat_map(pieces_of_word) {
            if words >= MAX_WORDS || open.len() + word.len() >= MAX_BYTES {
                sentences.push(std::mem::take(&mut open));
                words = 0;
            }
            if !open.is_empty() {
                open.push(' ');
            }
            open.push_str(word);
            words += 1;
            if ends_sentence(word) {
                sentences.push(std::mem::take(&mut open));
                words = 0;
            }
        }
        // A paragraph ends a sentence, whether or not it has a full stop: a heading, a list.
        if !open.is_empty() {
            sentences.push(std::mem::take(&mut open));
            words = 0;
        }
    }
    sentences
}

/// A word, in pieces of less than half a passage where it is no word at all.
fn pieces_of_word(mut word: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while word.len() > MAX_BYTES / 2 {
        let (piece, rest) = word.split_at(word.floor_char_boundary(MAX_BYTES / 2));
        pieces.push(piece);
        word = rest;
    }
    pieces.push(word);
    pieces
}

/// `U.S.` and `e.g.` end no sentence; `end.`, `end?"` and `终。` do.
fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']);
    if bare.ends_with(['!', '?', '。', '！', '？', '…']) {
        return true;
    }
    let Some(stem) = bare.strip_suffix('.') else { return false };
    let abbreviations = ["mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "fig", "cf", "etc"];
    let lower = stem.to_lowercase();
    let single = stem.chars().count() <= 1 && !stem.chars().all(|c| c.is_ascii_digit());
    !(single || stem.contains('.') || abbreviations.contains(&lower.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dataset::MediaType;

    fn cut(text: &str) -> Vec<Passage> {
        passages(&Document { path: "a".into(), media: MediaType::Text, content: text.into() })
    }

    #[test]
    fn passages_end_where_sentences_do() {
        let sentence = "Every word of this one has its place in the line, e.g. here. ";
        let passages = cut(&sentence.repeat(30));
        assert!(passages.len() >= 3);
        for passage in &passages {
            assert!(passage.text.ends_with("here."), "{}", passage.text);
            assert!(passage.text.split(' ').count() <= WORDS);
        }
    }

    #[test]
    fn a_heading_is_no_part_of_the_next_sentence() {
        assert_eq!(sentences("Title\n\nFirst one. Second"), ["Title", "First one.", "Second"]);
    }

    #[test]
    fn no_text_no_passage() {
        assert!(cut(" \n\n\t").is_empty());
    }

    proptest! {
        /// No word is lost or moved, and no passage is out of bounds.
        #[test]
        fn passages_are_the_text(text in "[a-zé. !\n]{0,4000}", long in "[a-zé]{0,5000}") {
            let text = format!("{text}{long}");
            let passages = cut(&text);
            let joined: String = passages.iter().map(|p| p.text.as_str()).collect();
            let squeeze = |s: &str| s.split_whitespace().collect::<String>();
            prop_assert_eq!(squeeze(&joined), squeeze(&text));
            for (at, passage) in passages.iter().enumerate() {
                prop_assert_eq!(passage.index as usize, at);
                prop_assert!(!passage.text.is_empty() && passage.text.len() <= MAX_BYTES);
            }
        }
    }
}
