//! RFC 4251 section 5 data types: a borrowing reader and an appending writer.
//!
//! A declared length is compared with what is there before anything is done with it, so a length
//! of 2^32-1 costs nothing. Every message parser ends with [`Reader::finish`], which refuses bytes
//! that are left over.

use std::fmt;

/// Reads SSH data types from a byte slice without copying.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over the whole of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Exactly `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(WireError::Short)?;
        self.rest = tail;
        Ok(head)
    }

    /// Exactly `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(WireError::Short)?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A boolean; every value but 0 is true (RFC 4251 section 5).
    pub fn boolean(&mut self) -> Result<bool, WireError> {
        self.byte().map(|byte| byte != 0)
    }

    /// A 32-bit number, most significant byte first.
    pub fn uint32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit number, most significant byte first.
    pub fn uint64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A string of bytes.
    pub fn string(&mut self) -> Result<&'a [u8], WireError> {
        let count = usize::try_from(self.uint32()?).map_err(|_| WireError::Short)?;
        self.bytes(count)
    }

    /// A string of at most `limit` bytes.
    pub fn string_up_to(&mut self, limit: usize) -> Result<&'a [u8], WireError> {
        let string = self.string()?;
        if string.len() > limit {
            return Err(WireError::Long { limit });
        }
        Ok(string)
    }

    /// A UTF-8 string of at most `limit` bytes without NUL.
    pub fn text(&mut self, limit: usize) -> Result<&'a str, WireError> {
        let text = std::str::from_utf8(self.string_up_to(limit)?).map_err(|_| WireError::Text)?;
        if text.contains('\0') {
            return Err(WireError::Text);
        }
        Ok(text)
    }

    /// A non-negative multiple precision integer, as its minimal big-endian bytes (without the
    /// sign byte). At most [`crate::limits::MPINT`] bytes on the wire; negative numbers and
    /// superfluous leading zeros are refused (RFC 4251 section 5).
    pub fn mpint(&mut self) -> Result<&'a [u8], WireError> {
        match self.string_up_to(crate::limits::MPINT)? {
            [] => Ok(&[]),
            [0] => Err(WireError::Mpint),
            [0, rest @ ..] if rest.first().is_some_and(|top| *top & 0x80 != 0) => Ok(rest),
            [0, ..] => Err(WireError::Mpint),
            [top, ..] if *top & 0x80 != 0 => Err(WireError::Mpint),
            positive => Ok(positive),
        }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Ends the message: left-over bytes are an error.
    pub const fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing)
        }
    }
}

impl fmt::Debug for Reader<'_> {
    /// The number of bytes left, never the bytes: they may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("left", &self.rest.len())
            .finish()
    }
}

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The message ends before the field does.
    #[error("message is cut short")]
    Short,
    /// A string is over its limit.
    #[error("string is over {limit} bytes")]
    Long {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Text is not UTF-8 or holds a NUL.
    #[error("text is not valid UTF-8")]
    Text,
    /// An integer is negative or not in its shortest form.
    #[error("integer is negative or not minimal")]
    Mpint,
    /// Bytes are left after the last field.
    #[error("message has bytes left over")]
    Trailing,
}

/// Appends SSH data types to a growing buffer.
///
/// Strings come from ourselves and are far below 4 GiB; a longer one is cut to nothing rather than
/// written with a wrong length, and a debug build asserts.
pub trait Write {
    /// Appends raw bytes.
    fn put_bytes(&mut self, bytes: &[u8]);

    /// Appends one byte.
    fn put_byte(&mut self, byte: u8) {
        self.put_bytes(&[byte]);
    }

    /// Appends a boolean as 0 or 1.
    fn put_boolean(&mut self, value: bool) {
        self.put_byte(u8::from(value));
    }

    /// Appends a 32-bit number.
    fn put_uint32(&mut self, value: u32) {
        self.put_bytes(&value.to_be_bytes());
    }

    /// Appends a 64-bit number.
    fn put_uint64(&mut self, value: u64) {
        self.put_bytes(&value.to_be_bytes());
    }

