//! SOCKS, the server's side: what a visitor says before its bytes, and the answers.
//!
//! Versions 4, 4a and 5 (RFC 1928), `CONNECT` alone, without authentication. Names are not looked up
//! here: they go where the connection is made. The [`Dialog`] has no socket and no clock; bytes may
//! come to it in any pieces.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::transport::{OpenError, RefusalCode};

pub use self::greet::GreetError;
pub(crate) use self::greet::{Greeted, greet};

mod greet;

/// What one visitor has said so far. Holds at most one message of the protocol (520 bytes) and what
/// came together with it.
#[derive(Debug, Default)]
pub struct Dialog {
    heard: Vec<u8>,
    has_method: bool,
}

/// What to do next in a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes and go on listening.
    Answer(&'static [u8]),
    /// The visitor has said where it wants to go; what it sends from here on is for there.
    Wanted(Wanted),
}

/// Where a visitor wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// A name or an address: printable ASCII, at most 255 bytes, never empty.
    pub host: String,
    /// The port, from 1.
    pub port: u16,
    version: Version,
}

/// Why a visitor does not get where it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Something else.
    General,
    /// It is not permitted.
    NotAllowed,
    /// No way leads to that network.
    NetworkUnreachable,
    /// The host was not reached, or is not known.
    HostUnreachable,
    /// The host refused the connection.
    ConnectionRefused,
}

/// Why what a visitor said leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocksError {
    /// It speaks something else.
    #[error("visitor does not speak SOCKS: its first byte is {0:#04x}")]
    Version(u8),
    /// It wants to be authenticated.
    #[error("visitor offers no way without authentication")]
    Method,
    /// It wants something other than `CONNECT`.
    #[error("visitor asks for command {command}")]
    Command {
        /// The number.
        command: u8,
        /// The version that it speaks, for the answer.
        version: Version,
    },
    /// An address of a kind that there is not.
    #[error("visitor names an address of kind {0}")]
    AddressKind(u8),
    /// No host or port that could be dialled.
    #[error("visitor names no host that there could be")]
    Host(Version),
    /// A text without its end.
    #[error("visitor's text is too long")]
    TooLong,
}

/// A version of SOCKS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 4 and 4a.
    Four,
    /// 5.
    Five,
}

/// Longest text in a request: what a length of one byte can say. Version 4 has no limit of its own.
const TEXT: usize = 255;
/// `CONNECT`, in either version.
const CONNECT: u8 = 1;
const VERSION_4: u8 = 4;
const VERSION_5: u8 = 5;
/// No authentication (RFC 1928 section 3).
const METHOD_NONE: u8 = 0;

impl Dialog {
    /// A dialog in which nothing was said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what the visitor said. [`step`](Self::step) is to be called until it has nothing more
    /// to tell before the next bytes are read.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    /// What to do about what was heard; `None` when the visitor has more to say first. After
    /// [`Step::Wanted`] the dialog is over.
    pub fn step(&mut self) -> Result<Option<Step>, SocksError> {
        let mut rest = Bytes(&self.heard);
        let step = match self.heard.first() {
            None => None,
            Some(&VERSION_5) if self.has_method => request_5(&mut rest)?.map(Step::Wanted),
            Some(&VERSION_5) => methods(&mut rest)?.map(Step::Answer),
            Some(&VERSION_4) if !self.has_method => request_4(&mut rest)?.map(Step::Wanted),
            Some(&other) => return Err(SocksError::Version(other)),
        };
        if step.is_some() {
            let used = self.heard.len().saturating_sub(rest.0.len());
            self.heard.drain(..used);
            self.has_method = true;
        }
        Ok(step)
    }

    /// What came behind the request: the first bytes for where the visitor wants to go.
    pub fn into_rest(self) -> Vec<u8> {
        self.heard
    }
}

impl Wanted {
    /// The answer that lets the visitor begin. No address is told: it would be one of another
    /// network.
    pub fn granted(&self) -> Vec<u8> {
        answer(
            self.version,
            match self.version {
                Version::Four => 90,
                Version::Five => 0,
            },
        )
    }

    /// The answer that turns the visitor away.
    pub fn refused(&self, refusal: Refusal) -> Vec<u8> {
        answer(
            self.version,
            match (self.version, refusal) {
                (Version::Four, _) => 91,
                (Version::Five, Refusal::General) => 1,
                (Version::Five, Refusal::NotAllowed) => 2,
                (Version::Five, Refusal::NetworkUnreachable) => 3,
                (Version::Five, Refusal::HostUnreachable) => 4,
                (Version::Five, Refusal::ConnectionRefused) => 5,
            },
        )
    }
}

