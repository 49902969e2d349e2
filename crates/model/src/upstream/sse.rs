//! Server-sent events (WHATWG HTML, 9.2.6), as far as chat streams use them: the `data` fields.

/// The longest line, and the longest event.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Finds events in pieces of a body, however they are cut.
#[derive(Debug, Default)]
pub(super) struct SseDecoder {
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// The `data` of the event that is not complete yet.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed now belongs to it.
    after_return: bool,
}

impl SseDecoder {
    /// Adds a piece and gives the data of each event that it completes to `take`.
    ///
    /// # Errors
    /// The first error of `take`, or a sentence's end on a line or event that is too long.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        for &byte in piece {
            let joined = std::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
            match byte {
                _ if joined => {}
                b'\r' | b'\n' => self.end_line(take)?,
                _ if self.line.len() >= EVENT_BYTES_MAX => return Err(too_long()),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn end_line(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return if std::mem::take(&mut self.has_data) { take(&data) } else { Ok(()) };
        }
        // Other fields (event, id, retry) and comments carry nothing of an answer.
        let Some(value) = line.strip_prefix(b"data") else { return Ok(()) };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return Ok(()),
        };
        if self.data.len() + value.len() >= EVENT_BYTES_MAX {
            return Err(too_long());
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
        Ok(())
    }
}

fn too_long() -> String {
    "it sent an event above 1 MiB".into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
        let (mut decoder, mut events) = (SseDecoder::default(), vec![]);
        for piece in pieces {
            decoder.push(piece, &mut |data| {
                events.push(data.to_vec());
                Ok(())
            })?;
        }
        Ok(events)
    }

    #[test]
    fn fields_comments_and_line_ends() {
        let stream =
            b": hi\nevent: x\ndata: a\n\ndata:b\r\ndata:  c\r\n\r\n\n\ndata\n\ndatum: d\n\n\
                       data: e\r\rdata: unfinished\n";
        let expected: [&[u8]; 4] = [b"a", b"b\n c", b"", b"e"];
        assert_eq!(decode(&[stream]).unwrap(), expected);
    }

    #[test]
    fn endless_lines_and_events_are_refused() {
        let line = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert!(decode(&[&line]).is_err());
        let event = b"data: 0123456789\n".repeat(EVENT_BYTES_MAX / 10 + 1);
        assert!(decode(&[&event]).is_err());
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), any::<u8>()], 0..60,
            ),
            lines in proptest::collection::vec("(data: ?)?[ab:\u{20ac}]{0,3}(\r|\n|\r\n)", 0..12),
            cut in 0usize..100,
        ) {
            for bytes in [bytes, lines.concat().into_bytes()] {
                let whole = decode(&[&bytes]);
                let (head, tail) = bytes.split_at(cut.min(bytes.len()));
                prop_assert_eq!(&decode(&[head, tail]), &whole);
                let single: Vec<&[u8]> = bytes.chunks(1).collect();
                prop_assert_eq!(&decode(&single), &whole);
            }
        }
    }
}
