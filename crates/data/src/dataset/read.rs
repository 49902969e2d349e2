//! Reads a directory: what can be published, and why the rest cannot.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Document, MediaType, check_path};
use crate::{Error, Result};

/// How deep directories are followed.
const MAX_DEPTH: usize = 32;
/// How many skipped files are named.
const MAX_SKIPPED: usize = 10_000;

/// What is read in one go.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one file.
    pub file_bytes: u64,
    /// Of all documents together.
    pub total_bytes: u64,
    /// Documents, a line of a JSON-lines file counting as one.
    pub documents: usize,
}

impl Default for Limits {
    /// 64 MiB a file, 512 MiB and 100,000 documents in all.
    fn default() -> Self {
        Self { file_bytes: 64 << 20, total_bytes: 512 << 20, documents: 100_000 }
    }
}

/// A file that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Relative to the directory, as far as it can be shown.
    pub path: String,
    /// In one sentence.
    pub why: &'static str,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Reading {
    /// Sorted by path, without duplicates.
    pub documents: Vec<Document>,
    /// What was not taken.
    pub skipped: Vec<Skipped>,
}

/// Reads every document under `directory`. Symbolic links are not followed.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be read, [`Error::TooMuch`] past the limits, and
/// [`Error::NoDocuments`] if nothing in it can be published.
pub fn read(directory: &Path, limits: &Limits) -> Result<Reading> {
    let mut reader =
        Reader { limits, reading: Reading::default(), bytes: 0, names: BTreeSet::new() };
    reader.directory(directory, "", MAX_DEPTH)?;
    let mut reading = reader.reading;
    if reading.documents.is_empty() {
        let skipped = reading.skipped.len();
        return Err(Error::NoDocuments { path: directory.to_owned(), skipped });
    }
    reading.documents.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(reading)
}

struct Reader<'a> {
    limits: &'a Limits,
    reading: Reading,
    bytes: u64,
    /// Lower case: two names that differ in case alone are one file elsewhere.
    names: BTreeSet<String>,
}

impl Reader<'_> {
    fn directory(&mut self, directory: &Path, prefix: &str, depth: usize) -> Result<()> {
        let entries = fs::read_dir(directory).map_err(Error::io("read", directory))?;
        let entries: Result<Vec<PathBuf>> =
            entries.map(|entry| Ok(entry.map_err(Error::io("read", directory))?.path())).collect();
        let mut entries = entries?;
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap_or_default();
            let Some(name) = name.to_str() else {
                let shown = format!("{prefix}{}", name.to_string_lossy());
                self.skip(&shown, "its name is not UTF-8");
                continue;
            };
            let relative = format!("{prefix}{name}");
            let kind =
                fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?.file_type();
            if kind.is_symlink() {
                self.skip(&relative, "it is a symbolic link; copy the file here to publish it");
            } else if name.starts_with('.') {
                self.skip(&relative, "its name begins with a dot");
            } else if kind.is_dir() {
                match depth.checked_sub(1) {
                    Some(depth) => self.directory(&path, &format!("{relative}/"), depth)?,
                    None => self.skip(&relative, "it is nested deeper than 32 directories"),
                }
            } else if kind.is_file() {
                self.file(&path, &relative)?;
            } else {
                self.skip(&relative, "it is no regular file");
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, relative: &str) -> Result<()> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_lowercase();
        let media = match extension.as_str() {
            "txt" | "text" => MediaType::Text,
            "md" | "markdown" => MediaType::Markdown,
            "html" | "htm" => MediaType::Html,
            "json" | "jsonl" | "ndjson" => MediaType::Json,
            _ => {
                self.skip(relative, "it is no .txt, .md, .html, .json or .jsonl");
                return Ok(());
            }
        };
        let content = match open(path, self.limits.file_bytes)? {
            Ok(content) => content,
            Err(why) => {
                self.skip(relative, why);
                return Ok(());
            }
        };
        match extension.as_str() {
            "jsonl" | "ndjson" => self.lines(relative, &content),
            _ => self.add(Document { path: relative.to_owned(), media, content }),
        }
    }

    fn lines(&mut self, relative: &str, content: &str) -> Result<()> {
        for (line, number) in content.lines().zip(1u32..) {
            if !line.trim().is_empty() {
                let path = format!("{relative}#{number}");
                self.add(Document { path, media: MediaType::Json, content: line.to_owned() })?;
            }
        }
        Ok(())
    }

    fn add(&mut self, document: Document) -> Result<()> {
        let path = document.path.as_str();
        let valid_json =
            || serde_json::from_str::<serde::de::IgnoredAny>(&document.content).is_ok();
        let why = if check_path(path).is_err() {
            Some("its name has characters that no path may have, or is longer than 512 bytes")
        } else if document.media == MediaType::Json && !valid_json() {
            Some("it is not valid JSON")
        } else if document.text().trim().is_empty() {
            Some("there is no text in it")
        } else if !self.names.insert(path.to_lowercase()) {
            Some("another document has this name, in upper or lower case")
        } else {
            None
        };
        if let Some(why) = why {
            self.skip(&document.path, why);
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(document.content.len() as u64);
        if self.bytes > self.limits.total_bytes {
            return Err(Error::TooMuch { what: "the text", limit: self.limits.total_bytes });
        }
        if self.reading.documents.len() >= self.limits.documents {
            let limit = self.limits.documents as u64;
            return Err(Error::TooMuch { what: "the number of documents", limit });
        }
        self.reading.documents.push(document);
        Ok(())
    }

    fn skip(&mut self, path: &str, why: &'static str) {
        if self.reading.skipped.len() < MAX_SKIPPED {
            let path = path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            self.reading.skipped.push(Skipped { path, why });
        }
    }
}

/// The text of a regular file, or why it is none.
fn open(path: &Path, limit: u64) -> Result<Result<String, &'static str>> {
    let listed = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let opened = file.metadata().map_err(Error::io("look at", path))?;
    // A file that was replaced by a link between the look and the opening is another one.
    if (listed.dev(), listed.ino()) != (opened.dev(), opened.ino()) || !opened.is_file() {
        return Ok(Err("it changed while it was read"));
    }
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Ok(Err("it is larger than a file may be; split it"));
    }
    if bytes.contains(&0) {
        return Ok(Err("it is binary"));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes);
    Ok(String::from_utf8(text).map_err(|_| "it is not UTF-8"))
}
