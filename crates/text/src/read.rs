//! Readers: what a node is taken as. Each adds its problem and gives nothing if the node is
//! something else; each can be handed to a reader of fields or lists.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::fields::Fields;
use crate::node::{Content, Entry, Node, Scalar, Value};
use crate::problem::{Problem, Problems};
use crate::{duration, schema, size, suggest};

impl Node {
    /// The problem that this node is not what was wanted: `wanted a port, found the text "http"`,
    /// with an example as help. Without a variable's value.
    pub fn mismatch(&self, wanted: &str, example: &str) -> Problem {
        let message = format!("wanted {wanted}, found {}", self.describe());
        Problem::error(self.place(), message).with_help(format!("for example: {example}"))
    }

    /// A text: any scalar but null, as it was written.
    pub fn text<'a>(&'a self, problems: &mut Problems) -> Option<&'a str> {
        self.text_as("a text", "some words", problems)
    }

    /// Any scalar's text, where something more special than a text is wanted.
    fn text_as(&self, wanted: &str, example: &str, problems: &mut Problems) -> Option<&str> {
        match self.as_scalar() {
            Some(scalar) if scalar.value() != Value::Null => Some(scalar.text()),
            _ => {
                problems.push(self.mismatch(wanted, example));
                None
            }
        }
    }

    /// What `parse` makes of the text. `wanted` and `example` say what that is, with an article:
    /// `"a forward"`, `"8080:localhost:80"`. The error's words follow in the message, unless the
    /// text is from the environment.
    pub fn parsed<T, E: Display>(
        &self,
        wanted: &str,
        example: &str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text_as(wanted, example, problems)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                let secret = self.as_scalar().is_some_and(Scalar::is_from_environment);
                let problem = if secret {
                    self.mismatch(wanted, example)
                } else {
                    let message = format!("wanted {wanted}, found {}: {error}", self.describe());
                    Problem::error(self.place(), message)
                        .with_help(format!("for example: {example}"))
                };
                problems.push(problem);
                None
            }
        }
    }

    /// True or false; also `yes`, `no`, `on`, `off`, `1` and `0`, with or without quotes.
    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        let boolean = self.as_scalar().and_then(|scalar| {
            Some(match scalar.text().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => true,
                "false" | "no" | "off" | "0" => false,
                _ => return None,
            })
        });
        if boolean.is_none() {
            problems.push(self.mismatch("true or false", "true"));
        }
        boolean
    }

    /// A whole number in a range, with or without quotes.
    pub fn integer(&self, range: RangeInclusive<i64>, problems: &mut Problems) -> Option<i64> {
        let wanted = match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            (start, i64::MAX) => format!("a whole number from {start}"),
            (start, end) => format!("a whole number from {start} to {end}"),
        };
        self.whole(range, &wanted, problems)
    }

    fn whole(
        &self,
        range: RangeInclusive<i64>,
        wanted: &str,
        problems: &mut Problems,
    ) -> Option<i64> {
        let number = match self.as_number() {
            Some(Value::Integer(integer)) => i64::try_from(integer).ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let example = (*range.start()).max(1).min(*range.end());
            problems.push(self.mismatch(wanted, &example.to_string()));
        }
        number
    }

    /// The value of a scalar, one in quotes taken as if it had none.
    fn as_number(&self) -> Option<Value> {
        let scalar = self.as_scalar()?;
        if scalar.value() == Value::Text {
            return Some(schema::resolve(scalar.text()));
        }
        Some(scalar.value())
    }

    /// A number, whole or not, with or without quotes; neither infinite nor "not a number".
    pub fn number(&self, problems: &mut Problems) -> Option<f64> {
        let number = match self.as_number() {
            #[expect(clippy::cast_precision_loss, reason = "the caller wants an f64")]
            #[expect(clippy::as_conversions, reason = "no other way from i128 to f64")]
            Some(Value::Integer(integer)) => Some(integer as f64),
            Some(Value::Float(float)) if float.is_finite() => Some(float),
            _ => None,
        };
        if number.is_none() {
            problems.push(self.mismatch("a number", "1.5"));
        }
        number
    }

    /// A port from 1 to 65535.
    pub fn port(&self, problems: &mut Problems) -> Option<u16> {
        let port = match self.as_number() {
            Some(Value::Integer(integer)) => u16::try_from(integer).ok(),
            _ => None,
        };
        let port = port.filter(|port| *port > 0);
        if port.is_none() {
            problems.push(self.mismatch("a port from 1 to 65535", "8080"));
        }
        port
    }

    /// A duration with units; see [`duration`].
    pub fn duration(&self, problems: &mut Problems) -> Option<Duration> {
        self.parsed("a duration", duration::EXAMPLE, problems, duration::parse)
    }

    /// A duration with units, or a number of seconds.
    pub fn duration_or_seconds(&self, problems: &mut Problems) -> Option<Duration> {
        let parse = duration::parse_or_seconds;
        self.parsed("a duration", duration::EXAMPLE, problems, parse)
    }

    /// A number of bytes; see [`size`].
    pub fn size(&self, problems: &mut Problems) -> Option<u64> {
        self.parsed("a size", size::EXAMPLE, problems, size::parse)
    }

    /// A path as it is written: neither `~` nor a relative path is changed. Not empty, without NUL.
    pub fn path(&self, problems: &mut Problems) -> Option<PathBuf> {
        self.parsed("a path", "/etc/adit/key", problems, |text| {
            if text.is_empty() {
                Err("it is empty")
            } else if text.contains('\0') {
                Err("it holds a NUL")
            } else {
                Ok(PathBuf::from(text))
            }
        })
    }

    /// One of some words, and what it stands for.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let scalar = self.as_scalar();
        let text = scalar.map_or("", Scalar::text);
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("wanted {}, found {}", one_of(&names), self.describe());
        let problem = Problem::error(self.place(), message);
        let secret = scalar.is_some_and(Scalar::is_from_environment);
        let meant = suggest::closest(text, names).filter(|_| !secret);
        problems.push(match meant {
            Some(word) => problem.with_help(format!("did you mean \"{word}\"?")),
            None => problem,
        });
        None
    }

    /// What `read` makes of each node of a list. Those that are wrong are left out, with their
    /// problems.
    pub fn list<'a, T>(
        &'a self,
        problems: &mut Problems,
        mut read: impl FnMut(&'a Self, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(nodes) = self.as_sequence() else {
            problems.push(self.mismatch("a list", "[first, second]"));
            return None;
        };
        Some(
            nodes
                .iter()
                .filter_map(|node| read(node, problems))
                .collect(),
        )
    }

    /// As [`list`](Self::list), but a node that is no list stands for a list of it alone.
    pub fn one_or_many<'a, T>(
        &'a self,
        problems: &mut Problems,
        mut read: impl FnMut(&'a Self, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        match self.content() {
            Content::Sequence(_) => self.list(problems, read),
            Content::Scalar(_) | Content::Mapping(_) => read(self, problems).map(|one| vec![one]),
        }
    }

    /// What `read` makes of each entry of a mapping whose keys are names of the user's. Those that
    /// are wrong are left out, with their problems.
    pub fn named<'a, T>(
        &'a self,
        problems: &mut Problems,
        mut read: impl FnMut(&'a Entry, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(mapping) = self.as_mapping() else {
            problems.push(self.mismatch("a mapping of names", "{web: ...}"));
            return None;
        };
        let entries = mapping.entries().iter();
        Some(
            entries
                .filter_map(|entry| problems.about(&entry.key, |problems| read(entry, problems)))
                .collect(),
        )
    }

    /// The fields of a mapping whose keys are ours. Null is a mapping without fields, so that what
    /// is required is named.
    pub fn fields<'a, 'p>(&'a self, problems: &'p mut Problems) -> Option<Fields<'a, 'p>> {
        let mapping = self.as_mapping();
        if mapping.is_none() && !self.is_null() {
            problems.push(self.mismatch("a mapping", "lines of \"key: value\""));
            return None;
        }
        Some(Fields::new(self.place(), mapping, problems))
    }
}

/// `"a", "b" or "c"`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}
