//! Bodies of requests: JSON, forms, and forms with files, as values.
//!
//! A form's keys nest: `input[data]=x` is `{"input":{"data":"x"}}`, and `k[]=1&k[]=2` a list. A part of a
//! multipart form with a file name is bytes, any other a text.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use tokio::time::timeout;

use crate::expr::{Map, Value, limits};

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("Missing or empty Content-Type header.")]
    NoKind,
    #[error("Unsupported Content-Type: {0}")]
    Kind(String),
    #[error("Invalid request body: {0}")]
    Invalid(String),
    #[error("Request body is too large.")]
    TooLarge,
    #[error("Request body took too long.")]
    TooSlow,
    #[error("Request body was cut off.")]
    Cut,
}

impl BodyError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoKind | Self::Kind(_) | Self::Invalid(_) | Self::Cut => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// Reads a body as its `Content-Type` says.
///
/// # Cancel safety
///
/// What was read is lost.
pub(super) async fn read(parts: Parts, body: Body) -> Result<Value, BodyError> {
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    match kind.as_str() {
        "" => Err(BodyError::NoKind),
        "application/json" => json(&whole(body, BODY_BYTES, BODY_TIME).await?),
        "application/x-www-form-urlencoded" => form(&whole(body, BODY_BYTES, BODY_TIME).await?),
        "multipart/form-data" => {
            let bytes = whole(body, UPLOAD_BYTES, UPLOAD_TIME).await?;
            multipart(parts, bytes).await
        }
        _ => Err(BodyError::Kind(kind.chars().take(SHOWN).collect())),
    }
}

async fn whole(body: Body, most: usize, time: Duration) -> Result<Bytes, BodyError> {
    // What announces itself as larger is not read at all.
    let announced = axum::body::HttpBody::size_hint(&body).lower();
    if announced > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge);
    }
    match timeout(time, to_bytes(body, most)).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Ok(bytes)) => Ok(bytes),
        // A limit that was met has no source; what the peer did has one below it.
        Ok(Err(error)) => Err(if is_cut(&error) {
            BodyError::Cut
        } else {
            BodyError::TooLarge
        }),
    }
}

/// Whether a body ended by its sender's doing.
fn is_cut(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<hyper::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Reads JSON. An error has the words that model-compose's has, as far as they are alike.
pub(super) fn json(bytes: &[u8]) -> Result<Value, BodyError> {
    Value::from_json(bytes).map_err(|error| BodyError::Invalid(reworded(&error.to_string(), bytes)))
}

/// An error of the JSON reader, in the words of Python's: `Expecting value: line 1 column 1 (char 0)`.
fn reworded(error: &str, bytes: &[u8]) -> String {
    let Some((message, place)) = error.rsplit_once(" at line ") else {
        return error.to_owned();
    };
    let Some((line, column)) = place.split_once(" column ") else {
        return error.to_owned();
    };
    let (Ok(line), Ok(column)) = (line.parse::<usize>(), column.parse::<usize>()) else {
        return error.to_owned();
    };
    let message = match message {
        "key must be a string" | "trailing comma" => {
            "Expecting property name enclosed in double quotes"
        }
        "expected value" | "EOF while parsing a value" => "Expecting value",
        "expected `:`" => "Expecting ':' delimiter",
        "expected `,` or `}`"
        | "expected `,` or `]`"
        | "EOF while parsing an object"
        | "EOF while parsing a list" => "Expecting ',' delimiter",
        "trailing characters" => "Extra data",
        "EOF while parsing a string" => "Unterminated string",
        other => other,
    };
    let before = bytes.split(|byte| *byte == b'\n');
    let before = before.take(line.saturating_sub(1));
    let before: usize = before.map(|line| line.len().saturating_add(1)).sum();
    // At the end the reader names the last character, and Python the one that is missing.
    let column = if error.starts_with("EOF") {
        column.saturating_add(1)
    } else {
        column
    };
    let character = before.saturating_add(column.saturating_sub(1));
    format!("{message}: line {line} column {column} (char {character})")
}

fn form(bytes: &[u8]) -> Result<Value, BodyError> {
    let mut fields = Fields::default();
    for (key, value) in form_urlencoded::parse(bytes) {
        fields.put(&key, Value::Text(value.into_owned()))?;
    }
    Ok(fields.root)
}

async fn multipart(parts: Parts, bytes: Bytes) -> Result<Value, BodyError> {
    let mut request = Request::from_parts(parts, Body::from(bytes));
    // The bytes are here, and counted.
    DefaultBodyLimit::disable().apply(&mut request);
    let parts = Multipart::from_request(request, &()).await;
    let mut parts = parts.map_err(|rejection| BodyError::Invalid(rejection.body_text()))?;
    let invalid = |error: MultipartError| BodyError::Invalid(error.body_text());
    let mut fields = Fields::default();
    while let Some(part) = parts.next_field().await.map_err(invalid)? {
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part.file_name().is_some();
        let bytes = part.bytes().await.map_err(invalid)?;
        let value = if is_file {
            Value::Bytes(bytes.as_ref().into())
        } else {
            let text = String::from_utf8(bytes.into());
            Value::Text(text.map_err(|_| BodyError::Invalid("a field is not UTF-8".to_owned()))?)
        };
        fields.put(&name, value)?;
    }
    Ok(fields.root)
}

/// The fields of a form, as they come together.
#[derive(Debug)]
struct Fields {
    root: Value,
    count: usize,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            root: Value::Map(Map::new()),
            count: 0,
        }
    }
}

