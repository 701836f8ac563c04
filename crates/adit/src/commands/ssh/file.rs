//! A file of ssh's that a part of is ours: read as ssh would read it, and replaced as a whole or not at all.
//!
//! The new text is written beside the file, forced to the disk and renamed over it. Whoever else does so by this code
//! waits, by a lock of the folder that leaves no file behind; whoever changes the file otherwise meanwhile is noticed,
//! and the file stays theirs.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use adit_tunnel::ssh_config::{FileProblem, FileSystem, Files as _, Guard};
use anyhow::{Context as _, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;

/// The file, while nobody else changes it by this code.
pub(super) struct Kept {
    /// Where it is: no link.
    path: PathBuf,
    /// What is in it; `None` if it is not there.
    content: Option<Vec<u8>>,
    folder: File,
}

/// Permissions of a new file.
const MODE: u32 = 0o600;
/// Those of a new folder.
const FOLDER_MODE: u32 = 0o700;
/// Bits that others could write by.
const WRITABLE: u32 = 0o022;

/// What is in the file, to be looked at alone; `None` if it is not there.
///
/// # Errors
/// It cannot be read, or ssh would not read it.
pub(super) fn look(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match FileSystem.read(path, Guard::OwnerAlone) {
        Ok(content) => Ok(Some(content)),
        Err(FileProblem::Missing) => Ok(None),
        Err(FileProblem::WritableByOthers) => bail!(
            "{0} belongs to somebody else or can be written to by others, so that ssh refuses it: chmod go-w {0}",
            path.display()
        ),
        Err(problem) => Err(anyhow::Error::msg(problem.to_string()))
            .with_context(|| format!("cannot read {}", path.display())),
    }
}

impl Kept {
    /// Locks and reads it. Its folder is made if it is not there.
    ///
    /// # Errors
    /// It cannot be read, or ssh would not read it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let path = target(path)?;
        let above = match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        if !above.try_exists()? {
            let made = DirBuilder::new().mode(FOLDER_MODE).create(above);
            made.with_context(|| format!("cannot make the folder {}", above.display()))?;
        }
        let folder =
            File::open(above).with_context(|| format!("cannot open {}", above.display()))?;
        flock(&folder, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", above.display()))?;
        let content = look(&path)?;
        if content.is_some() {
            let owner = fs::metadata(&path)?.uid();
            ensure!(
                owner == getuid().as_raw(),
                "{} belongs to user {owner}: run this as that user",
                path.display()
            );
        }
        Ok(Self {
            path,
            content,
            folder,
        })
    }

    /// What is in it.
    pub(super) fn content(&self) -> &[u8] {
        self.content.as_deref().unwrap_or_default()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts that in its place. Says whether anything had to be changed.
    ///
    /// # Errors
    /// It cannot be written, or somebody else has changed it meanwhile. It is as it was then.
    pub(super) fn replace(self, content: &[u8]) -> anyhow::Result<bool> {
        if self.content.as_deref() == Some(content) {
            return Ok(false);
        }
        let beside = beside(&self.path);
        let written = self.write(&beside, content);
        if written.is_err() {
            // The first reason counts.
            fs::remove_file(&beside).ok();
        }
        written
            .with_context(|| format!("cannot write {}; it is as it was", self.path.display()))?;
        Ok(true)
    }

    fn write(&self, beside: &Path, content: &[u8]) -> anyhow::Result<()> {
        // One that was killed has left it; nobody else writes there while the folder is locked.
        match fs::remove_file(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(beside)?;
        if self.content.is_some() {
            let mode = fs::metadata(&self.path)?.mode() & 0o7777 & !WRITABLE;
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        ensure!(
            look(&self.path)? == self.content,
            "another program has changed it just now: run this again"
        );
        fs::rename(beside, &self.path)?;
        self.folder.sync_all()?;
        Ok(())
    }
}

/// Where a link leads; a link to nowhere is nobody's file.
fn target(path: &Path) -> anyhow::Result<PathBuf> {
    if path.symlink_metadata().is_ok_and(|it| it.is_symlink()) {
        let target = fs::canonicalize(path);
        return target.with_context(|| format!("{} is a link that leads nowhere", path.display()));
    }
    Ok(path.to_owned())
}

/// Where the new text is written first: in the same folder, always by the same name.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".adit-new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_for_its_owner_alone_and_an_old_one_keeps_its_mode() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".ssh");
        let path = folder.join("config");
        assert!(Kept::open(&path).unwrap().replace(b"a").unwrap());
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::write(beside(&path), "left by one that was killed").unwrap();
        assert!(Kept::open(&path).unwrap().replace(b"b").unwrap());
        let before = path.metadata().unwrap().ino();
        assert!(!Kept::open(&path).unwrap().replace(b"b").unwrap());
        assert_eq!(mode(&path), 0o644);
        assert_eq!(path.metadata().unwrap().ino(), before);
        assert_eq!(fs::read(&path).unwrap(), b"b");
        assert_eq!(names(&folder), ["config"]);
    }

    #[test]
    fn a_link_stays_one_and_what_it_leads_to_is_written() {
        let home = tempfile::tempdir().unwrap();
        let [real, link] = ["real", "config"].map(|name| home.path().join(name));
        fs::write(&real, "a").unwrap();
        symlink("real", &link).unwrap();
        assert!(Kept::open(&link).unwrap().replace(b"b").unwrap());
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("real"));
        assert_eq!(fs::read(&real).unwrap(), b"b");
        fs::remove_file(&real).unwrap();
        assert!(Kept::open(&link).is_err());
    }

    #[test]
    fn a_file_that_others_can_write_to_is_refused_as_ssh_does() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config");
        fs::write(&path, "a").unwrap();
        for bad in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(bad)).unwrap();
            let error = Kept::open(&path).err().unwrap().to_string();
            assert!(error.contains("chmod go-w"), "{error}");
        }
    }

    #[test]
    fn what_somebody_else_writes_meanwhile_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config");
        for first in [None, Some("a")] {
            if let Some(first) = first {
                fs::write(&path, first).unwrap();
            }
            let kept = Kept::open(&path).unwrap();
            fs::write(&path, "theirs").unwrap();
            let error = format!("{:#}", kept.replace(b"ours").unwrap_err());
            assert!(
                error.contains("as it was") && error.contains("again"),
                "{error}"
            );
            assert_eq!(fs::read(&path).unwrap(), b"theirs");
            assert_eq!(names(home.path()), ["config"]);
        }
    }

    #[test]
    fn two_at_once_take_turns() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let kept = Kept::open(&path).unwrap();
                    let longer = [kept.content(), b"x"].concat();
                    kept.replace(&longer).unwrap();
                });
            }
        });
        assert_eq!(fs::read(&path).unwrap(), b"xxxxxxxx");
    }
}
