//! Keys that a host must have, whatever known_hosts files say of it.

use std::fmt;
use std::str::FromStr;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::key::{Fingerprint, KeyType, PublicKey};

/// A key that a host must show: its own, or that of the authority that certifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedKey {
    fingerprint: Fingerprint,
    /// Its type, where the whole key was written.
    kind: Option<KeyType>,
}

/// Text that names no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinnedKeyError {
    /// It begins as a fingerprint and is none.
    #[error("fingerprint is not SHA256: and 43 characters, as ssh-keygen -l prints it")]
    Fingerprint,
    /// It is neither a fingerprint nor a public key.
    #[error(
        "wanted a fingerprint (SHA256:...) or a public key (ssh-ed25519 AAAA...) of the host, as in its \
         /etc/ssh/ssh_host_ed25519_key.pub"
    )]
    Key,
    /// Signatures under the key mean nothing.
    #[error("key is weak and identifies nobody")]
    Weak,
}

/// What fingerprints begin with.
const FINGERPRINT: &str = "SHA256:";

impl PinnedKey {
    /// Whether this is the key.
    pub fn is(&self, key: &PublicKey) -> bool {
        self.fingerprint == key.fingerprint()
    }

    /// The fingerprint alone, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> impl fmt::Display + use<> {
        self.fingerprint
    }

    /// Whether a host that is asked for such a key may show this one.
    pub(super) fn may_come_by(&self, algorithm: KeyAlgorithm) -> bool {
        self.kind.is_some_and(|kind| comes_by(kind, algorithm))
    }
}

/// Whether a key of that type, or a certificate of one, is shown by that algorithm.
pub(crate) fn comes_by(kind: KeyType, algorithm: KeyAlgorithm) -> bool {
    kind.key_algorithms().contains(&algorithm) || kind.certificate_algorithms().contains(&algorithm)
}

impl From<Fingerprint> for PinnedKey {
    fn from(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            kind: None,
        }
    }
}

impl From<&PublicKey> for PinnedKey {
    fn from(key: &PublicKey) -> Self {
        Self {
            fingerprint: key.fingerprint(),
            kind: Some(key.key_type()),
        }
    }
}

impl FromStr for PinnedKey {
    type Err = PinnedKeyError;

    /// `SHA256:...`, or a line of a public key file, with or without its comment.
    fn from_str(text: &str) -> Result<Self, PinnedKeyError> {
        let text = text.trim();
        if text.starts_with(FINGERPRINT) {
            let fingerprint: Fingerprint = text.parse().map_err(|_| PinnedKeyError::Fingerprint)?;
            return Ok(fingerprint.into());
        }
        let mut words = text.split_ascii_whitespace();
        let (Some(kind), Some(base64)) = (words.next(), words.next()) else {
            return Err(PinnedKeyError::Key);
        };
        let key = PublicKey::from_openssh_text(&format!("{kind} {base64}"));
        let key = key.map_err(|_| PinnedKeyError::Key)?;
        key.trust().map_err(|_| PinnedKeyError::Weak)?;
        Ok(Self::from(&key))
    }
}

impl fmt::Display for PinnedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "{kind} ")?;
        }
        self.fingerprint.fmt(f)
    }
}
