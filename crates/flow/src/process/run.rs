//! Programs that are run to their end.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::child::{Child, Exit, Keeper};
use super::limits::{LOST_GRACE, OUTPUT_BYTES};
use super::line::{Line, LineReader, Stream};
use super::program::{Program, SpawnError};

/// What a program has said in all, and how it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its standard output; at most [`OUTPUT_BYTES`].
    pub stdout: Vec<u8>,
    /// Its standard error; at most [`OUTPUT_BYTES`].
    pub stderr: Vec<u8>,
    /// How it has ended.
    pub exit: Exit,
}

/// Why a program was not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It was not started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It took too long, and was killed with all that it had started.
    #[error("Command timed out: {command}")]
    TimedOut {
        /// Its name and arguments, cut and safe to print.
        command: String,
    },
    /// Nobody wanted it any more, and it was ended with all that it had started.
    #[error("{command}: it was stopped")]
    Stopped {
        /// Its name and arguments, cut and safe to print.
        command: String,
    },
    /// It says more than is kept, and was killed with all that it had started.
    #[error("{command}: its output is longer than {OUTPUT_BYTES} bytes; a streamed one may be")]
    TooLong {
        /// Its name and arguments, cut and safe to print.
        command: String,
    },
    /// The system does not tell what it says or how it ends.
    #[error("{command}: cannot be followed")]
    Lost {
        /// Its name and arguments, cut and safe to print.
        command: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Runs a program until it and all that it has started have ended. None of its outputs ever waits for the
/// other. An exit code is no error, whatever it is. On `stop` they are asked to end, and killed
/// [two seconds](LOST_GRACE) later.
///
/// # Errors
///
/// It was not started, was stopped, has said more than [`OUTPUT_BYTES`] or has taken longer than `within`; nothing
/// of it runs any more then.
///
/// # Cancel safety
///
/// Dropping the future ends the program as dropping a [`Child`] does.
pub async fn run(
    keeper: &Keeper,
    program: &Program,
    within: Option<Duration>,
    stop: &CancellationToken,
) -> Result<Output, RunError> {
    let mut child = keeper.spawn(program)?;
    let ended = whole(&mut child);
    let ended = async {
        match within {
            Some(within) => timeout(within, ended).await,
            None => Ok(ended.await),
        }
    };
    let ended = tokio::select! {
        biased;
        ended = ended => Some(ended),
        () = stop.cancelled() => None,
    };
    let command = program.line();
    let error = match ended {
        Some(Ok(Ok(output))) => return Ok(output),
        Some(Ok(Err(Broken::TooLong))) => RunError::TooLong { command },
        Some(Ok(Err(Broken::Lost(source)))) => RunError::Lost { command, source },
        Some(Err(_)) => RunError::TimedOut { command },
        None => {
            child.stop(LOST_GRACE).await.ok();
            return Err(RunError::Stopped { command });
        }
    };
    // What has already failed cannot fail better.
    child.kill().await.ok();
    Err(error)
}

enum Broken {
    TooLong,
    Lost(io::Error),
}

async fn whole(child: &mut Child) -> Result<Output, Broken> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, exit) = tokio::try_join!(read(stdout), read(stderr), async {
        child.wait().await.map_err(Broken::Lost)
    })?;
    Ok(Output {
        stdout,
        stderr,
        exit,
    })
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Broken> {
    let mut all = Vec::new();
    let Some(from) = from else {
        return Ok(all);
    };
    // One more than there may be.
    let most = u64::try_from(OUTPUT_BYTES).map_or(u64::MAX, |most| most.saturating_add(1));
    let read = from.take(most).read_to_end(&mut all).await;
    read.map_err(Broken::Lost)?;
    if all.len() > OUTPUT_BYTES {
        return Err(Broken::TooLong);
    }
    Ok(all)
}

/// A program that runs, and what it says as it says it. It waits when nobody reads; dropped, it ends as a
/// [`Child`] does.
#[derive(Debug)]
pub struct Lines {
    child: Child,
    stdout: Option<LineReader<ChildStdout>>,
    stderr: Option<LineReader<ChildStderr>>,
    deadline: Option<Instant>,
    command: String,
}

impl Lines {
    /// Starts a program. From now on it may take as long as `within` says.
    ///
    /// # Errors
    ///
    /// It was not started.
    pub fn start(
        keeper: &Keeper,
        program: &Program,
        within: Option<Duration>,
    ) -> Result<Self, SpawnError> {
        let mut child = keeper.spawn(program)?;
        Ok(Self {
            stdout: child.stdout.take().map(LineReader::new),
            stderr: child.stderr.take().map(LineReader::new),
            child,
            deadline: within.and_then(|within| Instant::now().checked_add(within)),
            command: program.line(),
        })
    }

    /// The next line of either output, or none when both have ended. One that is longer than
    /// [`LINE_BYTES`](super::limits::LINE_BYTES) comes in pieces of that length.
    ///
    /// # Errors
    ///
    /// It took too long, or cannot be read; nothing of it runs any more then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Line>, RunError> {
        let next = line(&mut self.stdout, &mut self.stderr);
        let next = match self.deadline {
            Some(deadline) => timeout_at(deadline, next).await.ok(),
            None => Some(next.await),
        };
        let error = match next {
            Some(Ok(next)) => return Ok(next),
            Some(Err(error)) => self.lost(error),
            None => self.late(),
        };
        self.child.kill().await.ok();
        Err(error)
    }

    /// How it has ended, once it has. To be called when there are no more lines, for else it may wait to be
    /// read.
    ///
    /// # Errors
    ///
    /// It took too long, or the system does not tell; nothing of it runs any more then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn exit(&mut self) -> Result<Exit, RunError> {
        let exit = match self.deadline {
            Some(deadline) => timeout_at(deadline, self.child.wait()).await.ok(),
            None => Some(self.child.wait().await),
        };
        let error = match exit {
            Some(Ok(exit)) => return Ok(exit),
            Some(Err(error)) => self.lost(error),
            None => self.late(),
        };
        self.child.kill().await.ok();
        Err(error)
    }

    /// Asks it to end, with all that it has started, kills what is left [two seconds](LOST_GRACE) later, and
    /// waits until it has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends it as dropping it does.
    pub async fn stop(mut self) {
        // What is not read any more is not waited for.
        (self.stdout, self.stderr) = (None, None);
        self.child.stop(LOST_GRACE).await.ok();
    }

    fn lost(&self, source: io::Error) -> RunError {
        RunError::Lost {
            command: self.command.clone(),
            source,
        }
    }

    fn late(&self) -> RunError {
        RunError::TimedOut {
            command: self.command.clone(),
        }
    }
}

async fn line(
    stdout: &mut Option<LineReader<ChildStdout>>,
    stderr: &mut Option<LineReader<ChildStderr>>,
) -> io::Result<Option<Line>> {
    loop {
        let (stream, piece) = match (&mut *stdout, &mut *stderr) {
            (None, None) => return Ok(None),
            (Some(out), None) => (Stream::Stdout, out.next().await?),
            (None, Some(err)) => (Stream::Stderr, err.next().await?),
            (Some(out), Some(err)) => tokio::select! {
                piece = out.next() => (Stream::Stdout, piece?),
                piece = err.next() => (Stream::Stderr, piece?),
            },
        };
        match (piece, stream) {
            (Some(piece), stream) => {
                return Ok(Some(Line {
                    stream,
                    text: piece.text,
                }));
            }
            (None, Stream::Stdout) => *stdout = None,
            (None, Stream::Stderr) => *stderr = None,
        }
    }
}
