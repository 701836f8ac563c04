//! Where control sockets lie, and who owns one.
//!
//! A socket and the lock beside it lie in the first directory that can be had, and XDG_RUNTIME_DIR may say which that
//! is. A process without that variable (cron(8), another session) would not look there. So a *signpost* is left in the
//! places that every process of the user looks in: a file with the path of that directory. It decides nothing: the
//! directory that it leads to has to be ours alone, and the lock there held.

use std::collections::HashSet;
use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;
use serde::{Deserialize, Serialize};

use crate::config::Surroundings;
use crate::hosts::place;

/// The directories in which a control socket of this user may lie.
#[derive(Debug, Clone)]
pub(crate) struct Directories {
    /// The one that is used first.
    all: Vec<PathBuf>,
    /// Those of them that do not depend on variables for runtime and state, where signposts are left.
    known: Vec<PathBuf>,
}

/// Says that an `up` of a file runs, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    socket: PathBuf,
    signposts: Vec<PathBuf>,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The file that it was started with.
    pub(crate) config: PathBuf,
    /// Its process.
    pub(crate) pid: u32,
}

/// An `up` that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) holder: Holder,
    /// Its socket.
    pub(crate) socket: PathBuf,
}

/// Most bytes of a socket's path (unix(7)).
const SOCKET: usize = 107;
/// How often, and how long apart, a lock that is not free is tried again.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(20);
/// Most bytes of what stands in a lock file or a signpost.
const HOLDER: u64 = 8_192;
/// How the names of signposts end.
const SIGNPOST: &str = ".at";

impl Directories {
    /// Those of this process: below XDG_RUNTIME_DIR, /run/user/UID and the directory for state.
    /// Never /tmp, which others can write to.
    pub(crate) fn of_this_process(surroundings: &Surroundings) -> Self {
        let variable = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        // After su(1) the variable may still be another user's.
        let is_ours = |path: &PathBuf| {
            let metadata = fs::metadata(path);
            metadata.is_ok_and(|found| found.is_dir() && found.uid() == getuid().as_raw())
        };
        let named = variable.filter(|path| path.is_absolute() && is_ours(path));
        let usual = PathBuf::from(format!("/run/user/{}", getuid().as_raw()));
        let usual = Some(usual).filter(is_ours);
        let runtime = named.into_iter().chain(usual.clone());
        let state = surroundings.state().map(|state| state.join("adit/run"));
        let mut all: Vec<PathBuf> = runtime.map(|path| path.join("adit")).collect();
        all.extend(state);
        let usual = usual.map(|path| path.join("adit"));
        let home = surroundings.below_home(Path::new(".local/state/adit/run"));
        let known: Vec<PathBuf> = usual.into_iter().chain(home.ok()).collect();
        all.extend(known.iter().cloned());
        // Where root's and this user's services keep tables of ports.
        all.extend(place::usual(surroundings).map(|folder| folder.join(place::RUN)));
        let mut seen = HashSet::new();
        all.retain(|path| seen.insert(path.clone()));
        Self { all, known }
    }

    /// One directory, which whoever knows it finds without any variable, and signposts to it where every process of
    /// the user looks.
    pub(crate) fn at(directory: PathBuf, surroundings: &Surroundings) -> Self {
        let Self { known, .. } = Self::of_this_process(surroundings);
        let all = vec![directory];
        Self { all, known }
    }

    /// Takes the lock of a file, whose path has no links in it.
    ///
    /// # Errors
    ///
    /// Another `up` of it runs; a directory cannot be made, or is not ours alone.
    pub(crate) fn lock(&self, config: &Path) -> anyhow::Result<Lock> {
        if let Some(Running { holder, .. }) = self.find(config) {
            anyhow::bail!(
                "{} is up already, as process {}; adit down ends it",
                config.display(),
                holder.pid
            );
        }
        let name = name(config);
        let socket = |directory: &Path| directory.join(format!("{name}.sock"));
        let is_short = |path: &Path| path.as_os_str().len() <= SOCKET;
        let mut fitting = self.all.iter().filter(|path| is_short(&socket(path)));
        let directory = fitting.next().context(
            "there is no directory for the control socket, or its path is longer than 107 bytes: set \
             XDG_RUNTIME_DIR, XDG_STATE_HOME or HOME",
        )?;
        make(directory).with_context(|| format!("cannot use {}", directory.display()))?;
        let path = directory.join(format!("{name}.lock"));
        let socket = socket(directory);
        let holder = Holder {
            config: config.to_owned(),
            pid: std::process::id(),
        };
        let taken = take(&path, &holder).with_context(|| format!("cannot lock {}", path.display()));
        let file = taken?
            .with_context(|| format!("{} is being started by another process", config.display()))?;
        Ok(Lock {
            file,
            path,
            socket,
            signposts: self.point(directory, &name),
        })
    }

