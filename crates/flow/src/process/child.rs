//! A program under its keeper, as we see it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::keeper::{KILL, SAME, TERMINATE};
use super::limits::KILL_GRACE;
use super::program::{Program, SpawnError};

/// How the program is called that keeps others: our own, by a command that people never write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// The executable.
    pub program: PathBuf,
    /// What makes it call [`keep`](super::keeper::keep) with what follows.
    pub arguments: Vec<OsString>,
    /// How many files a program may have open (the soft limit), where that is not what this process may: a
    /// program that was written for 1,024, and waits with select(2), is not to be given more than it wants.
    pub open_files: Option<u64>,
}

impl Keeper {
    /// The program that runs here, also when its file has been replaced or removed meanwhile.
    pub fn of_this_program() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec![OsString::from("__keeper")],
            open_files: None,
        }
    }

    /// Starts a program. To be called within a runtime that has I/O, time and signals; the program outlives the
    /// thread and the runtime that have started it, but not the [`Child`].
    ///
    /// # Errors
    ///
    /// It is not where it should be, or the system refuses a process. What only its start can tell, an
    /// interpreter that is missing for example, is in its exit code, 126 or 127, and on its standard error.
    pub fn spawn(&self, program: &Program) -> Result<Child, SpawnError> {
        let found = program.find()?;
        let files = self
            .open_files
            .map_or_else(|| SAME.to_owned(), |it| it.to_string());
        let mut keeper = Command::new(&self.program)
            .arg0("adit")
            .args(&self.arguments)
            .arg(files)
            .arg(found)
            .arg("--")
            .args(&program.argv)
            .current_dir(&program.dir)
            .env_clear()
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| program.refused(error))?;
        Ok(Child {
            lifeline: keeper.stdin.take(),
            stdout: keeper.stdout.take(),
            stderr: keeper.stderr.take(),
            keeper,
        })
    }
}

/// A program that runs. When it is dropped, the program and all that it has started are asked to end, and are killed
/// [two seconds](super::limits::LOST_GRACE) later.
///
/// Its outputs end when the last of these processes has ended. Somebody has to read them, or it will wait.
#[derive(Debug)]
pub struct Child {
    keeper: tokio::process::Child,
    lifeline: Option<ChildStdin>,
    /// Its standard output, until it is taken.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, until it is taken.
    pub stderr: Option<ChildStderr>,
}

impl Child {
    /// Waits until the program and all that it has started have ended.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing; a later call gives the same.
    pub async fn wait(&mut self) -> io::Result<Exit> {
        let status = self.keeper.wait().await?;
        let signal = status.signal().map(|signal| 128 + signal);
        let code = status.code().or(signal);
        Ok(Exit {
            code: code
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(u8::MAX),
        })
    }

    /// Asks the program and all that it has started to end, kills what still runs after `grace`, and waits for
    /// the end of all.
    ///
    /// # Errors
    ///
    /// The system does not tell of the end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves them asked to end; [`wait`](Self::wait), another call, or dropping the child goes on.
    pub async fn stop(&mut self, grace: Duration) -> io::Result<Exit> {
        self.order(TERMINATE).await;
        match timeout(grace, self.wait()).await {
            Ok(exit) => exit,
            Err(_) => self.kill().await,
        }
    }

    /// Kills the program and all that it has started, and waits for the end of all.
    ///
    /// # Errors
    ///
    /// The system does not tell of the end.
    ///
    /// # Cancel safety
    ///
    /// As that of [`stop`](Self::stop), once the future was polled.
    pub async fn kill(&mut self) -> io::Result<Exit> {
        self.order(KILL).await;
        // The keeper waits no longer than half of this for what cannot be killed.
        if let Ok(exit) = timeout(2 * KILL_GRACE, self.wait()).await {
            return exit;
        }
        self.keeper.start_kill()?;
        self.wait().await
    }

    /// A keeper that has ended takes no orders and needs none. A byte finds room in any pipe.
    async fn order(&mut self, order: u8) {
        if let Some(lifeline) = &mut self.lifeline {
            lifeline.write_all(&[order]).await.ok();
        }
    }
}

/// How a program has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, or 128 and the number of the signal that ended it, as shells have it. 126 and 127
    /// may be the keeper's: it could not be started.
    pub code: u8,
}

impl Exit {
    /// Whether it says that all went well.
    pub fn is_success(self) -> bool {
        self.code == 0
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.code)
    }
}
