//! What becomes of answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_flow::expr::{HandleKind, Value};
use adit_flow::http::{AskError, Client, Config, PollRules, Request, Url, poll};
use adit_flow::model::component::StreamFormat;
use adit_flow::model::method::Method;
use adit_flow::secrets::Secrets;
use adit_flow::stream::{ByteSource, EventSource, StreamError};
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::server::{Server, Then, raw, reply};
use super::{client, get, json, post};

/// What the client makes of an answer.
async fn answered(headers: &'static str, body: &'static [u8]) -> Result<Value, AskError> {
    let server = Server::start(move |_| reply(200, headers, body)).await;
    Ok(client().send(&get(&server, "/x?q")).await?.value)
}

#[tokio::test]
async fn a_body_is_read_as_its_content_type_says() {
    let object = json(r#"{"z":1,"a":[true]}"#);
    let bytes: &[u8] = br#"{"z":1,"a":[true]}"#;
    for (headers, body, value) in [
        ("Content-Type: application/json\r\n", bytes, object.clone()),
        (
            "Content-Type: Application/JSON; charset=UTF-8\r\n",
            bytes,
            object.clone(),
        ),
        ("Content-Type: application/problem+json\r\n", bytes, object),
        ("Content-Type: application/json\r\n", b"", Value::Null),
        ("Content-Type: text/plain\r\n", "한".as_bytes(), "한".into()),
        (
            "Content-Type: text/html; charset=iso-8859-1\r\n",
            b"\xe9",
            "é".into(),
        ),
        ("Content-Type: text/plain\r\n", b"", "".into()),
        ("", b"", Value::Null),
        ("Content-Type: image/png\r\n", b"", Value::Null),
        (
            "Content-Type: text/plain\r\nContent-Encoding: identity\r\n",
            b"x",
            "x".into(),
        ),
    ] {
        assert_eq!(answered(headers, body).await.unwrap(), value, "{headers}");
    }
}

#[tokio::test]
async fn other_bodies_are_streams_with_a_name() {
    let headers = "Content-Type: image/png\r\n\
        Content-Disposition: attachment; filename=x; filename*=UTF-8''na%C3%AFve.png\r\n";
    let value = answered(headers, b"\x89PNG").await.unwrap();
    let Value::Handle(handle) = value else {
        panic!("{value:?}");
    };
    assert_eq!(handle.kind(), HandleKind::Bytes);
    let source = ByteSource::of(&handle).unwrap();
    assert_eq!(source.content_type(), Some("image/png"));
    assert_eq!(source.file_name(), Some("naïve.png"));
    assert_eq!(source.length(), Some(4));
    assert_eq!(&source.read_all(4).await.unwrap()[..], b"\x89PNG");

    let Value::Handle(handle) = answered("", b"?").await.unwrap() else {
        panic!("no handle");
    };
    let source = ByteSource::of(&handle).unwrap();
    assert_eq!((source.content_type(), source.file_name()), (None, None));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_says_why() {
    for (headers, body, reason) in [
        (
            "Content-Type: application/json\r\n",
            &b"<html>"[..],
            "the answer (status 200) is no JSON: expected value at line 1 column 1",
        ),
        (
            "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
            b"\x1f\x8b",
            "the answer is encoded as gzip, which was not asked for",
        ),
    ] {
        let error = answered(headers, body).await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("/x: {reason}")), "{error}");
        assert!(error.starts_with("GET http://127.0.0.1:"), "{error}");
    }
}

#[tokio::test]
async fn an_error_status_tells_its_body_and_no_query() {
    for (status, headers, body, text) in [
        (
            500,
            "Content-Type: application/json\r\n",
            &br#"{"detail":"hunter22","n":1}"#[..],
            "500\nResponse: {\n  \"detail\": \"***\",\n  \"n\": 1\n}",
        ),
        (
            404,
            "Content-Type: text/html\r\n",
            b"<p>\x1b[2Jno</p>\n",
            "404\nResponse: <p>\\u{1b}[2Jno</p>",
        ),
        (
            400,
            "Content-Type: application/json\r\n",
            b"{bad",
            "400\nResponse: {bad",
        ),
        (503, "", b"", "503"),
        (
            502,
            "Content-Encoding: br\r\n",
            b"\x01",
            "502\nResponse: (br)",
        ),
    ] {
        let server = Server::start(move |_| reply(status, headers, body)).await;
        let secrets: Secrets = ["hunter22"].into_iter().collect();
        let config = Config {
            secrets: Arc::new(secrets),
            ..Config::default()
        };
        let client = Client::new(config).unwrap();
        let url = format!("http://me:pw@{}/a%20b?token=hush", server.addr);
        let mut asked = post(&server, "", "x");
        asked.url = Url::endpoint(&url).unwrap();
        let error = client.send(&asked).await.unwrap_err();
        let expected = format!(
            "POST http://{}/a%20b: request failed with status {text}",
            server.addr
        );
        assert_eq!(error.to_string(), expected);
        // To whoever only asks, it is an answer like others.
        assert_eq!(client.ask(&asked).await.unwrap().status, status);
    }
}

