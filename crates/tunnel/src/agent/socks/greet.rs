//! A SOCKS dialog over a socket or a byte stream.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::{Dialog, SocksError, Step, Wanted};

/// A visitor that has said where it wants to go and waits for the answer.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) wanted: Wanted,
    /// What it sent without waiting: the first bytes for there.
    pub(crate) rest: Vec<u8>,
}

/// Why a visitor did not get so far.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GreetError {
    /// It said what leads nowhere; that was answered.
    #[error(transparent)]
    Socks(#[from] SocksError),
    /// It left in the middle.
    #[error("visitor left before it had said where it wants to go")]
    Left,
    /// Its socket broke.
    #[error("visitor's socket broke before it had said where it wants to go")]
    Broken(#[source] io::Error),
    /// It took too long.
    #[error("visitor did not say where it wants to go within {} s", DEADLINE.as_secs())]
    TimedOut,
}

/// For all that a visitor says before its bytes (G59). Programs say it at once.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of one read: a request and a little more.
const READ: usize = 512;

/// Listens to a visitor until it has said where it wants to go.
///
/// # Cancel safety
///
/// Dropping the future forgets what the visitor has said.
pub(crate) async fn greet<S>(socket: &mut S) -> Result<Greeted, GreetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let told = timeout(DEADLINE, listen(socket)).await;
    told.unwrap_or(Err(GreetError::TimedOut))
}

async fn listen<S>(socket: &mut S) -> Result<Greeted, GreetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut dialog = Dialog::new();
    let mut buffer = [0; READ];
    loop {
        match dialog.step() {
            Ok(Some(Step::Answer(answer))) => {
                let answered = socket.write_all(answer).await;
                answered.map_err(GreetError::Broken)?;
            }
            Ok(Some(Step::Wanted(wanted))) => {
                let rest = dialog.into_rest();
                return Ok(Greeted { wanted, rest });
            }
            Ok(None) => {
                let read = socket.read(&mut buffer).await.map_err(GreetError::Broken)?;
                if read == 0 {
                    return Err(GreetError::Left);
                }
                dialog.hear(buffer.get(..read).unwrap_or_default());
            }
            Err(error) => {
                if let Some(answer) = error.answer() {
                    turn_away(socket, &answer).await?;
                }
                return Err(error.into());
            }
        }
    }
}

/// Sends the last answer and ends our half, so that it arrives.
async fn turn_away<S>(socket: &mut S, answer: &[u8]) -> Result<(), GreetError>
where
    S: AsyncWrite + Unpin,
{
    let sent = async {
        socket.write_all(answer).await?;
        socket.shutdown().await
    };
    sent.await.map_err(GreetError::Broken)
}

impl Greeted {
    /// Tells the visitor that it may begin.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave half an answer behind.
    pub(crate) async fn grant<S: AsyncWrite + Unpin>(&self, socket: &mut S) -> io::Result<()> {
        socket.write_all(&self.wanted.granted()).await
    }

    /// Tells the visitor that it may not, and ends our half.
    ///
    /// # Cancel safety
    ///
    /// As [`grant`](Self::grant).
    pub(crate) async fn refuse<S: AsyncWrite + Unpin>(
        &self,
        socket: &mut S,
        refusal: super::Refusal,
    ) -> Result<(), GreetError> {
        turn_away(socket, &self.wanted.refused(refusal)).await
    }
}
