//! What is said: each kind of request smuggling that is known of HTTP/1.1 and of its translation from HTTP/2, byte by
//! byte.

use crate::http2::Frame;

mod translated;

/// One thing that is said.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) group: &'static str,
    pub(super) name: String,
    pub(super) said: Said,
}

/// How.
#[derive(Debug)]
pub(super) enum Said {
    Bytes(Vec<u8>),
    /// On stream 1 of HTTP/2.
    Frames(Vec<Frame>),
}

/// What must not come through as a request of its own.
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";

pub(super) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    let mut group = |name: &'static str, cases: Vec<(String, Said)>| {
        all.extend(cases.into_iter().map(|(words, said)| Case {
            group: name,
            name: words,
            said,
        }));
    };
    group("Two lengths, or none that is one", lengths());
    group("Transfer codings", codings());
    group("Chunks", chunks());
    group("Lines and fields", lines());
    group("Targets, versions and hosts", targets());
    group("Connection, Upgrade, Expect", hops());
    group("HTTP/2", translated::frames());
    all
}

/// A POST with these fields and what stands behind them.
fn post(fields: &str, rest: &str) -> Said {
    bytes(format!(
        "POST /1 HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n{rest}"
    ))
}

fn get(fields: &str) -> Said {
    bytes(format!("GET /1 HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n"))
}

fn bytes(text: impl Into<Vec<u8>>) -> Said {
    Said::Bytes(text.into())
}

fn named<const N: usize>(cases: [(&str, Said); N]) -> Vec<(String, Said)> {
    cases
        .into_iter()
        .map(|(name, said)| (name.to_owned(), said))
        .collect()
}

fn lengths() -> Vec<(String, Said)> {
    let hidden = HIDDEN.len();
    let mut cases = named([
        (
            "CL.TE: a length, then chunks; a request behind the last chunk",
            post(
                &format!(
                    "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
                    5 + hidden
                ),
                &format!("0\r\n\r\n{HIDDEN}"),
            ),
        ),
        (
            "TE.CL: chunks, then a length that ends within the first of them",
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                &format!("{hidden:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
            ),
        ),
        (
            "CL.0: a length of 0 with a request behind it",
            post(
                "Content-Length: 0\r\n",
                HIDDEN.replace("smuggled", "2").as_str(),
            ),
        ),
        (
            "0.CL: a GET whose body is a request",
            get(&format!("Content-Length: {hidden}\r\n\r\n{HIDDEN}")),
        ),
        (
            "a body for a name that nobody has, which is a request",
            bytes(format!(
                "POST /1 HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"
            )),
        ),
        (
            "the same length twice",
            post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        ),
        (
            "two lengths",
            post(
                &format!("Content-Length: 0\r\nContent-Length: {hidden}\r\n"),
                HIDDEN,
            ),
        ),
        (
            "more bytes than the length, then an end",
            post("Content-Length: 2\r\n", "hello"),
        ),
        (
            "fewer bytes than the length, then an end",
            post("Content-Length: 9\r\n", "hello"),
        ),
        (
            "Content_Length: 5 beside none",
            post(
                "Content_Length: 44\r\n",
                HIDDEN.replace("smuggled", "2").as_str(),
            ),
        ),
    ]);
    for value in [
        "5, 5",
        "5,6",
        "+5",
        "-5",
        "0x5",
        "5.0",
        "5 5",
        "5;",
        "\"5\"",
        "00005",
        "",
        "5e0",
        "18446744073709551621",
        "99999999999999999999",
        "\u{665}",
    ] {
        cases.push((
            format!("Content-Length: {value}"),
            post(&format!("Content-Length: {value}\r\n"), "hello"),
        ));
    }
    cases
}

