//! Messages over a byte stream.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use super::{FrameError, Frames, Pace, frame};

/// One end of the subsystem.
#[derive(Debug)]
pub(crate) struct Talk<S> {
    stream: S,
    frames: Frames,
    pace: Pace,
    began: Instant,
    /// When the next message may be taken.
    due: Instant,
}

/// Why the subsystem ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TalkError {
    /// The other end has hung up.
    #[error("peer has ended it")]
    Ended,
    /// The byte stream broke.
    #[error("byte stream broke")]
    Stream(#[source] std::io::Error),
    /// The other end does not keep to the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other end did not begin with its greeting, or greeted again.
    #[error("peer does not greet as it should")]
    Ungreeted,
    /// What came belongs to a later version than the one that both speak.
    #[error("message is not of the version that is spoken")]
    Version,
    /// The other end does not take what is said.
    #[error("peer takes nothing")]
    Deaf,
}

/// How long the other end may take to make room for a message. Windows are far larger than what is said in it.
const SAY: Duration = Duration::from_secs(5);
/// Bytes that are read at once.
const READ: usize = 4_096;

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// Over that stream.
    pub(crate) fn new(stream: S) -> Self {
        let now = Instant::now();
        Self {
            stream,
            frames: Frames::default(),
            pace: Pace::default(),
            began: now,
            due: now,
        }
    }

    /// The next message.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn hear<M: DeserializeOwned>(&mut self) -> Result<M, TalkError> {
        sleep_until(self.due).await;
        loop {
            if let Some(message) = self.frames.take()? {
                let now = Instant::now();
                let wait = self.pace.took(now.saturating_duration_since(self.began));
                self.due = now.checked_add(wait).unwrap_or(now);
                return Ok(message);
            }
            let mut bytes = [0; READ];
            let read = self.stream.read(&mut bytes).await;
            let count = read.map_err(TalkError::Stream)?;
            let bytes = bytes.get(..count).filter(|bytes| !bytes.is_empty());
            self.frames.push(bytes.ok_or(TalkError::Ended)?);
        }
    }

    /// Says something, once there is room.
    pub(crate) async fn say(&mut self, message: &impl Serialize) -> Result<(), TalkError> {
        let frame = frame(message)?;
        let said = timeout(SAY, self.stream.write_all(&frame)).await;
        said.map_err(|_| TalkError::Deaf)?
            .map_err(TalkError::Stream)
    }
}
