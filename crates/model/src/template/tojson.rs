//! The `tojson` filter as transformers defines it: Python's `json.dumps(ensure_ascii=False)`,
//! which models were trained on, and not Jinja's own, which escapes for HTML.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

const MAX_INDENT: usize = 16;

pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Python's other switches are accepted in the one state they are used in.
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(MAX_INDENT));
            dump(value, PrettyFormatter::with_indent(indent.as_bytes()))
        }
        None => dump(value, PythonFormatter),
    }
}

fn dump(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
    let invalid = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    written.map_err(|error| invalid(format!("a value has no JSON form: {error}")))?;
    String::from_utf8(bytes).map_err(|error| invalid(error.to_string()))
}

/// `", "` and `": "` between items on one line.
struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
    ) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}
