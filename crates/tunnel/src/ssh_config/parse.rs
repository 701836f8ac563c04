//! From bytes to lines, and from a line to its keyword and words, as `readconf.c` of OpenSSH cuts
//! them.
//!
//! A keyword ends at a blank, at a `=` or at a quotation mark; what follows is cut into words at
//! spaces and tabs. Both kinds of quotes hold a word together, a backslash takes a quote, a backslash
//! or a space for itself, and a word that begins with `#` begins a comment.
//!
//! Stricter than OpenSSH: a line whose keyword has an open quote, text that is no UTF-8 and a NUL are
//! errors, where OpenSSH passes over the line, or over what is left of it.

use super::error::{LineProblem, Problem};
use super::keyword::Keyword;

/// Longest line, in bytes.
pub(super) const LINE_LENGTH: usize = 16 * 1024;
/// What parts a keyword from its value, beside `=`.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
/// What a line may end with.
const TRAILING: [char; 5] = [' ', '\t', '\r', '\n', '\u{c}'];

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: usize,
    /// What it is about.
    pub(super) keyword: Keyword,
    /// The keyword in lower case.
    pub(super) name: String,
    /// All after the keyword, without what blanks end it; comments are still there.
    pub(super) rest: String,
    /// Column of `rest`, in characters from 1.
    pub(super) column: usize,
    /// What `rest` is cut into. Never read for keywords that take `rest`.
    pub(super) words: Vec<Word>,
}

/// A word, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Where it begins, in characters from 1.
    pub(super) column: usize,
}

/// Cuts a file into lines; those that are empty or a comment are left out.
pub(super) fn parse(bytes: &[u8]) -> impl Iterator<Item = Result<Line, LineProblem>> {
    let lines = bytes.split(|byte| *byte == b'\n');
    (1_usize..)
        .zip(lines)
        .filter_map(|(number, bytes)| parse_line(number, bytes).transpose())
}

fn parse_line(number: usize, bytes: &[u8]) -> Result<Option<Line>, LineProblem> {
    let problem = |column: usize, what: Problem| LineProblem {
        line: number,
        column,
        what,
    };
    let first = bytes.iter().find(|byte| !b" \t\r\x0c".contains(byte));
    if first.is_none_or(|byte| *byte == b'#') {
        return Ok(None);
    }
    if bytes.len() > LINE_LENGTH {
        return Err(problem(0, Problem::LineLength));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let before = String::from_utf8_lossy(good).chars().count();
        problem(before.saturating_add(1), Problem::NotText)
    })?;
    if let Some(before) = text.split('\0').next().filter(|it| it.len() < text.len()) {
        let column = before.chars().count().saturating_add(1);
        return Err(problem(column, Problem::NotText));
    }
    let start = text.trim_start_matches(BLANKS).trim_end_matches(TRAILING);
    let trailing = text
        .len()
        .saturating_sub(text.trim_end_matches(TRAILING).len());
    // What ends a line is single bytes.
    let characters = text.chars().count().saturating_sub(trailing);
    let column_of = |rest: &str| {
        let left = rest.chars().count();
        characters.saturating_sub(left).saturating_add(1)
    };
    let (name, rest) = cut(start).ok_or_else(|| problem(column_of(start), Problem::OpenQuote))?;
    let rest = rest.trim_start_matches(BLANKS);
    let column = column_of(rest);
    let name = name.to_ascii_lowercase();
    if name.is_empty() {
        return Err(problem(column_of(start), Problem::NoKeyword));
    }
    if rest.is_empty() {
        return Err(problem(column_of(start), Problem::NoValue(name)));
    }
    let words = words(rest, column).ok_or_else(|| problem(column, Problem::OpenQuote))?;
    Ok(Some(Line {
        number,
        keyword: Keyword::of(&name),
        name,
        rest: rest.to_owned(),
        column,
        words,
    }))
}

