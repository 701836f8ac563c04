//! The way to whoever serves a visitor: a seam, since where it leads is not the edge's to know.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::visitor::Visitor;

/// A future of a seam.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Leads visitors to whoever serves them.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Opens a byte stream for the visitor. Dropping the future ends what it began: the visitor has left, or the
    /// deadline has passed.
    fn dial<'a>(&'a self, visitor: &'a Visitor) -> Later<'a, Result<Carrier, DialError>>;

    /// The same for whoever comes only to see whether visitors get through, if this is one: known by its addresses
    /// alone, before any access list is asked or any byte is read. It is no visitor: nobody counts it, and it leaves
    /// no line.
    fn probe<'a>(&'a self, _visitor: &'a Visitor) -> Option<Later<'a, Result<Carrier, DialError>>> {
        None
    }
}

/// What carries a visitor's bytes.
pub enum Carrier {
    /// A socket, so that the system can move the bytes by itself.
    Tcp(TcpStream),
    /// Anything else. Its shutdown ends one direction; dropped without one, it resets.
    Other(Box<dyn Io>),
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(socket) => f.debug_tuple("Tcp").field(socket).finish(),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

/// A byte stream both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {
    /// Ready when the other end has closed, so that nothing which is written from here on is wanted. It is asked
    /// only once everything was read. What cannot know never is: it shows at the next write.
    fn poll_closed(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Ready, with the reason, when the byte stream is cut off: what was read from it and not delivered yet is not
    /// the visitor's any more, and both ends are reset at once. It is asked again and again, beside reads and
    /// writes that may be pending, so its waker is not theirs. What cannot be cut off never is.
    fn poll_cut(&mut self, _cx: &mut Context<'_>) -> Poll<io::Error> {
        Poll::Pending
    }

    /// Whether it lends its memory: then bytes go through [`poll_fill`](Self::poll_fill) and
    /// [`poll_drain`](Self::poll_drain), and none is copied from memory to memory.
    fn lends(&self) -> bool {
        false
    }

    /// Has `fill` put bytes where they are sent from, in order: ready with how many. Pending where there is no room, and where
    /// `fill` puts none, which has to see to being woken then.
    fn poll_fill(&mut self, _cx: &mut Context<'_>, _fill: Fill<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Shows `drain` what has come: ready with how many bytes it took of that, and with 0 behind the last. Pending
    /// where nothing has come, and where `drain` takes none, which has to see to being woken then.
    fn poll_drain(&mut self, _cx: &mut Context<'_>, _drain: Drain<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// Puts bytes where it is shown, and says how many.
pub type Fill<'a> = &'a mut dyn FnMut(&mut Context<'_>, &mut [IoSliceMut<'_>]) -> usize;
/// Takes bytes from the front of what it is shown, and says how many.
pub type Drain<'a> = &'a mut dyn FnMut(&mut Context<'_>, &[IoSlice<'_>]) -> usize;

impl Carrier {
    /// A byte stream that tells by its reads and writes alone when it is closed.
    pub fn other(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::Other(Box::new(Plain(stream)))
    }
}

struct Plain<T>(T);

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for Plain<T> {}

impl<T: AsyncRead + Unpin> AsyncRead for Plain<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Plain<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Why nobody serves a visitor. All of them reset a raw byte stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody serves it now, nor did within the time that a visitor is held.
    #[error("nobody serves it now: {}", Escaped(.reason))]
    Unserved {
        /// In words.
        reason: String,
    },
    /// Whoever serves it said no.
    #[error("refused: {}", Escaped(.reason))]
    Refused {
        /// The other end's own words; escaped and cut where they are shown.
        reason: String,
    },
    /// A socket could not be connected.
    #[error("upstream cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The deadline passed.
    #[error("no answer in time")]
    Late,
}

/// Somebody else's words: control characters and what turns a line around are escaped, and no more is shown than
/// [`WORDS`] characters.
struct Escaped<'a>(&'a str);

/// Most characters of a peer's words in a message.
const WORDS: usize = 256;

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars().take(WORDS) {
            if character.is_ascii_graphic() || character == ' ' || character.is_alphanumeric() {
                write!(f, "{character}")?;
            } else {
                write!(f, "{}", character.escape_unicode())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_other_end_cannot_write_lines_of_their_own() {
        let reason = format!("no\r\n\u{1b}[31m\u{202e}{}", "x".repeat(1_000));
        let text = DialError::Refused { reason }.to_string();
        assert!(
            text.starts_with(r"refused: no\u{d}\u{a}\u{1b}[31m\u{202e}x"),
            "{text}"
        );
        assert!(text.len() < 400);
    }
}
