//! Answers: bodies read as their `Content-Type` says.
//!
//! | `Content-Type` | value |
//! |---|---|
//! | `application/json`, `…+json` | the JSON, to a size, depth and number of values; null if there is no body; the text if the status is an error and it is none |
//! | `text/event-stream` | a handle to an [`EventSource`] |
//! | `text/…` | the text |
//! | another, or none | a handle to a [`ByteSource`]; null if there is no body |
//!
//! Text is UTF-8 unless it says Latin-1 or is no UTF-8, when each byte is the character of its number:
//! nothing is lost. Text that says another charset and is no UTF-8 is bytes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{AnswerError, AskError, causes, of_stream, shown};
use super::header::{MediaType, file_name, latin1};
use super::sse::EventParser;
use crate::expr::{Value, limits};
use crate::secrets::Secrets;
use crate::stream::{ByteSource, Chunks, EventSource, Events, StreamError, as_u64, collect};

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub value: Value,
}

/// The most bytes of an error's body that are read.
const ERROR_BYTES: usize = 64 << 10;

/// What reading may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes in memory.
    pub(super) bytes: usize,
    /// When everything that is held in memory has to be there.
    pub(super) deadline: Instant,
    /// The whole time until then, which is also the longest pause of a stream.
    pub(super) time: Duration,
}

/// Reads an answer.
pub(super) async fn read(
    response: reqwest::Response,
    asked: &str,
    limits: Limits,
) -> Result<Answer, AskError> {
    let status = response.status().as_u16();
    let length = response.content_length();
    let media_type = MediaType::parse(text_of(response.headers(), &CONTENT_TYPE));
    let is_text = media_type.essence.starts_with("text/");
    let is_events = media_type.essence == "text/event-stream";
    let is_empty = length == Some(0);
    let answer = |value| Ok(Answer { status, value });
    let refused = |reason| AskError::Answer {
        asked: asked.to_owned(),
        reason,
    };
    if is_empty && !is_text {
        return answer(Value::Null);
    }
    if is_text || media_type.is_json() {
        plain(response.headers()).map_err(refused)?;
    }
    if is_events {
        let events = events(chunks(response, limits.time));
        return answer(EventSource::new(events).into_value());
    }
    if is_text || media_type.is_json() {
        let bytes = whole(response, asked, limits).await?;
        if is_text {
            return answer(text(&bytes, media_type.charset.as_deref()));
        }
        return match json(&bytes, status) {
            Ok(value) => answer(value),
            // A proxy's page in place of the answer: the status says what there is to say.
            Err(AnswerError::Json { .. }) if status >= 400 => answer(text(&bytes, None)),
            Err(reason) => Err(refused(reason)),
        };
    }
    let content_type = text_of(response.headers(), &CONTENT_TYPE);
    let content_type = (!content_type.is_empty()).then(|| content_type.to_owned());
    let disposition = response.headers().get(CONTENT_DISPOSITION);
    // Servers send UTF-8 here though they should not.
    let disposition = disposition.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let file_name = disposition.and_then(|disposition| file_name(&disposition));
    let source = ByteSource::new(chunks(response, limits.time))
        .with_content_type(content_type)
        .with_file_name(file_name)
        .with_length(length);
    answer(source.into_value())
}

/// The body of an error for people; as much of it as is there in time.
pub(super) async fn error_body(
    response: reqwest::Response,
    limits: Limits,
    secrets: &Secrets,
) -> String {
    if let Err(AnswerError::Encoded { encoding }) = plain(response.headers()) {
        return format!("({})", shown(encoding.as_bytes(), secrets));
    }
    let mut chunks = chunks(response, limits.time);
    let mut body = Vec::new();
    while body.len() < ERROR_BYTES {
        match timeout_at(limits.deadline, chunks.next()).await {
            Ok(Some(Ok(chunk))) => body.extend_from_slice(&chunk),
            Ok(Some(Err(_)) | None) | Err(_) => break,
        }
    }
    shown(&body, secrets)
}

/// A header's text; nothing if there is none, or if it is not of visible ASCII.
fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// That a body is not compressed.
fn plain(headers: &HeaderMap) -> Result<(), AnswerError> {
    let encoding = text_of(headers, &CONTENT_ENCODING).trim();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return Ok(());
    }
    Err(AnswerError::Encoded {
        encoding: encoding.to_owned(),
    })
}

/// The body as it comes; an error if nothing comes for so long.
fn chunks(response: reqwest::Response, pause: Duration) -> Chunks {
    let chunks = stream::unfold(Some(response), move |response| async move {
        let mut response = response?;
        match timeout(pause, response.chunk()).await {
            Ok(Ok(Some(chunk))) => Some((Ok(chunk), Some(response))),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => {
                let reason = causes(&error.without_url());
                Some((Err(StreamError::Broken { reason }), None))
            }
            Err(_) => Some((Err(StreamError::Stalled { pause }), None)),
        }
    });
    // Whoever asks once more than there is gets nothing.
    chunks.fuse().boxed()
}

