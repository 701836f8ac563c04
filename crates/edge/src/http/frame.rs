//! Where HTTP/1.1 requests begin and end, judged strictly before anybody else reads them. Pure.
//!
//! What two readers of one connection may understand differently is how requests are smuggled past the first of
//! them (security rule G67), so nothing of that kind is read at all: a length said twice or in two ways, a
//! transfer coding other than `chunked`, folded lines, lines that do not end in CR LF, blanks before a colon.
//! nginx and hyper let some of it pass. Behind this judge only one reading is left.

mod chunks;
mod head;

use http::StatusCode;

use self::chunks::Chunks;
use self::head::Looked;
pub(crate) use self::head::{FIELDS, HEAD_BYTES, TARGET_BYTES};

/// Why a request is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// No request by the grammar of RFC 9112.
    #[error("the request is malformed")]
    Malformed,
    /// A line that does not end in CR LF.
    #[error("a line of the request does not end in CR LF")]
    LineEnd,
    /// A field that goes on in the next line (RFC 9112 section 5.2: obs-fold).
    #[error("a field of the request is folded")]
    Folded,
    /// More than one length, both kinds of it, or none that can be read.
    #[error("the request says its length twice or not readably")]
    Length,
    /// Another transfer coding than `chunked` alone.
    #[error("the request's transfer coding is not chunked")]
    Coding,
    /// A chunk that is none.
    #[error("a chunk of the request is malformed")]
    Chunk,
    /// CONNECT: this is no proxy for anywhere.
    #[error("CONNECT is not served here")]
    Connect,
    /// Another version than HTTP/1.0 and HTTP/1.1.
    #[error("the request's version is not served here")]
    Version,
    /// More than `TARGET_BYTES`.
    #[error("the request's target is too long")]
    LongTarget,
    /// More than `HEAD_BYTES` or `FIELDS`.
    #[error("the request's head is too large")]
    LargeHead,
}

impl BadRequest {
    /// What the visitor is answered.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Malformed
            | Self::LineEnd
            | Self::Folded
            | Self::Length
            | Self::Coding
            | Self::Chunk => StatusCode::BAD_REQUEST,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::LargeHead => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// The place in a connection's bytes.
#[derive(Debug)]
pub(crate) struct Frame {
    part: Part,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A head, of which so much was looked at already.
    Head(Looked),
    /// A body with so many bytes left.
    Body(u64),
    /// A body in chunks.
    Chunks(Chunks),
    /// A head that asked for another protocol went by; whose the next byte is, its answer says.
    Held,
    /// Another protocol.
    Opaque,
}

impl Frame {
    /// Before a connection's first byte.
    pub(crate) fn new() -> Self {
        Self {
            part: Part::Head(Looked::NOTHING),
        }
    }

    /// What the next byte belongs to.
    pub(crate) const fn part(&self) -> Part {
        self.part
    }

    /// Whether nothing of a next request has been handed on, and nothing is left of the one before.
    pub(crate) const fn is_between(&self) -> bool {
        matches!(self.part, Part::Head(_))
    }

    /// The answer to a request for another protocol is known: whether it was granted.
    pub(crate) fn resume(&mut self, is_granted: bool) {
        if self.part == Part::Held {
            self.part = if is_granted {
                Part::Opaque
            } else {
                Part::Head(Looked::NOTHING)
            };
        }
    }

    /// So many bytes of a body were handed on without being shown here.
    pub(crate) fn skip(&mut self, bytes: u64) {
        if let Part::Body(left) = self.part {
            self.part = body(left.saturating_sub(bytes));
        }
    }

    /// How many of these bytes, the next of the connection, may be handed on; they count as handed on. None where
    /// more have to come first: the same are then shown again, with more behind.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<usize, BadRequest> {
        match self.part {
            Part::Head(mut looked) => {
                let end = looked.find_end(bytes);
                self.part = Part::Head(looked);
                let Some(end) = end? else {
                    return if bytes.len() >= HEAD_BYTES {
                        Err(head::too_large(looked))
                    } else {
                        Ok(0)
                    };
                };
                if end > HEAD_BYTES {
                    return Err(BadRequest::LargeHead);
                }
                self.part = head::judge(bytes.get(..end).unwrap_or_default())?;
                Ok(end)
            }
            Part::Body(left) => {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.skip(u64::try_from(taken).unwrap_or(u64::MAX));
                Ok(taken)
            }
            Part::Chunks(chunks) => {
                let (taken, next) = chunks::walk(chunks, bytes)?;
                self.part = next.map_or_else(|| Part::Head(Looked::NOTHING), Part::Chunks);
                Ok(taken)
            }
            Part::Held => Ok(0),
            Part::Opaque => Ok(bytes.len()),
        }
    }
}

const fn body(left: u64) -> Part {
    match left {
        0 => Part::Head(Looked::NOTHING),
        left => Part::Body(left),
    }
}

/// Shows the bytes of a connection in pieces of a size: how many are handed on, and why no more. For the fuzzer, which
/// compares sizes.
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "the fuzzer's"))]
pub fn handed_on(bytes: &[u8], piece: usize) -> (usize, Option<BadRequest>) {
    let mut frame = Frame::new();
    let (mut done, mut shown) = (0, 0);
    loop {
        let next = bytes.get(done..shown).unwrap_or_default();
        match frame.advance(next) {
            Ok(0) if shown == bytes.len() => return (done, None),
            Ok(0) => shown = bytes.len().min(shown.saturating_add(piece)),
            Ok(taken) => done = done.saturating_add(taken),
            Err(error) => return (done, Some(error)),
        }
    }
}

#[cfg(test)]
mod tests;