    /// Leaves signposts to the directory of a lock where every process of the user looks, unless it is such a
    /// place itself.
    fn point(&self, directory: &Path, name: &str) -> Vec<PathBuf> {
        if self.known.iter().any(|known| known == directory) {
            return Vec::new();
        }
        let mut signposts = Vec::new();
        for known in &self.known {
            let signpost = known.join(format!("{name}{SIGNPOST}"));
            let written = make(known).and_then(|()| {
                let new = known.join(format!(".{name}.{}", std::process::id()));
                fs::write(&new, directory.as_os_str().as_bytes())?;
                fs::rename(&new, &signpost)
            });
            match written {
                Ok(()) => signposts.push(signpost),
                // Who has the same variables finds it all the same.
                Err(error) => {
                    tracing::debug!(path = %signpost.display(), %error, "no signpost is left");
                }
            }
        }
        signposts
    }

    /// The `up` of a file, if one runs.
    pub(crate) fn find(&self, config: &Path) -> Option<Running> {
        let name = name(config);
        let pointed = self.known.iter().filter_map(|known| {
            let signpost = known.join(format!("{name}{SIGNPOST}"));
            pointed(known, &signpost)
        });
        let all = self.all.iter().cloned().chain(pointed);
        let mut running = all.filter_map(|directory| running(&directory, &name));
        running.find(|running| running.holder.config == config)
    }

    /// Whether it can be told what runs.
    ///
    /// # Errors
    ///
    /// A directory is there, and what lies in it is not trusted.
    pub(crate) fn are_trusted(&self) -> anyhow::Result<()> {
        for directory in &self.all {
            match check(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let shown = directory.display();
                    anyhow::bail!(
                        "it cannot be told what is up, for {shown} is not trusted: {error}"
                    );
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// All that run, by the paths of their files.
    pub(crate) fn all(&self) -> Vec<Running> {
        let mut all = Vec::new();
        for directory in &self.all {
            // One that is not there has none in it.
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let file = entry.file_name();
                let Some(file) = file.to_str() else {
                    continue;
                };
                if let Some(name) = file.strip_suffix(".lock") {
                    all.extend(running(directory, name));
                } else if let Some(name) = file.strip_suffix(SIGNPOST) {
                    let pointed = pointed(directory, &entry.path());
                    all.extend(pointed.and_then(|directory| running(&directory, name)));
                }
            }
        }
        all.sort_by(|one, other| one.holder.config.cmp(&other.holder.config));
        all.dedup();
        all
    }
}

impl Lock {
    /// Whether both files are still where others look for them: the last sign-out of a user takes its
    /// runtime directory away.
    pub(crate) fn is_there(&self) -> bool {
        is_at(&self.file, &self.path) && self.socket.exists()
    }

    /// Where the socket belongs. What lies there is nobody's while this is held.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If another's are there by now, they are not ours to remove.
        if !is_at(&self.file, &self.path) {
            return;
        }
        let directory = self.path.parent();
        let ours = self.signposts.iter().filter(|signpost| {
            let led = signpost.parent().and_then(|known| pointed(known, signpost));
            led.as_deref() == directory
        });
        // The lock's file last: who takes it next makes its own socket.
        for path in ours.chain([&self.socket, &self.path]) {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(path = %path.display(), %error, "file is left behind");
            }
        }
    }
}

/// What the files of a configuration are called: 64 bits, and an accident is found by comparing the
/// paths.
fn name(config: &Path) -> String {
    let hash = digest(&SHA256, config.as_os_str().as_encoded_bytes());
    let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

/// Makes a directory for us alone, or looks whether it is one.
fn make(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)?;
    check(directory)
}

/// Whether a directory is ours, is no link, and lets nobody else in.
fn check(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("it is no directory"));
    }
    if metadata.uid() != getuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("others can enter it; run chmod 700 on it"));
    }
    Ok(())
}

/// Takes a lock's file, and writes into it who has it; `None` if somebody else has it.
fn take(path: &Path, holder: &Holder) -> io::Result<Option<File>> {
    let mut looks = 0;
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // Somebody may only be looking, who shares it, and takes no longer than this.
            Err(rustix::io::Errno::WOULDBLOCK)
                if looks < LOOKS && flock(&file, FlockOperation::NonBlockingLockShared).is_ok() =>
            {
                looks = looks.saturating_add(1);
                flock(&file, FlockOperation::Unlock)?;
                std::thread::sleep(LOOK);
                continue;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Its last holder may have removed it between the two calls.
        if is_at(&file, path) {
            file.set_len(0)?;
            file.rewind()?;
            let text = serde_json::to_string(holder).map_err(io::Error::other)?;
            file.write_all(text.as_bytes())?;
            return Ok(Some(file));
        }
    }
}

/// Where a signpost in a directory of ours leads.
fn pointed(directory: &Path, signpost: &Path) -> Option<PathBuf> {
    check(directory).ok()?;
    let mut path = Vec::new();
    let opened = File::open(signpost).ok()?;
    opened.take(HOLDER).read_to_end(&mut path).ok()?;
    let path = PathBuf::from(OsString::from_vec(path));
    path.is_absolute().then_some(path)
}

