//! What commands print: text for people, or one JSON document.
#![allow(clippy::print_stdout, reason = "this is where a command line prints")]

use std::io::Write;

use serde::Serialize;

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints `value` as JSON if that was asked for, else the text.
    pub(crate) fn answer(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(value)?)
        } else {
            println!("{}", text())
        }
        Ok(())
    }

    /// Says that a long-running command is ready: one line of JSON, or a text for people.
    pub(crate) fn ready(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        self.answer(value, text)?;
        // Whoever started the process waits for this line, also through a pipe.
        Ok(std::io::stdout().flush()?)
    }

    /// Prints a part of a line at once, such as a token of an answer.
    pub(crate) fn piece(self, text: &str) {
        if !self.json {
            print!("{}", printable(text));
            // A terminal that went away is no reason to stop paying for what was asked.
            let _gone = std::io::stdout().flush();
        }
    }

    /// Prints a line for people; nothing where JSON was asked for.
    pub(crate) fn line(self, text: impl std::fmt::Display) {
        if !self.json {
            println!("{text}");
        }
    }
}

/// A stranger's text without control characters, which could move the cursor or rename a window.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(
            |c| {
                if c.is_control() && c != '\n' && c != '\t' {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_do_not_pass() {
        assert_eq!(printable("a\x1b[2Jb\n\u{9b}c"), "a\u{fffd}[2Jb\n\u{fffd}c");
    }
}
