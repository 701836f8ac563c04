//! What a program says on its standard error, line by line.

use std::ops::Range;

use adit_ssh::printable::Printable;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest line that is kept; the rest of it is passed over.
const LINE_BYTES: usize = 512;

/// Lines of a program's standard error.
pub(super) struct Words<R> {
    from: R,
    read: [u8; LINE_BYTES],
    /// What of `read` has not been looked at.
    rest: Range<usize>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Words<R> {
    pub(super) const fn new(from: R) -> Self {
        Self {
            from,
            read: [0; LINE_BYTES],
            rest: 0..0,
            line: Vec::new(),
        }
    }

    /// The next line that is not empty, made safe; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Printable> {
        loop {
            let rest = self.read.get(self.rest.clone()).unwrap_or_default();
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let room = LINE_BYTES.saturating_sub(self.line.len());
            let taken = part.get(..room.min(part.len())).unwrap_or_default();
            self.line.extend_from_slice(taken);
            if let Some(end) = end {
                self.rest.start = self.rest.start.saturating_add(end).saturating_add(1);
                if let Some(line) = self.take_line() {
                    return Some(line);
                }
                continue;
            }
            self.rest = 0..0;
            match self.from.read(&mut self.read).await {
                Ok(count) if count > 0 => self.rest = 0..count,
                _ => return self.take_line(),
            }
        }
    }

    fn take_line(&mut self) -> Option<Printable> {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_ascii();
        (!line.is_empty()).then(|| Printable::new(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_come(
            text in "[a-c \\n]{0,60}",
            cuts in proptest::collection::vec(1_usize..7, 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got = runtime.block_on(async {
                let (mut near, far) = tokio::io::duplex(7);
                let mut words = Words::new(far);
                let writer = async {
                    let mut rest = text.as_bytes();
                    for cut in cuts.iter().cycle() {
                        let (now, later) = rest.split_at((*cut).min(rest.len()));
                        near.write_all(now).await.unwrap();
                        rest = later;
                        if rest.is_empty() {
                            break;
                        }
                    }
                    drop(near);
                };
                let reader = async {
                    let mut lines = Vec::new();
                    while let Some(line) = words.next().await {
                        lines.push(line.as_str().to_owned());
                    }
                    lines
                };
                tokio::join!(writer, reader).1
            });
            let expected = text.split('\n').map(str::trim).filter(|line| !line.is_empty());
            prop_assert_eq!(got, expected.collect::<Vec<_>>());
        }
    }
}
