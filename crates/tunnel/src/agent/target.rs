//! Whether the target of a remote forward is well: a question of its own, apart from the path's.
//!
//! A check dials the target as a visitor's would be dialled, asks it the least that shows what it is, and
//! takes leave in the way that costs the target least. What that leaves behind there is written at each
//! kind, with the day on which it was measured. A check is off unless the kind is known by its
//! port ([`Kind::usual`]) or asked for: connections that say nothing fill logs, and MySQL locks out hosts that
//! make them.

use std::fmt;
use std::io;
use std::time::Duration;

use adit_ssh::printable::Printable;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::chain;
use super::dial::tcp::{DialError, dial};
use super::local::dial_unix;
use crate::transport::Target;

mod checks;
mod http;
mod kind;
mod mysql;
mod postgres;
mod schedule;
mod ssh;
#[cfg(test)]
mod tests;

pub use checks::Checks;
pub use http::Page;
pub use kind::{Kind, KindError};
pub use schedule::Schedule;

/// What a check found.
///
/// All text in it that is the target's is escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It answered as what it is, and serves.
    Well {
        /// From the first step of dialling to the answer.
        round_trip: Duration,
        /// What it said: "HTTP 200", "SSH-2.0-OpenSSH_9.2p1", "MariaDB 10.11.19".
        detail: String,
    },
    /// It answered as what it is, and said that it does not serve now, or not us.
    Ill {
        /// In its words: "HTTP 503", "1040: Too many connections".
        said: String,
    },
    /// Nobody listens there.
    Refused,
    /// It cannot be dialled, for another reason than that nobody listens.
    Unreachable {
        /// Why not.
        reason: String,
    },
    /// It has no address.
    Unresolved {
        /// Why not.
        reason: String,
    },
    /// It accepts and says nothing within the deadline. Where it should have spoken only after a question,
    /// it may be something else.
    Hangs,
    /// It accepts and hangs up without a word, as a proxy does whose own target is gone.
    HangsUp,
    /// It is something else than was asked for.
    Wrong {
        /// The first it said.
        heard: String,
    },
}

impl Health {
    /// Whether visitors are served.
    pub const fn is_well(&self) -> bool {
        matches!(self, Self::Well { .. })
    }

    /// Whether a service was there to notice the check. One that nobody heard cost nobody anything.
    pub const fn was_heard(&self) -> bool {
        match self {
            Self::Refused | Self::Unreachable { .. } | Self::Unresolved { .. } => false,
            Self::Well { .. }
            | Self::Ill { .. }
            | Self::Hangs
            | Self::HangsUp
            | Self::Wrong { .. } => true,
        }
    }

    fn of_dial(error: &DialError) -> Self {
        match error {
            DialError::Resolve { .. } => Self::Unresolved {
                reason: chain(error),
            },
            DialError::Unreachable { attempts, .. } if attempts.is_empty() => Self::Unresolved {
                reason: chain(error),
            },
            DialError::Unreachable { attempts, .. }
                if attempts
                    .iter()
                    .all(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused) =>
            {
                Self::Refused
            }
            DialError::Unreachable { .. } | DialError::TimedOut { .. } => Self::Unreachable {
                reason: chain(error),
            },
        }
    }

    fn of_unix(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else {
            Self::Unreachable {
                reason: error.to_string(),
            }
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well { detail, .. } => write!(f, "target is well: {detail}"),
            Self::Ill { said } => write!(f, "target does not serve: {said}"),
            Self::Refused => f.write_str("target refuses: nobody listens there"),
            Self::Unreachable { reason } | Self::Unresolved { reason } => {
                write!(f, "target cannot be reached: {reason}")
            }
            Self::Hangs => f.write_str("target hangs: it accepts and says nothing"),
            Self::HangsUp => f.write_str("target hangs up without a word"),
            Self::Wrong { heard } => write!(f, "target is something else: it says \"{heard}\""),
        }
    }
}

/// How long a check waits for its verdict. One that is slower makes visitors wait as long.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// How long the leave-taking may last after the verdict.
const GOODBYE: Duration = Duration::from_secs(1);
/// Most bytes that are listened to for a verdict: a MySQL greeting has 100, a status line 20.
const HEARD: usize = 4 * 1024;
/// Most bytes of an answer that are read, and dropped, so that the target can finish it.
const DRAINED: usize = 64 * 1024;
/// Most bytes of a text of the target that are kept, before they are escaped.
const QUOTED: usize = 120;

