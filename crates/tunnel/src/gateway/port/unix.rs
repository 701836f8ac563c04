//! Unix sockets that leases listen at, each in the folder of its principal.
//!
//! The folder is ours and has mode 0750. A socket is bound in a folder of its own inside, which nobody else may
//! enter, gets its mode there, and is then moved to its name in one step that replaces nothing. So it is never there
//! with a wider mode than it keeps, and never takes another file's place (security rules G51, G52).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use adit_model::id::PrincipalId;
use adit_model::lease::SocketName;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};

use super::{BACKLOG, BindError, UnixStep};

/// A listening socket and its file.
#[derive(Debug)]
pub struct BoundSocket {
    /// Non-blocking, listening.
    pub listener: UnixListener,
    /// Its file; dropped, it is removed.
    pub file: SocketFile,
}

/// The file of a socket that we made. Dropped, it is removed, if it is still the one that we made.
#[derive(Debug)]
pub struct SocketFile {
    folder: OwnedFd,
    name: SocketName,
    /// Its device and inode.
    identity: (u64, u64),
}

/// What a file of that name may be that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// A socket that we left behind, since the lease is known from before: it makes way if nobody listens at it.
    Ours,
    /// Nothing of ours.
    Foreign,
}

/// For the gateway's user and group alone.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o750);
/// For nobody but us, until the socket has its own mode.
const PRIVATE_MODE: Mode = Mode::from_raw_mode(0o700);
/// Programs of the gateway's group may connect.
const SOCKET_MODE: Mode = Mode::from_raw_mode(0o660);
/// Longest path of a Unix socket on Linux (`sun_path`, without the zero behind it).
const PATH_BYTES: usize = 107;
/// What the folder's name begins with in which a socket is made; no socket's own name does.
const PRIVATE_PREFIX: &str = ".new-";
/// One bind at a time, so that none sweeps away what another is making.
static BINDING: Mutex<()> = Mutex::new(());
/// The socket's name while nobody may see it.
const PRIVATE_NAME: &str = "s";

/// The name of a principal's folder: its number, which is no one else's.
pub fn folder_name(principal: PrincipalId) -> String {
    principal.get().to_string()
}

/// The name of the socket that a path means, asked for by that principal: a name alone, or one behind the
/// principal's folder, by itself or below `base`. Nothing is looked up in the file system.
pub fn read_path(base: &Path, principal: PrincipalId, path: &str) -> Option<SocketName> {
    let folder = folder_name(principal);
    let absolute = base.to_str().and_then(|base| path.strip_prefix(base));
    let inside = absolute
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(path);
    let name = inside
        .strip_prefix(folder.as_str())
        .and_then(|rest| rest.strip_prefix('/'));
    match name {
        Some(name) => name.parse().ok(),
        // A name alone is never absolute. Stock ssh takes a word for a path by its slash alone, so that ./name is
        // the only way in which it can say one.
        None if absolute.is_none() => path.strip_prefix("./").unwrap_or(path).parse().ok(),
        None => None,
    }
}

/// Makes and binds a socket in its principal's folder below `base`.
///
/// # Errors
/// It cannot be had, and nothing of it is left.
pub fn bind(
    base: &Path,
    principal: PrincipalId,
    name: &SocketName,
    stale: Stale,
) -> Result<BoundSocket, BindError> {
    let failed = |step| {
        move |error: io::Error| BindError::Unix {
            name: name.to_string(),
            step,
            error: Arc::new(error),
        }
    };
    let _turn = BINDING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = base.join(folder_name(principal));
    open_folder(base, PRIVATE_MODE).map_err(failed(UnixStep::Folder))?;
    let folder = open_folder(&path, FOLDER_MODE).map_err(failed(UnixStep::Folder))?;
    sweep(&folder, &path);
    if stale == Stale::Ours {
        remove_stale(&folder, &path, name).map_err(failed(UnixStep::Name))?;
    }
    let private = Private::make(&folder, &path).map_err(failed(UnixStep::Bind))?;
    let listener = private.bind().map_err(failed(UnixStep::Bind))?;
    let identity = private.publish(name).map_err(failed(UnixStep::Name))?;
    drop(private);
    let file = SocketFile {
        folder,
        name: name.clone(),
        identity,
    };
    Ok(BoundSocket { listener, file })
}

