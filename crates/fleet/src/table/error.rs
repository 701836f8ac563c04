//! Why a wish cannot be had.

use std::fmt;

use adit_model::prefix::{PortPrefix, PrefixError};

use super::{ENTRIES, Service};
use crate::host::{HostName, UserName};

/// Why a wish cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It would need ports that there are not.
    #[error(
        "{} would have port {port}, and 65535 is the last: begin at {begin} or below, or name fewer",
        Of(host, service)
    )]
    Overflow {
        /// The first that has none.
        host: HostName,
        /// Its service.
        service: Service,
        /// The port that it would have.
        port: u32,
        /// The highest begin that has room.
        begin: u32,
    },
    /// A prefix and a service make no port.
    #[error("{}: {source}", Of(host, service))]
    Prefix {
        /// The host.
        host: HostName,
        /// Its service.
        service: Service,
        /// Why not.
        source: PrefixError,
    },
    /// Behind the last prefix there is no other.
    #[error("{host} has no prefix: {last} is the last one")]
    NoPrefix {
        /// The host.
        host: HostName,
        /// The last prefix.
        last: PortPrefix,
    },
    /// Two prefixes make one port.
    #[error("port {port} of {} is that of {} already", With(host, service, *prefix), With(other, other_service, *other_prefix))]
    Collision {
        /// The port.
        port: u16,
        /// Who wants it.
        host: HostName,
        /// For which service.
        service: Service,
        /// With which prefix.
        prefix: Option<PortPrefix>,
        /// Who has it.
        other: HostName,
        /// For which service.
        other_service: Service,
        /// With which prefix.
        other_prefix: Option<PortPrefix>,
    },
    /// The port that a rule gives somebody is another program's.
    #[error("port {port} of {} is taken", Of(host, service))]
    Busy {
        /// The port.
        port: u16,
        /// Who wants it.
        host: HostName,
        /// For which service.
        service: Service,
    },
    /// It is there in another way, and stays so.
    #[error(
        "{} is at {bind}:{port} already, as {}: delete it first to have it otherwise", Of(host, service), As(user.as_ref())
    )]
    Otherwise {
        /// The host.
        host: HostName,
        /// Its service.
        service: Service,
        /// Where it listens.
        bind: String,
        /// At which port.
        port: u16,
        /// Who logs in.
        user: Option<UserName>,
    },
    /// More than a table holds.
    #[error("the table would have {0} entries, and {ENTRIES} are the most")]
    TooMany(usize),
    /// There is nothing to create.
    #[error("no host or no service is named")]
    Nothing,
}

/// A service of a host, in words.
struct Of<'a>(&'a HostName, &'a Service);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, service) = self;
        if service.is_local() {
            write!(f, "{host} service {}", service.port)
        } else {
            write!(f, "{host} service {service}")
        }
    }
}

struct With<'a>(&'a HostName, &'a Service, Option<PortPrefix>);

impl fmt::Display for With<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, service, prefix) = self;
        Of(host, service).fmt(f)?;
        prefix.map_or(Ok(()), |prefix| write!(f, " (prefix {prefix})"))
    }
}

struct As<'a>(Option<&'a UserName>);

impl fmt::Display for As<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(user) => user.fmt(f),
            None => f.write_str("the user of ssh's configuration"),
        }
    }
}
