//! The clock of connections: the runtime's, which a test can pause.

use std::time::Instant;

/// The time.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
