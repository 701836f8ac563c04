//! What a principal may bind and open, where from, how long and how much.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::address::Scope;
use crate::host::{HostClass, Name};
use crate::lease::{SocketName, Takeover};
use crate::port::PortSet;
use crate::source::SourceSet;

mod denied;

pub use self::denied::Denied;

/// What a principal may do. The default may nothing. Asked at every bind, open and subsystem, never
/// remembered from the login (invariant 12).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grant {
    /// Ports it may listen on.
    pub ports: PortSet,
    /// Whether it may ask for any free one of `ports` by port 0.
    pub any_port: bool,
    /// Which addresses its ports may be on.
    pub reach: Reach,
    /// The texts it may ask with (`permitlisten`): empty for any.
    pub asked: Vec<Asked>,
    /// Names at the edge.
    pub names: Vec<Name>,
    /// Unix sockets in its own folder.
    pub sockets: Sockets,
    /// What it may open a stream to.
    pub targets: Vec<TargetRule>,
    /// Where it may come from.
    pub sources: SourceSet,
    /// From when.
    pub not_before: Option<Timestamp>,
    /// Until when; then its connections are closed.
    pub not_after: Option<Timestamp>,
    /// What happens when it comes twice.
    pub takeover: Takeover,
    /// Where it may take a lease over from, if its old connection came from somewhere else.
    pub takeover_from: SourceSet,
    /// How much of everything.
    pub limits: Limits,
}

/// Which addresses a principal's ports may be on (replacement text I4-o of the security review).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The machine itself, whatever is asked for.
    Local,
    /// What is asked for: the machine itself without an address or with `localhost`, every address with
    /// `*`, `0.0.0.0` or `[::]`.
    #[default]
    Asked,
    /// Every address, also without one or with `localhost`.
    Public,
}

/// One `permitlisten`: the host as a pattern of the text that is asked with, and its ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The text, `*` for any. No other patterns.
    pub host: String,
    /// The ports.
    pub ports: PortSet,
}

/// Which Unix sockets a principal may listen at, in its own folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sockets {
    /// None.
    #[default]
    None,
    /// These.
    Named(Vec<SocketName>),
    /// Any.
    Any,
}

/// What a principal may open a stream to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetRule {
    /// A device, service or alias by its name, at these ports of it.
    Name {
        /// The name; `None` for every name that is known here.
        name: Option<Name>,
        /// The ports.
        ports: PortSet,
    },
    /// Addresses, by number or by whatever name resolves to them.
    Cidr {
        /// The network. Addresses inside (see [`inner`](crate::address::inner)) only if it is exactly one
        /// address.
        network: IpNet,
        /// The ports.
        ports: PortSet,
    },
}

/// How much of everything a principal may have. `None` for as much as the gateway has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at a time.
    pub connections: Option<u32>,
    /// Leases at a time.
    pub leases: Option<u32>,
    /// Byte streams at a time.
    pub streams: Option<u32>,
    /// Bytes a second from visitors to it.
    pub down: Option<u64>,
    /// Bytes a second from it to visitors.
    pub up: Option<u64>,
    /// Bytes a calendar month (UTC), both ways.
    pub month: Option<u64>,
}

impl Grant {
    /// Whether it may be used now, from there.
    pub fn admits(&self, source: IpAddr, now: Timestamp) -> Result<(), Denied> {
        if !self.sources.contains(source) {
            return Err(Denied::Source { address: source });
        }
        match (self.not_before, self.not_after) {
            (Some(from), _) if now < from => Err(Denied::TooEarly { from }),
            (_, Some(until)) if now >= until => Err(Denied::TooLate { until }),
            _ => Ok(()),
        }
    }

    /// Where a forward asked for with that text and port is to listen. Port 0 stands for any; the port
    /// that is drawn for it is one of [`ports`](Self::ports).
    pub fn listen(&self, asked: &str, port: u16) -> Result<Scope, Denied> {
        let scope = Scope::read(asked).map_err(|_| Denied::Address {
            asked: String::from(asked),
        })?;
        if port == 0 && !self.any_port {
            return Err(Denied::AnyPort);
        }
        if port != 0 && !self.ports.contains(port) {
            return Err(Denied::Port {
                port,
                allowed: self.ports.clone(),
            });
        }
        let is_asked_well = self.asked.is_empty()
            || self.asked.iter().any(|rule| {
                (rule.host == "*" || rule.host.eq_ignore_ascii_case(asked))
                    && (port == 0 || rule.ports.contains(port))
            });
        if !is_asked_well {
            return Err(Denied::Asked {
                asked: String::from(asked),
                port,
            });
        }
        Ok(match self.reach {
            Reach::Local => scope.kept_local(),
            Reach::Public if scope == Scope::Loopback => Scope::Any,
            Reach::Asked | Reach::Public => scope,
        })
    }

    /// Whether it may listen at that socket of its folder.
    pub fn socket(&self, name: &SocketName) -> Result<(), Denied> {
        let is_allowed = match &self.sockets {
            Sockets::None => false,
            Sockets::Named(names) => names.contains(name),
            Sockets::Any => true,
        };
        is_allowed
            .then_some(())
            .ok_or_else(|| Denied::Socket { name: name.clone() })
    }

    /// Whether it may open a stream to a name that is known here: a device, a service, an alias.
    pub fn opens_name(&self, name: &Name, port: u16) -> Result<(), Denied> {
        let is_allowed = self.targets.iter().any(|rule| match rule {
            TargetRule::Name { name: ruled, ports } => {
                ruled.as_ref().is_none_or(|ruled| ruled == name) && ports.contains(port)
            }
            TargetRule::Cidr { .. } => false,
        });
        is_allowed.then_some(()).ok_or_else(|| Denied::Target {
            host: name.to_string(),
            port,
        })
    }

    /// Whether anything is reached by number or DNS name at all. If not, nothing is resolved for it.
    pub fn opens_addresses(&self) -> bool {
        self.targets
            .iter()
            .any(|rule| matches!(rule, TargetRule::Cidr { .. }))
    }

    /// Whether it may open a stream to that very address: the one that is dialled, after resolving.
    pub fn opens_address(&self, address: IpAddr, port: u16) -> Result<(), Denied> {
        let inner = crate::address::inner(address);
        let is_allowed = self.targets.iter().any(|rule| match rule {
            TargetRule::Cidr { network, ports } => {
                let is_exact = network.prefix_len() == network.max_prefix_len();
                network.contains(&address) && ports.contains(port) && (inner.is_none() || is_exact)
            }
            TargetRule::Name { .. } => false,
        });
        match (is_allowed, inner) {
            (true, _) => Ok(()),
            (false, Some(inner)) => Err(Denied::Inner { address, inner }),
            (false, None) => Err(Denied::Target {
                host: address.to_string(),
                port,
            }),
        }
    }

    /// What of a host's text this grant could ever reach; a first answer before anything is resolved.
    pub fn considers(&self, host: &HostClass) -> bool {
        match host {
            HostClass::Invalid => false,
            HostClass::Localhost | HostClass::Address(_) => self.opens_addresses(),
            HostClass::Name(_) => !self.targets.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests;