impl Fields {
    fn put(&mut self, key: &str, value: Value) -> Result<(), BodyError> {
        self.count = self.count.saturating_add(1);
        if self.count > FIELDS {
            return Err(BodyError::Invalid(format!("more than {FIELDS} fields")));
        }
        let path = path(key);
        if path.len() > limits::JSON_DEPTH {
            let message = format!("a field inside more than {} others", limits::JSON_DEPTH);
            return Err(BodyError::Invalid(message));
        }
        let mut slot = &mut self.root;
        for step in path {
            slot = enter(slot, step);
        }
        *slot = value;
        Ok(())
    }
}

/// `a[b][]` as its steps; a key whose brackets do not pair is one step.
fn path(key: &str) -> Vec<&str> {
    let Some((first, rest)) = key.split_once('[') else {
        return vec![key];
    };
    match rest.strip_suffix(']') {
        Some(rest) if !first.is_empty() => {
            let steps: Vec<&str> = rest.split("][").collect();
            if steps.iter().any(|step| step.contains(['[', ']'])) {
                return vec![key];
            }
            let mut path = vec![first];
            path.extend(steps);
            path
        }
        Some(_) | None => vec![key],
    }
}

/// The place below a value: in a list for an empty step, else in a map. What is there and is neither
/// is replaced.
fn enter<'v>(slot: &'v mut Value, step: &str) -> &'v mut Value {
    if step.is_empty() {
        if !matches!(slot, Value::List(_)) {
            *slot = Value::List(Vec::new());
        }
        if let Value::List(list) = slot {
            return list.push_mut(Value::Null);
        }
    } else {
        if !matches!(slot, Value::Map(_)) {
            *slot = Value::Map(Map::new());
        }
        if let Value::Map(map) = slot {
            return map.entry(step.to_owned()).or_default();
        }
    }
    slot
}

/// Most bytes of JSON and of a form (security rule G89).
const BODY_BYTES: usize = 1 << 20;
/// Within this they have come.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Most bytes of a form with files: a photograph or some minutes of speech.
const UPLOAD_BYTES: usize = 16 << 20;
/// Within this they have come: at 1 Mbit/s 16 MiB take longer, but those who ask are near.
const UPLOAD_TIME: Duration = Duration::from_secs(120);
/// Most fields of a form (security rule G89).
const FIELDS: usize = 1000;
/// How much of a content type that nobody knows is shown again.
const SHOWN: usize = 100;

#[cfg(test)]
mod tests;
