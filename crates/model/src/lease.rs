//! What is held for somebody, and the rules it is held by.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::address::Scope;
use crate::host::Name;
use crate::id::{Epoch, LeaseId, PrincipalId};
use crate::port::PortSet;
use crate::prefix::PortPrefix;

/// What a lease is of. A port is one holding whatever addresses it listens on: two principals never share
/// a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// A TCP port.
    Port(u16),
    /// A Unix socket: the principal whose folder it is in, and its name there.
    Unix(PrincipalId, SocketName),
    /// A name at the edge.
    Name(Name),
    /// A port of a name, which is reached by that name through the gateway and by nobody else: nothing listens for
    /// it. A name may have several, each with a service of its own.
    Service(Name, u16),
    /// One more place of a pool that serves a port of a name, by its number; the service itself is the first, and the
    /// others begin with 1.
    Member(Name, u16, u16),
}

impl Holding {
    /// The port of a name that it is a service of.
    pub const fn service(&self) -> Option<(&Name, u16)> {
        match self {
            Self::Service(name, port) | Self::Member(name, port, _) => Some((name, *port)),
            Self::Port(_) | Self::Unix(..) | Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Unix(_, name) => write!(f, "socket {name}"),
            Self::Name(name) => write!(f, "name {name}"),
            Self::Service(name, port) => write!(f, "service {name}:{port}"),
            Self::Member(name, port, place) => write!(f, "service {name}:{port} (place {place})"),
        }
    }
}

/// The name of a Unix socket in its principal's folder: one component of letters, digits, `.`, `_` and `-`,
/// 64 characters at the most, neither `.` nor `..` (security rule G51).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SocketName(String);

/// Longest name of a socket.
const SOCKET_NAME_LENGTH: usize = 64;

/// A text that is no name of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a socket's name is one part of a path: letters, digits, '.', '_' and '-', {SOCKET_NAME_LENGTH} at the most"
)]
pub struct SocketNameError;

impl SocketName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SocketName {
    type Err = SocketNameError;

    fn from_str(text: &str) -> Result<Self, SocketNameError> {
        let is_good = (1..=SOCKET_NAME_LENGTH).contains(&text.len())
            && !matches!(text, "." | "..")
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if is_good {
            Ok(Self(String::from(text)))
        } else {
            Err(SocketNameError)
        }
    }
}

impl TryFrom<String> for SocketName {
    type Error = SocketNameError;

    fn try_from(text: String) -> Result<Self, SocketNameError> {
        text.parse()
    }
}

impl From<SocketName> for String {
    fn from(name: SocketName) -> Self {
        name.0
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What becomes of a lease when its own principal asks for it on another connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takeover {
    /// The old connection is asked whether it is there; if it does not answer within 2 s, the new one has
    /// the lease.
    #[default]
    Probe,
    /// The new connection has it at once.
    Newest,
    /// The old one keeps it for as long as its connection lives.
    Oldest,
}

impl FromStr for Takeover {
    type Err = TakeoverError;

    fn from_str(text: &str) -> Result<Self, TakeoverError> {
        match text {
            "probe" => Ok(Self::Probe),
            "newest" => Ok(Self::Newest),
            "oldest" => Ok(Self::Oldest),
            _ => Err(TakeoverError),
        }
    }
}

/// A text that names no rule of takeover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("takeover is probe, newest or oldest")]
pub struct TakeoverError;

impl fmt::Display for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        })
    }
}

/// A lease as the store keeps it: enough to give a returning owner its own back after a restart, and to
/// keep it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its row.
    pub id: LeaseId,
    /// What is held.
    pub holding: Holding,
    /// Where it listens; for a port.
    pub scope: Scope,
    /// Whose it is.
    pub principal: PrincipalId,
    /// The highest epoch that has held it.
    pub epoch: Epoch,
    /// Since when this principal has it.
    pub since: Timestamp,
    /// What it is doing.
    pub state: LeaseState,
    /// What its port was drawn for, if it was: whoever asks for any port in the same words gets this one back.
    pub drawn: Option<Drawn>,
}

