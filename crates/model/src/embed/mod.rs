//! Turns texts into vectors whose bits anyone can repeat: sentence encoders of the BERT family.
//!
//! ```text
//! text -> wordpiece -> ids -> forward: embedding, layers x (attention, feed-forward) -> mean -> length 1
//!         unicode.rs             `- kernels (scalar is the definition; AVX2 the same bits)
//! directory: safetensors, config.json, tokenizer.json ... -> weights (packed)
//! ```
//! Arithmetic `vouch-exact/1`: `docs/ARITHMETIC.md`. A vector depends on the model and on its own
//! text; not on the texts beside it, the number of threads or the instruction set.
//!
//! Reads a sentence-transformers directory whose encoder is BERT in F32, with mean pooling and
//! normalisation. A text longer than the model takes is cut, as sentence-transformers does.

mod config;
mod forward;
mod kernels;
mod safetensors;
mod unicode;
mod weights;
mod wordpiece;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;
use crate::entry::{ARITHMETIC_EXACT, Card, FileDigest, Identity, ModelEntry};
use crate::exact::InstructionSet;
use config::Config;
use forward::Runner;
use safetensors::SafeTensors;
use weights::Weights;
pub use wordpiece::{WordPiece, WordPieceSpec};

/// The files that determine vectors, by their names in the model's directory, in order.
const FILES: [&str; 6] = [
    "1_Pooling/config.json",
    "config.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
];
/// Largest weights that are read.
const MAX_WEIGHTS_BYTES: u64 = 4 << 30;
/// Largest of the other files.
const MAX_CONFIG_BYTES: u64 = 64 << 20;
/// Longest card that is read for the licence in it.
const MAX_CARD_BYTES: u64 = 1 << 20;

/// Whatever turns token ids into vectors. Shared by all requests; every method may be called at
/// once from many threads, and may block for as long as it computes.
pub trait Embed: Send + Sync + std::fmt::Debug {
    /// What runs: its hash is the model's identity in receipts.
    fn entry(&self) -> &ModelEntry;

    /// Numbers in a vector.
    fn dimensions(&self) -> usize;

    /// The ids of a text, those around it included.
    fn encode(&self, text: &str) -> Vec<u32>;

    /// Checks ids that a caller gives instead of text.
    ///
    /// # Errors
    /// [`Error::Request`] where there are none, too many, or one outside the vocabulary.
    fn check_ids(&self, ids: &[u32]) -> Result<(), Error>;

    /// One vector for each text's ids.
    ///
    /// # Errors
    /// As [`Embed::check_ids`].
    fn embed_ids(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Error>;
}

impl Embed for Embedder {
    fn entry(&self) -> &ModelEntry {
        self.entry()
    }

    fn dimensions(&self) -> usize {
        self.dimensions()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), Error> {
        self.tokenizer.check(ids)
    }

    fn embed_ids(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Error> {
        self.embed_ids(texts)
    }
}

/// An embedding model in memory, with the threads that compute it. Shared by all requests, of which
/// one is computed at a time.
#[derive(Debug)]
pub struct Embedder {
    entry: ModelEntry,
    tokenizer: Arc<WordPiece>,
    dimensions: usize,
    instruction_set: &'static str,
    runner: Mutex<Runner>,
}

impl Embedder {
    /// Loads the model in the directory at `path`, to run on `threads` threads; 0 takes as many as
    /// the machine offers. Takes tenths of a second for 100 MB.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Safetensors`], [`Error::Tokenizer`], or
    /// [`Error::UnsupportedEmbedding`] where the model is not one that is computed here.
    pub fn open(path: &Path, threads: usize) -> Result<Self, Error> {
        Self::open_with(path, threads, InstructionSet::Detect)
    }

    /// As [`Embedder::open`], with a choice of instructions, which no vector shows.
    ///
    /// # Errors
    /// As [`Embedder::open`].
    pub fn open_with(path: &Path, threads: usize, set: InstructionSet) -> Result<Self, Error> {
        let files = Files::read(path)?;
        let config = Config::read(path, &files)?;
        let tokenizer = Arc::new(WordPiece::from_tokenizer_json(
            files.get("tokenizer.json"),
            config.max_tokens,
        )?);
        if tokenizer.vocabulary_size() as usize > config.vocabulary {
            return Err(unsupported(path, "its tokenizer has more tokens than it has weights for"));
        }
        let tensors =
            SafeTensors::parse(&path.join("model.safetensors"), files.get("model.safetensors"))?;
        let weights = Weights::load(&tensors, &config)?;
        let entry = entry(path, &files, &tokenizer);
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let dimensions = config.width;
        let runner = Runner::new(config, weights, set, threads)?;
        let instruction_set = runner.instruction_set();
        Ok(Self { entry, tokenizer, dimensions, instruction_set, runner: Mutex::new(runner) })
    }

