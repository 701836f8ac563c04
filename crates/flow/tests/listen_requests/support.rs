//! A listener of a file, and a client that shows every byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use adit_flow::callback::{CallbackId, Hub, Outcome, Replays, RunNumber, Waiting};
use adit_flow::exec::{Launch, StartError, TaskId};
use adit_flow::expr::Value;
use adit_flow::file::{Dialect, Environment, Files, Source};
use adit_flow::listen::{Context, Limits, ListenError, Server, Visitors};
use adit_flow::model::callback_server::CallbackServer;
use adit_flow::model::find::Missing;
use adit_text::{Problems, SecretSource};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// What every secret of these tests is.
pub(crate) const SECRET: &str = "s3cr3t-t0ken";

/// A listener that runs.
pub(crate) struct Lab {
    pub(crate) port: u16,
    pub(crate) hub: Hub,
    pub(crate) launches: Arc<Launches>,
    pub(crate) tunnel: Arc<Tunnel>,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinSet<()>,
}

/// What was started.
#[derive(Default)]
pub(crate) struct Launches(Mutex<Vec<(String, String)>>);

impl Launches {
    /// Each workflow and its input.
    pub(crate) fn all(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().clone()
    }
}

impl Launch for Launches {
    fn launch(&self, workflow: &str, input: Value) -> Result<TaskId, StartError> {
        if workflow.starts_with("no") || workflow.is_empty() {
            return Err(StartError::Missing {
                workflow: workflow.to_owned(),
                missing: Missing::Unknown,
            });
        }
        assert_ne!(workflow, "panic");
        if workflow == "full" {
            return Err(StartError::Full);
        }
        let input = input.to_json().unwrap_or_else(|_| format!("{input:?}"));
        let mut all = self.0.lock().unwrap();
        all.push((workflow.to_owned(), input));
        Ok(TaskId::new(format!("RUN{}", all.len())))
    }
}

/// A tunnel that says where everybody comes from, once it is told.
#[derive(Default)]
pub(crate) struct Tunnel(Mutex<Option<SocketAddr>>);

impl Tunnel {
    pub(crate) fn set(&self, visitor: &str) {
        *self.0.lock().unwrap() = Some(SocketAddr::new(visitor.parse().unwrap(), 1));
    }
}

impl Visitors for Tunnel {
    fn visitor(&self, peer: SocketAddr) -> Option<SocketAddr> {
        assert!(peer.ip().is_loopback());
        *self.0.lock().unwrap()
    }

    fn over(&self, peer: SocketAddr) {
        assert!(peer.ip().is_loopback());
    }
}

/// The first listener of a file, at a port of its own.
pub(crate) fn config(file: &str) -> CallbackServer {
    let source = Source {
        name: "adit.yml",
        bytes: file.as_bytes(),
        dialect: Dialect::Adit,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &Environment::default(), &mut problems);
    let files = files.unwrap_or_else(|| panic!("{problems}"));
    let compose = files.compose(&mut problems);
    let compose = compose.unwrap_or_else(|| panic!("{problems}"));
    let mut config = compose.callback_servers[0].clone();
    config.port.value = 0;
    config
}

impl Lab {
    pub(crate) async fn new(listener: &str) -> Self {
        Self::with_limits(listener, Limits::USUAL).await
    }

    pub(crate) async fn with_limits(listener: &str, limits: Limits) -> Self {
        let config = config(&format!(
            "listener: {{host: 127.0.0.1, {listener}}}\nworkflows: [{{id: hello}}, {{id: w}}]"
        ));
        let hub = Hub::new();
        let launches = Arc::new(Launches::default());
        let tunnel = Arc::new(Tunnel::default());
        let context = Context {
            hub: hub.clone(),
            launch: launches.clone(),
            visitors: tunnel.clone(),
            replays: Arc::new(Mutex::new(Replays::new())),
        };
        let server = bind(&config, context).await.unwrap().with_limits(limits);
        let port = server.port();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(server.run(stop.clone()));
        Self {
            port,
            hub,
            launches,
            tunnel,
            stop,
            running,
        }
    }

