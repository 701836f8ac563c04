//! What a listener does not wait for, does not read, and does not hold.

use std::time::Duration;

use adit_flow::listen::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{DEADLINE, JSON, Lab, outcome, request, rss, short, timed};

const SEED: &str = "type: http-callback, path: /c, identify_by: '${body.id}'";
const SHORT: Duration = Duration::from_millis(300);
const TOO_LARGE: &str = r#"413 {"detail":"Payload Too Large"}"#;

#[tokio::test]
async fn slow_heads_are_closed_and_nobody_waits_for_them() {
    let limits = Limits {
        head: SHORT,
        ..Limits::USUAL
    };
    let lab = Lab::with_limits(SEED, limits).await;
    let waiting = lab.waiting("a");
    let mut slow = Vec::new();
    for beginning in [
        "",
        "P",
        "POST /c HTTP/1.1\r\n",
        "POST /c HTTP/1.1\r\nhost: h\r\na: ",
    ] {
        for _ in 0..25 {
            let mut client = lab.dial().await;
            client.send(beginning).await;
            slow.push(client);
        }
    }
    // Connections that are kept wait as long as new ones.
    let mut kept = lab.dial().await;
    kept.send(request("POST", "/c", "", "")).await;
    assert_eq!(short(&kept.answer().await), "200");
    slow.push(kept);
    assert_eq!(short(&lab.post("/c", JSON, r#"{"id":"a"}"#).await), "200");
    assert_eq!(outcome(waiting).await, r#"{"id":"a"}"#);
    for client in &mut slow {
        let rest = client.rest().await;
        assert!(!rest.contains("200"), "{rest}");
    }
}

#[tokio::test]
async fn slow_bodies_are_answered_and_closed() {
    let limits = Limits {
        body: SHORT,
        linger: SHORT,
        ..Limits::USUAL
    };
    let lab = Lab::with_limits(SEED, limits).await;
    let mut client = lab.dial().await;
    client
        .send("POST /c HTTP/1.1\r\ncontent-length: 5\r\n\r\n1")
        .await;
    let answer = client.rest().await;
    assert_eq!(short(&answer), r#"408 {"detail":"Request Timeout"}"#);
    assert!(answer.contains("\nconnection: close\n"), "{answer}");
    // One that breaks off is nobody's.
    let mut client = lab.dial().await;
    client
        .send("POST /c HTTP/1.1\r\ncontent-length: 5\r\n\r\n1")
        .await;
    client.0.shutdown().await.unwrap();
    assert_eq!(
        short(&client.rest().await),
        r#"400 {"detail":"Bad Request"}"#
    );
}

#[tokio::test]
async fn a_body_is_as_long_as_its_path_allows() {
    let lab = Lab::new(
        "type: http-callback, callbacks: [{path: /c}, {path: /s, body_limit: 10}, {path: /l, body_limit: 3MiB}]",
    )
    .await;
    for (path, limit) in [("/c", 1 << 20), ("/s", 10), ("/l", 3 << 20)] {
        let body = "x".repeat(limit + 1);
        let (most, more) = (&body[1..], &body);
        assert_eq!(short(&lab.post(path, "", most).await), "200", "{path}");
        assert_eq!(short(&lab.post(path, "", more).await), TOO_LARGE, "{path}");
        let chunked = |body: &str| {
            format!(
                "POST {path} HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                 {:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )
        };
        assert_eq!(short(&lab.ask(chunked(most)).await), "200", "{path}");
        assert_eq!(short(&lab.ask(chunked(more)).await), TOO_LARGE, "{path}");
    }
    let zipped = lab.post("/c", "content-encoding: gzip\r\n", "x").await;
    assert_eq!(short(&zipped), r#"415 {"detail":"Unsupported Media Type"}"#);
}

#[tokio::test]
async fn a_hundred_megabytes_are_refused_at_their_beginning() {
    const SIZE: usize = 100 << 20;
    let lab = Lab::new(SEED).await;
    let before = rss();
    for head in [
        format!("POST /c HTTP/1.1\r\ncontent-length: {SIZE}\r\n\r\n"),
        format!("POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{SIZE:x}\r\n"),
    ] {
        let mut client = lab.dial().await;
        client.send(&head).await;
        let (read, mut write) = client.0.into_split();
        let sending = async {
            let part = vec![b'x'; 1 << 16];
            for _ in 0..SIZE / part.len() {
                if write.write_all(&part).await.is_err() {
                    return;
                }
            }
        };
        let mut answer = Vec::new();
        let mut read = read;
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut answer);
        let both = async {
            tokio::select! { read = reading => drop(read), () = sending => {} }
        };
        timeout(DEADLINE, both).await.expect("the answer is early");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(
            answer.ends_with(r#"{"detail":"Payload Too Large"}"#),
            "{answer}"
        );
    }
    let growth = rss().saturating_sub(before);
    assert!(growth < 16 << 20, "{growth} bytes more");
}

#[tokio::test]
async fn bodies_share_a_room() {
    let limits = Limits {
        bodies_bytes: 100,
        ..Limits::USUAL
    };
    let lab = Lab::with_limits(&format!("{SEED}, body_limit: 100"), limits).await;
    let held = "x".repeat(99);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = lab.dial().await;
        client
            .send("POST /c HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 100\r\nconnection: close\r\n\r\n")
            .await;
        assert!(client.answer().await.starts_with("HTTP/1.1 100 "));
        client.send(&held).await;
        clients.push(client);
    }
    // The bytes of both arrive sometime; from then on there is no room for more than two.
    let full = adit_testkit::wait::until_async("the room is full", || async {
        let answer = short(&lab.post("/c", "", "xxx").await);
        if answer.starts_with("503") {
            Ok(answer)
        } else {
            Err(answer)
        }
    });
    assert_eq!(full.await, r#"503 {"detail":"Service Unavailable"}"#);
    for client in &mut clients {
        client.send("x").await;
        assert_eq!(short(&client.rest().await), "200");
    }
    assert_eq!(short(&lab.post("/c", "", "xxx").await), "200");
}

#[tokio::test]
async fn more_connections_than_there_may_be_wait() {
    let limits = Limits {
        connections: 1,
        ..Limits::USUAL
    };
    let lab = Lab::with_limits(SEED, limits).await;
    let request = request("POST", "/c", "", "");
    let mut first = lab.dial().await;
    first.send(&request).await;
    first.answer().await;
    let mut second = lab.dial().await;
    second.send(&request).await;
    for _ in 0..20 {
        first.send(&request).await;
        first.answer().await;
    }
    assert!(second.is_silent());
    drop(first);
    assert_eq!(short(&second.answer().await), "200");
}

#[tokio::test]
async fn more_requests_than_the_file_allows_wait_for_their_turn() {
    let lab = Lab::new(&format!("{SEED}, max_concurrent_count: 1")).await;
    let mut first = lab.dial().await;
    let head = "POST /c HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    first.send(head).await;
    assert!(first.answer().await.starts_with("HTTP/1.1 100 "));
    let mut second = lab.dial().await;
    second.send(request("POST", "/c", "", "")).await;
    for _ in 0..20 {
        assert!(short(&lab.post("/x", "", "").await).starts_with("404"));
    }
    assert!(second.is_silent());
    first.send("{}").await;
    assert_eq!(short(&first.answer().await), "200");
    assert_eq!(short(&second.answer().await), "200");
}

#[tokio::test]
async fn who_has_no_turn_in_time_is_told() {
    let limits = Limits {
        turn: SHORT,
        ..Limits::USUAL
    };
    let lab = Lab::with_limits(&format!("{SEED}, max_concurrent_count: 1"), limits).await;
    let mut first = lab.dial().await;
    let head = "POST /c HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    first.send(head).await;
    first.answer().await;
    let answer = short(&lab.post("/c", "", "").await);
    assert_eq!(answer, r#"503 {"detail":"Service Unavailable"}"#);
    first.send("{}").await;
    assert_eq!(short(&first.answer().await), "200");
}

#[tokio::test]
async fn a_stop_lets_a_request_finish_and_takes_no_new_one() {
    let mut lab = Lab::new(SEED).await;
    let waiting = lab.waiting("a");
    let mut idle = lab.dial().await;
    idle.send(request("POST", "/c", "", "")).await;
    idle.answer().await;
    let mut client = lab.dial().await;
    let head =
        format!("POST /c HTTP/1.1\r\nexpect: 100-continue\r\n{JSON}content-length: 10\r\n\r\n");
    client.send(head).await;
    assert!(client.answer().await.starts_with("HTTP/1.1 100 "));
    lab.stop.cancel();
    assert_eq!(idle.rest().await.trim(), "");
    let dialled = TcpStream::connect(("127.0.0.1", lab.port)).await;
    assert!(dialled.is_err());
    client.send(r#"{"id":"a"}"#).await;
    assert_eq!(short(&client.rest().await), "200");
    assert_eq!(outcome(waiting).await, r#"{"id":"a"}"#);
    timeout(DEADLINE, lab.running.join_next())
        .await
        .expect("it ends");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let limits = Limits {
        drain: SHORT,
        ..Limits::USUAL
    };
    let mut lab = Lab::with_limits(SEED, limits).await;
    let mut client = lab.dial().await;
    client
        .send("POST /c HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n")
        .await;
    client.answer().await;
    lab.stop.cancel();
    let ended = timeout(DEADLINE, lab.running.join_next());
    let (ended, took) = timed(ended).await;
    assert!(ended.is_ok() && took < Limits::USUAL.drain, "{took:?}");
}

#[tokio::test]
async fn no_connection_is_kept_for_ever() {
    let limits = Limits {
        lifetime: SHORT,
        ..Limits::USUAL
    };
    let lab = Lab::with_limits(SEED, limits).await;
    let mut client = lab.dial().await;
    client.send(request("POST", "/c", "", "")).await;
    assert_eq!(short(&client.answer().await), "200");
    let (rest, took) = timed(client.rest()).await;
    assert!(
        rest.trim().is_empty() && took < Limits::USUAL.head,
        "{rest}{took:?}"
    );
}

#[tokio::test]
async fn a_panic_is_one_connections_end() {
    let lab = Lab::new("type: http-trigger, path: /t, workflow: '${body}'").await;
    let text = "content-type: text/plain\r\n";
    let mut other = lab.dial().await;
    other.send(request("POST", "/t", text, "w")).await;
    assert!(short(&other.answer().await).starts_with("200"));
    assert_eq!(lab.post("/t", text, "panic").await.trim(), "");
    other.send(request("POST", "/t", text, "w")).await;
    assert!(short(&other.answer().await).starts_with("200"));
}
