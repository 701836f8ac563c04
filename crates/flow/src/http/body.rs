//! Bodies: values written as the outgoing `Content-Type` says.
//!
//! | `Content-Type` | body |
//! |---|---|
//! | `application/json`, `…+json` | compact JSON in the order of its keys; bytes and byte streams as they are |
//! | `application/x-www-form-urlencoded` | the entries of an object, a list as one for each value, null as none; text as it is |
//! | `multipart/form-data` | the entries of an object; bytes and byte streams are files; the boundary is ours |
//! | another | text, bytes and byte streams as they are; anything else as its text form |
//! | none | objects, lists, numbers and booleans are JSON, text is `text/plain`, bytes are `application/octet-stream` |

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::header::MediaType;
use super::multipart;
use super::request::RequestError;
use super::url::texts;
use crate::expr::{Handle, Value};
use crate::stream::{ByteSource, Chunks, as_u64};

/// What is sent after the headers.
pub(super) enum Body {
    /// Nothing.
    Empty,
    /// What can be sent again.
    Bytes(Bytes),
    /// What can be sent once.
    Stream {
        chunks: Chunks,
        /// None is sent in chunks.
        length: Option<u64>,
    },
}

impl Body {
    /// A body of several pieces.
    pub(super) fn of_pieces(pieces: Vec<Self>) -> Self {
        let is_whole = |piece: &Self| matches!(piece, Self::Bytes(_) | Self::Empty);
        if pieces.iter().all(is_whole) {
            let mut whole = Vec::new();
            for piece in pieces {
                if let Self::Bytes(bytes) = piece {
                    whole.extend_from_slice(&bytes);
                }
            }
            return Self::Bytes(whole.into());
        }
        let mut length = pieces.iter().map(Self::length);
        let length = length.try_fold(0, |sum: u64, length| sum.checked_add(length?));
        let chunks = pieces.into_iter().map(|piece| match piece {
            Self::Empty => stream::empty().boxed(),
            Self::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Self::Stream { chunks, .. } => chunks,
        });
        Self::Stream {
            chunks: stream::iter(chunks).flatten().boxed(),
            length,
        }
    }

    fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(as_u64(bytes.len())),
            Self::Stream { length, .. } => *length,
        }
    }
}

/// Writes a body, and sets the `Content-Type` that says how where none was given.
pub(super) fn write(body: Option<&Value>, headers: &mut HeaderMap) -> Result<Body, RequestError> {
    let Some(body) = body.filter(|body| !body.is_null()) else {
        return Ok(Body::Empty);
    };
    let Some(given) = headers.get(CONTENT_TYPE) else {
        let (content_type, written) = untyped(body)?;
        headers.insert(CONTENT_TYPE, content_type);
        return Ok(written);
    };
    // A type in other than visible ASCII is none of those below.
    let media_type = MediaType::parse(given.to_str().unwrap_or_default());
    if media_type.is_json() {
        if matches!(body, Value::Bytes(_) | Value::Handle(_)) {
            return raw(body, &media_type.essence);
        }
        return json(body);
    }
    match media_type.essence.as_str() {
        "application/x-www-form-urlencoded" => form(body, &media_type.essence),
        "multipart/form-data" => {
            let (content_type, written) = multipart::write(body)?;
            headers.insert(CONTENT_TYPE, content_type);
            Ok(written)
        }
        other => raw(body, other),
    }
}

/// What a value is where nobody has said.
fn untyped(body: &Value) -> Result<(HeaderValue, Body), RequestError> {
    let name = match body {
        Value::Map(_)
        | Value::List(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Null
        | Value::Pending(_) => {
            return Ok((HeaderValue::from_static("application/json"), json(body)?));
        }
        Value::Text(_) => HeaderValue::from_static("text/plain; charset=utf-8"),
        Value::Bytes(_) => HeaderValue::from_static(OCTETS),
        Value::Handle(handle) => ByteSource::of(handle)
            .and_then(|source| HeaderValue::from_str(source.content_type()?).ok())
            .unwrap_or(HeaderValue::from_static(OCTETS)),
    };
    Ok((name, raw(body, OCTETS)?))
}

const OCTETS: &str = "application/octet-stream";

fn json(body: &Value) -> Result<Body, RequestError> {
    match body.to_json() {
        Ok(json) => Ok(Body::Bytes(json.into())),
        Err(error) => Err(refused("application/json", &error)),
    }
}

/// Text and bytes as they are.
fn raw(body: &Value, content_type: &str) -> Result<Body, RequestError> {
    if let Value::Bytes(bytes) = body {
        return Ok(Body::Bytes(Bytes::from_owner(Arc::clone(bytes))));
    }
    if let Value::Handle(handle) = body {
        return of_handle(handle, content_type);
    }
    match body.text_form() {
        Ok(text) => Ok(Body::Bytes(text.into_owned().into())),
        Err(error) => Err(refused(content_type, &error)),
    }
}

/// The bytes that a handle leads to.
pub(super) fn of_handle(handle: &Handle, content_type: &str) -> Result<Body, RequestError> {
    let Some(source) = ByteSource::of(handle) else {
        return Err(refused(content_type, &"an event stream is no body"));
    };
    Ok(Body::Stream {
        chunks: source.take()?,
        length: source.length(),
    })
}

fn form(body: &Value, content_type: &str) -> Result<Body, RequestError> {
    if matches!(body, Value::Text(_) | Value::Bytes(_) | Value::Handle(_)) {
        return raw(body, content_type);
    }
    let Value::Map(map) = body else {
        return Err(refused(content_type, &wanted_object(body)));
    };
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in map {
        for text in texts(value) {
            let text = text.map_err(|error| refused(content_type, &named(name, &error)))?;
            form.append_pair(name, &text);
        }
    }
    Ok(Body::Bytes(form.finish().into()))
}

/// Why there is no body of this type.
pub(super) fn refused(content_type: &str, reason: &dyn fmt::Display) -> RequestError {
    RequestError::Body {
        content_type: content_type.to_owned(),
        reason: reason.to_string(),
    }
}

pub(super) fn wanted_object(value: &Value) -> String {
    format!("an object is wanted, not {}", value.kind())
}

pub(super) fn named(name: &str, error: &dyn fmt::Display) -> String {
    format!("{}: {error}", name.escape_debug())
}

#[cfg(test)]
mod tests;
