//! The data folder, which is nobody else's.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// Why a folder does not become the data folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It could not be made or looked at.
    #[error("the data folder {} cannot be used", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is a link or a file.
    #[error("{} is no folder; name one that may be adit's alone", path.display())]
    NoFolder {
        /// Which.
        path: PathBuf,
    },
    /// It is another user's.
    #[error(
        "the data folder {} belongs to user {owner}; run as that user, or name another folder", path.display()
    )]
    Foreign {
        /// Which.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
    /// Others can enter it, and there are files in it already.
    #[error(
        "others can enter the data folder {0} (mode {mode:o}), and it was not made by adit; say `chmod 700 {0}` if it \
         is to be adit's alone, or name another", path.display()
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Makes the data folder with mode 0700, or takes one that is fit for it: this user's, and closed to others. One
/// that is open to others is closed if it is empty, or if `known`, a file that adit keeps there, is in it; a
/// folder of other things is refused, so that a mistyped path closes no home and no `/tmp`.
pub fn make_folder(path: &Path, known: &OsStr) -> Result<(), FolderError> {
    let failed = |source| FolderError::Io {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        return Err(FolderError::NoFolder {
            path: path.to_owned(),
        });
    }
    if metadata.uid() != geteuid().as_raw() {
        return Err(FolderError::Foreign {
            path: path.to_owned(),
            owner: metadata.uid(),
        });
    }
    let mode = metadata.permissions().mode() & PERMISSIONS;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let mut entries = fs::read_dir(path).map_err(failed)?;
    if entries.next().is_some() && !path.join(known).exists() {
        return Err(FolderError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)).map_err(failed)
}

/// Makes the file empty with mode 0600 if it is not there, and closes it to others if it is. What SQLite makes
/// beside its file has the file's mode.
pub(crate) fn make_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)?;
    if file.metadata()?.permissions().mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(())
}

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const PERMISSIONS: u32 = 0o7777;
const OTHERS: u32 = 0o077;

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & PERMISSIONS
    }

    #[test]
    fn a_folder_is_made_for_its_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        make_folder(&path, OsStr::new("adit.db")).unwrap();
        assert_eq!(mode(&path), FOLDER_MODE);
        make_folder(&path, OsStr::new("adit.db")).unwrap();
    }

    #[test]
    fn an_empty_folder_is_closed_and_one_of_other_things_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        make_folder(&path, OsStr::new("adit.db")).unwrap();
        assert_eq!(mode(&path), FOLDER_MODE);

        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("thesis.txt"), "").unwrap();
        let error = make_folder(&path, OsStr::new("adit.db")).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        assert_eq!(mode(&path), 0o755);

        fs::write(path.join("adit.db"), "").unwrap();
        make_folder(&path, OsStr::new("adit.db")).unwrap();
        assert_eq!(mode(&path), FOLDER_MODE);
    }

    #[test]
    fn a_file_is_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(make_folder(&path, OsStr::new("adit.db")).is_err());
    }
}
