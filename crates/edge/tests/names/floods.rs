//! Visitors who say much, or little for long: what they may cost, and that others are served beside them.

use std::time::Duration;

use adit_edge::http::Settings;
use adit_testkit::{measure, wait};
use rustix::process::getpid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, Peer,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, reason, request,
};
use crate::place::{Stand, Talk, echo_heads, route};

fn stand() -> Stand {
    let settings = Settings {
        head_time: Duration::from_secs(2),
        stall_time: Duration::from_secs(2),
        threads: 1,
        ..Settings::default()
    };
    Stand::new(vec![route("app.test", 1, &[1])], settings)
}

fn ask(stream: u32) -> Frame {
    let block = request("GET", "app.test", "/", &[]);
    Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

fn cancel(stream: u32) -> Frame {
    Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 8])
}

/// Somebody else is served meanwhile.
async fn others_are_served(stand: &Stand) {
    let mut visitor = stand.visitor().await;
    visitor
        .say("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        .await;
    let (head, _) = timeout(wait::DEADLINE, visitor.answer()).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

/// Never answers.
async fn silent(socket: TcpStream) {
    Talk::new(socket).rest().await;
}

/// Why a connection was ended; nothing where it just was.
async fn farewell(
    peer: &mut Peer<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>,
) -> Option<&'static str> {
    let heard = timeout(wait::DEADLINE, peer.until(GOAWAY)).await;
    heard
        .expect("the connection is ended in time")
        .map(|frame| reason(&frame.payload[4..]))
}

#[tokio::test]
async fn g74_streams_that_are_taken_back_at_once_end_their_connection() {
    let stand = stand();
    let _upstream = stand.upstream(1, silent).await;
    // Before they were looked at: h2 itself counts them.
    let mut peer = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    let flood: Vec<Frame> = (0..1_000)
        .flat_map(|number| [ask(number * 2 + 1), cancel(number * 2 + 1)])
        .collect();
    peer.say(&flood).await;
    assert_eq!(farewell(&mut peer).await, Some("ENHANCE_YOUR_CALM"));
    // After they were: an answer to a ping says that they have been.
    let mut peer = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    let mut streams = 0;
    let told = loop {
        let stream = streams * 2 + 1;
        streams += 1;
        assert!(streams < 1_000, "nobody minds");
        peer.say(&[ask(stream), Frame::new(PING, 0, 0, [7; 8])])
            .await;
        let answered = loop {
            match peer.frame().await {
                Some(frame) if frame.kind == PING && frame.flags == ACK => break None,
                Some(frame) if frame.kind == GOAWAY => break Some(frame),
                Some(_) => {}
                None => panic!("it ended without a word after {streams}"),
            }
        };
        if answered.is_some() {
            break answered;
        }
        peer.say(&[cancel(stream)]).await;
    };
    let told = told.map(|frame| reason(&frame.payload[4..]));
    assert!(told.is_some() && streams >= 500, "{streams} {told:?}");
    assert_eq!(stand.server.counts().misused, 1);
    // And it is over although its visitor stays.
    while peer.frame().await.is_some() {}
    stand.end().await;
}

#[tokio::test]
async fn g74_h2_abuse_table() {
    let stand = stand();
    let _upstream = stand.upstream(1, echo_heads).await;
    let before = memory();
    // A table entry that is named again and again: 4 KiB for each byte (CVE-2016-6581).
    let mut bomb = request("GET", "app.test", "/", &[]);
    bomb.push(0x40);
    bomb.extend([1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4_000]);
    bomb.extend([0xbe; 8_000]);
    let long = "y".repeat(15_000);
    let piece = |end| Frame::new(CONTINUATION, end, 1, block(&[("x", &long)]));
    let head = request("GET", "app.test", "/", &[]);
    let mut endless = vec![Frame::new(HEADERS, END_STREAM, 1, head)];
    endless.extend((0..1_000).map(|_| piece(0)));
    let mut empty = vec![Frame::new(
        HEADERS,
        END_HEADERS,
        1,
        request("POST", "app.test", "/", &[]),
    )];
    empty.extend((0..100_000).map(|_| Frame::new(DATA, 0, 1, [])));
    let table: [(&str, Vec<Frame>); 7] = [
        (
            "a bomb of fields",
            vec![Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, bomb)],
        ),
        ("a head without an end (CVE-2024-27316)", endless),
        ("empty pieces of a body (RUSTSEC-2026-0258)", empty),
        (
            "settings without an end (CVE-2019-9515)",
            vec![Frame::new(SETTINGS, 0, 0, [0, 4, 0, 0, 255, 255]); 100_000],
        ),
        (
            "pings without an end (CVE-2019-9512)",
            vec![Frame::new(PING, 0, 0, [7; 8]); 200_000],
        ),
        (
            "more streams than there may be",
            (0..5_000).map(|number| ask(number * 2 + 1)).collect(),
        ),
        (
            "windows that grow by a byte",
            vec![Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]); 200_000],
        ),
    ];
    for (name, frames) in table {
        // Nothing of what is said back is read.
        let socket = stand.visitor_of_http2("app.test").await;
        let mut peer = Peer::begin(socket, &[]).await;
        let said = timeout(Duration::from_secs(3), peer.say(&frames)).await;
        others_are_served(&stand).await;
        let grown = memory().saturating_sub(before);
        // What the test itself holds is some of it.
        assert!(grown < 96 << 20, "{name}: {grown} bytes, said {said:?}");
        drop(peer);
    }
    stand.end().await;
}

