//! A run from where it is asked for to its end: what is shown, what is asked, what interrupts it.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use adit_flow::exec::{Phase, Status};
use adit_flow::expr::Value;
use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::debug;

use super::file::Output;
use super::sink::Sink;
use crate::control::conversation::{Conversation, News, Outcome};
use crate::log::say;
use crate::progress::{Progress, TICK, plain};
use crate::signal::{Signal, signalled_before_the_end};
use crate::task::{AskedPerson, TaskReport};
use crate::terminal::{self, Echo, Terminal};

/// How a run ended for the one who asked for it.
#[derive(Debug)]
pub(super) enum End {
    /// It has given this.
    Given(Outcome),
    /// It has given what was written as it came.
    Written,
    /// It was interrupted here, by that.
    Interrupted(Signal),
}

/// Who can let a job go on that waits for a person, if nobody sits at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persons {
    /// Nobody has to: it goes on as if there were nothing to say.
    Nobody,
    /// Others can, who reach the same run.
    Others,
    /// Nobody else can.
    OnlyHere,
}

/// What a person said to a job.
struct Said {
    job: String,
    answer: io::Result<Option<String>>,
}

/// Shows a run until it has ended, asks for what it wants to know, and stops it when that is wanted.
/// What it gives piece by piece is written into `file`, or else to standard output, as it comes.
///
/// # Errors
///
/// It failed; what it gives broke off or cannot be written; or nobody can tell what became of it.
pub(super) async fn follow(
    mut conversation: Conversation,
    mut progress: Progress,
    persons: Persons,
    file: &mut Option<Output>,
) -> anyhow::Result<End> {
    let followed = match talk(&mut conversation, &mut progress, persons).await {
        Ok(Talked::Ended(end)) => Ok(end),
        Ok(Talked::Streaming) => {
            // Standard output may be the same terminal.
            progress.end();
            return write(&mut conversation, file.take()).await;
        }
        Err(error) => Err(error),
    };
    progress.end();
    followed
}

/// How far it was talked of.
enum Talked {
    /// To the end.
    Ended(End),
    /// To where what it gives comes in pieces.
    Streaming,
}

/// Writes what a run gives piece by piece.
async fn write(conversation: &mut Conversation, file: Option<Output>) -> anyhow::Result<End> {
    let mut signal = std::pin::pin!(signalled_before_the_end()?);
    let mut sink = Sink::new(file);
    loop {
        tokio::select! {
            biased;
            // The run is over, and what hangs up ends its stream.
            by = &mut signal => return Ok(End::Interrupted(by)),
            written = sink.written(), if sink.is_writing() => written?,
            news = conversation.next(), if !sink.is_writing() => match news? {
                News::Piece(piece) => sink.begin(piece),
                News::Ended(..) => {
                    sink.finish()?;
                    return Ok(End::Written);
                }
                News::Report(_) | News::Streaming(_) => {}
            },
        }
    }
}

async fn talk(
    conversation: &mut Conversation,
    progress: &mut Progress,
    persons: Persons,
) -> anyhow::Result<Talked> {
    let mut signal = std::pin::pin!(signalled_before_the_end()?);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut interrupted = None;
    let mut questions = Questions::default();
    loop {
        tokio::select! {
            biased;
            by = &mut signal => {
                // A second one does not wait for the run's end.
                if interrupted.is_some() {
                    return Ok(Talked::Ended(End::Interrupted(by)));
                }
                interrupted = Some(by);
                signal.set(signalled_before_the_end()?);
                // Who hears no more has said how the run ended, and that is read next.
                if let Err(error) = conversation.cancel().await {
                    debug!("the run was not told to stop: {error:#}");
                }
            }
            said = questions.answered(), if questions.is_asking() => {
                let said = said?;
                let answer = said.answer.context("cannot ask at the terminal")?;
                conversation.resume(&said.job, answer).await?;
            }
            news = conversation.next() => match (news, interrupted) {
                (Ok(News::Report(report)), _) => {
                    if !questions.is_asking() {
                        progress.show(&report, now());
                    }
                    questions.open = report.questions;
                }
                (Ok(News::Ended(report, outcome)), interrupted) => {
                    progress.show(&report, now());
                    let end = match interrupted {
                        Some(by) => End::Interrupted(by),
                        None => ended(report, outcome)?,
                    };
                    return Ok(Talked::Ended(end));
                }
                (Ok(News::Streaming(_)), Some(by)) => {
                    return Ok(Talked::Ended(End::Interrupted(by)));
                }
                (Ok(News::Streaming(report)), None) => {
                    progress.show(&report, now());
                    return Ok(Talked::Streaming);
                }
                // None comes before the stream is told of.
                (Ok(News::Piece(_)), _) => {}
                // One that was never begun has no other end.
                (Err(_), Some(by)) => return Ok(Talked::Ended(End::Interrupted(by))),
                (Err(error), None) => return Err(error),
            },
            _ = ticks.tick() => if !questions.is_asking() {
                progress.tick(now());
            },
        }
        if interrupted.is_some() {
            continue;
        }
        match persons {
            Persons::Nobody => {
                for question in std::mem::take(&mut questions.open) {
                    conversation.resume(&question.job, None).await?;
                }
            }
            Persons::Others | Persons::OnlyHere => questions.ask(progress, persons)?,
        }
    }
}

