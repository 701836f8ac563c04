//! Unix sockets of local forwards: for their owner alone, and gone afterwards.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Type};
use tokio::net::{UnixListener, UnixStream};

use super::bind::{BACKLOG, ListenError};
use super::holder::Holder;

/// The file of a socket that we made. Dropped, it is removed, unless another stands in its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Access for the owner alone.
const OWNER_ALONE: u32 = 0o600;
/// What nobody else may have.
const FOR_OTHERS: u32 = 0o177;

/// Makes a socket at `path` that only its owner may connect to. A socket of ours on which nobody
/// listens is left over from a run that could not clean up, and is replaced.
pub(super) async fn bind(path: &str) -> Result<(UnixListener, SocketFile), ListenError> {
    remove_stale(path).await?;
    make(path).map_err(|source| ListenError::Path {
        path: path.to_owned(),
        source,
    })
}

async fn remove_stale(path: &str) -> Result<(), ListenError> {
    let own = || path.to_owned();
    let failed = |source| ListenError::Path {
        path: own(),
        source,
    };
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?,
    };
    if !found.file_type().is_socket() {
        return Err(ListenError::NoSocket { path: own() });
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        let uid = found.uid();
        return Err(ListenError::Foreign { path: own(), uid });
    }
    match UnixStream::connect(path).await {
        Ok(socket) => {
            let pid = socket.peer_cred().ok().and_then(|peer| peer.pid());
            let holder = pid.map(Holder::of_process);
            Err(ListenError::Held {
                path: own(),
                holder,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let file = SocketFile::of(Path::new(path), &found);
            drop(file);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn make(path: &str) -> io::Result<(UnixListener, SocketFile)> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    // Linux makes the file with the mode that the socket has, so that nobody else can slip in before
    // a chmod.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(OWNER_ALONE))?;
    socket.bind(&SockAddr::unix(path)?)?;
    let made = fs::symlink_metadata(path)?;
    let file = SocketFile::of(Path::new(path), &made);
    if made.mode() & FOR_OTHERS != 0 {
        return Err(io::Error::other(
            "the system gives the socket to others, too",
        ));
    }
    socket.listen(BACKLOG)?;
    Ok((UnixListener::from_std(StdListener::from(socket))?, file))
}

impl SocketFile {
    fn of(path: &Path, metadata: &fs::Metadata) -> Self {
        Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "socket was not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_gone_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let text = path.to_str().unwrap();
        let (listener, file) = bind(text).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&path).await.unwrap();
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_own_socket_without_a_listener_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let text = path.to_str().unwrap();
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody cleans up behind it");
        let (listener, file) = bind(text).await.unwrap();
        let error = bind(text).await.unwrap_err();
        let own = format!("(process {})", std::process::id());
        assert!(error.to_string().contains(&own), "{error}");
        // Who has replaced it keeps what is theirs.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "not a socket").unwrap();
        drop((listener, file));
        assert!(path.exists());
        let error = bind(text).await.unwrap_err();
        assert!(matches!(error, ListenError::NoSocket { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_socket_of_another_user_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(StdListener::bind(&path).unwrap());
        if std::os::unix::fs::chown(&path, Some(1), None).is_err() {
            println!("skip: only root can give a file away");
            return;
        }
        let error = bind(path.to_str().unwrap()).await.unwrap_err();
        assert!(
            matches!(error, ListenError::Foreign { uid: 1, .. }),
            "{error}"
        );
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_path_that_no_socket_can_have_is_an_error() {
        let long = format!("/tmp/{}", "a".repeat(108));
        for path in ["/no-such-folder/socket", long.as_str()] {
            let error = bind(path).await.unwrap_err();
            assert!(matches!(error, ListenError::Path { .. }), "{error}");
        }
    }
}
