use super::*;
use crate::stream::EventSource;

/// The content type and the body that are sent.
fn written(body: &Value, content_type: Option<&'static str>) -> Result<(String, String), String> {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let body = match write(Some(body), &mut headers).map_err(|error| error.to_string())? {
        Body::Empty => String::new(),
        Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Body::Stream { .. } => "(stream)".to_owned(),
    };
    let sent = headers.get(CONTENT_TYPE);
    let sent = sent.map_or("", |value| value.to_str().unwrap());
    Ok((sent.to_owned(), body))
}

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

fn bytes() -> Value {
    Value::Bytes((*b"raw").into())
}

fn stream() -> Value {
    let chunks = stream::iter([Ok(Bytes::from_static(b"data"))]).boxed();
    let content_type = Some("image/png".to_owned());
    ByteSource::new(chunks)
        .with_content_type(content_type)
        .into_value()
}

#[test]
fn a_body_is_written_as_its_content_type_says() {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    const TEXT: &str = "text/plain; charset=utf-8";
    let object = json(r#"{"z": "한 ü", "a": [1, null, 2.0], "n": null, "b": true}"#);
    let compact = r#"{"z":"한 ü","a":[1,null,2.0],"n":null,"b":true}"#;
    for (body, given, sent, text) in [
        (object.clone(), Some(JSON), JSON, compact),
        (
            object.clone(),
            Some("Application/JSON; charset=utf-8"),
            "Application/JSON; charset=utf-8",
            compact,
        ),
        (
            object.clone(),
            Some("application/ld+json"),
            "application/ld+json",
            compact,
        ),
        (object.clone(), None, JSON, compact),
        (
            object.clone(),
            Some(FORM),
            FORM,
            "z=%ED%95%9C+%C3%BC&a=1&a=2.0&b=true",
        ),
        (object, Some("text/csv"), "text/csv", compact),
        ("say \"hi\"".into(), Some(JSON), JSON, r#""say \"hi\"""#),
        ("say \"hi\"".into(), None, TEXT, "say \"hi\""),
        ("a=1&b".into(), Some(FORM), FORM, "a=1&b"),
        (
            "<x/>".into(),
            Some("application/xml"),
            "application/xml",
            "<x/>",
        ),
        (json("[1, 2]"), None, JSON, "[1,2]"),
        (Value::Integer(7), None, JSON, "7"),
        (
            Value::Boolean(true),
            Some("text/plain"),
            "text/plain",
            "true",
        ),
        (bytes(), None, OCTETS, "raw"),
        (bytes(), Some(JSON), JSON, "raw"),
        (bytes(), Some("image/png"), "image/png", "raw"),
        (stream(), None, "image/png", "(stream)"),
        (stream(), Some("video/mp4"), "video/mp4", "(stream)"),
        (Value::Null, Some(JSON), JSON, ""),
        (Value::Null, None, "", ""),
    ] {
        let expected = Ok((sent.to_owned(), text.to_owned()));
        assert_eq!(written(&body, given), expected, "{body:?} as {given:?}");
    }
}

#[test]
fn a_body_that_its_type_cannot_hold_says_why() {
    let mut map = crate::expr::Map::new();
    map.insert("file".to_owned(), Value::Bytes([0xff].into()));
    let events = EventSource::new(stream::empty().boxed()).into_value();
    for (body, given, reason) in [
        (
            Value::Map(map.clone()),
            None,
            "application/json: bytes cannot be written as JSON",
        ),
        (
            Value::Map(map),
            Some("application/x-www-form-urlencoded"),
            "application/x-www-form-urlencoded: file: binary data has no text form",
        ),
        (
            json("[1]"),
            Some("application/x-www-form-urlencoded"),
            "application/x-www-form-urlencoded: an object is wanted, not list",
        ),
        (
            events,
            Some("text/plain"),
            "text/plain: an event stream is no body",
        ),
    ] {
        let error = written(&body, given).unwrap_err();
        assert_eq!(error, format!("the body cannot be written as {reason}"));
    }
    let once = stream();
    assert!(written(&once, None).is_ok());
    let error = written(&once, None).unwrap_err();
    assert_eq!(
        error,
        "the body: the stream has been read already, and it can be read once"
    );
}

#[test]
fn a_form_with_files_has_a_boundary_of_ours() {
    let body = json(r#"{"a": "1"}"#);
    let (sent, text) = written(&body, Some("multipart/form-data; boundary=theirs")).unwrap();
    let boundary = sent.strip_prefix("multipart/form-data; boundary=").unwrap();
    assert!(boundary.starts_with("adit-"));
    let begin = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n");
    assert_eq!(text, format!("{begin}--{boundary}--\r\n"));
}
