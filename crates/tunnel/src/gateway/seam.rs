//! What the public end of tunnels needs from the rest of the program.

use std::fmt;
use std::future::Future;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::pin::Pin;

use adit_model::id::LeaseId;
use adit_model::lease::{Holding, Lease};
use tokio_util::sync::CancellationToken;

/// A future of a seam.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps leases where they outlive the process.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Keeps the lease as it is now, before the one who asked for it is told. A new one has id 0 and gets its
    /// own.
    ///
    /// # Errors
    /// It is not kept; a new lease is then refused with the reason, a known one may be taken over all the same
    /// (security rule G123).
    fn keep<'a>(&'a self, lease: &'a Lease) -> Later<'a, Result<LeaseId, LedgerError>>;
}

/// Why a lease could not be kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("leases cannot be kept now: {reason}")]
pub struct LedgerError {
    /// In words for an operator.
    pub reason: String,
}

/// Serves the visitors of bound sockets.
pub trait Publish: fmt::Debug + Send + Sync {
    /// Serves them until `stop`; when the future ends, no listener of it is open any more. Visitors that are
    /// being served then are not waited for.
    fn serve(
        &self,
        sockets: Sockets,
        holding: Holding,
        stop: CancellationToken,
    ) -> Later<'static, ()>;
}

/// What a lease listens at.
#[derive(Debug)]
pub enum Sockets {
    /// TCP, one for each address, non-blocking, listening.
    Tcp(Vec<TcpListener>),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixListener),
}
