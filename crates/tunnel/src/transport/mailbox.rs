//! How applications tell a connection's task something without ever waiting for it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Notes for one connection's task.
///
/// It has no limit of its own: it is for notes of which there can be only so many. A stream stands
/// in the dirty list once, a question has one answer; streams and questions are limited.
pub(crate) struct Mailbox<T> {
    inside: Mutex<Inside<T>>,
}

struct Inside<T> {
    notes: Vec<T>,
    owner: Option<Waker>,
}

/// The streams of a connection that have news, each at most once, by channel number.
pub(crate) type DirtyList = Mailbox<u32>;

impl<T> Mailbox<T> {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            inside: Mutex::new(Inside {
                notes: Vec::new(),
                owner: None,
            }),
        }
    }

    /// Leaves a note and wakes the task.
    pub(crate) fn post(&self, note: T) {
        let owner = {
            let mut inside = self.inside();
            inside.notes.push(note);
            inside.owner.take()
        };
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Moves all notes to the end of `into`, or waits for the first. Cancel safe; one waiter.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, into: &mut Vec<T>) -> Poll<()> {
        let mut inside = self.inside();
        if inside.notes.is_empty() {
            if !matches!(&inside.owner, Some(known) if known.will_wake(cx.waker())) {
                inside.owner = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        into.append(&mut inside.notes);
        Poll::Ready(())
    }

    fn inside(&self) -> MutexGuard<'_, Inside<T>> {
        // A list is right after any panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({})", self.inside().notes.len())
    }
}
