//! A proxy that dials for us: HTTP with CONNECT, or SOCKS5.
//!
//! The proxy gets the peer's name as it is and looks it up itself. It sees an SSH connection and
//! nothing of what is said in it.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use adit_ssh::printable::Printable;
use adit_ssh::secret::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::tcp::DialError;
use crate::agent::login::known_hosts::HostAddress;

mod environment;
mod http;
mod socks;

pub use self::environment::{ProxyEnvironment, ProxyVariableError};

/// A proxy and how to log in there.
pub struct ProxyServer {
    protocol: Protocol,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
    /// The variable of the environment that named it.
    variable: Option<&'static str>,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// HTTP/1.1, CONNECT.
    Http,
    /// SOCKS version 5.
    Socks5,
}

/// A user name and a password.
struct Credentials {
    user: Secret<Vec<u8>>,
    password: Secret<Vec<u8>>,
}

/// Why a text is no proxy. It does not repeat the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// The part before `://`.
    #[error("a proxy's URL begins with http://, socks5:// or socks5h://")]
    Scheme,
    /// The host.
    #[error("a proxy's URL has no host, or a character that no host has; write SCHEME://HOST:PORT")]
    Host,
    /// The port.
    #[error("the port of a proxy's URL is no number from 1 to 65535")]
    Port,
    /// The user name or password.
    #[error(
        "user or password of a proxy's URL cannot be read; write % and two digits for what is no \
         letter or digit, and 255 bytes at most"
    )]
    Credentials,
    /// What follows the port.
    #[error("a proxy's URL ends with its port")]
    Path,
}

/// Why a proxy did not lead to a peer.
#[derive(Debug, thiserror::Error)]
#[error("{proxy} does not lead there")]
pub struct ProxyError {
    /// Which it is, and who named it.
    proxy: String,
    /// Why not.
    #[source]
    failure: Box<ProxyFailure>,
}

/// What a proxy did instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// It was not reached itself.
    #[error("it was not reached")]
    Unreachable(#[source] DialError),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It hung up, or its connection broke.
    #[error("its connection ended before it answered")]
    Ended(#[source] io::Error),
    /// It said no.
    #[error("it says: {0}")]
    Refused(Printable),
    /// It wants to know who we are.
    #[error(
        "it wants a user and a password; write them into its URL as USER:PASSWORD@HOST, with % and \
         two digits for what is no letter or digit"
    )]
    CredentialsWanted,
    /// It knows nobody of that name and password.
    #[error("it does not take the user and password of its URL")]
    CredentialsRefused,
    /// It wants a login that is not spoken here.
    #[error("it wants another login than by user and password: {0}")]
    Login(Printable),
    /// What it says is not what such a proxy says.
    #[error("it does not speak {0}; look at the scheme of its URL")]
    Protocol(&'static str),
}

/// Port of an HTTP proxy whose URL has none: that of its scheme.
const HTTP_PORT: u16 = 80;
/// Port of a SOCKS proxy whose URL has none (RFC 1928 section 3).
const SOCKS_PORT: u16 = 1080;
/// Longest user name and longest password, in bytes: what SOCKS5 has room for (RFC 1929 section 2).
const CREDENTIAL: usize = 255;

impl ProxyServer {
    /// The proxy's host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The proxy's port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// That it was not reached itself.
    pub(super) fn unreachable(&self, error: DialError) -> ProxyError {
        self.failed(ProxyFailure::Unreachable(error))
    }

    /// Asks for a connection to `host`. After that the socket is the peer's, and no byte of the
    /// peer's has been taken from it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a socket that was given up is of no more use.
    pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: &mut S,
        host: &str,
        port: u16,
        deadline: Duration,
    ) -> Result<(), ProxyError> {
        let credentials = self.credentials.as_ref();
        let asking = async {
            match self.protocol {
                Protocol::Http => http::ask(socket, host, port, credentials).await,
                Protocol::Socks5 => socks::ask(socket, host, port, credentials).await,
            }
        };
        let answered = timeout(deadline, asking).await;
        answered
            .unwrap_or(Err(ProxyFailure::TimedOut(deadline)))
            .map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: ProxyFailure) -> ProxyError {
        ProxyError {
            proxy: self.to_string(),
            failure: Box::new(failure),
        }
    }
}

