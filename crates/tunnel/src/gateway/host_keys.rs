//! The host keys of a gateway: a folder of private key files, as sshd has them in `/etc/ssh`.
//!
//! One of each kind is made where it is missing: Ed25519, and RSA for clients that know nothing newer. Whatever
//! else is there by a name of the form `ssh_host_*_key` is a host key too: it is announced to clients that log
//! in, so that they know it before it comes into use (`UpdateHostKeys` of OpenSSH). A certificate beside a key
//! (`…_key-cert.pub`) is shown to clients that ask for one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
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

/// The host keys of a gateway, best first.
#[derive(Debug, Clone)]
pub struct HostKeys {
    keys: Arc<[HostKey]>,
    public: Vec<PublicKey>,
    algorithms: Vec<KeyAlgorithm>,
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
}

/// The keys that are made where they are missing, best first, by the names that sshd gives them.
const MADE: [&str; 2] = ["ssh_host_ed25519_key", "ssh_host_rsa_key"];

impl HostKeys {
    /// For clients: the keys and their certificates, best first.
    pub fn keys(&self) -> Arc<[HostKey]> {
        Arc::clone(&self.keys)
    }

    /// The public halves, best first: for people, whose fingerprints they compare.
    pub fn public(&self) -> &[PublicKey] {
        &self.public
    }

    /// The algorithms that they can do, best first.
    pub fn algorithms(&self) -> &[KeyAlgorithm] {
        &self.algorithms
    }

    /// Of keys that are in memory alone.
    pub fn of(signers: &[Arc<dyn Signer>]) -> Self {
        signers.iter().fold(Self::none(), |mut all, signer| {
            all.add(signer, None);
            all
        })
    }

    fn none() -> Self {
        Self {
            keys: Arc::new([]),
            public: Vec::new(),
            algorithms: Vec::new(),
        }
    }

    fn add(&mut self, signer: &Arc<dyn Signer>, certificate: Option<&Certificate>) {
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
        self.keys = keys.into();
    }
}

/// Reads the host keys in that folder, after making it and what is missing there. The folder gets mode
/// 0700, each key 0600. Blocks: an RSA key takes a second or so to make, once.
///
/// # Errors
/// See [`HostKeysError`].
pub fn load_or_make(folder: &Path) -> Result<HostKeys, HostKeysError> {
    make_folder(folder).map_err(|source| HostKeysError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    let [ed25519, rsa] = MADE.map(|name| folder.join(name));
    if !ed25519.try_exists().unwrap_or(true) {
        let new = sign::generate_ed25519().map_err(HostKeysError::Make)?;
        let text = key_file::write_ed25519(new.seed.expose(), COMMENT);
        let text = text.map_err(|source| HostKeysError::Key {
            path: ed25519.clone(),
            source,
        })?;
        keep(&ed25519, &text, new.signer.public_key())?;
    }
    if !rsa.try_exists().unwrap_or(true) {
        let new = sign::generate_rsa().map_err(HostKeysError::Make)?;
        keep(&rsa, &new.pem, new.signer.public_key())?;
    }
    let mut all = HostKeys::none();
    for path in list(folder)? {
        let signer = read(&path)?;
        let certificate = certificate_beside(&path, signer.public_key())?;
        all.add(&signer, certificate.as_ref());
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

/// The host keys of the folder: those of sshd's names first, in their order, then all others by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>, HostKeysError> {
    let failed = |source| HostKeysError::Folder {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with("ssh_host_") && name.ends_with("_key") {
            let rank = MADE.iter().position(|made| *made == name);
            names.push((rank.unwrap_or(MADE.len()), name.to_owned()));
        }
    }
    names.sort();
    Ok(names
        .into_iter()
        .take(limits::HOSTKEYS_PROVE)
        .map(|(_, name)| folder.join(name))
        .collect())
}

/// Writes a key and, beside it, its public half.
fn keep(path: &Path, private: &str, key: &PublicKey) -> Result<(), HostKeysError> {
    let public = format!("{} {COMMENT}\n", key.to_openssh_text());
    let mut public_path = path.as_os_str().to_owned();
    public_path.push(".pub");
    write(Path::new(&public_path), public.as_bytes())?;
    write(path, private.as_bytes())
}

/// Writes a file whole or not at all, for its owner's eyes.
fn write(path: &Path, content: &[u8]) -> Result<(), HostKeysError> {
    let mut half = path.as_os_str().to_owned();
    half.push(".new");
    let half = PathBuf::from(half);
    let written = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
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

fn read(path: &Path) -> Result<Arc<dyn Signer>, HostKeysError> {
    let failed = |source| HostKeysError::File {
        path: path.to_owned(),
        source,
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(HostKeysError::Exposed { path, mode });
        }
    }
    let text = Zeroizing::new(fs::read(path).map_err(failed)?);
    key_file::parse(&text, None).map_err(|source| HostKeysError::Key {
        path: path.to_owned(),
        source,
    })
}

/// The certificate in the file beside a key, if there is one.
fn certificate_beside(path: &Path, key: &PublicKey) -> Result<Option<Certificate>, HostKeysError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-cert.pub");
    let beside = PathBuf::from(beside);
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
        assert_eq!(names, ["ssh-ed25519", "ssh-rsa"], "best first");
        let names: Vec<_> = (made.algorithms().iter()).map(|one| one.name()).collect();
        assert_eq!(names, ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]);
        assert_eq!(mode(&folder), 0o700);
        let mut seen = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
            seen += 1;
        }
        assert_eq!(seen, 4);
        assert_eq!(load_or_make(&folder).unwrap().public(), made.public());
        // One more, to come into use some day.
        let next = folder.join("ssh_host_ed25519_2027_key");
        let text = key_file::write_ed25519(&[7; 32], "next").unwrap();
        write(&next, text.as_bytes()).unwrap();
        let more = load_or_make(&folder).unwrap();
        assert_eq!(more.public().get(..2), made.public().get(..2));
        assert_eq!(more.public().len(), 3);
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
}
