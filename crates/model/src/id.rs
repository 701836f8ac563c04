//! Numbers and texts by which things are known.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A principal: the number of its row in the store. Who somebody *is*; keys, passwords and certificates
/// only prove it (security rule G01). Two numbers that differ are two identities, whatever their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrincipalId(i64);

/// One lease, for as long as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(i64);

impl PrincipalId {
    /// The principal of that row.
    pub const fn new(row: i64) -> Self {
        Self(row)
    }

    /// The row.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl LeaseId {
    /// The lease of that row.
    pub const fn new(row: i64) -> Self {
        Self(row)
    }

    /// The row.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Which holder of a lease is meant: each takeover gets a higher one, and what bears a lower one is fenced
/// out. Never used twice, not even after a restart from an old backup (security rule G17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

/// Bits of an [`Epoch`] that count within one millisecond of the machine's start.
const EPOCH_SHIFT: u32 = 20;

impl Epoch {
    /// Before the first.
    pub const ZERO: Self = Self(0);

    /// The epoch of that number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The lowest that a gateway may use which started `millis` after 1970: above every epoch that one
    /// started earlier has used, unless it made more than a million takeovers in each millisecond.
    #[must_use]
    pub const fn floor_at(millis: u64) -> Self {
        Self(millis.saturating_mul(1 << EPOCH_SHIFT))
    }

    /// The next one. The highest stays the highest: it takes 2^64 takeovers to come there.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The SHA-256 fingerprint of a public key as OpenSSH writes it: `SHA256:` and 43 characters of base64
/// without padding. The name of a key in the store, in logs and in messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

/// Characters of base64 for 32 bytes.
const DIGEST_LENGTH: usize = 43;

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is SHA256: and 43 characters of base64, as ssh-keygen -l prints it")]
pub struct FingerprintError;

impl Fingerprint {
    /// The text, with its `SHA256:`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digest = text.strip_prefix("SHA256:").ok_or(FingerprintError)?;
        let is_base64 = digest
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
        if is_base64 && digest.len() == DIGEST_LENGTH {
            Ok(Self(String::from(text)))
        } else {
            Err(FingerprintError)
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_start_is_above_every_epoch_of_an_earlier_one() {
        let mut used = Epoch::floor_at(1_763_000_000_000);
        for _ in 0..100_000 {
            used = used.next();
        }
        assert!(Epoch::floor_at(1_763_000_000_001) > used);
    }

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_prints() {
        let text = "SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU";
        assert_eq!(text.parse::<Fingerprint>().unwrap().as_str(), text);
        for wrong in [
            "",
            "SHA256:",
            "MD5:00",
            "SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU=",
            "SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKl\n",
        ] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(FingerprintError));
        }
    }
}