/// Persons that are waited for, and the one who is being asked.
#[derive(Default)]
struct Questions {
    /// As they were told last.
    open: Vec<AskedPerson>,
    /// When each was asked or answered last.
    asked: HashMap<(String, Before), Instant>,
    asking: Option<JoinHandle<Said>>,
}

/// Whether a job has yet to run.
type Before = bool;

/// A question that is still there so long after its answer is another one.
const SETTLED: Duration = Duration::from_secs(1);

impl Questions {
    fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// What the person at the terminal says. To be called while one is asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn answered(&mut self) -> anyhow::Result<Said> {
        let Some(asking) = &mut self.asking else {
            return std::future::pending().await;
        };
        let said = asking.await.context("cannot ask at the terminal");
        self.asking = None;
        for at in self.asked.values_mut() {
            *at = Instant::now();
        }
        said
    }

    /// Asks the next one, if nobody is being asked.
    ///
    /// # Errors
    ///
    /// Nobody is there to be asked, here or elsewhere.
    fn ask(&mut self, progress: &Progress, persons: Persons) -> anyhow::Result<()> {
        if self.is_asking() {
            return Ok(());
        }
        let now = Instant::now();
        let mut open = self.open.iter();
        let is_new = |one: &&AskedPerson| {
            let at = self.asked.get(&key(one));
            at.is_none_or(|at| now.saturating_duration_since(*at) > SETTLED)
        };
        let Some(question) = open.find(is_new).cloned() else {
            return Ok(());
        };
        self.asked.insert(key(&question), now);
        let Some(terminal) = Terminal::open() else {
            let job = &question.job;
            anyhow::ensure!(
                persons == Persons::Others,
                "job {job} waits for a person: run it at a terminal, or with --auto-resume"
            );
            // It is told once.
            self.open.clear();
            progress.aside(|| say(&format!("job {job} waits for a person")));
            return Ok(());
        };
        progress.aside(|| ());
        self.asking = Some(tokio::task::spawn_blocking(move || {
            let job = question.job.clone();
            let answer = put(&question, terminal);
            Said { job, answer }
        }));
        Ok(())
    }
}

fn key(question: &AskedPerson) -> (String, Before) {
    (question.job.clone(), question.phase == Phase::Before)
}

/// Puts a question to the person at the terminal; an empty line is no answer.
fn put(question: &AskedPerson, mut terminal: Terminal) -> io::Result<Option<String>> {
    let _turn = terminal::turn();
    let what = question.message.as_deref().unwrap_or(match question.phase {
        Phase::Before => "it is about to run",
        Phase::After => "it has run",
    });
    terminal.say(&format!("{}: {}", plain(&question.job), printable(what)))?;
    if let Some(metadata) = &question.metadata {
        terminal.say(&printable(metadata))?;
    }
    let line = terminal.ask("Answer, text or JSON (Enter goes on without): ", Echo::On)?;
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let value = Value::from_json(line.as_bytes()).unwrap_or_else(|_| Value::from(line));
    value.to_json().map(Some).map_err(io::Error::other)
}

/// Several lines that a terminal does not obey.
fn printable(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let letters = line.chars().map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        });
        letters.collect::<String>()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// How it ended.
fn ended(report: TaskReport, outcome: Outcome) -> anyhow::Result<End> {
    match report.status {
        Status::Completed => Ok(End::Given(outcome)),
        Status::Failed => {
            let reason = report.error.unwrap_or_default();
            anyhow::bail!("{}", printable(&reason))
        }
        Status::Pending
        | Status::Processing
        | Status::Interrupted
        | Status::Cancelling
        | Status::Cancelled => anyhow::bail!("the run was stopped"),
    }
}

/// By tokio's clock, which tests can stop.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
