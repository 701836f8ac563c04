//! Whether a host's key is the one it is known by: OpenSSH's known_hosts files, read and matched by
//! ourselves.
//!
//! What is written there decides, and an error never accepts: a file that cannot be read, or a line
//! with a marker that cannot be understood, refuses every key. A known host that shows another key
//! is refused, also when the new key is of a type that it was never known by (an attacker chooses
//! the type). A revoked key is refused whatever else is written. A host that a certificate authority
//! vouches for is not new when it shows a key without a certificate.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::key::{Fingerprint, PublicKey};

use self::line::{Line, LineKey, Marker};

mod append;
mod line;

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
}

/// What to do about a host that is known by no key (`StrictHostKeyChecking`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewHosts {
    /// Refuse it: `yes`.
    Refuse,
    /// Write its key down and trust it from here on: `accept-new`.
    Accept,
}

/// How host names are written down (`HashKnownHosts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameForm {
    /// As they are: OpenSSH's default.
    Plain,
    /// Hashed, so that a stolen file does not tell where its owner goes.
    Hashed,
}

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
    kind: ProofKind,
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
        "host {host} is not known; it shows {shown}. Compare this with the host's own, then write it \
         down with `ssh-keyscan`, or use StrictHostKeyChecking=accept-new"
    )]
    New {
        /// The host.
        host: String,
        /// Type and fingerprint of the key it shows.
        shown: String,
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
    #[error("cannot write {}", .file.display())]
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

/// Text that is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("host name is empty, too long or has a character that no host name has")]
pub struct HostAddressError;

/// All lines of some files that say something.
#[derive(Debug)]
pub struct KnownHosts {
    lines: Vec<(Place, Line)>,
}

/// Largest file that is read. A line has about 200 bytes, so this holds 80,000 hosts.
const FILE_BYTES: u64 = 16 << 20;
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
        self.judge(host, key, |known| known.look_up(host, key))
    }

    /// The same for a host certificate that has been checked (signature, time, principals):
    /// `key` is the certified key and `authority` the one that signed.
    pub fn verify_certificate(
        &self,
        host: &HostAddress,
        key: &PublicKey,
        authority: &PublicKey,
    ) -> HostVerdict {
        self.judge(host, key, |known| {
            known.look_up_certificate(host, key, authority)
        })
    }

    /// The order in which to ask `host` for its key: as given, but where no key of the first type
    /// is known and others are, those first. So a host known by one key shows that one, and an
    /// onlooker learns what is known only when it must be told (CVE-2020-14145).
    pub fn order(
        &self,
        host: &HostAddress,
        preference: &[KeyAlgorithm],
    ) -> Result<Vec<KeyAlgorithm>, KnownHostsError> {
        Ok(self.read()?.order(host, preference))
    }

    /// All files as they are now.
    pub fn read(&self) -> Result<KnownHosts, KnownHostsError> {
        KnownHosts::read(self.files.iter().chain(&self.global_files))
    }

    fn judge(
        &self,
        host: &HostAddress,
        key: &PublicKey,
        look_up: impl FnOnce(&KnownHosts) -> LookUp,
    ) -> HostVerdict {
        let written = host.written();
        let shown = show(key);
        if key.trust().is_err() {
            let host = written;
            return HostVerdict::Refused(HostKeyRefusal::Weak { host, shown });
        }
        let kind = self.read().and_then(|known| match look_up(&known) {
            LookUp::Trusted(kind) => Ok(Ok(kind)),
            LookUp::New => match self.new_hosts {
                NewHosts::Refuse => Ok(Err(HostKeyRefusal::New {
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

/// What the files say about a key of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LookUp {
    Trusted(ProofKind),
    New,
    Changed(Vec<KnownKey>),
    Revoked(Place, String),
    Uncertified(Place),
}

impl KnownHosts {
    /// Reads files in order. One that is not there is empty.
    pub fn read<P: AsRef<Path>>(
        files: impl IntoIterator<Item = P>,
    ) -> Result<Self, KnownHostsError> {
        let mut lines = Vec::new();
        for file in files {
            let file = file.as_ref();
            let bytes = match read_up_to(file) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    let file = file.to_owned();
                    return Err(KnownHostsError::Large { file });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => {
                    let file = file.to_owned();
                    return Err(KnownHostsError::Read { file, source });
                }
            };
            parse(&Arc::from(file), &bytes, &mut lines)?;
        }
        Ok(Self { lines })
    }

    /// The lines of one file that was read already; `file` is its name in messages.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, KnownHostsError> {
        let mut lines = Vec::new();
        parse(&Arc::from(file), bytes, &mut lines)?;
        Ok(Self { lines })
    }

    /// The lines about `host`, whatever they say of it.
    pub fn places(&self, host: &HostAddress) -> Vec<Place> {
        let written = host.written();
        let lines = self.about(&written);
        lines.map(|(place, _)| place.clone()).collect()
    }

    fn about(&self, written: &str) -> impl Iterator<Item = &(Place, Line)> {
        self.lines
            .iter()
            .filter(move |(_, line)| line.names.matches(written))
    }

    fn look_up(&self, host: &HostAddress, key: &PublicKey) -> LookUp {
        if let Some(place) = self.revocation(host, key) {
            return LookUp::Revoked(place, show(key));
        }
        let written = host.written();
        let mut known = Vec::new();
        let mut authority = None;
        for (place, line) in self.about(&written) {
            match line.marker {
                Marker::Host if line.key.is(key) => {
                    return LookUp::Trusted(ProofKind::Known(place.clone()));
                }
                Marker::Host => known.push(KnownKey {
                    place: place.clone(),
                    key: line.key.show(),
                }),
                Marker::Authority => authority = Some(place),
                Marker::Revoked => {}
            }
        }
        if !known.is_empty() {
            return LookUp::Changed(known);
        }
        // Like ssh(1): the same key at the host's port 22 is the host's.
        for (place, line) in self.about(&host.name) {
            if line.marker == Marker::Host && line.key.is(key) {
                return LookUp::Trusted(ProofKind::Known(place.clone()));
            }
        }
        match authority {
            Some(place) => LookUp::Uncertified(place.clone()),
            None => LookUp::New,
        }
    }

    fn look_up_certificate(
        &self,
        host: &HostAddress,
        key: &PublicKey,
        authority: &PublicKey,
    ) -> LookUp {
        for signer_or_key in [authority, key] {
            if let Some(place) = self.revocation(host, signer_or_key) {
                return LookUp::Revoked(place, show(signer_or_key));
            }
        }
        let written = host.written();
        let trusted = self
            .about(&written)
            .find(|(_, line)| line.marker == Marker::Authority && line.key.is(authority));
        match trusted {
            Some((place, _)) if authority.trust().is_ok() => {
                LookUp::Trusted(ProofKind::Authority(place.clone()))
            }
            // A certificate of a stranger is worth what its key is worth alone.
            Some(_) | None => self.look_up(host, key),
        }
    }

    /// Where the key is revoked for the host, at its own port or at any.
    fn revocation(&self, host: &HostAddress, key: &PublicKey) -> Option<Place> {
        let written = host.written();
        let is_revocation =
            |(_, line): &&(Place, Line)| line.marker == Marker::Revoked && line.key.is(key);
        self.about(&written)
            .chain(self.about(&host.name))
            .find(is_revocation)
            .map(|(place, _)| place.clone())
    }

    fn order(&self, host: &HostAddress, preference: &[KeyAlgorithm]) -> Vec<KeyAlgorithm> {
        let written = host.written();
        let knows = |algorithm: &KeyAlgorithm| {
            let mut lines = self.about(&written);
            if algorithm.is_certificate() {
                lines.any(|(_, line)| line.marker == Marker::Authority)
            } else {
                lines.any(|(_, line)| {
                    line.marker == Marker::Host && line.key.kind() == Some(algorithm.blob_type())
                })
            }
        };
        if preference.first().is_none_or(knows) {
            return preference.to_vec();
        }
        let (mut first, last): (Vec<_>, Vec<_>) = preference.iter().partition(|one| knows(one));
        first.extend(last);
        first
    }
}

impl LineKey {
    fn is(&self, key: &PublicKey) -> bool {
        match self {
            Self::Blob { blob, .. } => blob == key.blob(),
            Self::Unreadable => false,
        }
    }

    fn kind(&self) -> Option<&str> {
        match self {
            Self::Blob { kind, .. } => Some(kind),
            Self::Unreadable => None,
        }
    }

    fn show(&self) -> Option<(String, Fingerprint)> {
        match self {
            Self::Blob { kind, blob } => Some((kind.clone(), Fingerprint::of(blob))),
            Self::Unreadable => None,
        }
    }
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

/// Type and fingerprint, as people compare them.
fn show(key: &PublicKey) -> String {
    format!("{} {}", key.key_type(), key.fingerprint())
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

/// The file's bytes; `None` if there are too many.
fn read_up_to(file: &Path) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file)?;
    opened.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    let is_small = u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_BYTES);
    Ok(is_small.then_some(bytes))
}

fn parse(
    file: &Arc<Path>,
    bytes: &[u8],
    lines: &mut Vec<(Place, Line)>,
) -> Result<(), KnownHostsError> {
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let place = Place {
            file: Arc::clone(file),
            line,
        };
        match Line::parse(bytes) {
            Ok(Some(line)) => lines.push((place, line)),
            Ok(None) => {}
            Err(error) => {
                let reason = error.reason();
                return Err(KnownHostsError::Line { place, reason });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
