//! A body in chunks (RFC 9112 section 7.1), byte by byte.

use super::BadRequest;

/// Most bytes of a chunk's size line, with extensions that are dropped (RFC 9112 section 7.1.1).
const SIZE_LINE_BYTES: u32 = 256;
/// Most bytes of trailers behind the last chunk.
const TRAILER_BYTES: u32 = 8 << 10;

/// The place in a body of chunks (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunks {
    Size(SizeLine),
    Data(u64),
    DataEnd { has_cr: bool },
    Trailers(Trailers),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SizeLine {
    digits: u8,
    size: u64,
    length: u32,
    in_extension: bool,
    has_cr: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trailers {
    length: u32,
    column: u32,
    has_cr: bool,
}

/// Walks through chunks: how many bytes belong to the body, and where it goes on, if it does.
pub(super) fn walk(mut at: Chunks, bytes: &[u8]) -> Result<(usize, Option<Chunks>), BadRequest> {
    let mut taken = 0_usize;
    while let Some(rest) = bytes.get(taken..)
        && let Some(byte) = rest.first()
    {
        if let Chunks::Data(left) = &mut at {
            let whole = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
            *left = left.saturating_sub(u64::try_from(whole).unwrap_or(u64::MAX));
            taken = taken.saturating_add(whole);
            if *left == 0 {
                at = Chunks::DataEnd { has_cr: false };
            }
            continue;
        }
        taken = taken.saturating_add(1);
        match at.step(*byte)? {
            Some(next) => at = next,
            None => return Ok((taken, None)),
        }
    }
    Ok((taken, Some(at)))
}

impl Chunks {
    /// One byte on, which is none of a chunk's data. Nothing where it was the last of the body.
    fn step(self, byte: u8) -> Result<Option<Self>, BadRequest> {
        match self {
            Self::Size(line) => line.step(byte).map(Some),
            Self::Data(_) => Err(BadRequest::Chunk),
            Self::DataEnd { has_cr } => match (has_cr, byte) {
                (false, b'\r') => Ok(Some(Self::DataEnd { has_cr: true })),
                (true, b'\n') => Ok(Some(Self::Size(SizeLine::default()))),
                _ => Err(BadRequest::Chunk),
            },
            Self::Trailers(trailers) => trailers.step(byte),
        }
    }
}

impl SizeLine {
    fn step(mut self, byte: u8) -> Result<Chunks, BadRequest> {
        self.length = self.length.saturating_add(1);
        if self.length > SIZE_LINE_BYTES {
            return Err(BadRequest::Chunk);
        }
        match (self.has_cr, byte) {
            (true, b'\n') if self.size == 0 => return Ok(Chunks::Trailers(Trailers::default())),
            (true, b'\n') => return Ok(Chunks::Data(self.size)),
            (false, b'\r') if self.digits > 0 => self.has_cr = true,
            (false, b';') if self.digits > 0 => self.in_extension = true,
            (false, _) if self.in_extension => {
                if byte.is_ascii_control() && byte != b'\t' {
                    return Err(BadRequest::Chunk);
                }
            }
            (false, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(BadRequest::Chunk)?;
                // 15 digits are an exabyte.
                if self.digits >= 15 {
                    return Err(BadRequest::Chunk);
                }
                self.digits = self.digits.saturating_add(1);
                self.size = self
                    .size
                    .saturating_mul(16)
                    .saturating_add(u64::from(digit));
            }
            (true, _) => return Err(BadRequest::Chunk),
        }
        Ok(Chunks::Size(self))
    }
}

impl Trailers {
    fn step(mut self, byte: u8) -> Result<Option<Chunks>, BadRequest> {
        self.length = self.length.saturating_add(1);
        if self.length > TRAILER_BYTES {
            return Err(BadRequest::LargeHead);
        }
        match (self.has_cr, byte) {
            (true, b'\n') if self.column == 0 => return Ok(None),
            (true, b'\n') => {
                self.column = 0;
                self.has_cr = false;
            }
            (false, b'\r') => self.has_cr = true,
            (true, _) | (false, b'\n' | 0) => return Err(BadRequest::Chunk),
            (false, b' ' | b'\t') if self.column == 0 => return Err(BadRequest::Folded),
            (false, _) => self.column = self.column.saturating_add(1),
        }
        Ok(Some(Chunks::Trailers(self)))
    }
}
