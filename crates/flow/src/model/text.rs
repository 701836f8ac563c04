//! Texts of a file, some of which are known now and some of which are templates.

use std::fmt;
use std::ops::Range;

use adit_text::{Place, Scalar};

use crate::expr::{self, Template};

/// Text that may hold variables (`${input.name}`), as it was written, and where. Two are equal if
/// they say the same and mean the same by it.
#[derive(Clone)]
pub struct Text {
    written: String,
    place: Place,
    is_from_environment: bool,
    /// Where values of the environment are in it.
    literals: Vec<Range<usize>>,
}

impl Text {
    /// A scalar's text.
    pub(crate) fn new(scalar: &Scalar, place: &Place) -> Self {
        Self {
            written: scalar.text().to_owned(),
            place: place.clone(),
            is_from_environment: scalar.is_from_environment(),
            literals: scalar.foreign().to_vec(),
        }
    }

    /// Text that was not written, with a place to tell of.
    pub fn implied(text: &str, place: &Place) -> Self {
        Self {
            written: text.to_owned(),
            place: place.clone(),
            is_from_environment: false,
            literals: Vec::new(),
        }
    }

    /// The text, with its variables as they were written. What in it is a variable only
    /// [`template`](Self::template) knows: values of the environment hold none, whatever they say.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether an environment variable's value is part of it, so that no message may quote it.
    pub fn is_from_environment(&self) -> bool {
        self.is_from_environment
    }

    /// How it stands in a message: in quotes, or without its text if that is the environment's.
    pub fn shown(&self) -> String {
        if self.is_from_environment {
            "that the environment names".to_owned()
        } else {
            adit_text::show(&self.written)
        }
    }

    /// Where values of the environment's variables are in the text, in bytes and in order: those
    /// are taken as they are. Defaults that the file gives are not among them.
    pub fn literals(&self) -> &[Range<usize>] {
        &self.literals
    }

    /// The text and the variables in it.
    pub fn template(&self) -> Template {
        Template::parse_with_literals(&self.written, &self.literals)
    }

    /// Whether it says the same each time: nothing in it looks like a variable, but for what values
    /// of the environment say.
    pub fn is_literal(&self) -> bool {
        expr::is_literal(&self.written, &self.literals)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        let means_the_same =
            || self.literals == other.literals || (self.is_literal() && other.is_literal());
        self.written == other.written && means_the_same()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_from_environment {
            f.write_str("(from the environment)")
        } else {
            self.written.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests;
