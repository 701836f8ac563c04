//! Bodies of requests: read within limits, and what they mean by their type.
//!
//! | `Content-Type` | value |
//! |---|---|
//! | `application/json`, `application/*+json` | what the JSON says |
//! | `application/x-www-form-urlencoded` | a map of texts |
//! | `multipart/form-data` | a map of texts, and of bytes where a part has a file's name or is not UTF-8 |
//! | `text/*` | the text, or bytes if it is not UTF-8 |
//! | another one, or none | bytes, or null if there are none |
//!
//! A form's key that is there several times has a list of its values.

mod form;
mod multipart;
mod words;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub(crate) use self::words::invalid;
use crate::expr::{JsonError, Map, Value};

/// The most fields of a form and of a query: far more than any form has, and few enough that none is
/// worth sending for its cost.
pub const FIELDS: usize = 1_000;

/// How long a body may take to arrive. A megabyte in that time is 280 kbit/s.
pub const WITHIN: Duration = Duration::from_secs(30);

/// What bodies together may have in memory while they are read and worked on. Clones share it.
///
/// It is taken as bytes arrive, so that nobody reserves what he does not send.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Room {
    /// For so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// How many bytes more there is room for.
    pub fn left(&self) -> usize {
        self.0.available_permits()
    }
}

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub struct Allowance<'r> {
    /// Its most bytes.
    pub bytes: u64,
    /// How long it may take to arrive.
    pub within: Duration,
    /// Where it is kept.
    pub room: &'r Room,
}

/// A body as it came. Dropping it gives its room back.
#[derive(Debug)]
pub struct Received {
    bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

impl Received {
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Why there is no body. The connection cannot be used again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// It is longer than it may be; no more of it is read than that.
    #[error("the body has more than {limit} bytes")]
    Long {
        /// The most bytes.
        limit: u64,
    },
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    Slow,
    /// Other bodies have all the room.
    #[error("there is no room for the body")]
    NoRoom,
    /// The peer has gone, or does not keep to HTTP.
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
}

impl ReceiveError {
    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Long { .. } => 413,
            Self::Slow => 408,
            Self::NoRoom => 503,
            Self::Broken(_) => 400,
        }
    }
}

/// Reads a body. One whose announced length is too much is not begun.
///
/// # Errors
///
/// If it is longer, slower or more than it may be, or breaks off.
///
/// # Cancel safety
///
/// Dropping the future drops the body.
pub async fn receive(body: Body, allowance: Allowance<'_>) -> Result<Received, ReceiveError> {
    let limit = allowance.bytes;
    if body.size_hint().lower() > limit {
        return Err(ReceiveError::Long { limit });
    }
    match timeout(allowance.within, collect(body, limit, allowance.room)).await {
        Ok(received) => received,
        Err(_) => Err(ReceiveError::Slow),
    }
}

async fn collect(mut body: Body, limit: u64, room: &Room) -> Result<Received, ReceiveError> {
    let mut bytes = Vec::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        // Trailers mean nothing here.
        let Ok(chunk) = frame.map_err(ReceiveError::Broken)?.into_data() else {
            continue;
        };
        let length = u64::try_from(bytes.len().saturating_add(chunk.len()));
        if length.map_or(true, |length| length > limit) {
            return Err(ReceiveError::Long { limit });
        }
        let wanted = u32::try_from(chunk.len()).map_err(|_| ReceiveError::NoRoom)?;
        let more = Arc::clone(&room.0).try_acquire_many_owned(wanted);
        let more = more.map_err(|_| ReceiveError::NoRoom)?;
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Received {
        bytes: bytes.into(),
        _held: held,
    })
}

/// What a `Content-Type` says of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JSON.
    Json,
    /// A form as browsers send it.
    Form,
    /// A form with files.
    Multipart,
    /// Text.
    Text,
    /// There is none, or it is empty.
    Missing,
    /// Anything else.
    Other,
}

impl Kind {
    /// What this header's value says; letters have no case, and parameters do not count.
    pub fn of(content_type: Option<&str>) -> Self {
        let content_type = content_type.unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        match essence.split_once('/') {
            None if essence.is_empty() => Self::Missing,
            Some(("application", "json")) => Self::Json,
            Some(("application", subtype)) if subtype.ends_with("+json") => Self::Json,
            Some(("application", "x-www-form-urlencoded")) => Self::Form,
            Some(("multipart", "form-data")) => Self::Multipart,
            Some(("text", _)) => Self::Text,
            _ => Self::Other,
        }
    }
}

/// What brackets in a form's keys mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nothing.
    Plain,
    /// `a[b]` is `b` of the map `a`, and `a[]` one more item of the list `a`. Other keys with brackets
    /// are what they are.
    Nested,
}

/// Why a body means nothing. The texts say where and quote nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// It is no JSON, or too deep.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// There are more fields than may be.
    #[error("more than {FIELDS} fields")]
    Fields,
    /// A key has more brackets than may be.
    #[error("more than {} brackets in a field's name", form::DEPTH)]
    Depth,
    /// A key is a text here and a map or list there.
    #[error("a field's name stands for two kinds of values")]
    Conflict,
    /// It is no `multipart/form-data`, or a part of it has no name.
    #[error("malformed multipart/form-data")]
    Multipart,
}

/// What a body means.
///
/// # Errors
///
/// If it is not what its type says.
///
/// # Cancel safety
///
/// Dropping the future changes nothing. It never waits: everything is there.
pub async fn read(
    content_type: Option<&str>,
    body: Bytes,
    keys: Keys,
) -> Result<Value, ContentError> {
    match Kind::of(content_type) {
        Kind::Json => Ok(Value::from_json(body.strip_prefix(BOM).unwrap_or(&body))?),
        Kind::Form => form::read(&body, keys),
        Kind::Multipart => {
            let content_type = content_type.unwrap_or_default();
            multipart::read(content_type, body, keys).await
        }
        Kind::Text => Ok(text(&body)),
        Kind::Missing | Kind::Other if body.is_empty() => Ok(Value::Null),
        Kind::Missing | Kind::Other => Ok(Value::Bytes(body.as_ref().into())),
    }
}

/// What follows the question mark of a URL: a map, in which a key that is there several times has its
/// last value.
///
/// # Errors
///
/// If there are more than [`FIELDS`].
pub fn query(text: Option<&str>) -> Result<Value, ContentError> {
    let mut map = Map::new();
    let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
    for (count, (key, value)) in pairs.enumerate() {
        if count == FIELDS {
            return Err(ContentError::Fields);
        }
        map.insert(key.into_owned(), Value::Text(value.into_owned()));
    }
    Ok(Value::Map(map))
}

/// Text if it is UTF-8, and the bytes otherwise.
fn text(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::Bytes(bytes.into()),
    }
}

/// Senders on Windows put it before JSON; RFC 8259, 8.1, lets a reader pass over it.
const BOM: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests;
