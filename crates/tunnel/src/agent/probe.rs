//! Whether bytes make the round trip of a forward: the only ground on which it is called up.
//!
//! A probe goes the way of a visitor: to the address that the peer's listener is truly bound to, through
//! it, and back to us over the forward's own channel, where it is answered. It carries a nonce that
//! nobody can guess and that counts once; the answer is an HMAC of it under a key of this process, so
//! that an echo is no answer. What comes back tells who owns the listener.
//!
//! Only while a probe is out, and only where it can have come from, a visitor's first bytes are
//! looked at before its target is dialled. They are kept and go to the target first. The target itself never
//! hears of a probe: connections that say nothing fill logs, and MySQL locks out hosts that make them.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, hmac, rand};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::transport::{OpenError, RefusalCode};

pub(super) use self::way::is_loopback;
pub use self::way::{may_come_from, public_port, twin, way};

pub mod outside;
mod way;

/// Makes the probes of this process.
pub struct Prober {
    key: hmac::Key,
}

/// How the paths of a tunnel are probed.
#[derive(Debug, Clone, Copy)]
pub struct Probing<'a> {
    /// Makes the probes.
    pub prober: &'a Prober,
    /// How often a path that works is probed; [`INTERVAL`] unless something else is wanted. Not zero.
    pub interval: Duration,
}

/// One probe, while it is out.
#[derive(Clone)]
pub struct Probe {
    nonce: [u8; NONCE],
    answer: hmac::Tag,
    made: Instant,
    deadline: Duration,
    /// How long after it was made the nonce was on its way: a round trip, since the way to the listener was
    /// opened for it.
    sent: watch::Sender<Option<Duration>>,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Bytes made the round trip, in this time.
    Up(Duration),
    /// The same at one loopback address; at the other nobody listens. A host without the other version has
    /// it so, and an sshd whose `AddressFamily` is one alone.
    UpInPart(Duration, IpVersion),
    /// The same; at the other somebody else listens, whose visitors come by the same name.
    Shared(IpVersion),
    /// Somebody else answers at the listener.
    Foreign,
    /// Nobody answers at the listener, though the peer granted it.
    Nobody(String),
    /// Nothing came back before the deadline.
    Silent,
    /// The peer lets nobody go that way; the path is not checked.
    Prohibited,
    /// Bytes make the round trip from the peer itself, but nobody listens at the address that others
    /// would come to: an sshd with `GatewayPorts no` binds the loopback alone, whatever was asked for.
    LoopbackOnly,
    /// Bytes make the round trip from the peer itself, and nobody could look whether others get there, too:
    /// they would come over this version of IP, over which the peer is not reached from here. The path is not
    /// checked.
    Unseen(IpVersion),
}

/// A version of the Internet Protocol: which of the listeners of one bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpVersion {
    /// `127.0.0.1` of the peer.
    V4,
    /// `::1` of the peer.
    V6,
}

/// What became of a channel that may have brought a probe.
#[derive(Debug, PartialEq, Eq)]
pub enum Caller {
    /// It had, and is answered: nothing else comes.
    Probe,
    /// A visitor, whose first bytes these are. The stream goes on behind them.
    Visitor(Vec<u8>),
}

/// How often a path that works is probed where nothing else is said: a probe costs 1.6 KB on the wire, headers and all.
pub const INTERVAL: Duration = Duration::from_secs(300);
/// Bytes of a nonce and of its answer.
const NONCE: usize = 32;
/// How long a probe is out at most, on a path that is not known to be slow. It takes three round trips, of
/// which one over a satellite is 0.6 s.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// The same on a path that is: three of the 3 s that a crowded mobile network takes.
pub const LONGEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long a channel is held for the bytes of a probe that was sent, besides a round trip. Then it is a
/// visitor whose service speaks first, and is dialled.
const HOLD: Duration = Duration::from_millis(50);
/// The same at least: a segment that is lost, or that an sshd with Nagle's algorithm keeps back, comes
/// later than 50 ms and a round trip, and the nonce would go to the target (seen on a line of 50 ms, one of
/// some sixty probes).
const LEAST_HOLD: Duration = Duration::from_millis(250);

