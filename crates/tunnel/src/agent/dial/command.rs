//! A program whose standard streams lead to a peer (`ProxyCommand`).
//!
//! It is run without a shell: its words are what they are, whatever a host's or user's name holds.
//! It has a process group of its own, so that no signal of the terminal reaches it past us and none
//! of its children outlives the carrier. What it says on standard error is logged.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_ssh::printable::Printable;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tracing::{debug, info};

use self::words::Words;
use crate::transport::ssh::Carrier;

mod words;

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyCommand {
    program: String,
    arguments: Vec<String>,
}

/// Why a program did not lead to a peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot run the proxy command {program:?}")]
    Start {
        /// Its name.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended before the login was done.
    #[error("proxy command {program:?} ended before the login was done ({status}){}", said(words.as_ref()))]
    Ended {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last that it said.
        words: Option<Printable>,
    },
}

impl CommandError {
    /// Whether a person must do something before another attempt makes sense.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Start { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ),
            Self::Ended { .. } => false,
        }
    }
}

/// How long a program whose streams have ended, or that was asked to end, may take to do so.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// How the names of our own variables begin.
const OWN_VARIABLES: &[u8] = b"ADIT_";

impl ProxyCommand {
    /// The program that is the first word, with the others as its arguments; `None` for no word.
    pub fn new(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        Some(Self {
            program: words.next()?,
            arguments: words.collect(),
        })
    }

    /// Starts it.
    pub(super) fn start(&self) -> Result<(Pipes, Program), CommandError> {
        let failed = |source| CommandError::Start {
            program: self.program.clone(),
            source,
        };
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            // What was left for us, the destination's password for one, is for nobody on the way.
            if name.as_encoded_bytes().starts_with(OWN_VARIABLES) {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            // With it a dropped child is waited for by the runtime, too.
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let lacks = || failed(io::ErrorKind::BrokenPipe.into());
        let pipes = Pipes {
            stdin: child.stdin.take().ok_or_else(lacks)?,
            stdout: child.stdout.take().ok_or_else(lacks)?,
        };
        let words = child.stderr.take().map(Words::new);
        debug!(program = self.program, "proxy command runs");
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let program = Program {
            name: self.program.clone(),
            child,
            group: id.and_then(Pid::from_raw),
            words,
            last: None,
        };
        Ok((pipes, program))
    }
}

fn said(words: Option<&Printable>) -> String {
    words.map_or_else(String::new, |words| format!(": {words}"))
}

/// A program that runs. Dropped, it is killed with all of its group.
pub(in crate::agent) struct Program {
    name: String,
    child: Child,
    /// Its group, until it has been waited for.
    group: Option<Pid>,
    /// Where it complains, until that ends.
    words: Option<Words<ChildStderr>>,
    last: Option<Printable>,
}

impl Program {
    /// Logs what the program says, until it says no more.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn log_words(&mut self) {
        while let Some(words) = &mut self.words {
            if let Some(line) = words.next().await {
                info!(program = self.name, %line, "proxy command says");
                self.last = Some(line);
            } else {
                self.words = None;
            }
        }
    }

    /// How it ended, if it has done so or does it now.
    pub(super) async fn reason(&mut self) -> Option<CommandError> {
        // A program that has left others behind may never end its standard error.
        drop(timeout(END_DEADLINE, self.log_words()).await);
        let status = self.wait().await?;
        Some(CommandError::Ended {
            program: self.name.clone(),
            status,
            words: self.last.take(),
        })
    }

    /// Has it end: by the signal that ssh gives it, and if it takes too long, by one that cannot be
    /// ignored. When this returns, it has been waited for and nothing of its group is left running.
    pub(super) async fn end(mut self) {
        self.signal(Signal::HUP);
        if self.wait().await.is_none() {
            debug!(
                program = self.name,
                "proxy command does not end and is killed"
            );
            self.signal(Signal::KILL);
            self.wait().await;
        }
    }

    /// Waits for its end, but not long, and kills what it has left behind.
    async fn wait(&mut self) -> Option<ExitStatus> {
        let status = timeout(END_DEADLINE, self.child.wait()).await.ok()?;
        // The group's number stays its own as long as it has members. If it has none, the system
        // goes through all other numbers before it gives this one out again.
        self.signal(Signal::KILL);
        self.group = None;
        status.ok()
    }

    fn signal(&self, signal: Signal) {
        let Some(group) = self.group else { return };
        match rustix::process::kill_process_group(group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => debug!(%error, program = self.name, "proxy command took no signal"),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.name).finish()
    }
}

/// The program's standard streams, as a carrier.
#[derive(Debug)]
pub(super) struct Pipes {
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Carrier for Pipes {}

impl AsyncRead for Pipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stdin.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use adit_testkit::wait;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn start(words: &[&str]) -> (Pipes, Program) {
        let words = words.iter().map(|word| (*word).to_owned());
        let command = ProxyCommand::new(words.collect()).unwrap();
        command.start().unwrap()
    }

    /// Every process that held the program's standard output has ended.
    async fn wait_for_all(mut pipes: Pipes) {
        let mut rest = Vec::new();
        let ended = timeout(wait::DEADLINE, pipes.read_to_end(&mut rest));
        ended.await.unwrap().unwrap();
    }

    async fn wait_for_line(pipes: &mut Pipes) {
        let byte = timeout(wait::DEADLINE, pipes.read_u8());
        assert_eq!(byte.await.unwrap().unwrap(), b'\n');
    }

    #[tokio::test]
    async fn bytes_go_both_ways() {
        let (mut pipes, program) = start(&["cat"]);
        pipes.write_all(b"there and back").await.unwrap();
        let mut back = [0; 14];
        pipes.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"there and back");
        program.end().await;
        wait_for_all(pipes).await;
    }

    #[tokio::test]
    async fn a_word_is_never_read_by_a_shell() {
        for hostile in ["$(echo x)", "a; echo x", "`id`", "a | b", "'\"", "-n", "%h"] {
            let (mut pipes, program) = start(&["printf", "%s", hostile]);
            let mut text = String::new();
            pipes.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, hostile);
            program.end().await;
        }
    }

    #[tokio::test]
    async fn nothing_of_the_group_is_left_after_an_end_or_a_drop() {
        for (script, is_dropped) in [
            ("sleep 1000 & echo; wait", true),
            ("sleep 1000 & echo; wait", false),
            // Deaf to the first signal.
            ("trap '' HUP; sleep 1000 & echo; wait", false),
            // Gone already, and its child is not.
            ("sleep 1000 & echo; exit 3", false),
        ] {
            let (mut pipes, program) = start(&["sh", "-c", script]);
            wait_for_line(&mut pipes).await;
            let id = program.child.id().unwrap();
            if is_dropped {
                drop(program);
            } else {
                program.end().await;
            }
            wait_for_all(pipes).await;
            let entry = format!("/proc/{id}");
            wait::until_async("the program has been waited for", || async {
                if Path::new(&entry).exists() {
                    Err("it is there")
                } else {
                    Ok(())
                }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn an_end_before_its_time_is_told_with_status_and_words() {
        let (_pipes, mut program) = start(&["sh", "-c", "printf 'no \\033[2Jway\\n' >&2; exit 3"]);
        let error = program.reason().await.unwrap();
        assert_eq!(
            error.to_string(),
            "proxy command \"sh\" ended before the login was done (exit status: 3): no \\u{1b}[2Jway"
        );
        program.end().await;
        let words = vec![String::from("/no/such/program")];
        let error = ProxyCommand::new(words).unwrap().start().unwrap_err();
        assert!(error.is_permanent());
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