/// The events of a body. None is kept that nobody has asked for, but those of one chunk.
fn events(chunks: Chunks) -> Events {
    let start = (Some(chunks), EventParser::new());
    let events = stream::unfold(start, |(mut chunks, mut parser)| async move {
        loop {
            if let Some(event) = parser.next_event() {
                return Some((Ok(event), (chunks, parser)));
            }
            let read = match chunks.as_mut()?.next().await? {
                Ok(chunk) => parser.push(&chunk),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                return Some((Err(error), (None, parser)));
            }
        }
    });
    events.fuse().boxed()
}

/// The whole body.
async fn whole(
    response: reqwest::Response,
    asked: &str,
    limits: Limits,
) -> Result<Bytes, AskError> {
    let limit = limits.bytes;
    let length = response.content_length();
    let read = async {
        if length.is_some_and(|length| length > as_u64(limit)) {
            return Err(StreamError::TooLong { limit });
        }
        collect(chunks(response, limits.time), limit).await
    };
    let read = timeout_at(limits.deadline, read).await;
    let read = read.unwrap_or(Err(StreamError::Stalled { pause: limits.time }));
    read.map_err(|error| of_stream(error, asked.to_owned()))
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn text(bytes: &[u8], charset: Option<&str>) -> Value {
    let is_latin1 = |name| matches!(name, "iso-8859-1" | "latin1" | "latin-1");
    if charset.is_some_and(is_latin1) {
        return Value::Text(latin1(bytes));
    }
    if let Ok(text) = std::str::from_utf8(without_mark(bytes)) {
        return text.into();
    }
    match charset {
        None | Some("utf-8" | "utf8" | "us-ascii") => Value::Text(latin1(bytes)),
        Some(_) => Value::Bytes(bytes.into()),
    }
}

/// The most values of one answer: as many as an evaluation may make.
const VALUES: usize = limits::OUTPUT_BYTES / limits::VALUE_BYTES;

fn json(bytes: &[u8], status: u16) -> Result<Value, AnswerError> {
    let bytes = without_mark(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    if separators(bytes) >= VALUES {
        return Err(AnswerError::Values { limit: VALUES });
    }
    Value::from_json(bytes).map_err(|error| AnswerError::Json {
        status,
        reason: error.to_string(),
    })
}

/// How many values a JSON text begins at most, without the first.
fn separators(json: &[u8]) -> usize {
    let mut count = 0_usize;
    let mut is_quoted = false;
    let mut is_escaped = false;
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' | b'[' | b'{' if !is_quoted => count = count.saturating_add(1),
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_loses_nothing_whatever_its_charset() {
        for (bytes, charset, value) in [
            ("한".as_bytes(), None, Value::from("한")),
            ("한".as_bytes(), Some("utf-8"), Value::from("한")),
            ("한".as_bytes(), Some("euc-kr"), Value::from("한")),
            (b"\xef\xbb\xbfa", None, Value::from("a")),
            (b"caf\xe9", None, Value::from("café")),
            (b"caf\xe9", Some("utf-8"), Value::from("café")),
            (b"caf\xe9", Some("iso-8859-1"), Value::from("café")),
            (b"\xc3\xa9", Some("iso-8859-1"), Value::from("Ã©")),
            (
                b"\xb0\xa1",
                Some("euc-kr"),
                Value::Bytes((*b"\xb0\xa1").into()),
            ),
            (b"", None, Value::from("")),
        ] {
            assert_eq!(text(bytes, charset), value, "{bytes:?} {charset:?}");
        }
    }

    #[test]
    fn json_of_too_many_values_is_refused_before_it_is_read() {
        let many = format!("[{}0]", "0,".repeat(VALUES));
        let error = json(many.as_bytes(), 200).unwrap_err();
        assert_eq!(error, AnswerError::Values { limit: VALUES });
        // What is in a text is no value.
        let text = format!("\"{}\\\",,,\"", ",".repeat(VALUES));
        assert!(json(text.as_bytes(), 200).is_ok());
        assert_eq!(separators(br#"{"a,[{\"": [1, {"b": 2}]}"#), 4);
    }

    #[test]
    fn json_that_is_none_says_where() {
        let error = json(b"{\"secret\": hush}", 502).unwrap_err();
        let text = "the answer (status 502) is no JSON: expected value at line 1 column 12";
        assert_eq!(error.to_string(), text);
        assert_eq!(json(b" \n", 200), Ok(Value::Null));
        assert_eq!(json(b"\xef\xbb\xbf1", 200), Ok(Value::Integer(1)));
    }
}
