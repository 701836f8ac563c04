//! The end of the control socket that answers.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::getuid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::directory::Lock;
use super::{Answer, CLIENTS, DEADLINE, LINE, Request, Verb};
use crate::status::Report;

/// What is asked about.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    /// Where everything stands.
    fn report(&self) -> Report;

    /// Changes with each state.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Least time between two reports to one who watches.
const PAUSE: Duration = Duration::from_millis(200);
/// Most of it: numbers change without a state.
const TICK: Duration = Duration::from_secs(1);
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

/// Answers until dropped. `stop` is called for by a client that says `down`.
pub(crate) async fn serve(listener: UnixListener, subject: impl Subject, stop: CancellationToken) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let is_crowded = clients.len() >= CLIENTS;
                    if is_crowded {
                        debug!("client of the control socket is one too many");
                    } else {
                        clients.spawn(client(socket, subject.clone(), stop.clone()));
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot let clients of the control socket in");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = clients.join_next() => if let Err(error) = ended {
                warn!(%error, "client of the control socket made a task panic");
            },
        }
    }
}

async fn client(socket: UnixStream, subject: impl Subject, stop: CancellationToken) {
    if let Err(error) = answer(socket, subject, stop).await {
        debug!(%error, "client of the control socket has gone");
    }
}

async fn answer(
    socket: UnixStream,
    subject: impl Subject,
    stop: CancellationToken,
) -> io::Result<()> {
    let uid = socket.peer_cred()?.uid();
    if uid != getuid().as_raw() && uid != 0 {
        return Err(io::Error::other(format!("user {uid} may not ask")));
    }
    let (reader, mut writer) = socket.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(LINE));
    timeout(DEADLINE, reader.read_until(b'\n', &mut line)).await??;
    let request: Result<Request, _> = serde_json::from_slice(&line);
    match request.map(|Request { verb }| verb) {
        Err(error) => send(&mut writer, &Answer::Refused(error.to_string())).await,
        Ok(Verb::Status) => send(&mut writer, &Answer::Report(subject.report())).await,
        Ok(Verb::Down) => {
            let sent = send(&mut writer, &Answer::Stopping).await;
            stop.cancel();
            sent
        }
        Ok(Verb::Watch) => {
            let mut reader = reader;
            let mut rest = [0; 1];
            tokio::select! {
                watched = watch(&mut writer, &subject) => watched,
                // One that hangs up, or says more than it may, is done.
                ended = reader.read(&mut rest) => ended.map(drop),
            }
        }
    }
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

async fn send(writer: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    timeout(DEADLINE, writer.write_all(&line)).await??;
    Ok(())
}

#[cfg(test)]
mod tests;
