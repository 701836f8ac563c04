//! One byte stream over a connection of its own, and nothing else: `-W`.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::debug;

use super::once::Once;
use super::supervise::{Connect, ConnectError};
use crate::copy::{Copied, copy_through};
use crate::transport::{OpenError, Origin, StreamHead, StreamKind, Target, Transport};

/// Why nothing was carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The peer does not reach the target.
    #[error("cannot reach {target} from there")]
    Open {
        /// The target.
        target: Target,
        /// Why not.
        #[source]
        source: OpenError,
    },
    /// The peer does not say whether it reaches the target.
    #[error("cannot reach {target} from there: no answer within {} s", OPEN_DEADLINE.as_secs())]
    Silent {
        /// The target.
        target: Target,
    },
}

/// For the peer to reach the target: a little more than Linux tries (127 s, `tcp_syn_retries` 6), so
/// that its reason is heard.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(135);
/// For the peer to take what is on its way when both halves have ended, and to close.
const LAST_BYTES: Duration = Duration::from_secs(60);

/// Connects once, has `target` opened by the peer and copies between it and `socket` until both
/// halves have ended. Nothing comes back by itself.
///
/// # Cancel safety
///
/// Dropping the future ends the connection at once.
pub async fn carry<S>(
    connect: &impl Connect,
    target: Target,
    socket: &mut S,
) -> Result<Copied, DirectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let once = Once::begin(connect).await?;
    let result = copy_to(once.transport(), target, socket).await;
    once.end().await;
    result
}

async fn copy_to<S>(
    transport: &dyn Transport,
    target: Target,
    socket: &mut S,
) -> Result<Copied, DirectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = StreamHead {
        kind: StreamKind::Direct(target.clone()),
        origin: Origin {
            host: String::from("127.0.0.1"),
            port: 0,
        },
    };
    let mut stream = match timeout(OPEN_DEADLINE, transport.open(head)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(DirectError::Open { target, source }),
        Err(_) => return Err(DirectError::Silent { target }),
    };
    let copied = copy_through(&mut stream, socket).await;
    if copied.end.is_ok() {
        // The connection is closed next, and what has not left by then would be lost.
        let closed = poll_fn(|cx| stream.poll_closed(cx));
        if timeout(LAST_BYTES, closed).await.is_err() {
            debug!("peer did not close the stream in time");
        }
    }
    Ok(copied)
}

#[cfg(test)]
mod tests;
