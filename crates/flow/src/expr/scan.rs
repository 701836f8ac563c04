//! The beginning of a variable, up to its default or its end, and annotations.
//!
//! A head is read up to the next `{`, an annotation up to the next `@(`, and a row of annotations that
//! leads nowhere is read once ([`DeadEnd`]), so that whoever tries at every `${` and every `@(` of a
//! text still reads it in linear time.

use std::ops::Range;

use crate::expr::limits;
use crate::expr::reading::Reading;
use crate::expr::template::{Annotation, Conversion, Reason, Source, Step, unquoted};

/// What stands before a default or the end.
pub(crate) struct Head {
    pub(crate) source: Source,
    pub(crate) path: Vec<Step>,
    pub(crate) conversion: Option<Conversion>,
}

/// How a head goes on.
pub(crate) enum Tail {
    /// With a default, which begins here.
    Default {
        /// Behind the bar and white space.
        start: usize,
    },
    /// It has ended.
    End(End),
}

/// The end of a variable.
pub(crate) struct End {
    pub(crate) annotations: Vec<Annotation>,
    /// Behind the closing brace.
    pub(crate) after: usize,
}

/// What is wrong and where, in bytes from the text's beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mismatch {
    pub(crate) offset: usize,
    pub(crate) reason: Reason,
}

/// How far annotations are known to lead to no closing brace: none that begins before it does.
///
/// Annotations follow one another up to the brace, and none holds the beginning of another. So if a
/// row of them fails, it fails whichever of them is the first.
#[derive(Clone, Copy, Default)]
pub(crate) struct DeadEnd {
    before: usize,
}

/// A place in a text.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    reading: &'t Reading<'t>,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        self.reading.seen().get(self.at..).unwrap_or_default()
    }

    /// What was gone past since `start`.
    fn since(&self, start: Self) -> Range<usize> {
        start.at..self.at
    }

    /// The name that was gone past since `start`.
    fn name_since(&self, start: Self) -> Result<&'t str, Mismatch> {
        match self.reading.name(self.since(start)) {
            Some(name) => Ok(name),
            None => start.mismatch(Reason::Literal),
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Goes past `word`, if it is next.
    fn eat(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word);
        if is_next {
            self.at = self.at.saturating_add(word.len());
        }
        is_next
    }

    /// Goes past the characters that satisfy `is_inside`, but not past `@(`.
    fn eat_while(&mut self, is_inside: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let mut letters = rest.char_indices();
        let end = letters.find_map(|(at, letter)| {
            let is_annotation =
                letter == '@' && rest.get(at..).is_some_and(|it| it.starts_with("@("));
            (!is_inside(letter) || is_annotation).then_some(at)
        });
        let end = end.unwrap_or(rest.len());
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }

    /// Goes past white space, and says whether there was any.
    fn eat_space(&mut self) -> bool {
        !self.eat_while(char::is_whitespace).is_empty()
    }

    fn mismatch<T>(&self, reason: Reason) -> Result<T, Mismatch> {
        let offset = self.at;
        Err(Mismatch { offset, reason })
    }
}

/// Reads what stands behind the `${` that ends before `at`.
pub(crate) fn head(
    reading: &Reading<'_>,
    at: usize,
    dead_end: &mut DeadEnd,
) -> Result<(Head, Tail), Mismatch> {
    let mut cursor = Cursor { reading, at };
    cursor.eat_space();
    let source = source(&mut cursor)?;
    let path = path(&mut cursor)?;
    let had_space = cursor.eat_space();
    let mut conversion = None;
    if had_space && cursor.eat("as") {
        if !cursor.eat_space() {
            return cursor.mismatch(Reason::Type);
        }
        conversion = Some(self::conversion(&mut cursor)?);
        cursor.eat_space();
    }
    let tail = if cursor.eat("|") {
        if cursor.peek() == Some('}') {
            return cursor.mismatch(Reason::Default);
        }
        cursor.eat_space();
        Tail::Default { start: cursor.at }
    } else {
        Tail::End(end(reading, cursor.at, dead_end)?)
    };
    let head = Head {
        source,
        path,
        conversion,
    };
    Ok((head, tail))
}

fn source(cursor: &mut Cursor<'_>) -> Result<Source, Mismatch> {
    if !cursor
        .peek()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
    {
        return cursor.mismatch(Reason::Key);
    }
    let is_inside =
        |letter: char| !letter.is_whitespace() && !matches!(letter, '.' | '[' | '{' | '}' | '|');
    let start = *cursor;
    cursor.eat_while(is_inside);
    let name = cursor.name_since(start)?.to_owned();
    let is_chunk = cursor.eat("[]");
    Ok(Source { name, is_chunk })
}

