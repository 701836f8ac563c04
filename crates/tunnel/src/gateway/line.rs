//! What a connection can be told besides its answers: the way from the desk and the session to the agent at the
//! other end, if there is one that listens.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::desk::Who;
use crate::control::Instance;
use crate::transport::{Bind, CloseReason};
use adit_model::lease::Holding;

/// The line to one connection. Nobody waits for it: what finds no room is not said.
#[derive(Debug)]
pub struct Line {
    words: Mutex<Words>,
    instance: watch::Sender<Option<Instance>>,
    /// What its session has to do about leases that others took.
    errands: watch::Sender<Vec<Errand>>,
    stays: AtomicBool,
}

/// What a session has to do about a lease that another connection took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Errand {
    /// To tell that it is gone.
    Lost {
        /// As it was granted.
        bind: Bind,
        /// To whoever comes from there.
        to: SocketAddr,
    },
    /// To take it back.
    Back(Inheritance),
}

/// What a connection has back, since whoever took it over is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inheritance {
    /// What it held.
    pub(super) holding: Holding,
    /// As it was granted it.
    pub(super) bind: Bind,
}

#[derive(Debug, Default)]
enum Words {
    /// Nobody listens yet.
    #[default]
    Closed,
    /// Somebody does.
    Open(mpsc::Sender<Word>),
    /// Somebody did. A connection has one subsystem in its life (security rule G34).
    Over,
}

/// What is to be said.
#[derive(Debug)]
pub(super) enum Word {
    /// A forward was refused.
    Refused {
        /// As it was asked for.
        bind: Bind,
        /// Why.
        reason: String,
    },
    /// A lease was taken over.
    Superseded(Superseded),
    /// A lease that was taken over has come back.
    Returned(Holding),
    /// The gateway stops. The connection is to be closed for it.
    Stopping,
}

/// A takeover, as its loser is told.
#[derive(Debug)]
pub(super) struct Superseded {
    /// What was held.
    pub(super) holding: Holding,
    /// Who has it now.
    pub(super) by: Arc<Who>,
    /// Since when.
    pub(super) since: Timestamp,
    /// Whether the loser has nothing left, and is to be closed. One that listens may stay.
    pub(super) closes: bool,
    /// Whether it was asked before, and did not answer in time.
    pub(super) was_silent: bool,
}

/// Errands that may wait: a session does each at once, and has as many leases as one may have.
const ERRANDS: usize = 1_024;
/// What may wait to be said. An agent that takes 20 messages a second is a second and a half behind then.
const WORDS: usize = 32;

impl Default for Line {
    fn default() -> Self {
        Self {
            words: Mutex::default(),
            instance: watch::Sender::new(None),
            errands: watch::Sender::default(),
            stays: AtomicBool::new(false),
        }
    }
}

impl Line {
    /// Which agent is at the other end, once it has said so.
    pub(super) fn instance(&self) -> Option<Instance> {
        *self.instance.borrow()
    }

    /// Tells when it is known.
    pub(super) fn introductions(&self) -> watch::Receiver<Option<Instance>> {
        self.instance.subscribe()
    }

    /// The other end has said which agent it is.
    pub(super) fn introduce(&self, instance: Instance) {
        self.instance.send_replace(Some(instance));
    }

    /// At the other end is an agent of ours, whoever it may be: closed, it would come back at once, and take from
    /// whoever has taken from it. It stays without a lease, and has it back when the other one is gone.
    pub(super) fn stay(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Whether it stays.
    pub(super) fn stays(&self) -> bool {
        self.stays.load(Ordering::Relaxed)
    }

    /// The session has that to do. Once is enough; what finds no room is not done.
    pub(super) fn send(&self, errand: Errand) {
        self.errands.send_if_modified(|errands| {
            let is_new = errands.len() < ERRANDS && !errands.contains(&errand);
            if is_new {
                errands.push(errand);
            }
            is_new
        });
    }

    /// Tells when there is something to do.
    pub(super) fn errands(&self) -> watch::Receiver<Vec<Errand>> {
        self.errands.subscribe()
    }

    /// What there is to do now, in its order.
    pub(super) fn take_errands(&self) -> Vec<Errand> {
        let mut taken = Vec::new();
        self.errands.send_if_modified(|errands| {
            taken = std::mem::take(errands);
            false
        });
        taken
    }

    /// Listens to it. `None` where somebody does already, or did.
    pub(super) fn listen(&self) -> Option<mpsc::Receiver<Word>> {
        let mut words = self.words();
        if !matches!(*words, Words::Closed) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(WORDS);
        *words = Words::Open(sender);
        Some(receiver)
    }

    /// Nobody listens any more. What nobody has heard is the listener's to look through.
    pub(super) fn hang_up(&self) {
        *self.words() = Words::Over;
    }

    /// Says something. Gives it back where nobody hears it.
    pub(super) fn tell(&self, word: Word) -> Result<(), Word> {
        match &*self.words() {
            Words::Open(words) => words
                .try_send(word)
                .map_err(mpsc::error::TrySendError::into_inner),
            Words::Closed | Words::Over => Err(word),
        }
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        // It is changed in one step.
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Word {
    /// Why the connection is to be closed once this was said.
    pub(super) const fn closes(&self) -> Option<CloseReason> {
        match self {
            Self::Superseded(Superseded { closes: true, .. }) => Some(CloseReason::Superseded),
            Self::Stopping => Some(CloseReason::Stopping),
            Self::Superseded(_) | Self::Returned(_) | Self::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_listened_to_once_and_what_finds_no_room_comes_back() {
        let line = Line::default();
        assert!(line.tell(Word::Stopping).is_err());
        let mut heard = line.listen().unwrap();
        assert!(line.listen().is_none());
        for _ in 0..WORDS {
            line.tell(Word::Stopping).unwrap();
        }
        assert!(line.tell(Word::Stopping).is_err());
        assert!(heard.try_recv().is_ok());
        line.hang_up();
        assert!(line.tell(Word::Stopping).is_err() && line.listen().is_none());
    }
}
