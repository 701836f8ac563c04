//! From text to template, in one pass and without recursion.
//!
//! A variable whose default has begun is a *frame* on a stack, and what follows goes into the
//! frame: text, braces, and variables, which may open frames of their own. The brace that closes the
//! innermost frame makes a variable of it. Frames that are still open at the end of the text were no
//! variables: their beginnings become text, and what was found in them stays.

use std::ops::Range;

use crate::expr::limits;
use crate::expr::reading::Reading;
use crate::expr::scan::{self, DeadEnd, End, Head, Mismatch, Tail};
use crate::expr::template::{DefaultText, Part, Reason, Stray, Template, Variable, unquoted};

impl Template {
    /// Reads a text. What is no variable is text; [`strays`](Self::strays) says why.
    ///
    /// Takes time in proportion to the text.
    pub fn parse(text: &str) -> Self {
        Self::read(&Reading::plain(text))
    }

    /// As [`parse`](Self::parse), but what is in these ranges is text, whatever it says: values that
    /// came from the environment and are not the file's. In bytes, in order, apart from one another
    /// and between characters; from one on that is not, all of the text is literal.
    ///
    /// Literal text stands wherever text does, in defaults and annotations too. In a source's name
    /// (not as its beginning), behind a dot or between brackets it may be a part of the name if it
    /// consists of letters and digits of ASCII, `-` and `_`: `${gateway:` 8090 `.public_address}`. If
    /// it is anything else there, or stands anywhere else in a variable, that is no variable but
    /// text ([`Reason::Literal`], or what is missing in its place).
    pub fn parse_with_literals(text: &str, literals: &[Range<usize>]) -> Self {
        Self::read(&Reading::new(text, literals))
    }

    fn read(reading: &Reading<'_>) -> Self {
        let text = reading.seen();
        let mut parser = Parser {
            reading,
            text,
            last_brace: text.rfind('}'),
            quotes: [NextQuote::new('"'), NextQuote::new('\'')],
            dead_end: DeadEnd::default(),
            root: Level::default(),
            frames: Vec::new(),
            strays: Vec::new(),
        };
        let mut at = 0;
        while let Some(next) = parser.step(at) {
            at = next;
        }
        parser.finish()
    }
}

/// Whether nothing that is not literal looks like a variable in a text.
pub(crate) fn is_literal(text: &str, literals: &[Range<usize>]) -> bool {
    const MARK: &str = "${";
    !text.contains(MARK) || !Reading::new(text, literals).seen().contains(MARK)
}

struct Parser<'t> {
    reading: &'t Reading<'t>,
    /// What is seen of it. All places are in this, until they are handed out.
    text: &'t str,
    /// No variable begins behind it.
    last_brace: Option<usize>,
    quotes: [NextQuote; 2],
    dead_end: DeadEnd,
    root: Level,
    frames: Vec<Frame>,
    strays: Vec<Stray>,
}

/// Parts one after the other.
#[derive(Default)]
struct Level {
    parts: Vec<Part>,
    /// Where the text begins that is not among the parts yet.
    text_start: usize,
}

/// A variable whose default has begun.
struct Frame {
    /// Where its `${` stands.
    start: usize,
    head: Head,
    default_start: usize,
    /// The quote that the default has opened and not yet closed. Until then braces are text.
    open_quote: Option<char>,
    /// Where the default's closing quote ends, after which an annotation needs no space.
    quote_end: usize,
    /// How many braces of the default are open.
    braces: usize,
    level: Level,
}

