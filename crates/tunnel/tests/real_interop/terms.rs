//! What a cell of the table varies: the algorithms and the login of one connection.

use std::fmt;

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm, KeyAlgorithm, MacAlgorithm};
use adit_ssh::negotiate::Preferences;
use adit_testkit::seeded::SeededRandom;

/// How the client logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// By a key, or by a certificate for it.
    Key(KeyAlgorithm),
    /// By a password.
    Password,
    /// By one question and its answer.
    Dialog,
}

impl Login {
    /// Every kind that one of ours knows, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let keys = KeyAlgorithm::ALL.iter().copied().map(Self::Key);
        keys.chain([Self::Password, Self::Dialog])
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(algorithm) => f.write_str(algorithm.name()),
            Self::Password => f.write_str("password"),
            Self::Dialog => f.write_str("keyboard-interactive"),
        }
    }
}

/// The terms of one connection: our end offers these and nothing else, so whatever the peer would
/// like better, this is what is negotiated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) kex: KexAlgorithm,
    pub(crate) host_key: KeyAlgorithm,
    pub(crate) cipher: CipherAlgorithm,
    pub(crate) mac: MacAlgorithm,
    pub(crate) login: Login,
}

impl Terms {
    /// As what an end of ours is willing to use.
    pub(crate) fn preferences(self) -> Preferences {
        Preferences {
            kex: vec![self.kex],
            host_key: vec![self.host_key],
            cipher: vec![self.cipher],
            mac: vec![self.mac],
        }
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kex,
            host_key,
            cipher,
            mac,
            login,
        } = self;
        write!(f, "{kex}, {host_key}, {cipher}, {mac}, login by {login}")
    }
}

/// What both ends of a pair know.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) kex: Vec<KexAlgorithm>,
    pub(crate) host_key: Vec<KeyAlgorithm>,
    pub(crate) cipher: Vec<CipherAlgorithm>,
    pub(crate) mac: Vec<MacAlgorithm>,
    pub(crate) login: Vec<Login>,
    /// Whether the peer does strict key exchange.
    pub(crate) is_strict: bool,
}

impl Known {
    /// The first of everything, in the order in which our client prefers it.
    pub(crate) fn default_terms(&self) -> Result<Terms, String> {
        let first = |what| format!("no {what} in common");
        Ok(Terms {
            kex: *self.kex.first().ok_or_else(|| first("key exchange"))?,
            host_key: *self.host_key.first().ok_or_else(|| first("host key"))?,
            cipher: *self.cipher.first().ok_or_else(|| first("cipher"))?,
            // With an AEAD none is needed.
            mac: *self.mac.first().unwrap_or(&MacAlgorithm::HmacSha256Etm),
            login: *self.login.first().ok_or_else(|| first("login"))?,
        })
    }

    /// Any combination.
    pub(crate) fn random_terms(&self, random: &mut SeededRandom) -> Result<Terms, String> {
        fn pick<T: Copy>(random: &mut SeededRandom, from: &[T], otherwise: T) -> T {
            let index = random.below(u64::try_from(from.len()).unwrap());
            let index = usize::try_from(index).unwrap();
            *from.get(index).unwrap_or(&otherwise)
        }
        let fallback = self.default_terms()?;
        Ok(Terms {
            kex: pick(random, &self.kex, fallback.kex),
            host_key: pick(random, &self.host_key, fallback.host_key),
            cipher: pick(random, &self.cipher, fallback.cipher),
            mac: pick(random, &self.mac, fallback.mac),
            login: pick(random, &self.login, fallback.login),
        })
    }
}
