//! Blocks of ssh's configuration (`ssh_config(5)`): one for each manager, between two lines that mark it, in a file whose
//! other bytes are somebody else's.
//!
//! ```text
//! # >>> adit: red >>>
//! # Written by adit ssh config, which replaces it whole; adit ssh config --remove red takes it away.
//! Host red
//!     HostName red.local
//!     User pi
//!
//! Host red001
//!     HostName red001
//!     User pi
//!     ProxyJump red
//!
//! # What follows is for every host again, as it was.
//! Host *
//! # <<< adit: red <<<
//! ```
//!
//! Of what the file says of a host ssh takes the first, so a new block goes to the top, where no `Host *` is before it.
//! What followed there stood in no section, or began one: the last line of the block has it stay so. A block that is
//! there already is replaced where it stands (decision 0034).
//!
//! Everything that can come to stand in a block is of a type whose values are one word and mean no more than a name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

pub use self::file::{FileError, FileFault, blocks, remove, write};
use crate::host::{Host, HostName, UserName};

mod file;

/// Who stands between the network of the hosts and everybody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// The name that it has in ssh's configuration.
    pub name: HostName,
    /// Who logs in there; where nobody is named, what else the configuration says.
    pub user: Option<UserName>,
    /// Where it is dialled.
    pub address: HostName,
}

/// A private key's path as it stands in ssh's configuration: from `/` or `~/`, without characters that mean more there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFile(String);

/// One manager's block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    manager: HostName,
    sections: Vec<Section>,
}

/// What is said of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    name: HostName,
    address: HostName,
    user: Option<UserName>,
    way: Way,
    identity: Option<IdentityFile>,
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// At ssh's own port.
    Direct,
    /// At that port.
    Port(u16),
    /// Through that host.
    Jump(HostName),
}

/// What is wrong with what a block is to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// One host twice, as two users: the first would count for both.
    #[error("{0} is named twice, for two users: of one name ssh takes the first")]
    Twice(HostName),
    /// The manager among the hosts behind it.
    #[error("{0} is the manager, and cannot be behind itself")]
    Front(HostName),
    /// Nothing to say.
    #[error("no host is named")]
    Nobody,
    /// More hosts than ssh should have to read through at each start.
    #[error("{0} hosts are more than the {HOSTS} that one block may have")]
    TooMany(usize),
    /// A path of a key that means more than a path.
    #[error(
        "a key's path begins with / or ~/ and has no control character, none of \" ' \\ $ %, and {PATH} bytes at the most"
    )]
    Path,
}

/// Most hosts of one block: ssh reads all of them at each of its starts.
pub const HOSTS: usize = 4_096;
/// Longest path of a key: Linux's longest path.
pub const PATH: usize = 4_096;

const BEGIN: [&str; 2] = ["# >>> adit: ", " >>>"];
const END: [&str; 2] = ["# <<< adit: ", " <<<"];

impl Front {
    /// The host of that name; dialled at `address`, or at its name where that is one of a network or an address, else as
    /// multicast DNS knows it (`red.local`).
    pub fn new(host: Host, address: Option<HostName>) -> Self {
        let Host { user, name } = host;
        let is_whole = name.as_str().contains('.') || name.as_str().parse::<IpAddr>().is_ok();
        let local = || {
            format!("{name}.local")
                .parse()
                .unwrap_or_else(|_| name.clone())
        };
        let address = address.unwrap_or_else(|| if is_whole { name.clone() } else { local() });
        Self {
            name,
            user,
            address,
        }
    }
}

impl IdentityFile {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdentityFile {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let is_bad = |it: char| it.is_control() || "\"'\\$%".contains(it);
        let is_path = (text.starts_with('/') || text.starts_with("~/"))
            && text.len() <= PATH
            && !text.chars().any(is_bad);
        is_path
            .then(|| Self(text.to_owned()))
            .ok_or(BlockError::Path)
    }
}

impl Block {
    /// Hosts that are reached through the manager, each by its own name from there (`ProxyJump`).
    ///
    /// # Errors
    /// See [`BlockError`].
    pub fn through(
        manager: &Front,
        hosts: &[Host],
        identity: Option<&IdentityFile>,
    ) -> Result<Self, BlockError> {
        let behind = hosts.iter().map(|host| Section {
            name: host.name.clone(),
            address: host.name.clone(),
            user: host.user.clone(),
            way: Way::Jump(manager.name.clone()),
            identity: identity.cloned(),
        });
        Self::new(manager, behind.collect(), identity)
    }

