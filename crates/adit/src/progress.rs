//! How a run is shown while it lasts: on stderr, since the result alone goes to stdout.
//!
//! At a terminal there is a line for each job that has begun, with its time and what it waits for. Elsewhere
//! there is a line for each that begins and ends, if that is asked for.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use adit_flow::exec::JobState;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::log::say;
use crate::task::{HopText, JobLine, TaskReport};

/// Shows one run.
#[derive(Debug)]
pub(crate) enum Progress {
    /// At a terminal.
    Bars(Bars),
    /// A line for what changes.
    Lines(Lines),
    /// Not at all.
    Silent,
}

/// A line for each job, kept up to date.
#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    /// What is shown before the first job has begun, if that takes long.
    before: Option<ProgressBar>,
    /// When it was begun to wait for that.
    since: Instant,
    /// In the order in which they stand there: a line that is let go of before those above it would be
    /// drawn twice.
    jobs: Vec<Bar>,
    /// Columns of the longest name so far.
    width: usize,
}

#[derive(Debug)]
struct Bar {
    line: ProgressBar,
    job: JobLine,
    /// When it was told of.
    at: Instant,
}

/// What was told of each job.
#[derive(Debug, Default)]
pub(crate) struct Lines(HashMap<String, JobState>);

/// How often the time of what runs is shown anew.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// What begins sooner is not waited for in so many words.
const SOON: Duration = Duration::from_millis(300);
/// Columns of a name before the next column is moved.
const NAME: usize = 40;

impl Progress {
    /// At a terminal lines that are kept up to date, unless the log goes there, too; elsewhere nothing, or
    /// with `is_told` what begins and ends.
    pub(crate) fn of_this_process(verbose: u8, is_told: bool, now: Instant) -> Self {
        if verbose == 0 && io::stderr().is_terminal() {
            return Self::Bars(Bars::new(ProgressDrawTarget::stderr(), now));
        }
        if verbose > 0 && is_told {
            return Self::Lines(Lines::default());
        }
        Self::Silent
    }

    /// Takes where the run stands.
    pub(crate) fn show(&mut self, report: &TaskReport, now: Instant) {
        match self {
            Self::Bars(bars) => bars.show(report, now),
            Self::Lines(lines) => lines.news(report).iter().for_each(|line| say(line)),
            Self::Silent => {}
        }
    }

    /// Shows the time that has gone by.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Self::Bars(bars) = self {
            bars.tick(now);
        }
    }

    /// Does something for which the terminal has to be free.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Bars(bars) => bars.all.suspend(work),
            Self::Lines(_) | Self::Silent => work(),
        }
    }

    /// Takes away what is not over; the jobs that have ended stay to be read.
    pub(crate) fn end(self) {
        if let Self::Bars(bars) = self {
            if let Some(before) = &bars.before {
                before.finish_and_clear();
            }
            for bar in bars.jobs {
                if !bar.line.is_finished() {
                    bar.line.finish_and_clear();
                }
            }
        }
    }
}

impl Bars {
    fn new(target: ProgressDrawTarget, now: Instant) -> Self {
        Self {
            all: MultiProgress::with_draw_target(target),
            before: None,
            since: now,
            jobs: Vec::new(),
            width: 0,
        }
    }

