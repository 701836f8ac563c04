//! Forms with files: `multipart/form-data` (RFC 7578), written as browsers do.
//!
//! Names are UTF-8, in which `"` and line breaks are `%22`, `%0D` and `%0A`. Bytes and byte streams
//! are files: a stream by the name that its sender gave, anything else by that of its field.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use ulid::Ulid;

use super::body::{Body, named, of_handle, refused, wanted_object};
use super::request::RequestError;
use super::url::values;
use crate::expr::Value;
use crate::stream::ByteSource;

const TYPE: &str = "multipart/form-data";
const OCTETS: &str = "application/octet-stream";

/// The body, and the content type with its boundary. 160 random bits: no content has it by chance.
pub(super) fn write(body: &Value) -> Result<(HeaderValue, Body), RequestError> {
    let boundary = format!("adit-{}{}", Ulid::generate(), Ulid::generate());
    let content_type = format!("{TYPE}; boundary={boundary}");
    let content_type =
        HeaderValue::from_str(&content_type).map_err(|error| refused(TYPE, &error))?;
    Ok((content_type, with_boundary(body, &boundary)?))
}

fn with_boundary(body: &Value, boundary: &str) -> Result<Body, RequestError> {
    let Value::Map(map) = body else {
        return Err(refused(TYPE, &wanted_object(body)));
    };
    let mut pieces = Vec::new();
    for (name, value) in map {
        for value in values(value) {
            part(name, value, boundary, &mut pieces)?;
        }
    }
    pieces.push(Body::Bytes(format!("--{boundary}--\r\n").into()));
    Ok(Body::of_pieces(pieces))
}

fn part(
    name: &str,
    value: &Value,
    boundary: &str,
    pieces: &mut Vec<Body>,
) -> Result<(), RequestError> {
    let field = escaped(name);
    let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"");
    let mut file = |name: &str, content_type: &str| {
        // Writing to a string cannot fail.
        let name = escaped(name);
        write!(
            head,
            "; filename=\"{name}\"\r\nContent-Type: {content_type}"
        )
        .ok();
    };
    let content = if let Value::Bytes(bytes) = value {
        file(name, OCTETS);
        Body::Bytes(Bytes::from_owner(Arc::clone(bytes)))
    } else if let Value::Handle(handle) = value {
        if let Some(source) = ByteSource::of(handle) {
            let is_line = |text: &&str| HeaderValue::from_str(text).is_ok();
            let content_type = source.content_type().filter(is_line);
            file(
                source.file_name().unwrap_or(name),
                content_type.unwrap_or(OCTETS),
            );
        }
        of_handle(handle, TYPE)?
    } else {
        match value.text_form() {
            Ok(text) => Body::Bytes(text.into_owned().into()),
            Err(error) => return Err(refused(TYPE, &named(name, &error))),
        }
    };
    head.push_str("\r\n\r\n");
    pieces.extend([
        Body::Bytes(head.into()),
        content,
        Body::Bytes(Bytes::from_static(b"\r\n")),
    ]);
    Ok(())
}

/// HTML's form-data encoding of a name (the "multipart/form-data encoding algorithm").
fn escaped(name: &str) -> Cow<'_, str> {
    if !name.contains(['"', '\r', '\n']) {
        return Cow::Borrowed(name);
    }
    let name = name.replace('"', "%22");
    Cow::Owned(name.replace('\r', "%0D").replace('\n', "%0A"))
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::stream::collect;

    async fn written(body: &Value) -> (Option<u64>, String) {
        let (length, bytes) = match with_boundary(body, "B").unwrap() {
            Body::Bytes(bytes) => (None, bytes),
            Body::Stream { chunks, length } => (length, collect(chunks, 10_000).await.unwrap()),
            Body::Empty => panic!("nothing"),
        };
        (length, String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn source(text: &'static str) -> ByteSource {
        let chunk = Ok(Bytes::from_static(text.as_bytes()));
        ByteSource::new(stream::iter([chunk]).boxed())
    }

    fn object(entries: Vec<(&str, Value)>) -> Value {
        let entries = entries.into_iter();
        Value::Map(entries.map(|(k, v)| (k.to_owned(), v)).collect())
    }

    #[tokio::test]
    async fn fields_and_files_have_the_bytes_of_a_browser() {
        let body = object(vec![
            ("text", "한 \"x\"".into()),
            ("na\"me\r\n", Value::Integer(5)),
            ("none", Value::Null),
            (
                "tags",
                Value::List(vec!["a".into(), Value::Null, "b".into()]),
            ),
            ("file", Value::Bytes((*b"\x01\x02").into())),
        ]);
        let expected = "--B\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n한 \"x\"\r\n\
            --B\r\nContent-Disposition: form-data; name=\"na%22me%0D%0A\"\r\n\r\n5\r\n\
            --B\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\na\r\n\
            --B\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\nb\r\n\
            --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\x01\x02\r\n--B--\r\n";
        assert_eq!(written(&body).await, (None, expected.to_owned()));
    }

    #[tokio::test]
    async fn a_stream_is_a_file_by_its_own_name_and_its_length_counts() {
        let named = source("data")
            .with_content_type(Some("image/png".to_owned()))
            .with_file_name(Some("p.png".to_owned()))
            .with_length(Some(4));
        let body = object(vec![("image", named.into_value())]);
        let expected = "--B\r\nContent-Disposition: form-data; name=\"image\"; \
            filename=\"p.png\"\r\nContent-Type: image/png\r\n\r\ndata\r\n--B--\r\n";
        let length = u64::try_from(expected.len()).unwrap();
        assert_eq!(written(&body).await, (Some(length), expected.to_owned()));
        // It is gone now.
        assert!(with_boundary(&body, "B").is_err());

        let lying = source("data").with_content_type(Some("a\r\nX: y".to_owned()));
        let (length, text) = written(&object(vec![("f", lying.into_value())])).await;
        assert_eq!(length, None);
        assert!(text.contains("filename=\"f\"\r\nContent-Type: application/octet-stream\r\n\r\n"));
    }

    #[test]
    fn what_is_no_object_is_no_form() {
        let error = write(&"text".into()).err().unwrap();
        assert_eq!(
            error.to_string(),
            "the body cannot be written as multipart/form-data: an object is wanted, not string"
        );
    }
}