/// Whether that open file is the one that is there.
fn is_at(file: &File, path: &Path) -> bool {
    let (ours, there) = (file.metadata(), fs::metadata(path));
    let Ok((ours, there)) = ours.and_then(|ours| Ok((ours, there?))) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// The `up` that holds a lock of that name in a directory of ours.
fn running(directory: &Path, name: &str) -> Option<Running> {
    check(directory).ok()?;
    let mut file = File::open(directory.join(format!("{name}.lock"))).ok()?;
    // Shared, so that two who look are not in each other's way.
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut text = String::new();
    let read = io::Read::by_ref(&mut file)
        .take(HOLDER)
        .read_to_string(&mut text);
    read.ok()?;
    let holder = serde_json::from_str(&text).ok()?;
    Some(Running {
        holder,
        socket: directory.join(format!("{name}.sock")),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn directories(folder: &Path) -> Directories {
        Directories {
            all: vec![folder.join("first"), folder.join("second")],
            known: vec![folder.join("second")],
        }
    }

    #[test]
    fn one_up_of_a_file_at_a_time_whatever_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let directories = directories(folder.path());
        let config = Path::new("/etc/adit.yml");
        assert_eq!(directories.find(config), None);
        let lock = directories.lock(config).unwrap();
        let running = directories.find(config).unwrap();
        assert_eq!(running.holder.pid, std::process::id());
        assert_eq!(running.socket, lock.socket());
        let error = directories.lock(config).unwrap_err().to_string();
        assert!(error.contains("/etc/adit.yml is up already"), "{error}");
        let other = directories.lock(Path::new("/etc/other.yml")).unwrap();
        assert_eq!(directories.all().len(), 2);
        // What a killed one leaves: both files, and nobody who holds the lock.
        fs::write(other.socket(), "").unwrap();
        let (path, socket) = (other.path.clone(), other.socket.clone());
        drop(other);
        assert!(!path.exists() && !socket.exists());
        fs::write(&path, "{}").unwrap();
        fs::write(&socket, "").unwrap();
        assert_eq!(directories.all().len(), 1);
        drop(directories.lock(Path::new("/etc/other.yml")).unwrap());
        // It is looked for in every directory, wherever the other process put it.
        let later = Directories {
            all: vec![folder.path().join("third"), folder.path().join("first")],
            known: Vec::new(),
        };
        assert!(later.lock(config).is_err());
        drop(lock);
        assert!(later.lock(config).is_ok());
    }

    #[test]
    fn one_without_the_variables_of_an_up_finds_it_by_a_signpost() {
        let folder = tempfile::tempdir().unwrap();
        let config = Path::new("/etc/adit.yml");
        let known = folder.path().join("second");
        let bare = Directories {
            all: vec![known.clone()],
            known: vec![known.clone()],
        };
        let directories = directories(folder.path());
        let lock = directories.lock(config).unwrap();
        assert_eq!(bare.find(config), directories.find(config));
        assert_eq!(bare.all(), directories.all());
        assert_eq!(bare.all().len(), 1);
        assert!(bare.lock(config).is_err());
        // It leads nowhere that is not ours alone.
        let first = folder.path().join("first");
        fs::set_permissions(&first, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(bare.find(config), None);
        fs::set_permissions(&first, fs::Permissions::from_mode(0o700)).unwrap();
        drop(lock);
        assert_eq!(fs::read_dir(&known).unwrap().count(), 0);
        // One that a killed one has left says nothing, and neither does one that leads nowhere.
        let signpost = known.join(format!("{}{SIGNPOST}", name(config)));
        for text in [first.as_os_str().as_bytes(), b"first", b"", b"\0"] {
            fs::write(&signpost, text).unwrap();
            assert_eq!((bare.find(config), bare.all()), (None, Vec::new()));
        }
        // Another's is not ours to remove.
        let lock = directories.lock(config).unwrap();
        fs::write(&signpost, "/elsewhere").unwrap();
        drop(lock);
        assert!(signpost.exists());
        drop(bare.lock(config).unwrap());
    }

    #[test]
    fn of_many_that_start_at_once_one_wins_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let directories = directories(folder.path());
        for round in 0..100 {
            let config = PathBuf::from(format!("/{}", round % 3));
            let barrier = Barrier::new(4);
            let winners = thread::scope(|scope| {
                let start = || {
                    barrier.wait();
                    let lock = directories.lock(&config);
                    // Nobody lets go before all have tried.
                    barrier.wait();
                    lock.is_ok()
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
                let wins = threads.into_iter().map(|thread| thread.join().unwrap());
                wins.filter(|is_winner| *is_winner).count()
            });
            assert_eq!(winners, 1);
        }
    }

    #[test]
    fn a_directory_that_others_can_enter_or_that_is_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = Path::new("/etc/adit.yml");
        let first = folder.path().join("first");
        fs::create_dir(&first).unwrap();
        fs::set_permissions(&first, fs::Permissions::from_mode(0o750)).unwrap();
        let error = directories(folder.path()).lock(config).unwrap_err();
        assert!(format!("{error:#}").contains("chmod 700"), "{error:#}");
        fs::remove_dir(&first).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        make(&elsewhere).unwrap();
        symlink(&elsewhere, &first).unwrap();
        let error = directories(folder.path()).lock(config).unwrap_err();
        assert!(format!("{error:#}").contains("no directory"), "{error:#}");
    }
}
