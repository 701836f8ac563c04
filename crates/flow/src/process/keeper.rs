//! The process between us and a program: it ends everything that the program has started.
//!
//! It is our own executable, run as `adit __keeper FILES PROGRAM -- ARGUMENT...`: how many files the program may
//! have open (the soft limit), or [`SAME`]; where it is; and, first of its arguments, the name that it is told to have. It has no terminal, it inherits nothing but its standard
//! input and outputs, and the program gets the outputs and an empty input.
//!
//! Its own standard input is the *lifeline*: a pipe whose other end only we have. A byte is an order,
//! [`TERMINATE`] or [`KILL`]; its end says that we are gone, however we went. The keeper is the *subreaper* of what it
//! starts (PR_SET_CHILD_SUBREAPER, prctl(2)): who loses a parent becomes the keeper's child, so nothing can
//! leave its tree by forking twice.
//!
//! When the program has ended by itself, what is left of its tree is killed. When it was told to end, the rest
//! has the same time as the program. Once no process is left the keeper ends with the program's
//! exit code, or 128 and the signal's number, as shells have it. 127 and 126 are those of a program that is not
//! there or cannot be run.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getrlimit, setrlimit,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal as Incoming, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::limits::{KILL_GRACE, LOST_GRACE, STOP_GRACE};

mod tree;

/// The order to ask everything to end, by SIGTERM.
pub const TERMINATE: u8 = b't';

/// The order to kill everything.
pub const KILL: u8 = b'k';

/// In the place of a limit of open files: it stays as it is.
pub const SAME: &str = "-";

/// Keeps a program until nothing of it is left, and gives the code to exit with. Called by a process that is
/// for this alone, before it has started any thread. `open_files` is the program's soft limit of open files,
/// if it is not the keeper's.
pub fn keep(program: &Path, argv: &[OsString], open_files: Option<u64>) -> ExitCode {
    match start(program, argv, open_files) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Nobody may be there to read it.
            writeln!(io::stderr(), "adit: {error}").ok();
            ExitCode::from(error.code())
        }
    }
}

/// Why no program was kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("cannot keep {program}: {error}")]
    Keep { program: String, error: io::Error },
    #[error("cannot run {program}: {error}")]
    Run { program: String, error: io::Error },
}

impl KeepError {
    /// As shells have it.
    fn code(&self) -> u8 {
        match self {
            Self::Run { error, .. } if error.kind() == io::ErrorKind::NotFound => 127,
            Self::Run { .. } | Self::Keep { .. } => 126,
        }
    }
}

fn start(program: &Path, argv: &[OsString], open_files: Option<u64>) -> Result<u8, KeepError> {
    let shown = || adit_text::escape(&program.to_string_lossy());
    let keep = |error| KeepError::Keep {
        program: shown(),
        error,
    };
    // Only the leader of a group cannot, and then its starter has done more than it should have.
    rustix::process::setsid().map_err(|error| keep(error.into()))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| keep(error.into()))?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    if open_files.is_some() {
        // Ours too: what is kept inherits it, and the keeper has few.
        let limit = Rlimit {
            current: open_files,
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, limit).map_err(|error| keep(error.into()))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(keep)?;
    runtime.block_on(async {
        // Before the program starts, so that no signal is missed and no lifeline is too many.
        let mut orders = Orders::new().map_err(keep)?;
        let (name, arguments) = argv
            .split_first()
            .map_or((program.as_os_str(), argv), |(name, rest)| (name, rest));
        let child = Command::new(program)
            .arg0(name)
            .args(arguments)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| KeepError::Run {
                program: shown(),
                error,
            })?;
        Ok(Kept::new(Pid::from_child(&child)).run(&mut orders).await)
    })
}

/// What the keeper is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// A child has ended.
    Look,
    /// Ask everything to end; kill it after some time, or when told to.
    Terminate(Option<Duration>),
    /// Kill everything.
    Kill,
}

/// Where orders come from.
struct Orders {
    lifeline: pipe::Receiver,
    /// Nothing comes from it any more.
    is_cut: bool,
    child: Incoming,
    /// Those that would end this process: they end the program instead. A service manager sends them to all
    /// that it has started.
    ends: [Incoming; 4],
}