#[tokio::test]
async fn g74_more_streams_than_there_may_be_are_refused() {
    let stand = stand();
    let _upstream = stand.upstream(1, silent).await;
    let mut peer = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    // What it may do is known once the settings have come.
    peer.until(SETTINGS).await.unwrap();
    let asks: Vec<Frame> = (0..101).map(|number| ask(number * 2 + 1)).collect();
    peer.say(&asks).await;
    let refused = peer.until(RST_STREAM).await.unwrap();
    assert_eq!(
        (refused.stream, reason(&refused.payload)),
        (201, "REFUSED_STREAM")
    );
    drop(peer);
    stand.end().await;
}

#[tokio::test]
async fn g74_a_stream_whose_visitor_takes_nothing_is_reset_and_the_others_go_on() {
    let stand = stand();
    let _upstream = stand
        .upstream(1, |socket| async move {
            let mut talk = Talk::new(socket);
            while talk.head().await.is_some() {
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                    .await;
                if talk.socket.write_all(&vec![b'x'; 1_000_000]).await.is_err() {
                    return;
                }
            }
        })
        .await;
    // No stream may say anything unless it is told so.
    let settings = [(4, 0)];
    let mut peer = Peer::begin(stand.visitor_of_http2("app.test").await, &settings).await;
    let grow = |stream, by: u32| Frame::new(WINDOW_UPDATE, 0, stream, by.to_be_bytes());
    peer.say(&[
        ask(1),
        ask(3),
        ask(5),
        grow(0, 1 << 30),
        grow(3, 1),
        grow(5, 1 << 30),
    ])
    .await;
    let mut reset = Vec::new();
    let mut got = 0;
    while reset.len() < 2 || got < 1_000_000 {
        let frame = peer.frame().await.expect("the connection stays");
        match (frame.kind, frame.stream) {
            (DATA, 5) => got += frame.payload.len(),
            // A byte at a time is no way to take it.
            (DATA, 3) => {
                peer.say(&[grow(3, 1)]).await;
            }
            (RST_STREAM, stream) => reset.push(stream),
            _ => {}
        }
    }
    reset.sort_unstable();
    assert_eq!(reset, [1, 3]);
    peer.say(&[ask(7)]).await;
    assert_eq!(peer.until(HEADERS).await.unwrap().stream, 7);
    drop(peer);
    stand.end().await;
}

#[tokio::test]
async fn g74_whoever_is_slow_on_purpose_has_as_long_as_it_takes_and_no_longer() {
    let stand = stand();
    let _upstream = stand.upstream(1, echo_heads).await;
    let ended = |text: &'static str, wanted: &'static str| {
        let visitor = stand.visitor();
        async move {
            let mut visitor = visitor.await;
            visitor.say(text).await;
            let told = timeout(wait::DEADLINE, visitor.rest()).await.unwrap();
            let told = String::from_utf8(told).unwrap();
            assert!(told.starts_with(wanted), "{text:?}: {told}");
        }
    };
    // A head that does not come on, a body that does not, and nothing at all.
    tokio::join!(
        ended("GET / HTTP/1.1\r\nHost: app.test\r\nX: ", "HTTP/1.1 408"),
        ended("\r\n", "HTTP/1.1 408"),
        ended(
            "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nx",
            "HTTP/1.1 408"
        ),
        ended("", ""),
    );
    // The same by TLS, before the handshake and after it, and in HTTP/2.
    let mut silent = TcpStream::connect(stand.secure).await.unwrap();
    let mut end = Vec::new();
    let read = timeout(wait::DEADLINE, silent.read_to_end(&mut end)).await;
    read.unwrap().unwrap();
    let mut peer = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    let head = request("GET", "app.test", "/", &[]);
    peer.say(&[Frame::new(HEADERS, END_STREAM, 1, head)]).await;
    let ended = timeout(wait::DEADLINE, async {
        while peer.frame().await.is_some() {}
    });
    ended.await.unwrap();
    // One who answers nothing does not stay for it.
    let mut mute = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    let ended = timeout(wait::DEADLINE, async {
        let mut bytes = [0; 1_024];
        while mute
            .socket
            .read(&mut bytes)
            .await
            .is_ok_and(|count| count > 0)
        {}
    });
    ended.await.unwrap();
    stand.end().await;
}

/// What this process holds, bytes.
fn memory() -> u64 {
    measure::memory(getpid())
        .expect("this process")
        .private_dirty_bytes
}
