//! When somebody who follows a run is told where it stands: as lines here, and over the WebSocket.
//!
//! Told is always where it stands at the moment, and what happened in between is not kept for a slow
//! reader. Its end and a person that it waits for are told at once, anything else at most every
//! [`PAUSE`].

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::places::Place;
use super::progress::{self, Progress};
use super::{Stage, answer, ending};
use crate::exec::{Interruption, Report};

/// The least time between two reports of one run to one reader, but for those that are told at once. People
/// see no more.
const PAUSE: Duration = Duration::from_millis(100);

/// Who follows one run.
#[derive(Debug)]
pub(super) struct Follower {
    reports: watch::Receiver<Arc<Report>>,
    /// The last, and when.
    told: Option<(Instant, Arc<Report>)>,
}

impl Follower {
    /// One who knows nothing yet.
    pub(super) fn new(reports: watch::Receiver<Arc<Report>>) -> Self {
        Self {
            reports,
            told: None,
        }
    }

    /// Where the run stands, which counts as told.
    pub(super) fn tell(&mut self) -> Arc<Report> {
        let report = Arc::clone(&self.reports.borrow_and_update());
        self.told = Some((Instant::now(), Arc::clone(&report)));
        report
    }

    /// Whether nothing will follow what was told.
    pub(super) fn is_over(&self) -> bool {
        let told = self.told.as_ref();
        told.is_some_and(|(_, told)| told.status.is_final())
    }

    /// Waits for the next report and tells it. None after the last: the run has ended, or nobody
    /// knows it any more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what was not told is told by the next call.
    pub(super) async fn next(&mut self) -> Option<Arc<Report>> {
        while !self.is_over() {
            let report = Arc::clone(&self.reports.borrow_and_update());
            let Some((at, told)) = &self.told else {
                return Some(self.tell());
            };
            if Arc::ptr_eq(told, &report) {
                self.reports.changed().await.ok()?;
                continue;
            }
            let due = *at + PAUSE;
            if Instant::now() >= due || is_urgent(told, &report) {
                return Some(self.tell());
            }
            tokio::select! {
                () = sleep_until(due) => {}
                // What comes meanwhile may be urgent; when nothing can come any more, this is.
                changed = self.reports.changed() => if changed.is_err() {
                    return Some(self.tell());
                },
            }
        }
        None
    }
}

/// Whether somebody waits for what has changed.
fn is_urgent(before: &Report, now: &Report) -> bool {
    let is_new = |one: &Interruption| {
        let mut known = before.interruptions.iter();
        !known.any(|it| it.job_id == one.job_id && it.phase == one.phase)
    };
    now.status.is_final() || now.interruptions.iter().any(is_new)
}

/// What [`lines`] has to know between two of them.
struct Reader {
    follower: Follower,
    stage: watch::Receiver<Stage>,
    /// Kept for as long as somebody reads.
    _held: (Place, TaskTrackerToken),
}

/// Where a run stands, a line of JSON at each change, until it has ended or we have.
pub(super) fn lines(
    reports: watch::Receiver<Arc<Report>>,
    stage: watch::Receiver<Stage>,
    held: (Place, TaskTrackerToken),
) -> Response {
    let reader = Reader {
        follower: Follower::new(reports),
        stage,
        _held: held,
    };
    let lines = stream::unfold(reader, |mut reader| async move {
        let line = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), reader))
    });
    answer::of(StatusCode::OK, LINES, Body::from_stream(lines))
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        let report = tokio::select! {
            biased;
            report = self.follower.next() => report?,
            () = ending(&mut self.stage) => return None,
        };
        let mut line = serde_json::to_vec(&Progress::of(&report, progress::now())).ok()?;
        line.push(b'\n');
        Some(line.into())
    }
}

/// Lines of JSON have no registered type.
const LINES: &str = "application/x-ndjson";

#[cfg(test)]
mod tests;
