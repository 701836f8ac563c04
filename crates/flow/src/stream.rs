//! Content that comes piece by piece, as a [`Handle`] holds it.
//!
//! There are three kinds: bytes with a name and a type ([`ByteSource`]), events of a server
//! ([`EventSource`]), and values that an action yields one after the other ([`ValueSource`]). Each is
//! taken once, by whoever reads it; clones of a handle lead to the same one. A stream that breaks
//! ends with an error, never as if it were complete. Dropping it closes the connection behind it.

mod pieces;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

pub use self::pieces::Pieces;
use crate::expr::{Handle, HandleKind, Value};
use crate::model::component::StreamFormat;

/// Bytes as they come. After an error nothing follows.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>> + Send>>;

/// The data of one event after the other. After an error nothing follows.
pub type Events = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>> + Send>>;

/// One value after the other. After an error, which is a message for people, nothing follows.
pub type Values = Pin<Box<dyn Stream<Item = Result<Value, String>> + Send>>;

/// Why a stream cannot be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection broke, or what came over it was wrong.
    #[error("the stream broke off: {reason}")]
    Broken {
        /// What the connection says.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("the stream stalled: nothing came for {} s", .pause.as_secs_f64())]
    Stalled {
        /// How long.
        pause: Duration,
    },
    /// There is more of it than anybody wants in memory.
    #[error("there are more than {limit} bytes")]
    TooLong {
        /// How many bytes would have been fine.
        limit: usize,
    },
    /// Somebody has taken it before.
    #[error("the stream has been read already, and it can be read once")]
    Taken,
}

/// A stream that waits for whoever takes it.
struct Once<T>(Mutex<Option<T>>);

impl<T> Once<T> {
    fn new(stream: T) -> Self {
        Self(Mutex::new(Some(stream)))
    }

    fn take(&self) -> Result<T, StreamError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.take().ok_or(StreamError::Taken)
    }
}

/// Bytes, perhaps with a type, a name and a length.
pub struct ByteSource {
    content_type: Option<String>,
    file_name: Option<String>,
    length: Option<u64>,
    chunks: Once<Chunks>,
}

impl ByteSource {
    /// Bytes of which nothing is known.
    pub fn new(chunks: Chunks) -> Self {
        Self {
            content_type: None,
            file_name: None,
            length: None,
            chunks: Once::new(chunks),
        }
    }

    /// With a media type: `image/png`.
    #[must_use]
    pub fn with_content_type(mut self, content_type: Option<String>) -> Self {
        self.content_type = content_type;
        self
    }

    /// With the name of a file, which is no path.
    #[must_use]
    pub fn with_file_name(mut self, file_name: Option<String>) -> Self {
        self.file_name = file_name;
        self
    }

    /// With the number of bytes that the stream promises.
    #[must_use]
    pub fn with_length(mut self, length: Option<u64>) -> Self {
        self.length = length;
        self
    }

    /// The media type, if the sender told it.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The name of the file, if the sender told it: without folders and without control characters.
    pub fn file_name(&self) -> Option<&str> {
        self.file_name.as_deref()
    }

    /// How many bytes it has, if the sender told it. The stream is an error if it has fewer.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Takes the stream out.
    ///
    /// # Errors
    ///
    /// [`StreamError::Taken`].
    pub fn take(&self) -> Result<Chunks, StreamError> {
        self.chunks.take()
    }

    /// Reads it into memory.
    ///
    /// # Errors
    ///
    /// It breaks, it was taken, or it has more bytes than `limit`; no more than that are ever held.
    ///
    /// # Cancel safety
    ///
    /// What was read is lost, and the connection is closed.
    pub async fn read_all(&self, limit: usize) -> Result<Bytes, StreamError> {
        let chunks = self.take()?;
        if self.length.is_some_and(|length| length > as_u64(limit)) {
            return Err(StreamError::TooLong { limit });
        }
        collect(chunks, limit).await
    }

    /// The value that leads here.
    pub fn into_value(self) -> Value {
        Value::Handle(Handle::new(HandleKind::Bytes, Arc::new(self)))
    }

    /// What a handle leads to, if it is bytes.
    pub fn of(handle: &Handle) -> Option<Arc<Self>> {
        handle.held()
    }
}

/// Reads a stream into memory; at most `limit` bytes.
pub(crate) async fn collect(mut chunks: Chunks, limit: usize) -> Result<Bytes, StreamError> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if chunk.len() > limit.saturating_sub(whole.len()) {
            return Err(StreamError::TooLong { limit });
        }
        if whole.is_empty() {
            whole = BytesMut::from(chunk);
        } else {
            whole.extend_from_slice(&chunk);
        }
    }
    Ok(whole.freeze())
}

/// A `usize` is never wider than 64 bits here.
pub(crate) fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl fmt::Debug for ByteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteSource")
            .field("content_type", &self.content_type)
            .field("file_name", &self.file_name)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// What a server sends, one event after the other.
pub struct EventSource {
    events: Once<Events>,
}

impl EventSource {
    /// Events. Each is what its `data` lines say, joined by line feeds.
    pub fn new(events: Events) -> Self {
        Self {
            events: Once::new(events),
        }
    }

    /// Takes the stream out.
    ///
    /// # Errors
    ///
    /// [`StreamError::Taken`].
    pub fn take(&self) -> Result<Events, StreamError> {
        self.events.take()
    }

