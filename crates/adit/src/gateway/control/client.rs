//! The end of a gateway's control socket that asks.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{Answer, Request};
use crate::control::{DEADLINE, LINE, client};
use crate::gateway::order::Outcome;

/// How long an answer may take: a store that is locked, or far away, is waited for.
const ANSWER: Duration = Duration::from_secs(60);

/// Asks the gateway behind that socket; `None` if none is there.
///
/// # Errors
///
/// It refuses, in its words; or the socket is somebody else's.
pub(crate) fn ask(socket: &Path, request: &Request) -> anyhow::Result<Option<Outcome>> {
    let mut stream = match client::connect_to_gateway(socket) {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut line = serde_json::to_vec(request).context("cannot write the question")?;
    line.push(b'\n');
    let asked = stream
        .set_write_timeout(Some(DEADLINE))
        .and_then(|()| stream.set_read_timeout(Some(ANSWER)))
        .and_then(|()| stream.write_all(&line));
    asked.with_context(|| format!("cannot ask at {}", socket.display()))?;
    let mut outcome = Outcome::default();
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = io::Read::by_ref(&mut reader)
            .take(u64::try_from(LINE).unwrap_or(u64::MAX))
            .read_until(b'\n', &mut line);
        if read.context("no answer came")? == 0 {
            bail!(
                "the gateway gave no answer: it may be about to end, or have {} clients already; whether \
                 it was done is not known",
                super::CLIENTS
            );
        }
        let answer = serde_json::from_slice(&line);
        match answer.context("the answer is not understood: is it another version of adit?")? {
            Answer::Row(row) => outcome.rows.push(row),
            Answer::Refused(words) => bail!(words),
            Answer::Done(done) => {
                outcome.done = done;
                return Ok(Some(outcome));
            }
        }
    }
}

/// Whether there is no socket, or one that a dead gateway has left.
fn is_nobody(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    )
}
