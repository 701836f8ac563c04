//! Does the items of a batch: some at once, each as often as its rules say.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep_until;

use super::clock::{Clock, chance};
use super::error::JobError;
use crate::expr::Value;
use crate::schedule::{Batch, BatchInput, BatchStep};

/// The work of an item.
pub(super) type Work<'a> = Pin<Box<dyn Future<Output = Result<Value, JobError>> + Send + 'a>>;

/// Does all items and gives what they give, in their order. `run` begins an item, `recover` says what
/// it gives when its last attempt has failed.
///
/// # Errors
///
/// An item failed for good; the others have ended.
///
/// # Cancel safety
///
/// Dropping the future ends all of them.
pub(super) async fn all<'a>(
    mut batch: Batch<JobError>,
    clock: &Clock,
    run: impl Fn(usize, NonZeroU32) -> Work<'a>,
    recover: impl Fn(usize, &JobError) -> Result<Value, JobError>,
) -> Result<Vec<Value>, JobError> {
    let mut works = FuturesUnordered::new();
    let mut handles: BTreeMap<usize, AbortHandle> = BTreeMap::new();
    let mut inputs = vec![BatchInput::Start];
    loop {
        while let Some(input) = inputs.pop() {
            for step in batch.take(input, clock.now(), chance()) {
                match step {
                    BatchStep::Run { item, attempt } => {
                        let (handle, registration) = AbortHandle::new_pair();
                        handles.insert(item, handle);
                        let work = Abortable::new(run(item, attempt), registration);
                        works.push(async move { (item, work.await) });
                    }
                    BatchStep::Recover { item, error } => {
                        inputs.push(match recover(item, &error) {
                            Ok(output) => BatchInput::Finished { item, output },
                            Err(error) => BatchInput::Failed { item, error },
                        });
                    }
                    // `due` says when.
                    BatchStep::Wait { .. } => {}
                    BatchStep::Stop { item } => {
                        if let Some(handle) = handles.remove(&item) {
                            handle.abort();
                        }
                    }
                    BatchStep::Done { outputs } => return Ok(outputs),
                    BatchStep::Failed { item: _, error } => return Err(error),
                    BatchStep::Cancelled => return Err(JobError::new("it was stopped")),
                }
            }
        }
        let due = batch.due().map(|due| clock.at(due));
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        inputs.push(tokio::select! {
            Some((item, ended)) = works.next(), if !works.is_empty() => {
                handles.remove(&item);
                match ended {
                    Ok(Ok(output)) => BatchInput::Finished { item, output },
                    Ok(Err(error)) => BatchInput::Failed { item, error },
                    Err(_) => BatchInput::Failed { item, error: JobError::new("it was stopped") },
                }
            }
            () = due => BatchInput::Due,
        });
    }
}
