//! Requests that two readers may take for different ones, at the edge and at nginx, side by side.
//!
//! What each answered and what came through to the backend behind it is a row of `docs/reference/http-abuse.md`. The
//! page is what was seen: `ADIT_WRITE=1` writes it anew, and the test fails where it is not that of the repository.

mod backend;
mod cases;
mod page;

use std::net::SocketAddr;
use std::time::Duration;

use adit_edge::http::Settings;
use adit_testkit::port::Port;
use adit_testkit::{nginx, require, wait};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::backend::Backend;
use self::cases::{Case, Said};
use crate::http2::{self, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, Peer, RST_STREAM};
use crate::place::{Stand, route};

/// What was seen of a case at one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    answers: String,
    /// What the backend got, one text for each request.
    requests: Vec<String>,
    /// Whether the next visitor was answered what it asked for.
    is_clean: bool,
}

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(8);

fn config(front: &Port, front2: &Port, back: SocketAddr) -> String {
    format!(
        "upstream back {{ server {back}; keepalive 8; }}\n\
         server {{ listen 127.0.0.1:{}; listen 127.0.0.1:{} http2; server_name app.test;\n\
         proxy_ignore_client_abort on; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         location / {{ proxy_pass http://back; }} }}\n\
         server {{ listen 127.0.0.1:{} default_server; return 404; }}",
        front.number(),
        front2.number(),
        front.number(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g67_smuggling_table_beside_nginx() {
    require!("nginx");
    let folder = tempfile::tempdir().unwrap();
    let (plain, http2) = (Port::reserve(), Port::reserve());
    let other = Backend::start().await;
    let front = nginx::serve(folder.path(), &config(&plain, &http2, other.address));
    let at = |port: &Port| SocketAddr::from(([127, 0, 0, 1], port.number()));
    wait::until_async("nginx listens", || async {
        let connected = TcpStream::connect(at(&http2)).await;
        connected.map_err(|error| (error, front.stderr()))
    })
    .await;
    let backend = Backend::start().await;
    let settings = Settings {
        threads: 1,
        ..Settings::default()
    };
    let stand = Stand::new(vec![route("app.test", 1, &[1])], settings);
    stand.dial.ports.lock().unwrap().insert(1, backend.address);
    let mut rows = Vec::new();
    let mut dangers = Vec::new();
    for case in cases::all() {
        let ours = match &case.said {
            Said::Bytes(bytes) => {
                let socket = TcpStream::connect(stand.address).await.unwrap();
                told(socket, bytes).await
            }
            Said::Frames(frames) => {
                let socket = stand.visitor_of_http2("app.test").await;
                framed(socket, frames).await
            }
        };
        let ours = backend.seen(ours, stand.address).await;
        let theirs = match &case.said {
            Said::Bytes(bytes) => told(TcpStream::connect(at(&plain)).await.unwrap(), bytes).await,
            Said::Frames(frames) => {
                framed(TcpStream::connect(at(&http2)).await.unwrap(), frames).await
            }
        };
        let theirs = other.seen(theirs, at(&plain)).await;
        dangers.extend(danger(&case, &ours));
        rows.push((case, ours, theirs));
    }
    assert!(rows.len() > 90, "{}", rows.len());
    assert!(dangers.is_empty(), "{dangers:#?}");
    stand.end().await;
    page::compare(&rows);
}

/// What must not be.
fn danger(case: &Case, seen: &Seen) -> Option<String> {
    let is_smuggled = seen
        .requests
        .iter()
        .any(|it| it.starts_with("GET /smuggled"));
    let is_for_another = seen.requests.iter().any(|it| it.contains("host:"));
    let is_lied_to = seen.requests.iter().any(|it| it.contains("forwarded:"));
    let is_bad = is_smuggled || is_for_another || is_lied_to || !seen.is_clean;
    is_bad.then(|| format!("{}: {seen:?}", case.name))
}

/// Says it all and hears all that is said to it.
async fn told(mut socket: TcpStream, bytes: &[u8]) -> String {
    // Who does not like what it reads may close before it has read all.
    socket.write_all(bytes).await.ok();
    socket.shutdown().await.ok();
    let mut heard = Vec::new();
    let heard_all = timeout(PATIENCE, socket.read_to_end(&mut heard)).await;
    let mut answers = answers(&heard);
    if heard_all.is_err() {
        answers.push(String::from("waits"));
    }
    if answers.is_empty() {
        answers.push(String::from("closed"));
    }
    answers.join(", ")
}

/// The statuses of answers one behind the other.
fn answers(mut bytes: &[u8]) -> Vec<String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let Some((first, _)) = text
            .split_once("\r\n\r\n")
            .filter(|_| text.starts_with("HTTP/1."))
        else {
            answers.push(String::from("an answer without a head"));
            break;
        };
        let status = first.split(' ').nth(1).unwrap().to_owned();
        let length = crate::place::field(first, "content-length");
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        bytes = bytes.get(first.len() + 4 + length..).unwrap_or_default();
        answers.push(status);
    }
    answers
}

/// Says frames on stream 1, and a request on stream 3 behind them.
async fn framed<S: AsyncRead + AsyncWrite + Unpin>(socket: S, frames: &[Frame]) -> String {
    let mut peer = Peer::begin(socket, &[]).await;
    let mut after = frames.to_vec();
    after.push(Frame::new(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        http2::request("GET", "app.test", "/after", &[]),
    ));
    peer.say(&after).await;
    let mut answers = Vec::new();
    let mut open = 2;
    let heard = timeout(PATIENCE, async {
        while open > 0 {
            let Some(frame) = peer.frame().await else {
                answers.push(String::from("closed"));
                return;
            };
            let on = if frame.stream == 3 { "next " } else { "" };
            match frame.kind {
                HEADERS => answers.push(format!("{on}{}", frame.status())),
                RST_STREAM => {
                    answers.push(format!("{on}RST_STREAM {}", http2::reason(&frame.payload)));
                    open -= 1;
                }
                GOAWAY => {
                    let reason = http2::reason(&frame.payload[4..]);
                    answers.push(format!("GOAWAY {reason}"));
                    if reason != "NO_ERROR" {
                        return;
                    }
                }
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                open -= 1;
            }
        }
    })
    .await;
    if heard.is_err() {
        answers.push(String::from("waits"));
    }
    // Streams are answered in any order.
    answers.sort();
    answers.join(", ")
}
