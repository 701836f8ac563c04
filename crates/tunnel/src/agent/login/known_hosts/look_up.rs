//! What known_hosts files say of a key.

use std::io;
use std::path::Path;
use std::sync::Arc;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::key::PublicKey;

use super::HostAddress;
use super::line::{Line, Marker};
use super::pin::PinnedKey;
use super::verdict::{KnownHostsError, KnownKey, Place, ProofKind};

/// All lines of some files that say something.
#[derive(Debug)]
pub struct KnownHosts {
    lines: Vec<(Place, Line)>,
}

/// What the files say about a key of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LookUp {
    Trusted(ProofKind),
    New,
    Changed(Vec<KnownKey>),
    Revoked(Place, String),
    Uncertified(Place),
    Unpinned,
}

/// Largest file that is read. A line has about 200 bytes, so this holds 80,000 hosts.
pub(super) const FILE_BYTES: u64 = 16 << 20;

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

    pub(super) fn look_up(&self, host: &HostAddress, key: &PublicKey) -> LookUp {
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

    pub(super) fn look_up_certificate(
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

    /// The same for a host whose keys are pinned: only what is revoked counts besides.
    pub(super) fn look_up_pinned(
        &self,
        host: &HostAddress,
        key: &PublicKey,
        authority: Option<&PublicKey>,
        pinned: &[PinnedKey],
    ) -> LookUp {
        let shown = || authority.into_iter().chain([key]);
        for one in shown() {
            if let Some(place) = self.revocation(host, one) {
                return LookUp::Revoked(place, show(one));
            }
        }
        let is_pinned =
            |one: &PublicKey| one.trust().is_ok() && pinned.iter().any(|pin| pin.is(one));
        if shown().any(is_pinned) {
            LookUp::Trusted(ProofKind::Pinned)
        } else {
            LookUp::Unpinned
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

    pub(super) fn order(
        &self,
        host: &HostAddress,
        preference: &[KeyAlgorithm],
    ) -> Vec<KeyAlgorithm> {
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

/// Type and fingerprint, as people compare them.
pub(super) fn show(key: &PublicKey) -> String {
    format!("{} {}", key.key_type(), key.fingerprint())
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
