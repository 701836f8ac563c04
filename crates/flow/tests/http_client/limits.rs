//! What waiting, memory and connections are limited to.

use std::time::Duration;

use adit_flow::expr::Value;
use adit_flow::http::{AskError, Client, Config};
use adit_flow::stream::{ByteSource, EventSource, StreamError};
use adit_testkit::wait;
use futures_util::StreamExt as _;
use tokio::task::JoinSet;

use super::server::{Server, Then, raw};
use super::{client, get};

const MEBIBYTE: usize = 1 << 20;

/// What is on its way: buffers of two sockets.
const ON_THE_WAY: usize = 16 * MEBIBYTE;

/// Within this, a busy machine answers on its loopback; and a test may take so long.
const AMPLE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn an_answer_of_100_mebibytes_is_refused_when_64_have_come() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    let then = Then::Pour {
        bytes: 100 * MEBIBYTE,
        is_chunked: true,
    };
    let server = Server::start(move |_| raw(head, then)).await;
    let error = client().send(&get(&server, "/")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("the answer has more than 67108864 bytes"),
        "{text}"
    );
    server.until_closed().await;
    let poured = server.poured();
    assert!(poured >= 64 * MEBIBYTE, "{poured}");
    assert!(poured <= 64 * MEBIBYTE + ON_THE_WAY, "{poured}");
}

#[tokio::test]
async fn an_answer_that_says_it_is_too_long_is_not_read() {
    let bytes = 100 * MEBIBYTE;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n"
    );
    let then = Then::Pour {
        bytes,
        is_chunked: false,
    };
    let server = Server::start(move |_| raw(&head, then)).await;
    let error = client().send(&get(&server, "/")).await.unwrap_err();
    assert!(matches!(error, AskError::Answer { .. }), "{error}");
    server.until_closed().await;
    assert!(server.poured() <= ON_THE_WAY, "{}", server.poured());
}

#[tokio::test]
async fn a_stream_that_nobody_reads_stays_at_the_server() {
    let bytes = 100 * MEBIBYTE;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
    let then = Then::Pour {
        bytes,
        is_chunked: false,
    };
    let server = Server::start(move |_| raw(&head, then)).await;
    let answer = client().send(&get(&server, "/")).await.unwrap();
    let Value::Handle(handle) = answer.value else {
        panic!("no handle");
    };
    let source = ByteSource::of(&handle).unwrap();
    let mut chunks = source.take().unwrap();
    assert!(!chunks.next().await.unwrap().unwrap().is_empty());
    drop(chunks);
    server.until_closed().await;
    assert!(server.poured() <= ON_THE_WAY, "{}", server.poured());
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_told_so() {
    for reply in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let server = Server::start(move |_| raw(reply, Then::Hang)).await;
        let mut asked = get(&server, "/x?hush");
        asked.timeout = Some(Duration::from_millis(250));
        let error = client().send(&asked).await.unwrap_err();
        let text = format!("GET {}/x: no complete answer within 0.25 s", server.base());
        assert_eq!(error.to_string(), text);
        server.until_closed().await;
    }
    let error = "HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nhalf";
    let server = Server::start(move |_| raw(error, Then::Hang)).await;
    let mut asked = get(&server, "/x");
    asked.timeout = Some(AMPLE);
    let error = client().send(&asked).await.unwrap_err();
    assert!(
        error.to_string().ends_with("status 500\nResponse: half"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_in_which_nothing_comes_any_more_ends_with_an_error() {
    let pause = AMPLE;
    let config = Config {
        timeout: pause,
        ..Config::default()
    };
    let client = Client::new(config).unwrap();
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2";
    let server = Server::start(move |_| raw(text, Then::Hang)).await;
    let answer = client.send(&get(&server, "/")).await.unwrap();
    let Value::Handle(handle) = answer.value else {
        panic!("no handle");
    };
    let mut events = EventSource::of(&handle).unwrap().take().unwrap();
    assert_eq!(&events.next().await.unwrap().unwrap()[..], b"1");
    let stalled = StreamError::Stalled { pause };
    assert_eq!(events.next().await, Some(Err(stalled)));
    assert!(events.next().await.is_none());
    server.until_closed().await;
}

#[tokio::test]
async fn who_stops_asking_closes_the_connection() {
    let server = Server::start(|_| raw("", Then::Hang)).await;
    let asked = get(&server, "/");
    let client = client();
    let mut asking = JoinSet::new();
    asking.spawn(async move { client.send(&asked).await });
    wait::until_async("the request has arrived", async || {
        if server.seen().is_empty() {
            Err("no")
        } else {
            Ok(())
        }
    })
    .await;
    asking.shutdown().await;
    server.until_closed().await;
}