/// A folder of ours, with that mode: made if it is not there, and never through a link.
fn open_folder(path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    match rustix::fs::mkdir(path, mode) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&folder)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the folder is another user's",
        ));
    }
    // Whatever the process's umask took away, or somebody has added since.
    rustix::fs::fchmod(&folder, mode)?;
    Ok(folder)
}

/// Removes folders of new sockets that a process which was killed has left behind. No socket is being made
/// meanwhile.
fn sweep(folder: &OwnedFd, path: &Path) {
    let Ok(entries) = rustix::fs::Dir::read_from(folder) else {
        return;
    };
    let names = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().to_str().ok()?;
        name.starts_with(PRIVATE_PREFIX).then(|| String::from(name))
    });
    for name in names.collect::<Vec<_>>() {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        if let Ok(left) = rustix::fs::openat(folder, name.as_str(), flags, Mode::empty()) {
            tracing::info!(folder = %path.join(&name).display(), "a folder of a new socket was left behind");
            remove(&left, PRIVATE_NAME, AtFlags::empty());
            remove(folder, &name, AtFlags::REMOVEDIR);
        }
    }
}

/// Removes a socket of ours that nobody listens at. Anything else stays, and is in the way.
fn remove_stale(folder: &OwnedFd, path: &Path, name: &SocketName) -> io::Result<()> {
    let stat = match rustix::fs::statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let is_socket =
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Socket;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    if is_socket && is_ours && is_dead(&path.join(name.as_str())) {
        rustix::fs::unlinkat(folder, name.as_str(), AtFlags::empty())?;
    }
    Ok(())
}

/// Whether nobody listens at a socket. The answer is there at once: a listener whose queue is full would have us wait
/// (unix(7)), and is alive.
fn is_dead(path: &Path) -> bool {
    let connected = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&socket2::SockAddr::unix(path)?)
    };
    connected().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The folder in which a socket is bound.
struct Private<'a> {
    parent: &'a OwnedFd,
    name: String,
    path: PathBuf,
    folder: OwnedFd,
}

impl<'a> Private<'a> {
    fn make(parent: &'a OwnedFd, path: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        // With a dot, and longer than any socket's own name could make it look.
        let name = format!("{PRIVATE_PREFIX}{:016x}", u64::from_be_bytes(random));
        let path = path.join(&name);
        rustix::fs::mkdirat(parent, name.as_str(), PRIVATE_MODE)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        match rustix::fs::openat(parent, name.as_str(), flags, Mode::empty()) {
            Ok(folder) => Ok(Self {
                parent,
                name,
                path,
                folder,
            }),
            Err(error) => {
                // Empty, and of no use to anybody.
                remove(parent, &name, AtFlags::REMOVEDIR);
                Err(error.into())
            }
        }
    }

    fn bind(&self) -> io::Result<UnixListener> {
        let path = self.path.join(PRIVATE_NAME);
        if path.as_os_str().len() > PATH_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                format!(
                    "its path would be longer than {PATH_BYTES} bytes; use a shorter base folder"
                ),
            ));
        }
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(&path)?)?;
        rustix::fs::chmodat(&self.folder, PRIVATE_NAME, SOCKET_MODE, AtFlags::empty())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    /// Moves the socket to its name, where nothing may be. What tells its file from any other.
    fn publish(&self, name: &SocketName) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statat(&self.folder, PRIVATE_NAME, AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::renameat_with(
            &self.folder,
            PRIVATE_NAME,
            self.parent,
            name.as_str(),
            RenameFlags::NOREPLACE,
        )?;
        Ok((stat.st_dev, stat.st_ino))
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        // What is not there any more need not be removed.
        remove(&self.folder, PRIVATE_NAME, AtFlags::empty());
        let removed = rustix::fs::unlinkat(self.parent, self.name.as_str(), AtFlags::REMOVEDIR);
        if let Err(error) = removed {
            tracing::warn!(folder = %self.path.display(), %error, "a folder of a new socket is left behind");
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let stat = rustix::fs::statat(&self.folder, self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        if stat.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.identity) {
            remove(&self.folder, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// Removes what may be gone already.
fn remove(folder: &OwnedFd, name: &str, flags: AtFlags) {
    if let Err(error) = rustix::fs::unlinkat(folder, name, flags) {
        tracing::debug!(name, %error, "nothing was removed");
    }
}

#[cfg(test)]
mod tests;
