//! CHANNEL_OPEN and its answers (RFC 4254 sections 5.1 and 7.2, OpenSSH's PROTOCOL section 2.4).

use crate::error::Violation;
use crate::limits;
use crate::message;
use crate::wire::{Reader, WireError, Write};

/// What a channel is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelKind {
    /// A session: commands, subsystems.
    Session,
    /// The far end shall connect to a TCP address.
    DirectTcpip {
        /// Where to, as asked: a name or an address.
        target: Endpoint,
        /// Who asks.
        origin: Endpoint,
    },
    /// A visitor came to a forwarded TCP address.
    ForwardedTcpip {
        /// The address that was asked for, word for word, with the port really bound.
        bind: Endpoint,
        /// The visitor.
        origin: Endpoint,
    },
    /// The far end shall connect to a Unix socket.
    DirectStreamlocal {
        /// Its path there.
        path: String,
    },
    /// A visitor came to a forwarded Unix socket.
    ForwardedStreamlocal {
        /// The path that was asked for, word for word.
        path: String,
    },
    /// The server has come to a forwarded TCP address itself, to see whether visitors get through. Of adit alone:
    /// `probe@adit`, with the same bind as [`ForwardedTcpip`](Self::ForwardedTcpip) and no origin.
    Probe {
        /// The address that was asked for, word for word, with the port really bound.
        bind: Endpoint,
    },
}

/// A host, as text, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name, an address, or what OpenSSH writes for "everywhere" (empty) and "here" (localhost).
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// `None` when it is none: four bytes on the wire, but more than 65,535 is no port.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        let host = address(reader, limits::TEXT)?;
        let port = u16::try_from(reader.uint32()?).ok();
        Ok(host.zip(port).map(|(host, port)| Self { host, port }))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_string(self.host.as_bytes());
        out.put_uint32(self.port.into());
    }
}

impl std::fmt::Display for Endpoint {
    /// `host:port`, with brackets around an address that has colons of its own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why an open was refused (RFC 4254 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenFailure {
    /// It is not allowed.
    Prohibited,
    /// The target could not be reached.
    ConnectFailed,
    /// This kind of channel is not known.
    UnknownType,
    /// There is no room.
    ResourceShortage,
    /// Another number.
    Other(u32),
}

impl OpenFailure {
    /// The number on the wire.
    pub const fn code(self) -> u32 {
        match self {
            Self::Prohibited => 1,
            Self::ConnectFailed => 2,
            Self::UnknownType => 3,
            Self::ResourceShortage => 4,
            Self::Other(code) => code,
        }
    }

    const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Prohibited,
            2 => Self::ConnectFailed,
            3 => Self::UnknownType,
            4 => Self::ResourceShortage,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prohibited => f.write_str("administratively prohibited"),
            Self::ConnectFailed => f.write_str("connect failed"),
            Self::UnknownType => f.write_str("unknown channel type"),
            Self::ResourceShortage => f.write_str("resource shortage"),
            Self::Other(code) => write!(f, "code {code}"),
        }
    }
}

/// A peer's CHANNEL_OPEN.
pub(crate) struct Open {
    pub(crate) remote: u32,
    pub(crate) window: u32,
    pub(crate) packet: u32,
    pub(crate) kind: Wanted,
}

/// What kind of channel a peer asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Known(ChannelKind),
    /// Its address cannot be one: the sender's error, not a broken frame.
    NoAddress,
    /// A kind that reaches into the host it is sent to, and is not built here.
    Never,
    Unknown,
}

impl Open {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let name = reader.string_up_to(limits::NAME)?;
        let remote = reader.uint32()?;
        let window = reader.uint32()?;
        let packet = reader.uint32()?;
        let kind = match name {
            b"session" => Wanted::Known(ChannelKind::Session),
            b"direct-tcpip" => Wanted::of(endpoints(&mut reader)?, |(target, origin)| {
                ChannelKind::DirectTcpip { target, origin }
            }),
            b"forwarded-tcpip" => Wanted::of(endpoints(&mut reader)?, |(bind, origin)| {
                ChannelKind::ForwardedTcpip { bind, origin }
            }),
            b"direct-streamlocal@openssh.com" => {
                let path = address(&mut reader, limits::SOCKET_PATH)?;
                // Reserved, as RFC 4254's origin would be.
                reader.string()?;
                reader.uint32()?;
                Wanted::of(path, |path| ChannelKind::DirectStreamlocal { path })
            }
            b"forwarded-streamlocal@openssh.com" => {
                let path = address(&mut reader, limits::SOCKET_PATH)?;
                reader.string()?;
                Wanted::of(path, |path| ChannelKind::ForwardedStreamlocal { path })
            }
            b"probe@adit" => Wanted::of(Endpoint::read(&mut reader)?, |bind| ChannelKind::Probe {
                bind,
            }),
            // What else there is has a body that we do not know.
            other => {
                let reaches_in = matches!(
                    other,
                    b"x11" | b"auth-agent@openssh.com" | b"auth-agent" | b"tun@openssh.com"
                );
                return Ok(Self {
                    remote,
                    window,
                    packet,
                    kind: if reaches_in {
                        Wanted::Never
                    } else {
                        Wanted::Unknown
                    },
                });
            }
        };
        reader.finish()?;
        Ok(Self {
            remote,
            window,
            packet,
            kind,
        })
    }
}

