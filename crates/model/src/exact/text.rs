//! Turns token bytes into text deltas: whole characters only, and nothing from a stop string on.

/// Text of one answer as its tokens arrive.
#[derive(Debug)]
pub(crate) struct TextStream {
    stop: Vec<String>,
    /// Bytes whose fate is open: part of a character, or the beginning of a stop string.
    held: Vec<u8>,
}

/// What a push gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) text: String,
    /// Whether a stop string came up; the text ends before it.
    pub(crate) stopped: bool,
}

impl TextStream {
    /// A stream that ends before the first of `stop`, none of which is empty.
    pub(crate) fn new(stop: Vec<String>) -> Self {
        Self { stop, held: Vec::new() }
    }

    /// Adds a token's bytes and takes what is decided. Bytes that are not UTF-8 become U+FFFD, as
    /// if the whole answer were decoded at once.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Pushed {
        self.held.extend_from_slice(bytes);
        let stops = self.stop.iter().map(String::as_bytes);
        let found = stops.filter_map(|stop| find(&self.held, stop)).min();
        if let Some(start) = found {
            self.held.truncate(start);
            return Pushed { text: self.finish(), stopped: true };
        }
        let decided = self.undecided_from();
        let text = String::from_utf8_lossy(&self.held[..decided]).into_owned();
        self.held.drain(..decided);
        Pushed { text, stopped: false }
    }

    /// What was held back, when no more tokens come.
    pub(crate) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }

    /// Where the part starts that could still become a character or a stop string.
    fn undecided_from(&self) -> usize {
        let longest = self.stop.iter().map(String::len).max().unwrap_or(0);
        let earliest = self.held.len().saturating_sub(longest.saturating_sub(1));
        let begins_stop = |start: &usize| {
            let rest = &self.held[*start..];
            self.stop.iter().any(|stop| stop.as_bytes().starts_with(rest))
        };
        let stop = (earliest..self.held.len()).find(begins_stop).unwrap_or(self.held.len());
        stop.min(incomplete_from(&self.held))
    }
}

/// Where the incomplete character at the end starts; the length where there is none.
fn incomplete_from(bytes: &[u8]) -> usize {
    // A character has at most four bytes, so its first is among the last three.
    for start in bytes.len().saturating_sub(3)..bytes.len() {
        if let Err(error) = std::str::from_utf8(&bytes[start..])
            && error.valid_up_to() == 0
            && error.error_len().is_none()
        {
            return start;
        }
    }
    bytes.len()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stop: &[String], pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let mut stream = TextStream::new(stop.to_vec());
        let mut texts = vec![];
        for piece in pieces {
            let pushed = stream.push(piece);
            texts.push(pushed.text);
            if pushed.stopped {
                return (texts, true);
            }
        }
        texts.push(stream.finish());
        (texts, false)
    }

    #[test]
    fn a_stop_string_over_three_tokens_never_shows() {
        let stop = ["</end>".to_owned()];
        let (texts, stopped) = run(&stop, &[b"a<", b"/en", b"d>tail"]);
        assert_eq!(
            (texts.as_slice(), stopped),
            (&["a".into(), String::new(), String::new()][..], true)
        );
        let (texts, stopped) = run(&stop, &[b"a<", b"/en", b"x", b"y"]);
        assert_eq!((texts.concat().as_str(), stopped), ("a</enxy", false));
    }

    #[test]
    fn the_earliest_stop_string_counts() {
        let stop = ["long stop".to_owned(), "stop".to_owned(), "on".to_owned()];
        assert_eq!(run(&stop, &[b"a long stop"]), (vec!["a ".into()], true));
    }

    #[test]
    fn characters_stay_whole() {
        let (texts, _) = run(&[], &[&[0xf0, 0x9f], &[0x98], &[0x80, b'!']]);
        assert_eq!(texts, ["", "", "\u{1f600}!", ""]);
        let (texts, _) = run(&[], &[&[0xf0, 0x9f], b"a", &[0xe2, 0x82]]);
        assert_eq!(texts, ["", "\u{fffd}a", "", "\u{fffd}"]);
    }

    proptest! {
        /// Cut in any way, the text is the lossy decoding of all bytes up to the first stop string.
        #[test]
        fn cuts_do_not_matter(
            bytes in prop_oneof![
                proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..40),
                "[ab\u{e9}\u{20ac}\u{1f600}]{0,20}".prop_map(String::into_bytes),
            ],
            stop in proptest::collection::vec("[ab\u{e9}\u{20ac}]{1,4}", 0..3),
            cuts in proptest::collection::vec(1usize..6, 40),
        ) {
            let mut pieces = vec![];
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            pieces.push(rest);
            // The first stop string to be complete decides; then the one that starts first.
            let end = (0..=bytes.len()).find_map(|end| {
                let starts = stop.iter().filter_map(|stop| find(&bytes[..end], stop.as_bytes()));
                starts.min()
            });
            let (texts, stopped) = run(&stop, &pieces);
            prop_assert_eq!(stopped, end.is_some());
            let text = texts.concat();
            let whole = String::from_utf8_lossy(&bytes);
            match end {
                None => prop_assert_eq!(text, whole),
                // A piece may complete two stop strings at once, then the earlier start wins.
                Some(end) => prop_assert!(
                    String::from_utf8_lossy(&bytes[..end]).starts_with(&text)
                        && stop.iter().all(|stop| !text.contains(stop.as_str()))
                ),
            }
        }
    }
}
