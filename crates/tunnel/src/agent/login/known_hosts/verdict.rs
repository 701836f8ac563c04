//! What is found about a host key, and how it is told.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_ssh::key::{Fingerprint, KeyType};

use super::look_up::FILE_BYTES;
use super::pin::PinnedKey;

/// The last word about a host key. There is no third way, no default and no conversion from errors.
#[derive(Debug)]
#[must_use = "a key must be refused when this says so"]
pub enum HostVerdict {
    /// Go on.
    Trusted(Proof),
    /// Hang up.
    Refused(HostKeyRefusal),
}

/// That a host key was found trustworthy, and how. Made here alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub(super) kind: ProofKind,
}

/// How a host key came to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofKind {
    /// It is written there.
    Known(Place),
    /// Its certificate's authority is written there.
    Authority(Place),
    /// The host was new; its key has just been written there.
    Added(PathBuf),
    /// It is one of those that were pinned.
    Pinned,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
}

/// A key by which a host is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Where it is written.
    pub place: Place,
    /// Type and fingerprint; `None` if it cannot be read.
    pub key: Option<(String, Fingerprint)>,
}

/// Why a host key is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeyRefusal {
    /// The host is known by other keys.
    #[error(
        "host key of {host} has changed: it shows {shown}, but is known by {}; somebody may be \
         listening in. If the host really has a new key, remove the old one with `ssh-keygen -R \
         '{host}' -f {}`",
        list(known),
        file(known)
    )]
    Changed {
        /// The host.
        host: String,
        /// Type and fingerprint of the key it shows.
        shown: String,
        /// The keys it is known by.
        known: Vec<KnownKey>,
    },
    /// The key, or the authority of its certificate, is marked as revoked.
    #[error("host key of {host} is revoked: {shown}, see {place}")]
    Revoked {
        /// The host.
        host: String,
        /// Type and fingerprint of the revoked key.
        shown: String,
        /// Where that is written.
        place: Place,
    },
    /// The host shows a plain key where a certificate is wanted.
    #[error(
        "host {host} shows the plain key {shown}, but {place} says that an authority certifies its \
         keys; write the key down by hand if that is right"
    )]
    Uncertified {
        /// The host.
        host: String,
        /// Type and fingerprint of the key it shows.
        shown: String,
        /// The authority's line.
        place: Place,
    },
    /// The host is not known, and new hosts are not to be trusted.
    #[error(
        "host {host} is not known; it shows {shown}. Compare this with the host's own, then trust it \
         with `adit trust`, or use StrictHostKeyChecking=accept-new"
    )]
    New {
        /// The host.
        host: String,
        /// Type and fingerprint of the key it shows.
        shown: String,
    },
    /// The host shows none of the keys that are pinned for it.
    #[error(
        "host {host} does not have the pinned key: it shows {shown}, but {} is pinned; somebody may be \
         listening in. If the host really has a new key, pin that",
        any_of(pinned)
    )]
    Unpinned {
        /// The host.
        host: String,
        /// Types and fingerprints of the keys it shows.
        shown: String,
        /// The type of the last of them.
        kind: KeyType,
        /// The keys that are pinned.
        pinned: Vec<PinnedKey>,
    },
    /// Signatures under the key mean nothing, whoever it belongs to.
    #[error("host key of {host} is weak: {shown}")]
    Weak {
        /// The host.
        host: String,
        /// Type and fingerprint of the key it shows.
        shown: String,
    },
    /// The files cannot be used.
    #[error("host key of {host} cannot be checked")]
    Store {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: KnownHostsError,
    },
}

/// Why known_hosts files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownHostsError {
    /// A file is there and cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any honest one.
    #[error("{} is larger than {FILE_BYTES} bytes", .file.display())]
    Large {
        /// The file.
        file: PathBuf,
    },
    /// A line with a marker cannot be understood, and it may be what revokes the key at hand.
    #[error("{place}: {reason}")]
    Line {
        /// The line.
        place: Place,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A new host cannot be written down.
    #[error(
        "cannot write {}, where a new host is remembered: let it be written, or pin the host's key (host_key: in a file, \
         or ADIT_HOST_KEY)",
        .file.display()
    )]
    Write {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no file to write a new host to.
    #[error("no known_hosts file is set")]
    NoFile,
}

impl Proof {
    /// How the key came to be trusted.
    pub const fn kind(&self) -> &ProofKind {
        &self.kind
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ProofKind::Known(place) => write!(f, "known from {place}"),
            ProofKind::Authority(place) => write!(f, "certified by the authority of {place}"),
            ProofKind::Added(file) => write!(f, "new, now written to {}", file.display()),
            ProofKind::Pinned => f.write_str("pinned"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl fmt::Display for KnownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some((kind, fingerprint)) => write!(f, "{kind} {fingerprint} ({})", self.place),
            None => write!(f, "a key that cannot be read ({})", self.place),
        }
    }
}

fn any_of(pinned: &[PinnedKey]) -> String {
    let pinned: Vec<String> = pinned.iter().map(ToString::to_string).collect();
    pinned.join(" or ")
}

fn list(known: &[KnownKey]) -> String {
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    known.join(", ")
}

fn file(known: &[KnownKey]) -> String {
    known
        .first()
        .map_or_else(String::new, |known| known.place.file.display().to_string())
}
