//! Exposes of files, against a stock sshd.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_flow::expose::{PublicAddress, State};
use adit_flow::file::{Dialect, Files, Source};
use adit_testkit::sshd::Sshd;
use adit_testkit::wait;
use adit_text::Problems;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tracing::subscriber::DefaultGuard;

use super::*;

mod config;
mod observe;
mod real;
mod refusal;

/// Reads a file.
fn compose(text: &str) -> Compose {
    let source = Source {
        name: "model-compose.yml",
        bytes: text.as_bytes(),
        dialect: Dialect::ModelCompose,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &Environment::default(), &mut problems);
    let compose = files.and_then(|files| files.compose(&mut problems));
    compose.unwrap_or_else(|| panic!("{problems}"))
}

/// A home directory that knows nobody.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    home
}

/// A gateway of a file at an sshd, by its user's key. What `login` says counts before that, and `more` stands
/// below `connection:`.
fn file(sshd: &Sshd, ports: &str, login: Option<&str>, more: &str) -> String {
    let key = sshd.user_key().private_path().display();
    let by_key = format!("type: keyfile, keyfile: '{key}'");
    format!(
        "gateway:\n  type: ssh-tunnel\n  port: {ports}\n  connection:\n    host: '{}'\n    port: {}\n    \
         auth: {{username: '{}', {}}}\n    {more}\nworkflow: {{title: t}}\n",
        sshd.addr().ip(),
        sshd.addr().port(),
        sshd.user(),
        login.unwrap_or(&by_key),
    )
}

/// What was logged, without times.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// How many lines have this in them.
    fn count(&self, part: &str) -> usize {
        let text = self.text();
        text.lines().filter(|line| line.contains(part)).count()
    }

    /// The only line that has this in it.
    #[track_caller]
    fn line(&self, part: &str) -> String {
        let text = self.text();
        let mut lines = text.lines().filter(|line| line.contains(part));
        match (lines.next(), lines.next()) {
            (Some(line), None) => line.trim().to_owned(),
            other => panic!("{part:?}: {other:?} in {text}"),
        }
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A gateway that is kept, and who looks on.
struct Up {
    addresses: Addresses,
    board: Board,
    exposes: Arc<Exposes>,
    stop: CancellationToken,
    kept: JoinSet<Result<(), KeepError>>,
    log: Log,
    _guard: DefaultGuard,
}

impl Up {
    fn new(home: &Path, text: &str) -> Self {
        let (log, guard) = Log::start();
        let compose = Arc::new(compose(text));
        let addresses = Addresses::new(&compose);
        let board = Board::new("model-compose.yml".into(), &[]);
        let surroundings = Surroundings::of_home(home, None);
        let environment =
            Environment::of_process([(String::from("WORD"), String::from("hunter4711"))]);
        let exposes = Exposes::new(&compose, 0..9, &environment, &surroundings, &board);
        let exposes = Arc::new(exposes.unwrap());
        let stop = CancellationToken::new();
        let mut kept = JoinSet::new();
        let task = {
            let (exposes, addresses, stop) =
                (Arc::clone(&exposes), addresses.clone(), stop.clone());
            async move {
                let ExposeConfig::Ssh(ssh) = &compose.exposes[0].value else {
                    panic!("no SSH gateway");
                };
                exposes.keep(0, ssh, &addresses, stop).await
            }
        };
        kept.spawn(task);
        Self {
            addresses,
            board,
            exposes,
            stop,
            kept,
            log,
            _guard: guard,
        }
    }

    /// Waits until a local port is public, and says where.
    async fn public(&self, port: u16) -> PublicAddress {
        match self.addresses.wait(port, wait::DEADLINE).await {
            Ok(address) => address,
            Err(error) => panic!("{error}\n{}", self.log.text()),
        }
    }

    /// Waits until a local port is not, and says why.
    async fn down(&self, port: u16, word: &str) -> String {
        let look = || async {
            match self.addresses.state(port) {
                Some(State::Down(why) | State::Barred(why)) if why.contains(word) => Ok(why),
                other => Err((other, self.log.text())),
            }
        };
        wait::until_async(word, look).await
    }

    async fn until_logged(&self, part: &str, times: usize) {
        let look = || async {
            match self.log.count(part) {
                count if count >= times => Ok(()),
                _ => Err(self.log.text()),
            }
        };
        wait::until_async(part, look).await;
    }

    /// Waits for its end by itself, and says why.
    async fn failure(&mut self) -> String {
        let ended = tokio::time::timeout(wait::DEADLINE, self.kept.join_next()).await;
        match ended {
            Ok(Some(Ok(Err(error)))) => chain(error.as_ref()),
            other => panic!("{other:?}\n{}", self.log.text()),
        }
    }

    async fn end(mut self) -> Log {
        self.stop.cancel();
        let ended = tokio::time::timeout(wait::DEADLINE, self.kept.join_next()).await;
        assert!(matches!(ended, Ok(Some(Ok(Ok(()))))), "{ended:?}");
        self.log
    }
}

/// A visitor who sends, finishes and reads what comes back.
async fn visit(port: u16, question: &[u8]) -> Vec<u8> {
    visit_at((Ipv4Addr::LOCALHOST, port).into(), question).await
}

async fn visit_at(address: SocketAddr, question: &[u8]) -> Vec<u8> {
    let mut visitor = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = visitor.split();
    let mut answer = Vec::new();
    let sending = async {
        write.write_all(question).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(read.read_to_end(&mut answer), sending);
    read.unwrap();
    answer
}
