//! Whether a host's key is the one it is known by: OpenSSH's known_hosts files, read and matched by
//! ourselves.
//!
//! What is written there decides, and an error never accepts: a file that cannot be read, or a line
//! with a marker that cannot be understood, refuses every key. A known host that shows another key
//! is refused, also when the new key is of a type that it was never known by (an attacker chooses
//! the type). A revoked key is refused whatever else is written. A host that a certificate authority
//! vouches for is not new when it shows a key without a certificate.
//!
//! Where keys are pinned, they decide, and nothing is written: the host's own key must be one of them,
//! or that of the authority that signed its certificate. Of the files, only `@revoked` lines count then.

use std::path::PathBuf;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::key::PublicKey;

use self::look_up::{LookUp, show};

mod append;
mod line;
mod look_up;
mod pin;
mod verdict;

pub use self::look_up::KnownHosts;
pub(crate) use self::pin::comes_by;
pub use self::pin::{PinnedKey, PinnedKeyError};
pub use self::verdict::{
    HostKeyRefusal, HostVerdict, KnownHostsError, KnownKey, Place, Proof, ProofKind,
};

/// A host as known_hosts files name it: in lower case, with its port unless that is 22.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostAddress {
    name: String,
    port: u16,
}

/// Which files to look in, and what to do about a host that is in none of them.
#[derive(Debug, Clone)]
pub struct HostKeys {
    /// Files in order; new hosts are written to the first. One that is not there is empty.
    pub files: Vec<PathBuf>,
    /// More files, of this machine; never written.
    pub global_files: Vec<PathBuf>,
    /// What to do about new hosts.
    pub new_hosts: NewHosts,
    /// How to write them.
    pub names: NameForm,
    /// If there are any, the host must have one of these keys, and is neither looked up nor written
    /// down.
    pub pinned: Vec<PinnedKey>,
}

/// What to do about a host that is known by no key (`StrictHostKeyChecking`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewHosts {
    /// Refuse it: `yes`.
    Refuse,
    /// Write its key down and trust it from here on: `accept-new`.
    Accept,
    /// As a person says: `ask`, the default. Where nobody is there, a login by key alone goes on as
    /// with `accept-new` and one that might send a password is refused.
    Ask,
}

/// How host names are written down (`HashKnownHosts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameForm {
    /// As they are: OpenSSH's default.
    Plain,
    /// Hashed, so that a stolen file does not tell where its owner goes.
    Hashed,
}

/// Text that is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("host name is empty, too long or has a character that no host name has")]
pub struct HostAddressError;

/// Port that is not written.
const SSH_PORT: u16 = 22;
/// Longest host name (RFC 1035 section 2.3.4).
const HOST_LENGTH: usize = 255;

impl HostAddress {
    /// A host by name or address.
    ///
    /// # Errors
    ///
    /// The name could not stand in a known_hosts file as itself alone.
    pub fn new(name: &str, port: u16) -> Result<Self, HostAddressError> {
        let is_name = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%')
        };
        if name.is_empty()
            || name.len() > HOST_LENGTH
            || name.starts_with('-')
            || !name.bytes().all(is_name)
        {
            return Err(HostAddressError);
        }
        Ok(Self {
            name: name.to_ascii_lowercase(),
            port,
        })
    }

    /// The host's name or address, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As it is written: `host` or `[host]:port`.
    pub fn written(&self) -> String {
        if self.port == SSH_PORT {
            self.name.clone()
        } else {
            format!("[{}]:{}", self.name, self.port)
        }
    }
}

impl HostKeys {
    /// Reads the files, looks the key up, and writes it down if the host is new and that is wanted.
    /// Blocks on the file system.
    pub fn verify(&self, host: &HostAddress, key: &PublicKey) -> HostVerdict {
        self.judge(host, key, None)
    }

    /// The same for a host certificate that has been checked (signature, time, principals):
    /// `key` is the certified key and `authority` the one that signed.
    pub fn verify_certificate(
        &self,
        host: &HostAddress,
        key: &PublicKey,
        authority: &PublicKey,
    ) -> HostVerdict {
        self.judge(host, key, Some(authority))
    }

    /// The order in which to ask `host` for its key: as given, but where no key of the first type
    /// is known and others are, those first. So a host known by one key shows that one, and an
    /// onlooker learns what is known only when it must be told (CVE-2020-14145). Where keys are pinned,
    /// those of their types first, as far as they are known.
    pub fn order(
        &self,
        host: &HostAddress,
        preference: &[KeyAlgorithm],
    ) -> Result<Vec<KeyAlgorithm>, KnownHostsError> {
        if self.pinned.is_empty() {
            return Ok(self.read()?.order(host, preference));
        }
        let is_pinned = |one: &KeyAlgorithm| self.pinned.iter().any(|pin| pin.may_come_by(*one));
        let (mut first, last): (Vec<_>, Vec<_>) = preference.iter().partition(|one| is_pinned(one));
        first.extend(last);
        Ok(first)
    }

    /// All files as they are now.
    pub fn read(&self) -> Result<KnownHosts, KnownHostsError> {
        KnownHosts::read(self.files.iter().chain(&self.global_files))
    }

    fn judge(
        &self,
        host: &HostAddress,
        key: &PublicKey,
        authority: Option<&PublicKey>,
    ) -> HostVerdict {
        let written = host.written();
        let shown = show(key);
        if key.trust().is_err() {
            let host = written;
            return HostVerdict::Refused(HostKeyRefusal::Weak { host, shown });
        }
        let look_up = |known: &KnownHosts| match authority {
            _ if !self.pinned.is_empty() => {
                known.look_up_pinned(host, key, authority, &self.pinned)
            }
            Some(authority) => known.look_up_certificate(host, key, authority),
            None => known.look_up(host, key),
        };
        let kind = self.read().and_then(|known| match look_up(&known) {
            LookUp::Trusted(kind) => Ok(Ok(kind)),
            LookUp::Unpinned => Ok(Err(HostKeyRefusal::Unpinned {
                host: written.clone(),
                shown: shown.clone(),
                kind: key.key_type(),
                pinned: self.pinned.clone(),
            })),
            LookUp::New => match self.new_hosts {
                NewHosts::Refuse | NewHosts::Ask => Ok(Err(HostKeyRefusal::New {
                    host: written.clone(),
                    shown: shown.clone(),
                })),
                NewHosts::Accept => self.add(host, key).map(|file| Ok(ProofKind::Added(file))),
            },
            LookUp::Changed(known) => Ok(Err(HostKeyRefusal::Changed {
                host: written.clone(),
                shown: shown.clone(),
                known,
            })),
            LookUp::Revoked(place, shown) => Ok(Err(HostKeyRefusal::Revoked {
                host: written.clone(),
                shown,
                place,
            })),
            LookUp::Uncertified(place) => Ok(Err(HostKeyRefusal::Uncertified {
                host: written.clone(),
                shown: shown.clone(),
                place,
            })),
        });
        match kind {
            Ok(Ok(kind)) => HostVerdict::Trusted(Proof { kind }),
            Ok(Err(refusal)) => HostVerdict::Refused(refusal),
            Err(source) => HostVerdict::Refused(HostKeyRefusal::Store {
                host: written,
                source,
            }),
        }
    }

    fn add(&self, host: &HostAddress, key: &PublicKey) -> Result<PathBuf, KnownHostsError> {
        let file = self.files.first().ok_or(KnownHostsError::NoFile)?;
        let name = host.written();
        match append::append(file, &name, self.names, key) {
            Ok(()) => Ok(file.clone()),
            Err(source) => Err(KnownHostsError::Write {
                file: file.clone(),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
