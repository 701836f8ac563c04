//! What the public end of tunnels needs from the rest of the program.

use std::fmt;
use std::future::Future;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::pin::Pin;

use adit_model::host::Name;
use adit_model::id::{LeaseId, PrincipalId};
use adit_model::lease::{Holding, Lease};
use adit_model::name::NameRules;
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

/// Names that visitors reach services by, as far as grants do not say.
pub trait Sites: fmt::Debug + Send + Sync {
    /// Which names there may be.
    fn rules(&self) -> &NameRules;

    /// The names of somebody who asks for none, the first first. The same principal with the same mark is given the
    /// same ones, also after a restart, and nobody else can tell which (security rule G62).
    fn draw(&self, principal: PrincipalId, mark: &[u8]) -> Vec<Name>;

    /// Where visitors find the service at that port of a name; nothing where they do not.
    fn urls(&self, name: &Name, port: u16) -> Vec<String>;

    /// Whether a domain was proved to be that principal's, and is still (security rule G63).
    fn is_proved(&self, principal: PrincipalId, domain: &Name) -> bool;

    /// Sees whether it is proved now.
    ///
    /// # Errors
    /// It is not, or that cannot be told.
    fn prove<'a>(
        &'a self,
        principal: PrincipalId,
        domain: &'a Name,
    ) -> Later<'a, Result<(), Unproved>>;
}

/// Why a domain is not proved to be somebody's, and what to do: for the one who asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unproved {
    /// In words.
    pub reason: String,
}
