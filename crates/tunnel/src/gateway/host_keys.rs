//! The host keys of a gateway: a folder of private key files, as sshd has them in `/etc/ssh`.
//!
//! Two of each kind are made where they are missing: Ed25519, and RSA for clients that know nothing newer. One is
//! active, and the next is announced beside it from the first day, so that clients that log in know it before
//! [`rotate`](rotate()) puts it in the active one's place (`UpdateHostKeys` of OpenSSH; security rule G45). Whatever else is
//! there by a name of the form `ssh_host_*_key` is announced too. A certificate beside a key (`…_key-cert.pub`) is
//! shown to clients that ask for one.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::certificate::{Certificate, CertificateKind};
use adit_ssh::kex::HostKey;
use adit_ssh::key::PublicKey;
use adit_ssh::key_file::{self, KeyFileError};
use adit_ssh::limits;
use adit_ssh::provider::aws_lc::sign;
use adit_ssh::provider::{CryptoError, Signer};
use zeroize::Zeroizing;

pub use self::rotate::{Listed, list, rotate};

mod rotate;

/// The host keys of a gateway, best first.
#[derive(Debug, Clone)]
pub struct HostKeys {
    keys: Arc<[HostKey]>,
    public: Vec<PublicKey>,
    standings: Vec<Standing>,
    algorithms: Vec<KeyAlgorithm>,
}

/// What a host key is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Clients are shown it, and have it proved, at every login.
    Active,
    /// Clients are told of it, and are shown it once it is the active one.
    Next,
    /// Clients are told of it: one that an operator put there.
    Announced,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Next => "next",
            Self::Announced => "announced",
        })
    }
}

