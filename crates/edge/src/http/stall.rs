//! Streams of HTTP/2 whose visitor takes nothing: each is given up by itself, and the others go on.
//!
//! What hyper runs for a stream knows nothing of the connection's clocks, and the connection nothing of who waits for
//! whom within a stream. So the task of a stream carries a note on who is waited for, which the answer's body writes.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::TaskTracker;

tokio::task_local! {
    /// Since when the visitor is waited for; nothing while somebody else is.
    static WAITING: Cell<Option<Instant>>;
}

/// A part of the answer is there for the visitor.
pub(super) fn waits_for_visitor() {
    note(Some(Instant::now()));
}

/// The visitor has taken what there was, and whoever answers is waited for.
pub(super) fn waits_within() {
    note(None);
}

fn note(since: Option<Instant>) {
    // HTTP/1.1 has no such tasks, and other clocks.
    WAITING.try_with(|waiting| waiting.set(since)).ok();
}

/// Runs what hyper runs beside a connection of a visitor, which are its streams.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) tasks: TaskTracker,
    /// How long a visitor may take nothing of an answer.
    pub(super) patience: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.tasks.spawn(attend(stream, self.patience));
    }
}

/// Drives a stream until its end, or until its visitor has taken nothing for too long: dropped, it is reset.
async fn attend<F: Future>(stream: F, patience: Duration) {
    let driven = async {
        let mut stream = pin!(stream);
        let mut clock = None;
        poll_fn(|cx| {
            if stream.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let since = WAITING.with(Cell::get);
            match since.and_then(|since| since.checked_add(patience)) {
                Some(until) => poll_clock(&mut clock, until, cx),
                None => Poll::Pending,
            }
        })
        .await;
    };
    WAITING.scope(Cell::new(None), driven).await;
}

fn poll_clock(
    clock: &mut Option<Pin<Box<Sleep>>>,
    until: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let clock = clock.get_or_insert_with(|| Box::pin(sleep_until(until)));
    if clock.deadline() != until {
        clock.as_mut().reset(until);
    }
    clock.as_mut().poll(cx)
}