/// What a port was drawn for: the words of somebody who asked for port 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// The address text, word for word.
    pub host: String,
    /// The label of the connection: its SSH user name.
    pub label: String,
}

/// What a stored lease is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// A connection held it when this was written; its listener is to be there.
    Held,
    /// Its connection has died; it waits for its owner until then.
    Grace(Timestamp),
    /// It was given back, or waited in vain. Until then nobody else may have it (security rule G16).
    Quarantine(Timestamp),
}

/// A rule that only one principal may hold these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Its row.
    pub id: i64,
    /// Of what.
    pub what: Reserved,
    /// For whom.
    pub principal: PrincipalId,
    /// Why, in its maker's words.
    pub note: String,
}

/// What is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reserved {
    /// Ports.
    Ports(PortSet),
    /// A name, with all its ports.
    Name(Name),
}

impl Reservation {
    /// A reservation's words of ports that were made by a prefix, before its maker's own ones.
    pub fn words_of_prefix(prefix: PortPrefix, services: &PortSet) -> String {
        format!("{prefix} before {services}")
    }

    /// The prefix that all its ports were made by, if its words say so and the arithmetic agrees.
    pub fn prefix(&self) -> Option<PortPrefix> {
        let Reserved::Ports(ports) = &self.what else {
            return None;
        };
        let (prefix, rest) = self.note.split_once(" before ")?;
        let (services, _) = rest.split_once(':').unwrap_or((rest, ""));
        let prefix: PortPrefix = prefix.parse().ok()?;
        let made = prefix.ports(&services.parse().ok()?).ok()?;
        (made == *ports).then_some(prefix)
    }
}

impl Reserved {
    /// Whether the rule is about that.
    pub fn covers(&self, holding: &Holding) -> bool {
        match (self, holding) {
            (Self::Ports(ports), Holding::Port(port)) => ports.contains(*port),
            (
                Self::Name(name),
                Holding::Name(held) | Holding::Service(held, _) | Holding::Member(held, ..),
            ) => name == held,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_name_never_leaves_its_folder() {
        assert!("db.sock".parse::<SocketName>().is_ok());
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "/a",
            "a\0",
            "a b",
            "\u{e4}",
            &"a".repeat(65),
        ] {
            assert_eq!(text.parse::<SocketName>(), Err(SocketNameError), "{text:?}");
        }
    }

    #[test]
    fn a_reservation_made_by_a_prefix_is_known_by_its_words_if_they_are_true() {
        let of = |ports: &str, note: &str| {
            let reservation = Reservation {
                id: 1,
                what: Reserved::Ports(ports.parse().unwrap()),
                principal: PrincipalId::new(1),
                note: String::from(note),
            };
            reservation.prefix().map(|prefix| prefix.to_string())
        };
        let prefix: PortPrefix = "401".parse().unwrap();
        let words = Reservation::words_of_prefix(prefix, &"22,80".parse().unwrap());
        assert_eq!(of("40122,40180", &words).as_deref(), Some("401"));
        let more = format!("{words}: the roof: east");
        assert_eq!(of("40122,40180", &more).as_deref(), Some("401"));
        assert_eq!(of("63306", "6 before 3306").as_deref(), Some("6"));
        assert_eq!(of("40122", &words), None);
        for note in [
            "",
            "before",
            "x before y",
            "401 before ",
            "the week before 22",
        ] {
            assert_eq!(of("40122", note), None, "{note}");
        }
    }

    #[test]
    fn a_reservation_covers_what_it_names_and_nothing_else() {
        let ports = Reserved::Ports("40100-40199".parse().unwrap());
        assert!(ports.covers(&Holding::Port(40_122)));
        assert!(!ports.covers(&Holding::Port(40_200)));
        assert!(!ports.covers(&Holding::Name("red001".parse().unwrap())));
        let name = Reserved::Name("red001".parse().unwrap());
        assert!(name.covers(&Holding::Service("red001".parse().unwrap(), 22)));
        assert!(!name.covers(&Holding::Service("red002".parse().unwrap(), 22)));
    }
}
