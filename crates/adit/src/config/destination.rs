//! Where to log in: `[user@]host`.

use std::fmt;
use std::str::FromStr;

use adit_tunnel::agent::login::known_hosts::HostAddress;

/// A host and maybe a user name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The name before the last `@`.
    pub(crate) user: Option<String>,
    /// A name or address.
    pub(crate) host: String,
}

/// Why a text is no destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DestinationError {
    /// The part before the `@`.
    User,
    /// The part after it.
    Host,
    /// The part after the colon.
    Port,
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user name is empty or has a character that no user name has",
            Self::Port => "port is none of 1 to 65535",
            Self::Host => "host is empty or has a character that no host has; write user@host",
        })
    }
}

impl std::error::Error for DestinationError {}

impl FromStr for Destination {
    type Err = DestinationError;

    /// The last `@` counts: some sites have user names with one.
    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        if user.is_some_and(|user| !is_user(user)) {
            return Err(DestinationError::User);
        }
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if HostAddress::new(host, 0).is_err() {
            return Err(DestinationError::Host);
        }
        Ok(Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
        })
    }
}

/// A host and maybe its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostAndPort {
    /// A name or address.
    pub(crate) host: String,
    /// The port behind it.
    pub(crate) port: Option<u16>,
}

impl FromStr for HostAndPort {
    type Err = DestinationError;

    /// An IPv6 address has colons of its own: one with a port stands in brackets.
    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (
                host,
                Some(port.strip_prefix(':').ok_or(DestinationError::Host)?),
            ),
            None => match text.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                Some(_) | None => (text, None),
            },
        };
        let port = port.map(|port| match port.parse() {
            Ok(0) | Err(_) => Err(DestinationError::Port),
            Ok(port) => Ok(port),
        });
        if HostAddress::new(host, 0).is_err() {
            return Err(DestinationError::Host);
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.transpose()?,
        })
    }
}

/// A user name there; `-l` of ssh(1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserName(pub(crate) String);

impl FromStr for UserName {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if is_user(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DestinationError::User)
        }
    }
}

/// OpenSSH's rule for user names (`valid_ruser`), so that they are safe in every place that shows
/// them.
fn is_user(user: &str) -> bool {
    let is_bad = |character: char| {
        character.is_control() || character.is_whitespace() || "'`\";&<>|(){}\\".contains(character)
    };
    !user.is_empty() && !user.starts_with('-') && !user.chars().any(is_bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_as_ssh_reads_them() {
        for (text, user, host) in [
            ("example.org", None, "example.org"),
            ("me@example.org", Some("me"), "example.org"),
            ("me@site@example.org", Some("me@site"), "example.org"),
            ("me@::1", Some("me"), "::1"),
            ("me@[2001:db8::1]", Some("me"), "2001:db8::1"),
            ("me@192.0.2.1", Some("me"), "192.0.2.1"),
        ] {
            let expected = Destination {
                user: user.map(str::to_owned),
                host: host.to_owned(),
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_a_shell_or_a_terminal_could_take_for_more_is_refused() {
        use DestinationError::{Host, User};
        for (text, expected) in [
            ("", Host),
            ("me@", Host),
            ("@host", User),
            ("-oProxyCommand=x@host", User),
            ("-oProxyCommand=x", Host),
            ("me@-host", Host),
            ("a b@host", User),
            ("a;b@host", User),
            ("a\u{1b}@host", User),
            ("me@ho st", Host),
            ("me@host/path", Host),
            ("ssh://host", Host),
        ] {
            let result: Result<Destination, DestinationError> = text.parse();
            assert_eq!(result, Err(expected), "{text:?}");
        }
    }

    #[test]
    fn a_port_may_stand_behind_a_host() {
        use DestinationError::{Host, Port};
        for (text, expected) in [
            ("example.org", Ok(("example.org", None))),
            ("example.org:2222", Ok(("example.org", Some(2222)))),
            ("192.0.2.1:22", Ok(("192.0.2.1", Some(22)))),
            ("::1", Ok(("::1", None))),
            ("2001:db8::1", Ok(("2001:db8::1", None))),
            ("[::1]", Ok(("::1", None))),
            ("[::1]:2222", Ok(("::1", Some(2222)))),
            ("", Err(Host)),
            (":22", Err(Host)),
            ("[::1]22", Err(Host)),
            ("-x:22", Err(Host)),
            ("me@host", Err(Host)),
            ("host:0", Err(Port)),
            ("host:65536", Err(Port)),
            ("host:ssh", Err(Port)),
            ("host:", Err(Port)),
        ] {
            let expected = expected.map(|(host, port)| HostAndPort {
                host: host.to_owned(),
                port,
            });
            let parsed: Result<HostAndPort, DestinationError> = text.parse();
            assert_eq!(parsed, expected, "{text:?}");
        }
    }
}
