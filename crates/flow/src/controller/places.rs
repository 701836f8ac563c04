//! How many may ask at once, and how many of them may wait.
//!
//! A connection whose request waits for a run is held for as long as the run takes, which may be days.
//! So that others are answered all the same, and a run can be cancelled that nobody gets past, some
//! connections are kept for requests that are answered at once: whoever would wait in one of these is told
//! to come again.

use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Of one server.
    pub(super) connections: usize,
    /// Of all servers together, and less than those of one: whatever waits, each has some left.
    pub(super) waiting: usize,
}

/// Where requests wait. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Waiting(Arc<Semaphore>);

/// The place of one that waits.
pub(super) type Place = OwnedSemaphorePermit;

impl Places {
    /// As many as the limit of open files that this process has now leaves room for.
    pub(super) fn of_this_process() -> Self {
        Self::within(getrlimit(Resource::Nofile).current)
    }

    /// Within a limit of open files; None is no limit.
    fn within(files: Option<u64>) -> Self {
        let files = files.and_then(|files| usize::try_from(files).ok());
        let room = files.map_or(CONNECTIONS, |files| files / SHARE);
        let connections = room.clamp(LEAST, CONNECTIONS);
        Self {
            connections,
            waiting: connections - connections / KEPT,
        }
    }

    pub(super) fn to_wait(self) -> Waiting {
        Waiting(Arc::new(Semaphore::new(self.waiting)))
    }
}

impl Waiting {
    /// A place to wait at, if there is one.
    pub(super) fn enter(&self) -> Option<Place> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// Most connections of one server at once; the next waits to be accepted. A browser has six. One that
/// waits costs some 10 KiB.
const CONNECTIONS: usize = 2_048;

/// Fewest, however low the limit of open files.
const LEAST: usize = 16;

/// A server takes one in so many of the files that may be open: beside the API there are the page,
/// callbacks, triggers and what runs ask.
const SHARE: usize = 4;

/// One in so many connections is kept for requests that do not wait.
const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_limit_of_open_files() {
        for (files, connections, waiting) in [
            (None, 2_048, 1_792),
            (Some(u64::MAX), 2_048, 1_792),
            (Some(65_536), 2_048, 1_792),
            (Some(1_024), 256, 224),
            (Some(0), 16, 14),
        ] {
            let wanted = Places {
                connections,
                waiting,
            };
            assert_eq!(Places::within(files), wanted, "{files:?}");
        }
    }

    #[test]
    fn who_leaves_makes_room() {
        let waiting = Places {
            connections: 2,
            waiting: 1,
        }
        .to_wait();
        let place = waiting.enter();
        assert!(place.is_some());
        assert!(waiting.enter().is_none());
        drop(place);
        assert!(waiting.enter().is_some());
    }
}
