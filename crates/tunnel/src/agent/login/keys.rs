//! The private keys that an agent logs in with.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The file is encrypted.
    #[error(
        "key file {} is encrypted, and nobody is there to ask for its passphrase; use a key without \
         one for an agent",
        .file.display()
    )]
    Encrypted {
        /// The file.
        file: PathBuf,
    },
}

/// Reads a private key file. Blocks on the file system.
pub fn read(file: &Path) -> Result<Arc<dyn Signer>, KeyError> {
    let bytes = match read_secret(file) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let file = file.to_owned();
            return Err(KeyError::Open { file });
        }
        Err(source) => {
            let file = file.to_owned();
            return Err(KeyError::Read { file, source });
        }
    };
    key_file::parse(&bytes, None).map_err(|source| {
        let file = file.to_owned();
        if matches!(source, KeyFileError::NeedsPassphrase { .. }) {
            KeyError::Encrypted { file }
        } else {
            KeyError::Parse { file, source }
        }
    })
}

/// The file's bytes, wiped when dropped; `None` if others may read them. One byte over the limit is
/// read, so that the parser sees that it is too large.
fn read_secret(file: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let opened = File::open(file)?;
    if is_open_to_others(&opened.metadata()?) {
        return Ok(None);
    }
    let most = limits::KEY_FILE.saturating_add(1);
    // All at once, so that no reallocation leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    opened.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
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
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
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
    fn what_is_no_key_is_named() {
        let (_directory, file) = file(0o600, "hello");
        assert!(matches!(read(&file), Err(KeyError::Parse { .. })));
        let missing = file.with_file_name("missing");
        assert!(matches!(read(&missing), Err(KeyError::Read { .. })));
    }
}
