//! What the texts of a file become when a job runs: templates evaluated over what is known then.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::str::FromStr as _;
use std::time::Duration;

use crate::expr::{self, EvaluateError, Sources, TreeError, Value};
use crate::model::{Setting, Text, Written};

/// Why nothing came of a text. It says where in the file the text stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// It cannot be evaluated.
    #[error("{place}: {source}")]
    Evaluate {
        /// Where the text stands, and where in it.
        place: String,
        /// Why not.
        source: Box<EvaluateError>,
    },
    /// It is no tree; the check of a file refuses those that it can see.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It gives something else than is wanted there.
    #[error("{place}: wanted {wanted}, found {found}")]
    Wanted {
        /// Where the text stands.
        place: String,
        /// What is wanted.
        wanted: &'static str,
        /// What it gives, cut and safe to print, or what kind of thing.
        found: String,
    },
}

/// What a text becomes.
///
/// # Errors
///
/// See [`RenderError`].
pub fn text(text: &Text, sources: &dyn Sources) -> Result<Value, RenderError> {
    text.template()
        .evaluate(sources)
        .map_err(|error| RenderError::Evaluate {
            place: text.place().to_string(),
            source: Box::new(error),
        })
}

/// What a text becomes, as text.
///
/// # Errors
///
/// See [`RenderError`]; what has no text form is none.
pub fn string(written: &Text, sources: &dyn Sources) -> Result<String, RenderError> {
    let value = text(written, sources)?;
    match value.text_form() {
        Ok(form) => Ok(form.into_owned()),
        Err(_) => Err(wanted(written, "a text", &value)),
    }
}

/// What a value of any shape becomes.
///
/// # Errors
///
/// See [`RenderError`].
pub fn tree(written: &Written, sources: &dyn Sources) -> Result<Value, RenderError> {
    let place = || place(written).unwrap_or_default();
    written
        .tree()?
        .evaluate(sources)
        .map_err(|error| RenderError::Evaluate {
            place: place(),
            source: Box::new(error),
        })
}

/// A duration that is known or rendered.
///
/// # Errors
///
/// See [`RenderError`]; what is no duration is none.
pub fn duration(
    setting: &Setting<Duration>,
    sources: &dyn Sources,
) -> Result<Duration, RenderError> {
    match setting {
        Setting::Known(duration) => Ok(*duration),
        Setting::Rendered(written) => {
            let value = text(written, sources)?;
            expr::duration(&value).map_err(|_| wanted(written, "a duration such as 5s", &value))
        }
    }
}

/// A count that is known or rendered.
///
/// # Errors
///
/// See [`RenderError`]; what is no whole number of 1 or more is none.
pub fn count(
    setting: &Setting<NonZeroU32>,
    sources: &dyn Sources,
) -> Result<NonZeroU32, RenderError> {
    match setting {
        Setting::Known(count) => Ok(*count),
        Setting::Rendered(written) => {
            let value = text(written, sources)?;
            let form = value.text_form().unwrap_or_default();
            NonZeroU32::from_str(form.trim())
                .map_err(|_| wanted(written, "a whole number of 1 or more", &value))
        }
    }
}

fn wanted(text: &Text, wanted: &'static str, found: &Value) -> RenderError {
    RenderError::Wanted {
        place: text.place().to_string(),
        wanted,
        found: match found {
            Value::Text(text) => adit_text::show(text),
            Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => found
                .text_form()
                .map_or_else(|_| found.kind().to_owned(), Cow::into_owned),
            Value::Null
            | Value::List(_)
            | Value::Map(_)
            | Value::Bytes(_)
            | Value::Handle(_)
            | Value::Pending(_) => found.kind().to_owned(),
        },
    }
}

/// Where a value stands: where the first text in it does. Others are never evaluated.
fn place(written: &Written) -> Option<String> {
    match written {
        Written::Plain(_) => None,
        Written::Text(text) => Some(text.place().to_string()),
        Written::List(list) => list.iter().find_map(place),
        Written::Mapping(entries) => entries.iter().find_map(|(_, value)| place(value)),
    }
}
