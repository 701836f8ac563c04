//! `-R` as ssh(1) writes it: `[bind:]port:host:hostport`.

use std::fmt;
use std::str::FromStr;

use adit_tunnel::agent::login::known_hosts::HostAddress;
use adit_tunnel::agent::supervise::Forward;
use adit_tunnel::transport::{Bind, Target};

/// A remote forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteForward(pub(crate) Forward);

/// Why a text is no remote forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpecError {
    /// Not three or four fields.
    Fields,
    /// A bracket without its other half, or with text after it.
    Bracket,
    /// Not a number from 0, or from 1 for the target's.
    Port(String),
    /// A bind or target that no host has.
    Host(String),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields => f.write_str(
                "write [BIND:]PORT:HOST:HOSTPORT, for example 8080:localhost:80, and an IPv6 \
                 address in brackets",
            ),
            Self::Bracket => f.write_str("a bracket encloses an address, as in [::1]"),
            Self::Port(text) => write!(f, "{text:?} is no port"),
            Self::Host(text) => write!(f, "{text:?} is no host or address"),
        }
    }
}

impl std::error::Error for SpecError {}

impl FromStr for RemoteForward {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let fields = fields(text)?;
        let (bind, port, host, host_port) = match fields.as_slice() {
            // What ssh sends when no bind is given.
            [port, host, host_port] => ("localhost", port, host, host_port),
            // Both mean every address; the wire's word for it is an empty text.
            ["" | "*", port, host, host_port] => ("", port, host, host_port),
            [bind, port, host, host_port] => (*bind, port, host, host_port),
            _ => return Err(SpecError::Fields),
        };
        if !bind.is_empty() {
            check_host(bind)?;
        }
        check_host(host)?;
        let target_port = parse_port(host_port)?;
        if target_port == 0 {
            return Err(SpecError::Port((*host_port).to_owned()));
        }
        Ok(Self(Forward {
            bind: Bind::Tcp {
                host: bind.to_owned(),
                port: parse_port(port)?,
            },
            target: Target::Tcp {
                host: (*host).to_owned(),
                port: target_port,
            },
        }))
    }
}

/// Fields parted by colons; brackets hold colons together and are taken off.
fn fields(text: &str) -> Result<Vec<&str>, SpecError> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('[') {
            Some(inside) => {
                let (field, after) = inside.split_once(']').ok_or(SpecError::Bracket)?;
                match after.strip_prefix(':') {
                    Some(after) => (field, Some(after)),
                    None if after.is_empty() => (field, None),
                    None => return Err(SpecError::Bracket),
                }
            }
            None => match rest.split_once(':') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            },
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, SpecError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = is_number.then(|| text.parse().ok()).flatten();
    port.ok_or_else(|| SpecError::Port(text.to_owned()))
}

/// What can be sent to a peer or looked up: a name or an address.
fn check_host(text: &str) -> Result<(), SpecError> {
    HostAddress::new(text, 0)
        .map(drop)
        .map_err(|_| SpecError::Host(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read_as_ssh_reads_them() {
        for (text, bind, port, host, host_port) in [
            ("8080:localhost:80", "localhost", 8080, "localhost", 80),
            ("0:127.0.0.1:3000", "localhost", 0, "127.0.0.1", 3000),
            (":8080:localhost:80", "", 8080, "localhost", 80),
            ("*:8080:localhost:80", "", 8080, "localhost", 80),
            ("0.0.0.0:8080:db.lan:5432", "0.0.0.0", 8080, "db.lan", 5432),
            ("[::]:8080:[::1]:80", "::", 8080, "::1", 80),
            ("[]:8080:localhost:80", "", 8080, "localhost", 80),
            (
                "8080:[fe80::1%eth0]:80",
                "localhost",
                8080,
                "fe80::1%eth0",
                80,
            ),
            ("[example.org]:1:a:2", "example.org", 1, "a", 2),
            ("65535:a:65535", "localhost", 65_535, "a", 65_535),
        ] {
            let RemoteForward(forward) = text.parse().unwrap();
            let bind_host = bind.to_owned();
            assert_eq!(
                forward.bind,
                Bind::Tcp {
                    host: bind_host,
                    port
                },
                "{text}"
            );
            let host = host.to_owned();
            let port = host_port;
            assert_eq!(forward.target, Target::Tcp { host, port }, "{text}");
        }
    }

    #[test]
    fn what_is_no_forward_is_told_from_what_is_no_port_and_no_host() {
        use SpecError::{Bracket, Fields, Host, Port};
        let port = |text: &str| Port(text.to_owned());
        let host = |text: &str| Host(text.to_owned());
        for (text, expected) in [
            ("", Fields),
            ("8080", Fields),
            ("8080:80", Fields),
            ("a:b:c:d:e", Fields),
            ("::1:8080:localhost:80", Fields),
            ("[::1:8080:localhost:80", Bracket),
            ("[::1]8080:localhost:80", Bracket),
            ("8080:[::1]80", Bracket),
            ("http:localhost:80", port("http")),
            ("65536:localhost:80", port("65536")),
            ("-1:localhost:80", port("-1")),
            ("+1:localhost:80", port("+1")),
            (":localhost:80", port("")),
            ("8080:localhost:0", port("0")),
            ("8080:localhost:", port("")),
            ("8080::80", host("")),
            ("8080:a b:80", host("a b")),
            ("a/b:8080:localhost:80", host("a/b")),
        ] {
            let result: Result<RemoteForward, SpecError> = text.parse();
            assert_eq!(result, Err(expected), "{text}");
        }
    }
}
