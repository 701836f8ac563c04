//! Reading a file whose words are obeyed: nobody else may have written them (security rules G105, G129).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// Why a file is not obeyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustedError {
    /// The system did not let us.
    #[error("cannot read it")]
    Read(#[from] io::Error),
    /// A pipe, a device or a folder.
    #[error("it is no regular file")]
    NotAFile,
    /// Somebody else's.
    #[error("it belongs to user {uid}; it has to belong to this user or to root")]
    Owner {
        /// Whose.
        uid: u32,
    },
    /// Others may change it.
    #[error("others may write to it (mode {mode:04o}): chmod go-w it")]
    Mode {
        /// The mode.
        mode: u32,
    },
    /// Longer than anybody writes.
    #[error("it is longer than {most} bytes")]
    Long {
        /// The limit.
        most: u64,
    },
}

/// Reads a regular file of ours or root's that nobody else may write to. Looked at and read by one handle, so
/// that what was looked at is what is read; a pipe in its place does not hold us up.
///
/// # Errors
///
/// See [`TrustedError`].
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, TrustedError> {
    read_with(OFlags::NONBLOCK, path, most)
}

/// The same for a file in the data directory, which is never a link (security rule G46).
///
/// # Errors
///
/// See [`TrustedError`].
pub(crate) fn read_own(path: &Path, most: u64) -> Result<Vec<u8>, TrustedError> {
    read_with(OFlags::NONBLOCK | OFlags::NOFOLLOW, path, most)
}

fn read_with(flags: OFlags, path: &Path, most: u64) -> Result<Vec<u8>, TrustedError> {
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(TrustedError::NotAFile);
    }
    if ![0, geteuid().as_raw()].contains(&found.uid()) {
        return Err(TrustedError::Owner { uid: found.uid() });
    }
    if found.mode() & 0o022 != 0 {
        let mode = found.mode() & 0o7777;
        return Err(TrustedError::Mode { mode });
    }
    whole(file, most)
}

fn whole(file: File, most: u64) -> Result<Vec<u8>, TrustedError> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= most => Ok(bytes),
        _ => Err(TrustedError::Long { most }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_others_may_write_to_a_pipe_and_a_long_one_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.yml");
        write(&path, "data: x\n").unwrap();
        let allow = |mode| set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        allow(0o644);
        assert_eq!(read(&path, 8).unwrap(), b"data: x\n");
        assert!(matches!(
            read(&path, 7),
            Err(TrustedError::Long { most: 7 })
        ));
        for mode in [0o664, 0o646] {
            allow(mode);
            assert!(matches!(read(&path, 8), Err(TrustedError::Mode { .. })));
        }
        assert!(matches!(
            read(folder.path(), 8),
            Err(TrustedError::NotAFile)
        ));
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(read(&pipe, 8), Err(TrustedError::NotAFile)));
    }
}
