//! Visitors and upstreams that are slow, silent, gone or wrong.

use std::time::Duration;

use adit_edge::http::Settings;
use adit_edge::route::{Balance, Route};
use adit_testkit::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::place::{Stand, Talk, echo_heads, field, route};

fn with(settings: Settings) -> Stand {
    Stand::new(vec![route("app.test", 1, &[1])], settings)
}

/// Answers each request with so many bytes as its path says.
async fn by_length(socket: tokio::net::TcpStream) {
    let mut talk = Talk::new(socket);
    while let Some(head) = talk.head().await {
        let length = head.split([' ', '/']).nth(2).unwrap();
        talk.say(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
        let body = vec![b'x'; length.parse().unwrap()];
        // The visitor may have left.
        if talk.socket.write_all(&body).await.is_err() {
            return;
        }
    }
}

/// A visitor with next to no room for what it is told.
async fn narrow(stand: &Stand) -> Talk {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    Talk::new(socket.connect(stand.address).await.unwrap())
}

#[tokio::test]
async fn an_answer_that_leaves_slowly_leaves_whole() {
    const LENGTH: usize = 64 << 20;
    let stand = with(Settings {
        rest_after: Duration::ZERO,
        ..Settings::default()
    });
    let _upstream = stand.upstream(1, by_length).await;
    let mut visitor = narrow(&stand).await;
    visitor
        .say(format!("GET /{LENGTH} HTTP/1.1\r\nHost: app.test\r\n\r\n"))
        .await;
    let head = visitor.head().await.unwrap();
    assert_eq!(field(&head, "content-length"), Some("67108864"));
    // It reads no more than it must until all was given away: what is last waits here, and the system is full.
    let mut read = 0;
    while stand.lines.0.lock().unwrap().is_empty() {
        read += visitor.bytes(4_096).await.len();
    }
    assert!(read < LENGTH - (256 << 10), "{read}");
    // The connection looks at its clocks meanwhile.
    let broken = visitor.socket.ready(Interest::ERROR);
    timeout(Duration::from_millis(2_500), broken)
        .await
        .unwrap_err();
    read += visitor.bytes(LENGTH - read).await.len();
    assert_eq!(read, LENGTH);
    drop(visitor);
    stand.end().await;
}

#[tokio::test]
async fn g74_a_visitor_who_takes_nothing_is_reset_in_time() {
    let stand = with(Settings {
        stall_time: Duration::from_secs(1),
        ..Settings::default()
    });
    let _upstream = stand.upstream(1, by_length).await;
    let mut visitor = narrow(&stand).await;
    visitor
        .say("GET /100000000 HTTP/1.1\r\nHost: app.test\r\n\r\nGET /")
        .await;
    let broken = visitor.socket.ready(Interest::ERROR);
    timeout(Duration::from_secs(10), broken)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stand.server.counts().stalled, 1);
    // No word of ours is within what it was told.
    let mut told = Vec::new();
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = visitor.socket.read(&mut bytes).await {
        told.extend_from_slice(&bytes[..count]);
    }
    let head = told
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    assert!(told[head + 4..].iter().all(|byte| *byte == b'x'));
    stand.end().await;
}

