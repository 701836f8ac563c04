//! What a principal may bind and open, where from, how long and how much.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::address::Scope;
use crate::host::{HostClass, Name};
use crate::lease::{SocketName, Takeover};
use crate::name::{NamePattern, NameRules, is_domain, is_site};
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
    /// Names at the edge, and those whose ports it may offer to whoever opens them by name.
    pub names: Vec<NamePattern>,
    /// Whether it is given a name for a site for which it asks for none.
    pub any_name: bool,
    /// Whether it may have domains that it proves to be its own.
    pub own_domains: bool,
    /// How many of its connections may serve one site together; without it one does.
    pub pool: Option<Pool>,
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

/// Several connections that serve one site together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// How many there may be, 1 to [`POOL_PLACES`].
    pub places: u16,
    /// Which of them is asked.
    pub balance: Balance,
}

/// Most connections that serve one site.
pub const POOL_PLACES: u16 = 64;

/// Which member of a pool is asked for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The first that is there; the others are asked where it does not answer.
    Failover,
    /// One behind the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests that are being answered.
    LeastStreams,
}

/// A text that says no pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pool is how many may serve one site, 1 to {POOL_PLACES}, and which of them is asked: 3:round-robin, \
     3:least-streams or 3:failover; 3 is the first"
)]
pub struct PoolError;

impl FromStr for Pool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        let (places, balance) = text.split_once(':').unwrap_or((text, "round-robin"));
        let places = places.parse().map_err(|_| PoolError)?;
        if !(1..=POOL_PLACES).contains(&places) {
            return Err(PoolError);
        }
        let balance = match balance {
            "failover" => Balance::Failover,
            "round-robin" => Balance::RoundRobin,
            "least-streams" => Balance::LeastStreams,
            _ => return Err(PoolError),
        };
        Ok(Self { places, balance })
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let balance = match self.balance {
            Balance::Failover => "failover",
            Balance::RoundRobin => "round-robin",
            Balance::LeastStreams => "least-streams",
        };
        write!(f, "{}:{balance}", self.places)
    }
}

/// A name of which a service may be offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The name.
    pub name: Name,
    /// Whether the grant does not give it: whoever asks has to prove that it is theirs.
    pub needs_proof: bool,
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
        self.asks_well(asked, port)?;
        Ok(match self.reach {
            Reach::Local => scope.kept_local(),
            Reach::Public if scope == Scope::Loopback => Scope::Any,
            Reach::Asked | Reach::Public => scope,
        })
    }

    /// The name that a forward asked for with that text and port offers a service of, if the text is none of an
    /// address. Such a forward listens nowhere, so its port is none of [`ports`](Self::ports).
    ///
    /// # Errors
    /// It is none of [`names`](Self::names), or one that only its own words in the grant would give; no
    /// `permitlisten` names it; or the port is 0, which nobody could ask for by name.
    pub fn offers(
        &self,
        asked: &str,
        port: u16,
        rules: &NameRules,
    ) -> Result<Option<Offer>, Denied> {
        let Ok(name) = rules.read(asked) else {
            return Ok(None);
        };
        let is_own = self.has_name(&name, rules)?;
        // Who proves a domain proves it for its site.
        let is_provable = self.own_domains && is_domain(&name) && is_site(port);
        if !is_own && !is_provable {
            return Err(Denied::Name {
                asked: String::from(asked),
                allowed: self.names.clone(),
            });
        }
        if port == 0 {
            return Err(Denied::AnyService { name });
        }
        self.asks_well(asked, port)?;
        if !is_own {
            judge(&name, rules)?;
        }
        Ok(Some(Offer {
            name,
            needs_proof: !is_own,
        }))
    }

    /// Whether a name is one of [`names`](Self::names).
    ///
    /// # Errors
    /// It is one by a pattern, and such that only its own words would give it.
    pub fn has_name(&self, name: &Name, rules: &NameRules) -> Result<bool, Denied> {
        let matching = || self.names.iter().filter(|pattern| pattern.matches(name));
        if matching().any(|pattern| pattern.exact().is_some()) {
            return Ok(true);
        }
        if matching().next().is_none() {
            return Ok(false);
        }
        judge(name, rules)?;
        Ok(true)
    }

    /// Whether a forward asked for with that text and port is given some name: it is for a site and names neither
    /// an address by number nor a port of [`ports`](Self::ports), which goes before.
    pub fn draws_name(&self, asked: &str, port: u16) -> Result<bool, Denied> {
        let names_no_place = matches!(asked, "" | "*") || asked.eq_ignore_ascii_case("localhost");
        let draws = self.any_name && is_site(port) && names_no_place && !self.ports.contains(port);
        if draws {
            self.asks_well(asked, port)?;
        }
        Ok(draws)
    }

    /// Whether a `permitlisten` names that, or there is none.
    fn asks_well(&self, asked: &str, port: u16) -> Result<(), Denied> {
        let is_asked_well = self.asked.is_empty()
            || self.asked.iter().any(|rule| {
                (rule.host == "*" || rule.host.eq_ignore_ascii_case(asked))
                    && (port == 0 || rule.ports.contains(port))
            });
        is_asked_well.then_some(()).ok_or_else(|| Denied::Asked {
            asked: String::from(asked),
            port,
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

fn judge(name: &Name, rules: &NameRules) -> Result<(), Denied> {
    rules.judge(name).map_err(|fault| Denied::BadName {
        name: name.clone(),
        fault,
    })
}

#[cfg(test)]
mod tests;
