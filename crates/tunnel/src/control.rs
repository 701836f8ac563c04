//! What an adit agent and an adit gateway tell each other besides SSH: the subsystem `control@adit`.
//!
//! A frame is a length (four bytes, most significant first, 1 to [`FRAME`]) and as many bytes of JSON, one message.
//! Each end's first frame is its greeting: the agent's [`ToGateway::Hello`] with the highest version that it
//! speaks, then the gateway's [`ToAgent::Welcome`] with the version that counts from there on, which is no higher.
//! Greetings are the same in every version. All other messages belong to one, and a field or a message that it
//! does not have ends the subsystem; the tunnel goes on without.
//!
//! There is no message by which a gateway could have an agent run, read, write, dial or change anything (security
//! rule G30): it tells what it has done itself, and what it found.

use std::fmt;
use std::str::FromStr;

use adit_ssh::printable::Printable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::transport::Bind;

pub use self::pace::Pace;
pub use self::report::{Facts, Identity, Named, TargetHealth};
pub use self::summary::{GrantSummary, NameSummary};
pub(crate) use self::talk::{Talk, TalkError};

mod pace;
mod report;
mod summary;
mod talk;

/// The subsystem's name.
pub const NAME: &str = "control@adit";
/// The highest version that is spoken here.
pub const VERSION: u32 = 3;
/// Most bytes of a frame behind its length (security rule G31).
pub const FRAME: usize = 65_536;
/// Most bytes of a text in a message (security rule G31).
pub const TEXT: usize = 1_024;
/// Bytes of a length.
const LENGTH: usize = 4;

/// One running agent: a number drawn when its process begins, so that copies of one disk are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance(u128);

/// A peer's words, no longer than [`TEXT`]. They are shown as [`Printable`] and used for nothing else.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

/// Which forward a message is about: what was asked for, word for word, with the port that was granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// An address.
    Tcp {
        /// The host.
        host: Text,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// Its path.
        path: Text,
    },
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToGateway {
    /// Its greeting.
    Hello {
        /// The highest version that it speaks.
        version: u32,
        /// Which agent it is.
        instance: Instance,
    },
    /// It wants to know whether visitors of a forward of this connection get through.
    Probe {
        /// Which.
        forward: Place,
    },
    /// What machine it is on. Once, behind the greetings. Since version 2.
    Facts(Facts),
    /// Whether the service behind a forward is well, as the agent has found. Since version 2.
    Health(TargetHealth),
}

/// What a gateway says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToAgent {
    /// Its greeting.
    Welcome {
        /// The version that is spoken from here on.
        version: u32,
    },
    /// Another connection of the same principal has taken a lease over, and this one may be closed for it.
    Superseded {
        /// What was held.
        holding: Text,
        /// Which agent has it now, if it is one.
        by: Option<Instance>,
        /// The address that it comes from.
        from: Text,
        /// Since when it has it.
        since: Text,
    },
    /// What was taken over has come back to this connection, since the other one is gone. Since version 3.
    Returned {
        /// What is held again.
        holding: Text,
    },
    /// A forward was refused.
    Refused {
        /// Which: as it was asked for.
        forward: Place,
        /// Why, and what to do.
        reason: Text,
    },
    /// Who comes back within that time comes too early.
    RetryAfter {
        /// From now on.
        seconds: u32,
    },
    /// What the agent may do as of now. Told again whenever it changes.
    Grant(GrantSummary),
    /// What was found of a forward that was asked about.
    Probed {
        /// Which.
        forward: Place,
        /// What.
        outcome: Outcome,
    },
    /// Who the agent is there, and under which names its forwards are. Once, behind the greetings. Since version 2.
    Identity(Identity),
    /// Where visitors find a forward of this connection that is a name's: before anything that was found of it, and
    /// anew when that changes. Since version 3.
    Named(Named),
}

/// What a gateway found of the path of a forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Bytes made the way from the public port to the agent and back.
    Up,
    /// The way ends before the agent.
    Nobody {
        /// Where, in words.
        reason: Text,
    },
    /// Nothing came back in time.
    Silent,
    /// The connection has no such forward.
    NotYours,
}