impl Prober {
    /// One with a key of its own.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub fn new() -> Result<Self, Unspecified> {
        let mut key = [0; NONCE];
        rand::fill(&mut key)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }

    /// A new probe, which is out from now on and for so long at most.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub fn probe(&self, deadline: Duration) -> Result<Probe, Unspecified> {
        let mut nonce = [0; NONCE];
        rand::fill(&mut nonce)?;
        Ok(Probe {
            answer: hmac::sign(&self.key, &nonce),
            nonce,
            made: Instant::now(),
            deadline,
            sent: watch::Sender::new(None),
        })
    }
}

impl Probe {
    /// How long it is out at most.
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Sends the nonce to the listener and waits for its answer, for as long as the probe may be out.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the probe up.
    pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut S) -> Finding {
        let start = Instant::now();
        let mut answer = [0; NONCE];
        let asked = async {
            stream.write_all(&self.nonce).await?;
            self.sent.send_replace(Some(self.made.elapsed()));
            stream.read_exact(&mut answer).await
        };
        match timeout(self.deadline, asked).await {
            Ok(Ok(_)) if self.is_answer(&answer) => Finding::Up(start.elapsed()),
            Err(_) if answer == [0; NONCE] => Finding::Silent,
            // Other bytes, or an end before there were enough: nobody who knows the key was there.
            Ok(_) | Err(_) => Finding::Foreign,
        }
    }

    /// Looks at the first bytes of a channel until they are the nonce, cannot be it any more, or a
    /// visitor has waited long enough: 250 ms, or where that is more 50 ms and a round trip, from when the
    /// nonce was sent, or from now where it was not sent yet. A round trip is what is given for it, or what
    /// the way of the nonce took to open (250 ms at least), if that is less: somebody who comes long after
    /// is not held for longer.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: what was read is lost with the future.
    pub async fn hold<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        round_trip: Duration,
    ) -> Caller {
        let mut sent = self.sent.subscribe();
        let mut first = Vec::with_capacity(NONCE);
        let hold = |trip: Duration| HOLD.saturating_add(trip).min(self.deadline);
        let mut end = pin!(sleep(hold(round_trip).max(LEAST_HOLD)));
        let mut is_on_its_way = false;
        while first.len() < NONCE && self.nonce.starts_with(&first) {
            let mut buffer = [0; NONCE];
            let room = buffer.get_mut(first.len()..).unwrap_or_default();
            let mut room = ReadBuf::new(room);
            let reading = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut room));
            tokio::select! {
                biased;
                read = reading => {
                    if read.is_err() || room.filled().is_empty() {
                        // Its end or its error comes again to whoever goes on with it.
                        return Caller::Visitor(first);
                    }
                    first.extend_from_slice(room.filled());
                }
                opened = sent_after(&mut sent), if !is_on_its_way => {
                    is_on_its_way = true;
                    let now = Instant::now();
                    let hold = hold(round_trip.min(opened.max(LEAST_HOLD))).max(LEAST_HOLD);
                    end.as_mut().reset(now.checked_add(hold).unwrap_or(now));
                }
                () = &mut end => return Caller::Visitor(first),
            }
        }
        let is_ours = constant_time::verify_slices_are_equal(&first, &self.nonce).is_ok();
        if !is_ours {
            return Caller::Visitor(first);
        }
        // Who asked waits for it and for nothing else; one that has gone needs no answer.
        let answered = async {
            stream.write_all(self.answer.as_ref()).await?;
            stream.shutdown().await
        };
        drop(timeout(DEADLINE, answered).await);
        Caller::Probe
    }

    fn is_answer(&self, bytes: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(bytes, self.answer.as_ref()).is_ok()
    }
}

