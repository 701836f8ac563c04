//! Errands: commands that are run at a peer, each with what it reads on its standard input and what it answers.
//!
//! The command lines are part of this program. What an errand is about goes over its standard input, where no shell reads
//! it (security rule G107). Whether it did what it was for has to stand in its answer: its exit status is not looked at,
//! since shells differ in what they make of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::once::Once;
use super::supervise::{Connect, ConnectError};
use crate::transport::{ByteStream, OpenError, Origin, StreamHead, StreamKind};

/// A peer that errands are run at, over one connection. Dropped, the connection ends at once.
#[derive(Debug)]
pub struct Errands(Once);

/// Why an errand came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrandError {
    /// The peer runs no commands for this user, or the connection is gone.
    #[error("peer does not run the command")]
    Open(#[source] OpenError),
    /// The connection ended before the answer did.
    #[error("answer was cut off")]
    Cut(#[source] std::io::Error),
    /// More than is ever right.
    #[error("answer is longer than {ANSWER} bytes")]
    Long,
    /// No answer in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Silent,
}

/// Longest answer, in bytes: the largest file of ssh's that is read (1 MiB), and as much again for what a shell says.
pub const ANSWER: usize = 2 << 20;
/// For an errand: those that there are write a small file. Over a cellular link it may take its time.
const DEADLINE: Duration = Duration::from_secs(60);

impl Errands {
    /// Connects.
    ///
    /// # Errors
    /// As the login.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn begin(connect: &impl Connect) -> Result<Self, ConnectError> {
        Once::begin(connect).await.map(Self)
    }

    /// Runs the command of that line, and gives all that it wrote.
    ///
    /// # Errors
    /// See [`ErrandError`].
    ///
    /// # Cancel safety
    /// Dropped, the command's input ends and its answer is lost; what it has done by then is done.
    pub async fn run(&self, line: &'static str, input: &[u8]) -> Result<Vec<u8>, ErrandError> {
        let head = StreamHead {
            kind: StreamKind::Command(line),
            origin: Origin {
                host: String::new(),
                port: 0,
            },
        };
        let errand = async {
            let stream = self.0.transport().open(head).await;
            let (read, write) = tokio::io::split(stream.map_err(ErrandError::Open)?);
            let (written, answer) = tokio::join!(feed(write, input), hear(read));
            // One that answers without having read all has its reason, which stands in the answer.
            answer.map_err(|error| match (error, written) {
                (ErrandError::Cut(_), Err(first)) => ErrandError::Cut(first),
                (error, _) => error,
            })
        };
        timeout(DEADLINE, errand)
            .await
            .map_err(|_| ErrandError::Silent)?
    }

    /// Says goodbye.
    pub async fn end(self) {
        self.0.end().await;
    }
}

async fn feed(
    mut stream: tokio::io::WriteHalf<ByteStream>,
    input: &[u8],
) -> Result<(), std::io::Error> {
    stream.write_all(input).await?;
    stream.shutdown().await
}

async fn hear(stream: tokio::io::ReadHalf<ByteStream>) -> Result<Vec<u8>, ErrandError> {
    let mut answer = Vec::new();
    let most = u64::try_from(ANSWER).unwrap_or(u64::MAX);
    let mut limited = stream.take(most.saturating_add(1));
    limited
        .read_to_end(&mut answer)
        .await
        .map_err(ErrandError::Cut)?;
    if answer.len() > ANSWER {
        return Err(ErrandError::Long);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
