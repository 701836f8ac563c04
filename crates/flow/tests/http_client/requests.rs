//! What is sent.

use std::process::Command;

use adit_flow::expr::Value;
use adit_flow::http::{Client, Config, Request, Url};
use adit_flow::model::method::Method;
use adit_flow::stream::ByteSource;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::server::{Seen, Server, Then, raw, reply};
use super::{client, get, headers, json, post, request};

#[tokio::test]
async fn a_request_has_these_bytes_and_no_others() {
    let server = Server::start(|_| reply(200, "", "")).await;
    let mut asked = post(&server, "/v1/jobs?q=a b", json(r#"{"z": "한", "a": 1}"#));
    asked.headers = headers(&[("X-One", "1")]);
    asked.params = vec![("n".to_owned(), Value::Integer(5))];
    client().send(&asked).await.unwrap();
    let seen = server.only();
    let mut lines: Vec<&str> = seen.head.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "POST /v1/jobs?q=a%20b&n=5 HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: {}", server.addr);
    let agent = concat!("user-agent: adit/", env!("CARGO_PKG_VERSION"));
    let expected = [
        "accept: */*",
        "content-length: 17",
        "content-type: application/json",
        &host,
        agent,
        "x-one: 1",
    ];
    assert_eq!(lines, expected);
    assert_eq!(seen.text(), r#"{"z":"한","a":1}"#);
}

#[tokio::test]
async fn each_content_type_has_its_bytes_on_the_wire() {
    let object = || json(r#"{"a": "x y", "l": [1, null, "é"], "n": null}"#);
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, sent, bytes) in [
        (
            Some("application/json"),
            object(),
            "application/json",
            r#"{"a":"x y","l":[1,null,"é"],"n":null}"#,
        ),
        (
            Some("APPLICATION/JSON"),
            object(),
            "APPLICATION/JSON",
            r#"{"a":"x y","l":[1,null,"é"],"n":null}"#,
        ),
        (
            None,
            object(),
            "application/json",
            r#"{"a":"x y","l":[1,null,"é"],"n":null}"#,
        ),
        (Some(form), object(), form, "a=x+y&l=1&l=%C3%A9"),
        (Some("text/xml"), "<a/>".into(), "text/xml", "<a/>"),
        (None, "plain".into(), "text/plain; charset=utf-8", "plain"),
        (
            None,
            Value::Bytes((*b"raw").into()),
            "application/octet-stream",
            "raw",
        ),
    ] {
        let server = Server::start(|_| reply(200, "", "")).await;
        let mut asked = post(&server, "/", body);
        asked.headers = content_type.map_or_else(Vec::new, |it| headers(&[("Content-Type", it)]));
        client().send(&asked).await.unwrap();
        let seen = server.only();
        assert_eq!(seen.header("content-type").unwrap(), sent);
        assert_eq!(seen.text(), bytes);
        assert_eq!(
            seen.header("content-length").unwrap(),
            bytes.len().to_string()
        );
    }
}

#[tokio::test]
async fn a_stream_is_sent_with_its_length_or_in_chunks() {
    for length in [Some(6), None] {
        let server = Server::start(|_| reply(200, "", "")).await;
        let chunks = ["abc", "def"].map(|it| Ok(Bytes::from_static(it.as_bytes())));
        let source = ByteSource::new(stream::iter(chunks).boxed()).with_length(length);
        let asked = post(&server, "/", source.into_value());
        client().send(&asked).await.unwrap();
        let seen = server.only();
        if length.is_some() {
            assert_eq!(seen.header("content-length").as_deref(), Some("6"));
            assert_eq!(seen.text(), "abcdef");
        } else {
            assert_eq!(seen.header("transfer-encoding").as_deref(), Some("chunked"));
            assert_eq!(seen.text(), "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
        }
        // It was a stream, and is gone.
        let error = client().send(&asked).await.unwrap_err();
        assert!(error.is_lasting(), "{error}");
    }
}

#[tokio::test]
async fn each_method_is_sent_as_it_is() {
    let server = Server::start(|seen| match seen.asked() {
        "HEAD /" => raw(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
            Then::Keep,
        ),
        _ => reply(200, "Content-Type: application/json\r\n", "1"),
    })
    .await;
    let client = client();
    for method in [
        Method::Get,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Patch,
        Method::Head,
        Method::Options,
    ] {
        let answer = client.send(&request(method, &server, "/")).await.unwrap();
        let value = if method == Method::Head {
            Value::Null
        } else {
            Value::Integer(1)
        };
        assert_eq!(answer.value, value, "{method:?}");
        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.asked(), format!("{} /", method.as_str()));
        assert_eq!(seen.header("content-type"), None);
    }
    assert_eq!(server.connections(), 1, "connections are kept");
}

#[tokio::test]
async fn no_cookie_is_kept_and_no_compression_asked_for() {
    let server = Server::start(|_| reply(200, "Set-Cookie: a=b; Path=/\r\n", "")).await;
    let client = client();
    for _ in 0..2 {
        client.send(&get(&server, "/")).await.unwrap();
    }
    for seen in server.seen() {
        assert_eq!(seen.header("cookie"), None);
        assert_eq!(seen.header("accept-encoding"), None);
    }
}

#[tokio::test]
async fn user_and_password_of_a_url_become_a_header() {
    let server = Server::start(|_| reply(200, "", "")).await;
    let client = client();
    let base = format!("http://me:p%40ss@{}", server.addr);
    let mut asked = Request::new(Method::Get, Url::under(&base, "/x").unwrap());
    client.send(&asked).await.unwrap();
    asked.headers = headers(&[("authorization", "Bearer mine"), ("user-agent", "curl/8")]);
    client.send(&asked).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].asked(), "GET /x");
    assert_eq!(
        seen[0].header("authorization").unwrap(),
        "Basic bWU6cEBzcw=="
    );
    assert_eq!(seen[1].header("authorization").unwrap(), "Bearer mine");
    assert_eq!(seen[1].header("user-agent").unwrap(), "curl/8");
}

