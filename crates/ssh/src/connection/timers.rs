//! Deadlines: all absolute, none moved by a drip of bytes but the keep-alive's, which is about them.

use std::time::{Duration, Instant};

use super::{Connection, KeepAlive, Stage};
use crate::auth::Outbox;
use crate::error::{ConnectionError, Wait};
use crate::limits;
use crate::negotiate::Role;

/// When things happened last.
#[derive(Debug)]
pub(super) struct Timers {
    began: Instant,
    keep_alive: Option<KeepAlive>,
    heard: Instant,
    asked_alive: Option<Instant>,
    /// Keep-alives that wait for an answer.
    unanswered: u32,
    /// There is reason to think that the peer is gone, and it has not answered since.
    doubt: Option<Doubt>,
    early_round_trips: u32,
    pub(super) keys: Instant,
    /// Since when the control queue is full and does not move.
    control_full: Option<Instant>,
}

/// A peer that was asked out of turn.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    asked: Instant,
    /// How long it may be silent from there on.
    patience: Duration,
}

impl Timers {
    pub(super) const fn new(now: Instant, keep_alive: Option<KeepAlive>) -> Self {
        Self {
            began: now,
            keep_alive,
            heard: now,
            asked_alive: None,
            unanswered: 0,
            doubt: None,
            early_round_trips: 0,
            keys: now,
            control_full: None,
        }
    }

    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    pub(super) const fn keys_changed(&mut self, now: Instant) {
        self.keys = now;
    }

