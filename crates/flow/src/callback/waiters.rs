//! Waiters: who gets a delivery.
//!
//! A waiter is in one of two states. It *knows its id* from the beginning
//! ([`expect_id`](Waiters::expect_id)) or since the response to its run's request
//! ([`learn`](Waiters::learn)). Until then its callback is *open*: a delivery for an id that nobody
//! waits for is parked. It ends once: by a delivery, by its time, with its run, or because its id is
//! somebody else's. When the last one that could claim a parked delivery is gone, so is that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::parking::{NoRoom, Parking, Source};
use super::rule::Outcome;
use super::{CallbackId, CallbackIndex, RunNumber, Ticket, limits};

/// All waiters of a process, and the deliveries that are parked for those without an id.
#[derive(Debug, Default)]
pub struct Waiters {
    /// The last number that was given, to a waiter or to a delivery: the order of both.
    last: u64,
    waiting: BTreeMap<Ticket, Waiter>,
    lanes: BTreeMap<CallbackIndex, Lane>,
    by_run: BTreeSet<(RunNumber, Ticket)>,
    by_due: BTreeSet<(Instant, Ticket)>,
    parking: Parking,
}

#[derive(Debug)]
struct Waiter {
    expected: Expected,
    id: Option<CallbackId>,
}

/// The waiters of a callback. There is none for a callback without.
#[derive(Debug, Default)]
struct Lane {
    by_id: BTreeMap<CallbackId, Ticket>,
    without_id: BTreeSet<Ticket>,
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The callback.
    pub callback: CallbackIndex,
    /// The run.
    pub run: RunNumber,
    /// When it has waited long enough. None waits for as long as the run does.
    pub due: Option<Instant>,
}

/// Why nobody can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectError {
    /// Somebody waits for this id already, and a delivery is for one.
    #[error("another job waits for a callback with this id")]
    Taken,
    /// There are as many as there may be.
    #[error("{} jobs wait for callbacks already", limits::WAITERS)]
    Full,
}

/// Why a waiter has no use for its id. It has ended, whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// Somebody waits for this id already, and a delivery is for one. The waiter is gone.
    #[error("another job waits for a callback with this id")]
    Taken,
    /// It ended before, or never waited for an id.
    #[error("the job does not wait for the id of a callback")]
    Ended,
}

/// What an id meant to its waiter.
#[derive(Debug)]
pub enum Learnt {
    /// It waits.
    Waiting,
    /// The delivery was there already. The waiter has ended.
    Completed(Outcome),
}

/// A waiter that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The waiter.
    pub ticket: Ticket,
    /// Its run.
    pub run: RunNumber,
}

/// What became of a delivery. The visitor is not told.
#[derive(Debug)]
pub enum Delivered {
    /// It completed this waiter.
    Completed(Ended, Outcome),
    /// It is kept for a waiter that may learn its id.
    Parked,
    /// It is gone.
    Dropped(Dropped),
}

/// Why a delivery was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Nobody waits for its id, and nobody of its callback will learn one.
    Unknown,
    /// There are [`limits::PARKED`] deliveries or [`limits::PARKED_BYTES`].
    Full,
    /// There are [`limits::PARKED_PER_SOURCE`] deliveries of its address.
    Source,
}

impl Waiters {
    /// Nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a waiter that will [`learn`](Self::learn) its id from the response to a request.
    /// The request goes out after this, not before: what arrived earlier is not for it.
    ///
    /// # Errors
    ///
    /// If there are [`limits::WAITERS`].
    pub fn expect(&mut self, expected: Expected) -> Result<Ticket, ExpectError> {
        let ticket = self.add(expected, None)?;
        let lane = self.lanes.entry(expected.callback).or_default();
        lane.without_id.insert(ticket);
        self.check();
        Ok(ticket)
    }

