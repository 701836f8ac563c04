//! The table of ports: which port here stands for which service of which host.
//!
//! A table only grows and shrinks by whole wishes. What stands in it keeps its port, whatever is created or deleted
//! around it; a wish that cannot be had whole changes nothing. Where it is kept and who listens is for others.

use std::collections::HashSet;
use std::fmt;

use adit_model::prefix::PortPrefix;
use serde::{Deserialize, Serialize};

pub use self::error::TableError;
pub use self::plan::{Numbering, Plan, Wish};
pub use self::text::TextError;
use crate::host::{Host, HostName, UserName};

mod error;
mod plan;
mod text;

/// Most entries of a table: a report of all fits into one answer of a control socket.
pub const ENTRIES: usize = 500;

/// One service of one host, at a port here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The host.
    pub host: HostName,
    /// Who to log in there as; ssh's configuration says it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// The service: its address as the host sees it.
    pub service: Service,
    /// The port here.
    pub port: u16,
    /// Where it listens here: an address, `localhost`, `*`, or `%` and an interface's name.
    pub bind: String,
    /// The prefix that the port was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<PortPrefix>,
}

/// Where a service is, as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// `localhost`, or another machine behind it.
    pub host: HostName,
    /// Its port.
    pub port: u16,
}

/// All entries, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    entries: Vec<Entry>,
}

impl Service {
    /// At the host itself.
    ///
    /// # Panics
    /// Never: `localhost` is a host.
    pub fn local(port: u16) -> Self {
        Self {
            host: HostName::localhost(),
            port,
        }
    }

    /// Whether it is at the host itself.
    pub fn is_local(&self) -> bool {
        self.host == HostName::localhost()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.as_str().contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl Entry {
    /// What tells it from others: its host and service.
    pub const fn key(&self) -> (&HostName, &Service) {
        (&self.host, &self.service)
    }

    /// Its host with the user.
    pub fn login(&self) -> Host {
        Host {
            user: self.user.clone(),
            name: self.host.clone(),
        }
    }
}

impl Table {
    /// All entries, in the order in which they came.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The port at which that service of a host is.
    pub fn port(&self, host: &HostName, service: &Service) -> Option<u16> {
        let mut entries = self.entries.iter();
        let found = entries.find(|entry| entry.key() == (host, service));
        found.map(|entry| entry.port)
    }

    /// The table without some services of some hosts, all of them where none is named; and what is gone.
    #[must_use]
    pub fn without(&self, hosts: &[HostName], services: &[Service]) -> (Self, Vec<Entry>) {
        let hosts: HashSet<_> = hosts.iter().collect();
        let goes = |entry: &&Entry| {
            hosts.contains(&entry.host)
                && (services.is_empty() || services.contains(&entry.service))
        };
        let (gone, entries): (Vec<_>, Vec<_>) = self.entries.iter().partition(goes);
        let owned = |entries: Vec<&Entry>| entries.into_iter().cloned().collect();
        (
            Self {
                entries: owned(entries),
            },
            owned(gone),
        )
    }
}

#[cfg(test)]
mod tests;
