//! What the jobs of a run work on.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::End;
use crate::schedule::JobIndex;

/// The work of a job.
pub(super) type Work<'a> = Pin<Box<dyn Future<Output = End> + Send + 'a>>;

/// The work of each job that runs, by the job's place.
///
/// Whenever one can go on all are asked: a workflow has few jobs, and a run that waits holds nothing
/// but their work. Of the items of a list, which may be many, only those are asked that can go on
/// (`exec/batch.rs`).
pub(super) struct Works<'a>(Vec<Option<Work<'a>>>);

impl<'a> Works<'a> {
    /// Of so many jobs; none of them runs.
    pub(super) fn new(jobs: usize) -> Self {
        Self(std::iter::repeat_with(|| None).take(jobs).collect())
    }

    pub(super) fn begin(&mut self, job: JobIndex, work: Work<'a>) {
        if let Some(place) = self.0.get_mut(job.get()) {
            *place = Some(work);
        }
    }

    /// Ends the work of a job where it is. False if there is none.
    pub(super) fn stop(&mut self, job: JobIndex) -> bool {
        let work = self.0.get_mut(job.get()).and_then(Option::take);
        work.is_some()
    }

    /// The next one that ends, and how. While nothing runs it waits for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(super) fn next(&mut self) -> impl Future<Output = (JobIndex, End)> {
        poll_fn(|context| self.poll(context))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(JobIndex, End)> {
        for (place, running) in self.0.iter_mut().enumerate() {
            if let Some(work) = running
                && let Poll::Ready(end) = work.as_mut().poll(context)
            {
                *running = None;
                return Poll::Ready((JobIndex::at(place), end));
            }
        }
        Poll::Pending
    }
}
