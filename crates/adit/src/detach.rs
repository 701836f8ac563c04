//! `-f` and `-d`: goes to the background once all forwards are up, as ssh does.
//!
//! The program starts itself anew and waits for one word of that second one. So nothing is forked
//! that has threads, a failure before is told with its exit code, and questions are asked while the
//! terminal is still there.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid};

/// Tells the second one who it is, and the first one's number.
const VARIABLE: &str = "ADIT_DETACHING";
/// What it says when all is up.
const READY: &[u8] = b"ready\n";

/// Whether this is the one that will stay. It ends with the one that waits for it, until it is ready:
/// nobody would be told of what became of it.
pub(crate) fn is_second() -> anyhow::Result<bool> {
    let Some(first) = std::env::var_os(VARIABLE) else {
        return Ok(false);
    };
    set_parent_process_death_signal(Some(Signal::TERM))
        .context("cannot end with the process that waits")?;
    let parent = getppid().map_or(0, Pid::as_raw_pid);
    anyhow::ensure!(
        first.to_str() == Some(&parent.to_string()),
        "the process that waited has gone"
    );
    Ok(true)
}

/// Starts the second one and waits until it is ready, or has ended.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, std::process::id().to_string())
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
        // Before the word: the other one ends as soon as it has read it.
        set_parent_process_death_signal(None)?;
        setsid()?;
        stdout.write_all(READY)?;
        stdout.flush()?;
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        // Who waits for the end of what it prints has heard all of it.
        rustix::stdio::dup2_stdout(&null)?;
        if !self.keeps_stderr {
            rustix::stdio::dup2_stderr(&null)?;
        }
        Ok(())
    }
}