impl From<&OpenError> for Refusal {
    /// SSH has one number for whatever keeps a peer from connecting, so its words are looked at; a
    /// wrong guess costs no more than a wrong word in the visitor's message.
    fn from(error: &OpenError) -> Self {
        match error {
            OpenError::Closed | OpenError::Shortage => Self::General,
            OpenError::Refused { code, reason } => match code {
                RefusalCode::Prohibited => Self::NotAllowed,
                RefusalCode::ConnectFailed => {
                    let reason = reason.to_ascii_lowercase();
                    if reason.contains("refused") {
                        Self::ConnectionRefused
                    } else if reason.contains("network is unreachable") {
                        Self::NetworkUnreachable
                    } else {
                        Self::HostUnreachable
                    }
                }
                RefusalCode::UnknownKind | RefusalCode::Shortage | RefusalCode::Other(_) => {
                    Self::General
                }
            },
        }
    }
}

impl SocksError {
    /// What to answer before the visitor is left alone; nothing where it would not be understood.
    pub fn answer(&self) -> Option<Vec<u8>> {
        match self {
            Self::Version(_) | Self::TooLong => None,
            Self::Method => Some(vec![VERSION_5, 0xff]),
            Self::Command { version, .. } => Some(answer(
                *version,
                match version {
                    Version::Four => 91,
                    Version::Five => 7,
                },
            )),
            Self::AddressKind(_) => Some(answer(Version::Five, 8)),
            Self::Host(version) => Some(answer(
                *version,
                match version {
                    Version::Four => 91,
                    Version::Five => 1,
                },
            )),
        }
    }
}

/// A code with an address of zeros behind it.
fn answer(version: Version, code: u8) -> Vec<u8> {
    match version {
        Version::Four => vec![0, code, 0, 0, 0, 0, 0, 0],
        Version::Five => vec![VERSION_5, code, 0, 1, 0, 0, 0, 0, 0, 0],
    }
}

/// Bytes that are taken from the front. `None` is: not all has come.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Up to a zero byte, which is taken too.
    fn text(&mut self) -> Result<Option<&'a [u8]>, SocksError> {
        let Some(length) = self.0.iter().take(TEXT + 1).position(|byte| *byte == 0) else {
            return if self.0.len() > TEXT {
                Err(SocksError::TooLong)
            } else {
                Ok(None)
            };
        };
        let text = self.take(length);
        self.byte();
        Ok(text)
    }
}

/// `5 COUNT METHOD...`
fn methods(bytes: &mut Bytes<'_>) -> Result<Option<&'static [u8]>, SocksError> {
    let Some([_, count]) = bytes.array() else {
        return Ok(None);
    };
    let Some(methods) = bytes.take(usize::from(count)) else {
        return Ok(None);
    };
    if methods.contains(&METHOD_NONE) {
        Ok(Some(&[VERSION_5, METHOD_NONE]))
    } else {
        Err(SocksError::Method)
    }
}

/// `5 COMMAND 0 KIND ADDRESS PORT`
fn request_5(bytes: &mut Bytes<'_>) -> Result<Option<Wanted>, SocksError> {
    let Some([_, command, _, kind]) = bytes.array() else {
        return Ok(None);
    };
    let host = match kind {
        1 => bytes
            .array()
            .map(|address| Ok(Ipv4Addr::from_octets(address).to_string())),
        3 => bytes
            .byte()
            .and_then(|length| bytes.take(usize::from(length)))
            .map(|name| host(name, Version::Five)),
        4 => bytes
            .array()
            .map(|address| Ok(Ipv6Addr::from_octets(address).to_string())),
        other => return Err(SocksError::AddressKind(other)),
    };
    let (Some(host), Some(port)) = (host, bytes.port()) else {
        return Ok(None);
    };
    wanted(Version::Five, command, host, port).map(Some)
}

/// `4 COMMAND PORT ADDRESS USER 0`, in version 4a with `NAME 0` behind it and an address of
/// `0.0.0.x`.
fn request_4(bytes: &mut Bytes<'_>) -> Result<Option<Wanted>, SocksError> {
    let Some([_, command]) = bytes.array() else {
        return Ok(None);
    };
    let (Some(port), Some(address)) = (bytes.port(), bytes.array()) else {
        return Ok(None);
    };
    // Who the visitor says it is: nothing depends on it.
    if bytes.text()?.is_none() {
        return Ok(None);
    }
    let host = match address {
        [0, 0, 0, last] if last > 0 => match bytes.text()? {
            Some(name) => host(name, Version::Four),
            None => return Ok(None),
        },
        address => Ok(Ipv4Addr::from_octets(address).to_string()),
    };
    wanted(Version::Four, command, host, port).map(Some)
}

fn host(name: &[u8], version: Version) -> Result<String, SocksError> {
    let is_printable = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let name = str::from_utf8(name).ok().filter(|_| is_printable);
    name.map(str::to_owned).ok_or(SocksError::Host(version))
}

/// Judged when all of it has come, so that the answer is not lost in a reset.
fn wanted(
    version: Version,
    command: u8,
    host: Result<String, SocksError>,
    port: u16,
) -> Result<Wanted, SocksError> {
    if command != CONNECT {
        return Err(SocksError::Command { command, version });
    }
    let host = host?;
    if port == 0 {
        return Err(SocksError::Host(version));
    }
    Ok(Wanted {
        host,
        port,
        version,
    })
}

#[cfg(test)]
mod tests;
