//! Events of a server: `text/event-stream` as the HTML standard reads it (9.2.6).
//!
//! Lines end with LF, CR or CRLF; one byte order mark at the beginning counts for nothing. The
//! `data` lines of an event are joined by LF; a blank line ends it. Comments and the fields `event`,
//! `id` and `retry` are read over. An event that the end of the stream cuts off is dropped.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::stream::StreamError;

/// The most bytes of one event and of one line: 1 MiB.
pub const EVENT_BYTES: usize = 1 << 20;

/// Reads events from bytes as they come. Pure.
#[derive(Debug, Default)]
pub struct EventParser {
    line: Vec<u8>,
    data: Vec<u8>,
    /// Whether the event has a `data` line, perhaps an empty one.
    has_data: bool,
    /// Whether the last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Whether a whole line has been read: a byte order mark can only be before that.
    is_begun: bool,
    ready: VecDeque<Bytes>,
}

impl EventParser {
    /// Before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads some bytes. What they complete comes out of [`next`](Self::next_event).
    ///
    /// # Errors
    ///
    /// An event or a line is longer than [`EVENT_BYTES`]. Nothing more is to be read then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, after) = rest.split_at(end);
            self.extend(line)?;
            self.end_line()?;
            rest = match after {
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.extend(rest)
    }

    /// The data of the next event that is complete.
    pub fn next_event(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    fn extend(&mut self, part: &[u8]) -> Result<(), StreamError> {
        if part.len() > EVENT_BYTES.saturating_sub(self.line.len()) {
            return Err(StreamError::TooLong { limit: EVENT_BYTES });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), StreamError> {
        let mut line = self.line.as_slice();
        if !self.is_begun {
            self.is_begun = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            if self.has_data {
                self.has_data = false;
                self.ready.push_back(std::mem::take(&mut self.data).into());
            }
        } else if let Some(value) = data(line) {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            if value.len() > EVENT_BYTES.saturating_sub(self.data.len()) {
                return Err(StreamError::TooLong { limit: EVENT_BYTES });
            }
            self.data.extend_from_slice(value);
        }
        self.line.clear();
        Ok(())
    }
}

/// What a line says of the data, if that is what it is about.
fn data(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = EventParser::new();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece).unwrap();
            while let Some(event) = parser.next_event() {
                events.push(String::from_utf8(event.to_vec()).unwrap());
            }
        }
        events
    }

    #[test]
    fn a_stream_is_read_as_the_standard_says() {
        for (stream, events) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
            ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
            ("data: a\r\n\rdata: b\n\r\n", vec!["a", "b"]),
            ("data: a\ndata: b\n\n", vec!["a\nb"]),
            ("data:a\ndata:  b\n\n", vec!["a\n b"]),
            ("data\n\n", vec![""]),
            ("data\ndata\n\n", vec!["\n"]),
            ("data:\n\n", vec![""]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            ("\n\u{feff}data: a\n\n", vec![]),
            (": hello\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", vec!["a"]),
            ("event: x\n\n: only\n\n", vec![]),
            ("datax: a\n data: b\nDATA: c\n\n", vec![]),
            ("data: a: b\n\n", vec!["a: b"]),
            ("data: 한\n\n", vec!["한"]),
            ("data: a\n\ndata: cut off\n", vec!["a"]),
            ("\n\n\n", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(read(&[stream.as_bytes()]), events, "{stream:?}");
            // However it is cut in two, and byte by byte.
            for at in 0..stream.len() {
                let (before, after) = stream.as_bytes().split_at(at);
                assert_eq!(read(&[before, after]), events, "{stream:?} cut at {at}");
            }
            let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
            assert_eq!(read(&bytes), events, "{stream:?} byte by byte");
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_an_error() {
        let long = vec![b'x'; EVENT_BYTES + 1];
        let limit = EVENT_BYTES;
        let too_long = Err(StreamError::TooLong { limit });
        let mut parser = EventParser::new();
        assert_eq!(parser.push(&long), too_long);

        let mut parser = EventParser::new();
        let line = [b"data:".as_slice(), &vec![b'x'; EVENT_BYTES / 2], b"\n"].concat();
        assert_eq!(parser.push(&line), Ok(()));
        assert_eq!(parser.push(&line), too_long);

        let mut parser = EventParser::new();
        let just = [b"data:".as_slice(), &vec![b'x'; EVENT_BYTES - 5], b"\n\n"].concat();
        assert_eq!(parser.push(&just), Ok(()));
        assert_eq!(
            parser.next_event().map(|it| it.len()),
            Some(EVENT_BYTES - 5)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn where_a_stream_is_cut_changes_nothing(
            stream in "(data|:|: |\r|\n|\r\n|x|한){0,30}",
            cuts in prop::collection::vec(0_usize..60, 0..6),
        ) {
            let whole = read(&[stream.as_bytes()]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([stream.len()]) {
                pieces.push(&stream.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(read(&pieces), whole);
        }
    }
}
