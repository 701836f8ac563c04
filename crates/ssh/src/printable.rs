//! Text from a peer, made safe for a log, a terminal or a page.

use std::fmt;

/// At most [`LENGTH`](Self::LENGTH) characters of a peer's text, with control characters, DEL, C1
/// and direction overrides escaped as `\u{..}`. The only way in which a peer's words leave the
/// engine for a person's eyes.
#[derive(Clone, PartialEq, Eq)]
pub struct Printable(String);

impl Printable {
    /// The most characters of the peer's text that are kept.
    pub const LENGTH: usize = 256;

    /// Escapes `bytes`; what is not UTF-8 becomes U+FFFD.
    pub fn new(bytes: &[u8]) -> Self {
        let mut text = String::new();
        // A character has at most four bytes, so a longer prefix is never looked at.
        let prefix = bytes.get(..Self::LENGTH.saturating_mul(4)).unwrap_or(bytes);
        for character in String::from_utf8_lossy(prefix).chars().take(Self::LENGTH) {
            if is_unsafe(character) {
                text.extend(character.escape_unicode());
            } else {
                text.push(character);
            }
        }
        Self(text)
    }

    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Controls (C0, DEL, C1), line and paragraph separators and direction marks: what can move a
/// cursor, forge a line or reorder what a person reads.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn peer_text_is_sanitised(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let text = Printable::new(&bytes);
            prop_assert!(text.as_str().chars().all(|character| !is_unsafe(character)));
            prop_assert!(text.as_str().len() <= Printable::LENGTH * 10);
        }
    }

    #[test]
    fn an_escape_sequence_is_shown_not_sent() {
        assert_eq!(Printable::new(b"a\x1b[2Jb").as_str(), "a\\u{1b}[2Jb");
    }
}
