//! Server-sent events, as the WHATWG HTML standard has them: one writer, one incremental reader.

use crate::Error;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event` field, where there was one.
    pub name: Option<String>,
    /// The `data` lines, joined by newlines.
    pub data: String,
}

/// Writes one event. `data` must be a single line, as compact JSON is; `name` too.
#[must_use]
pub fn encode(name: Option<&str>, data: &str) -> Vec<u8> {
    debug_assert!(!data.contains(['\n', '\r']), "a data field is one line");
    let name_len = name.map_or(0, |name| name.len() + 8);
    let mut bytes = Vec::with_capacity(name_len + data.len() + 8);
    if let Some(name) = name {
        bytes.extend_from_slice(b"event: ");
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(b"data: ");
    bytes.extend_from_slice(data.as_bytes());
    bytes.extend_from_slice(b"\n\n");
    bytes
}

/// Reads a byte stream cut anywhere. Memory is bounded: an event larger than the cap is refused.
#[derive(Debug)]
pub struct Parser {
    max_event_bytes: usize,
    line: Vec<u8>,
    name: Option<String>,
    data: Option<String>,
    after_cr: bool,
    first_line: bool,
}

impl Parser {
    /// A reader that refuses events, comments included, above `max_event_bytes`.
    #[must_use]
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            name: None,
            data: None,
            after_cr: false,
            first_line: true,
        }
    }

    /// Takes more bytes and returns the events that they complete.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above the cap, [`Error::Malformed`] where it is not UTF-8. The stream
    /// cannot be read on after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            // A line ends in LF, CR or CRLF; the LF of a CRLF may come in the next piece.
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (piece, ended) = rest.split_at(end.unwrap_or(rest.len()));
            self.hold(piece)?;
            rest = ended;
            if let Some((terminator, after)) = ended.split_first() {
                self.after_cr = *terminator == b'\r';
                rest = after;
                events.extend(self.end_line()?);
            }
        }
        Ok(events)
    }

    fn hold(&mut self, piece: &[u8]) -> Result<(), Error> {
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if held + piece.len() > self.max_event_bytes {
            return Err(Error::TooLarge { what: "an event", limit_bytes: self.max_event_bytes });
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, Error> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line)
            .map_err(|_| Error::malformed("the event stream", "it is not UTF-8"))?;
        let bom = std::mem::take(&mut self.first_line);
        let line = if bom { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if line.is_empty() {
            let name = self.name.take();
            return Ok(self.data.take().map(|data| Event { name, data }));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = (!value.is_empty()).then(|| value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments (an empty name), `id` and `retry` mean nothing here.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: Option<&str>, data: &str) -> Event {
        Event { name: name.map(str::to_owned), data: data.to_owned() }
    }

    #[test]
    fn reads_the_standards_examples() {
        let text = "\u{feff}: a comment\n\ndata: YHOO\ndata: +2\ndata: 10\n\ndata\n\ndata\ndata\n\ndata:test\n\nevent: x\nid: 1\n\n";
        let events = Parser::new(1000).push(text.as_bytes()).unwrap();
        let expected = ["YHOO\n+2\n10", "", "\n", "test"].map(|data| event(None, data));
        assert_eq!(events, expected);
    }

    #[test]
    fn refuses_what_is_too_large_or_no_text() {
        let mut parser = Parser::new(16);
        assert!(parser.push(b"data: 0123456789abcdef").is_err());
        let mut parser = Parser::new(16);
        parser.push(b"data: 0123456789\n").unwrap();
        assert!(parser.push(b"data: 0123\n\n").is_err(), "many short lines are one event");
        assert!(Parser::new(16).push(b"data: \xff\n").is_err());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            written in prop::collection::vec((prop::option::of("[a-z.]{1,9}"), "[^\r\n\u{0}]{0,40}"), 0..8),
            ending in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes: Vec<u8> = written.iter().flat_map(|(name, data)| encode(name.as_deref(), data)).collect();
            let bytes = String::from_utf8(bytes).unwrap().replace('\n', ending).into_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::new(4096);
            let mut events = Vec::new();
            for pair in cuts.windows(2) {
                events.extend(parser.push(&bytes[pair[0]..pair[1]]).unwrap());
            }
            let expected: Vec<_> = written.iter().map(|(name, data)| event(name.as_deref(), data)).collect();
            prop_assert_eq!(events, expected);
        }

        #[test]
        fn strangers_bytes_never_panic(bytes: Vec<u8>) {
            let mut parser = Parser::new(64);
            for byte in bytes {
                if parser.push(&[byte]).is_err() {
                    break;
                }
            }
        }
    }
}
