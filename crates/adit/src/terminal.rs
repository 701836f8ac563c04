//! The terminal that a person sits at, for questions.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// The controlling terminal of this process, which stands in the foreground.
pub(crate) struct Terminal {
    file: File,
}

/// Whether what is typed is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    On,
    Off,
}

/// Brings the terminal back to what it was when dropped, whatever a question that was cut off left.
pub(crate) struct Restore(Option<(File, Termios)>);

/// One question at a time: a login that gave up may still have one.
static TURN: Mutex<()> = Mutex::new(());
const PATH: &str = "/dev/tty";
/// Most bytes of an answer.
const ANSWER: usize = 1_024;

/// Waits until nobody else has a question; to be held while asking.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terminal {
    /// `None` if there is none, or if somebody else has it: a program in the background that reads
    /// from its terminal is stopped.
    pub(crate) fn open() -> Option<Self> {
        let file = File::options().read(true).write(true).open(PATH).ok()?;
        let is_ours = tcgetpgrp(&file).is_ok_and(|group| group == getpgrp());
        is_ours.then_some(Self { file })
    }

    /// Writes a line.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.file, "{line}")
    }

    /// Asks, and waits for a line.
    pub(crate) fn ask(&mut self, prompt: &str, echo: Echo) -> io::Result<String> {
        let before = tcgetattr(&self.file)?;
        if echo == Echo::Off {
            let mut hidden = before.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            tcsetattr(&self.file, OptionalActions::Flush, &hidden)?;
        }
        let answer = self.line(prompt);
        if echo == Echo::Off {
            tcsetattr(&self.file, OptionalActions::Now, &before)?;
            // The line end that was typed was not shown either.
            writeln!(self.file)?;
        }
        answer
    }

    fn line(&mut self, prompt: &str) -> io::Result<String> {
        write!(self.file, "{prompt}")?;
        self.file.flush()?;
        // All at once, so that no reallocation leaves a copy behind.
        let mut line = String::with_capacity(ANSWER);
        let limit = u64::try_from(ANSWER).unwrap_or(u64::MAX);
        BufReader::with_capacity(1, io::Read::take(&self.file, limit)).read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.pop();
        Ok(line)
    }
}

impl Restore {
    /// Remembers how the terminal is now, and has it echo no control characters: the `^C` of an interrupt
    /// would move lines that are drawn anew in their places.
    pub(crate) fn without_controls() -> Self {
        let restore = Self::new();
        if let Some((file, termios)) = &restore.0 {
            let mut quiet = termios.clone();
            quiet.local_modes.remove(LocalModes::ECHOCTL);
            if let Err(error) = tcsetattr(file, OptionalActions::Now, &quiet) {
                tracing::debug!(%error, "terminal echoes control characters");
            }
        }
        restore
    }

    /// Remembers how the terminal is now.
    pub(crate) fn new() -> Self {
        Self(Terminal::open().and_then(|terminal| {
            let termios = tcgetattr(&terminal.file).ok()?;
            Some((terminal.file, termios))
        }))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some((file, termios)) = &self.0
            && let Err(error) = tcsetattr(file, OptionalActions::Now, termios)
        {
            tracing::debug!(%error, "terminal is not brought back");
        }
    }
}
