//! The runs that one WebSocket is told of.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::watch;

use crate::controller::api::Denied;
use crate::exec::Report;

/// Runs, one subscription for each.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Vec<Subscription>);

#[derive(Debug)]
struct Subscription {
    task_id: String,
    reports: watch::Receiver<Arc<Report>>,
}

impl Subscriptions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one more may be there.
    pub(super) fn ensure_room(&self) -> Result<(), Denied> {
        if self.0.len() < MOST {
            return Ok(());
        }
        let status = StatusCode::TOO_MANY_REQUESTS;
        Err(Denied::new(status, "Too many subscriptions."))
    }

    /// Tells of a run from now on, in the place of what was there for it.
    pub(super) fn add(&mut self, task_id: String, reports: watch::Receiver<Arc<Report>>) {
        self.remove(&task_id);
        self.0.push(Subscription { task_id, reports });
    }

    pub(super) fn remove(&mut self, task_id: &str) {
        self.0.retain(|it| it.task_id != task_id);
    }

    /// What has changed. One that has ended is told of for the last time.
    pub(super) fn changed(&mut self) -> Vec<Arc<Report>> {
        let mut changed = Vec::new();
        self.0.retain_mut(|subscription| {
            let reports = &mut subscription.reports;
            let is_alive = match reports.has_changed() {
                Ok(false) => return true,
                Ok(true) => true,
                // The engine has dropped it; what it said last stands.
                Err(_) => false,
            };
            let report = Arc::clone(&reports.borrow_and_update());
            let goes_on = is_alive && !report.status.is_final();
            changed.push(report);
            goes_on
        });
        changed
    }
}

/// Most runs that one WebSocket is told of at once.
const MOST: usize = 64;
