//! References to the environment: `${env.NAME}` and `${env.NAME | default}` in scalars.
//!
//! They are replaced in the parsed tree, never in the file's text: a value that holds `: `, `#`,
//! quotes or newlines changes nothing around it, and comments are no place for references.
//!
//! ```text
//! reference = "${" ws "env." NAME [ ws "as" ws TYPE ] [ ws "|" ws DEFAULT ] ws "}"
//! NAME      = characters other than white space, "|" and "}"
//! TYPE      = "string" | "integer" | "number" | "boolean"
//! DEFAULT   = characters other than "}", or nothing
//! ```
//!
//! A default is taken only if the variable is absent; one that is set to nothing is set. What does
//! not match (`${input.text}`, an unknown type) stays. A value is not searched for references, and
//! [`Scalar::foreign`] says where it is, so that nobody takes what is in it for anything but text.
//!
//! If a reference is the whole of a scalar without quotes, the type of the result is that of its
//! text: `port: ${env.PORT | 22}` is a number. A default in quotes is a text. A value of a variable
//! is null only if it is empty. With `as` the type is as said, in quotes too. A reference with text
//! around it makes a text.

use std::sync::Arc;

use crate::limits;
use crate::node::{Content, Document, Node, Scalar, Style, Value};
use crate::printable::printable;
use crate::problem::{Place, Problem, Problems};
use crate::schema;

/// What becomes of a reference to a variable that is not set, without a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// It is an error.
    Refuse,
    /// It stays as it is written.
    Leave,
}

impl Document {
    /// Replaces the references to the environment, which is asked variable by variable.
    ///
    /// Messages say `a value from ${env.NAME}` and never the value. Call it before
    /// [`merge`](Self::merge) or after, but once: a value may look like a reference.
    pub fn resolve_environment(
        &mut self,
        lookup: &dyn Fn(&str) -> Option<String>,
        unset: Unset,
        problems: &mut Problems,
    ) {
        let mut resolver = Resolver {
            lookup,
            unset,
            problems,
            text_bytes: 0,
        };
        resolver.node(&mut self.root);
    }
}

struct Resolver<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    unset: Unset,
    problems: &'a mut Problems,
    /// How many bytes were made by replacing.
    text_bytes: usize,
}

impl Resolver<'_> {
    /// Recurses at most [`limits::DEPTH`] times.
    fn node(&mut self, node: &mut Node) {
        match &mut node.content {
            Content::Scalar(scalar) => self.scalar(scalar, &node.place),
            Content::Sequence(nodes) => {
                for node in nodes {
                    self.node(node);
                }
            }
            Content::Mapping(mapping) => {
                for entry in mapping.entries() {
                    self.check_key(&entry.key, &entry.place);
                }
                for node in mapping.nodes_mut() {
                    self.node(node);
                }
            }
        }
    }

    fn check_key(&mut self, key: &str, place: &Place) {
        if pieces(key).any(|piece| !matches!(piece, Piece::Text(_))) {
            let message = "a key cannot hold a reference to the environment";
            self.problems.push(Problem::error(place, message));
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, place: &Place) {
        if !scalar.text.contains("${") {
            return;
        }
        let pieces: Vec<Piece<'_>> = pieces(&scalar.text).collect();
        if let [Piece::Reference(reference)] = pieces.as_slice() {
            let found = self.found(reference, place);
            if let Some(found) = found {
                let resolved = self.whole(scalar, reference, found, place);
                *scalar = resolved;
            }
            return;
        }
        let mut text = String::new();
        let mut variables: Vec<Arc<str>> = Vec::new();
        let mut foreign = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Nested => {
                    let message = "a reference to the environment cannot hold another reference";
                    self.problems.push(Problem::error(place, message));
                    return;
                }
                Piece::Reference(reference) => match self.found(reference, place) {
                    Some(Found::Variable(value)) => {
                        let start = text.len();
                        text.push_str(&value);
                        foreign.push(start..text.len());
                        if !variables.iter().any(|name| **name == *reference.name) {
                            variables.push(reference.name.into());
                        }
                    }
                    Some(Found::Default(default)) => text.push_str(default),
                    None => text.push_str(reference.written),
                },
            }
        }
        scalar.text = text;
        scalar.variables = variables;
        scalar.foreign = foreign;
    }

    /// What a reference stands for; a problem or nothing if that is not known.
    fn found<'t>(&mut self, reference: &Reference<'t>, place: &Place) -> Option<Found<'t>> {
        let found = match ((self.lookup)(reference.name), reference.default) {
            (Some(value), _) => Found::Variable(value),
            (None, Some(default)) => Found::Default(default),
            (None, None) => {
                if self.unset == Unset::Refuse {
                    let name = printable(reference.name);
                    let message = format!("the environment variable {name} is not set");
                    let help = format!("set it, or write ${{env.{name} | a default}}");
                    let problem = Problem::error(place, message).with_help(help);
                    self.problems.push(problem);
                }
                return None;
            }
        };
        self.text_bytes = self.text_bytes.saturating_add(match &found {
            Found::Variable(value) => value.len(),
            Found::Default(default) => default.len(),
        });
        if self.text_bytes > limits::TEXT_BYTES {
            // Once is enough.
            if !self
                .problems
                .iter()
                .any(|earlier| earlier.message() == OVER)
            {
                self.problems.push(Problem::error(place, OVER));
            }
            return None;
        }
        Some(found)
    }

    /// The scalar that a reference alone makes.
    fn whole(
        &mut self,
        scalar: &Scalar,
        reference: &Reference<'_>,
        found: Found<'_>,
        place: &Place,
    ) -> Scalar {
        let mut foreign = Vec::new();
        let (text, mut value, variables) = match found {
            Found::Variable(text) => {
                let mut value = schema::resolve(&text);
                if value == Value::Null && !text.is_empty() {
                    value = Value::Text;
                }
                foreign.push(0..text.len());
                (text, value, vec![Arc::from(reference.name)])
            }
            Found::Default(text) => match unquoted(text) {
                Some(inner) if scalar.style == Style::Plain => {
                    (inner.to_owned(), Value::Text, Vec::new())
                }
                _ => (text.to_owned(), schema::resolve(text), Vec::new()),
            },
        };
        let is_as_said = match (reference.kind, value) {
            (None | Some(Kind::String), _)
            | (Some(Kind::Integer), Value::Integer(_))
            | (Some(Kind::Number), Value::Integer(_) | Value::Float(_))
            | (Some(Kind::Boolean), Value::Boolean(_)) => true,
            (Some(Kind::Integer | Kind::Number | Kind::Boolean), _) => false,
        };
        if reference.kind == Some(Kind::String)
            || (reference.kind.is_none() && scalar.style == Style::Fixed)
        {
            value = Value::Text;
        }
        let resolved = Scalar {
            text,
            value,
            style: Style::Fixed,
            variables,
            foreign,
        };
        if let Some(kind) = reference.kind
            && !is_as_said
        {
            let (wanted, found) = (kind.describe(), resolved.describe());
            let message = format!("wanted {wanted}, found {found}");
            self.problems.push(Problem::error(place, message));
        }
        resolved
    }
}

