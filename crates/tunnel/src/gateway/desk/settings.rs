//! What an operator may set about leases, and the wall clock.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_model::id::Epoch;
use adit_model::port::PortSet;
use jiff::Timestamp;

use crate::gateway::seam::Sites;

/// What an operator may set about leases.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The ports that are drawn from for port 0, of those that a grant has.
    pub ports: PortSet,
    /// How long a lease waits for its owner after its connection has ended.
    pub grace: Duration,
    /// How long a port that was given back is kept from others.
    pub port_quarantine: Duration,
    /// How long a name that was given back is kept from others.
    pub name_quarantine: Duration,
    /// Connections of one principal whose grant sets no limit.
    pub connections: u32,
    /// Leases of one principal whose grant sets no limit.
    pub leases: u32,
    /// The folder in which principals have theirs for Unix sockets; without one there are none.
    pub sockets: Option<PathBuf>,
    /// Names that visitors reach services by; without them there are those of grants alone, for whoever opens them by
    /// name.
    pub sites: Option<Arc<dyn Sites>>,
    /// What no epoch is below, as the ledger has it; the time of the start is another such bound (security rule
    /// G17).
    pub epochs: Epoch,
    /// What time it is.
    pub clock: Clock,
}

/// The wall clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's.
    pub fn system() -> Self {
        Self::of(Timestamp::now)
    }

    /// Another, for tests.
    pub fn of(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Settings {
    /// The defaults, with those ports to draw from.
    pub fn with_ports(ports: PortSet) -> Self {
        Self {
            ports,
            grace: Duration::from_secs(600),
            port_quarantine: Duration::from_secs(24 * 3_600),
            name_quarantine: Duration::from_secs(30 * 24 * 3_600),
            connections: 1_024,
            leases: 1_024,
            sockets: None,
            sites: None,
            epochs: Epoch::ZERO,
            clock: Clock::system(),
        }
    }
}