impl ProxyError {
    /// What the proxy did instead.
    pub const fn failure(&self) -> &ProxyFailure {
        &self.failure
    }

    /// Whether nobody was there, not even to say no.
    pub(super) fn is_silence(&self) -> bool {
        matches!(&*self.failure, ProxyFailure::Unreachable(error) if error.is_silence())
    }

    /// Whether a person must do something before another attempt makes sense.
    pub(super) fn is_permanent(&self) -> bool {
        match &*self.failure {
            ProxyFailure::Unreachable(_)
            | ProxyFailure::TimedOut(_)
            | ProxyFailure::Ended(_)
            | ProxyFailure::Refused(_) => false,
            ProxyFailure::CredentialsWanted
            | ProxyFailure::CredentialsRefused
            | ProxyFailure::Login(_)
            | ProxyFailure::Protocol(_) => true,
        }
    }
}

impl FromStr for ProxyServer {
    type Err = ProxyUrlError;

    /// Reads `SCHEME://[USER[:PASSWORD]@]HOST[:PORT]`, or without a scheme, which is then `http`.
    /// Both of `socks5` and `socks5h` have the proxy look names up.
    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (protocol, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, HTTP_PORT),
            "socks5" | "socks5h" => (Protocol::Socks5, SOCKS_PORT),
            _ => return Err(ProxyUrlError::Scheme),
        };
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(Credentials::parse(credentials)?), address),
            None => (None, rest),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '?', '#']) {
            return Err(ProxyUrlError::Path);
        }
        let (host, port) = match address.strip_prefix('[') {
            Some(inside) => {
                let (host, after) = inside.split_once(']').ok_or(ProxyUrlError::Host)?;
                let port = after.strip_prefix(':');
                if port.is_none() && !after.is_empty() {
                    return Err(ProxyUrlError::Host);
                }
                (host, port)
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if HostAddress::new(host, 0).is_err() {
            return Err(ProxyUrlError::Host);
        }
        let port = match port {
            None => default_port,
            Some(port) => {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| is_number && *port > 0);
                port.ok_or(ProxyUrlError::Port)?
            }
        };
        Ok(Self {
            protocol,
            host: host.to_owned(),
            port,
            credentials,
            variable: None,
        })
    }
}

impl Credentials {
    /// Reads `USER[:PASSWORD]`. A user's name has no colon, which Basic could not carry.
    fn parse(text: &str) -> Result<Self, ProxyUrlError> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let (user, password) = (decoded(user)?, decoded(password)?);
        if user.expose().is_empty() || user.expose().contains(&b':') {
            return Err(ProxyUrlError::Credentials);
        }
        Ok(Self { user, password })
    }
}

/// Puts bytes in the places of `%` and two digits.
fn decoded(text: &str) -> Result<Secret<Vec<u8>>, ProxyUrlError> {
    // As large as it can become, so that no half of it is left behind by a larger one.
    let mut decoded = Secret::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let value = digit().zip(digit()).map(|(high, low)| (high << 4) | low);
            let value = value.and_then(|value| u8::try_from(value).ok());
            value.ok_or(ProxyUrlError::Credentials)?
        } else {
            byte
        };
        decoded.expose_mut().push(byte);
    }
    let is_short = decoded.expose().len() <= CREDENTIAL;
    is_short
        .then_some(decoded)
        .ok_or(ProxyUrlError::Credentials)
}

impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Http => "HTTP",
            Protocol::Socks5 => "SOCKS5",
        };
        write!(f, "{protocol} proxy {} port {}", self.host, self.port)?;
        match self.variable {
            Some(variable) => write!(f, " (from {variable})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ProxyServer {
    /// Never the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyServer({self})")
    }
}

#[cfg(test)]
mod tests;
