//! `-f`: goes to the background once all forwards are up, as ssh does.
//!
//! The program starts itself anew and waits for one word of that second one. So nothing is forked
//! that has threads, a failure before is told with its exit code, and questions are asked while the
//! terminal is still there.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use rustix::process::setsid;

/// Tells the second one who it is.
const VARIABLE: &str = "ADIT_DETACHING";
/// What it says when all is up.
const READY: &[u8] = b"ready\n";

/// Whether this is the one that will stay.
pub(super) fn is_second() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Starts the second one and waits until it is ready, or has ended.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start in the background")?;
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let most = u64::try_from(READY.len()).unwrap_or(u64::MAX);
        stdout
            .take(most)
            .read_to_end(&mut said)
            .context("cannot hear from the background")?;
    }
    if said == READY {
        return Ok(ExitCode::SUCCESS);
    }
    // It has said why.
    let status = child.wait().context("cannot wait for the background")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Counts forwards until all are up, and lets go of the terminal then.
#[derive(Debug)]
pub(super) struct Countdown {
    missing: AtomicUsize,
    keeps_stderr: bool,
}

impl Countdown {
    /// Of so many forwards; with `keeps_stderr` the log goes on where it went.
    pub(super) const fn new(forwards: usize, keeps_stderr: bool) -> Self {
        Self {
            missing: AtomicUsize::new(forwards),
            keeps_stderr,
        }
    }

    /// One more is up.
    pub(super) fn one_is_up(&self) {
        let down = |missing: usize| missing.checked_sub(1);
        let before = self
            .missing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, down);
        if before == Ok(1)
            && let Err(error) = self.let_go()
        {
            tracing::warn!(%error, "cannot let go of the terminal");
        }
    }

    fn let_go(&self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(READY)?;
        stdout.flush()?;
        setsid()?;
        if !self.keeps_stderr {
            let null = std::fs::File::options().write(true).open("/dev/null")?;
            rustix::stdio::dup2_stderr(&null)?;
        }
        Ok(())
    }
}
