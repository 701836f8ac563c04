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

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let host = reader.text(limits::TEXT)?.to_owned();
        // Four bytes on the wire; more than 65,535 is no port.
        let port = u16::try_from(reader.uint32()?).map_err(|_| WireError::Text)?;
        Ok(Self { host, port })
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
    /// `None`: a kind that we do not know, or a malformed address.
    pub(crate) kind: Option<ChannelKind>,
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
            b"session" => Some(ChannelKind::Session),
            b"direct-tcpip" => endpoints(&mut reader)?
                .map(|(target, origin)| ChannelKind::DirectTcpip { target, origin }),
            b"forwarded-tcpip" => endpoints(&mut reader)?
                .map(|(bind, origin)| ChannelKind::ForwardedTcpip { bind, origin }),
            b"direct-streamlocal@openssh.com" => {
                let path = reader.text(limits::SOCKET_PATH)?.to_owned();
                // Reserved, as RFC 4254's origin would be.
                reader.string()?;
                reader.uint32()?;
                Some(ChannelKind::DirectStreamlocal { path })
            }
            b"forwarded-streamlocal@openssh.com" => {
                let path = reader.text(limits::SOCKET_PATH)?.to_owned();
                reader.string()?;
                Some(ChannelKind::ForwardedStreamlocal { path })
            }
            _ => {
                return Ok(Self {
                    remote,
                    window,
                    packet,
                    kind: None,
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

/// Two endpoints; `None` when one of them is no address, which is the sender's error, not a broken
/// frame.
fn endpoints(reader: &mut Reader<'_>) -> Result<Option<(Endpoint, Endpoint)>, WireError> {
    let read = |reader: &mut Reader<'_>| match Endpoint::read(reader) {
        Ok(endpoint) => Ok(Some(endpoint)),
        Err(WireError::Text) => Ok(None),
        Err(error) => Err(error),
    };
    let first = read(reader)?;
    if first.is_none() {
        // The position is lost only if a text was bad before its port; the frame ends here anyway.
        reader.bytes(reader.rest().len())?;
        return Ok(None);
    }
    let second = read(reader)?;
    if second.is_none() {
        reader.bytes(reader.rest().len())?;
    }
    Ok(first.zip(second))
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
