//! What a connection can be told besides its answers: the way from the desk and the session to the agent at the
//! other end, if there is one that listens.

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
    /// Whether the loser has nothing left, and is to be closed.
    pub(super) closes: bool,
}

/// What may wait to be said. An agent that takes 20 messages a second is a second and a half behind then.
const WORDS: usize = 32;

impl Default for Line {
    fn default() -> Self {
        Self {
            words: Mutex::default(),
            instance: watch::Sender::new(None),
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
            Self::Superseded(_) | Self::Refused { .. } => None,
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