    /// Appends a string.
    fn put_string(&mut self, string: &[u8]) {
        let Ok(count) = u32::try_from(string.len()) else {
            debug_assert!(false, "a string of ours is over 4 GiB");
            self.put_uint32(0);
            return;
        };
        self.put_uint32(count);
        self.put_bytes(string);
    }

    /// Appends a string made of several parts.
    fn put_string_of(&mut self, parts: &[&[u8]]) {
        let count = parts.iter().try_fold(0_u32, |sum, part| {
            u32::try_from(part.len())
                .ok()
                .and_then(|count| sum.checked_add(count))
        });
        let Some(count) = count else {
            debug_assert!(false, "a string of ours is over 4 GiB");
            self.put_uint32(0);
            return;
        };
        self.put_uint32(count);
        for part in parts {
            self.put_bytes(part);
        }
    }

    /// Appends a non-negative integer given as big-endian bytes, leading zeros allowed.
    fn put_mpint(&mut self, big_endian: &[u8]) {
        let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
        let digits = big_endian.get(zeros..).unwrap_or_default();
        if digits.first().is_some_and(|top| *top & 0x80 != 0) {
            self.put_string_of(&[&[0], digits]);
        } else {
            self.put_string(digits);
        }
    }

    /// Appends a name-list (RFC 4251 section 5).
    fn put_name_list<'a>(&mut self, names: impl IntoIterator<Item = &'a str>)
    where
        Self: Sized,
    {
        let mut list = Vec::new();
        for name in names {
            if !list.is_empty() {
                list.push(b',');
            }
            list.extend_from_slice(name.as_bytes());
        }
        self.put_string(&list);
    }
}

impl Write for Vec<u8> {
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpint_vectors_of_rfc_4251() {
        for (value, wire) in [
            (&[][..], &[0, 0, 0, 0][..]),
            (&[0, 0], &[0, 0, 0, 0]),
            (
                &[0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7],
                &[0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7],
            ),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
            (&[0, 0, 0x80], &[0, 0, 0, 2, 0, 0x80]),
        ] {
            let mut out = Vec::new();
            out.put_mpint(value);
            assert_eq!(out, wire);
            let digits: Vec<u8> = value
                .iter()
                .copied()
                .skip_while(|byte| *byte == 0)
                .collect();
            assert_eq!(Reader::new(wire).mpint(), Ok(&digits[..]));
        }
    }

    #[test]
    fn a_negative_or_padded_mpint_is_refused() {
        for wire in [
            &[0, 0, 0, 1, 0x80][..],
            &[0, 0, 0, 1, 0],
            &[0, 0, 0, 2, 0, 0x7f],
            &[0, 0, 0, 3, 0, 0, 0x80],
        ] {
            assert_eq!(Reader::new(wire).mpint(), Err(WireError::Mpint));
        }
    }

    #[test]
    fn a_length_beyond_the_message_is_refused() {
        for wire in [
            &[0xff, 0xff, 0xff, 0xff, 1][..],
            &[0, 0, 0, 2, 1],
            &[0, 0, 0],
        ] {
            assert_eq!(Reader::new(wire).string(), Err(WireError::Short));
        }
    }

    #[test]
    fn left_over_bytes_are_refused() {
        let mut reader = Reader::new(&[1, 2]);
        assert_eq!(reader.byte(), Ok(1));
        assert_eq!(reader.finish(), Err(WireError::Trailing));
    }

    #[test]
    fn text_with_nul_or_broken_utf8_is_refused() {
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0]).text(9), Err(WireError::Text));
        assert_eq!(
            Reader::new(&[0, 0, 0, 1, 0xff]).text(9),
            Err(WireError::Text)
        );
        assert_eq!(
            Reader::new(&[0, 0, 0, 2, 65, 66]).text(1),
            Err(WireError::Long { limit: 1 })
        );
    }

    #[test]
    fn name_list_of_rfc_4251() {
        let mut out = Vec::new();
        out.put_name_list(["zlib", "none"]);
        assert_eq!(out, b"\0\0\0\x09zlib,none");
    }
}
