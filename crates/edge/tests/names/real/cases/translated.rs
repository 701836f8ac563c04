//! What HTTP/2 can say that could become something else in HTTP/1.1.

use super::{HIDDEN, Said, named};
use crate::http2::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, block, request};

/// A request of HTTP/2 with these fields and a body.
fn with(fields: &[(&str, &str)], body: &str) -> Said {
    let head = request("POST", "app.test", "/1", fields);
    Said::Frames(vec![
        Frame::new(HEADERS, END_HEADERS, 1, head),
        Frame::new(DATA, END_STREAM, 1, body),
    ])
}

/// A request with a body and that field behind it.
fn trailers(field: (&str, &str)) -> Said {
    let head = request("POST", "app.test", "/1", &[]);
    Said::Frames(vec![
        Frame::new(HEADERS, END_HEADERS, 1, head),
        Frame::new(DATA, 0, 1, "hello"),
        Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, block(&[field])),
    ])
}

/// One without a body, of these fields and no others.
fn of(fields: &[(&str, &str)]) -> Said {
    Said::Frames(vec![Frame::new(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        block(fields),
    )])
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn frames() -> Vec<(String, Said)> {
    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "https");
    const HOST: (&str, &str) = (":authority", "app.test");
    const PATH: (&str, &str) = (":path", "/1");
    let hidden = HIDDEN;
    let injected = format!("/1 HTTP/1.1\r\nHost: app.test\r\n\r\n{hidden}");
    let value = format!("y\r\n\r\n{hidden}");
    let name = "x: y\r\ntransfer-encoding";
    let whole = request("GET", "app.test", "/1", &[]);
    let split = whole.len() / 2;
    named([
        ("a body without a length", with(&[], "hello")),
        (
            "a body with its length",
            with(&[("content-length", "5")], "hello"),
        ),
        (
            "H2.CL: a length of 0 before a body",
            with(&[("content-length", "0")], hidden),
        ),
        (
            "H2.CL: a length beyond the body",
            with(&[("content-length", "90")], "hello"),
        ),
        (
            "a length and no body",
            of(&[METHOD, SCHEME, HOST, PATH, ("content-length", "5")]),
        ),
        (
            "the same length twice",
            with(&[("content-length", "5"), ("content-length", "5")], "hello"),
        ),
        (
            "two lengths",
            with(&[("content-length", "5"), ("content-length", "0")], "hello"),
        ),
        ("a length of +5", with(&[("content-length", "+5")], "hello")),
        (
            "H2.TE: transfer-encoding: chunked",
            with(
                &[("transfer-encoding", "chunked")],
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        (
            "connection: close",
            with(&[("connection", "close")], "hello"),
        ),
        (
            "connection: transfer-encoding",
            with(&[("connection", "transfer-encoding")], "hello"),
        ),
        ("keep-alive", with(&[("keep-alive", "timeout=5")], "hello")),
        (
            "upgrade: websocket",
            with(&[("upgrade", "websocket")], "hello"),
        ),
        ("te: trailers", with(&[("te", "trailers")], "hello")),
        ("te: chunked", with(&[("te", "chunked")], "hello")),
        ("CR LF in a value", with(&[("x", &value)], "hello")),
        (
            "LF in a value",
            with(&[("x", "y\ntransfer-encoding: chunked")], "hello"),
        ),
        ("NUL in a value", with(&[("x", "y\0z")], "hello")),
        ("a blank before a value", with(&[("x", " y")], "hello")),
        ("CR LF in a name", with(&[(name, "chunked")], "hello")),
        ("a colon in a name", with(&[("x: y", "z")], "hello")),
        ("upper case in a name", with(&[("X-Y", "z")], "hello")),
        ("an empty name", with(&[("", "z")], "hello")),
        (
            "CR LF in :path",
            of(&[METHOD, SCHEME, HOST, (":path", &injected)]),
        ),
        (
            "a blank in :path",
            of(&[METHOD, SCHEME, HOST, (":path", "/1 HTTP/1.1")]),
        ),
        (
            ":path without a slash",
            of(&[METHOD, SCHEME, HOST, (":path", "1")]),
        ),
        (":path, empty", of(&[METHOD, SCHEME, HOST, (":path", "")])),
        (
            ":path that is absolute",
            of(&[METHOD, SCHEME, HOST, (":path", "http://other.test/1")]),
        ),
        (
            "CR LF in :method",
            of(&[
                (
                    ":method",
                    "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\nGET",
                ),
                SCHEME,
                HOST,
                PATH,
            ]),
        ),
        (
            "a blank in :method",
            of(&[(":method", "GET /smuggled HTTP/1.1"), SCHEME, HOST, PATH]),
        ),
        (
            "CR LF in :authority",
            of(&[METHOD, SCHEME, (":authority", "app.test\r\nx: y"), PATH]),
        ),
        (
            "a user in :authority",
            of(&[METHOD, SCHEME, (":authority", "other.test@app.test"), PATH]),
        ),
        (
            "host beside :authority, another one",
            of(&[METHOD, SCHEME, HOST, PATH, ("host", "other.test")]),
        ),
        (
            "host beside :authority, the same",
            of(&[METHOD, SCHEME, HOST, PATH, ("host", "app.test")]),
        ),
        (
            "host alone",
            of(&[METHOD, SCHEME, PATH, ("host", "app.test")]),
        ),
        ("no host at all", of(&[METHOD, SCHEME, PATH])),
        (
            "two :path",
            of(&[METHOD, SCHEME, HOST, PATH, (":path", "/smuggled")]),
        ),
        (
            "two :authority",
            of(&[METHOD, SCHEME, HOST, PATH, (":authority", "other.test")]),
        ),
        (
            ":path behind a field",
            of(&[METHOD, SCHEME, HOST, ("x", "y"), PATH]),
        ),
        (
            "a pseudo-header that there is not",
            of(&[METHOD, SCHEME, HOST, PATH, (":x", "y")]),
        ),
        (
            ":status in a request",
            of(&[METHOD, SCHEME, HOST, PATH, (":status", "200")]),
        ),
        ("no :path", of(&[METHOD, SCHEME, HOST])),
        (
            "CONNECT",
            of(&[(":method", "CONNECT"), (":authority", "app.test:443")]),
        ),
        (
            "CONNECT with :protocol",
            of(&[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                SCHEME,
                HOST,
                PATH,
            ]),
        ),
        (
            "a head in two frames",
            Said::Frames(vec![
                Frame::new(HEADERS, END_STREAM, 1, &whole[..split]),
                Frame::new(CONTINUATION, END_HEADERS, 1, &whole[split..]),
            ]),
        ),
        (
            "another frame within a head",
            Said::Frames(vec![
                Frame::new(HEADERS, END_STREAM, 1, &whole[..split]),
                Frame::new(DATA, 0, 1, "x"),
                Frame::new(CONTINUATION, END_HEADERS, 1, &whole[split..]),
            ]),
        ),
        (
            "trailers with a pseudo-header",
            trailers((":path", "/smuggled")),
        ),
        ("trailers with a length", trailers(("content-length", "9"))),
        (
            "x-forwarded-for",
            with(&[("x-forwarded-for", "192.0.2.1")], "hello"),
        ),
    ])
}
