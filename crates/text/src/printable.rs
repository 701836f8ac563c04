//! Text of a file, made safe for a terminal.

use std::fmt::Write as _;

use crate::limits::QUOTED_CHARACTERS;

/// At most [`QUOTED_CHARACTERS`] characters of `text`, with what could move a cursor, forge a line or
/// reorder what a person reads escaped as `\u{..}`; a cut is shown as `…`.
pub(crate) fn printable(text: &str) -> String {
    let mut rest = text.chars();
    let mut shown = escape(rest.by_ref().take(QUOTED_CHARACTERS));
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The whole of `text`, escaped: a file's name is never cut.
pub(crate) fn escaped(text: &str) -> String {
    escape(text.chars())
}

/// `text` as [`printable`] shows it, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    shown.push_str(&printable(text));
    shown.push('"');
    shown
}

fn escape(characters: impl Iterator<Item = char>) -> String {
    let mut shown = String::new();
    for character in characters {
        if is_unsafe(character) {
            // Writing to a string cannot fail.
            write!(shown, "{}", character.escape_unicode()).ok();
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Controls (C0, DEL, C1), line and paragraph separators and direction marks.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_its_number() {
        for (text, shown) in [
            ("plain", "plain"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("two\nlines", "two\\u{a}lines"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("grün", "grün"),
        ] {
            assert_eq!(printable(text), shown);
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(printable(&"ü".repeat(80)), "ü".repeat(80));
        assert_eq!(printable(&"ü".repeat(81)), "ü".repeat(80) + "…");
    }
}
