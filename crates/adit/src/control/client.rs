//! The end of the control socket that asks.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Uid, getuid};

use super::directory::{Directories, Running};
use super::request::Request;
use super::{Answer, Checked, DEADLINE, Ending, LINE};
use crate::log::say;
use crate::status::Report;

/// Time between two looks at whether an `up` has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long an answer about a table of ports may take: a service that does not answer is waited for.
const TABLE: Duration = Duration::from_secs(120);

/// An end that takes longer is spoken of. Most take less.
const SILENT: Duration = Duration::from_secs(1);

/// Where everything of one `up` stands.
pub(crate) fn status(running: &Running) -> anyhow::Result<Report> {
    let mut answers = Answers::ask(&running.socket, &Request::Status {}, Some(DEADLINE))?;
    match answers.next()? {
        Some(Answer::Report(report)) => Ok(report),
        answer => Err(unexpected(answer)),
    }
}

/// Has a table of ports read again by whoever keeps it; what cannot be kept of it now.
pub(crate) fn reload(running: &Running) -> anyhow::Result<Vec<String>> {
    let mut answers = Answers::ask(&running.socket, &Request::Reload {}, Some(TABLE))?;
    match answers.next()? {
        Some(Answer::Reloaded { troubles }) => Ok(troubles),
        answer => Err(unexpected(answer)),
    }
}

/// Has each service of a table of ports visited by whoever keeps it.
pub(crate) fn check(running: &Running) -> anyhow::Result<Vec<Checked>> {
    let mut answers = Answers::ask(&running.socket, &Request::Check {}, Some(TABLE))?;
    match answers.next()? {
        Some(Answer::Checked(checked)) => Ok(checked),
        answer => Err(unexpected(answer)),
    }
}

/// Each report of one `up`, until it ends or `show` fails.
pub(crate) fn watch(
    running: &Running,
    mut show: impl FnMut(Report) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut answers = Answers::ask(&running.socket, &Request::Watch {}, None)?;
    loop {
        match answers.next()? {
            Some(Answer::Report(report)) => show(report)?,
            None => return Ok(()),
            answer @ Some(_) => return Err(unexpected(answer)),
        }
    }
}

/// Ends one `up`, and waits until it has ended.
pub(crate) fn end(
    directories: &Directories,
    running: &Running,
    ending: Ending,
) -> anyhow::Result<()> {
    let request = match ending {
        Ending::Down => Request::Down {},
        Ending::Stop => Request::Stop {},
    };
    let mut answers = Answers::ask(&running.socket, &request, Some(DEADLINE))?;
    let within = match answers.next()? {
        Some(Answer::Stopping { within_seconds }) => Duration::from_secs(within_seconds),
        answer => return Err(unexpected(answer)),
    };
    let mut waited = Duration::ZERO;
    let mut is_told = false;
    while waited < within {
        if directories.find(&running.holder.config).as_ref() != Some(running) {
            return Ok(());
        }
        if waited >= SILENT && !is_told {
            is_told = true;
            say(&waiting(status(running).ok().as_ref(), running, within));
        }
        std::thread::sleep(LOOK);
        waited = waited.saturating_add(LOOK);
    }
    anyhow::bail!("process {} has not ended", running.holder.pid)
}

/// What an end waits for, in words.
fn waiting(report: Option<&Report>, running: &Running, within: Duration) -> String {
    let service = report.and_then(|report| report.service.as_ref());
    let what = match service.map_or(0, |service| service.runs) {
        0 => format!("process {}", running.holder.pid),
        1 => String::from("1 run"),
        runs => format!("{runs} runs"),
    };
    let seconds = within.as_secs();
    format!("waiting for {what} to end, {seconds} s at the most; Ctrl-C stops waiting")
}

/// Connects, and looks at whose process is at the other end (security rule G100): ours or root's.
///
/// # Errors
///
/// Nobody listens there, or somebody else does.
pub(crate) fn connect(socket: &Path) -> anyhow::Result<UnixStream> {
    connect_to(socket, |uid| uid == getuid() || uid.is_root())
}

/// The same for a gateway, which runs as a user of its own: root asks whoever it is.
///
/// # Errors
///
/// As [`connect`].
pub(crate) fn connect_to_gateway(socket: &Path) -> anyhow::Result<UnixStream> {
    let us = getuid();
    connect_to(socket, |uid| uid == us || uid.is_root() || us.is_root())
}

fn connect_to(socket: &Path, may_be: impl Fn(Uid) -> bool) -> anyhow::Result<UnixStream> {
    let shown = socket.display();
    let stream =
        UnixStream::connect(socket).with_context(|| format!("cannot connect to {shown}"))?;
    let peer = socket_peercred(&stream).context("cannot tell whose process answers")?;
    anyhow::ensure!(
        may_be(peer.uid),
        "the process behind {shown} belongs to user {}",
        peer.uid.as_raw()
    );
    Ok(stream)
}

struct Answers(BufReader<UnixStream>);

impl Answers {
    fn ask(socket: &Path, request: &Request, patience: Option<Duration>) -> anyhow::Result<Self> {
        let mut stream = connect(socket)?;
        let mut line = serde_json::to_vec(request).context("cannot write the question")?;
        line.push(b'\n');
        let asked = stream
            .set_write_timeout(Some(DEADLINE))
            .and_then(|()| stream.set_read_timeout(patience))
            .and_then(|()| stream.write_all(&line));
        asked.with_context(|| format!("cannot ask at {}", socket.display()))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// `None` at the end.
    fn next(&mut self) -> anyhow::Result<Option<Answer>> {
        let mut line = Vec::new();
        let read = io::Read::by_ref(&mut self.0)
            .take(u64::try_from(LINE).unwrap_or(u64::MAX))
            .read_until(b'\n', &mut line);
        if read.context("no answer came")? == 0 {
            return Ok(None);
        }
        understood(&line).map(Some)
    }
}

/// An answer of a line.
pub(super) fn understood(line: &[u8]) -> anyhow::Result<Answer> {
    let answer = serde_json::from_slice(line);
    answer.context("the answer is not understood: is it another version of adit?")
}

pub(super) fn unexpected(answer: Option<Answer>) -> anyhow::Error {
    match answer {
        Some(Answer::Refused(reason)) => anyhow::anyhow!("it was refused: {reason}"),
        Some(_) | None => anyhow::anyhow!("no answer came: it may be about to end"),
    }
}
