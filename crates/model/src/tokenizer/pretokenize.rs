//! The patterns that cut text into the pieces inside which merges happen (llama.cpp,
//! `llama-vocab.cpp`, `LLAMA_VOCAB_PRE_TYPE_*`).
//!
//! All of them contain `\s+(?!\S)`: white space, less its last character if a word follows. A
//! linear-time engine has no look-ahead, so the patterns here say `\s+` and [`Step::trim`] gives
//! the last character back: no other alternative of theirs ends in (that kind of) white space.

use regex::Regex;

use super::spec::refuse;
use crate::Error;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const DIGIT: &str = r"\p{N}";
const DIGITS: &str = r"\p{N}+";
const THREE_DIGITS: &str = r"[0-9][0-9][0-9]";
const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";

/// Whether the pattern is Llama 3's, whose files also skip merges for whole words and begin with
/// bos by default.
pub(super) fn is_llama3(pre: &str) -> bool {
    matches!(pre, "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral")
}

/// A chain of patterns: each cuts what the one before left into matches and what lies between.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    pattern: Regex,
    trim: Trim,
}

/// Which matches give their last character back when more text follows.
#[derive(Debug, Clone, Copy)]
enum Trim {
    /// None: the pattern has no `\s+(?!\S)`.
    No,
    /// Those that end in white space.
    Space,
    /// Those that end in white space other than a line's end, which is another alternative.
    SpaceButLineEnds,
}

impl PreTokenizer {
    pub(super) fn new(pre: &str) -> Result<Self, Error> {
        let steps: &[(&str, Trim)] = match pre {
            "gpt-2" | "phi-2" | "mpt" | "olmo" | "jais" => &[(GPT2, Trim::Space)],
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" => {
                &[(DIGIT, Trim::No), (GPT2, Trim::Space)]
            }
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "megrez" => {
                &[(QWEN2, Trim::SpaceButLineEnds)]
            }
            "default" => &[
                (PUNCTUATION, Trim::No),
                (GPT2, Trim::Space),
                (DIGITS, Trim::No),
                (THREE_DIGITS, Trim::No),
            ],
            pre if is_llama3(pre) => &[(LLAMA3, Trim::SpaceButLineEnds)],
            other => {
                return Err(refuse(format!(
                    "cuts text by a pattern called {other:.40?}, which is not known here; known are \
                     smollm, llama-bpe, qwen2, gpt-2 and default"
                )));
            }
        };
        let steps = steps
            .iter()
            .map(|(pattern, trim)| Step::new(pattern, *trim))
            .collect::<Result<_, _>>()?;
        Ok(Self { steps })
    }

    /// The pieces of `text`, in order; together they are `text`.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut pieces = vec![text];
        for step in &self.steps {
            let mut finer = Vec::with_capacity(pieces.len() + text.len() / 4);
            pieces.iter().for_each(|piece| step.split(piece, &mut finer));
            pieces = finer;
        }
        pieces
    }
}

impl Step {
    fn new(pattern: &str, trim: Trim) -> Result<Self, Error> {
        let pattern =
            Regex::new(pattern).map_err(|error| refuse(format!("has a bad pattern: {error}")))?;
        Ok(Self { pattern, trim })
    }

    fn split<'t>(&self, text: &'t str, pieces: &mut Vec<&'t str>) {
        let mut at = 0;
        while let Some(found) = self.pattern.find_at(text, at) {
            let end = self.trim(text, found.start(), found.end());
            if at < found.start() {
                pieces.push(&text[at..found.start()]);
            }
            pieces.push(&text[found.start()..end]);
            at = end;
        }
        if at < text.len() {
            pieces.push(&text[at..]);
        }
    }

    /// The end of the match `start..end` after giving back what `\s+(?!\S)` would not have taken.
    fn trim(&self, text: &str, start: usize, end: usize) -> usize {
        let Some(last) = text[start..end].chars().next_back() else { return end };
        let gives_back = match self.trim {
            Trim::No => false,
            Trim::Space => last.is_whitespace(),
            Trim::SpaceButLineEnds => last.is_whitespace() && !matches!(last, '\r' | '\n'),
        };
        let shorter = end - last.len_utf8();
        if gives_back && end < text.len() && start < shorter { shorter } else { end }
    }
}
