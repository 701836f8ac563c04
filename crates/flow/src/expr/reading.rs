//! A text as the scanner reads it: each part that is to be taken as it is, is one letter that means
//! nothing.
//!
//! So nothing in such a part can begin or end anything, not even an empty part can: `$`, an empty
//! part and `{` are no `${`. Places are those of the reading until they are handed out.

use std::borrow::Cow;
use std::ops::Range;

/// What stands for a part that is taken as it is. It is no character of any script and has no meaning
/// in the grammar, so a text may hold it, too: what counts is the list of parts.
const LITERAL: char = '\u{fdd0}';

/// What a message shows instead of such a part, which may be a secret.
const HIDDEN: &str = "…";

/// A text and how it is read.
pub(crate) struct Reading<'t> {
    written: &'t str,
    seen: Cow<'t, str>,
    literals: Vec<Literal>,
}

/// A part that is taken as it is.
struct Literal {
    /// Where its letter stands in what is seen.
    at: usize,
    /// Where it is in what is written.
    written: Range<usize>,
}

impl<'t> Reading<'t> {
    /// A text of which nothing is taken as it is.
    pub(crate) fn plain(text: &'t str) -> Self {
        Self {
            written: text,
            seen: Cow::Borrowed(text),
            literals: Vec::new(),
        }
    }

    /// A text of which these parts are taken as they are. They are in order, apart from one another
    /// and between characters; from one on that is not, all is taken as it is.
    pub(crate) fn new(text: &'t str, parts: &[Range<usize>]) -> Self {
        if parts.is_empty() {
            return Self::plain(text);
        }
        let mut seen = String::with_capacity(text.len());
        let mut literals = Vec::with_capacity(parts.len());
        let mut from = 0;
        for part in parts {
            let before = text.get(from..part.start);
            let is_good = before.is_some() && text.get(part.clone()).is_some();
            let (before, written) = match before {
                Some(before) if is_good => (before, part.clone()),
                _ => ("", from..text.len()),
            };
            seen.push_str(before);
            from = written.end;
            literals.push(Literal {
                at: seen.len(),
                written,
            });
            seen.push(LITERAL);
            if !is_good {
                break;
            }
        }
        seen.push_str(text.get(from..).unwrap_or_default());
        Self {
            written: text,
            seen: Cow::Owned(seen),
            literals,
        }
    }

    /// What the scanner reads.
    pub(crate) fn seen(&self) -> &str {
        &self.seen
    }

    /// Where a place of what is seen is in what is written.
    pub(crate) fn place(&self, at: usize) -> usize {
        let before = self.literals.partition_point(|literal| literal.at < at);
        let last = before.checked_sub(1).and_then(|it| self.literals.get(it));
        match last {
            Some(last) => {
                let behind = last.at.saturating_add(LITERAL.len_utf8());
                last.written.end.saturating_add(at.saturating_sub(behind))
            }
            None => at,
        }
    }

    /// What is written where this is seen.
    pub(crate) fn written(&self, seen: Range<usize>) -> &'t str {
        let written = self.place(seen.start)..self.place(seen.end);
        self.written.get(written).unwrap_or_default()
    }

    /// What is written where a name is seen. None if a part of it is taken as it is and may not be
    /// part of a name: letters and digits of ASCII, `-` and `_` may, and nothing may not.
    pub(crate) fn name(&self, seen: Range<usize>) -> Option<&'t str> {
        let mut parts = self.literals(&seen).iter();
        let is_word = |part: &Literal| {
            let text = self.written.get(part.written.clone()).unwrap_or_default();
            let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !text.is_empty() && text.bytes().all(is_inside)
        };
        parts.all(is_word).then(|| self.written(seen))
    }

    /// Whether a part of this is taken as it is.
    pub(crate) fn has_literal(&self, seen: &Range<usize>) -> bool {
        !self.literals(seen).is_empty()
    }

    /// What a message may show of this.
    pub(crate) fn shown(&self, seen: &Range<usize>) -> String {
        let mut shown = String::new();
        let mut from = seen.start;
        for literal in self.literals(seen) {
            shown.push_str(self.seen.get(from..literal.at).unwrap_or_default());
            shown.push_str(HIDDEN);
            from = literal.at.saturating_add(LITERAL.len_utf8());
        }
        shown.push_str(self.seen.get(from..seen.end).unwrap_or_default());
        shown
    }

    fn literals(&self, seen: &Range<usize>) -> &[Literal] {
        let from = self.literals.partition_point(|it| it.at < seen.start);
        let to = self.literals.partition_point(|it| it.at < seen.end);
        self.literals.get(from..to).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_what_is_seen_is_one_of_what_is_written() {
        let text = "aé${x}bcd";
        let reading = Reading::new(text, &[1..7, 8..8, 8..9]);
        assert_eq!(reading.seen(), "a\u{fdd0}b\u{fdd0}\u{fdd0}d");
        let places: Vec<usize> = reading.seen().char_indices().map(|(at, _)| at).collect();
        let written: Vec<usize> = places.iter().map(|at| reading.place(*at)).collect();
        assert_eq!(written, [0, 1, 7, 8, 8, 9]);
        assert_eq!(reading.place(reading.seen().len()), text.len());
        assert_eq!(reading.written(0..5), "aé${x}b");
        assert_eq!(reading.shown(&(0..5)), "a…b");
        assert!(reading.has_literal(&(0..5)) && !reading.has_literal(&(4..5)));
    }

    #[test]
    fn parts_that_are_none_make_all_behind_them_literal() {
        for parts in [vec![1..2, 0..1], vec![1..2, 3..99], vec![1..2, 5..6]] {
            let reading = Reading::new("ab${é}", &parts);
            assert_eq!(reading.seen(), "a\u{fdd0}\u{fdd0}", "{parts:?}");
            assert_eq!(reading.written(0..reading.seen().len()), "ab${é}");
        }
    }
}
