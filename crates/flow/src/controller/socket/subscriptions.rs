//! The runs that one WebSocket is told of.

use std::sync::Arc;

use axum::http::StatusCode;
use futures_util::future::select_all;

use crate::controller::api::Denied;
use crate::controller::follow::Follower;
use crate::exec::Report;

/// Runs, one subscription for each.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Vec<Subscription>);

#[derive(Debug)]
struct Subscription {
    task_id: String,
    follower: Follower,
}

impl Subscriptions {
    /// Whether one more may be there.
    pub(super) fn ensure_room(&self) -> Result<(), Denied> {
        let goes_on = |it: &&Subscription| !it.follower.is_over();
        if self.0.iter().filter(goes_on).count() < MOST {
            return Ok(());
        }
        let status = StatusCode::TOO_MANY_REQUESTS;
        Err(Denied::new(status, "Too many subscriptions."))
    }

    /// Tells of a run from now on, in the place of what was there for it.
    pub(super) fn add(&mut self, task_id: String, follower: Follower) {
        self.remove(&task_id);
        self.0.push(Subscription { task_id, follower });
    }

    pub(super) fn remove(&mut self, task_id: &str) {
        self.0.retain(|it| it.task_id != task_id);
    }

    /// The next report of any of them. One that has ended is told of for the last time; with none left it
    /// waits for ever.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what was not told is told by the next call.
    pub(super) async fn next(&mut self) -> Arc<Report> {
        loop {
            self.0.retain(|it| !it.follower.is_over());
            if self.0.is_empty() {
                return std::future::pending().await;
            }
            let reports = self.0.iter_mut().map(|it| Box::pin(it.follower.next()));
            let (told, position, _) = select_all(reports).await;
            match told {
                Some(report) => return report,
                // Nobody knows it any more; what was told stands.
                None => drop(self.0.remove(position)),
            }
        }
    }
}

/// Most runs that one WebSocket is told of at once.
const MOST: usize = 64;
