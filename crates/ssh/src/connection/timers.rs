//! Deadlines: all absolute, none moved by a drip of bytes but the keep-alive's, which is about them.

use std::time::Instant;

use super::{Connection, KeepAlive, Stage};
use crate::algorithm::CipherAlgorithm;
use crate::auth::Outbox;
use crate::error::{ConnectionError, Violation, Wait};
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
    keys: Instant,
    /// Since when the control queue is full and does not move.
    control_full: Option<Instant>,
}

impl Timers {
    pub(super) const fn new(now: Instant, keep_alive: Option<KeepAlive>) -> Self {
        Self {
            began: now,
            keep_alive,
            heard: now,
            asked_alive: None,
            unanswered: 0,
            keys: now,
            control_full: None,
        }
    }

    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) const fn keys_changed(&mut self, now: Instant) {
        self.keys = now;
    }

    pub(super) const fn alive_asked(&mut self, now: Instant) {
        self.asked_alive = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
    }

    pub(super) const fn alive_answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
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
            self.control_full = None;
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
    fn keep_alive(&self) -> Option<(Instant, Instant)> {
        let KeepAlive { interval, misses } = self.keep_alive?;
        let last = self
            .asked_alive
            .map_or(self.heard, |asked| asked.max(self.heard));
        Some((
            later(last, interval),
            later(self.heard, interval.saturating_mul(misses)),
        ))
    }
}

/// How old a measured round trip gets before a busy channel has it measured again.
const ROUND_TRIP_AGE: std::time::Duration = std::time::Duration::from_secs(1);

fn later(instant: Instant, duration: std::time::Duration) -> Instant {
    // Beyond what an `Instant` can hold there is no deadline that anybody would live to see.
    instant.checked_add(duration).unwrap_or(instant)
}

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let timers = &self.timers;
        let stage = match &self.stage {
            Stage::Closed(_) => return None,
            Stage::Ident(_) | Stage::Kex => Some(later(timers.began, limits::KEX_DEADLINE)),
            Stage::Login(auth) => {
                let delay = match auth {
                    super::Auth::Server(server) => server.next_deadline(),
                    super::Auth::Client(_) => None,
                };
                min(delay, Some(later(timers.began, limits::LOGIN_DEADLINE)))
            }
            Stage::Running(_) => {
                let keep_alive = timers.keep_alive().map(|(ask, gone)| ask.min(gone));
                let rekey = match self.kex.begun_at() {
                    Some(begun) => Some(later(begun, limits::REKEY_DEADLINE)),
                    None => self.rekey.age.map(|age| later(timers.keys, age)),
                };
                min(keep_alive, rekey)
            }
        };
        let control = timers
            .control_full
            .map(|since| later(since, limits::CONTROL_QUEUE_STALL));
        min(stage, control)
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
        let is_over = |since, limit| now >= later(since, limit);
        if timers
            .control_full
            .is_some_and(|since| is_over(since, limits::CONTROL_QUEUE_STALL))
        {
            return Err(ConnectionError::TimedOut(Wait::Replies));
        }
        match &mut self.stage {
            Stage::Ident(_) | Stage::Kex if is_over(timers.began, limits::KEX_DEADLINE) => {
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
            Stage::Running(_) => {
                if self
                    .kex
                    .begun_at()
                    .is_some_and(|begun| is_over(begun, limits::REKEY_DEADLINE))
                {
                    return Err(ConnectionError::TimedOut(Wait::Rekey));
                }
                if let Some((ask, gone)) = self.timers.keep_alive() {
                    if now >= gone {
                        return Err(ConnectionError::TimedOut(Wait::Life));
                    }
                    if now >= ask {
                        self.ask_alive(now);
                    }
                }
                self.rekey_if_due(now)
            }
        }
    }

    /// Starts a key exchange when the keys have done enough.
    pub(super) fn rekey_if_due(&mut self, now: Instant) -> Result<(), ConnectionError> {
        if !matches!(self.stage, Stage::Running(_)) {
            return Ok(());
        }
        let Some(negotiated) = self.kex.negotiated() else {
            return Ok(());
        };
        let (sending, receiving) = match self.role {
            Role::Client => (negotiated.client_to_server, negotiated.server_to_client),
            Role::Server => (negotiated.server_to_client, negotiated.client_to_server),
        };
        let limit = |cipher: CipherAlgorithm| {
            let own = match cipher {
                CipherAlgorithm::ChaCha20Poly1305 => limits::REKEY_BYTES_CHACHA,
                CipherAlgorithm::Aes128Gcm
                | CipherAlgorithm::Aes256Gcm
                | CipherAlgorithm::Aes128Ctr
                | CipherAlgorithm::Aes256Ctr => limits::REKEY_BYTES_AES,
            };
            self.rekey.bytes.map_or(own, |bytes| bytes.min(own))
        };
        let (sent, received) = (self.writer.volume, self.reader.volume);
        // While a key exchange hangs, what is in flight still comes; far more than that does not.
        let most = limit(receiving.cipher).saturating_mul(2).max(IN_FLIGHT);
        if received.bytes > most {
            return Err(Violation::kex("keys are used up").into());
        }
        let is_due = sent.bytes >= limit(sending.cipher)
            || received.bytes >= limit(receiving.cipher)
            || sent.packets.max(received.packets) >= limits::REKEY_PACKETS
            || self
                .rekey
                .age
                .is_some_and(|age| now >= later(self.timers.keys, age));
        if is_due && self.kex.is_idle() {
            self.kex.begin(now)
        } else {
            Ok(())
        }
    }
}

/// What may be in flight when keys are to be renewed: every window of a connection.
const IN_FLIGHT: u64 = 1 << 30;

fn min(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