#[tokio::test]
async fn events_come_one_by_one_and_a_break_is_an_error() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let whole =
        "\u{feff}data: {\"a\":1}\r\n\r\n: ping\n\ndata: {\ndata: \"a\":2}\n\ndata: [DONE]\n\n";
    for at in 0..whole.len() {
        let (first, second) = whole.as_bytes().split_at(at);
        let mut bytes = head.as_bytes().to_vec();
        for part in [first, second] {
            if !part.is_empty() {
                bytes.extend(format!("{:x}\r\n", part.len()).as_bytes());
                bytes.extend(part);
                bytes.extend(b"\r\n");
            }
        }
        let is_broken = at % 2 == 0;
        bytes.extend(if is_broken {
            &b"5\r\nda"[..]
        } else {
            b"0\r\n\r\n"
        });
        let server = Server::start(move |_| raw(&bytes, Then::Close)).await;
        let answer = client().send(&get(&server, "/")).await.unwrap();
        let Value::Handle(handle) = answer.value else {
            panic!("no handle");
        };
        let source = EventSource::of(&handle).unwrap();
        let mut values = source.take_values(Some(StreamFormat::Json)).unwrap();
        assert_eq!(values.next().await.unwrap().unwrap(), json("{\"a\":1}"));
        assert_eq!(values.next().await.unwrap().unwrap(), json("{\"a\":2}"));
        assert_eq!(values.next().await.unwrap().unwrap(), Value::Null);
        match values.next().await {
            Some(Err(error)) if is_broken => {
                assert!(error.starts_with("the stream broke off: "), "{error}");
            }
            None if !is_broken => {}
            other => panic!("{other:?}"),
        }
        assert!(values.next().await.is_none());
        assert!(source.take().is_err());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_never_half() {
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhalf";
    let server = Server::start(move |_| raw(text, Then::Close)).await;
    let error = client().send(&get(&server, "/")).await.unwrap_err();
    assert!(matches!(error, AskError::Broken { .. }), "{error}");

    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let server = Server::start(move |_| raw(bytes, Then::Close)).await;
    let answer = client().send(&get(&server, "/")).await.unwrap();
    let Value::Handle(handle) = answer.value else {
        panic!("no handle");
    };
    let error = ByteSource::of(&handle)
        .unwrap()
        .read_all(100)
        .await
        .unwrap_err();
    assert!(matches!(error, StreamError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_in_one_line() {
    let server = Server::start(|_| raw("not HTTP at all\r\n\r\n", Then::Close)).await;
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    // It answers in the clear whatever it is sent.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_addr = plain.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
    });
    // No label of a name is that long, so no server of names is asked.
    let long = "x".repeat(64);
    for (url, beginning, part) in [
        (
            format!("http://{free}/x?hush"),
            format!("GET http://{free}/x: cannot connect: "),
            "Connection refused",
        ),
        (
            format!("http://{long}.invalid/x?hush"),
            format!("GET http://{long}.invalid/x: cannot connect: "),
            "lookup",
        ),
        (
            format!("https://{plain_addr}/x?hush"),
            format!("GET https://{plain_addr}/x: cannot connect: "),
            "the server does not speak TLS",
        ),
        (
            format!("{}/x?hush", server.base()),
            format!("GET {}/x: ", server.base()),
            "invalid HTTP",
        ),
    ] {
        let asked = Request::new(Method::Get, Url::endpoint(&url).unwrap());
        let error = client().send(&asked).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&beginning), "{text}");
        assert!(
            text.contains(part) && text.len() > beginning.len(),
            "{text}"
        );
        assert!(!text.contains('\n') && !text.contains("hush"), "{text}");
        assert!(!error.is_lasting());
    }
}

/// Runs are tasks, and tasks move from thread to thread.
fn movable<T: Send>(future: T) -> T {
    future
}

#[tokio::test]
async fn a_poll_asks_until_the_answer_says_so() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => raw("", Then::Close),
        1 => reply(
            503,
            "Content-Type: application/json\r\n",
            "{\"s\":\"up soon\"}",
        ),
        _ => reply(
            200,
            "Content-Type: application/json\r\n",
            "{\"s\":\"done\"}",
        ),
    })
    .await;
    let rules = PollRules {
        success_when: vec!["done".to_owned()],
        fail_when: vec!["failed".to_owned()],
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(20),
    };
    let status = |value: &Value| Ok(value.as_map().and_then(|map| map.get("s")).cloned());
    let mut rounds = Vec::new();
    let (client, asked) = (client(), get(&server, "/"));
    let polling = poll(&client, &asked, &rules, status, |round| {
        rounds.push(round.as_ref().map_or(0, |answer| answer.status));
    });
    let answer = movable(polling).await.unwrap();
    assert_eq!(answer.value, json("{\"s\":\"done\"}"));
    assert_eq!(rounds, [0, 503, 200]);
}
