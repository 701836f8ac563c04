//! The head of a request: where it ends, and what comes behind it.

use std::mem::MaybeUninit;

use super::chunks::{Chunks, SizeLine};
use super::{BadRequest, Part, body};

/// Most bytes of a request's head: request line and fields (nginx: `large_client_header_buffers` 4 x 8 KiB).
pub(crate) const HEAD_BYTES: usize = 32 << 10;
/// Most fields of a head.
pub(crate) const FIELDS: usize = 100;
/// Most bytes of a target in a request line (nginx: one buffer of 8 KiB).
pub(crate) const TARGET_BYTES: usize = 8 << 10;

/// How far a head was looked through for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Bytes that were looked at.
    until: usize,
    /// Where the line begins that was not seen to end.
    line: usize,
    /// Whether the request line is behind.
    is_begun: bool,
}

/// A line that does not end within a head's size is a target, if it is the first.
pub(super) const fn too_large(looked: Looked) -> BadRequest {
    if looked.is_begun {
        BadRequest::LargeHead
    } else {
        BadRequest::LongTarget
    }
}

impl Looked {
    /// Before a head's first byte.
    pub(super) const NOTHING: Self = Self {
        until: 0,
        line: 0,
        is_begun: false,
    };

    /// Where the head ends: behind its first empty line. Empty lines before the request line are let pass (RFC 9112
    /// section 2.2).
    pub(super) fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadRequest> {
        while let Some(rest) = bytes.get(self.until..)
            && let Some(length) = rest.iter().position(|byte| *byte == b'\n')
        {
            let feed = self.until.saturating_add(length);
            let line = bytes.get(self.line..feed).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(BadRequest::LineEnd);
            };
            self.until = feed.saturating_add(1);
            self.line = self.until;
            match line.first() {
                None if self.is_begun => return Ok(Some(self.until)),
                None => {}
                Some(b' ' | b'\t') if self.is_begun => return Err(BadRequest::Folded),
                Some(_) => self.is_begun = true,
            }
        }
        self.until = bytes.len();
        Ok(None)
    }
}

/// What comes behind a whole head.
pub(super) fn judge(head: &[u8]) -> Result<Part, BadRequest> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(BadRequest::LargeHead),
        Err(httparse::Error::Version) if has_three_words(head) => return Err(BadRequest::Version),
        Ok(_) | Err(_) => return Err(BadRequest::Malformed),
    }
    if request.path.map_or(0, str::len) > TARGET_BYTES {
        return Err(BadRequest::LongTarget);
    }
    if request.method == Some("CONNECT") {
        return Err(BadRequest::Connect);
    }
    let mut length = None;
    let mut is_chunked = false;
    let mut is_upgrade = false;
    for field in request.headers.iter() {
        // Names of other lengths are none of these.
        match field.name.len() {
            7 if field.name.eq_ignore_ascii_case("upgrade") => is_upgrade = true,
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let before = length.replace(digits(field.value)?);
                before.map_or(Ok(()), |_| Err(BadRequest::Length))?;
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                // HTTP/1.0 knows none (RFC 9112 section 6.1).
                if is_chunked
                    || request.version == Some(0)
                    || !field.value.eq_ignore_ascii_case(b"chunked")
                {
                    return Err(BadRequest::Coding);
                }
                is_chunked = true;
            }
            _ => {}
        }
    }
    match (length, is_chunked) {
        (Some(_), true) => Err(BadRequest::Length),
        (None, true) => Ok(Part::Chunks(Chunks::Size(SizeLine::default()))),
        (None | Some(0), false) if is_upgrade => Ok(Part::Held),
        (length, false) => Ok(body(length.unwrap_or(0))),
    }
}

/// Whether a request line has a method, a target and a version of some kind, one blank between them.
fn has_three_words(head: &[u8]) -> bool {
    let line = head.trim_ascii_start().split(|byte| *byte == b'\r').next();
    line.is_some_and(|line| line.split(|byte| *byte == b' ').count() == 3)
}

/// A length in decimal digits and nothing else (RFC 9110 section 8.6).
fn digits(text: &[u8]) -> Result<u64, BadRequest> {
    let is_digits = !text.is_empty() && text.len() <= 19 && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_digits);
    text.and_then(|text| text.parse().ok())
        .ok_or(BadRequest::Length)
}