impl<'t> Parser<'t> {
    fn rest(&self, at: usize) -> &'t str {
        self.text.get(at..).unwrap_or_default()
    }

    /// Reads up to and past the next thing that is not plain text; nothing if there is none.
    fn step(&mut self, from: usize) -> Option<usize> {
        let rest = self.rest(from);
        let Some(frame) = self.frames.last_mut() else {
            let at = from.saturating_add(rest.find("${")?);
            return Some(self.open(at));
        };
        let (ahead, special) = rest
            .char_indices()
            .find(|(_, letter)| matches!(letter, '$' | '{' | '}' | '\\' | '@' | '"' | '\''))?;
        let at = from.saturating_add(ahead);
        let next = at.saturating_add(1);
        let follows = self.text.get(next..).and_then(|it| it.chars().next());
        match (special, follows) {
            ('$', Some('{')) => return Some(self.open(at)),
            ('\\', Some('$' | '@' | '{' | '}')) => return Some(next.saturating_add(1)),
            ('"' | '\'', _) if frame.open_quote == Some(special) => {
                frame.open_quote = None;
                frame.quote_end = next;
            }
            ('{', _) if frame.open_quote.is_none() => {
                frame.braces = frame.braces.saturating_add(1);
            }
            ('}', _) if frame.open_quote.is_none() => {
                let Some(braces) = frame.braces.checked_sub(1) else {
                    let end = End {
                        annotations: Vec::new(),
                        after: next,
                    };
                    return Some(self.close(at, end));
                };
                frame.braces = braces;
            }
            ('@', Some('(')) if frame.open_quote.is_none() && frame.braces == 0 => {
                let before = self.text.get(frame.default_start..at).unwrap_or_default();
                let is_apart = before.is_empty()
                    || before.ends_with(char::is_whitespace)
                    || frame.quote_end == at;
                if is_apart && let Ok(end) = scan::end(self.reading, at, &mut self.dead_end) {
                    return Some(self.close(at, end));
                }
            }
            _ => {}
        }
        Some(next)
    }

    /// Reads what begins with the `${` at `at`.
    fn open(&mut self, at: usize) -> usize {
        let inside = at.saturating_add(2);
        let head = if self.last_brace.is_none_or(|last| last < at) {
            Err(Mismatch {
                offset: self.text.len(),
                reason: Reason::Unclosed,
            })
        } else if self.frames.len() == limits::TEMPLATE_NESTING {
            Err(Mismatch {
                offset: at,
                reason: Reason::Nesting,
            })
        } else {
            scan::head(self.reading, inside, &mut self.dead_end)
        };
        match head {
            Ok((head, tail)) => self.begin(at, head, tail),
            Err(mismatch) => {
                self.stray(at, mismatch);
                if let Some(frame) = self.frames.last_mut()
                    && frame.open_quote.is_none()
                {
                    frame.braces = frame.braces.saturating_add(1);
                }
                inside
            }
        }
    }

    fn begin(&mut self, start: usize, head: Head, tail: Tail) -> usize {
        self.flush(start);
        match tail {
            Tail::End(end) => {
                let after = end.after;
                self.push(start, head, None, end);
                after
            }
            Tail::Default {
                start: default_start,
            } => {
                let open_quote = self.quote_opened_at(default_start);
                self.frames.push(Frame {
                    start,
                    head,
                    default_start,
                    open_quote,
                    quote_end: 0,
                    braces: 0,
                    level: Level {
                        parts: Vec::new(),
                        text_start: default_start,
                    },
                });
                default_start.saturating_add(usize::from(open_quote.is_some()))
            }
        }
    }

    /// The quote at `at`, if the next one of its kind is the last thing in the default.
    fn quote_opened_at(&mut self, at: usize) -> Option<char> {
        let first = self.rest(at).chars().next()?;
        let quote = self.quotes.iter_mut().find(|it| it.quote == first)?;
        let closing = quote.after(self.text, at.saturating_add(1))?;
        let behind = self.text.get(closing.saturating_add(1)..)?.trim_start();
        (behind.starts_with('}') || behind.starts_with("@(")).then_some(first)
    }

    /// Makes a variable of the innermost frame, whose default ends before `at`.
    fn close(&mut self, at: usize, end: End) -> usize {
        let Some(frame) = self.frames.pop() else {
            return end.after;
        };
        let after = end.after;
        let seen = self.text.get(frame.default_start..at).unwrap_or_default();
        let seen = seen.trim_end();
        let trimmed_end = frame.default_start.saturating_add(seen.len());
        let mut level = frame.level;
        level.flush(self.reading, trimmed_end);
        let is_quoted = unquoted(seen).is_some();
        if is_quoted {
            level.strip_quotes();
        }
        let default = DefaultText {
            template: Template {
                parts: level.parts,
                strays: Vec::new(),
            },
            is_quoted,
            shown: self.reading.shown(&(frame.default_start..trimmed_end)),
        };
        self.push(frame.start, frame.head, Some(default), end);
        after
    }

    /// Adds a variable to what it is in.
    fn push(&mut self, start: usize, head: Head, default: Option<DefaultText>, end: End) {
        let variable = Variable {
            span: self.reading.place(start)..self.reading.place(end.after),
            source: head.source,
            path: head.path,
            conversion: head.conversion,
            default,
            annotations: end.annotations,
        };
        let level = self.level();
        level.parts.push(Part::Variable(Box::new(variable)));
        level.text_start = end.after;
    }

    fn level(&mut self) -> &mut Level {
        match self.frames.last_mut() {
            Some(frame) => &mut frame.level,
            None => &mut self.root,
        }
    }

    /// Adds the text up to `at` to the parts.
    fn flush(&mut self, at: usize) {
        let reading = self.reading;
        self.level().flush(reading, at);
    }

    fn stray(&mut self, start: usize, mismatch: Mismatch) {
        if self.strays.len() < limits::STRAYS {
            self.strays.push(Stray {
                start: self.reading.place(start),
                offset: self.reading.place(mismatch.offset),
                reason: mismatch.reason,
            });
        }
    }

    fn finish(mut self) -> Template {
        self.flush(self.text.len());
        let mut parts = self.root.parts;
        for frame in self.frames {
            self.strays.push(Stray {
                start: self.reading.place(frame.start),
                offset: self.reading.place(self.text.len()),
                reason: Reason::Unclosed,
            });
            let beginning = self.reading.written(frame.start..frame.default_start);
            push_text(&mut parts, beginning);
            for part in frame.level.parts {
                match part {
                    Part::Text(text) => push_text(&mut parts, &text),
                    variable @ Part::Variable(_) => parts.push(variable),
                }
            }
        }
        self.strays.sort_by_key(|stray| stray.start);
        Template {
            parts,
            strays: self.strays,
        }
    }
}