    /// Hosts that are reached at a port of the manager each.
    ///
    /// # Errors
    /// See [`BlockError`].
    pub fn at_ports(
        manager: &Front,
        hosts: &[(Host, u16)],
        identity: Option<&IdentityFile>,
    ) -> Result<Self, BlockError> {
        let behind = hosts.iter().map(|(host, port)| Section {
            name: host.name.clone(),
            address: manager.address.clone(),
            user: host.user.clone(),
            way: Way::Port(*port),
            identity: identity.cloned(),
        });
        Self::new(manager, behind.collect(), identity)
    }

    fn new(
        manager: &Front,
        behind: Vec<Section>,
        identity: Option<&IdentityFile>,
    ) -> Result<Self, BlockError> {
        if behind.is_empty() {
            return Err(BlockError::Nobody);
        }
        if behind.len() > HOSTS {
            return Err(BlockError::TooMany(behind.len()));
        }
        let mut names = std::collections::HashSet::new();
        for section in &behind {
            if section.name == manager.name {
                return Err(BlockError::Front(section.name.clone()));
            }
            if !names.insert(section.name.as_str()) {
                return Err(BlockError::Twice(section.name.clone()));
            }
        }
        let own = Section {
            name: manager.name.clone(),
            address: manager.address.clone(),
            user: manager.user.clone(),
            way: Way::Direct,
            identity: identity.cloned(),
        };
        Ok(Self {
            manager: manager.name.clone(),
            sections: std::iter::once(own).chain(behind).collect(),
        })
    }

    /// Whose it is.
    pub const fn manager(&self) -> &HostName {
        &self.manager
    }

    /// The hosts that it speaks of, the manager first: the name, where it is dialled, as whom, at which port if it says one,
    /// and whether through the manager.
    pub fn hosts(&self) -> impl Iterator<Item = Said<'_>> {
        self.sections.iter().map(|section| Said {
            name: &section.name,
            address: &section.address,
            user: section.user.as_ref(),
            port: match section.way {
                Way::Port(port) => Some(port),
                Way::Direct | Way::Jump(_) => None,
            },
            jump: match &section.way {
                Way::Jump(manager) => Some(manager),
                Way::Direct | Way::Port(_) => None,
            },
        })
    }
}

/// What a block says of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    /// Its name in the configuration.
    pub name: &'a HostName,
    /// Where it is dialled.
    pub address: &'a HostName,
    /// Who logs in there.
    pub user: Option<&'a UserName>,
    /// At which port.
    pub port: Option<u16>,
    /// Through whom.
    pub jump: Option<&'a HostName>,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.manager;
        writeln!(f, "{}{name}{}", BEGIN[0], BEGIN[1])?;
        writeln!(
            f,
            "# Written by adit ssh config, which replaces it whole; adit ssh config --remove {name} takes it away."
        )?;
        for section in &self.sections {
            writeln!(f, "{section}")?;
        }
        f.write_str("# What follows is for every host again, as it was.\nHost *\n")?;
        writeln!(f, "{}{name}{}", END[0], END[1])
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Host {}", self.name)?;
        writeln!(f, "    HostName {}", self.address)?;
        if let Some(user) = &self.user {
            // At the beginning of a value, the one would begin a comment and the other be passed over.
            if user.as_str().starts_with(['#', '=']) {
                writeln!(f, "    User \"{user}\"")?;
            } else {
                writeln!(f, "    User {user}")?;
            }
        }
        match &self.way {
            Way::Direct => {}
            Way::Port(port) => writeln!(f, "    Port {port}")?,
            // Its colons would begin a port.
            Way::Jump(name) if name.as_str().contains(':') => {
                writeln!(f, "    ProxyJump [{name}]")?;
            }
            Way::Jump(name) => writeln!(f, "    ProxyJump {name}")?,
        }
        if let Some(identity) = &self.identity {
            f.write_str("    IdentityFile ")?;
            if identity.0.contains([' ', '#', '=']) {
                writeln!(f, "\"{}\"", identity.0)?;
            } else {
                writeln!(f, "{}", identity.0)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