#[tokio::test]
async fn g69_a_protocol_that_nobody_asked_for_is_not_begun() {
    let stand = Stand::usual();
    let _upstream = stand
        .upstream(1, |socket| async move {
            let mut talk = Talk::new(socket);
            talk.head().await.unwrap();
            talk.say(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
            .await;
            assert_eq!(talk.rest().await, b"", "what is another's");
        })
        .await;
    for asked in [
        "",
        "Connection: keep-alive\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
    ] {
        let mut visitor = stand.visitor().await;
        visitor
            .say(format!(
                "GET / HTTP/1.1\r\nHost: app.test\r\n{asked}\r\nGET /2 HTTP/1.1\r\nHost: other.test\r\n\r\n"
            ))
            .await;
        let (head, _) = visitor.answer().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        let (head, _) = visitor.answer().await;
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    }
    stand.end().await;
}

#[tokio::test]
async fn an_upload_may_last_as_long_as_it_moves() {
    let patience = Duration::from_millis(200);
    let stand = with(Settings {
        answer_time: patience,
        ..Settings::default()
    });
    let (said, mut takes) = mpsc::channel(1);
    let _upstream = stand
        .upstream(1, move |socket| {
            let heard = said.clone();
            async move {
                let mut talk = Talk::new(socket);
                talk.head().await.unwrap();
                while talk.bytes(1).await != b"." {
                    heard.send(()).await.unwrap();
                }
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        })
        .await;
    let mut visitor = stand.visitor().await;
    visitor
        .say("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    let since = Instant::now();
    while since.elapsed() < patience * 5 {
        visitor.say("x").await;
        takes.recv().await.unwrap();
    }
    visitor.say(".").await;
    let (head, _) = visitor.answer().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(visitor);
    // And where it does not move, the answer is late.
    let mut visitor = stand.visitor().await;
    visitor
        .say("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\n")
        .await;
    let (head, _) = visitor.answer().await;
    assert!(head.starts_with("HTTP/1.1 504"), "{head}");
    drop(visitor);
    stand.end().await;
}

#[tokio::test]
async fn g67_a_connection_that_answered_early_is_not_asked_again() {
    let stand = Stand::usual();
    let _upstream = stand
        .upstream(1, |socket| async move {
            let mut talk = Talk::new(socket);
            while let Some(head) = talk.head().await {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}",
                    head.len()
                );
                talk.say(answer).await;
            }
        })
        .await;
    let mut visitor = stand.visitor().await;
    let body = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
    visitor
        .say(format!(
            "POST /1 HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ))
        .await;
    let (_, seen) = visitor.answer().await;
    assert!(seen.starts_with("POST /1 "), "{seen}");
    // It may be closed by now.
    visitor.socket.write_all(body.as_bytes()).await.ok();
    // Whoever comes next on this connection or another one is asked for alone.
    let mut answers = 0;
    for mut visitor in [visitor, stand.visitor().await] {
        let next = b"GET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n";
        visitor.socket.write_all(next).await.ok();
        if let Some(head) = visitor.head().await {
            let length = field(&head, "content-length").unwrap().parse().unwrap();
            let seen = String::from_utf8(visitor.bytes(length).await).unwrap();
            assert!(seen.starts_with("GET /2 "), "{seen}");
            answers += 1;
        }
    }
    assert!(answers > 0 && stand.dial.dialled.lock().unwrap().len() > 1);
    stand.end().await;
}

#[tokio::test]
async fn a_visitor_who_breaks_off_is_not_answered_for_nobody() {
    let stand = Stand::usual();
    let (asked, mut asks) = mpsc::channel(1);
    let (left, mut leaves) = mpsc::channel(1);
    let _upstream = stand
        .upstream(1, move |socket| {
            let (asked, left) = (asked.clone(), left.clone());
            async move {
                let mut talk = Talk::new(socket);
                let head = talk.head().await.unwrap();
                if head.contains("/answers") {
                    talk.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstill ")
                        .await;
                }
                asked.send(()).await.unwrap();
                left.send(talk.rest().await).await.unwrap();
            }
        })
        .await;
    for path in ["waits", "answers"] {
        let mut visitor = stand.visitor().await;
        visitor
            .say(format!("GET /{path} HTTP/1.1\r\nHost: app.test\r\n\r\n"))
            .await;
        asks.recv().await.unwrap();
        visitor.socket.set_zero_linger().unwrap();
        drop(visitor);
        let told = timeout(wait::DEADLINE, leaves.recv()).await;
        assert_eq!(told.unwrap().unwrap(), b"", "{path}");
    }
    stand.end().await;
}

#[tokio::test]
async fn a_visitor_who_has_said_all_is_still_answered() {
    let stand = Stand::usual();
    let (said, mut says) = mpsc::channel(1);
    let (go, goes) = tokio::sync::watch::channel(false);
    let _upstream = stand
        .upstream(1, move |socket| {
            let (said, mut goes) = (said.clone(), goes.clone());
            async move {
                let mut talk = Talk::new(socket);
                let _head = talk.head().await.unwrap();
                said.send(()).await.unwrap();
                goes.wait_for(|goes| *goes).await.unwrap();
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                    .await;
            }
        })
        .await;
    let mut visitor = stand.visitor().await;
    visitor
        .say("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        .await;
    visitor.socket.shutdown().await.unwrap();
    says.recv().await.unwrap();
    go.send(true).unwrap();
    let (_, text) = visitor.answer().await;
    assert_eq!(text, "hello");
    assert!(visitor.rest().await.is_empty());
    stand.end().await;
}

#[tokio::test]
async fn the_member_that_hangs_is_not_asked_for_more() {
    let pool = Route {
        upstream: adit_edge::route::Upstream {
            balance: Balance::LeastStreams,
            ..route("app.test", 1, &[1, 2]).upstream
        },
        ..route("app.test", 1, &[1, 2])
    };
    let stand = Stand::new(vec![pool], Settings::default());
    let (asked, mut asks) = mpsc::channel(1);
    let _hangs = stand
        .upstream(1, move |socket| {
            let asked = asked.clone();
            async move {
                let mut talk = Talk::new(socket);
                talk.head().await.unwrap();
                asked.send(()).await.unwrap();
                talk.rest().await;
            }
        })
        .await;
    let _answers = stand.upstream(2, echo_heads).await;
    let mut first = stand.visitor().await;
    first.say("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    asks.recv().await.unwrap();
    for _ in 0..3 {
        let mut visitor = stand.visitor().await;
        visitor
            .say("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .await;
        let (head, _) = visitor.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    first.socket.set_zero_linger().unwrap();
    drop(first);
    stand.end().await;
}

#[tokio::test]
async fn a_get_may_have_a_body_in_chunks() {
    let stand = Stand::usual();
    let _upstream = stand
        .upstream(1, |socket| async move {
            let mut talk = Talk::new(socket);
            let head = talk.head().await.unwrap();
            assert_eq!(field(&head, "transfer-encoding"), Some("chunked"), "{head}");
            let body = talk.bytes(15).await;
            talk.say("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n")
                .await;
            talk.say(body).await;
        })
        .await;
    let mut visitor = stand.visitor().await;
    let body = "5\r\nhello\r\n0\r\n\r\n";
    visitor
        .say(format!(
            "GET / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ))
        .await;
    assert_eq!(visitor.answer().await.1, body);
    stand.end().await;
}

#[tokio::test]
async fn a_kept_connection_that_closes_under_a_request_is_not_the_visitors_trouble() {
    let stand = Stand::usual();
    // Each connection answers once, and closes when it is asked again.
    let _upstream = stand
        .upstream(1, |socket| async move {
            let mut talk = Talk::new(socket);
            talk.head().await.unwrap();
            talk.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            talk.head().await;
        })
        .await;
    let mut visitors = JoinSet::new();
    for (method, wanted) in [("GET", "200"), ("POST", "502")] {
        let address = stand.address;
        visitors.spawn(async move {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut visitor = Talk::new(socket);
            let ask = format!("{method} / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n");
            visitor.say(&ask).await;
            assert!(visitor.answer().await.0.starts_with("HTTP/1.1 200"));
            // Long enough for the other end to have closed it, as far as anybody here can know.
            let silence = visitor.socket.ready(Interest::ERROR);
            timeout(Duration::from_millis(1_500), silence)
                .await
                .unwrap_err();
            visitor.say(&ask).await;
            let (head, _) = visitor.answer().await;
            let wanted = format!("HTTP/1.1 {wanted}");
            assert!(head.starts_with(&wanted), "{method}: {head}");
        });
    }
    visitors.join_all().await;
    stand.end().await;
}
