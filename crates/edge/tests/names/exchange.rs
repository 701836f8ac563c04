//! One request, and many on one connection.

use std::time::Duration;

use adit_edge::http::Settings;
use tokio::io::AsyncWriteExt;

use crate::place::{Stand, Talk, echo_heads, field, route};

#[tokio::test]
async fn a_request_is_led_to_who_serves_its_name() {
    let stand = Stand::usual();
    let _upstream = stand.upstream(1, echo_heads).await;
    let mut visitor = stand.visitor().await;
    for _ in 0..3 {
        visitor
            .say("GET /a%20b?x=1&y=%2F HTTP/1.1\r\nHost: APP.test:80\r\nX-Mine: 1\r\n\r\n")
            .await;
        let (head, seen) = visitor.answer().await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(seen.starts_with("GET /a%20b?x=1&y=%2F HTTP/1.1"), "{seen}");
        assert_eq!(field(&seen, "host"), Some("app.test"));
        assert_eq!(field(&seen, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(field(&seen, "x-mine"), Some("1"));
    }
    assert_eq!(stand.dial.dialled.lock().unwrap().len(), 1, "it is kept");
    for (host, wanted) in [("other.test", "404"), ("a b", "400"), ("", "400")] {
        visitor
            .say(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        let (head, _) = visitor.answer().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {wanted}")), "{head}");
    }
    drop(visitor);
    let lines = stand.lines.clone();
    stand.end().await;
    let lines = lines.0.lock().unwrap();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(
        lines[0].starts_with("GET app.test /a%20b 200 0 "),
        "{lines:?}"
    );
}

#[tokio::test]
async fn what_is_no_request_is_answered_in_its_turn_and_never_led_on() {
    let stand = Stand::usual();
    let _upstream = stand.upstream(1, echo_heads).await;
    let mut visitor = stand.visitor().await;
    visitor
        .say(
            "GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\n\
             POST /2 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
             GET /3 HTTP/1.1\r\nHost: app.test\r\n\r\n",
        )
        .await;
    let (_, seen) = visitor.answer().await;
    assert!(seen.starts_with("GET /1 "));
    let (head, text) = visitor.answer().await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"));
    assert!(text.contains("length twice"), "{text}");
    assert!(visitor.rest().await.is_empty());
    stand.end().await;
}

#[tokio::test]
async fn bodies_go_both_ways_in_pieces_and_whole() {
    let stand = Stand::usual();
    let _upstream = stand
        .upstream(1, |socket| async move {
            let mut talk = Talk::new(socket);
            while let Some(head) = talk.head().await {
                let length: usize = field(&head, "content-length").unwrap().parse().unwrap();
                let body = talk.bytes(length).await;
                talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await;
                for piece in body.chunks(10_000) {
                    talk.say(format!("{:x}\r\n", piece.len())).await;
                    talk.say(piece).await;
                    talk.say("\r\n").await;
                }
                talk.say("0\r\n\r\n").await;
            }
        })
        .await;
    let mut visitor = stand.visitor().await;
    let body: Vec<u8> = (0..1_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    for _ in 0..2 {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        visitor.say(head).await;
        assert_eq!(
            visitor.head().await.as_deref(),
            Some("HTTP/1.1 100 Continue")
        );
        visitor.socket.write_all(&body).await.unwrap();
        let head = visitor.head().await.unwrap();
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        let mut got = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = visitor.read.windows(2).position(|two| two == b"\r\n") {
                    break String::from_utf8(visitor.bytes(end + 2).await).unwrap();
                }
                let next = visitor.bytes(visitor.read.len() + 1).await;
                visitor.read.splice(0..0, next);
            };
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            got.extend(visitor.bytes(length).await);
            visitor.bytes(2).await;
            if length == 0 {
                break;
            }
        }
        assert!(got == body, "the bytes differ");
    }
    assert_eq!(stand.dial.dialled.lock().unwrap().len(), 1);
    drop(visitor);
    stand.end().await;
}

#[tokio::test]
async fn a_connection_at_rest_serves_on() {
    let stand = Stand::new(
        vec![route("app.test", 1, &[1])],
        Settings {
            rest_after: Duration::ZERO,
            ..Settings::default()
        },
    );
    let _upstream = stand.upstream(1, echo_heads).await;
    let mut visitor = stand.visitor().await;
    for rests in 1..=3 {
        visitor
            .say("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .await;
        let (head, _) = visitor.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        adit_testkit::wait::until_async("the connection rests", || {
            let counts = stand.server.counts();
            async move {
                if counts.rests >= rests {
                    Ok(())
                } else {
                    Err(counts)
                }
            }
        })
        .await;
    }
    drop(visitor);
    stand.end().await;
}

#[tokio::test]
async fn a_websocket_goes_through_and_nothing_else_does() {
    let stand = Stand::usual();
    let _upstream = stand
        .upstream(1, |socket| async move {
            let mut talk = Talk::new(socket);
            let head = talk.head().await.unwrap();
            if field(&head, "upgrade") != Some("websocket") {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
                talk.say(answer).await;
                return;
            }
            talk.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst ")
                .await;
            loop {
                let byte = talk.bytes(1).await;
                if byte == b"." {
                    return;
                }
                talk.say(byte).await;
            }
        })
        .await;
    let mut visitor = stand.visitor().await;
    visitor
        .say("GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nahead ")
        .await;
    let head = visitor.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    visitor.say("and more.").await;
    assert_eq!(visitor.rest().await, b"first ahead and more");
    drop(visitor);
    let mut visitor = stand.visitor().await;
    visitor
        .say("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n")
        .await;
    let (head, seen) = visitor.answer().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(
        (
            field(&seen, "upgrade"),
            field(&seen, "http2-settings"),
            field(&seen, "connection")
        ),
        (None, None, None),
        "{seen}"
    );
    drop(visitor);
    stand.end().await;
}
