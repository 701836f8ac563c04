//! Standard output, where results are read by programs and by people.
//!
//! A pipe or a file gets bytes as they are. A terminal obeys some, and a result may be a stranger's text: there
//! control characters are shown and not sent, but for line ends and tabs.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;

/// Writes a result to standard output.
#[derive(Debug)]
pub(super) struct Printer {
    is_terminal: bool,
    /// The beginning of a character whose other bytes come next; at a terminal alone.
    rest: Vec<u8>,
}

impl Printer {
    /// Of this process.
    pub(super) fn of_this_process() -> Self {
        Self::new(io::stdout().is_terminal())
    }

    const fn new(is_terminal: bool) -> Self {
        Self {
            is_terminal,
            rest: Vec::new(),
        }
    }

    /// Writes what comes next.
    ///
    /// # Errors
    ///
    /// Nobody reads it.
    pub(super) fn print(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.is_terminal {
            let shown = self.shown(bytes);
            write(shown.as_bytes())
        } else {
            write(bytes)
        }
    }

    /// There is no more.
    ///
    /// # Errors
    ///
    /// Nobody reads it.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        write(INVALID.encode_utf8(&mut [0; 4]).as_bytes())
    }

    /// As a terminal shows it without obeying it.
    fn shown(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut shown = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for character in chunk.valid().chars() {
                if character.is_control() && !matches!(character, '\n' | '\t') {
                    shown.extend(character.escape_unicode());
                } else {
                    shown.push(character);
                }
            }
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_begun(invalid) {
                self.rest = invalid.to_vec();
            } else if !invalid.is_empty() {
                shown.push(INVALID);
            }
        }
        shown
    }
}

/// Whether these bytes are the beginning of a character.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(bytes).and_then(|()| stdout.flush());
    printed.context("cannot print the result")
}

/// In the place of bytes that are no text.
const INVALID: char = '\u{fffd}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (given, expected) in [
            (
                "plain\ttext\n안녕 \u{200d}\n",
                "plain\ttext\n안녕 \u{200d}\n",
            ),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("a\rb\0", "a\\u{d}b\\u{0}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
        ] {
            assert_eq!(Printer::new(true).shown(given.as_bytes()), expected);
        }
        // A C1 control as a lone byte is no text.
        assert_eq!(Printer::new(true).shown(b"\x9b31m"), "\u{fffd}31m");
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        let whole = "안\u{9b}녕".as_bytes();
        for cut in 0..whole.len() {
            let (first, second) = whole.split_at(cut);
            let mut printer = Printer::new(true);
            let shown = printer.shown(first) + &printer.shown(second);
            assert_eq!(shown, "안\\u{9b}녕", "{cut}");
            assert!(printer.rest.is_empty());
        }
        let mut printer = Printer::new(true);
        assert_eq!(printer.shown(b"\xec\x95"), "");
        assert_eq!(printer.shown(b"\xec"), "\u{fffd}");
        assert_eq!(printer.rest, b"\xec");
    }
}