/// Why there are no host keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeysError {
    /// The folder cannot be made, or not be listed.
    #[error("folder of host keys {} cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("host key {} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could read a private key, and may have.
    #[error("host key {} can be read by others (mode {mode:04o}): if nobody has, chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is in the file is no key, or needs a passphrase.
    #[error("host key {} is no key that can be used", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyFileError,
    },
    /// A certificate that does not belong to the key beside it, or is none of a host.
    #[error("{} is no host certificate of the key beside it", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
    },
    /// No key could be made.
    #[error("a host key could not be made")]
    Make(#[source] CryptoError),
    /// A key that was made could not be written as text.
    #[error("a host key that was made could not be written as text")]
    Write(#[source] KeyFileError),
}

/// A kind of key that is made where it is missing.
struct Kind {
    /// The file of the active one, by the name that sshd gives it.
    active: &'static str,
    /// The file of the one after it.
    next: &'static str,
    make: fn() -> Result<Made, HostKeysError>,
}

/// A key that was just made: its file, and its public half.
struct Made {
    private: Zeroizing<String>,
    public: PublicKey,
}

/// The kinds that are made, best first.
const KINDS: [Kind; 2] = [
    Kind {
        active: "ssh_host_ed25519_key",
        next: "ssh_host_ed25519_next_key",
        make: make_ed25519,
    },
    Kind {
        active: "ssh_host_rsa_key",
        next: "ssh_host_rsa_next_key",
        make: make_rsa,
    },
];

fn make_ed25519() -> Result<Made, HostKeysError> {
    let new = sign::generate_ed25519().map_err(HostKeysError::Make)?;
    let private = key_file::write_ed25519(new.seed.expose(), COMMENT);
    Ok(Made {
        private: private.map_err(HostKeysError::Write)?,
        public: new.signer.public_key().clone(),
    })
}

fn make_rsa() -> Result<Made, HostKeysError> {
    let new = sign::generate_rsa().map_err(HostKeysError::Make)?;
    Ok(Made {
        private: new.pem,
        public: new.signer.public_key().clone(),
    })
}

impl HostKeys {
    /// For clients: the keys and their certificates, best first.
    pub fn keys(&self) -> Arc<[HostKey]> {
        Arc::clone(&self.keys)
    }

    /// The public halves, best first: for people, whose fingerprints they compare.
    pub fn public(&self) -> &[PublicKey] {
        &self.public
    }

    /// The same, with what each is there for.
    pub fn standings(&self) -> impl Iterator<Item = (&PublicKey, Standing)> {
        self.public.iter().zip(self.standings.iter().copied())
    }

    /// The algorithms that they can do, best first.
    pub fn algorithms(&self) -> &[KeyAlgorithm] {
        &self.algorithms
    }

    /// Of keys that are in memory alone.
    pub fn of(signers: &[Arc<dyn Signer>]) -> Self {
        signers.iter().fold(Self::none(), |mut all, signer| {
            all.add(signer, None, Standing::Announced);
            all
        })
    }

    fn none() -> Self {
        Self {
            keys: Arc::new([]),
            public: Vec::new(),
            standings: Vec::new(),
            algorithms: Vec::new(),
        }
    }

    /// One more. The first of its kind is the active one, unless it is to be that later.
    fn add(
        &mut self,
        signer: &Arc<dyn Signer>,
        certificate: Option<&Certificate>,
        standing: Standing,
    ) {
        let kind = signer.public_key().key_type();
        let is_first = !self.public.iter().any(|key| key.key_type() == kind);
        let mut keys = self.keys.to_vec();
        let mut algorithms = Vec::new();
        if let Some(certificate) = certificate {
            let blob = certificate.blob().to_vec();
            keys.push(HostKey::certified(blob, Arc::clone(signer)));
            algorithms.extend_from_slice(certificate.key_algorithms());
        }
        keys.push(HostKey::plain(Arc::clone(signer)));
        algorithms.extend_from_slice(signer.public_key().key_type().key_algorithms());
        algorithms.retain(|algorithm| !self.algorithms.contains(algorithm));
        self.algorithms.extend(algorithms);
        self.public.push(signer.public_key().clone());
        self.standings
            .push(if is_first { Standing::Active } else { standing });
        self.keys = keys.into();
    }
}

/// Reads the host keys in that folder, after making it and what is missing there. The folder gets mode
/// 0700, each key 0600. Blocks: RSA keys take a second or so to make, once.
///
/// # Errors
/// See [`HostKeysError`].
pub fn load_or_make(folder: &Path) -> Result<HostKeys, HostKeysError> {
    make_folder(folder).map_err(|source| HostKeysError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    for kind in &KINDS {
        for name in [kind.active, kind.next] {
            let path = folder.join(name);
            if !path.try_exists().unwrap_or(true) {
                keep(&path, &(kind.make)()?)?;
            }
        }
    }
    let mut all = HostKeys::none();
    for (path, standing) in files(folder)? {
        let signer = read(&path)?;
        let certificate = certificate_beside(&path, signer.public_key())?;
        all.add(&signer, certificate.as_ref(), standing);
    }
    Ok(all)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The host keys of the folder: the active ones first, then the next, then all others by name.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Standing)>, HostKeysError> {
    let failed = |source| HostKeysError::Folder {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("ssh_host_") || !name.ends_with("_key") {
            continue;
        }
        let (rank, standing) = if let Some(at) = KINDS.iter().position(|it| it.active == name) {
            (at, Standing::Active)
        } else if let Some(at) = KINDS.iter().position(|it| it.next == name) {
            (KINDS.len().saturating_add(at), Standing::Next)
        } else {
            (usize::MAX, Standing::Announced)
        };
        found.push((rank, folder.join(name), standing));
    }
    found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let found = found.into_iter().take(limits::HOSTKEYS_PROVE);
    Ok(found.map(|(_, path, standing)| (path, standing)).collect())
}

/// Writes a key and, beside it, its public half.
fn keep(path: &Path, made: &Made) -> Result<(), HostKeysError> {
    keep_public(path, &made.public)?;
    write(path, made.private.as_bytes())
}

fn keep_public(path: &Path, key: &PublicKey) -> Result<(), HostKeysError> {
    let text = format!("{} {COMMENT}\n", key.to_openssh_text());
    write(&beside(path, ".pub"), text.as_bytes())
}

/// The file whose name goes on so.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Writes a file whole or not at all, for its owner's eyes.
fn write(path: &Path, content: &[u8]) -> Result<(), HostKeysError> {
    let half = beside(path, ".new");
    let written = || {
        match fs::remove_file(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        // A new file, which is never where a link leads.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&half)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&half, path)
    };
    written().map_err(|source| HostKeysError::File {
        path: path.to_owned(),
        source,
    })
}

/// Reads a private key of this folder: what is looked at is what is read, and that is no link (security rule G46).
fn read(path: &Path) -> Result<Arc<dyn Signer>, HostKeysError> {
    let failed = |source| HostKeysError::File {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    let file = options.open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(HostKeysError::Exposed { path, mode });
        }
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(KEY_BYTES)
        .read_to_end(&mut text)
        .map_err(failed)?;
    key_file::parse(&text, None).map_err(|source| HostKeysError::Key {
        path: path.to_owned(),
        source,
    })
}

/// The certificate in the file beside a key, if there is one.
fn certificate_beside(path: &Path, key: &PublicKey) -> Result<Option<Certificate>, HostKeysError> {
    let beside = beside(path, CERTIFICATE);
    let text = match fs::read_to_string(&beside) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(HostKeysError::File {
                path: beside,
                source,
            });
        }
    };
    // What stands behind the type and the blob is a comment.
    let words: Vec<&str> = text.split_ascii_whitespace().take(2).collect();
    Certificate::from_openssh_text(&words.join(" "))
        .ok()
        .filter(|certificate| {
            certificate.key() == key && certificate.kind() == CertificateKind::Host
        })
        .map(Some)
        .ok_or(HostKeysError::Certificate { path: beside })
}

/// Longest file with a key; one of RSA with 16,384 bits has a fifth of it.
const KEY_BYTES: u64 = 65_536;
/// What the name of a key's certificate ends in.
const CERTIFICATE: &str = "-cert.pub";
/// What stands behind the keys that are made here.
const COMMENT: &str = "adit host key";

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn keys_are_made_once_for_their_owner_alone_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("data/ssh");
        let made = load_or_make(&folder).unwrap();
        let names: Vec<_> = (made.public().iter())
            .map(|key| key.key_type().name())
            .collect();
        assert_eq!(
            names,
            ["ssh-ed25519", "ssh-rsa", "ssh-ed25519", "ssh-rsa"],
            "best first, and then those to come"
        );
        let names: Vec<_> = (made.algorithms().iter()).map(|one| one.name()).collect();
        assert_eq!(names, ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]);
        assert_eq!(mode(&folder), 0o700);
        let mut seen = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
            seen += 1;
        }
        assert_eq!(seen, 8);
        assert_eq!(load_or_make(&folder).unwrap().public(), made.public());
        // One more, to come into use some day.
        let next = folder.join("ssh_host_ed25519_2027_key");
        let text = key_file::write_ed25519(&[7; 32], "next").unwrap();
        write(&next, text.as_bytes()).unwrap();
        let more = load_or_make(&folder).unwrap();
        assert_eq!(more.public().get(..4), made.public().get(..4));
        let standings: Vec<_> = more.standings().map(|(_, standing)| standing).collect();
        let expected = [
            Standing::Active,
            Standing::Active,
            Standing::Next,
            Standing::Next,
            Standing::Announced,
        ];
        assert_eq!(standings, expected);
        fs::set_permissions(&next, PermissionsExt::from_mode(0o640)).unwrap();
        let error = load_or_make(&folder).unwrap_err();
        assert!(
            matches!(error, HostKeysError::Exposed { mode: 0o640, .. }),
            "{error}"
        );
        fs::set_permissions(&next, PermissionsExt::from_mode(0o600)).unwrap();
        let certificate = folder.join("ssh_host_ed25519_key-cert.pub");
        write(&certificate, b"ssh-ed25519-cert-v01@openssh.com AAAA").unwrap();
        let error = load_or_make(&folder).unwrap_err();
        assert!(
            matches!(error, HostKeysError::Certificate { .. }),
            "{error}"
        );
    }

    #[test]
    fn g46_a_link_in_the_place_of_a_host_key_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (elsewhere, folder) = (folder.path().join("elsewhere"), folder.path().join("ssh"));
        load_or_make(&folder).unwrap();
        let key = folder.join("ssh_host_ed25519_key");
        fs::rename(&key, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
        let error = load_or_make(&folder).unwrap_err();
        assert!(matches!(error, HostKeysError::File { .. }), "{error}");
        // Nor is anything written where a link in the place of an unfinished file leads.
        let kept = fs::read(&elsewhere).unwrap();
        fs::remove_file(&key).unwrap();
        std::os::unix::fs::symlink(&elsewhere, beside(&key, ".new")).unwrap();
        load_or_make(&folder).unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), kept);
    }
}
