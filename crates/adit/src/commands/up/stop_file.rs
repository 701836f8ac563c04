//! `.stop`, the file by which model-compose is told to stop.
//!
//! It counts only if it is this user's and was made after the start (security rule G102), and it is removed,
//! so that it stops nothing else. One that an earlier program left behind is removed at the start.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::process::getuid;
use tokio::time::sleep;
use tracing::{debug, info, warn};

const NAME: &str = ".stop";
/// How often it is looked for; model-compose's own.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until it is there.
///
/// # Cancel safety
///
/// Dropping the future changes nothing.
pub(super) async fn asked() {
    watch(Path::new(NAME), SystemTime::now()).await;
}

async fn watch(file: &Path, since: SystemTime) {
    if let Some(found) = ours(file)
        && is_older(&found, since)
    {
        info!("removing a .stop that was left behind");
        remove(file);
    }
    let mut is_told = false;
    loop {
        match ours(file) {
            Some(found) if !is_older(&found, since) => {
                remove(file);
                return;
            }
            None if !is_told && fs::symlink_metadata(file).is_ok() => {
                is_told = true;
                warn!("a .stop here is no file of this user and is not heeded");
            }
            Some(_) | None => {}
        }
        sleep(LOOK).await;
    }
}

/// A regular file of this user, if it is one.
fn ours(file: &Path) -> Option<Metadata> {
    let found = fs::symlink_metadata(file).ok()?;
    (found.is_file() && found.uid() == getuid().as_raw()).then_some(found)
}

fn is_older(found: &Metadata, since: SystemTime) -> bool {
    found.modified().is_ok_and(|modified| modified < since)
}

fn remove(file: &Path) {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            debug!(%error, ".stop is left behind");
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_new_file_of_ours_counts_and_none_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        fs::write(&file, "").unwrap();
        // Left behind by an earlier one.
        let later = SystemTime::now() + Duration::from_secs(5);
        let waited = timeout(Duration::from_secs(60), watch(&file, later)).await;
        assert!(waited.is_err() && !file.exists());
        symlink("/etc/passwd", &file).unwrap();
        let early = SystemTime::UNIX_EPOCH;
        let waited = timeout(Duration::from_secs(60), watch(&file, early)).await;
        assert!(waited.is_err() && file.is_symlink());
        fs::remove_file(&file).unwrap();
        let waiting = timeout(Duration::from_secs(60), watch(&file, early));
        let (waited, ()) = tokio::join!(waiting, async { fs::write(&file, "").unwrap() });
        assert!(waited.is_ok() && !file.exists());
    }
}
