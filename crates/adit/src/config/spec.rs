//! Forwards as ssh(1) writes them: `-R`, `-L`, `-D` and `-W`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use adit_tunnel::agent::forward::{Destination, Forward, Listens, Permits};
use adit_tunnel::agent::login::known_hosts::HostAddress;
use adit_tunnel::agent::network::{InterfaceName, InterfaceNameError};
use adit_tunnel::ssh_config::{
    ForwardBind, ForwardError, ForwardForm, ForwardTarget, SshForward, parse_forward,
};
use adit_tunnel::transport::{Bind, Target};

/// `-R`: the sshd listens. Without a target nothing is permitted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteForward(pub(crate) Forward);

/// `-L`: we listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalForward(pub(crate) Forward);

/// `-D`: we listen, and visitors say where they want to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DynamicForward(pub(crate) Forward);

/// `-W`: where the standard streams go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StdioTarget(pub(crate) Target);

/// Where a forward listens that does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefaultBind {
    /// At the loopback addresses.
    Loopback,
    /// At every address: `GatewayPorts yes`.
    Everywhere,
}

/// Why a text is no forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpecError {
    /// Its fields are not those that this has.
    Usage(&'static str),
    /// A field is not what it should be.
    Field(ForwardError),
    /// It names an interface by what none can be called.
    Interface(InterfaceNameError),
    /// It names an interface, and the sshd listens.
    RemoteInterface(InterfaceName),
}

const REMOTE: &str = "write [BIND:]PORT:HOST:HOSTPORT, for example 8080:localhost:80, and an IPv6 \
                      address in brackets; either side may be a path; [BIND:]PORT alone is SOCKS";
const LOCAL: &str = "write [BIND:]PORT:HOST:HOSTPORT, for example 5432:db.lan:5432, and an IPv6 \
                     address in brackets; either side may be a path; BIND may be %INTERFACE";
const DYNAMIC: &str = "write [BIND:]PORT, for example 1080, and an IPv6 address in brackets; BIND \
                       may be %INTERFACE";
const STDIO: &str = "write HOST:PORT, for example db.lan:5432, and an IPv6 address in brackets; or \
                     a path";

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(usage) => f.write_str(usage),
            Self::Field(error) => error.fmt(f),
            Self::Interface(error) => error.fmt(f),
            Self::RemoteInterface(name) => write!(
                f,
                "%{name} is an interface of this machine, and the sshd listens: write an address \
                 that it has"
            ),
        }
    }
}

impl std::error::Error for SpecError {}

impl FromStr for RemoteForward {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let written = match parse_forward(text, ForwardForm::Remote) {
            Err(ForwardError::Fields) => parse_forward(text, ForwardForm::RemoteDynamic),
            written => written,
        };
        let written = written.map_err(|error| SpecError::of(error, REMOTE))?;
        if let ForwardBind::Tcp {
            host: Some(host), ..
        } = &written.bind
            && written.target == ForwardTarget::Socks
            && host.bytes().all(|byte| byte.is_ascii_digit())
            && !host.is_empty()
        {
            // Two ports: more likely a target without its host than a bind of that name.
            return Err(SpecError::Usage(REMOTE));
        }
        forward(written, Listens::There, DefaultBind::Loopback).map(Self)
    }
}

impl FromStr for LocalForward {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let written = parse_forward(text, ForwardForm::Local);
        let written = written.map_err(|error| SpecError::of(error, LOCAL))?;
        forward(written, Listens::Here, DefaultBind::Loopback).map(Self)
    }
}

impl FromStr for DynamicForward {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let written = parse_forward(text, ForwardForm::Dynamic);
        let written = written.map_err(|error| SpecError::of(error, DYNAMIC))?;
        forward(written, Listens::Here, DefaultBind::Loopback).map(Self)
    }
}

impl FromStr for StdioTarget {
    type Err = SpecError;

    /// As ssh does: the fields are those of a dynamic forward.
    fn from_str(text: &str) -> Result<Self, SpecError> {
        let written = parse_forward(text, ForwardForm::Dynamic);
        match written.map_err(|error| SpecError::of(error, STDIO))?.bind {
            ForwardBind::Tcp {
                host: Some(_),
                port: 0,
            } => Err(SpecError::Field(ForwardError::Port(String::from("0")))),
            ForwardBind::Tcp {
                host: Some(host),
                port,
            } => {
                check_host(&host)?;
                Ok(Self(Target::Tcp { host, port }))
            }
            ForwardBind::Tcp { host: None, .. } => Err(SpecError::Usage(STDIO)),
            ForwardBind::Unix(path) => Ok(Self(Target::Unix {
                path: text_of(path),
            })),
        }
    }
}

impl SpecError {
    fn of(error: ForwardError, usage: &'static str) -> Self {
        if error == ForwardError::Fields {
            Self::Usage(usage)
        } else {
            Self::Field(error)
        }
    }
}

/// A forward as it is written, with its hosts checked.
pub(super) fn forward(
    written: SshForward,
    listens: Listens,
    default: DefaultBind,
) -> Result<Forward, SpecError> {
    let bind = match written.bind {
        ForwardBind::Tcp { host, port } => {
            let host = match (host.as_deref(), default) {
                // What ssh sends when no bind is given.
                (None, DefaultBind::Loopback) => String::from("localhost"),
                // Both mean every address; the wire's word for it is an empty text.
                (None, DefaultBind::Everywhere) | (Some("" | "*"), _) => String::new(),
                (Some(host), _) => {
                    match (InterfaceName::of_host(host), listens) {
                        (None, _) => check_host(host)?,
                        (Some(name), Listens::Here) => drop(name.map_err(SpecError::Interface)?),
                        (Some(name), Listens::There) => {
                            let name = name.map_err(SpecError::Interface)?;
                            return Err(SpecError::RemoteInterface(name));
                        }
                    }
                    host.to_owned()
                }
            };
            Bind::Tcp { host, port }
        }
        ForwardBind::Unix(path) => Bind::Unix {
            path: text_of(path),
        },
    };
    let to = match (written.target, listens) {
        (ForwardTarget::Tcp { host, port }, _) => {
            check_host(&host)?;
            Destination::One(Target::Tcp { host, port })
        }
        (ForwardTarget::Unix(path), _) => Destination::One(Target::Unix {
            path: text_of(path),
        }),
        // The sshd dials, and has rules of its own.
        (ForwardTarget::Socks, Listens::Here) => Destination::Named(Permits::Any),
        (ForwardTarget::Socks, Listens::There) => Destination::Named(Permits::Only(Vec::new())),
    };
    Ok(Forward { listens, bind, to })
}

/// The word that ssh(1) has for it; none for a remote forward, the program's first purpose.
pub(crate) fn kind(forward: &Forward) -> &'static str {
    match (forward.listens, &forward.to) {
        (Listens::There, _) => "",
        (Listens::Here, Destination::One(_)) => "local ",
        (Listens::Here, Destination::Named(_)) => "dynamic ",
    }
}

/// What can be sent to a peer or looked up: a name or an address.
fn check_host(text: &str) -> Result<(), SpecError> {
    let host = HostAddress::new(text, 0).map(drop);
    host.map_err(|_| SpecError::Field(ForwardError::Host(text.to_owned())))
}

/// The path was made from a text.
fn text_of(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap_or_default()
}

#[cfg(test)]
mod tests;
