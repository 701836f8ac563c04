//! What is shown of a run.

use std::sync::{Arc, Mutex};

use adit_flow::exec::Status;
use indicatif::TermLike;

use super::*;

/// A terminal that keeps what stands on it, as far as progress needs one.
#[derive(Debug, Clone)]
struct Screen(Arc<Mutex<Shown>>, u16);

#[derive(Debug, Default)]
struct Shown {
    lines: Vec<String>,
    row: usize,
}

impl Screen {
    fn new(width: u16) -> Self {
        Self(Arc::default(), width)
    }

    fn lines(&self) -> Vec<String> {
        let shown = self.0.lock().unwrap();
        let lines = shown.lines.iter().map(|line| line.trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a terminal returns")]
    fn change(&self, change: impl FnOnce(&mut Shown)) -> io::Result<()> {
        let mut shown = self.0.lock().unwrap();
        change(&mut shown);
        let rows = shown.row + 1;
        if shown.lines.len() < rows {
            shown.lines.resize(rows, String::new());
        }
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.1
    }

    fn move_cursor_up(&self, rows: usize) -> io::Result<()> {
        self.change(|shown| shown.row = shown.row.saturating_sub(rows))
    }

    fn move_cursor_down(&self, rows: usize) -> io::Result<()> {
        self.change(|shown| shown.row += rows)
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.change(|shown| shown.row += 1)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        // A line that is full goes on in the next.
        for letter in text.chars() {
            self.change(|_| ())?;
            let is_full =
                |shown: &Shown| shown.lines[shown.row].chars().count() >= usize::from(self.1);
            self.change(|shown| shown.row += usize::from(is_full(shown)))?;
            self.change(|shown| shown.lines[shown.row].push(letter))?;
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.change(|_| ())?;
        self.change(|shown| shown.lines[shown.row].clear())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn job(id: &str, state: JobState, hop: Option<HopText>, elapsed_ms: u64) -> JobLine {
    JobLine {
        id: id.to_owned(),
        name: None,
        state,
        hop,
        elapsed_ms,
        attempt: 1,
    }
}

fn report(jobs: Vec<JobLine>) -> TaskReport {
    TaskReport {
        id: String::from("01M8"),
        workflow: String::from("__workflow__"),
        status: Status::Processing,
        elapsed_ms: 0,
        jobs,
        questions: Vec::new(),
        error: None,
    }
}

fn callback() -> HopText {
    HopText::Callback {
        id: String::from("01M807NV3JXGM9XZMGP9MM86GF"),
        at: Some(String::from("gw.example:9834")),
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[test]
fn a_job_has_a_line_with_its_time_and_where_it_waits() {
    let term = Screen::new(100);
    let mut bars = Bars::new(ProgressDrawTarget::term_like(Box::new(term.clone())), now());
    let now = now();
    let running = job("__job__", JobState::Running, Some(callback()), 1_200);
    let quick = job("prepare", JobState::Done, None, 40);
    bars.show(&report(vec![running, quick.clone()]), now);
    let later = now + Duration::from_secs(61);
    bars.tick(later);
    let lines = term.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].ends_with(
            " job      1m 02s  waiting for a callback at gw.example:9834 (id 01M807NV3JXGM9XZMGP9MM86GF)"
        ),
        "{lines:?}"
    );
    // What is over stands still.
    assert_eq!(lines[1], "✔ prepare    0.0s", "{lines:?}");
    let done = job("__job__", JobState::Done, None, 62_030);
    bars.show(&report(vec![done, quick]), later);
    let mut progress = Progress::Bars(bars);
    let late = job("late", JobState::Stopped, None, 9_960);
    progress.show(&report(vec![late]), later);
    progress.end();
    assert_eq!(
        term.lines(),
        [
            "✔ job      1m 02s",
            "✔ prepare    0.0s",
            "■ late       9.9s  stopped"
        ]
    );
}

#[test]
fn what_comes_before_the_first_job_is_shown_if_it_takes_long() {
    let term = Screen::new(60);
    let begun = now();
    let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
    let mut bars = Bars::new(target, begun);
    bars.tick(begun);
    assert_eq!(term.lines(), [""; 0]);
    bars.tick(begun + Duration::from_secs(2));
    assert!(
        term.lines()[0].ends_with("getting ready 2.0s"),
        "{:?}",
        term.lines()
    );
    bars.show(&report(vec![job("a", JobState::Done, None, 5)]), begun);
    Progress::Bars(bars).end();
    assert_eq!(term.lines(), ["✔ a    0.0s"]);
}

#[test]
fn what_is_not_over_leaves_no_line_behind() {
    let term = Screen::new(60);
    let mut bars = Bars::new(ProgressDrawTarget::term_like(Box::new(term.clone())), now());
    bars.show(&report(vec![job("a", JobState::Running, None, 5)]), now());
    assert!(term.lines()[0].contains("running"));
    Progress::Bars(bars).end();
    assert_eq!(term.lines(), [""; 0]);
}

#[test]
fn every_state_and_hop_has_words_and_a_look() {
    for state in [
        JobState::Waiting,
        JobState::Running,
        JobState::Delayed,
        JobState::Interrupted,
        JobState::Done,
        JobState::Failed,
        JobState::Skipped,
        JobState::Stopped,
    ] {
        style(state);
        let words = words(&job("a", state, None, 0));
        let is_plain = matches!(state, JobState::Done | JobState::Skipped);
        assert_eq!(words.is_empty(), is_plain, "{state:?}");
    }
    for (hop, expected) in [
        (HopText::Queue, "waiting for its turn"),
        (
            HopText::Gateway { port: 8090 },
            "waiting for port 8090 to be public",
        ),
        (
            HopText::Request {
                method: String::from("POST"),
                url: String::from("http://x/y"),
            },
            "waiting for an answer to POST http://x/y",
        ),
        (HopText::Polling, "waiting to ask again"),
        (
            HopText::Callback {
                id: String::from("a\u{1b}[2J"),
                at: None,
            },
            "waiting for a callback (id a\\u{1b}[2J)",
        ),
        (
            HopText::Program {
                name: String::from("df"),
            },
            "running df",
        ),
        (
            HopText::Workflow {
                id: String::from("w"),
            },
            "running workflow w",
        ),
    ] {
        assert_eq!(hop_words(&hop), expected);
    }
    let mut again = job("a", JobState::Running, None, 0);
    again.attempt = 3;
    assert_eq!(words(&again), "running, attempt 3");
}

#[test]
fn without_a_terminal_each_change_is_a_line() {
    let mut lines = Lines::default();
    let running = || job("__job__", JobState::Running, Some(callback()), 5);
    assert_eq!(lines.news(&report(vec![running()])), ["Job 'job' started."]);
    assert_eq!(lines.news(&report(vec![running()])), [""; 0]);
    let done = job("__job__", JobState::Done, None, 1_034);
    let quick = job("b", JobState::Failed, None, 10);
    assert_eq!(
        lines.news(&report(vec![done, quick])),
        [
            "Job 'job' completed in 1.03 seconds.",
            "Job 'b' started.",
            "Job 'b' failed after 0.01 seconds."
        ]
    );
}