/// Why what came is no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Its length is out of bounds.
    #[error("frame of {length} bytes, where 1 to {FRAME} are allowed")]
    Length {
        /// The length.
        length: u32,
    },
    /// It is no message that is known here.
    #[error("frame is no message of version {VERSION}")]
    Message(#[source] serde_json::Error),
}

/// What of a message could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// A text is too long.
    #[error("text is longer than {TEXT} bytes")]
    Text,
    /// An instance is no number of 32 hexadecimal digits.
    #[error("instance is no number of 32 digits")]
    Instance,
}

/// Bytes as they come, cut into frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Takes what came. What is kept is less than a frame, and what was given since
    /// [`take`](Self::take) gave the last one.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, if it is whole.
    ///
    /// # Errors
    /// What came is none; nothing that follows can be read then.
    pub fn take<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length);
        let Some(wanted) = usize::try_from(length)
            .ok()
            .filter(|wanted| (1..=FRAME).contains(wanted))
        else {
            return Err(FrameError::Length { length });
        };
        let Some(body) = rest.get(..wanted) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body).map_err(FrameError::Message)?;
        let whole = wanted.saturating_add(LENGTH);
        self.bytes.drain(..whole);
        if self.bytes.is_empty() {
            // Frames are few: an idle tunnel keeps nothing.
            self.bytes = Vec::new();
        }
        Ok(Some(message))
    }
}

/// A message as a frame.
///
/// # Errors
/// It is too long, which no message made of texts of ours is.
pub fn frame(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; LENGTH];
    serde_json::to_writer(&mut frame, message).map_err(FrameError::Message)?;
    let length = frame.len().saturating_sub(LENGTH);
    let short = u32::try_from(length).unwrap_or(u32::MAX);
    if length > FRAME {
        return Err(FrameError::Length { length: short });
    }
    if let Some(head) = frame.first_chunk_mut::<LENGTH>() {
        *head = short.to_be_bytes();
    }
    Ok(frame)
}

impl ToGateway {
    /// The version that has had it first.
    pub const fn since(&self) -> u32 {
        match self {
            Self::Hello { .. } | Self::Probe { .. } => 1,
            Self::Facts(_) | Self::Health(_) => 2,
        }
    }
}

impl ToAgent {
    /// The version that has had it first.
    pub const fn since(&self) -> u32 {
        match self {
            Self::Welcome { .. }
            | Self::Superseded { .. }
            | Self::Refused { .. }
            | Self::RetryAfter { .. }
            | Self::Probed { .. } => 1,
            Self::Grant(grant) => grant.since(),
            Self::Identity(_) => 2,
            Self::Returned { .. } | Self::Named(_) => 3,
        }
    }
}

impl Instance {
    /// That number.
    pub const fn new(number: u128) -> Self {
        Self(number)
    }
}

impl FromStr for Instance {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        const DIGITS: usize = 32;
        let is_plain = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_plain);
        number.map(Self).ok_or(FieldError::Instance)
    }
}

impl TryFrom<String> for Instance {
    type Error = FieldError;

    fn try_from(text: String) -> Result<Self, FieldError> {
        text.parse()
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> Self {
        instance.to_string()
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({self})")
    }
}

impl Text {
    /// The text, cut to what a message holds.
    pub fn new(text: &str) -> Self {
        let end = text.floor_char_boundary(TEXT);
        Self(text.get(..end).unwrap_or_default().to_owned())
    }

    /// What may be shown of it.
    pub fn shown(&self) -> Printable {
        Printable::new(self.0.as_bytes())
    }
}

impl TryFrom<String> for Text {
    type Error = FieldError;

    fn try_from(text: String) -> Result<Self, FieldError> {
        if text.len() > TEXT {
            return Err(FieldError::Text);
        }
        Ok(Self(text))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), f)
    }
}

impl From<&Bind> for Place {
    fn from(bind: &Bind) -> Self {
        match bind {
            Bind::Tcp { host, port } => Self::Tcp {
                host: Text::new(host),
                port: *port,
            },
            Bind::Unix { path } => Self::Unix {
                path: Text::new(path),
            },
        }
    }
}

impl From<Place> for Bind {
    fn from(place: Place) -> Self {
        match place {
            Place::Tcp { host, port } => Self::Tcp {
                host: host.into(),
                port,
            },
            Place::Unix { path } => Self::Unix { path: path.into() },
        }
    }
}

#[cfg(test)]
mod tests;
