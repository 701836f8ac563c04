//! The few encodings of RFC 4251 and the base64 that keys and an ssh-agent need.

/// Appends a string: its length in four bytes, then itself (RFC 4251, 5).
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a test writes no string of 4 GiB");
    out.extend(length.to_be_bytes());
    out.extend(bytes);
}

/// Appends a positive integer given by its big-endian bytes: no leading zeros but one before a set top bit (RFC 4251, 5).
pub(super) fn put_mpint(out: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut integer: Vec<u8> = bytes.iter().copied().skip(zeros).collect();
    if integer.first().is_some_and(|top| *top >= 0x80) {
        integer.insert(0, 0);
    }
    put_string(out, &integer);
}

/// Takes a string off the front, or says that there is none.
pub(super) fn take_string<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u32(input)?).ok()?;
    let (string, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(string)
}

/// Takes a number of four bytes off the front.
pub(super) fn take_u32(input: &mut &[u8]) -> Option<u32> {
    let (number, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u32::from_be_bytes(*number))
}

/// Base64 with padding (RFC 4648, 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0, |bits, byte| (bits << 8) | usize::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET
                .get((bits >> (18 - 6 * place)) & 63)
                .copied()
                .unwrap_or(b'=');
            text.push(char::from(if place <= group.len() { digit } else { b'=' }));
        }
    }
    text
}

/// The bytes that base64 stands for, or `None` for anything else.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in digits {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        bits = ((bits << 6) | u32::try_from(value).ok()?) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_gives_the_answers_of_rfc_4648_and_back() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(from_base64("Zm9*"), None);
    }

    #[test]
    fn integers_are_shortest_and_positive() {
        let cases: [(&[u8], &[u8]); 3] = [
            (&[0, 0, 1], &[0, 0, 0, 1, 1]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
            (&[0], &[0; 4]),
        ];
        for (integer, encoded) in cases {
            let mut out = Vec::new();
            put_mpint(&mut out, integer);
            assert_eq!(out, encoded);
        }
    }

    #[test]
    fn a_string_longer_than_its_input_is_none() {
        assert_eq!(take_string(&mut &[0, 0, 0, 2, 7][..]), None);
        let mut input = &[0, 0, 0, 1, 7, 8][..];
        assert_eq!(take_string(&mut input), Some(&[7][..]));
        assert_eq!(input, [8]);
    }
}
