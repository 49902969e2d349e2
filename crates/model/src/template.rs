//! Renders a conversation by the chat template a model brings (Jinja, as Hugging Face defines it).
//!
//! The template is foreign code: it runs without access to anything, on bounded fuel, over a
//! bounded conversation, into a bounded output. Rendering depends on the arguments alone: the
//! clock (`strftime_now`) is not defined, which templates that know it allow for.
//!
//! Equal to Jinja2 under transformers' settings (`trim_blocks`, `lstrip_blocks`, `tojson` in
//! Python's spelling) except that `tojson` sorts keys. Not bounded: memory that a template builds
//! up in its own variables; serve templates only of models you chose.

mod conversation;
mod tojson;

use alloy_primitives::B256;
use minijinja::{AutoEscape, Environment, ErrorKind};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::tokenizer::Tokenizer;
use crate::{Error, Gguf};

const NAME: &str = "chat";
const MAX_TEMPLATE_BYTES: usize = 256 << 10;
const MAX_OUTPUT_BYTES: usize = 8 << 20;
const MAX_RECURSION: usize = 64;
/// Instructions for one rendering: real templates take about 30 a message, so this allows the
/// longest conversation and ends an endless loop within a tenth of a second.
const FUEL: u64 = 2_000_000;
/// Longest part of a template's own words that is passed on in an error.
const MAX_MESSAGE_CHARS: usize = 200;

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template of a GGUF file (`tokenizer.chat_template`), with the tokenizer's names for
    /// the beginning and the end of a sequence.
    ///
    /// # Errors
    /// [`Error::Gguf`] where there is none; [`Error::Template`] where it does not compile.
    pub fn from_gguf(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Self, Error> {
        let name = |id: Option<u32>| id.map_or_else(String::new, |id| tokenizer.decode(&[id]));
        let source = gguf.str("tokenizer.chat_template")?;
        Self::new(source, &name(tokenizer.bos()), &name(tokenizer.eos()))
    }

    /// Compiles `source`; `bos` and `eos` are what `bos_token` and `eos_token` stand for in it.
    ///
    /// # Errors
    /// [`Error::Template`] where it is too long or does not compile.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, Error> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(refuse(format!(
                "is {} bytes, above the limit of {MAX_TEMPLATE_BYTES}",
                source.len()
            )));
        }
        let mut environment = environment();
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| failed("does not compile", &error))?;
        Ok(Self {
            environment,
            source: source.to_owned(),
            bos: bos.to_owned(),
            eos: eos.to_owned(),
        })
    }

    /// The text that the model is to continue. `messages` is OpenAI's list: roles and sizes are
    /// checked, and lists of text parts are joined. `extra` adds variables (such as `tools`) and
    /// cannot replace the standard ones.
    ///
    /// # Errors
    /// [`Error::Template`] where a message is malformed, or the template refuses or overruns.
    pub fn render(
        &self,
        messages: &Value,
        add_generation_prompt: bool,
        extra: &Map<String, Value>,
    ) -> Result<String, Error> {
        let mut context = extra.clone();
        context.insert("messages".into(), conversation::checked(messages)?);
        context.insert("add_generation_prompt".into(), json!(add_generation_prompt));
        context.insert("bos_token".into(), json!(self.bos));
        context.insert("eos_token".into(), json!(self.eos));
        let template =
            self.environment.get_template(NAME).map_err(|error| failed("is missing", &error))?;
        let mut output = Bounded(Vec::new());
        template
            .render_captured_to(&context, &mut output)
            .map_err(|error| failed("refuses the conversation", &error))?;
        String::from_utf8(output.0).map_err(|_| refuse("gave text that is not UTF-8".into()))
    }

    /// The template's identity: SHA-256 of its source.
    #[must_use]
    pub fn hash(&self) -> B256 {
        hash_source(&self.source)
    }

    /// The template's source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// SHA-256 of a template's source, for callers that do not compile it.
pub(crate) fn hash_source(source: &str) -> B256 {
    B256::new(Sha256::digest(source.as_bytes()).into())
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", tojson::tojson);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        },
    );
    environment
}

/// An output that refuses to grow past its bound.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > MAX_OUTPUT_BYTES - self.0.len() {
            return Err(std::io::Error::other("the output is longer than 8 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn refuse(detail: String) -> Error {
    Error::Template(detail)
}

/// The engine's reason, shortened and without control characters: a template wrote part of it.
fn failed(what: &str, error: &minijinja::Error) -> Error {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let reason: String =
        reason.chars().filter(|char| !char.is_control()).take(MAX_MESSAGE_CHARS).collect();
    match error.line() {
        Some(line) => refuse(format!("{what}: {reason} (line {line})")),
        None => refuse(format!("{what}: {reason}")),
    }
}

#[cfg(test)]
#[path = "template/tests.rs"]
mod tests;
