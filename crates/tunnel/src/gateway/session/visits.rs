//! Counts the visitors of a connection's forwards, as they are sent to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::transport::{
    Asking, Bind, CloseReason, Doubt, EndWatch, Liveness, Opening, StreamHead, StreamKind,
    Transport,
};

/// Visitors of each forward, so far.
#[derive(Debug)]
pub(super) struct Visits {
    counts: Mutex<HashMap<Bind, u64>>,
    change: watch::Sender<()>,
}

/// A connection whose visitors are counted.
#[derive(Debug)]
pub(super) struct Counting {
    inner: Arc<dyn Transport>,
    visits: Arc<Visits>,
}

impl Default for Visits {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
            change: watch::channel(()).0,
        }
    }
}

impl Visits {
    /// Visitors of that forward so far.
    pub(super) fn of(&self, bind: &Bind) -> u64 {
        self.counts().get(bind).copied().unwrap_or_default()
    }

    /// That forward is not there any more, nor are its visitors counted.
    pub(super) fn forget(&self, bind: &Bind) {
        self.counts().remove(bind);
    }

    /// Tells of each that comes.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.change.subscribe()
    }

    fn came(&self, bind: &Bind) {
        let mut counts = self.counts();
        match counts.get_mut(bind) {
            Some(count) => *count = count.saturating_add(1),
            // Of as many binds as were granted.
            None => drop(counts.insert(bind.clone(), 1)),
        }
        drop(counts);
        self.change.send_replace(());
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Bind, u64>> {
        // Numbers are right after any panic.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counting {
    /// Counts the visitors that are sent over `inner`.
    pub(super) fn new(inner: Arc<dyn Transport>, visits: Arc<Visits>) -> Self {
        Self { inner, visits }
    }
}

impl Transport for Counting {
    fn open(&self, head: StreamHead) -> Opening {
        if let StreamKind::Forwarded(bind) = &head.kind {
            self.visits.came(bind);
        }
        self.inner.open(head)
    }

    fn forward(&self, bind: Bind) -> Asking {
        self.inner.forward(bind)
    }

    fn cancel(&self, bind: Bind) -> Asking {
        self.inner.cancel(bind)
    }

    fn say(&self, text: &str) {
        self.inner.say(text);
    }

    fn close(&self, reason: CloseReason) {
        self.inner.close(reason);
    }

    fn doubt(&self, doubt: Doubt) {
        self.inner.doubt(doubt);
    }

    fn is_alive(&self, within: Duration) -> Liveness {
        self.inner.is_alive(within)
    }

    fn round_trip(&self) -> Option<Duration> {
        self.inner.round_trip()
    }

    fn is_own_peer(&self) -> bool {
        self.inner.is_own_peer()
    }

    fn end(&self) -> EndWatch {
        self.inner.end()
    }
}
