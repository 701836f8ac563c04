//! A stream as it is written to whoever reads it as text or as a file.
//!
//! Bytes leave as they are. Of values, texts leave as they are, one after the other, since a model's
//! answer comes in pieces of words; where each is a line of its own, with a line end behind it. Other
//! values are one line of compact JSON each, and null is passed over. Values end with a line end.

use bytes::{Bytes, BytesMut};
use futures_util::stream::Fuse;
use futures_util::{FutureExt as _, StreamExt as _};

use super::{ByteSource, Chunks, EventSource, StreamError, ValueSource, Values};
use crate::expr::Value;

/// What is left of a stream.
pub struct Pieces {
    rest: Rest,
    /// Why there is no more of it, once what came before is told.
    broken: Option<String>,
}

/// Bytes from which on a piece is not made longer by what is there already: many short lines cost as
/// little as a file does then.
const ENOUGH: usize = 64 << 10;

enum Rest {
    Bytes(Fuse<Chunks>),
    Values {
        values: Values,
        are_lines: bool,
        /// Whether the next piece begins a line.
        is_at_line: bool,
        is_over: bool,
    },
}

impl Pieces {
    /// Takes the stream of a value; None if that is no stream.
    ///
    /// # Errors
    ///
    /// [`StreamError::Taken`].
    pub fn take(value: &Value) -> Result<Option<Self>, StreamError> {
        let Value::Handle(handle) = value else {
            return Ok(None);
        };
        let (values, are_lines) = if let Some(source) = ByteSource::of(handle) {
            return Ok(Some(Self::new(Rest::Bytes(source.take()?.fuse()))));
        } else if let Some(source) = ValueSource::of(handle) {
            (source.take()?, source.are_lines())
        } else if let Some(source) = EventSource::of(handle) {
            (source.take_values(None)?, false)
        } else {
            return Ok(None);
        };
        Ok(Some(Self::new(Rest::Values {
            values,
            are_lines,
            is_at_line: true,
            is_over: false,
        })))
    }

    fn new(rest: Rest) -> Self {
        Self { rest, broken: None }
    }

    /// What is written next, never nothing: all that is there, or what comes first. None at the end.
    ///
    /// # Errors
    ///
    /// The stream broke off; the error is a message for people, and nothing follows.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let Some(first) = self.rest.next().await? else {
            return Ok(None);
        };
        let mut piece = BytesMut::from(first);
        while piece.len() < ENOUGH {
            match self.rest.next().now_or_never() {
                Some(Ok(Some(more))) => piece.extend_from_slice(&more),
                Some(Err(error)) => {
                    self.broken = Some(error);
                    break;
                }
                Some(Ok(None)) | None => break,
            }
        }
        Ok(Some(piece.freeze()))
    }
}

impl Rest {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Bytes(chunks) => loop {
                match chunks.next().await {
                    Some(Ok(chunk)) if chunk.is_empty() => {}
                    Some(chunk) => return chunk.map(Some).map_err(|error| error.to_string()),
                    None => return Ok(None),
                }
            },
            Self::Values {
                values,
                are_lines,
                is_at_line,
                is_over,
            } => {
                while !*is_over {
                    let piece = if let Some(value) = values.next().await {
                        written(&value?, *are_lines, *is_at_line)?
                    } else {
                        *is_over = true;
                        Vec::from(if *is_at_line { "" } else { "\n" })
                    };
                    if let Some(last) = piece.last() {
                        *is_at_line = *last == b'\n';
                        return Ok(Some(piece.into()));
                    }
                }
                Ok(None)
            }
        }
    }
}

fn written(value: &Value, are_lines: bool, is_at_line: bool) -> Result<Vec<u8>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Text(text) => {
            let end = if are_lines { "\n" } else { "" };
            Ok(format!("{text}{end}").into_bytes())
        }
        Value::Bytes(bytes) => Ok(bytes.to_vec()),
        Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Handle(_)
        | Value::Pending(_) => {
            let json = value.to_json();
            let json = json.map_err(|error| format!("a value of the stream: {error}"))?;
            let begin = if is_at_line { "" } else { "\n" };
            Ok(format!("{begin}{json}\n").into_bytes())
        }
    }
}

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn all(value: &Value) -> Result<String, String> {
        let mut pieces = Pieces::take(value).unwrap().unwrap();
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await? {
            assert!(!piece.is_empty());
            whole.extend_from_slice(&piece);
        }
        assert_eq!(pieces.next().await, Ok(None));
        Ok(String::from_utf8(whole).unwrap())
    }

    fn values(values: &[Value]) -> Values {
        let values: Vec<_> = values.iter().cloned().map(Ok).collect();
        Box::pin(stream::iter(values))
    }

    #[tokio::test]
    async fn texts_are_put_together_and_other_values_are_lines() {
        let object = Value::from_json(br#"{"n": [1, "ab"]}"#).unwrap();
        for (given, expected) in [
            (vec![], ""),
            (vec![Value::Null, Value::from("")], ""),
            (vec![Value::from("Hel"), Value::from("lo")], "Hello\n"),
            (vec![Value::from("a\n")], "a\n"),
            (
                vec![Value::from("a"), object.clone(), Value::from("b"), object],
                "a\n{\"n\":[1,\"ab\"]}\nb\n{\"n\":[1,\"ab\"]}\n",
            ),
            (
                vec![Value::Bytes((*b"x").into()), Value::Integer(1)],
                "x\n1\n",
            ),
        ] {
            let value = ValueSource::new(values(&given)).into_value();
            assert_eq!(all(&value).await.as_deref(), Ok(expected), "{given:?}");
        }
        let given = [Value::from("one"), Value::from(""), Value::from("two")];
        let value = ValueSource::of_lines(values(&given)).into_value();
        assert_eq!(all(&value).await.as_deref(), Ok("one\n\ntwo\n"));
    }

    #[tokio::test]
    async fn bytes_and_events_are_as_they_came() {
        let chunks = ["ab", "", "c"].map(|chunk| Ok(Bytes::from(chunk)));
        let bytes = ByteSource::new(Box::pin(stream::iter(chunks.clone()))).into_value();
        assert_eq!(all(&bytes).await.as_deref(), Ok("abc"));
        let events = EventSource::new(Box::pin(stream::iter(chunks))).into_value();
        assert_eq!(all(&events).await.as_deref(), Ok("abc\n"));
        assert_eq!(Pieces::take(&events).unwrap_err(), StreamError::Taken);
        assert!(Pieces::take(&Value::from("ab")).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_an_error() {
        let broken = [Ok(Value::from("one")), Err(String::from("it broke"))];
        let value = ValueSource::new(Box::pin(stream::iter(broken))).into_value();
        let mut pieces = Pieces::take(&value).unwrap().unwrap();
        assert_eq!(&pieces.next().await.unwrap().unwrap()[..], b"one");
        assert_eq!(pieces.next().await.unwrap_err(), "it broke");
        // What has no text form is not passed over in silence.
        let inside = ValueSource::new(values(&[])).into_value();
        let value = ValueSource::new(values(&[inside])).into_value();
        let error = all(&value).await.unwrap_err();
        assert!(error.starts_with("a value of the stream: "), "{error}");
    }
}
