//! What programs write, line by line, in bounded memory.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use super::limits::LINE_BYTES;

/// A line of a program's output, or a piece of one that is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it was written to.
    pub stream: Stream,
    /// The line without its end; what is no UTF-8 is replaced. Not safe to print.
    pub text: String,
}

/// One of a program's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line, or at most [`LINE_BYTES`] of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    /// Whether it begins a line.
    pub(crate) is_first: bool,
    /// Whether it ends one.
    pub(crate) is_last: bool,
}

/// Cuts what is read into lines, and lines that are too long into pieces.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    from: BufReader<R>,
    held: Vec<u8>,
    is_first: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from: BufReader::new(from),
            held: Vec::new(),
            is_first: true,
        }
    }

    /// The next piece, or none at the end. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            let read = self.from.fill_buf().await?;
            if read.is_empty() {
                let is_rest = !self.held.is_empty();
                return Ok(is_rest.then(|| self.piece(true)));
            }
            let room = LINE_BYTES.saturating_sub(self.held.len());
            let window = read.get(..room).unwrap_or(read);
            let (line, is_last) = match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => (window.get(..end).unwrap_or_default(), true),
                None => (window, false),
            };
            self.held.extend_from_slice(line);
            let taken = line.len() + usize::from(is_last);
            self.from.consume(taken);
            // What ends where a piece did was told with that piece.
            let is_empty_rest = is_last && self.held.is_empty() && !self.is_first;
            if is_empty_rest {
                self.is_first = true;
            } else if is_last || self.held.len() >= LINE_BYTES {
                return Ok(Some(self.piece(is_last)));
            }
        }
    }

    /// Takes what is held. A character at the end that is not whole yet stays.
    fn piece(&mut self, is_last: bool) -> Piece {
        let whole = match std::str::from_utf8(&self.held) {
            Err(error) if !is_last && error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.held.len(),
        };
        let rest = self.held.split_off(whole);
        let bytes = std::mem::replace(&mut self.held, rest);
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if is_last && text.ends_with('\r') {
            text.pop();
        }
        let is_first = std::mem::replace(&mut self.is_first, is_last);
        Piece {
            text,
            is_first,
            is_last,
        }
    }
}

/// A line made safe for a terminal. Tabs are kept.
pub(crate) fn printable(line: &str) -> String {
    let cells: Vec<String> = line.split('\t').map(adit_text::escape).collect();
    cells.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pieces(bytes: &[u8]) -> Vec<(String, bool, bool)> {
        let mut reader = LineReader::new(bytes);
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            pieces.push((piece.text, piece.is_first, piece.is_last));
        }
        pieces
    }

    #[tokio::test]
    async fn lines_come_without_their_ends_and_the_last_needs_none() {
        let whole = |text: &str| (text.to_owned(), true, true);
        let got = pieces(b"a\r\n\n \xffb\nend").await;
        let wanted = [whole("a"), whole(""), whole(" \u{fffd}b"), whole("end")];
        assert_eq!(got, wanted);
        assert_eq!(pieces(b"").await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_comes_in_pieces_of_whole_characters() {
        let full = "x".repeat(LINE_BYTES);
        let got = pieces(format!("{full}\n{full}y\nz\n").as_bytes()).await;
        let wanted = [
            (full.clone(), true, false),
            (full.clone(), true, false),
            ("y".to_owned(), false, true),
            ("z".to_owned(), true, true),
        ];
        assert_eq!(got, wanted);
        let odd = format!("x{}\n", "ü".repeat(LINE_BYTES / 2));
        let got = pieces(odd.as_bytes()).await;
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].0.len(), LINE_BYTES - 1);
        assert_eq!(got[1].0, "ü");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_its_number() {
        assert_eq!(printable("a\tb\x1b[2J"), "a\tb\\u{1b}[2J");
    }
}
