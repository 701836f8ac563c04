//! Lines of a stream, each of which has a longest length.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Reads lines.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    /// The part of the next line that is here already.
    begun: Vec<u8>,
    most: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Of at most so many bytes each.
    pub(crate) fn new(stream: R, most: usize) -> Self {
        Self {
            reader: BufReader::new(stream),
            begun: Vec::new(),
            most,
        }
    }

    /// The next line without its end, or the rest of a stream that has ended; `None` after that.
    ///
    /// # Errors
    ///
    /// The line is too long; the stream fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let here = self.reader.fill_buf().await?;
            let end = here.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(here.len());
            let (line, _) = here.split_at_checked(length).unwrap_or_default();
            if self.begun.len().saturating_add(length) > self.most {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a line is too long",
                ));
            }
            let is_end_of_stream = here.is_empty();
            self.begun.extend_from_slice(line);
            let taken = if end.is_some() {
                length.saturating_add(1)
            } else {
                length
            };
            self.reader.consume(taken);
            if end.is_some() || (is_end_of_stream && !self.begun.is_empty()) {
                return Ok(Some(std::mem::take(&mut self.begun)));
            }
            if is_end_of_stream {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_they_arrive() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut lines = Lines::new(reader, 8);
        writer.write_all(b"one\n\ntw").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), Some(b"one".to_vec()));
        assert_eq!(lines.next().await.unwrap(), Some(Vec::new()));
        // What was read before the future was dropped is not lost.
        tokio::select! {
            biased;
            line = lines.next() => panic!("{line:?}"),
            () = std::future::ready(()) => {}
        }
        writer.write_all(b"o\nrest").await.unwrap();
        drop(writer);
        assert_eq!(lines.next().await.unwrap(), Some(b"two".to_vec()));
        assert_eq!(lines.next().await.unwrap(), Some(b"rest".to_vec()));
        assert_eq!(lines.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_line_may_be_as_long_as_was_said() {
        for (length, is_good) in [(8, true), (9, false)] {
            let text = vec![b'a'; length];
            let mut lines = Lines::new(text.as_slice(), 8);
            assert_eq!(lines.next().await.is_ok(), is_good, "{length}");
        }
    }
}
