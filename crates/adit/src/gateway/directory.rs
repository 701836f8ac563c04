//! The data directory: this user's alone, and one gateway's at a time (security rules G101, G120).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{geteuid, umask};

/// The data directory of a gateway.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
}

/// Held for as long as nobody else may change what is in a data directory.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataDirectory {
    /// That directory, made if it is not there. Everything that this process makes from now on is this
    /// user's alone.
    ///
    /// # Errors
    ///
    /// It cannot be made, or others can enter it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        umask(rustix::fs::Mode::from_raw_mode(0o077));
        let shown = path.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the data directory {shown}"))?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot use the data directory {shown}"))?;
        let found = path.metadata()?;
        let (uid, us) = (found.uid(), geteuid().as_raw());
        ensure!(
            uid == us,
            "the data directory {shown} belongs to user {uid}, and this is user {us}: run adit as its owner"
        );
        let mode = found.mode() & 0o7777;
        let others = mode & 0o077;
        ensure!(
            others == 0,
            "others can enter the data directory {shown} (mode {mode:04o}): chmod 700 {shown}"
        );
        let directory = Self { path };
        let sockets = directory.sockets();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&sockets)
            .with_context(|| format!("cannot make {}", sockets.display()))?;
        Ok(directory)
    }

    /// That directory as it is, to ask the gateway that runs with it: nothing is made, and root asks as well as its
    /// owner.
    ///
    /// # Errors
    ///
    /// It is not there, or its owner alone can see.
    pub(crate) fn found(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        match path.canonicalize() {
            Ok(path) => Ok(Self { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "there is no gateway's data directory {shown}: is it another one? adit serve and adit user add make it"
            ),
            Err(error) => {
                Err(error).with_context(|| format!("cannot use the data directory {shown}"))
            }
        }
    }

    /// Locks it against other gateways and commands. The system gives the lock back when this process ends,
    /// however it ends.
    ///
    /// # Errors
    ///
    /// A gateway has it.
    pub(crate) fn lock(&self) -> anyhow::Result<DataLock> {
        match self.try_lock()? {
            Some(lock) => Ok(lock),
            None => bail!(
                "a gateway runs with {} already: end it first, or give this one a directory of its own",
                self.path.display()
            ),
        }
    }

    /// Locks it, unless somebody else has.
    ///
    /// # Errors
    ///
    /// The lock's file cannot be made.
    pub(crate) fn try_lock(&self) -> anyhow::Result<Option<DataLock>> {
        let path = self.path.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            // Nor is anybody else's file locked by way of a link (security rule G46).
            .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default())
            .open(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(DataLock { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// Where it is, without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the host keys.
    pub(crate) fn host_keys(&self) -> PathBuf {
        self.path.join("ssh")
    }

    /// The folder of the authority for names.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.path.join("tls")
    }

    /// The secret that names are given by.
    pub(crate) fn names(&self) -> PathBuf {
        self.path.join("names.key")
    }

    /// Since when proofs of domains have been missing.
    pub(crate) fn missing_proofs(&self) -> PathBuf {
        self.path.join("missing-proofs.json")
    }

    /// Where commands reach the gateway that runs.
    pub(crate) fn control(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// The folder of principals' sockets.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.path.join("sockets")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_data_directory_is_ours_alone_and_one_gateways_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/data");
        let directory = DataDirectory::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        let lock = directory.lock().unwrap();
        let other = DataDirectory::open(&path).unwrap();
        assert!(other.try_lock().unwrap().is_none());
        let error = other.lock().unwrap_err().to_string();
        assert!(error.contains("runs with"), "{error}");
        drop(lock);
        assert!(other.try_lock().unwrap().is_some());
        set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        let error = DataDirectory::open(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }

    #[test]
    fn g46_a_lock_that_is_a_link_locks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(&folder.path().join("data")).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, directory.path().join("lock")).unwrap();
        directory.try_lock().unwrap_err();
        assert!(!elsewhere.exists(), "nothing is made where it leads");
    }
}
