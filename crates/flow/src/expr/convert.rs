//! Conversions: what `as` makes of a value.

use std::sync::Arc;

use adit_text::show;
use base64ct::{Base64, Encoding as _};

use crate::expr::json::JsonError;
use crate::expr::limits;
use crate::expr::path;
use crate::expr::scan::relative_path;
use crate::expr::template::{Conversion, Variable};
use crate::expr::value::{Map, NoTextError, Pending, Value};

/// Why a value cannot become what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// It is of another kind, or does not say what was asked for.
    #[error("`{conversion}` requires {wanted}, got {found}")]
    Input {
        /// The type that was asked for.
        conversion: String,
        /// What that takes.
        wanted: &'static str,
        /// What it is: texts and numbers themselves, cut and safe to print, else the kind.
        found: String,
    },
    /// It is not JSON.
    #[error("`{conversion}` requires JSON")]
    Json {
        /// The type that was asked for.
        conversion: String,
        /// What is wrong with it.
        source: JsonError,
    },
    /// It has no text form.
    #[error("`{conversion}` requires a text")]
    Text {
        /// The type that was asked for.
        conversion: String,
        /// What has none.
        source: NoTextError,
    },
    /// The format says base64, and it is not.
    #[error("`{conversion}` requires base64")]
    Base64 {
        /// The type that was asked for.
        conversion: String,
    },
}

/// What is done for a type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Json,
    Object,
    List,
    Base64,
    Media,
    Stream,
    /// Nothing: a select, a slider, or a type that nobody knows.
    None,
}

impl Variable {
    /// The default as a value of the variable's type, if no other variable is in it: what a schema
    /// shows, and what a check can find wrong before anything is run.
    ///
    /// # Errors
    ///
    /// If the default cannot be converted, so that taking it would always fail.
    pub fn constant_default(&self) -> Result<Option<Value>, ConvertError> {
        let text = self.default().and_then(|it| it.template().as_text());
        match (text.map(Value::from), self.conversion()) {
            (Some(value), Some(conversion)) => conversion.apply(value).map(Some),
            (value, _) => Ok(value),
        }
    }
}

impl Conversion {
    /// Whether the type means something: to a conversion, or to a form as a hint. Others are taken,
    /// and change nothing.
    pub fn is_known(&self) -> bool {
        self.kind() != Kind::None || matches!(self.name(), "select" | "slider")
    }

    fn kind(&self) -> Kind {
        match self.name() {
            "string" | "text" | "markdown" => Kind::Text,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            "json" => Kind::Json,
            "object" => Kind::Object,
            "list" => Kind::List,
            "base64" => Kind::Base64,
            "image" | "audio" | "video" | "file" => Kind::Media,
            "stream" | "sse-text" | "sse-json" => Kind::Stream,
            _ => Kind::None,
        }
    }

    /// What becomes of a value. Null stays null, and a type that nobody knows changes nothing.
    ///
    /// Pictures, sounds and files, what a stream holds, and what the formats `path` and `url` lead
    /// to become [`Value::Pending`].
    ///
    /// # Errors
    ///
    /// If the value does not say what the type wants.
    pub fn apply(&self, value: Value) -> Result<Value, ConvertError> {
        let kind = self.kind();
        if matches!(value, Value::Null | Value::Pending(_)) || kind == Kind::None {
            return Ok(value);
        }
        if !self.is_list || matches!(value, Value::Handle(_)) {
            return self.apply_once(value);
        }
        match (kind, value) {
            (Kind::Object, Value::List(list)) => Ok(self.project(list)),
            (Kind::Object, _) => Ok(Value::List(Vec::new())),
            (_, Value::List(list)) => {
                let items = list.into_iter().map(|item| self.apply_once(item));
                items.collect::<Result<_, _>>().map(Value::List)
            }
            (_, other) => Err(self.wrong(LIST, &other)),
        }
    }

    fn apply_once(&self, value: Value) -> Result<Value, ConvertError> {
        let kind = self.kind();
        match (kind, &value) {
            (_, Value::Null | Value::Pending(_)) => return Ok(value),
            (Kind::Media, _) | (_, Value::Handle(_)) => return Ok(self.pending(value)),
            _ => {}
        }
        let value = match (self.format(), value) {
            (Some("path" | "url"), text @ Value::Text(_)) => return Ok(self.pending(text)),
            (Some("base64" | "data-uri"), Value::Text(text)) => self.decoded(&text)?,
            (_, value) => value,
        };
        match kind {
            Kind::Text => self.text(value).map(Value::Text),
            Kind::Integer => self.integer(&value).map(Value::Integer),
            Kind::Number => self.number(&value).map(Value::Float),
            Kind::Boolean => Ok(Value::Boolean(is_true(&value))),
            Kind::Json => self.parsed(value),
            Kind::Object => {
                let value = self.parsed(value)?;
                if value.as_map().is_none() {
                    return Err(self.wrong(MAP, &value));
                }
                Ok(value)
            }
            Kind::List => {
                let value = self.parsed(value)?;
                if value.as_list().is_none() {
                    return Err(self.wrong(LIST, &value));
                }
                Ok(value)
            }
            Kind::Base64 => {
                let encoded = if let Value::Bytes(bytes) = &value {
                    Base64::encode_string(bytes)
                } else {
                    Base64::encode_string(self.text(value)?.as_bytes())
                };
                Ok(Value::Text(encoded))
            }
            Kind::Media | Kind::Stream | Kind::None => Ok(value),
        }
    }

    fn pending(&self, content: Value) -> Value {
        Value::Pending(Box::new(Pending {
            content,
            conversion: self.clone(),
        }))
    }