/// Checks a target. The verdict comes within `deadline`; taking leave may last a second more.
///
/// # Cancel safety
///
/// Dropping the future closes the socket without taking leave.
pub async fn check(kind: &Kind, target: &Target, deadline: Duration) -> Health {
    let start = Instant::now();
    match target {
        Target::Tcp { host, port } => match dial(host, *port, deadline).await {
            Ok(socket) => converse(kind, target, socket, (start, deadline)).await,
            Err(error) => Health::of_dial(&error),
        },
        Target::Unix { path } => match dial_unix(path, deadline).await {
            Ok(socket) => converse(kind, target, socket, (start, deadline)).await,
            Err(error) => Health::of_unix(&error),
        },
    }
}

/// What the bytes that were heard so far mean.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// Nothing yet: there must be more.
    More,
    /// It is what was asked for, and serves.
    Well(String),
    /// It is what was asked for, and says that it does not serve.
    Ill(String),
    /// It is something else.
    Not,
}

/// Asks, listens, takes leave. The check began then, and has so long.
async fn converse<S>(
    kind: &Kind,
    target: &Target,
    mut stream: S,
    (start, deadline): (Instant, Duration),
) -> Health
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let well = |detail| Health::Well {
        round_trip: start.elapsed(),
        detail,
    };
    if *kind == Kind::Tcp {
        return well(String::from("accepts"));
    }
    let mut heard = Vec::new();
    let question = kind.question(target);
    let listening = listen(kind, &question, &mut stream, &mut heard);
    let left = deadline.saturating_sub(start.elapsed());
    let listened = timeout(left, listening).await;
    let health = match listened {
        Ok(Reading::Well(detail)) => well(detail),
        Ok(Reading::Ill(said)) => Health::Ill { said },
        Ok(Reading::More) if heard.is_empty() => Health::HangsUp,
        Err(_) if heard.is_empty() => Health::Hangs,
        Ok(Reading::More | Reading::Not) | Err(_) => Health::Wrong {
            heard: quote(&heard),
        },
    };
    // The verdict stands; a target that does not let us go costs a moment. One that hangs would not hear it.
    if health != Health::Hangs {
        drop(timeout(GOODBYE, take_leave(kind, &mut stream, heard)).await);
    }
    health
}

/// Listens until it is clear what is heard. [`Reading::More`] at the end means that it ended before.
async fn listen<S>(kind: &Kind, question: &[u8], stream: &mut S, heard: &mut Vec<u8>) -> Reading
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // One that hangs up on the question may have answered before.
    drop(stream.write_all(question).await);
    loop {
        match kind.read(heard) {
            Reading::More if heard.len() >= HEARD => return Reading::Not,
            Reading::More => {}
            clear @ (Reading::Well(_) | Reading::Ill(_) | Reading::Not) => return clear,
        }
        if !more(stream, heard).await {
            return Reading::More;
        }
    }
}

/// Reads once, and says whether there was anything.
async fn more<S: AsyncRead + Unpin>(stream: &mut S, heard: &mut Vec<u8>) -> bool {
    let room = HEARD.saturating_sub(heard.len());
    let mut buffer = [0; 1024];
    let room = buffer.get_mut(..room.min(1024)).unwrap_or_default();
    let length = stream.read(room).await.unwrap_or(0);
    heard.extend_from_slice(room.get(..length).unwrap_or_default());
    length > 0
}

/// Says what the protocol says at the end, and lets the target finish: a socket that is closed with bytes
/// unread is reset, which some log.
async fn take_leave<S>(kind: &Kind, stream: &mut S, heard: Vec<u8>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match kind {
        Kind::MySql => mysql::take_leave(stream, heard).await?,
        Kind::Ssh | Kind::Postgres => stream.shutdown().await?,
        // A server of HTTP may take a half-closed connection for one whose other half is gone. It was asked to
        // close.
        Kind::Http(_) | Kind::Tcp => {}
    }
    let mut left = DRAINED;
    let mut buffer = [0; 4096];
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => break,
            length => left = left.saturating_sub(length),
        }
    }
    Ok(())
}

/// A target's bytes for a person's eyes.
fn quote(bytes: &[u8]) -> String {
    let end = bytes.len().min(QUOTED);
    let bytes = bytes.get(..end).unwrap_or(bytes);
    Printable::new(bytes.trim_ascii_end()).to_string()
}
