//! What a run gave, alone: the only place that knows how an output leaves.
//!
//! | output | answer |
//! |---|---|
//! | bytes, and a stream of them | as they are, with the sender's type and file name if there are such |
//! | values or events one after the other | `text/event-stream`: a text as it is, others as JSON, null passed over |
//! | anything else | JSON |
//!
//! A stream is read once, by whoever asks first. One that breaks off ends its answer unfinished, so
//! that nobody takes it for the whole. Bytes may be anybody's page, so no browser shows them as one of
//! ours: they are an attachment, in a sandbox.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use futures_util::StreamExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::debug;

use super::answer;
use super::task::{self, Shown};
use crate::exec::{Report, Status};
use crate::expr::{Handle, Value};
use crate::stream::{ByteSource, EventSource, StreamError, ValueSource, Values};

/// What a run gave, as it is, or why it gave nothing.
pub(super) fn of(report: &Report) -> Response {
    match report.status {
        Status::Completed => deliver(&report.output),
        Status::Failed => {
            let error = report.error.as_deref().unwrap_or("Workflow failed.");
            answer::detail(StatusCode::INTERNAL_SERVER_ERROR, error)
        }
        Status::Cancelled => answer::detail(StatusCode::CONFLICT, "Task was cancelled."),
        // Who waits has to know for whom.
        Status::Interrupted => task::object_with(StatusCode::ACCEPTED, report),
        Status::Pending | Status::Processing | Status::Cancelling => {
            answer::detail(StatusCode::ACCEPTED, "Task is still in progress.")
        }
    }
}

fn deliver(output: &Value) -> Response {
    if let Value::Bytes(bytes) = output {
        let body = Body::from(bytes.to_vec());
        return attachment(body, None, None, None);
    }
    let Value::Handle(handle) = output else {
        return answer::json(StatusCode::OK, &Shown(output));
    };
    stream(handle).unwrap_or_else(|error| {
        let status = match error {
            StreamError::Taken => StatusCode::GONE,
            StreamError::Broken { .. }
            | StreamError::Stalled { .. }
            | StreamError::TooLong { .. } => StatusCode::BAD_GATEWAY,
        };
        answer::detail(status, &error.to_string())
    })
}

fn stream(handle: &Handle) -> Result<Response, StreamError> {
    if let Some(source) = ByteSource::of(handle) {
        let body = Body::from_stream(source.take()?);
        let (kind, name) = (source.content_type(), source.file_name());
        return Ok(attachment(body, kind, name, source.length()));
    }
    if let Some(source) = ValueSource::of(handle) {
        return Ok(events(source.take()?));
    }
    if let Some(source) = EventSource::of(handle) {
        return Ok(events(source.take_values(None)?));
    }
    // There are no other streams.
    Ok(answer::json(StatusCode::OK, &Shown(&Value::Null)))
}

fn attachment(body: Body, kind: Option<&str>, name: Option<&str>, length: Option<u64>) -> Response {
    let mut answer = answer::of(StatusCode::OK, "application/octet-stream", body);
    let headers = answer.headers_mut();
    if let Some(kind) = kind.and_then(|kind| HeaderValue::from_str(kind).ok()) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    if let Ok(disposition) = HeaderValue::from_str(&disposition(name)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    let policy = "default-src 'none'; sandbox";
    answer::set(headers, header::CONTENT_SECURITY_POLICY, policy);
    answer
}

/// `attachment; filename="…"`, and for a name beyond ASCII also as RFC 6266 has it.
fn disposition(name: Option<&str>) -> String {
    let Some(name) = name else {
        return "attachment".to_owned();
    };
    let plain: String = name
        .chars()
        .map(|it| match it {
            '"' | '\\' => '_',
            ' '..='~' => it,
            _ => '_',
        })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    let encoded = utf8_percent_encode(name, NAME);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// All but what RFC 5987 has as it is.
const NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn events(values: Values) -> Response {
    let events = values.filter_map(|value| async {
        match value {
            Ok(value) => event(&value).map(Ok),
            Err(error) => {
                debug!(error, "a stream of values broke off");
                Some(Err(std::io::Error::other(error)))
            }
        }
    });
    answer::of(
        StatusCode::OK,
        "text/event-stream",
        Body::from_stream(events),
    )
}

/// One event; each line of its data is a line of its own.
fn event(value: &Value) -> Option<Bytes> {
    let data = match value {
        Value::Null => return None,
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => Base64::encode_string(bytes),
        },
        Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Handle(_)
        | Value::Pending(_) => serde_json::to_string(&Shown(value)).ok()?,
    };
    let mut event = String::new();
    for line in data.split('\n') {
        event.push_str("data: ");
        event.push_str(line.trim_end_matches('\r'));
        event.push('\n');
    }
    event.push('\n');
    Some(event.into())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures_util::stream;

    use super::*;

    async fn body(answer: Response) -> String {
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn header(answer: &Response, name: header::HeaderName) -> &str {
        answer.headers()[name].to_str().unwrap()
    }

    #[tokio::test]
    async fn values_leave_as_events() {
        let values = [
            Value::from("one\r\ntwo"),
            Value::Null,
            Value::from_json(br#"{"n":[1,"ab"]}"#).unwrap(),
            Value::Bytes(b"raw".as_slice().into()),
            Value::Bytes(b"\xff".as_slice().into()),
        ];
        let output = ValueSource::new(Box::pin(stream::iter(values.map(Ok)))).into_value();
        let answer = deliver(&output);
        assert_eq!(header(&answer, header::CONTENT_TYPE), "text/event-stream");
        assert_eq!(
            body(answer).await,
            "data: one\ndata: two\n\ndata: {\"n\":[1,\"ab\"]}\n\ndata: raw\n\ndata: /w==\n\n"
        );
        // Whoever comes second is told so.
        assert_eq!(deliver(&output).status(), StatusCode::GONE);
    }

    #[tokio::test]
    async fn a_stream_of_bytes_keeps_its_type_and_name_and_is_nobodys_page() {
        let chunks = [Bytes::from("<script>"), Bytes::from("x")].map(Ok);
        let source = ByteSource::new(Box::pin(stream::iter(chunks)))
            .with_content_type(Some("text/html".to_owned()))
            .with_file_name(Some("a \"b\" 김.html".to_owned()))
            .with_length(Some(9));
        let answer = deliver(&source.into_value());
        assert_eq!(header(&answer, header::CONTENT_TYPE), "text/html");
        assert_eq!(header(&answer, header::CONTENT_LENGTH), "9");
        assert_eq!(
            header(&answer, header::CONTENT_DISPOSITION),
            "attachment; filename=\"a _b_ _.html\"; filename*=UTF-8''a%20%22b%22%20%EA%B9%80.html"
        );
        let policy = header(&answer, header::CONTENT_SECURITY_POLICY);
        assert_eq!(policy, "default-src 'none'; sandbox");
        assert_eq!(body(answer).await, "<script>x");
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_not_taken_for_the_whole() {
        let values = [Ok(Value::from("one")), Err("it broke".to_owned())];
        let output = ValueSource::new(Box::pin(stream::iter(values))).into_value();
        let answer = deliver(&output);
        assert!(to_bytes(answer.into_body(), 1 << 20).await.is_err());
    }
}
