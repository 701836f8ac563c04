//! What a login can only learn from a person, or from what a person left for it.

use std::fmt;
use std::path::Path;

use adit_ssh::secret::Secret;

use crate::agent::supervise::Peer;

/// What somebody told: a passphrase, a password, an answer. Wiped when dropped, and shows nothing.
#[expect(
    missing_debug_implementations,
    reason = "a secret shows nothing, not even that it is one"
)]
pub struct Told(Secret<String>);

impl Told {
    /// Takes it over. The caller's own copies stay the caller's to wipe.
    pub const fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The text itself. Never log it, never put it into an error.
    pub const fn expose(&self) -> &String {
        self.0.expose()
    }

    pub(crate) fn into_secret(self) -> Secret<String> {
        self.0
    }
}

/// Answers what a login cannot answer by itself. Its functions may block for as long as a person
/// thinks; they are called where that holds up nobody.
pub trait Ask: fmt::Debug + Send + Sync {
    /// A secret; `None` if nobody knows it or nobody is there.
    fn secret(&self, question: &Question<'_>) -> Option<Told>;

    /// Whether `host`, which was never seen before and shows that key, is to be trusted. `None` if
    /// nobody is there to say so.
    fn trusts(&self, host: &str, shown: &str) -> Option<bool>;

    /// How many passwords may be tried in one login. 0: none can be had, so none is offered.
    fn passwords(&self) -> usize;

    /// Whether a person is there, who needs time.
    fn is_person(&self) -> bool;
}

/// Something secret that is wanted.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Question<'a> {
    /// What a key file is encrypted with.
    Passphrase {
        /// The file.
        file: &'a Path,
        /// How often a wrong one was given before.
        attempt: usize,
    },
    /// The password of a user.
    Password {
        /// Whose, and where.
        peer: &'a Peer,
        /// How often one was refused before, in this login.
        attempt: usize,
    },
    /// What the server asks; its words are its own.
    Prompt {
        /// Who asks, and whom.
        peer: &'a Peer,
        /// Heading and instructions, which may be empty; given with the first prompt alone.
        heading: &'a [&'a str],
        /// The prompt, safe to show.
        text: &'a str,
        /// Whether what is typed may be seen.
        echo: bool,
        /// How often the server refused all answers before, in this login.
        attempt: usize,
    },
}

/// Nobody: for a login with keys alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Ask for Nobody {
    fn secret(&self, _: &Question<'_>) -> Option<Told> {
        None
    }

    fn trusts(&self, _: &str, _: &str) -> Option<bool> {
        None
    }

    fn passwords(&self) -> usize {
        0
    }

    fn is_person(&self) -> bool {
        false
    }
}
