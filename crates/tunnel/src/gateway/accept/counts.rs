//! How many connections came, are there, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Shared;

/// What an acceptor has seen since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are there now, those on their way in included.
    pub connections: u64,
    /// Of these, who has a place at the door and has not logged in.
    pub arriving: u64,
    /// Of these, who waits for a place.
    pub waiting: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Of those, closed at once, since there were as many as may be.
    pub too_many: u64,
    /// Of those, who found no place at the door in time.
    pub no_place: u64,
    /// Of those, who had a place and did not log in.
    pub not_logged_in: u64,
    /// Of those, who logged in.
    pub logged_in: u64,
    /// Times that the system refused to accept one, as when descriptors run out.
    pub refused: u64,
}

/// The numbers behind [`Counts`], one added at a time.
#[derive(Debug, Default)]
pub(super) struct Totals {
    connections: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) too_many: AtomicU64,
    pub(super) no_place: AtomicU64,
    pub(super) not_logged_in: AtomicU64,
    pub(super) logged_in: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// A connection that is counted as being there, until this is dropped.
#[derive(Debug)]
pub(super) struct Here(Arc<Shared>);

impl Totals {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that are there now.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self, arriving: usize, waiting: usize) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Counts {
            connections: self.connections(),
            arriving: wide(arriving),
            waiting: wide(waiting),
            accepted: load(&self.accepted),
            too_many: load(&self.too_many),
            no_place: load(&self.no_place),
            not_logged_in: load(&self.not_logged_in),
            logged_in: load(&self.logged_in),
            refused: load(&self.refused),
        }
    }
}

impl Here {
    pub(super) fn counted(shared: &Arc<Shared>) -> Self {
        Totals::add(&shared.totals.connections);
        Self(Arc::clone(shared))
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.totals.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