fn codings() -> Vec<(String, Said)> {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let mut cases = Vec::new();
    for (name, field) in [
        ("Transfer-Encoding: CHUNKED", "Transfer-Encoding: CHUNKED"),
        ("Transfer-Encoding: xchunked", "Transfer-Encoding: xchunked"),
        ("Transfer-Encoding: identity", "Transfer-Encoding: identity"),
        (
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: chunked, identity",
        ),
        (
            "Transfer-Encoding: identity, chunked",
            "Transfer-Encoding: identity, chunked",
        ),
        (
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: gzip, chunked",
        ),
        (
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked, chunked",
        ),
        (
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: chunked;q=1",
        ),
        (
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: \"chunked\"",
        ),
        (
            "Transfer-Encoding:chunked, without a blank",
            "Transfer-Encoding:chunked",
        ),
        (
            "Transfer-Encoding: TAB chunked TAB",
            "Transfer-Encoding:\tchunked\t",
        ),
        (
            "Transfer-Encoding: VT chunked",
            "Transfer-Encoding: \u{b}chunked",
        ),
        ("Transfer-Encoding, empty", "Transfer-Encoding:"),
        (
            "chunked twice, in two fields",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        (
            "chunked, then x, in two fields",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        ),
    ] {
        cases.push((name.to_owned(), post(&format!("{field}\r\n"), body)));
    }
    // A reader who does not see the coding takes the length.
    for (name, field) in [
        (
            "TE.TE: a blank before the colon, beside a length",
            "Transfer-Encoding : chunked",
        ),
        (
            "TE.TE: a tab before the colon, beside a length",
            "Transfer-Encoding\t: chunked",
        ),
        (
            "TE.TE: behind a bare LF, beside a length",
            "X: y\nTransfer-Encoding: chunked",
        ),
        (
            "TE.TE: behind a bare CR, beside a length",
            "X: y\rTransfer-Encoding: chunked",
        ),
        (
            "TE.TE: folded, beside a length",
            "Transfer-Encoding:\r\n chunked",
        ),
        (
            "TE.TE: Transfer_Encoding, beside a length",
            "Transfer_Encoding: chunked",
        ),
        (
            "TE.TE: a NUL in the name, beside a length",
            "Transfer-Encoding\0: chunked",
        ),
        (
            "TE.TE: a field before it that begins with a blank",
            " X: y\r\nTransfer-Encoding: chunked",
        ),
    ] {
        let fields = format!("Content-Length: {}\r\n{field}\r\n", body.len());
        cases.push((name.to_owned(), post(&fields, body)));
    }
    cases.push((
        String::from("chunked in HTTP/1.0"),
        bytes(format!(
            "POST /1 HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        )),
    ));
    cases
}

fn chunks() -> Vec<(String, Said)> {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(400));
    let hidden = format!("1;\n\r\nx\r\n0\r\n\r\n{HIDDEN}");
    let table = [
        ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("an extension with a bare LF (CVE-2025-55315)", &hidden),
        ("an extension of 400 bytes", &long),
        ("a bare LF behind the size", "5\nhello\r\n0\r\n\r\n"),
        ("a bare CR behind the size", "5\rhello\r\n0\r\n\r\n"),
        ("a bare LF behind the data", "5\r\nhello\n0\r\n\r\n"),
        (
            "data that goes on behind its size",
            "5\r\nhelloworld\r\n0\r\n\r\n",
        ),
        ("data shorter than its size", "9\r\nhello\r\n0\r\n\r\n"),
        ("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a blank before the size", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a blank behind the size", "5 \r\nhello\r\n0\r\n\r\n"),
        (
            "a size beyond 64 bits",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "a size of 16 digits",
            "FFFFFFFFFFFFFFFE\r\nhello\r\n0\r\n\r\n",
        ),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("a last chunk of zeros", "5\r\nhello\r\n0000\r\n\r\n"),
        ("trailers", "5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        (
            "a length in the trailers",
            "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        ),
        ("a folded trailer", "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"),
        ("a trailer with a bare LF", "5\r\nhello\r\n0\r\nX: y\n\r\n"),
        ("no last chunk, then an end", "5\r\nhello\r\n"),
    ];
    let said = |(name, body): (&str, &str)| {
        (
            name.to_owned(),
            post("Transfer-Encoding: chunked\r\n", body),
        )
    };
    table.into_iter().map(said).collect()
}

fn lines() -> Vec<(String, Said)> {
    named([
        (
            "lines that end in LF alone",
            bytes("GET /1 HTTP/1.1\nHost: app.test\n\n"),
        ),
        (
            "a field that ends in LF alone",
            bytes("GET /1 HTTP/1.1\r\nHost: app.test\nX: y\r\n\r\n"),
        ),
        ("a bare CR in a value", get("X: a\rb\r\n")),
        ("a NUL in a value", get("X: a\0b\r\n")),
        ("a control character in a value", get("X: a\u{1}b\r\n")),
        ("a folded field", get("X: a\r\n b\r\n")),
        ("a blank before a colon", get("X : a\r\n")),
        ("a field without a colon", get("X\r\n")),
        ("a field without a name", get(": a\r\n")),
        ("a name that is no token", get("X(): a\r\n")),
        (
            "a blank before the first field",
            bytes("GET /1 HTTP/1.1\r\n Host: app.test\r\n\r\n"),
        ),
        (
            "empty lines before the request",
            bytes("\r\n\r\nGET /1 HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        ),
        (
            "a field of 40 KiB",
            get(&format!("X: {}\r\n", "a".repeat(40 << 10))),
        ),
        ("300 fields", get(&"X: y\r\n".repeat(300))),
    ])
}

fn targets() -> Vec<(String, Said)> {
    let line = |line: &str| bytes(format!("{line}\r\nHost: app.test\r\n\r\n"));
    let host = |host: &str| bytes(format!("GET /1 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let mut cases = named([
        ("HTTP/0.9", bytes("GET /1\r\n")),
        ("HTTP/0.9 with a host", line("GET /1")),
        ("HTTP/1.0 without a host", bytes("GET /1 HTTP/1.0\r\n\r\n")),
        ("HTTP/1.1 without a host", bytes("GET /1 HTTP/1.1\r\n\r\n")),
        ("HTTP/1.2", line("GET /1 HTTP/1.2")),
        ("HTTP/2.0", line("GET /1 HTTP/2.0")),
        (
            "the preface of HTTP/2",
            bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ),
        ("two blanks in the request line", line("GET  /1 HTTP/1.1")),
        ("a tab in the request line", line("GET\t/1\tHTTP/1.1")),
        ("a blank in the target", line("GET /1 2 HTTP/1.1")),
        ("a blank behind the version", line("GET /1 HTTP/1.1 ")),
        ("a lower-case version", line("GET /1 http/1.1")),
        ("a target without a slash", line("GET 1 HTTP/1.1")),
        ("a target with a fragment", line("GET /1#x HTTP/1.1")),
        ("a NUL in the target", line("GET /1\0 HTTP/1.1")),
        (
            "a target of 9,000 bytes",
            line(&format!("GET /{} HTTP/1.1", "a".repeat(9_000))),
        ),
        ("CONNECT", line("CONNECT app.test:443 HTTP/1.1")),
        ("OPTIONS *", line("OPTIONS * HTTP/1.1")),
        (
            "an absolute target and the same host",
            line("GET http://app.test/1 HTTP/1.1"),
        ),
        (
            "an absolute target and another host",
            bytes("GET http://app.test/1 HTTP/1.1\r\nHost: other.test\r\n\r\n"),
        ),
        (
            "another's absolute target",
            line("GET http://other.test/1 HTTP/1.1"),
        ),
        (
            "an absolute target and no host",
            bytes("GET http://app.test/1 HTTP/1.1\r\n\r\n"),
        ),
        (
            "an absolute target with a user",
            line("GET http://other.test@app.test/1 HTTP/1.1"),
        ),
        (
            "the same host twice",
            bytes("GET /1 HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n\r\n"),
        ),
        (
            "two hosts",
            bytes("GET /1 HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n"),
        ),
        (
            "a host and a folded one",
            bytes("GET /1 HTTP/1.1\r\nHost: other.test\r\n Host: app.test\r\n\r\n"),
        ),
    ]);
    for value in [
        "",
        "APP.Test:80",
        "app.test.",
        "app.test:",
        "app.test:x",
        "app.test:99999",
        "x@app.test",
        "app.test/x",
        "app.test, other.test",
        "app.test other.test",
        "app%2etest",
        "[app.test]",
    ] {
        cases.push((format!("Host: {value}"), host(value)));
    }
    cases
}

fn hops() -> Vec<(String, Said)> {
    named([
        (
            "two requests at once",
            bytes(
                "GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n",
            ),
        ),
        (
            "Connection lists Content-Length",
            post(
                "Connection: close, Content-Length\r\nContent-Length: 5\r\n",
                "hello",
            ),
        ),
        (
            "Connection lists Transfer-Encoding",
            post(
                "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
        ),
        ("Connection lists Host", get("Connection: Host\r\n")),
        (
            "Connection lists X-Forwarded-For and X-Real-IP",
            get("Connection: X-Forwarded-For, X-Real-IP\r\n"),
        ),
        ("X-Forwarded-For", get("X-Forwarded-For: 192.0.2.1\r\n")),
        ("X_Forwarded_For", get("X_Forwarded_For: 192.0.2.1\r\n")),
        ("X-Real-IP", get("X-Real-IP: 192.0.2.1\r\n")),
        (
            "Connection with what is no name",
            get("Connection: a b\r\n"),
        ),
        (
            "Upgrade: h2c",
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            ),
        ),
        (
            "Upgrade: websocket, and a request behind it",
            bytes(format!(
                "GET /1 HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{}",
                HIDDEN.replace("smuggled", "2")
            )),
        ),
        (
            "Upgrade: websocket with a body",
            post(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
                "hello",
            ),
        ),
        (
            "Upgrade: websocket that Connection does not list",
            get("Upgrade: websocket\r\n"),
        ),
        (
            "Expect: 100-continue, with the body behind it",
            post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
        ),
        (
            "Expect of something else",
            post("Expect: x\r\nContent-Length: 5\r\n", "hello"),
        ),
    ])
}