    fn wrong(&self, wanted: &'static str, found: &Value) -> ConvertError {
        ConvertError::Input {
            conversion: self.to_string(),
            wanted,
            found: found.kind().to_owned(),
        }
    }

    fn text(&self, value: Value) -> Result<String, ConvertError> {
        if let Value::Text(text) = value {
            return Ok(text);
        }
        let form = value.text_form().map_err(|source| ConvertError::Text {
            conversion: self.to_string(),
            source,
        })?;
        Ok(form.into_owned())
    }

    /// The value of a text in JSON; any other value as it is.
    fn parsed(&self, value: Value) -> Result<Value, ConvertError> {
        let parsed = match (&value, value.as_text()) {
            (_, Some(text)) => Value::from_json(text.as_bytes()),
            (Value::Bytes(bytes), _) => Value::from_json(bytes),
            _ => return Ok(value),
        };
        parsed.map_err(|source| ConvertError::Json {
            conversion: self.to_string(),
            source,
        })
    }

    /// The bytes of a text in base64, which may be in a data URI.
    pub(crate) fn decoded(&self, text: &str) -> Result<Value, ConvertError> {
        let encoded = match text.strip_prefix("data:") {
            Some(uri) => uri.split_once(";base64,").map(|(_, encoded)| encoded),
            None => Some(text),
        };
        let bytes = encoded.and_then(|encoded| Base64::decode_vec(encoded.trim()).ok());
        match bytes {
            Some(bytes) => Ok(Value::Bytes(Arc::from(bytes))),
            None => Err(ConvertError::Base64 {
                conversion: self.to_string(),
            }),
        }
    }

    /// A float loses its fraction; a text with one is an error.
    fn integer(&self, value: &Value) -> Result<i128, ConvertError> {
        let found = match Scalar::of(value) {
            Some(Scalar::Integer(integer)) => Some(integer),
            // Text is the one checked way from a float to an integer.
            Some(Scalar::Float(float)) => format!("{:.0}", float.trunc()).parse().ok(),
            Some(Scalar::Text(text)) => digits(text).and_then(|text| text.parse().ok()),
            None => return Err(self.wrong("a whole number", value)),
        };
        found.ok_or_else(|| self.not_a_number("a whole number", value))
    }

    fn number(&self, value: &Value) -> Result<f64, ConvertError> {
        let found: Option<f64> = match Scalar::of(value) {
            Some(Scalar::Float(float)) => Some(float),
            // The nearest float, as text would be read.
            Some(Scalar::Integer(integer)) => integer.to_string().parse().ok(),
            Some(Scalar::Text(text)) => digits(text).and_then(|text| text.parse().ok()),
            None => return Err(self.wrong("a number", value)),
        };
        let finite = found.filter(|number| number.is_finite());
        finite.ok_or_else(|| self.not_a_number("a number", value))
    }

    fn not_a_number(&self, wanted: &'static str, value: &Value) -> ConvertError {
        let shown = value.text_form().unwrap_or_default();
        ConvertError::Input {
            conversion: self.to_string(),
            wanted,
            found: show(&shown),
        }
    }

    /// The maps of a list, of each what the paths lead to, under their last names.
    fn project(&self, list: Vec<Value>) -> Value {
        let paths: Vec<_> = self
            .choices()
            .map(|path| {
                let key = path.rsplit('.').next().unwrap_or(path);
                (key.to_owned(), relative_path(path))
            })
            .collect();
        let maps = list.into_iter().filter(|item| item.as_map().is_some());
        let projected = maps.map(|map| {
            if paths.is_empty() {
                return map;
            }
            let fields = paths.iter().map(|(key, path)| {
                let found = path.as_deref().map(|path| path::select(&map, path));
                (key.clone(), found.unwrap_or_default().into_owned())
            });
            Value::Map(fields.collect::<Map>())
        });
        Value::List(projected.collect())
    }
}

/// What a list conversion takes, and an object conversion.
const LIST: &str = "a list input";
const MAP: &str = "an object input";

/// A value that is or may say a number. Booleans are 0 and 1.
enum Scalar<'v> {
    Integer(i128),
    Float(f64),
    Text(&'v str),
}

impl<'v> Scalar<'v> {
    fn of(value: &'v Value) -> Option<Self> {
        match value {
            Value::Boolean(boolean) => Some(Self::Integer((*boolean).into())),
            Value::Integer(integer) => Some(Self::Integer(*integer)),
            Value::Float(float) => Some(Self::Float(*float)),
            Value::Text(text) => Some(Self::Text(text)),
            Value::Null
            | Value::List(_)
            | Value::Map(_)
            | Value::Bytes(_)
            | Value::Handle(_)
            | Value::Pending(_) => None,
        }
    }
}

/// `true` and `1`, however the letters are written; whatever else there is, is not.
fn is_true(value: &Value) -> bool {
    match Scalar::of(value) {
        Some(Scalar::Integer(integer)) => integer == 1,
        Some(Scalar::Text(text)) => text == "1" || text.eq_ignore_ascii_case("true"),
        Some(Scalar::Float(_)) | None => false,
    }
}

/// A text that may be a number, without the white space around it and the underscores in it.
fn digits(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > limits::NUMBER_BYTES {
        return None;
    }
    let is_between = |at: usize| {
        let digit = |at: Option<usize>| {
            at.and_then(|at| text.as_bytes().get(at))
                .is_some_and(u8::is_ascii_digit)
        };
        digit(at.checked_sub(1)) && digit(at.checked_add(1))
    };
    let mut underscores = text.match_indices('_');
    underscores
        .all(|(at, _)| is_between(at))
        .then(|| text.replace('_', ""))
}

#[cfg(test)]
mod tests;
