//! The audit: what is told to target `adit::audit` is kept in the store, beside the changes that the store
//! notes itself.
//!
//! Whoever tells never waits: an entry goes into a queue, and where that is full it is counted and dropped. While
//! the database is away entries wait, as many as the queue holds. A refused login, which strangers can cause as
//! often as they like, is kept once in a while for each key, source and reason, and the rest is counted; the log has
//! all of them.
//!
//! An event has a field `what`, as the store's entries have (`lease.takeover`), and `who`; its other fields are
//! the details.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adit_store::{Change, Store};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;

/// The target of what is kept.
pub(crate) const TARGET: &str = "adit::audit";
/// Entries that wait to be kept.
const QUEUE: usize = 1_024;
/// Pause after the database has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the entries that are left have at a stop.
const LAST: Duration = Duration::from_secs(2);
/// What strangers cause.
const REFUSED: &str = "login.refuse";
/// How long a refusal is not kept again.
const REPEATED: Duration = Duration::from_secs(600);
/// Refusals that are kept in that time; at 300 bytes each some 10 MB a day under a lasting attack.
const REFUSALS: usize = 256;

static WRITER: OnceLock<mpsc::Sender<Entry>> = OnceLock::new();
static KEPT: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What became of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Kept in the store.
    pub(super) kept: u64,
    /// Not: the queue was full, the database away to the end, or it was a repetition.
    pub(super) dropped: u64,
}

/// What has become of entries so far.
pub(super) fn counts() -> Counts {
    Counts {
        kept: KEPT.load(Ordering::Relaxed),
        dropped: DROPPED.load(Ordering::Relaxed),
    }
}

/// Takes entries out of what is logged, once a [`Book`] is open.
pub(crate) fn layer<S>() -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'s> tracing_subscriber::registry::LookupSpan<'s>,
{
    Tap.with_filter(filter_fn(|metadata| metadata.target() == TARGET))
}

struct Tap;

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(writer) = WRITER.get() else { return };
        let entry = Entry::of(event);
        if !has_room(&entry.what, writer.capacity()) || writer.try_send(entry).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether there is room in the queue for what was done, where so many entries fit yet: what strangers cause takes
/// half of it at most, and never the place of a takeover while the database is away.
fn has_room(what: &str, free: usize) -> bool {
    what != REFUSED || free > QUEUE / 2
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    when: Timestamp,
    who: String,
    what: String,
    details: Map<String, Value>,
}

impl Entry {
    fn of(event: &Event<'_>) -> Self {
        let mut entry = Self {
            when: Timestamp::now(),
            who: String::from("gateway"),
            what: String::from("note"),
            details: Map::new(),
        };
        event.record(&mut entry);
        entry
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let value = String::from(value);
        match field.name() {
            "who" => self.who = value,
            "what" => self.what = value,
            // What it says is said by `what`.
            "message" => {}
            name => drop(self.details.insert(String::from(name), value.into())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.details
            .insert(String::from(field.name()), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.details
            .insert(String::from(field.name()), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.details
            .insert(String::from(field.name()), value.into());
    }
}

/// Writes entries into a store.
#[derive(Debug)]
pub(super) struct Book {
    store: Arc<Store>,
    entries: mpsc::Receiver<Entry>,
    refusals: Refusals,
}

impl Book {
    /// Entries are kept there from now on. One for a process: of a second nothing is kept.
    pub(super) fn open(store: Arc<Store>) -> Self {
        let (writer, entries) = mpsc::channel(QUEUE);
        drop(WRITER.set(writer));
        Self {
            store,
            entries,
            refusals: Refusals::default(),
        }
    }

    /// Writes until `stop`, and then what is left, for 2 s.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => break,
                next = self.entries.recv() => next,
            };
            let Some(entry) = next else {
                // The writer is never dropped.
                return;
            };
            let is_told = {
                let mut keeping = Box::pin(keep(&self.store, &mut self.refusals, &entry));
                tokio::select! {
                    () = &mut keeping => false,
                    () = stop.cancelled() => {
                        // Begun anew it could be there twice.
                        if timeout(LAST, keeping).await.is_err() {
                            DROPPED.fetch_add(1, Ordering::Relaxed);
                        }
                        true
                    }
                }
            };
            if is_told {
                break;
            }
        }
        self.keep_last().await;
    }

    async fn keep_last(&mut self) {
        self.entries.close();
        let mut next = None;
        let all = async {
            loop {
                if next.is_none() {
                    next = self.entries.recv().await;
                }
                let Some(entry) = &next else { return };
                keep(&self.store, &mut self.refusals, entry).await;
                next = None;
            }
        };
        if timeout(LAST, all).await.is_err() {
            let left = self.entries.len().saturating_add(1);
            let count = u64::try_from(left).unwrap_or(u64::MAX);
            DROPPED.fetch_add(count, Ordering::Relaxed);
            warn!(left, "audit entries could not be kept");
        }
    }
}

/// Writes an entry, however often it takes.
async fn keep(store: &Store, refusals: &mut Refusals, entry: &Entry) {
    if entry.what == REFUSED && !refusals.is_new(entry, Instant::now()) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let change = Change {
        when: entry.when,
        who: &entry.who,
    };
    let details = Value::Object(entry.details.clone());
    let mut is_first = true;
    loop {
        match store.note(&change, &entry.what, &details).await {
            Ok(()) => {
                KEPT.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Err(error) if error.is_unavailable() => {
                if std::mem::take(&mut is_first) {
                    warn!(%error, "audit entries wait");
                }
                sleep(PAUSE).await;
            }
            Err(error) => {
                warn!(%error, what = entry.what, "an audit entry cannot be kept");
                DROPPED.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// The refusals that were kept of late, oldest first.
#[derive(Debug, Default)]
struct Refusals(VecDeque<(Instant, String, Map<String, Value>)>);

impl Refusals {
    /// Whether that one was not kept of late, and there is room for it.
    fn is_new(&mut self, entry: &Entry, now: Instant) -> bool {
        while self
            .0
            .front()
            .is_some_and(|(since, ..)| now.saturating_duration_since(*since) >= REPEATED)
        {
            self.0.pop_front();
        }
        let is_known = self
            .0
            .iter()
            .any(|(_, who, details)| *who == entry.who && *details == entry.details);
        let is_new = !is_known && self.0.len() < REFUSALS;
        if is_new {
            let kept = (now, entry.who.clone(), entry.details.clone());
            self.0.push_back(kept);
        }
        is_new
    }
}

#[cfg(test)]
mod tests;
