//! How a connection ends badly.

use crate::printable::Printable;
use crate::provider::CryptoError;
use crate::wire::WireError;

/// Reason codes of SSH_MSG_DISCONNECT (RFC 4253 section 11.1), those that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectCode {
    /// The peer broke a rule of the protocol.
    ProtocolError,
    /// Key exchange came to nothing.
    KeyExchangeFailed,
    /// A packet was not authentic.
    MacError,
    /// The version is not ours.
    ProtocolVersionNotSupported,
    /// The host key was not accepted.
    HostKeyNotVerifiable,
    /// The owner of this end wished so.
    ByApplication,
    /// There are too many connections.
    TooManyConnections,
    /// No way to log in is left.
    NoMoreAuthMethods,
}

impl DisconnectCode {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::ProtocolError => 2,
            Self::KeyExchangeFailed => 3,
            Self::MacError => 5,
            Self::ProtocolVersionNotSupported => 8,
            Self::HostKeyNotVerifiable => 9,
            Self::ByApplication => 11,
            Self::TooManyConnections => 12,
            Self::NoMoreAuthMethods => 14,
        }
    }
}

/// A rule that the peer broke, and the code with which we say so. Ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    /// What the peer is told.
    pub code: DisconnectCode,
    /// Which rule, for the peer and for the log. Never holds anything of the peer's.
    pub what: &'static str,
}

impl Violation {
    /// A violation with code 2, the most common.
    pub const fn protocol(what: &'static str) -> Self {
        Self {
            code: DisconnectCode::ProtocolError,
            what,
        }
    }

    /// A key exchange that failed, code 3.
    pub const fn kex(what: &'static str) -> Self {
        Self {
            code: DisconnectCode::KeyExchangeFailed,
            what,
        }
    }
}

impl From<WireError> for Violation {
    fn from(error: WireError) -> Self {
        Self::protocol(match error {
            WireError::Short => "message is cut short",
            WireError::Long { .. } => "message has a field over its limit",
            WireError::Text => "message has text that is not UTF-8",
            WireError::Mpint => "message has a malformed integer",
            WireError::Trailing => "message has bytes left over",
        })
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer broke a rule of the protocol; it was told so.
    #[error("peer broke the protocol: {0}")]
    Violation(Violation),
    /// The peer said goodbye.
    #[error("peer disconnected with code {code}: {text}")]
    Disconnected {
        /// Its reason code (RFC 4253 section 11.1).
        code: u32,
        /// Its words.
        text: Printable,
    },
    /// The peer did not do in time what it had to do.
    #[error("peer took too long {0}")]
    TimedOut(Wait),
    /// The two ends have no algorithm in common.
    #[error("no {what} in common; peer offers {theirs}")]
    NoCommonAlgorithm {
        /// Which kind of algorithm.
        what: &'static str,
        /// The peer's list.
        theirs: Printable,
    },
    /// The host key was refused by the owner of this end.
    #[error("host key was not accepted")]
    HostKeyRefused,
    /// Another host key came with a rekey.
    #[error("host key changed within the connection: was {first}, now {now}")]
    HostKeyChanged {
        /// Fingerprint of the first key.
        first: String,
        /// Fingerprint of the new key.
        now: String,
    },
    /// No way to log in is left.
    #[error("login failed; server still accepts {methods}")]
    LoginFailed {
        /// The server's last list of methods.
        methods: Printable,
    },
    /// Bytes ended in the middle of the protocol.
    #[error("connection was cut off")]
    Truncated,
    /// The owner of this end closed it.
    #[error("connection was closed")]
    Closed,
    /// The cryptographic library failed.
    #[error("cryptography failed")]
    Crypto(#[source] CryptoError),
}

/// What a peer was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// The first key exchange.
    KeyExchange,
    /// The login.
    Login,
    /// A later key exchange.
    Rekey,
    /// Any sign of life.
    Life,
    /// Reading the replies it asked for.
    Replies,
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KeyExchange => "over the key exchange",
            Self::Login => "to log in",
            Self::Rekey => "over a rekey",
            Self::Life => "to answer keep-alives",
            Self::Replies => "to read its replies",
        })
    }
}

impl From<Violation> for ConnectionError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}
