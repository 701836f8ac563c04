//! Environment files, as python-dotenv reads them.
//!
//! ```text
//! file    = { space line }
//! line    = [ "export" blanks ] ( key | "'" QUOTED "'" ) blanks [ "=" blanks value ] [ comment ] end
//!         | comment end
//! key     = characters other than "=", "#" and white space
//! value   = "'" ... "'" | '"' ... '"' | the rest of the line
//! comment = blanks "#" the rest of the line
//! ```
//!
//! A value in quotes may span lines. In single quotes `\'` and `\\` are escapes, in double quotes
//! also `\" \a \b \f \n \r \t \v`; before anything else a backslash stays. A value without quotes
//! ends before white space that a `#` follows, and is trimmed. Then, also in quotes, `${NAME}` and `${NAME:-default}` are replaced: by an earlier
//! variable of the same file, else by one of the process, else by the default, else by nothing. A key
//! without `=` has no value and is no variable. A line that is none of this is passed over.

use std::collections::BTreeMap;
use std::fmt;

/// What an environment file says. No value is shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Dotenv {
    /// The variables; of several with one name the last counts.
    pub variables: BTreeMap<String, String>,
    /// Lines that begin what cannot be read, from 1.
    pub passed_over: Vec<u32>,
}

/// Reads an environment file. `process` gives the process's own variables, for references.
pub fn parse(text: &str, process: &dyn Fn(&str) -> Option<String>) -> Dotenv {
    let mut found = Dotenv::default();
    // For references a key without a value is an empty one.
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    loop {
        reader.take_while(is_space);
        if reader.rest.is_empty() {
            break;
        }
        let line = reader.line;
        match reader.binding() {
            Some((Some(key), value)) => {
                let value = value.map(|value| {
                    expand(&value, &|name| match known.get(name) {
                        Some(value) => Some(value.clone().unwrap_or_default()),
                        None => process(name),
                    })
                });
                known.insert(key, value);
            }
            Some((None, _)) => {}
            None => {
                reader.take_while(|c| !is_line_end(c));
                found.passed_over.push(line);
            }
        }
    }
    let known = known.into_iter();
    found.variables = known
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    found
}

impl fmt::Debug for Dotenv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("Dotenv")
            .field("variables", &names)
            .field("passed_over", &self.passed_over)
            .finish()
    }
}

/// A line is none that can be read.
struct Unreadable;

struct Reader<'t> {
    rest: &'t str,
    /// The line that the rest begins in.
    line: u32,
}

impl<'t> Reader<'t> {
    /// Goes on by `bytes`, which end between characters.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        let returns = taken.split("\r\n").map(|part| {
            part.bytes()
                .filter(|byte| matches!(byte, b'\r' | b'\n'))
                .count()
        });
        let ends = returns.sum::<usize>() + taken.matches("\r\n").count();
        self.line = self
            .line
            .saturating_add(u32::try_from(ends).unwrap_or(u32::MAX));
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// A key and its value, either of which may be absent; None if the line is none.
    fn binding(&mut self) -> Option<(Option<String>, Option<String>)> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with(is_blank)
        {
            self.take("export".len());
            self.take_while(is_blank);
        }
        let key = self.key().ok()?;
        self.take_while(is_blank);
        let mut value = None;
        if self.rest.starts_with('=') {
            self.take(1);
            let blanks = self.take_while(is_blank);
            value = Some(if !blanks.is_empty() && self.rest.starts_with('#') {
                String::new()
            } else {
                self.value()?
            });
        }
        let blanks = self.rest.len() - self.rest.trim_start_matches(is_blank).len();
        if self.rest.trim_start_matches(is_blank).starts_with('#') {
            self.take(blanks);
            self.take_while(|c| !is_line_end(c));
        }
        self.take_while(is_blank);
        let is_end = self.rest.is_empty() || self.rest.starts_with(is_line_end);
        is_end.then_some((key, value))
    }

    /// A key; a comment has none.
    fn key(&mut self) -> Result<Option<String>, Unreadable> {
        if self.rest.starts_with('#') {
            return Ok(None);
        }
        if let Some(quoted) = self.rest.strip_prefix('\'') {
            let (key, _) = quoted.split_once('\'').ok_or(Unreadable)?;
            if key.is_empty() {
                return Err(Unreadable);
            }
            self.take(key.len() + 2);
            return Ok(Some(key.to_owned()));
        }
        let key = self.take_while(|c| !matches!(c, '=' | '#') && !is_space(c));
        if key.is_empty() {
            return Err(Unreadable);
        }
        Ok(Some(key.to_owned()))
    }

    fn value(&mut self) -> Option<String> {
        match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            _ => Some(without_comment(self.take_while(|c| !is_line_end(c))).to_owned()),
        }
    }

    /// What stands in quotes, its escapes decoded.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let inside = self.rest.strip_prefix(quote)?;
        let end = closing(inside, quote)?;
        let written = inside.get(..end)?;
        self.take(end + 2);
        let mut text = String::new();
        let mut rest = written.chars();
        while let Some(c) = rest.next() {
            let escaped = rest.clone().next().filter(|_| c == '\\');
            match escaped.and_then(|escaped| decoded(escaped, quote)) {
                Some(decoded) => {
                    rest.next();
                    text.push(decoded);
                }
                None => text.push(c),
            }
        }
        Some(text)
    }
}

/// Where the quote stands that ends a value: the first that no backslash takes.
fn closing(inside: &str, quote: char) -> Option<usize> {
    let mut characters = inside.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Some(at);
        }
        if c == '\\' {
            characters.next();
        }
    }
    None
}

/// What a backslash and this character stand for.
fn decoded(escaped: char, quote: char) -> Option<char> {
    match (quote, escaped) {
        (_, '\\' | '\'') | ('"', '"') => Some(escaped),
        ('"', 'a') => Some('\u{7}'),
        ('"', 'b') => Some('\u{8}'),
        ('"', 'f') => Some('\u{c}'),
        ('"', 'n') => Some('\n'),
        ('"', 'r') => Some('\r'),
        ('"', 't') => Some('\t'),
        ('"', 'v') => Some('\u{b}'),
        _ => None,
    }
}

/// A value without quotes, up to the white space before a `#`.
fn without_comment(line: &str) -> &str {
    let starts = line.match_indices('#').map(|(at, _)| at);
    let mut before = starts.filter_map(|at| line.get(..at));
    let comment = before.find(|before| before.ends_with(is_space));
    comment.unwrap_or(line).trim_end_matches(is_space)
}

/// The text with `${NAME}` and `${NAME:-default}` replaced.
fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, candidate)) = rest.split_once("${") {
        expanded.push_str(before);
        if let Some((name, default, after)) = reference(candidate) {
            let found = value(name);
            expanded.push_str(found.as_deref().unwrap_or(default));
            rest = after;
        } else {
            expanded.push_str("${");
            rest = candidate;
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The name and default that `text` begins with, behind `${`, and what follows the brace.
fn reference(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find(['}', ':'])?;
    let (name, rest) = text.split_at_checked(end)?;
    if let Some(after) = rest.strip_prefix('}') {
        return Some((name, "", after));
    }
    let (default, after) = rest.strip_prefix(":-")?.split_once('}')?;
    Some((name, default, after))
}

/// White space as Python has it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\r' | '\n')
}

fn is_blank(c: char) -> bool {
    is_space(c) && !is_line_end(c)
}

#[cfg(test)]
mod tests;
