//! The private keys that an agent logs in with.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_ssh::key::PublicKey;
use adit_ssh::key_file::{self, KeyFileError};
use adit_ssh::limits;
use adit_ssh::provider::Signer;
use zeroize::Zeroizing;

/// Why a key file gives no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read key file {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read the file; it may not be secret any more.
    #[error("key file {} can be read by others; run `chmod 600 {}`", .file.display(), .file.display())]
    Open {
        /// The file.
        file: PathBuf,
    },
    /// What is in the file is no key that can be used.
    #[error("cannot use key file {}", .file.display())]
    Parse {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: KeyFileError,
    },
    /// The file is encrypted, and nobody gave its passphrase.
    #[error(
        "key file {} is encrypted and its passphrase was not given; name a file that has it with \
         --passphrase-file, set ADIT_PASSPHRASE, or add the key to an ssh-agent",
        .file.display()
    )]
    Encrypted {
        /// The file.
        file: PathBuf,
    },
    /// The file is encrypted, and not with the passphrase that was given.
    #[error("passphrase is not that of key file {}", .file.display())]
    WrongPassphrase {
        /// The file.
        file: PathBuf,
    },
}

/// What a file that names a key gives.
#[derive(Debug)]
pub enum KeyFile {
    /// The key.
    Private(Arc<dyn Signer>),
    /// Its public half alone: the private one is in an ssh-agent or on a security key, or nowhere.
    Public(PublicKey),
    /// The key under a passphrase, with its public half if that can be read.
    Locked(Option<PublicKey>),
}

/// Reads a file that names a key: a private key, or the public half of one. Blocks on the file
/// system.
pub fn load(file: &Path) -> Result<KeyFile, KeyError> {
    let wrong = |source| {
        let file = file.to_owned();
        KeyError::Parse { file, source }
    };
    let bytes = match read_secret(file).map_err(|source| unreadable(file, source))? {
        Content::Secret(bytes) => bytes,
        Content::Public(key) => return Ok(KeyFile::Public(key)),
        Content::Open => {
            let file = file.to_owned();
            return Err(KeyError::Open { file });
        }
    };
    match key_file::parse(&bytes, None) {
        Ok(signer) => Ok(KeyFile::Private(signer)),
        Err(KeyFileError::NeedsPassphrase { .. }) => {
            let written = key_file::public_key(&bytes).ok();
            Ok(KeyFile::Locked(written.or_else(|| beside(file))))
        }
        Err(KeyFileError::SecurityKey) => key_file::public_key(&bytes)
            .map(KeyFile::Public)
            .map_err(wrong),
        Err(source) => Err(wrong(source)),
    }
}

/// Reads a private key file that is under a passphrase. Blocks on the file system, and for as long as
/// its key derivation takes.
pub fn unlock(file: &Path, passphrase: &[u8]) -> Result<Arc<dyn Signer>, KeyError> {
    let content = read_secret(file).map_err(|source| unreadable(file, source))?;
    let Content::Secret(bytes) = content else {
        let file = file.to_owned();
        return Err(KeyError::Open { file });
    };
    key_file::parse(&bytes, Some(passphrase)).map_err(|source| {
        let file = file.to_owned();
        if matches!(source, KeyFileError::WrongPassphrase { .. }) {
            KeyError::WrongPassphrase { file }
        } else {
            KeyError::Parse { file, source }
        }
    })
}

/// Reads a private key file. Blocks on the file system.
pub fn read(file: &Path) -> Result<Arc<dyn Signer>, KeyError> {
    let parse = |source| {
        let file = file.to_owned();
        KeyError::Parse { file, source }
    };
    match load(file)? {
        KeyFile::Private(signer) => Ok(signer),
        KeyFile::Public(_) => Err(parse(KeyFileError::PublicKey)),
        KeyFile::Locked(_) => {
            let file = file.to_owned();
            Err(KeyError::Encrypted { file })
        }
    }
}