    /// Registers a waiter for an id. The request that says the id goes out after this.
    ///
    /// # Errors
    ///
    /// If somebody waits for this id, and if there are [`limits::WAITERS`].
    pub fn expect_id(&mut self, expected: Expected, id: CallbackId) -> Result<Ticket, ExpectError> {
        let lane = self.lanes.get(&expected.callback);
        if lane.is_some_and(|lane| lane.by_id.contains_key(&id)) {
            return Err(ExpectError::Taken);
        }
        let ticket = self.add(expected, Some(id.clone()))?;
        let lane = self.lanes.entry(expected.callback).or_default();
        lane.by_id.insert(id, ticket);
        self.check();
        Ok(ticket)
    }

    /// Tells a waiter its id. If a delivery for it arrived since the waiter was registered, that is
    /// what it gets.
    ///
    /// # Errors
    ///
    /// If somebody waits for this id, if the waiter has ended, and if it has an id.
    pub fn learn(
        &mut self,
        ticket: Ticket,
        id: CallbackId,
        now: Instant,
    ) -> Result<Learnt, LearnError> {
        let waiter = self.waiting.get_mut(&ticket).ok_or(LearnError::Ended)?;
        let callback = waiter.expected.callback;
        let lane = self.lanes.get_mut(&callback).ok_or(LearnError::Ended)?;
        if !lane.without_id.contains(&ticket) {
            return Err(LearnError::Ended);
        }
        if lane.by_id.contains_key(&id) {
            self.remove(ticket);
            return Err(LearnError::Taken);
        }
        self.parking.expire(now);
        if let Some(outcome) = self.parking.take(callback, &id, ticket.0) {
            self.remove(ticket);
            return Ok(Learnt::Completed(outcome));
        }
        waiter.id = Some(id.clone());
        lane.without_id.remove(&ticket);
        lane.by_id.insert(id, ticket);
        self.release(callback);
        self.check();
        Ok(Learnt::Waiting)
    }

    /// Whether a delivery would complete a waiter, or be parked if there is room. Where it would
    /// not, nobody needs to find out how it went.
    pub fn is_wanted(&self, callback: CallbackIndex, id: &CallbackId) -> bool {
        let lane = self.lanes.get(&callback);
        lane.is_some_and(|lane| lane.by_id.contains_key(id) || !lane.without_id.is_empty())
    }

    /// Hands a delivery to the waiter for its id, parks it, or drops it.
    pub fn deliver(
        &mut self,
        source: Source,
        id: CallbackId,
        outcome: Outcome,
        now: Instant,
    ) -> Delivered {
        self.parking.expire(now);
        let Some(lane) = self.lanes.get(&source.callback) else {
            return Delivered::Dropped(Dropped::Unknown);
        };
        let ticket = lane.by_id.get(&id).copied();
        let is_open = !lane.without_id.is_empty();
        if let Some(ended) = ticket.and_then(|ticket| self.remove(ticket)) {
            return Delivered::Completed(ended, outcome);
        }
        if !is_open {
            return Delivered::Dropped(Dropped::Unknown);
        }
        let number = self.number();
        match self.parking.park(number, source, id, outcome, now) {
            Ok(()) => Delivered::Parked,
            Err(NoRoom::Full) => Delivered::Dropped(Dropped::Full),
            Err(NoRoom::Source) => Delivered::Dropped(Dropped::Source),
        }
    }

    /// Ends a waiter whose request was not sent, or whose response gave no id. Nothing if it has
    /// ended.
    pub fn withdraw(&mut self, ticket: Ticket) -> Option<Ended> {
        self.remove(ticket)
    }

    /// Ends all waiters of a run, and says which, the oldest first.
    pub fn cancel(&mut self, run: RunNumber) -> Vec<Ended> {
        let range = (run, Ticket(0))..=(run, Ticket(u64::MAX));
        let tickets = self.by_run.range(range).map(|(_, ticket)| *ticket);
        let tickets: Vec<Ticket> = tickets.collect();
        let ended = tickets.into_iter().filter_map(|ticket| self.remove(ticket));
        ended.collect()
    }