    /// What runs: its hash is the model's identity in receipts.
    #[must_use]
    pub fn entry(&self) -> &ModelEntry {
        &self.entry
    }

    /// The model's tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Arc<WordPiece> {
        &self.tokenizer
    }

    /// Numbers in a vector.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The most tokens of a text that are read, the two around it included.
    #[must_use]
    pub fn max_tokens(&self) -> u32 {
        self.tokenizer.spec().max_tokens
    }

    /// The instruction set in use: `scalar` or `avx2`.
    #[must_use]
    pub fn instruction_set(&self) -> &'static str {
        self.instruction_set
    }

    /// One vector of length 1 for each text. Blocks while it computes, and while others do.
    ///
    /// # Errors
    /// None in practice: every text has ids.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let ids: Vec<Vec<u32>> = texts.iter().map(|text| self.tokenizer.encode(text)).collect();
        self.embed_ids(&ids)
    }

    /// As [`Embedder::embed`], for ids as [`WordPiece::encode`] gives them.
    ///
    /// # Errors
    /// [`Error::Request`] where a text has no ids, too many, or one outside the vocabulary.
    pub fn embed_ids(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Error> {
        for ids in texts {
            self.tokenizer.check(ids)?;
        }
        // A panic leaves only scratch half-written, and each run writes what it reads.
        let mut runner = self.runner.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(runner.embed(texts))
    }
}

/// A model's files, by name.
struct Files(Vec<(&'static str, Vec<u8>)>);

impl Files {
    /// Reads them all, so that what is hashed is what is computed with.
    fn read(directory: &Path) -> Result<Self, Error> {
        let read = |name: &'static str| {
            let limit =
                if name.ends_with(".safetensors") { MAX_WEIGHTS_BYTES } else { MAX_CONFIG_BYTES };
            Ok((name, read(&directory.join(name), limit)?))
        };
        FILES.into_iter().map(read).collect::<Result<_, Error>>().map(Self)
    }

    fn get(&self, name: &str) -> &[u8] {
        let file = self.0.iter().find(|(file, _)| *file == name);
        file.map_or(&[], |(_, bytes)| bytes)
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    match bytes.len() as u64 > limit {
        true => Err(unsupported(path, &format!("it is longer than {limit} bytes"))),
        false => Ok(bytes),
    }
}

fn entry(path: &Path, files: &Files, tokenizer: &WordPiece) -> ModelEntry {
    let identity = Identity {
        files: files.0.iter().map(|(name, bytes)| FileDigest::of(name, bytes)).collect(),
        architecture: "bert".into(),
        quantisation: "F32".into(),
        tokenizer: Some(tokenizer.hash()),
        template: None,
        arithmetic: ARITHMETIC_EXACT.into(),
        upstream: None,
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("embedding");
    let card = Card { name: name.to_owned(), license: license(path), ..Card::default() };
    ModelEntry { identity, card }
}

/// The licence that the model's README names in its front matter.
fn license(directory: &Path) -> Option<String> {
    let readme = read(&directory.join("README.md"), MAX_CARD_BYTES).ok()?;
    let text = String::from_utf8(readme).ok()?;
    let front_matter = text.strip_prefix("---")?.split("\n---").next()?;
    let license = front_matter.lines().find_map(|line| line.strip_prefix("license:"))?.trim();
    let is_plain = license.chars().all(|c| c.is_ascii_alphanumeric() || "-.+".contains(c));
    (is_plain && !license.is_empty() && license.len() < 64).then(|| license.to_owned())
}

/// Whether a directory looks like an embedding model; says nothing of whether it can be run.
#[must_use]
pub fn is_embedding_model(path: &Path) -> bool {
    path.join("modules.json").is_file() && path.join("model.safetensors").is_file()
}

fn unsupported(path: &Path, detail: &str) -> Error {
    Error::UnsupportedEmbedding { model: path.display().to_string(), detail: detail.to_owned() }
}