    /// Takes the stream out, each event read as the format says: what `response[]` is of each.
    ///
    /// # Errors
    ///
    /// [`StreamError::Taken`].
    pub fn take_values(&self, format: Option<StreamFormat>) -> Result<Values, StreamError> {
        let events = self.take()?;
        Ok(Box::pin(events.map(move |event| match event {
            Ok(data) => Ok(chunk_value(&data, format)),
            Err(error) => Err(error.to_string()),
        })))
    }

    /// The value that leads here.
    pub fn into_value(self) -> Value {
        Value::Handle(Handle::new(HandleKind::Events, Arc::new(self)))
    }

    /// What a handle leads to, if it is events of a server.
    pub fn of(handle: &Handle) -> Option<Arc<Self>> {
        handle.held()
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource").finish_non_exhaustive()
    }
}

/// What one chunk of a streamed answer is: as JSON, null if it is none (such as `[DONE]`); as text,
/// with `U+FFFD` for what is no UTF-8; without a format, bytes.
pub fn chunk_value(chunk: &[u8], format: Option<StreamFormat>) -> Value {
    match format {
        Some(StreamFormat::Json) => Value::from_json(chunk).unwrap_or(Value::Null),
        Some(StreamFormat::Text) => Value::Text(String::from_utf8_lossy(chunk).into_owned()),
        None => Value::Bytes(chunk.into()),
    }
}

/// What an action gives that yields one value after the other.
pub struct ValueSource {
    values: Once<Values>,
    are_lines: bool,
}

impl ValueSource {
    /// Values as they come. Texts among them are pieces of one text.
    pub fn new(values: Values) -> Self {
        Self {
            values: Once::new(values),
            are_lines: false,
        }
    }

    /// Values as they come, of which each text is a line without its end.
    pub fn of_lines(values: Values) -> Self {
        Self {
            values: Once::new(values),
            are_lines: true,
        }
    }

    /// Whether each text is a line of its own.
    pub fn are_lines(&self) -> bool {
        self.are_lines
    }

    /// Takes the stream out.
    ///
    /// # Errors
    ///
    /// [`StreamError::Taken`].
    pub fn take(&self) -> Result<Values, StreamError> {
        self.values.take()
    }

    /// The value that leads here; a stream of events to whoever asks for its kind.
    pub fn into_value(self) -> Value {
        Value::Handle(Handle::new(HandleKind::Events, Arc::new(self)))
    }

    /// What a handle leads to, if it is values.
    pub fn of(handle: &Handle) -> Option<Arc<Self>> {
        handle.held()
    }
}

impl fmt::Debug for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueSource").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn source(chunks: Vec<Result<Bytes, StreamError>>) -> ByteSource {
        ByteSource::new(Box::pin(stream::iter(chunks)))
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "a piece of a stream that can break"
    )]
    fn piece(text: &'static str) -> Result<Bytes, StreamError> {
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn a_stream_is_read_once_whoever_has_its_handle() {
        let value = source(vec![piece("ab"), piece("c")]).into_value();
        let copy = value.clone();
        let (Value::Handle(first), Value::Handle(second)) = (value, copy) else {
            panic!("not handles");
        };
        let first = ByteSource::of(&first).unwrap();
        assert_eq!(&first.read_all(3).await.unwrap()[..], b"abc");
        let second = ByteSource::of(&second).unwrap();
        assert_eq!(second.read_all(3).await, Err(StreamError::Taken));
        assert!(second.take().is_err());
    }

    #[tokio::test]
    async fn a_stream_that_is_too_long_or_breaks_is_an_error() {
        let long = source(vec![piece("ab"), piece("cd")]);
        let limit = 3;
        assert_eq!(
            long.read_all(limit).await,
            Err(StreamError::TooLong { limit })
        );
        let announced = source(vec![piece("ab")]).with_length(Some(9));
        assert_eq!(
            announced.read_all(limit).await,
            Err(StreamError::TooLong { limit })
        );
        let reason = "reset".to_owned();
        let broken = source(vec![piece("ab"), Err(StreamError::Broken { reason })]);
        let error = broken.read_all(limit).await.unwrap_err();
        assert_eq!(error.to_string(), "the stream broke off: reset");
    }

    #[tokio::test]
    async fn events_become_values_as_the_format_says() {
        let format = Some(StreamFormat::Json);
        let events = vec![piece("{\"a\":1}"), piece("[DONE]")];
        let source = EventSource::new(Box::pin(stream::iter(events)));
        let values: Vec<_> = source.take_values(format).unwrap().collect().await;
        let object = Value::from_json(b"{\"a\":1}").unwrap();
        assert_eq!(values, [Ok(object), Ok(Value::Null)]);
        let text = chunk_value(b"h\xffi", Some(StreamFormat::Text));
        assert_eq!(text, Value::from("h\u{fffd}i"));
        assert_eq!(chunk_value(b"hi", None), Value::Bytes((*b"hi").into()));
    }

    #[tokio::test]
    async fn values_are_found_behind_their_handle() {
        let values = vec![Ok(Value::Integer(1)), Err("gone".to_owned())];
        let source = ValueSource::new(Box::pin(stream::iter(values.clone())));
        let Value::Handle(handle) = source.into_value() else {
            panic!("no handle");
        };
        assert!(EventSource::of(&handle).is_none());
        let found = ValueSource::of(&handle).unwrap();
        let read: Vec<_> = found.take().unwrap().collect().await;
        assert_eq!(read, values);
    }
}
