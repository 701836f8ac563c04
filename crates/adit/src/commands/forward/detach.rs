//! `-f`: goes to the background once all forwards are up, as ssh does.
//!
//! The program starts itself anew and waits for one word of that second one. So nothing is forked
//! that has threads, a failure before is told with its exit code, and questions are asked while the
//! terminal is still there.

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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

/// Watches forwards until all are up, and lets go of the terminal then, once.
#[derive(Debug)]
pub(super) struct Countdown {
    wanted: usize,
    there: Mutex<HashSet<String>>,
    is_done: AtomicBool,
    keeps_stderr: bool,
}

impl Countdown {
    /// Of so many forwards; with `keeps_stderr` the log goes on where it went.
    pub(super) fn new(forwards: usize, keeps_stderr: bool) -> Self {
        Self {
            wanted: forwards,
            there: Mutex::new(HashSet::new()),
            is_done: AtomicBool::new(false),
            keeps_stderr,
        }
    }

    /// That forward is up.
    pub(super) fn is_up(&self, forward: String) {
        let count = {
            let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
            there.insert(forward);
            there.len()
        };
        if count >= self.wanted
            && !self.is_done.swap(true, Ordering::Relaxed)
            && let Err(error) = self.let_go()
        {
            tracing::warn!(%error, "cannot let go of the terminal");
        }
    }

    /// The connection has ended, and with it what was up.
    pub(super) fn begin(&self) {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        there.clear();
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
