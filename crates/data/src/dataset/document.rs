//! One document: its path, its bytes, its text, its leaf.

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};
use vouch_core::log::merkle;

use super::text;
use crate::{Error, Result};

/// The most bytes of a path.
const MAX_PATH_BYTES: usize = 512;
/// What a leaf's preimage begins with.
const LEAF_TAG: &[u8] = b"vouch document 1\n";

/// How a document's bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    /// `.txt`
    #[serde(rename = "text/plain")]
    Text,
    /// `.md`, `.markdown`
    #[serde(rename = "text/markdown")]
    Markdown,
    /// `.html`, `.htm`
    #[serde(rename = "text/html")]
    Html,
    /// `.json`, and each line of a `.jsonl`
    #[serde(rename = "application/json")]
    Json,
}

/// One document of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Relative, with `/`; a line of a JSON-lines file is `file.jsonl#7`, counted from 1.
    pub path: String,
    /// How the content is to be read.
    pub media: MediaType,
    /// The exact content, UTF-8.
    pub content: String,
}

impl Document {
    /// The text in it, without markup and without characters that could act on a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let raw = match self.media {
            MediaType::Text | MediaType::Markdown => self.content.clone(),
            MediaType::Html => text::of_html(&self.content),
            MediaType::Json => text::of_json(&self.content),
        };
        text::clean(&raw)
    }

    /// What a citation calls it: its own title, else its path.
    #[must_use]
    pub fn title(&self) -> String {
        let title = match self.media {
            MediaType::Markdown => text::markdown_title(&self.content),
            MediaType::Html => text::html_title(&self.content),
            MediaType::Json => text::json_field(&self.content, "title"),
            MediaType::Text => None,
        };
        let title = title.map(|title| text::clean(&title).trim().chars().take(120).collect());
        title.filter(|title: &String| !title.is_empty()).unwrap_or_else(|| self.path.clone())
    }

    /// The label of a training example: the field `label` of a JSON object.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        if self.media != MediaType::Json {
            return None;
        }
        text::json_field(&self.content, "label")
    }
}

/// The leaf of a document in its dataset's tree:
/// RFC 6962 over `"vouch document 1\n" || salt || path length u32 || path || content`.
#[must_use]
pub fn document_leaf(salt: &B256, document: &Document) -> B256 {
    let length = u32::try_from(document.path.len()).unwrap_or(u32::MAX).to_be_bytes();
    let path = document.path.as_bytes();
    let parts = [LEAF_TAG, salt.as_slice(), &length, path, document.content.as_bytes()];
    merkle::leaf_hash(&parts.concat())
}

/// Checks that `document` is number `index` of the `size` documents under `root`.
///
/// # Errors
/// [`Error::Core`] if the proof is malformed or leads elsewhere.
pub fn verify_document(
    document: &Document,
    salt: &B256,
    index: u64,
    size: u64,
    path: &[B256],
    root: B256,
) -> Result<()> {
    Ok(merkle::verify_inclusion(document_leaf(salt, document), index, size, path, root)?)
}

/// keccak-256 of a text's words, lower case, one space between: equal for copies that differ in
/// layout and case alone.
#[must_use]
pub fn content_hash(text: &str) -> B256 {
    let mut words = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        words.extend(word.chars().flat_map(char::to_lowercase));
        words.push(' ');
    }
    keccak256(words)
}

/// Checks that a path stays inside the dataset and is safe to print and to write to disk.
///
/// # Errors
/// [`Error::Malformed`] with the reason.
pub fn check_path(path: &str) -> Result<()> {
    let why = if path.is_empty() || path.len() > MAX_PATH_BYTES {
        "it is empty or longer than 512 bytes"
    } else if path.starts_with('/') || path.contains(['\\', ':', '\0']) {
        "it is absolute, or has a backslash or a colon"
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "it has an empty part, . or .."
    } else if path.chars().any(|c| c.is_control() || text::is_invisible(c)) {
        "it has control or invisible characters"
    } else {
        return Ok(());
    };
    Err(Error::malformed("document path", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, content: &str) -> Document {
        Document { path: path.into(), media: MediaType::Text, content: content.into() }
    }

    #[test]
    fn a_leaf_binds_path_content_and_salt_apart() {
        let salt = B256::repeat_byte(1);
        let leaf = document_leaf(&salt, &document("ab", "c"));
        assert_ne!(leaf, document_leaf(&salt, &document("a", "bc")));
        assert_ne!(leaf, document_leaf(&B256::repeat_byte(2), &document("ab", "c")));
    }

    #[test]
    fn paths_that_leave_the_dataset_are_refused() {
        for path in
            ["", "/etc/passwd", "../x", "a/../x", "a//b", "a\\b", "c:x", "a\nb", "a\u{202e}b"]
        {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        for path in ["a.txt", "a/b c.md", "données/é.txt", "x.jsonl#7"] {
            assert!(check_path(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn copies_that_differ_in_layout_have_one_hash() {
        assert_eq!(content_hash("The  cat\nsat."), content_hash(" the CAT sat.\t"));
        assert_ne!(content_hash("the cats at."), content_hash("the cat sat."));
    }
}