impl Level {
    /// Adds what is written up to `at` to the parts.
    fn flush(&mut self, reading: &Reading<'_>, at: usize) {
        push_text(&mut self.parts, reading.written(self.text_start..at));
        self.text_start = at;
    }

    /// Takes the first and the last character away, which are quotes.
    fn strip_quotes(&mut self) {
        if let Some(Part::Text(text)) = self.parts.first_mut() {
            text.remove(0);
        }
        if let Some(Part::Text(text)) = self.parts.last_mut() {
            text.pop();
        }
        self.parts
            .retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    }
}

/// Adds text to parts, of which no two texts follow one another.
fn push_text(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// Where the next quote of a kind stands, asked at places that only grow and looked for once.
struct NextQuote {
    quote: char,
    found: Option<usize>,
    /// How far the text is searched.
    searched: usize,
}

impl NextQuote {
    fn new(quote: char) -> Self {
        Self {
            quote,
            found: None,
            searched: 0,
        }
    }

    /// The first at or after `at`.
    fn after(&mut self, text: &str, at: usize) -> Option<usize> {
        if self.found.is_some_and(|found| found >= at) {
            return self.found;
        }
        let from = self.searched.max(at);
        let ahead = text.get(from..)?.find(self.quote);
        self.found = ahead.map(|ahead| from.saturating_add(ahead));
        self.searched = self
            .found
            .map_or(text.len(), |found| found.saturating_add(1));
        self.found
    }
}

#[cfg(test)]
mod tests;
