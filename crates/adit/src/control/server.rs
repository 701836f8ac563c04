//! The end of the control socket that answers.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::getuid;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::directory::Lock;
use super::input::Input;
use super::lines::Lines;
use super::request::Request;
use super::run::{self, Workflows, send};
use super::{Answer, CLIENTS, Checked, DEADLINE, Ending, LINE, RUNS, WATCHERS};
use crate::status::Report;

/// What is asked about.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    /// Where everything stands.
    fn report(&self) -> Report;

    /// Changes with each state.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Whoever runs workflows, if there are any.
    fn workflows(&self) -> Option<&impl Workflows>;

    /// Whoever keeps a table of ports, if it is that.
    fn hosts(&self) -> Option<&impl HostTunnels>;

    /// How long the end takes at the most.
    fn within(&self, ending: Ending) -> Duration;

    /// Begins the end of everything.
    fn end(&self, ending: Ending);
}

/// Keeps a table of ports.
pub(crate) trait HostTunnels: Send + Sync {
    /// Reads it again; what cannot be kept of it now, each in words.
    fn reload(&self) -> impl Future<Output = Result<Vec<String>, String>> + Send;

    /// Visits each service of it.
    fn check(&self) -> impl Future<Output = Result<Vec<Checked>, String>> + Send;
}

/// Least time between two reports to one who watches.
const PAUSE: Duration = Duration::from_millis(200);
/// Most of it: numbers change without a state.
const TICK: Duration = Duration::from_secs(1);
/// What is said where no table of ports is kept.
const NO_TABLE: &str = "it keeps no table of ports";
/// Pause after the system refuses an accept, usually because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Makes the socket of a lock.
///
/// # Errors
///
/// The path is too long for a socket (unix(7): 107 bytes), or the system refuses.
pub(crate) fn bind(lock: &Lock) -> anyhow::Result<UnixListener> {
    let path = lock.socket();
    listen(path).with_context(|| format!("cannot listen at {}", path.display()))
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(path)
}

/// Places of those who stay. Clones are the same.
#[derive(Clone)]
struct Places {
    runs: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
}

impl Places {
    fn new() -> Self {
        Self {
            runs: Arc::new(Semaphore::new(RUNS)),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
        }
    }
}