    /// When there is something to [`expire`](Self::expire).
    pub fn next_due(&self) -> Option<Instant> {
        let waiter = self.by_due.first().map(|(due, _)| *due);
        [waiter, self.parking.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends the waiters whose time is over, and says which, in the order of their times. Drops what
    /// has been parked for [`limits::PARKED_FOR`].
    pub fn expire(&mut self, now: Instant) -> Vec<Ended> {
        self.parking.expire(now);
        let mut ended = Vec::new();
        while let Some((due, ticket)) = self.by_due.first().copied() {
            if due > now {
                break;
            }
            ended.extend(self.remove(ticket));
        }
        ended
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many deliveries are parked.
    pub fn parked(&self) -> usize {
        self.parking.len()
    }

    /// How many bytes the parked deliveries have in memory.
    pub fn parked_bytes(&self) -> usize {
        self.parking.bytes()
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The caller puts it into its lane.
    fn add(&mut self, expected: Expected, id: Option<CallbackId>) -> Result<Ticket, ExpectError> {
        if self.waiting.len() >= limits::WAITERS {
            return Err(ExpectError::Full);
        }
        let ticket = Ticket(self.number());
        self.by_run.insert((expected.run, ticket));
        self.by_due.extend(expected.due.map(|due| (due, ticket)));
        self.waiting.insert(ticket, Waiter { expected, id });
        Ok(ticket)
    }

    /// The one way in which a waiter ends.
    fn remove(&mut self, ticket: Ticket) -> Option<Ended> {
        let Waiter { expected, id } = self.waiting.remove(&ticket)?;
        let Expected { callback, run, due } = expected;
        self.by_run.remove(&(run, ticket));
        if let Some(due) = due {
            self.by_due.remove(&(due, ticket));
        }
        if let Some(lane) = self.lanes.get_mut(&callback) {
            match id {
                Some(id) => {
                    lane.by_id.remove(&id);
                }
                None => {
                    lane.without_id.remove(&ticket);
                }
            }
            if lane.by_id.is_empty() && lane.without_id.is_empty() {
                self.lanes.remove(&callback);
            }
        }
        self.release(callback);
        self.check();
        Some(Ended { ticket, run })
    }

    /// Drops what was parked before the oldest waiter without an id, which nobody can claim.
    fn release(&mut self, callback: CallbackIndex) {
        let lane = self.lanes.get(&callback);
        let oldest = lane.and_then(|lane| lane.without_id.first());
        self.parking
            .release(callback, oldest.map(|ticket| ticket.0));
    }

    /// What is always so. Takes the same time however many wait.
    fn check(&self) {
        debug_assert_eq!(self.waiting.len(), self.by_run.len());
        debug_assert!(self.by_due.len() <= self.waiting.len());
        debug_assert!(self.lanes.len() <= self.waiting.len());
        debug_assert!(self.waiting.len() <= limits::WAITERS);
        debug_assert!(!self.waiting.is_empty() || self.parking.len() == 0);
    }

    /// Looks at each waiter.
    #[cfg(test)]
    pub(super) fn check_all(&self) {
        self.check();
        self.parking.check_all();
        let mut in_lanes = 0;
        for lane in self.lanes.values() {
            let here = lane.by_id.len() + lane.without_id.len();
            assert_ne!(here, 0);
            in_lanes += here;
        }
        assert_eq!(in_lanes, self.waiting.len());
        for (ticket, Waiter { expected, id }) in &self.waiting {
            let lane = &self.lanes[&expected.callback];
            match id {
                Some(id) => assert_eq!(lane.by_id.get(id), Some(ticket)),
                None => assert!(lane.without_id.contains(ticket)),
            }
            assert!(self.by_run.contains(&(expected.run, *ticket)));
            let due = expected.due;
            assert!(due.is_none_or(|due| self.by_due.contains(&(due, *ticket))));
        }
        let with_due = self.waiting.values();
        let with_due = with_due.filter(|waiter| waiter.expected.due.is_some());
        assert_eq!(with_due.count(), self.by_due.len());
    }
}

#[cfg(test)]
mod tests;