    pub(crate) fn waiting(&self, id: &str) -> Waiting {
        let id = CallbackId::try_from(&Value::from(id)).unwrap();
        self.hub.expect_id(RunNumber(1), id).unwrap()
    }

    pub(crate) async fn dial(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        Client(stream)
    }

    /// The answer to one request on a connection of its own, without its date.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.dial().await;
        client.send(request).await;
        client.rest().await
    }

    /// The answer to a POST.
    pub(crate) async fn post(&self, path: &str, headers: &str, body: impl AsRef<[u8]>) -> String {
        self.ask(post(path, headers, body)).await
    }
}

pub(crate) async fn bind(config: &CallbackServer, context: Context) -> Result<Server, ListenError> {
    let secrets = |source: &SecretSource| match source {
        SecretSource::Environment(name) if name == "TOKEN" => {
            Ok(Zeroizing::new(SECRET.as_bytes().to_vec()))
        }
        SecretSource::Environment(name) if name == "EMPTY" => Ok(Zeroizing::default()),
        SecretSource::File(_) | SecretSource::Environment(_) | SecretSource::Value(_) => {
            Err("it is not there".into())
        }
    };
    Server::bind(config, &secrets, context).await
}

/// A POST with its length, after which the connection is closed.
pub(crate) fn post(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    request(
        "POST",
        path,
        &format!("{headers}connection: close\r\n"),
        body,
    )
}

pub(crate) fn request(method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: h\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

pub(crate) const JSON: &str = "content-type: application/json\r\n";

/// A connection to a listener.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Everything until the other side closes, without dates.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = self.0.read_to_end(&mut bytes);
        timeout(DEADLINE, read)
            .await
            .expect("it is closed")
            .unwrap();
        without_date(&bytes)
    }

    /// One answer, without its date, on a connection that stays.
    pub(crate) async fn answer(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = async {
            while !is_whole(&bytes) {
                let read = self.0.read_buf(&mut bytes).await.unwrap();
                assert_ne!(read, 0, "closed after {}", without_date(&bytes));
            }
        };
        timeout(DEADLINE, read).await.expect("it is answered");
        without_date(&bytes)
    }

    /// Whether nothing has come yet.
    pub(crate) fn is_silent(&self) -> bool {
        let read = self.0.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn without_date(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let lines = head
        .split("\r\n")
        .filter(|line| !line.starts_with("date: "));
    format!("{}\n\n{body}", lines.collect::<Vec<_>>().join("\n"))
}

/// `200 {"a":1}`: the status and the body.
pub(crate) fn short(answer: &str) -> String {
    let (head, body) = answer.split_once("\n\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    format!("{status} {body}").trim_end().to_owned()
}

/// What a waiter got.
pub(crate) async fn outcome(mut waiting: Waiting) -> String {
    let outcome = timeout(DEADLINE, waiting.outcome()).await;
    match outcome.expect("it is completed").unwrap() {
        Outcome::Done(value) => value.to_json().unwrap_or_else(|_| format!("{value:?}")),
        Outcome::Failed(failure) => format!("failed: {failure}"),
    }
}

/// Ends the wait without an outcome.
pub(crate) fn still_waits(lab: &Lab, waiting: Waiting) {
    let before = lab.hub.len();
    drop(waiting);
    assert_eq!(lab.hub.len() + 1, before, "it was completed");
}

/// How long a test waits for what takes milliseconds.
pub(crate) const DEADLINE: std::time::Duration = adit_testkit::wait::DEADLINE;

/// Seconds since 1970, as a sender of signatures has them.
pub(crate) fn seconds() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// The time that something took.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, std::time::Duration) {
    let begin = Instant::now();
    (work.await, begin.elapsed())
}

/// The memory that this process has.
pub(crate) fn rss() -> u64 {
    let memory = adit_testkit::measure::memory(rustix::process::getpid());
    memory.expect("this process is there").rss_bytes
}
