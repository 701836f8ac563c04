//! The public end of tunnels: who may log in, what they hold, and the way from a visitor to them.
//!
//! A connection comes in at [`accept`], is admitted by the [`policy`] of that moment and asks for forwards. Each
//! becomes a lease of the [`desk`], which owns the listeners; connections come and go beneath them. A visitor of
//! a listener is led by the [`registry`] to whichever connection holds the lease now.

pub mod accept;
pub mod admission;
pub mod authorized_keys;
pub mod desk;
pub mod door;
pub mod enroll;
pub mod host_keys;
mod lease;
pub mod limit;
pub mod line;
pub mod network;
pub mod open;
#[cfg(test)]
mod overheard;
mod page;
pub mod policy;
pub mod port;
pub mod probe;
pub mod registry;
pub mod report;
pub mod seam;
mod session;
mod storm;
pub mod throttle;

use std::time::Duration;

use tokio::time::Instant;

/// The moment that far from now.
fn after(pause: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(pause).unwrap_or(now)
}