impl Orders {
    fn new() -> io::Result<Self> {
        let stdin = rustix::stdio::stdin().try_clone_to_owned()?;
        Ok(Self {
            lifeline: pipe::Receiver::from_owned_fd(stdin)?,
            is_cut: false,
            child: signal(SignalKind::child())?,
            ends: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::quit())?,
            ],
        })
    }

    /// The next one. Nothing is lost when the future is dropped.
    async fn next(&mut self) -> Order {
        let [terminate, interrupt, hang_up, quit] = &mut self.ends;
        let mut byte = [0];
        loop {
            tokio::select! {
                read = self.lifeline.read(&mut byte), if !self.is_cut => match (read, byte) {
                    (Ok(1), [TERMINATE]) => return Order::Terminate(None),
                    (Ok(1), [KILL]) => return Order::Kill,
                    (Ok(1), _) => continue,
                    _ => {
                        self.is_cut = true;
                        return Order::Terminate(Some(LOST_GRACE));
                    }
                },
                _ = self.child.recv() => return Order::Look,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
                _ = quit.recv() => {}
            }
            return Order::Terminate(Some(STOP_GRACE));
        }
    }
}

/// A program and its tree.
#[derive(Debug)]
struct Kept {
    program: Pid,
    /// The program's own, once it has ended.
    code: Option<u8>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The program runs.
    Running,
    /// All were asked to end, and are killed then.
    Asked(Option<Instant>),
    /// All were killed, and are left behind then.
    Killed(Instant),
}

impl Kept {
    fn new(program: Pid) -> Self {
        Self {
            program,
            code: None,
            phase: Phase::Running,
        }
    }

    /// Until no process is left, or only such as cannot be killed.
    async fn run(mut self, orders: &mut Orders) -> u8 {
        loop {
            if self.reap() == Left::Nothing {
                break;
            }
            match self.phase {
                Phase::Running if self.code.is_some() => self.kill(),
                Phase::Killed(until) if Instant::now() >= until => break,
                // Again and again: some may have been born meanwhile.
                Phase::Killed(_) => tree::signal(Signal::KILL),
                Phase::Running | Phase::Asked(_) => {}
            }
            let next = match self.phase {
                Phase::Running | Phase::Asked(None) => None,
                Phase::Asked(Some(until)) => Some(until),
                Phase::Killed(until) => Some(until.min(Instant::now() + LOOK_AGAIN)),
            };
            let time = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = orders.next() => self.obey(order),
                () = time => if matches!(self.phase, Phase::Asked(_)) { self.kill() },
            }
        }
        self.code.unwrap_or(CODE_OF_A_KILL)
    }

    fn obey(&mut self, order: Order) {
        match (order, self.phase) {
            (Order::Look, _) | (_, Phase::Killed(_)) => {}
            (Order::Kill, Phase::Running | Phase::Asked(_)) => self.kill(),
            (Order::Terminate(grace), phase) => {
                let until = grace.map(|grace| Instant::now() + grace);
                self.phase = match phase {
                    Phase::Asked(Some(before)) => {
                        Phase::Asked(Some(until.map_or(before, |until| until.min(before))))
                    }
                    Phase::Running | Phase::Asked(None) | Phase::Killed(_) => Phase::Asked(until),
                };
                if phase == Phase::Running {
                    tree::signal(Signal::TERM);
                }
            }
        }
    }

    fn kill(&mut self) {
        self.phase = Phase::Killed(Instant::now() + KILL_GRACE);
        tree::signal(Signal::KILL);
    }

    /// Takes leave of all children that have ended, adopted ones too.
    fn reap(&mut self) -> Left {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.program => self.code = Some(code(status)),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return Left::Something,
                // There are no children (wait(2)): whatever else it may say leaves nothing to wait for.
                Err(_) => return Left::Nothing,
            }
        }
    }
}

/// Whether there are children.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Something,
    Nothing,
}

fn code(status: WaitStatus) -> u8 {
    let signal = status.terminating_signal().map(|signal| 128 + signal);
    let code = status.exit_status().or(signal);
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// Between two looks at a tree that was killed: about what it takes to end.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Of a program that cannot be killed: as if it had been, 128 + SIGKILL.
const CODE_OF_A_KILL: u8 = 137;