#[tokio::test]
async fn an_ipv6_address_is_asked_in_brackets() {
    let Ok(server) = Server::start_at("[::1]:0", |_| reply(200, "", "")).await else {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    };
    client().send(&get(&server, "/x")).await.unwrap();
    let host = format!("[::1]:{}", server.addr.port());
    assert_eq!(server.only().header("host").unwrap(), host);
}

/// The environment is the process's: this test runs itself again in one with a proxy.
#[tokio::test]
async fn proxies_of_the_environment_are_for_other_hosts_alone() {
    const DIRECT: &str = "ADIT_TEST_DIRECT_URL";
    const NAME: &str = "requests::proxies_of_the_environment_are_for_other_hosts_alone";
    if let Ok(direct) = std::env::var(DIRECT) {
        let client = Client::new(Config::default()).unwrap();
        for (url, text) in [
            (direct.as_str(), "direct"),
            ("http://far.invalid/x", "proxied"),
        ] {
            let asked = Request::new(Method::Get, Url::endpoint(url).unwrap());
            let answer = client.send(&asked).await.unwrap();
            assert_eq!(answer.value, Value::from(text), "{url}");
        }
        return;
    }
    let answer = |seen: &Seen| match seen.asked() {
        "GET http://far.invalid/x" => reply(200, "Content-Type: text/plain\r\n", "proxied"),
        "GET /near" => reply(200, "Content-Type: text/plain\r\n", "direct"),
        other => panic!("asked {other}"),
    };
    let server = Server::start(answer).await;
    let direct = format!("http://localhost:{}/near", server.addr.port());
    let base = server.base();
    let child = tokio::task::spawn_blocking(move || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME, "--nocapture"]);
        child
            .env(DIRECT, direct)
            .env("HTTP_PROXY", &base)
            .env("http_proxy", &base);
        child
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .env_remove("REQUEST_METHOD");
        child.output().unwrap()
    });
    let output = child.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{errors}"
    );
    assert_eq!(server.seen().len(), 2);
}
