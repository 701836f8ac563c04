//! A program whose output somebody follows while others wait for its end.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::task::JoinSet;

use super::child::{Child, Exit, Keeper};
use super::limits::{LAST_LINE_CHARACTERS, LAST_LINES};
use super::line::{LineReader, printable};
use super::program::{Program, SpawnError};

/// A program that runs, and whose outputs are read whatever its owner does. Dropped, it ends as a [`Child`] does.
#[derive(Debug)]
pub(crate) struct Followed {
    child: Child,
    output: JoinSet<()>,
    tail: Tail,
}

impl Followed {
    /// Starts a program. Each line of its outputs, safe to print and at most
    /// [`LINE_BYTES`](super::limits::LINE_BYTES) of it, goes to `follower`.
    pub(crate) fn start<F>(
        keeper: &Keeper,
        program: &Program,
        follower: F,
    ) -> Result<Self, SpawnError>
    where
        F: Fn(&str) + Clone + Send + 'static,
    {
        let mut child = keeper.spawn(program)?;
        let tail = Tail::default();
        let mut output = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            output.spawn(follow(stdout, tail.clone(), follower.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            output.spawn(follow(stderr, tail.clone(), follower));
        }
        Ok(Self {
            child,
            output,
            tail,
        })
    }

    /// Waits until it and all that it has started have ended and all that they said was followed. Dropping the
    /// future changes nothing.
    pub(crate) async fn wait(&mut self) -> io::Result<Exit> {
        let exit = self.child.wait().await;
        self.followed().await;
        exit
    }

    /// As [`Child::stop`], and until all that was said was followed.
    pub(crate) async fn stop(&mut self, grace: Duration) -> io::Result<Exit> {
        let exit = self.child.stop(grace).await;
        self.followed().await;
        exit
    }

    /// What it said last.
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The outputs have ended with the last process, unless one could not be killed.
    async fn followed(&mut self) {
        let rest = async { while self.output.join_next().await.is_some() {} };
        if tokio::time::timeout(REST, rest).await.is_err() {
            self.output.shutdown().await;
        }
    }
}

async fn follow(from: impl AsyncRead + Unpin, tail: Tail, follower: impl Fn(&str)) {
    let mut lines = LineReader::new(from);
    // What cannot be read has ended.
    while let Ok(Some(piece)) = lines.next().await {
        if !piece.is_first {
            continue;
        }
        let mut line = printable(&piece.text);
        if !piece.is_last {
            line.push('…');
        }
        follower(&line);
        tail.push(line);
    }
}

/// The last lines of a program, safe to print. Clones show the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, mut line: String) {
        if let Some((cut, _)) = line.char_indices().nth(LAST_LINE_CHARACTERS) {
            line.truncate(cut);
            line.push('…');
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The last line that says something.
    pub(crate) fn last(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = lines.iter().rev().filter(|line| !line.trim().is_empty());
        said.next().cloned()
    }
}

/// As the end of a message: nothing, or a colon and each line on one of its own.
impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return f.write_str(", without a word");
        }
        f.write_str("; its last lines:")?;
        for line in lines.iter() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// How long outputs may stay open after the end of all that could be killed.
const REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept_and_long_ones_are_cut() {
        let tail = Tail::default();
        assert_eq!(tail.to_string(), ", without a word");
        for number in 0..LAST_LINES + 5 {
            tail.push(format!("line {number}"));
        }
        tail.push("ü".repeat(LAST_LINE_CHARACTERS + 1));
        tail.push(" ".to_owned());
        let shown = tail.to_string();
        assert!(
            shown.starts_with("; its last lines:\n  line 7\n  line 8\n"),
            "{shown}"
        );
        assert_eq!(shown.lines().count(), LAST_LINES + 1);
        let long = tail.last().unwrap();
        assert_eq!(long.chars().count(), LAST_LINE_CHARACTERS + 1);
        assert!(long.ends_with("ü…"));
    }
}