/// The public half of the key that a file names, as the first two words of a `.pub` file. No passphrase is asked for.
/// Blocks on the file system.
///
/// # Errors
/// The file gives no key, or none whose public half can be read: then there is to be a `.pub` file beside it.
pub fn public_text(file: &Path) -> Result<String, KeyError> {
    match load(file)? {
        KeyFile::Private(signer) => Ok(signer.public_key().to_openssh_text()),
        KeyFile::Public(key) | KeyFile::Locked(Some(key)) => Ok(key.to_openssh_text()),
        KeyFile::Locked(None) => {
            let file = file.to_owned();
            Err(KeyError::Encrypted { file })
        }
    }
}

fn unreadable(file: &Path, source: io::Error) -> KeyError {
    let file = file.to_owned();
    KeyError::Read { file, source }
}

/// The public half that lies beside a private key file, as `ssh-keygen` writes it.
fn beside(file: &Path) -> Option<PublicKey> {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    let bytes = fs::read(name).ok()?;
    public_line(&bytes)
}

/// The key of a file that has one public key and nothing else.
fn public_line(bytes: &[u8]) -> Option<PublicKey> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let mut words = line.split_ascii_whitespace();
    let (name, base64) = (words.next()?, words.next()?);
    PublicKey::from_openssh_text(&format!("{name} {base64}")).ok()
}

/// What is in a file that should have a key.
enum Content {
    /// Bytes that nobody else can read, wiped when dropped.
    Secret(Zeroizing<Vec<u8>>),
    /// A public key, which anybody may read.
    Public(PublicKey),
    /// Anything else that others can read.
    Open,
}

/// The file's content. One byte over the limit is read, so that the parser sees that it is too large.
fn read_secret(file: &Path) -> io::Result<Content> {
    let opened = File::open(file)?;
    let is_open = is_open_to_others(&opened.metadata()?);
    let most = limits::KEY_FILE.saturating_add(1);
    // All at once, so that no reallocation leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    opened.take(most).read_to_end(&mut bytes)?;
    Ok(match public_line(&bytes) {
        Some(key) => Content::Public(key),
        None if is_open => Content::Open,
        None => Content::Secret(bytes),
    })
}

/// As ssh(1) judges: a file of ours may be read by us alone; another's is another's concern.
fn is_open_to_others(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::getuid().as_raw() && metadata.mode() & 0o077 != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(mode: u32, content: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        (directory, file)
    }

    fn key() -> String {
        let written = key_file::write_ed25519(&[7; 32], "a comment").unwrap();
        written.to_string()
    }

    #[test]
    fn a_key_of_ours_alone_is_read() {
        for mode in [0o600, 0o400] {
            let (_directory, file) = file(mode, &key());
            let signer = read(&file).unwrap();
            assert_eq!(signer.public_key().key_type().name(), "ssh-ed25519");
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let (_directory, file) = file(mode, &key());
            let error = read(&file).unwrap_err();
            assert!(matches!(error, KeyError::Open { .. }));
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn a_public_half_is_read_whoever_may_read_it() {
        let signer = key_file::parse(key().as_bytes(), None).unwrap();
        let public = signer.public_key();
        let line = format!("{} me@here\n", public.to_openssh_text());
        let (_directory, file) = file(0o644, &line);
        let KeyFile::Public(read) = load(&file).unwrap() else {
            panic!("no public key")
        };
        assert_eq!(read, *public);
        assert_eq!(public_text(&file).unwrap(), public.to_openssh_text());
        assert!(matches!(super::read(&file), Err(KeyError::Parse { .. })));
    }

    #[test]
    fn what_is_no_key_is_named() {
        let (_directory, file) = file(0o600, "hello");
        assert!(matches!(read(&file), Err(KeyError::Parse { .. })));
        let missing = file.with_file_name("missing");
        assert!(matches!(read(&missing), Err(KeyError::Read { .. })));
    }
}
