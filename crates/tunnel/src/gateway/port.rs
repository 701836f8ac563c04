//! Binds what a lease listens at: every address of its scope, or none and the reason.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Why nothing was bound.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// An address could not be bound.
    #[error("{address} cannot be bound: {error}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: Arc<io::Error>,
    },
}
