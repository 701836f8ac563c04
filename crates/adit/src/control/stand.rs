//! A control socket that stays where others look for it.

use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::time::sleep;
use tracing::{info, warn};

use super::directory::{Directories, Lock};
use super::server::{self, Subject};

/// How often it is looked whether the control socket is where others look for it.
const LOOK: Duration = Duration::from_secs(5);

/// Who can be asked about it, wherever that has to be.
pub(crate) struct Stand<S, D> {
    /// Where it may lie now: a directory goes with its user's last session, for example.
    pub(crate) directories: D,
    /// The file that it is found by.
    pub(crate) name: PathBuf,
    pub(crate) subject: S,
}

impl<S: Subject, D: Fn() -> Directories> Stand<S, D> {
    /// Answers, for ever; and where the directory of the socket has gone, in the next.
    pub(crate) async fn keep(self, mut lock: Lock, mut listener: UnixListener) {
        loop {
            {
                let serving = server::serve(listener, self.subject.clone());
                tokio::select! {
                    () = serving => return,
                    () = gone(&lock) => {}
                }
            }
            drop(lock);
            (lock, listener) = loop {
                let again = (self.directories)().lock(&self.name);
                match again.and_then(|lock| Ok((server::bind(&lock)?, lock))) {
                    Ok((listener, lock)) => break (lock, listener),
                    Err(error) => {
                        warn!("adit status and adit down do not reach this: {error:#}");
                        sleep(LOOK).await;
                    }
                }
            };
            info!(socket = %lock.socket().display(), "control socket is somewhere else now");
        }
    }
}

/// Waits until the files of a lock are not there any more.
async fn gone(lock: &Lock) {
    while lock.is_there() {
        sleep(LOOK).await;
    }
}
