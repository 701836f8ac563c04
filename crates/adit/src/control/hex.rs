//! Bytes in a line of text: two hexadecimal digits each.

/// The digits of some bytes.
pub(super) fn written(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let digits = nibbles.map(|nibble| char::from_digit(nibble.into(), 16));
    digits.flatten().collect()
}

/// The bytes of some digits, if they are that.
pub(super) fn read(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Option<Vec<u8>> = digits
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let nibbles = nibbles?;
    let (pairs, []) = nibbles.as_chunks() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_is_read_of_what_is_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&written(&bytes)), Some(bytes));
        assert_eq!(written(&[0, 0xa5]), "00a5");
        for wrong in ["0", "0g", "ㄱㄱ"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