impl Wanted {
    fn of<T>(address: Option<T>, kind: impl FnOnce(T) -> ChannelKind) -> Self {
        address.map_or(Self::NoAddress, |address| Self::Known(kind(address)))
    }
}

/// Two endpoints; `None` when one of them is no address.
fn endpoints(reader: &mut Reader<'_>) -> Result<Option<(Endpoint, Endpoint)>, WireError> {
    let first = Endpoint::read(reader)?;
    let second = Endpoint::read(reader)?;
    Ok(first.zip(second))
}

/// A host or a path of at most `limit` bytes; `None` when it cannot be one: too long, not UTF-8, or
/// with control characters, which belong to no address and into no log.
pub(crate) fn address(reader: &mut Reader<'_>, limit: usize) -> Result<Option<String>, WireError> {
    let bytes = reader.string()?;
    let text = std::str::from_utf8(bytes).ok();
    Ok(text
        .filter(|text| text.len() <= limit && !text.chars().any(char::is_control))
        .map(str::to_owned))
}

/// Our CHANNEL_OPEN.
pub(crate) fn open(kind: &ChannelKind, local: u32, window: u32) -> Vec<u8> {
    let mut out = vec![message::CHANNEL_OPEN];
    out.put_string(match kind {
        ChannelKind::Session => b"session",
        ChannelKind::DirectTcpip { .. } => b"direct-tcpip",
        ChannelKind::ForwardedTcpip { .. } => b"forwarded-tcpip",
        ChannelKind::DirectStreamlocal { .. } => b"direct-streamlocal@openssh.com",
        ChannelKind::ForwardedStreamlocal { .. } => b"forwarded-streamlocal@openssh.com",
        ChannelKind::Probe { .. } => b"probe@adit",
    });
    out.put_uint32(local);
    out.put_uint32(window);
    out.put_uint32(limits::CHANNEL_PACKET);
    match kind {
        ChannelKind::Session => {}
        ChannelKind::DirectTcpip {
            target: there,
            origin,
        }
        | ChannelKind::ForwardedTcpip {
            bind: there,
            origin,
        } => {
            there.write(&mut out);
            origin.write(&mut out);
        }
        ChannelKind::DirectStreamlocal { path } => {
            out.put_string(path.as_bytes());
            out.put_string(b"");
            out.put_uint32(0);
        }
        ChannelKind::ForwardedStreamlocal { path } => {
            out.put_string(path.as_bytes());
            out.put_string(b"");
        }
        ChannelKind::Probe { bind } => bind.write(&mut out),
    }
    out
}

/// Our CHANNEL_OPEN_CONFIRMATION.
pub(crate) fn confirmation(remote: u32, local: u32, window: u32) -> Vec<u8> {
    let mut out = vec![message::CHANNEL_OPEN_CONFIRMATION];
    for number in [remote, local, window, limits::CHANNEL_PACKET] {
        out.put_uint32(number);
    }
    out
}

/// Our CHANNEL_OPEN_FAILURE.
pub(crate) fn failure(remote: u32, failure: OpenFailure, text: &str) -> Vec<u8> {
    let mut out = vec![message::CHANNEL_OPEN_FAILURE];
    out.put_uint32(remote);
    out.put_uint32(failure.code());
    out.put_string(text.as_bytes());
    out.put_string(b"");
    out
}

/// A peer's CHANNEL_OPEN_CONFIRMATION.
pub(crate) struct Confirmation {
    pub(crate) local: u32,
    pub(crate) remote: u32,
    pub(crate) window: u32,
    pub(crate) packet: u32,
}

impl Confirmation {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let parsed = Self {
            local: reader.uint32()?,
            remote: reader.uint32()?,
            window: reader.uint32()?,
            packet: reader.uint32()?,
        };
        reader.finish()?;
        Ok(parsed)
    }
}

/// A peer's CHANNEL_OPEN_FAILURE: our channel, why, and its words.
pub(crate) fn parse_failure(
    payload: &[u8],
) -> Result<(u32, OpenFailure, crate::printable::Printable), Violation> {
    let mut reader = Reader::new(payload);
    reader.byte()?;
    let local = reader.uint32()?;
    let failure = OpenFailure::from_code(reader.uint32()?);
    let text = crate::printable::Printable::new(reader.string()?);
    // A language tag that nobody uses.
    reader.string()?;
    reader.finish()?;
    Ok((local, failure, text))
}