/// OpenSSH's `strdelim`: the text up to a blank, to one `=` with blanks around it, or to the end of a
/// quote, and what is left. `None` where a quote does not end.
pub(super) fn cut(text: &str) -> Option<(String, &str)> {
    let is_end = |character: char| BLANKS.contains(&character) || matches!(character, '=' | '"');
    let Some((head, tail)) = text.find(is_end).and_then(|at| text.split_at_checked(at)) else {
        return Some((text.to_owned(), ""));
    };
    if let Some(quoted) = tail.strip_prefix('"') {
        let (inside, rest) = quoted.split_once('"')?;
        return Some((format!("{head}{inside}"), rest.trim_start_matches(BLANKS)));
    }
    let rest = tail.trim_start_matches(BLANKS);
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let rest = rest.trim_start_matches(BLANKS);
    Some((head.to_owned(), rest))
}

/// OpenSSH's `argv_split`, up to a comment. `None` where a quote does not end.
pub(super) fn words(text: &str, column: usize) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut characters = text.chars().zip(column..).peekable();
    loop {
        while characters.next_if(|(it, _)| is_space(*it)).is_some() {}
        let Some((first, column)) = characters.peek().copied() else {
            break;
        };
        if first == '#' {
            break;
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some((character, _)) =
            characters.next_if(|(it, _)| quote.is_some() || !is_space(*it))
        {
            match (character, quote) {
                ('\\', _) => {
                    let escaped = characters.next_if(|(next, _)| {
                        matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ')
                    });
                    word.push(escaped.map_or('\\', |(next, _)| next));
                }
                ('"' | '\'', None) => quote = Some(character),
                (_, Some(open)) if open == character => quote = None,
                _ => word.push(character),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(Word { text: word, column });
    }
    Some(words)
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> (String, Vec<String>) {
        let line = parse_line(1, text.as_bytes()).unwrap().unwrap();
        let words = line.words.into_iter().map(|word| word.text).collect();
        (line.name, words)
    }

    #[test]
    fn a_line_is_cut_as_openssh_cuts_it() {
        for (text, name, words) in [
            ("Port 22", "port", &["22"][..]),
            ("PORT=22", "port", &["22"]),
            ("\t Port \t=  22 \r", "port", &["22"]),
            ("Port==22", "port", &["=22"]),
            ("\"Port\" 22", "port", &["22"]),
            ("Host a b  c", "host", &["a", "b", "c"]),
            ("Host a #b c", "host", &["a"]),
            ("Host a#b c", "host", &["a#b", "c"]),
            ("Host \"a b\"c 'd e'", "host", &["a bc", "d e"]),
            ("Host a\\ b \\\"c \\x", "host", &["a b", "\"c", "\\x"]),
            ("Host \"a\\ b\" ''", "host", &["a\\ b", ""]),
            ("User=\"a=b\"", "user", &["a=b"]),
        ] {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(line(text), (name.to_owned(), words), "{text}");
        }
    }

    #[test]
    fn comments_and_empty_lines_say_nothing_whatever_their_bytes() {
        for bytes in [&b""[..], b" \t", b"# \xff\0 \"", b"  #", b"\r", b"\x0c"] {
            assert_eq!(parse_line(1, bytes), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_refused_where_it_goes_wrong() {
        let long = [b"User ".as_slice(), &[b'a'; LINE_LENGTH]].concat();
        for (bytes, column, what) in [
            (&b"Port"[..], 1, Problem::NoValue(String::from("port"))),
            (b"  Port  =", 3, Problem::NoValue(String::from("port"))),
            (b"User \"me", 6, Problem::OpenQuote),
            (b"User 'me", 6, Problem::OpenQuote),
            (b"\"User me", 1, Problem::OpenQuote),
            (b"= me", 1, Problem::NoKeyword),
            (b"User \xc3\xa9\xff", 7, Problem::NotText),
            (b"User a\0b", 7, Problem::NotText),
            (&long, 0, Problem::LineLength),
        ] {
            let expected = LineProblem {
                line: 1,
                column,
                what,
            };
            assert_eq!(parse_line(1, bytes), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn words_know_their_columns() {
        let line = parse_line(3, "  Host = é  \"b c\" d".as_bytes());
        let columns = line.unwrap().unwrap().words;
        let columns: Vec<usize> = columns.iter().map(|word| word.column).collect();
        assert_eq!(columns, [10, 13, 19]);
    }
}
