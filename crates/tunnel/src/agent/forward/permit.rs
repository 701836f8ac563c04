//! Which destinations visitors may name (`PermitRemoteOpen`).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use adit_ssh::printable::Printable;

use crate::agent::login::known_hosts::HostAddress;
use crate::ssh_config::parse_port;

/// The destinations that the visitors of a SOCKS forward may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permits {
    /// Any. The end that dials has rules of its own.
    Any,
    /// Those listed here; none, if none is.
    Only(Vec<Permit>),
}

/// One destination, or every port of one host.
///
/// Hosts are compared as they are named, addresses as addresses: what another name or spelling may
/// lead to is not permitted by it, loopback least of all (G58).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    host: String,
    port: Option<u16>,
}

/// Why a text is no permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PermitError {
    /// Not a host and a port.
    #[error("write HOST:PORT, or HOST:* for every port; an IPv6 address in brackets")]
    Form,
    /// All hosts at once. It would open this machine and its network to every visitor.
    #[error("name each host: * stands for ports alone")]
    AnyHost,
    /// No host.
    #[error("{0:?} is no host or address")]
    Host(String),
    /// No port.
    #[error("{0:?} is no port")]
    Port(String),
}

impl Permits {
    /// Whether that destination may be dialled.
    pub fn allow(&self, host: &str, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Only(permits) => permits.iter().any(|permit| permit.allows(host, port)),
        }
    }
}

impl Permit {
    fn allows(&self, host: &str, port: u16) -> bool {
        let is_host = match (self.host.parse::<IpAddr>(), host.parse::<IpAddr>()) {
            (Ok(permitted), Ok(named)) => permitted == named,
            (Err(_), Err(_)) => self.host.eq_ignore_ascii_case(host),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        is_host && self.port.is_none_or(|permitted| permitted == port)
    }
}

impl FromStr for Permit {
    type Err = PermitError;

    fn from_str(text: &str) -> Result<Self, PermitError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(inside) => inside.split_once("]:"),
            // Not at the last colon: `::1:80` may be an address.
            None => text.split_once(':').filter(|(_, port)| !port.contains(':')),
        }
        .ok_or(PermitError::Form)?;
        if host == "*" {
            return Err(PermitError::AnyHost);
        }
        if HostAddress::new(host, 0).is_err() {
            return Err(PermitError::Host(host.to_owned()));
        }
        let port = if port == "*" {
            None
        } else {
            let number = parse_port(port).filter(|port| *port > 0);
            Some(number.ok_or_else(|| PermitError::Port(port.to_owned()))?)
        };
        let host = host.to_owned();
        Ok(Self { host, port })
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Printable::new(self.host.as_bytes());
        let host = host.as_str();
        if host.contains(':') {
            write!(f, "[{host}]:")?;
        } else {
            write!(f, "{host}:")?;
        }
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(texts: &[&str]) -> Permits {
        Permits::Only(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn nothing_is_permitted_that_is_not_listed() {
        assert!(!permits(&[]).allow("db.lan", 5432));
        assert!(Permits::Any.allow("db.lan", 5432));
        let some = permits(&["db.lan:5432", "web.lan:*", "[::1]:80", "127.0.0.1:80"]);
        for (host, port, is_permitted) in [
            ("db.lan", 5432, true),
            ("DB.lan", 5432, true),
            ("db.lan", 5433, false),
            ("db.lan.", 5432, false),
            ("web.lan", 1, true),
            ("::1", 80, true),
            ("0:0:0:0:0:0:0:1", 80, true),
            ("127.0.0.1", 80, true),
            // Other words for this machine.
            ("localhost", 80, false),
            ("127.1", 80, false),
            ("0177.0.0.1", 80, false),
            ("2130706433", 80, false),
            ("::ffff:127.0.0.1", 80, false),
            ("0.0.0.0", 80, false),
            ("127.0.0.2", 80, false),
            ("169.254.169.254", 80, false),
            ("", 80, false),
        ] {
            assert_eq!(some.allow(host, port), is_permitted, "{host}:{port}");
        }
    }

    #[test]
    fn a_permit_is_read_as_openssh_writes_it() {
        for text in ["db.lan:5432", "[::1]:80", "10.0.0.1:*", "[fe80::1%eth0]:1"] {
            let permit: Permit = text.parse().unwrap();
            assert_eq!(permit.to_string(), text);
        }
        for (text, expected) in [
            ("", PermitError::Form),
            ("db.lan", PermitError::Form),
            ("::1:80", PermitError::Form),
            ("[::1]80", PermitError::Form),
            ("[::1", PermitError::Form),
            ("*:80", PermitError::AnyHost),
            ("*:*", PermitError::AnyHost),
            (":80", PermitError::Host(String::new())),
            ("a b:80", PermitError::Host(String::from("a b"))),
            ("a:", PermitError::Port(String::new())),
            ("a:0", PermitError::Port(String::from("0"))),
            ("a:+1", PermitError::Port(String::from("+1"))),
            ("a:65536", PermitError::Port(String::from("65536"))),
        ] {
            assert_eq!(text.parse::<Permit>(), Err(expected), "{text}");
        }
    }
}
