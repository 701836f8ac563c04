//! A service that reads what it gets by the letter, and writes it down.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use adit_testkit::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Seen;
use crate::place::field;

/// One that runs.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Backend {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let mut serving = JoinSet::new();
        serving.spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut connections = JoinSet::new();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    connections.spawn(serve(socket, Arc::clone(&seen)));
                }
            }
        });
        Self {
            address,
            seen,
            _serving: serving,
        }
    }

    /// What came through of a case, once somebody else was answered behind it.
    pub(super) async fn seen(&self, answers: String, front: SocketAddr) -> Seen {
        let mut is_clean = true;
        // As many as connections that may be kept for the next one.
        for _ in 0..3 {
            let mut next = TcpStream::connect(front).await.unwrap();
            next.write_all(b"GET /fence HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut answer = String::new();
            next.read_to_string(&mut answer).await.unwrap();
            is_clean &= answer.ends_with("\r\n\r\nGET /fence");
        }
        let is_fence = |it: &String| it.starts_with("GET /fence");
        let requests = wait::until_async("the fence is written down", || async {
            let seen = self.seen.lock().unwrap();
            let fences = seen.iter().filter(|it| is_fence(it)).count();
            (fences == 3 || !is_clean)
                .then(|| seen.clone())
                .ok_or(fences)
        })
        .await;
        self.seen.lock().unwrap().clear();
        let mut requests = requests;
        requests.retain(|it| !is_fence(it) && it != "GET /after");
        Seen {
            answers,
            requests,
            is_clean,
        }
    }
}

/// Reads requests strictly one behind the other, and says of each what it was.
async fn serve(mut socket: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    while let Some(head) = head(&mut socket, &mut bytes).await {
        let line = head.lines().next().unwrap_or_default();
        let mut words = line.trim_end_matches(" HTTP/1.1").to_owned();
        let asked = words.clone();
        let fields = |name: &str| {
            let all = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let of = all.filter(|(found, _)| found.eq_ignore_ascii_case(name));
            of.map(|(_, value)| value.trim().to_owned())
                .collect::<Vec<_>>()
        };
        let body = if field(&head, "transfer-encoding").is_some() {
            chunks(&mut socket, &mut bytes).await
        } else {
            let length = field(&head, "content-length").and_then(|it| it.parse().ok());
            take(&mut socket, &mut bytes, length.unwrap_or(0)).await
        };
        for (name, short, usual) in [
            ("host", "host", "app.test"),
            ("content-length", "length", ""),
            ("transfer-encoding", "coding", ""),
            ("upgrade", "upgrade", ""),
            ("http2-settings", "h2", ""),
            ("x-forwarded-for", "forwarded", "127.0.0.1"),
            ("x_forwarded_for", "forwarded", ""),
            ("x-real-ip", "forwarded", "127.0.0.1"),
        ] {
            for value in fields(name).iter().filter(|value| *value != usual) {
                write!(words, " {short}: {value}").unwrap();
            }
        }
        match &body {
            Some(body) if body.is_empty() => {}
            Some(body) => write!(words, " {:?}", String::from_utf8_lossy(body)).unwrap(),
            None => words.push_str(" and its body broke off"),
        }
        seen.lock().unwrap().push(words);
        if body.is_none() {
            return;
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{asked}",
            asked.len()
        );
        let answer = if asked.starts_with("HEAD ") {
            answer.trim_end_matches(&asked).to_owned()
        } else {
            answer
        };
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    socket.read_buf(bytes).await.unwrap_or(0) > 0
}

async fn head(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).collect();
            return Some(String::from_utf8_lossy(&head[..end]).into_owned());
        }
        if !more(socket, bytes).await {
            return None;
        }
    }
}

async fn take(socket: &mut TcpStream, bytes: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while bytes.len() < length {
        if !more(socket, bytes).await {
            return None;
        }
    }
    Some(bytes.drain(..length).collect())
}

async fn line(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = bytes.drain(..end + 2).collect();
            return Some(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        if !more(socket, bytes).await {
            return None;
        }
    }
}

async fn chunks(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(socket, bytes).await?;
        // What stands behind a size is shown: it should not have come.
        if let Some((_, extension)) = size.split_once(';') {
            body.extend_from_slice(format!("[{extension}]").as_bytes());
        }
        let size = size.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            loop {
                let trailer = line(socket, bytes).await?;
                if trailer.is_empty() {
                    return Some(body);
                }
                body.extend_from_slice(format!("[{trailer}]").as_bytes());
            }
        }
        body.extend(take(socket, bytes, size).await?);
        line(socket, bytes).await?;
    }
}