    pub(super) const fn alive_asked(&mut self, now: Instant) {
        self.asked_alive = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// A keep-alive of `asked` was answered.
    pub(super) fn alive_answered(&mut self, asked: Instant) {
        self.unanswered = self.unanswered.saturating_sub(1);
        if self.doubt.is_some_and(|doubt| asked >= doubt.asked) {
            self.doubt = None;
        }
    }

    pub(super) const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    pub(super) const fn doubted(&mut self, asked: Instant, patience: Duration) {
        self.doubt = Some(Doubt { asked, patience });
    }

    /// When a peer in doubt counts as gone. What comes from it moves that: its answer may stand behind
    /// much that it had to say before.
    fn doubt_is_over(&self) -> Option<Instant> {
        let Doubt { asked, patience } = self.doubt?;
        asked.max(self.heard).checked_add(patience)
    }

    /// Whether the round trip shall be measured with a new channel, before that carries anything.
    /// One measurement may be spoilt by a busy machine; the least of several is not.
    pub(super) const fn wants_early_round_trip(&self) -> bool {
        self.unanswered == 0 && self.early_round_trips < EARLY_ROUND_TRIPS
    }

    pub(super) const fn early_round_trip_asked(&mut self) {
        self.early_round_trips = self.early_round_trips.saturating_add(1);
    }

    /// Whether a measurement of the round trip is due: none is under way and the last is a while
    /// ago.
    pub(super) fn wants_round_trip(&self, now: Instant) -> bool {
        let is_old = self
            .asked_alive
            .is_none_or(|asked| now.saturating_duration_since(asked) >= ROUND_TRIP_AGE);
        self.unanswered == 0 && is_old
    }

    pub(super) fn control_queue(&mut self, bytes: usize, now: Instant) {
        if bytes < limits::CONTROL_QUEUE_BYTES {
            if self.control_full.take().is_some() {
                // It was not listened to meanwhile, and it has taken something now.
                self.heard = now;
            }
        } else {
            self.control_full.get_or_insert(now);
        }
    }

    pub(super) fn control_queue_moved(&mut self, now: Instant) {
        if let Some(since) = &mut self.control_full {
            *since = now;
        }
    }

    /// When the next keep-alive is due, and when the peer counts as gone.
    fn keep_alive(&self) -> (Option<Instant>, Option<Instant>) {
        let doubt = self.doubt_is_over();
        let Some(KeepAlive { interval, misses }) = self.keep_alive else {
            return (None, doubt);
        };
        let last = self
            .asked_alive
            .map_or(self.heard, |asked| asked.max(self.heard));
        let missed = self.heard.checked_add(interval.saturating_mul(misses));
        (last.checked_add(interval), min(missed, doubt))
    }
}

/// Round trips that are measured as channels open.
const EARLY_ROUND_TRIPS: u32 = 8;
/// How old a measured round trip gets before a busy channel has it measured again.
const ROUND_TRIP_AGE: Duration = Duration::from_secs(1);

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let timers = &self.timers;
        let stage = match &self.stage {
            Stage::Closed(_) => return None,
            Stage::Ident(_) | Stage::Kex => timers.began.checked_add(self.kex_deadline()),
            Stage::Login(auth) => {
                let delay = match auth {
                    super::Auth::Server(server) => server.next_deadline(),
                    super::Auth::Client(_) => None,
                };
                min(delay, timers.began.checked_add(limits::LOGIN_DEADLINE))
            }
            Stage::Running(running) => {
                let (ask, gone) = self.keep_alive();
                let rekey = match (self.kex.postponed_until(), self.kex.begun_at()) {
                    (Some(until), _) => Some(until),
                    (None, Some(begun)) => begun.checked_add(limits::REKEY_DEADLINE),
                    (None, None) => self.rekey.age.and_then(|age| timers.keys.checked_add(age)),
                };
                let channels = running.channels.next_deadline();
                min(min(ask, gone), min(rekey, channels))
            }
        };
        let control = timers
            .control_full
            .and_then(|since| since.checked_add(limits::CONTROL_QUEUE_STALL));
        min(stage, control)
    }

    /// The first key exchange has little time, unless it has got as far as a person who looks at a
    /// fingerprint.
    const fn kex_deadline(&self) -> Duration {
        match self.role {
            Role::Client if self.kex.first_host_key().is_some() => limits::LOGIN_DEADLINE,
            Role::Client | Role::Server => limits::KEX_DEADLINE,
        }
    }

    /// When the next keep-alive is due, and when the peer counts as gone. Neither while a key
    /// exchange goes on, in which keep-alives cannot leave and which has a deadline of its own, nor
    /// while we do not listen.
    fn keep_alive(&self) -> (Option<Instant>, Option<Instant>) {
        if self.kex.is_settled() && self.wants_read() {
            self.timers.keep_alive()
        } else {
            (None, None)
        }
    }

    /// Does what is due at `now`. Before the deadline it does nothing.
    ///
    /// # Errors
    /// The peer took too long; the connection is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        self.timeout(now).map_err(|error| self.fail(error))
    }

    fn timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        let timers = &self.timers;
        let is_over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if timers
            .control_full
            .is_some_and(|since| is_over(since, limits::CONTROL_QUEUE_STALL))
        {
            return Err(ConnectionError::TimedOut(Wait::Replies));
        }
        let kex_deadline = self.kex_deadline();
        match &mut self.stage {
            Stage::Ident(_) | Stage::Kex if is_over(timers.began, kex_deadline) => {
                Err(ConnectionError::TimedOut(Wait::KeyExchange))
            }
            Stage::Login(_) if is_over(timers.began, limits::LOGIN_DEADLINE) => {
                Err(ConnectionError::TimedOut(Wait::Login))
            }
            Stage::Ident(_)
            | Stage::Kex
            | Stage::Login(super::Auth::Client(_))
            | Stage::Closed(_) => Ok(()),
            Stage::Login(super::Auth::Server(server)) => {
                let mut out = Outbox::new();
                let result = server.handle_timeout(now, &mut out);
                self.after_login_step(out);
                Ok(result?)
            }
            Stage::Running(running) => {
                running.channels.handle_timeout(now, &mut self.events);
                self.kex.resume(now)?;
                let rekey = self.kex.begun_at();
                if rekey.is_some_and(|begun| is_over(begun, limits::REKEY_DEADLINE)) {
                    return Err(ConnectionError::TimedOut(Wait::Rekey));
                }
                let (ask, gone) = self.keep_alive();
                if gone.is_some_and(|gone| now >= gone) {
                    return Err(ConnectionError::TimedOut(Wait::Life));
                }
                if ask.is_some_and(|ask| now >= ask) {
                    self.ask_alive(now);
                }
                self.rekey_if_due(now)
            }
        }
    }
}

fn min(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