    fn show(&mut self, report: &TaskReport, now: Instant) {
        if let Some(before) = self.before.take_if(|_| !report.jobs.is_empty()) {
            before.finish_and_clear();
            self.all.remove(&before);
        }
        let names = report.jobs.iter().map(|job| name(job).chars().count());
        let width = names.max().unwrap_or_default().min(NAME).max(self.width);
        let is_wider = width > self.width;
        self.width = width;
        for job in &report.jobs {
            let place = self.jobs.iter().position(|bar| bar.job.id == job.id);
            let place = place.unwrap_or_else(|| {
                let line = ProgressBar::new_spinner().with_style(style(job.state));
                self.jobs.push(Bar {
                    line: self.all.add(line),
                    job: job.clone(),
                    at: now,
                });
                self.jobs.len().saturating_sub(1)
            });
            let Some(bar) = self.jobs.get_mut(place) else {
                continue;
            };
            let was = std::mem::replace(&mut bar.job, job.clone());
            bar.at = now;
            if is_wider || was.state != job.state {
                bar.line.set_style(style(job.state));
            }
            bar.line.set_prefix(format!("{:width$}", name(job)));
            bar.tick(now);
            if is_over(job.state) && !bar.line.is_finished() {
                bar.line.finish();
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let waited = now.saturating_duration_since(self.since);
        if self.jobs.is_empty() && waited > SOON {
            let before = self.before.get_or_insert_with(|| {
                let line = ProgressBar::new_spinner().with_style(style(JobState::Waiting));
                self.all.add(line.with_prefix("getting ready"))
            });
            let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            before.set_message(seconds(waited));
            before.tick();
        }
        let bars = self.jobs.iter();
        for bar in bars.filter(|bar| !bar.line.is_finished()) {
            bar.tick(now);
        }
    }
}

impl Bar {
    fn tick(&self, now: Instant) {
        let since = now.saturating_duration_since(self.at);
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let elapsed = if is_over(self.job.state) {
            self.job.elapsed_ms
        } else {
            self.job.elapsed_ms.saturating_add(since)
        };
        let words = words(&self.job);
        self.line
            .set_message(format!("{:>7}  {words}", seconds(elapsed)));
        self.line.tick();
    }
}

impl Lines {
    /// What is new in a report.
    fn news(&mut self, report: &TaskReport) -> Vec<String> {
        let mut news = Vec::new();
        for job in &report.jobs {
            let before = self.0.insert(job.id.clone(), job.state);
            if before == Some(job.state) {
                continue;
            }
            let name = name(job);
            if before.is_none() {
                news.push(format!("Job '{name}' started."));
            }
            let taken = Duration::from_millis(job.elapsed_ms).as_secs_f64();
            match job.state {
                JobState::Done => {
                    news.push(format!("Job '{name}' completed in {taken:.2} seconds."));
                }
                JobState::Failed => {
                    news.push(format!("Job '{name}' failed after {taken:.2} seconds."));
                }
                JobState::Stopped => news.push(format!("Job '{name}' was stopped.")),
                JobState::Interrupted => news.push(format!("Job '{name}' waits for a person.")),
                JobState::Waiting | JobState::Running | JobState::Delayed | JobState::Skipped => {}
            }
        }
        news
    }
}

/// How a line looks.
fn style(state: JobState) -> ProgressStyle {
    let template = match state {
        JobState::Done => "{spinner:.green} {prefix} {wide_msg:.dim}",
        JobState::Failed | JobState::Stopped => "{spinner:.red} {prefix} {wide_msg}",
        JobState::Interrupted => "{spinner:.yellow} {prefix:.bold} {wide_msg}",
        JobState::Waiting | JobState::Running | JobState::Delayed | JobState::Skipped => {
            "{spinner:.cyan} {prefix:.bold} {wide_msg:.dim}"
        }
    };
    // The last one is what it ends with.
    let ticks = match state {
        JobState::Done => "✔✔",
        JobState::Failed => "✘✘",
        JobState::Stopped | JobState::Skipped => "■■",
        JobState::Interrupted => "??",
        JobState::Waiting | JobState::Running | JobState::Delayed => "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ",
    };
    let style = ProgressStyle::with_template(template);
    // They are constants that a test has looked at.
    style
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars(ticks)
}

/// What a job does at the moment.
fn words(job: &JobLine) -> String {
    let mut words = match (job.state, &job.hop) {
        (JobState::Running, Some(hop)) => hop_words(hop),
        (JobState::Running, None) => String::from("running"),
        (JobState::Waiting | JobState::Delayed, _) => String::from("waiting"),
        (JobState::Interrupted, _) => String::from("waiting for you"),
        (JobState::Failed, _) => String::from("failed"),
        (JobState::Stopped, _) => String::from("stopped"),
        (JobState::Done | JobState::Skipped, _) => String::new(),
    };
    if job.attempt > 1 && job.state != JobState::Done {
        words = format!("{words}, attempt {}", job.attempt);
    }
    words
}

/// The hop that a job waits at.
fn hop_words(hop: &HopText) -> String {
    match hop {
        HopText::Queue => String::from("waiting for its turn"),
        HopText::Gateway { port } => format!("waiting for port {port} to be public"),
        HopText::Request { method, url } => {
            format!("waiting for an answer to {} {}", plain(method), plain(url))
        }
        HopText::Polling => String::from("waiting to ask again"),
        HopText::Callback { id, at: None } => {
            format!("waiting for a callback (id {})", plain(id))
        }
        HopText::Callback { id, at: Some(at) } => {
            format!("waiting for a callback at {} (id {})", plain(at), plain(id))
        }
        HopText::Program { name } => format!("running {}", plain(name)),
        HopText::Workflow { id } => format!("running workflow {}", plain(id)),
    }
}

/// What a job is called: `job` where nobody called it anything.
fn name(job: &JobLine) -> String {
    plain(job.title().trim_matches('_'))
}

/// Text that may be a stranger's, as it can be printed.
pub(crate) fn plain(text: &str) -> String {
    let shown = adit_text::show(text);
    let inside = shown
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inside.unwrap_or(&shown).to_owned()
}

fn is_over(state: JobState) -> bool {
    match state {
        JobState::Done | JobState::Failed | JobState::Skipped | JobState::Stopped => true,
        JobState::Waiting | JobState::Running | JobState::Delayed | JobState::Interrupted => false,
    }
}

/// `1.0s`, and from a minute on `2m 05s`.
fn seconds(milliseconds: u64) -> String {
    let whole = milliseconds / 1_000;
    if whole < 60 {
        return format!("{whole}.{}s", milliseconds % 1_000 / 100);
    }
    format!("{}m {:02}s", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests;
