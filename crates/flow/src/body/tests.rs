use futures_util::FutureExt as _;
use futures_util::stream;
use proptest::prelude::*;

use super::*;

fn meaning(content_type: Option<&str>, body: &[u8], keys: Keys) -> Result<Value, ContentError> {
    let body = Bytes::copy_from_slice(body);
    let read = read(content_type, body, keys).now_or_never();
    read.expect("everything is there")
}

/// The value as JSON, or what is wrong.
fn told(content_type: &str, body: &str, keys: Keys) -> String {
    match meaning(Some(content_type), body.as_bytes(), keys) {
        Ok(value) => value.to_json().unwrap_or_else(|_| format!("{value:?}")),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_body_means_what_its_type_says() {
    const FORM: &str = "application/x-www-form-urlencoded";
    const PARTS: &str = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\n\
        Content-Disposition: form-data; name=\"a\"\r\n\r\nzwei\r\n--b\r\n\
        Content-Disposition: form-data; name=\"f[x]\"; filename=\"n\"\r\n\
        Content-Type: text/plain\r\n\r\nhi\r\n--b--\r\n";
    let parts = r#"Map({"a": List([Text("1"), Text("zwei")]), "f[x]": Bytes([104, 105])})"#;
    for (content_type, body, value) in [
        (
            "application/json",
            r#"{"b":1,"a":[2.5]}"#,
            r#"{"b":1,"a":[2.5]}"#,
        ),
        ("APPLICATION/JSON; charset=utf-8", "8", "8"),
        ("application/cloudevents+json", "\"x\"", "\"x\""),
        ("application/json", "\u{feff}[]", "[]"),
        (
            "application/json",
            "",
            "EOF while parsing a value at line 1 column 0",
        ),
        (
            "application/json",
            "{bad",
            "key must be a string at line 1 column 2",
        ),
        (FORM, "", "{}"),
        (
            FORM,
            "b=%C3%A4+%2B&a=1&a=2&a=3&c",
            r#"{"b":"ä +","a":["1","2","3"],"c":""}"#,
        ),
        (FORM, "a[b]=1&c[]=2", r#"{"a[b]":"1","c[]":"2"}"#),
        ("multipart/form-data; boundary=b", PARTS, parts),
        ("Multipart/Form-Data; boundary=\"b\"", PARTS, parts),
        (
            "multipart/form-data",
            PARTS,
            "malformed multipart/form-data",
        ),
        (
            "multipart/form-data; boundary=c",
            PARTS,
            "malformed multipart/form-data",
        ),
        ("text/plain", "8", "\"8\""),
        ("text/csv; charset=utf-8", "", "\"\""),
        ("application/xml", "x", "Bytes([120])"),
        ("", "x", "Bytes([120])"),
        ("application/xml", "", "null"),
        (";", "", "null"),
    ] {
        assert_eq!(
            told(content_type, body, Keys::Plain),
            value,
            "{content_type} {body}"
        );
    }
    let bytes = meaning(Some("text/plain"), b"\xff", Keys::Plain).unwrap();
    assert_eq!(bytes, Value::Bytes([0xff].as_slice().into()));
    assert_eq!(meaning(None, b"", Keys::Plain).unwrap(), Value::Null);
}

#[test]
fn brackets_in_keys_build_maps_and_lists_if_they_are_asked_to() {
    for (body, value) in [
        ("input[data]=hey&x=1", r#"{"input":{"data":"hey"},"x":"1"}"#),
        ("k[]=1&k[]=2", r#"{"k":["1","2"]}"#),
        ("k[]=1&k=2", r#"{"k":["1","2"]}"#),
        (
            "a[b][c]=1&a[b][d]=2&a[e]=3",
            r#"{"a":{"b":{"c":"1","d":"2"},"e":"3"}}"#,
        ),
        ("a[][b]=1&a[][b]=2", r#"{"a":[{"b":"1"},{"b":"2"}]}"#),
        ("a[0]=1", r#"{"a":{"0":"1"}}"#),
        ("a[b]=1&a[b]=2", r#"{"a":{"b":["1","2"]}}"#),
        (
            "a[b=1&[c]=2&d]=3&e[f]g=4&h[[i]]=5&j[k]]=6",
            r#"{"a[b":"1","[c]":"2","d]":"3","e[f]g":"4","h[[i]]":"5","j[k]]":"6"}"#,
        ),
        (
            "a=1&a[b]=2",
            "a field's name stands for two kinds of values",
        ),
        (
            "a[b]=2&a=1",
            "a field's name stands for two kinds of values",
        ),
        (
            "a[]=2&a[b]=1",
            "a field's name stands for two kinds of values",
        ),
    ] {
        let read = told("application/x-www-form-urlencoded", body, Keys::Nested);
        assert_eq!(read, value, "{body}");
    }
}

#[test]
fn what_costs_more_than_any_form_is_refused() {
    let pairs = |count: usize| vec!["a=1"; count].join("&");
    let nested = |depth: usize| format!("a{}=1", "[b]".repeat(depth));
    let json = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let parts = |count: usize| {
        let part = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        format!("{}--b--\r\n", part.repeat(count))
    };
    let form = "application/x-www-form-urlencoded";
    let multipart = "multipart/form-data; boundary=b";
    for (content_type, most, more, why) in [
        (form, pairs(1_000), pairs(1_001), "more than 1000 fields"),
        (
            multipart,
            parts(1_000),
            parts(1_001),
            "more than 1000 fields",
        ),
        (
            form,
            nested(64),
            nested(65),
            "more than 64 brackets in a field's name",
        ),
        (
            "application/json",
            json(64),
            json(65),
            "more than 64 lists and objects inside one another at line 1 column 66",
        ),
    ] {
        assert!(meaning(Some(content_type), most.as_bytes(), Keys::Nested).is_ok());
        assert_eq!(told(content_type, &more, Keys::Nested), why);
    }
    assert!(query(Some(&pairs(1_000))).is_ok());
    assert!(matches!(
        query(Some(&pairs(1_001))),
        Err(ContentError::Fields)
    ));
}

#[test]
fn the_last_value_of_a_query_counts() {
    for (text, json) in [
        (None, "{}"),
        (Some(""), "{}"),
        (Some("a=1&b=%20&a=2&c"), r#"{"a":"2","b":" ","c":""}"#),
    ] {
        assert_eq!(query(text).unwrap().to_json().unwrap(), json);
    }
}

fn chunks(count: usize, size: usize) -> Body {
    let chunk = Bytes::from(vec![b'x'; size]);
    let chunks = std::iter::repeat_n(Ok::<_, std::convert::Infallible>(chunk), count);
    Body::from_stream(stream::iter(chunks))
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_to_its_limits_and_its_room_is_given_back() {
    let room = Room::new(1_000);
    let allowance = Allowance {
        bytes: 600,
        within: WITHIN,
        room: &room,
    };
    let first = receive(chunks(6, 100), allowance).await.unwrap();
    assert_eq!((first.bytes().len(), room.left()), (600, 400));
    let error = receive(chunks(6, 100), allowance).await.unwrap_err();
    assert_eq!((error.status(), room.left()), (503, 400));
    drop(first);
    let error = receive(chunks(7, 100), allowance).await.unwrap_err();
    assert_eq!((error.status(), room.left()), (413, 1_000));
    let error = receive(Body::from(vec![0; 601]), allowance).await;
    assert_eq!(error.unwrap_err().status(), 413);
    let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let error = receive(silent, allowance).await.unwrap_err();
    assert_eq!((error.status(), room.left()), (408, 1_000));
    let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
    let error = receive(Body::from_stream(broken), allowance).await;
    assert_eq!(error.unwrap_err().status(), 400);
}

proptest! {
    #[test]
    fn no_body_is_too_strange(
        content_type in proptest::option::of("(application/json|multipart/form-data; boundary=b|application/x-www-form-urlencoded|text/x|.*)"),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for keys in [Keys::Plain, Keys::Nested] {
            meaning(content_type.as_deref(), &body, keys).ok();
        }
    }

    #[test]
    fn no_form_is_too_strange(body in r"([ab\[\]&=%]|\[\]|\[a\]=){0,60}") {
        meaning(Some("application/x-www-form-urlencoded"), body.as_bytes(), Keys::Nested).ok();
    }
}