impl IpVersion {
    const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    const fn loopback(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.1",
            Self::V6 => "::1",
        }
    }
}

impl Finding {
    /// Whether bytes make the round trip, if only over one version of IP.
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Up(_) | Self::UpInPart(..))
    }

    /// Whether nobody can look, so that it is neither up nor down.
    pub const fn is_unchecked(&self) -> bool {
        matches!(self, Self::Prohibited | Self::Unseen(_))
    }

    /// How long the round trip took.
    pub const fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Up(time) | Self::UpInPart(time, _) => Some(*time),
            Self::Shared(_)
            | Self::Foreign
            | Self::Nobody(_)
            | Self::Silent
            | Self::Prohibited
            | Self::LoopbackOnly
            | Self::Unseen(_) => None,
        }
    }

    /// The version of IP over which visitors get through, if it is one alone.
    pub const fn part(&self) -> Option<IpVersion> {
        match self {
            Self::UpInPart(_, version) | Self::Shared(version) => Some(*version),
            Self::Up(_)
            | Self::Foreign
            | Self::Nobody(_)
            | Self::Silent
            | Self::Prohibited
            | Self::LoopbackOnly
            | Self::Unseen(_) => None,
        }
    }

    /// Of a bind that stands for both loopback addresses, once its [`twin`] was probed: this was found over
    /// IPv4, and that over IPv6.
    ///
    /// A stock sshd grants such a forward if it could bind one of the two. Where nobody listens at one the
    /// host may not have it. Whoever answers there, or takes a connection and says nothing, is somebody
    /// else.
    #[must_use]
    pub fn with_twin(self, twin: Self) -> Self {
        match (self, twin) {
            (Self::Up(time), Self::Nobody(_)) => Self::UpInPart(time, IpVersion::V4),
            (Self::Up(_), Self::Foreign | Self::Silent) => Self::Shared(IpVersion::V4),
            (Self::Nobody(_), Self::Up(time)) => Self::UpInPart(time, IpVersion::V6),
            (first, _) => first,
        }
    }

    /// What it means that the peer did not open the way to its listener.
    pub fn of_refusal(error: &OpenError) -> Self {
        match error {
            OpenError::Refused {
                code: RefusalCode::ConnectFailed,
                reason,
            } => Self::Nobody(reason.clone()),
            OpenError::Refused { .. } => Self::Prohibited,
            OpenError::Closed | OpenError::Shortage => Self::Silent,
        }
    }
}

/// Waits until the nonce is on its way, and says how long that took.
async fn sent_after(sent: &mut watch::Receiver<Option<Duration>>) -> Duration {
    let sent = sent.wait_for(Option::is_some).await;
    match sent.ok().and_then(|after| *after) {
        Some(after) => after,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prober")
    }
}

impl fmt::Debug for Probe {
    /// Never the nonce: who reads a log could answer for us.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

impl fmt::Display for IpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(time) => write!(f, "up, {:.1} ms", time.as_secs_f64() * 1e3),
            Self::UpInPart(time, version) => write!(
                f,
                "up over {version} alone, {:.1} ms: nobody listens at {} there",
                time.as_secs_f64() * 1e3,
                version.other().loopback()
            ),
            Self::Shared(version) => write!(
                f,
                "up over {version} alone: somebody else listens at {} there",
                version.other().loopback()
            ),
            Self::Foreign => f.write_str("listener is owned by someone else"),
            Self::Nobody(reason) => write!(f, "nobody answers at the listener: {reason}"),
            Self::Silent => f.write_str("nothing came back in time"),
            Self::Prohibited => f.write_str("bound, path not checked"),
            Self::LoopbackOnly => f.write_str(
                "bound to the loopback alone (GatewayPorts in sshd_config of the server)",
            ),
            Self::Unseen(version) => write!(
                f,
                "bound, path not checked: no {version} address of the server is reached from here"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
