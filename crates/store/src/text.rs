//! Words of people, made fit to be kept: they are shown in tables, pages and logs later.

use crate::error::WriteError;

/// Characters of a comment, a note, or who somebody is: a line and a half of a terminal.
pub(crate) const WORDS: usize = 200;

/// Bytes of a text that is compared: a name in a certificate, a key id. What an index of MariaDB holds.
const EXACT: usize = 255;

/// The text without control characters, without what changes the direction of text or takes no room, cut after
/// [`WORDS`] characters.
///
/// # Errors
/// Somebody has pasted a private key: nothing of it is kept (security rule G122).
pub(crate) fn words(what: &'static str, text: &str) -> Result<String, WriteError> {
    if text.contains("PRIVATE KEY") || text.contains("PuTTY-User-Key-File") {
        return Err(WriteError::Secret { what });
    }
    let is_shown = |character: &char| !character.is_control() && !is_invisible(*character);
    Ok(text.trim().chars().filter(is_shown).take(WORDS).collect())
}

/// A text that is compared with what others send, so it is kept as it is or not at all.
pub(crate) fn exact(what: &'static str, text: &str) -> Result<String, WriteError> {
    let is_good = !text.is_empty()
        && text.len() <= EXACT
        && !text.chars().any(|c| c.is_control() || is_invisible(c));
    if is_good && text.trim() == text {
        Ok(String::from(text))
    } else {
        Err(WriteError::Text { what, limit: EXACT })
    }
}

/// Marks of direction (Unicode Standard Annex 9) and characters without width.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        let text = words("note", " a\u{1b}[31mb\r\nc\u{202e}d\0 ").unwrap();
        assert_eq!(text, "a[31mbcd");
        assert_eq!(
            words("note", &"\u{e4}".repeat(300))
                .unwrap()
                .chars()
                .count(),
            WORDS
        );
    }

    #[test]
    fn a_private_key_is_no_comment() {
        let error = words("note", "-----BEGIN OPENSSH PRIVATE KEY-----").unwrap_err();
        assert!(matches!(error, WriteError::Secret { what: "note" }));
    }

    #[test]
    fn what_is_compared_is_kept_as_it_is_or_refused() {
        assert_eq!(exact("name", "a b").unwrap(), "a b");
        for text in ["", " a", "a\n", &"a".repeat(256), "a\u{200b}"] {
            assert!(exact("name", text).is_err(), "{text:?}");
        }
    }
}