/// Answers until dropped.
pub(crate) async fn serve(listener: UnixListener, subject: impl Subject) {
    let mut clients = JoinSet::new();
    let places = Places::new();
    loop {
        tokio::select! {
            biased;
            // Those that have gone leave their places before others come.
            Some(ended) = clients.join_next() => if let Err(error) = ended {
                warn!(%error, "client of the control socket made a task panic");
            },
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    if clients.len() >= CLIENTS {
                        debug!("client of the control socket is one too many");
                    } else {
                        clients.spawn(client(socket, subject.clone(), places.clone()));
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot let clients of the control socket in");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// Has one run done for a client of this process, which is at the other end of a pair of sockets.
pub(crate) async fn serve_run(socket: UnixStream, workflows: impl Workflows) {
    let (reader, mut writer) = socket.into_split();
    let mut lines = Lines::new(reader, LINE);
    let asked = async {
        let (request, input) = question(&mut lines, &mut writer).await?;
        match request {
            Some(Request::Run {
                workflow,
                fingerprint,
            }) => {
                let asked = (workflow.as_str(), &fingerprint);
                run::run(&workflows, asked, input, (&mut lines, &mut writer)).await
            }
            _ => refuse(&mut writer, "nothing but a run is to be asked here").await,
        }
    };
    if let Err(error) = asked.await {
        debug!(%error, "whoever asked for a run has gone");
    }
}

async fn client(socket: UnixStream, subject: impl Subject, places: Places) {
    if let Err(error) = answer(socket, subject, &places).await {
        debug!(%error, "client of the control socket has gone");
    }
}

async fn answer(socket: UnixStream, subject: impl Subject, places: &Places) -> io::Result<()> {
    let uid = socket.peer_cred()?.uid();
    if uid != getuid().as_raw() && uid != 0 {
        return Err(io::Error::other(format!("user {uid} may not ask")));
    }
    let (reader, mut writer) = socket.into_split();
    let mut lines = Lines::new(reader, LINE);
    let (Some(request), input) = question(&mut lines, &mut writer).await? else {
        return Ok(());
    };
    match request {
        Request::Status {} => send(&mut writer, &Answer::Report(subject.report())).await,
        Request::Down {} => end(&subject, Ending::Down, &mut writer).await,
        Request::Stop {} => end(&subject, Ending::Stop, &mut writer).await,
        Request::Watch {} => {
            let Ok(_place) = places.watchers.try_acquire() else {
                let words = format!("too many are watching ({WATCHERS})");
                return refuse(&mut writer, &words).await;
            };
            tokio::select! {
                watched = watch(&mut writer, &subject) => watched,
                // One that hangs up, or says anything more, is done.
                ended = lines.next() => ended.map(drop),
            }
        }
        Request::Run {
            workflow,
            fingerprint,
        } => {
            let Some(workflows) = subject.workflows() else {
                return refuse(&mut writer, "it has no workflows").await;
            };
            let Ok(_place) = places.runs.try_acquire() else {
                let words = format!("too many runs are attached ({RUNS}); use the HTTP API");
                return refuse(&mut writer, &words).await;
            };
            let asked = (workflow.as_str(), &fingerprint);
            let client = (&mut lines, &mut writer);
            run::run(workflows, asked, input, client).await
        }
        Request::Reload {} => match subject.hosts() {
            Some(hosts) => match hosts.reload().await {
                Ok(troubles) => send(&mut writer, &Answer::Reloaded { troubles }).await,
                Err(words) => refuse(&mut writer, &words).await,
            },
            None => refuse(&mut writer, NO_TABLE).await,
        },
        Request::Check {} => match subject.hosts() {
            Some(hosts) => match hosts.check().await {
                Ok(checked) => send(&mut writer, &Answer::Checked(checked)).await,
                Err(words) => refuse(&mut writer, &words).await,
            },
            None => refuse(&mut writer, NO_TABLE).await,
        },
        Request::Resume { .. } | Request::Cancel {} => {
            refuse(&mut writer, "there is no run to say that to").await
        }
        Request::Input { .. } => Ok(()),
    }
}

/// What a client asks, with the input that it sent before; `None` if it was refused.
async fn question(
    lines: &mut Lines<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
) -> io::Result<(Option<Request>, Input)> {
    let mut input = Input::default();
    loop {
        let line = timeout(DEADLINE, lines.next()).await??.unwrap_or_default();
        let pushed = match serde_json::from_slice(&line) {
            Ok(Request::Input { part }) => input.push(&part),
            Ok(request) => return Ok((Some(request), input)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(words) = pushed {
            refuse(writer, &words).await?;
            return Ok((None, input));
        }
    }
}

async fn end(
    subject: &impl Subject,
    ending: Ending,
    writer: &mut OwnedWriteHalf,
) -> io::Result<()> {
    let within_seconds = subject.within(ending).as_secs();
    let sent = send(writer, &Answer::Stopping { within_seconds }).await;
    subject.end(ending);
    sent
}

async fn refuse(writer: &mut OwnedWriteHalf, words: &str) -> io::Result<()> {
    send(writer, &Answer::Refused(words.to_owned())).await
}

async fn watch(writer: &mut OwnedWriteHalf, subject: &impl Subject) -> io::Result<()> {
    let mut changes = subject.changes();
    loop {
        changes.mark_unchanged();
        send(writer, &Answer::Report(subject.report())).await?;
        sleep(PAUSE).await;
        // Whoever writes the changes outlives this, and numbers are told anyway.
        drop(timeout(TICK.saturating_sub(PAUSE), changes.changed()).await);
    }
}

#[cfg(test)]
mod tests;
