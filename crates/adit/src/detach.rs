//! `-f` and `-d`: goes to the background once all forwards are up, as ssh does.
//!
//! The program starts itself anew and waits for one word of that second one. So nothing is forked
//! that has threads, a failure before is told with its exit code, and questions are asked while the
//! terminal is still there.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use rustix::process::setsid;

/// Tells the second one who it is.
const VARIABLE: &str = "ADIT_DETACHING";
/// What it says when all is up.
const READY: &[u8] = b"ready\n";

/// Whether this is the one that will stay.
pub(crate) fn is_second() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Starts the second one and waits until it is ready, or has ended.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
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

/// Lets go of the terminal, once, when all is up.
#[derive(Debug)]
pub(crate) struct LetGo {
    is_done: AtomicBool,
    keeps_stderr: bool,
}

impl LetGo {
    /// With `keeps_stderr` the log goes on where it went.
    pub(crate) const fn new(keeps_stderr: bool) -> Self {
        Self {
            is_done: AtomicBool::new(false),
            keeps_stderr,
        }
    }

    /// Whether it was let go of.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Relaxed)
    }

    /// All is up.
    pub(crate) fn ready(&self) {
        if !self.is_done.swap(true, Ordering::Relaxed)
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
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        // Who waits for the end of what it prints has heard all of it.
        rustix::stdio::dup2_stdout(&null)?;
        if !self.keeps_stderr {
            rustix::stdio::dup2_stderr(&null)?;
        }
        Ok(())
    }
}
