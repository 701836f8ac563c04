//! A server whose every byte a test decides.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use adit_testkit::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Everything up to the empty line.
    pub(super) head: String,
    /// What followed, chunks as they came.
    pub(super) body: Vec<u8>,
}

impl Seen {
    /// `POST /path?query`
    pub(super) fn asked(&self) -> &str {
        let line = self.head.lines().next().unwrap_or_default();
        line.strip_suffix(" HTTP/1.1").unwrap()
    }

    /// The values of a header, joined.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().skip(1);
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let values: Vec<&str> = pairs
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// What happens after the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Then {
    /// The connection takes another request.
    Keep,
    /// It is closed.
    Close,
    /// Nothing, until the other side closes it.
    Hang,
    /// These many bytes of `x` follow, in chunks if it says so.
    Pour { bytes: usize, is_chunked: bool },
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
}

/// An answer with a length.
pub(super) fn reply(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    Reply {
        bytes: [head.as_bytes(), body].concat(),
        then: Then::Keep,
    }
}

/// An answer byte for byte.
pub(super) fn raw(bytes: impl AsRef<[u8]>, then: Then) -> Reply {
    let bytes = bytes.as_ref().to_vec();
    Reply { bytes, then }
}

#[derive(Debug, Default)]
struct Log {
    seen: Vec<Seen>,
    connections: usize,
    closed: usize,
    poured: usize,
}

/// It listens until it is dropped.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    log: Arc<Mutex<Log>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", answer).await.unwrap()
    }

    pub(super) async fn start_at(
        addr: &str,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let log = Arc::new(Mutex::new(Log::default()));
        let mut tasks = JoinSet::new();
        let answer = Arc::new(answer);
        let shared = Arc::clone(&log);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let log = Arc::clone(&shared);
                let answer = Arc::clone(&answer);
                log.lock().unwrap().connections += 1;
                connections.spawn(async move {
                    serve(stream, &log, answer.as_ref()).await.ok();
                    log.lock().unwrap().closed += 1;
                });
            }
        });
        Ok(Self {
            addr,
            log,
            _tasks: tasks,
        })
    }

    pub(super) fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().seen.clone()
    }

    /// The only request.
    pub(super) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    pub(super) fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    /// How many bytes were taken from a reply that pours.
    pub(super) fn poured(&self) -> usize {
        self.log.lock().unwrap().poured
    }

    /// Waits until all connections are closed.
    pub(super) async fn until_closed(&self) {
        wait::until_async("all connections are closed", async || {
            let log = self.log.lock().unwrap();
            if log.closed == log.connections && log.closed > 0 {
                Ok(())
            } else {
                Err(format!("{} of {}", log.closed, log.connections))
            }
        })
        .await;
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Log>,
    answer: &(impl Fn(&Seen) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let Some(seen) = request(&mut stream, &mut read).await? else {
            return Ok(());
        };
        log.lock().unwrap().seen.push(seen.clone());
        let reply = answer(&seen);
        stream.write_all(&reply.bytes).await?;
        match reply.then {
            Then::Keep => {}
            Then::Close => return stream.shutdown().await,
            Then::Hang => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await?;
                return Ok(());
            }
            Then::Pour { bytes, is_chunked } => {
                let content = vec![b'x'; 64 << 10];
                let chunk = if is_chunked {
                    let size = format!("{:x}\r\n", content.len());
                    [size.as_bytes(), &content, b"\r\n"].concat()
                } else {
                    content.clone()
                };
                for _ in 0..bytes / content.len() {
                    stream.write_all(&chunk).await?;
                    log.lock().unwrap().poured += content.len();
                }
                return stream.shutdown().await;
            }
        }
    }
}

/// The next request; None at the end.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<Option<Seen>> {
    let head = loop {
        if let Some(at) = read.windows(4).position(|it| it == b"\r\n\r\n") {
            let rest = read.split_off(at + 4);
            break std::mem::replace(read, rest);
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut seen = Seen {
        head,
        body: Vec::new(),
    };
    let length = seen.header("content-length");
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    let is_chunked = seen.header("transfer-encoding").is_some();
    let end = |read: &[u8]| {
        if is_chunked {
            let end = read.windows(5).position(|it| it == b"0\r\n\r\n");
            end.map(|end| end + 5)
        } else {
            (read.len() >= length).then_some(length)
        }
    };
    loop {
        if let Some(end) = end(read) {
            let rest = read.split_off(end);
            seen.body = std::mem::replace(read, rest);
            return Ok(Some(seen));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}