fn path(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, Mismatch> {
    let mut path = Vec::new();
    loop {
        let before = *cursor;
        let step = if cursor.eat(".") {
            let start = *cursor;
            if cursor.eat_while(is_in_name).is_empty() {
                return cursor.mismatch(Reason::Name);
            }
            Step::Name(cursor.name_since(start)?.to_owned())
        } else if cursor.eat("[") {
            let start = *cursor;
            cursor.eat_while(|letter| !matches!(letter, ']' | '{' | '}'));
            match subscript(cursor.name_since(start)?) {
                Some(step) if cursor.eat("]") => step,
                _ => return before.mismatch(Reason::Subscript),
            }
        } else {
            return Ok(path);
        };
        if path.len() == limits::PATH_STEPS {
            return before.mismatch(Reason::Path);
        }
        path.push(step);
    }
}

/// The steps of `user.name` or `items[0].id`, which may begin without a dot.
pub(crate) fn relative_path(text: &str) -> Option<Vec<Step>> {
    let dotted = format!(".{text}");
    let reading = Reading::plain(if text.starts_with('[') { text } else { &dotted });
    let mut cursor = Cursor {
        reading: &reading,
        at: 0,
    };
    let path = path(&mut cursor).ok()?;
    cursor.rest().is_empty().then_some(path)
}

/// Whether a name may hold the letter: any but white space, controls and the punctuation of ASCII.
fn is_in_name(letter: char) -> bool {
    match letter {
        '-' | '_' => true,
        _ if letter.is_ascii() => letter.is_ascii_alphanumeric(),
        _ => !letter.is_whitespace() && !letter.is_control(),
    }
}

fn subscript(inside: &str) -> Option<Step> {
    if inside == "*" {
        return Some(Step::All);
    }
    let bound = |text: &str| match text {
        "" => Some(None),
        _ => integer(text).map(Some),
    };
    match inside.split_once(':') {
        Some((from, to)) => Some(Step::Slice {
            from: bound(from)?,
            to: bound(to)?,
        }),
        None => integer(inside).map(Step::Index),
    }
}

/// A number as it is written between brackets: no plus sign.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn conversion(cursor: &mut Cursor<'_>) -> Result<Conversion, Mismatch> {
    let start = *cursor;
    let is_word = |letter: char| !letter.is_whitespace() && !matches!(letter, '{' | '}' | '|');
    let name = cursor.eat_while(|letter| is_word(letter) && !matches!(letter, '/' | ';'));
    let (name, is_list) = match name.strip_suffix("[]") {
        Some(name) => (name.to_owned(), true),
        None => (name.to_owned(), false),
    };
    if name.is_empty() {
        return cursor.mismatch(Reason::Type);
    }
    let mut subtype = None;
    if cursor.eat("/") {
        let written = cursor.eat_while(|letter| is_word(letter) && letter != ';');
        if written.is_empty() {
            return cursor.mismatch(Reason::Type);
        }
        subtype = Some(written.to_owned());
    }
    let mut format = None;
    if cursor.eat(";") {
        let written = cursor.eat_while(is_word);
        if written.is_empty() {
            return cursor.mismatch(Reason::Type);
        }
        format = Some(written.to_owned());
    }
    if cursor.reading.has_literal(&cursor.since(start)) {
        return start.mismatch(Reason::Literal);
    }
    Ok(Conversion {
        name,
        is_list,
        subtype,
        format,
    })
}

/// Reads annotations and the closing brace.
pub(crate) fn end(
    reading: &Reading<'_>,
    at: usize,
    dead_end: &mut DeadEnd,
) -> Result<End, Mismatch> {
    let mut cursor = Cursor { reading, at };
    let mut annotations = Vec::new();
    loop {
        cursor.eat_space();
        if cursor.eat("}") {
            return Ok(End {
                annotations,
                after: cursor.at,
            });
        }
        if !cursor.rest().starts_with("@(") {
            dead_end.before = dead_end.before.max(cursor.at);
            return cursor.mismatch(Reason::End);
        }
        if cursor.at < dead_end.before {
            return cursor.mismatch(Reason::Annotation);
        }
        match annotation(&mut cursor) {
            Ok(annotation) => annotations.push(annotation),
            Err(mismatch) => {
                dead_end.before = cursor.at;
                return Err(mismatch);
            }
        }
    }
}

/// Reads `@(name text)`. The text ends at the first parenthesis that another annotation or a closing
/// brace follows, so that it may hold some: `@(description Randomness (0-2))`.
fn annotation(cursor: &mut Cursor<'_>) -> Result<Annotation, Mismatch> {
    let start = *cursor;
    cursor.eat("@(");
    let name_start = *cursor;
    cursor.eat_while(is_in_name);
    let name = cursor.name_since(name_start)?;
    let had_space = cursor.eat_space();
    if name.is_empty() || (!had_space && cursor.peek() != Some(')')) {
        return start.mismatch(Reason::Annotation);
    }
    let text = *cursor;
    loop {
        cursor.eat_while(|letter| letter != ')');
        let end = cursor.at;
        if !cursor.eat(")") {
            return start.mismatch(Reason::Annotation);
        }
        let mut follows = *cursor;
        follows.eat_space();
        if follows.rest().starts_with('}') || follows.rest().starts_with("@(") {
            let seen = text.reading.seen().get(text.at..end).unwrap_or_default();
            let seen = seen.trim_end();
            let whole = text.at..text.at.saturating_add(seen.len());
            let inside = match unquoted(seen) {
                Some(_) => whole.start.saturating_add(1)..whole.end.saturating_sub(1),
                None => whole.clone(),
            };
            return Ok(Annotation {
                name: name.to_owned(),
                text: text.reading.written(inside).to_owned(),
                shown: text.reading.shown(&whole),
            });
        }
    }
}
