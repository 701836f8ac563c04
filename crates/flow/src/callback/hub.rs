//! Waiters for tasks: who waits is woken, and who stops waiting is forgotten.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::{
    CallbackId, CallbackIndex, Delivered, Dropped, ExpectError, Expected, Items, LearnError,
    Learnt, Outcome, RunNumber, Source, Ticket, Verdict, Waiters,
};

/// The waiters of a process. Clones are the same.
///
/// No completion says which listener it comes from, so all callbacks are one here.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    waiters: Waiters,
    woken: BTreeMap<Ticket, oneshot::Sender<Outcome>>,
}

/// All callbacks.
const ANY: CallbackIndex = CallbackIndex(0);

/// What became of the items of a request. The visitor is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// They completed a waiter.
    pub completed: usize,
    /// They are kept for waiters that may learn their ids.
    pub parked: usize,
    /// They say that their job goes on.
    pub not_final: usize,
    /// Nobody waits for them.
    pub unknown: usize,
    /// They have no id that could be compared.
    pub without_id: usize,
    /// There was no room to keep them.
    pub no_room: usize,
}

impl Hub {
    /// Nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for an id. The request that says the id goes out after this.
    ///
    /// # Errors
    ///
    /// If somebody waits for this id, and if too many wait.
    pub fn expect_id(&self, run: RunNumber, id: CallbackId) -> Result<Waiting, ExpectError> {
        let mut inner = self.lock();
        let ticket = inner.waiters.expect_id(expected(run), id)?;
        Ok(self.waiting(&mut inner, ticket))
    }

    /// Waits for an id that the response to a request will tell. The request goes out after this.
    ///
    /// # Errors
    ///
    /// If too many wait.
    pub fn expect(&self, run: RunNumber) -> Result<Waiting, ExpectError> {
        let mut inner = self.lock();
        let ticket = inner.waiters.expect(expected(run))?;
        Ok(self.waiting(&mut inner, ticket))
    }

    /// Hands the items of a request to those who wait for them. `visitor` is as the tunnel reports
    /// it, otherwise as the socket does; never a header's.
    pub fn deliver(&self, visitor: IpAddr, items: &Items<'_>, now: Instant) -> Taken {
        let source = Source {
            callback: ANY,
            addr: visitor,
        };
        let mut taken = Taken::default();
        for item in items.iter() {
            let Ok(id) = item.id() else {
                taken.without_id += 1;
                continue;
            };
            // Nobody needs to find out how it went for somebody who is not there.
            if !self.lock().waiters.is_wanted(ANY, &id) {
                taken.unknown += 1;
                continue;
            }
            let Verdict::Final(outcome) = item.verdict() else {
                taken.not_final += 1;
                continue;
            };
            let mut inner = self.lock();
            match inner.waiters.deliver(source, id, outcome, now) {
                Delivered::Completed(ended, outcome) => {
                    taken.completed += 1;
                    inner.wake(ended.ticket, outcome);
                }
                Delivered::Parked => taken.parked += 1,
                Delivered::Dropped(Dropped::Unknown) => taken.unknown += 1,
                Delivered::Dropped(Dropped::Full | Dropped::Source) => taken.no_room += 1,
            }
        }
        taken
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().waiters.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn waiting(&self, inner: &mut Inner, ticket: Ticket) -> Waiting {
        let (waker, done) = oneshot::channel();
        inner.woken.insert(ticket, waker);
        Waiting {
            ticket,
            hub: self.clone(),
            done,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some(waker) = self.woken.remove(&ticket) {
            // One that has gone in this moment needs it no more.
            drop(waker.send(outcome));
        }
    }
}

fn expected(run: RunNumber) -> Expected {
    Expected {
        callback: ANY,
        run,
        due: None,
    }
}

/// One that waits. Dropping it ends the wait.
#[derive(Debug)]
pub struct Waiting {
    ticket: Ticket,
    hub: Hub,
    done: oneshot::Receiver<Outcome>,
}

impl Waiting {
    /// The id that is waited for, now that it is known.
    ///
    /// # Errors
    ///
    /// If somebody waits for this id; the wait is over then.
    pub fn learn(&mut self, id: CallbackId, now: Instant) -> Result<(), LearnError> {
        let mut inner = self.hub.lock();
        if let Learnt::Completed(outcome) = inner.waiters.learn(self.ticket, id, now)? {
            inner.wake(self.ticket, outcome);
        }
        Ok(())
    }

    /// The outcome, once it is there; None if the wait was ended otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future keeps the wait; what comes meanwhile is not lost.
    pub async fn outcome(&mut self) -> Option<Outcome> {
        (&mut self.done).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        inner.waiters.withdraw(self.ticket);
        inner.woken.remove(&self.ticket);
    }
}