/// One message, so that it can be recognised.
const OVER: &str = "references to the environment make more text than a file may hold";

/// A value, and where it comes from.
enum Found<'t> {
    Variable(String),
    Default(&'t str),
}

/// A part of a scalar's text.
enum Piece<'t> {
    /// Text that stays.
    Text(&'t str),
    /// What is replaced.
    Reference(Reference<'t>),
    /// A reference with another inside, which means nothing.
    Nested,
}

struct Reference<'t> {
    /// The whole of it, as written.
    written: &'t str,
    name: &'t str,
    kind: Option<Kind>,
    default: Option<&'t str>,
}

/// A type that a reference asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    fn describe(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
        }
    }
}

/// Cuts a text into references and what is around them.
///
/// In linear time: what follows the last brace is not searched, so whoever begins as a reference
/// either is one, is passed over up to its brace, or fails at its first letters.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let end = text.rfind('}').map_or(0, |at| at.saturating_add(1));
    let (mut rest, tail) = text.split_at_checked(end).unwrap_or(("", text));
    let mut next = None;
    let searched = std::iter::from_fn(move || {
        if let Some(piece) = next.take() {
            return Some(piece);
        }
        if rest.is_empty() {
            return None;
        }
        let whole = rest;
        let mut from = 0;
        while let Some((before, candidate)) = find(whole, "${", from) {
            if let Some((piece, after)) = reference(candidate) {
                rest = after;
                if before.is_empty() {
                    return Some(piece);
                }
                next = Some(piece);
                return Some(Piece::Text(before));
            }
            // Past the "${" that begins no reference.
            from = before.len().saturating_add(2);
        }
        rest = "";
        Some(Piece::Text(whole))
    });
    searched.chain((!tail.is_empty()).then_some(Piece::Text(tail)))
}

/// `text` before and from the first `pattern` at or after `from`, which lies between characters.
fn find<'t>(text: &'t str, pattern: &str, from: usize) -> Option<(&'t str, &'t str)> {
    let (_, tail) = text.split_at_checked(from)?;
    text.split_at_checked(from.checked_add(tail.find(pattern)?)?)
}

/// The reference that `text` begins with, and what follows it.
fn reference(text: &str) -> Option<(Piece<'_>, &str)> {
    let inside = text.strip_prefix("${")?.trim_start().strip_prefix("env.")?;
    let (inside, after) = inside.split_once('}')?;
    if inside.contains("${") {
        return Some((Piece::Nested, after));
    }
    let written = text.strip_suffix(after)?;
    let (head, default) = match inside.split_once('|') {
        Some((head, default)) => (head, Some(default.trim())),
        None => (inside, None),
    };
    if head.starts_with(char::is_whitespace) {
        return None;
    }
    let words: Vec<&str> = head.split_whitespace().take(4).collect();
    let (name, kind) = match words.as_slice() {
        [name] => (*name, None),
        [name, "as", kind] => (*name, Some(Kind::named(kind)?)),
        _ => return None,
    };
    let reference = Reference {
        written,
        name,
        kind,
        default,
    };
    Some((Piece::Reference(reference), after))
}

/// What stands between the quotes of a text in quotes.
fn unquoted(text: &str) -> Option<&str> {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

#[cfg(test)]
mod tests;
