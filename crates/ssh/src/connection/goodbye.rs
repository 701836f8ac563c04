//! How a connection ends badly: what we say last, and what a peer said.

use super::{Connection, Stage};
use crate::error::{ConnectionError, DisconnectCode, Wait};
use crate::limits;
use crate::message;
use crate::printable::Printable;
use crate::wire::{Reader, Write};

impl Connection {
    /// Ends the connection: what there is to say is said by the next [`transmit`](Self::transmit).
    pub(super) fn fail(&mut self, error: ConnectionError) -> ConnectionError {
        if let Stage::Closed(first) = &self.stage {
            return first.clone();
        }
        let (code, text) = match &error {
            ConnectionError::Violation(violation) => (Some(violation.code), violation.what),
            ConnectionError::NoCommonAlgorithm { .. } => (
                Some(DisconnectCode::KeyExchangeFailed),
                "no common algorithm",
            ),
            ConnectionError::HostKeyRefused => (
                Some(DisconnectCode::HostKeyNotVerifiable),
                "host key was not accepted",
            ),
            ConnectionError::HostKeyChanged { .. } => (
                Some(DisconnectCode::HostKeyNotVerifiable),
                "host key changed",
            ),
            ConnectionError::TimedOut(Wait::Rekey) => {
                (Some(DisconnectCode::KeyExchangeFailed), "took too long")
            }
            ConnectionError::TimedOut(_) => (Some(DisconnectCode::ByApplication), "took too long"),
            ConnectionError::LoginFailed { .. } => (
                Some(DisconnectCode::NoMoreAuthMethods),
                "no way to log in is left",
            ),
            ConnectionError::Closed => (Some(DisconnectCode::ByApplication), "closed by its owner"),
            ConnectionError::Crypto(_) => (Some(DisconnectCode::ByApplication), "internal error"),
            ConnectionError::Disconnected { .. } | ConnectionError::Truncated => (None, ""),
        };
        self.goodbye = code.map(|code| goodbye(code, text));
        self.control.clear();
        self.control_bytes = 0;
        // A peer with which nothing is in common is owed our own list, so that it can say what was.
        if !matches!(error, ConnectionError::NoCommonAlgorithm { .. }) {
            self.kex.out.clear();
        }
        let before = std::mem::replace(&mut self.stage, Stage::Closed(error.clone()));
        if let Stage::Running(running) = before {
            self.arrived = Some(running);
        }
        error
    }
}

/// Our DISCONNECT.
pub(super) fn goodbye(code: DisconnectCode, text: &str) -> Vec<u8> {
    let text = cut(text);
    let mut out = vec![message::DISCONNECT];
    out.put_uint32(code.number());
    out.put_string(text.as_bytes());
    out.put_string(b"");
    out
}

/// Words for the peer's person, which are always to be shown.
pub(super) fn spoken(text: &str) -> Vec<u8> {
    let mut out = vec![message::DEBUG];
    out.put_boolean(true);
    out.put_string(cut(text).as_bytes());
    out.put_string(b"");
    out
}

fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(limits::DISCONNECT_TEXT);
    text.get(..end).unwrap_or_default()
}

/// A peer's goodbye. A malformed one is still one.
pub(super) fn disconnected(payload: &[u8]) -> ConnectionError {
    let mut reader = Reader::new(payload.get(1..).unwrap_or_default());
    let code = reader.uint32().unwrap_or_default();
    let text = reader
        .string_up_to(limits::DISCONNECT_TEXT_READ)
        .unwrap_or_default();
    ConnectionError::Disconnected {
        code,
        text: Printable::new(text),
    }
}
