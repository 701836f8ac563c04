//! Keeps a tunnel: binds what listens here, connects, asks for what listens there, serves visitors,
//! and when the connection ends waits and does it again.
//!
//! It never gives up once it was up, unless it is told to. A forward that is refused is asked for again on the same
//! connection every second or two: a stock sshd holds the port of a connection that died unseen
//! until its own time-out, and grants it in the instant after. A forward of port 0 asks for the port
//! that it had before. What listens here stays bound all the time.
//!
//! The peer is not trusted: a stream that it opens is served only if it is a visitor of a forward
//! that is up, with the same bind text and port; all else is refused.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use adit_ssh::printable::Printable;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::advice::Advice;
use self::forwards::Forwards;
use self::serve::serve;
use self::wait::{After, Manner};
use super::backoff::{Backoff, Patience};
use super::chance;
use super::control::Successor;
use super::dial::WayError;
use super::forward::{Forward, Listens};
use super::haste::Haste;
use super::health::Health;
use super::listen::{ListenError, Listeners, Shared, Waiting};
use super::login::known_hosts::{HostAddressError, HostKeyRefusal};
use super::meter::Meter;
use super::network::Network;
use super::probe::{Finding, Probing};
use super::visitors::Visitors;
use crate::control::{Identity, Named};
use crate::transport::ssh::Held;
use crate::transport::{Bind, Connection, ConnectionEnd};

mod advice;
mod config;
mod forwards;
mod paths;
mod refusal;
mod serve;
mod wait;

pub use self::config::{KeepAlive, Peer, PeerConfig, TunnelConfig};
pub use self::refusal::Holder;

/// Makes connections to a tunnel's peer.
pub trait Connect: Send + Sync {
    /// One attempt: dial, shake hands, check the host key, log in. Has a deadline of its own.
    ///
    /// Dropping the future must give the attempt up.
    fn connect(&self) -> impl Future<Output = Result<Connected, ConnectError>> + Send;

    /// The same while an outage is young: whoever can lets attempts overlap, so as to be back as soon as the line
    /// is.
    fn connect_hastily(&self) -> impl Future<Output = Result<Connected, ConnectError>> + Send {
        self.connect()
    }

    /// The name at which the peer can be dialled from here, without any host or program between: where
    /// visitors of its public ports would come to.
    fn public_host(&self) -> Option<&str> {
        None
    }
}

/// A connection that is logged in, and the task that drives it.
pub struct Connected {
    /// The connection.
    pub connection: Connection,
    /// Does the work until the connection has ended. Dropping it ends the connection.
    pub task: ConnectionTask,
}

/// A connection's task. What it returns is the socket of a peer that has fallen silent, to be reset
/// once that peer has been reached again.
pub type ConnectionTask = Pin<Box<dyn Future<Output = Option<Held>> + Send>>;

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connected").field(&self.connection).finish()
    }
}

/// Why an attempt to connect came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The peer was not reached.
    #[error("peer was not reached")]
    Dial(#[source] WayError),
    /// The peer's name cannot be a host's.
    #[error("{host:?} is no host")]
    Host {
        /// The text.
        host: String,
        /// What is wrong with it.
        #[source]
        source: HostAddressError,
    },
    /// The peer is not who it should be, or nobody knows.
    #[error("peer was refused")]
    HostKey(#[source] HostKeyRefusal),
    /// No key of ours could be used.
    #[error("no key to log in with")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The peer did not let us in.
    #[error("peer did not let {user} log in")]
    Login {
        /// The user name there.
        user: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The two ends did not come to terms.
    #[error("connection did not come about")]
    Handshake(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ConnectError {
    /// Whether a person must do something before another attempt makes sense. At the first attempt
    /// this ends the program; later a person may be far away, and waiting costs little.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Dial(error) => error.is_permanent(),
            Self::Handshake(_) => false,
            Self::Host { .. } | Self::HostKey(_) | Self::Keys(_) | Self::Login { .. } => true,
        }
    }

    /// Whether nobody was there, not even to say no.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Dial(error) if error.is_silence())
    }
}

/// What happens to a tunnel.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The connection is logged in.
    Connected,
    /// Visitors of a forward come, and get through: it was granted on this connection where nobody
    /// probes, or it is one of those that listen here.
    ForwardUp {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward, with the port that it has.
        forward: &'a Forward,
    },
    /// Bytes have made the round trip of a forward: it is up. Told after each probe.
    ForwardProved {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward, with the port that it has.
        forward: &'a Forward,
        /// How long they took; and where they did not get through.
        finding: &'a Finding,
    },
    /// A forward was granted; whether bytes get through is not known yet.
    ForwardBound {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward, with the port that it has.
        forward: &'a Forward,
    },
    /// A forward is bound, but no bytes have made its round trip. Its path is probed again and again.
    ForwardUnproved {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward.
        forward: &'a Forward,
        /// What was found instead.
        finding: &'a Finding,
    },
    /// A forward was refused for the first time on this connection; it is asked for again and again.
    ForwardRefused {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward.
        forward: &'a Forward,
    },
    /// Who has the port of a forward that was refused was looked for. Told once after each
    /// [`ForwardRefused`](Self::ForwardRefused), where paths are probed.
    ForwardHeld {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward.
        forward: &'a Forward,
        /// Who has it.
        holder: Holder,
    },
    /// A gateway says why it has refused a forward.
    ForwardDenied {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward.
        forward: &'a Forward,
        /// The gateway's words.
        reason: &'a Printable,
    },
    /// A gateway says what may be done there now.
    Granted {
        /// In words.
        grant: &'a str,
    },
    /// A gateway says who we are there, and under which names.
    Identified {
        /// Who, and where.
        identity: &'a Identity,
    },
    /// A gateway says under which name a forward is, and where visitors find it.
    ForwardNamed {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward.
        forward: &'a Forward,
        /// The gateway's words.
        named: &'a Named,
    },
    /// A gateway says that another connection has what was ours. Unless it is of this process, nothing is tried
    /// for minutes once the connection has ended.
    Superseded {
        /// Who has it.
        by: &'a Successor,
    },
    /// A gateway says that what another connection had taken over is ours again.
    Returned {
        /// What it is, in the gateway's words.
        holding: &'a Printable,
    },
    /// A gateway says when to come back, should this connection end before.
    RetryAfter {
        /// The time from now on, as it is taken.
        delay: Duration,
    },
    /// A forward that listens here waits for its address, or for whoever holds its port; it is bound as
    /// soon as it can be.
    ForwardWaiting {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward.
        forward: &'a Forward,
        /// What it waits for.
        reason: &'a Waiting,
    },
    /// A forward that listens here waits no more: it is bound, and its visitors wait for a connection.
    ForwardListens {
        /// Its place among the forwards of the tunnel, from 0.
        number: usize,
        /// The forward, with the port that it has.
        forward: &'a Forward,
    },
    /// The port that a forward had before cannot be had again; any other is asked for.
    PortLost {
        /// The bind with the port that it had.
        bind: &'a Bind,
    },
    /// The connection ended.
    Ended {
        /// Why.
        end: &'a ConnectionEnd,
        /// How long it lasted.
        up: Duration,
    },
    /// An attempt to connect failed.
    Failed {
        /// Why.
        error: &'a ConnectError,
    },
    /// Nothing is tried for so long.
    Waiting {
        /// The wait.
        delay: Duration,
    },
}

/// Why a tunnel came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A forward that listens here cannot.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The first attempt to connect failed in a way that only a person can mend.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// As many attempts in a row as there may be came to nothing; events have told why.
    #[error("gave up after {retries} retries")]
    GivenUp {
        /// How many there may be.
        retries: u32,
    },
}

/// What a tunnel is watched with, besides its events.
#[derive(Debug, Default)]
pub struct Instruments<'a> {
    /// With it, a remote forward is up only once bytes have made its round trip.
    pub probing: Option<Probing<'a>>,
    /// Where visitors and their bytes are counted, for each forward in its place. Forwards beyond are not
    /// counted.
    pub meters: Vec<Arc<Meter>>,
    /// With it, a connection is asked at once whether it is still there when the network changes, a wait is
    /// cut short, and what listens here follows its addresses.
    pub network: Option<Network>,
    /// With it, services that are dialled for visitors of remote forwards can look those up.
    pub visitors: Option<Visitors>,
    /// How long and how often it is tried to connect.
    pub patience: Patience,
    /// How the services behind the forwards do, which a gateway of ours is told.
    pub health: Health,
    /// Where listeners beside this tunnel find its connection ([`Beside`](super::listen::Beside)).
    pub shared: Shared,
}

/// Keeps the tunnel until `stop`. When this returns, all that it started has ended.
///
/// # Errors
///
/// A forward cannot listen here, which is found before anything else is done; an error of the first
/// attempt to connect that only a person can mend; or the end of all patience, where it has one.
///
/// # Cancel safety
///
/// Dropping the future ends everything at once, without a goodbye to the peer.
pub async fn run(
    connect: &impl Connect,
    forwards: Vec<Forward>,
    instruments: Instruments<'_>,
    events: &(dyn Fn(Event<'_>) + Send + Sync),
    stop: CancellationToken,
) -> Result<(), RunError> {
    let Instruments {
        probing,
        meters,
        network,
        visitors,
        patience,
        health,
        shared,
    } = instruments;
    let network = network.unwrap_or_else(Network::unwatched);
    let meters = meters
        .into_iter()
        .chain(std::iter::repeat_with(Arc::default));
    let numbered = forwards.into_iter().zip(meters).enumerate();
    let (here, there) = numbered
        .map(|(number, (forward, meter))| (number, forward, meter))
        .partition(|(_, forward, _)| forward.listens == Listens::Here);
    let listeners = Listeners::start(here, &network, &shared).await?;
    let network = network.subscribe();
    let there = Forwards::new(there, visitors);
    let with = (probing, patience, health);
    let result = tokio::select! {
        biased;
        result = keep(connect, there, &listeners, with, network, events, stop) => result,
        never = listeners.keep_telling(events) => match never {},
    };
    listeners.close().await;
    result
}

/// Connects, serves and connects again.
async fn keep(
    connect: &impl Connect,
    mut forwards: Forwards,
    listeners: &Listeners,
    (probing, patience, health): (Option<Probing<'_>>, Patience, Health),
    mut network: Network,
    events: &(dyn Fn(Event<'_>) + Send + Sync),
    stop: CancellationToken,
) -> Result<(), RunError> {
    let mut backoff = Backoff::new(patience);
    let mut haste = Haste::default();
    let mut is_first = true;
    let public_host = connect.public_host();
    // The last connection's socket, if its peer fell silent.
    let mut held: Option<Held> = None;
    loop {
        let began = Instant::now();
        let manner = match is_first {
            true => Manner::First,
            false if haste.is_on(began) => Manner::Hasty,
            false => Manner::Steady,
        };
        let attempt = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            attempt = wait::attempt(connect, &network, manner) => attempt,
        };
        let mut is_refused = false;
        let is_silent;
        let mut advice = Advice::default();
        let up = match attempt {
            Err(error) if is_first && error.is_permanent() => return Err(error.into()),
            Err(error) => {
                is_refused = error.is_permanent();
                is_silent = error.is_silence();
                if !is_silent {
                    haste.end();
                }
                events(Event::Failed { error: &error });
                Duration::ZERO
            }
            Ok(connected) => {
                is_first = false;
                backoff.succeeded();
                if let Some(held) = held.take() {
                    // The way is back, so the old connection's sshd hears of its end and frees its ports.
                    held.reset();
                }
                events(Event::Connected);
                let start = Instant::now();
                let served = serve(
                    connected,
                    &mut forwards,
                    listeners,
                    (probing, public_host, health.clone()),
                    events,
                    &stop,
                    &mut network,
                )
                .await;
                held = served.held;
                advice = served.advice;
                match served.end {
                    None => return Ok(()),
                    Some(end) => {
                        haste.begin(Instant::now());
                        is_silent = held.is_some();
                        let up = start.elapsed();
                        events(Event::Ended { end: &end, up });
                        up
                    }
                }
            }
        };
        if !backoff.retries() {
            let retries = patience.retries.unwrap_or_default();
            return Err(RunError::GivenUp { retries });
        }
        let usual = if is_refused {
            (backoff.refused(chance()), After::Refusal)
        } else {
            // From one attempt to the next: one that waited long for an answer was a wait itself.
            let took = began.elapsed().saturating_sub(up);
            let delay = if is_silent && haste.is_on(Instant::now()) {
                backoff.soon(began.elapsed(), chance())
            } else {
                backoff.next(up, took, chance())
            };
            (delay, After::Failure)
        };
        let (delay, after) = advice.apply(usual, &backoff, chance());
        events(Event::Waiting { delay });
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = wait::wait(delay, began, after, &mut network) => {}
        }
    }
}

/// A panic is a mistake of ours; it ends what that task was for and nothing else.
pub(crate) fn log_panic<T>(of: &'static str, result: Result<T, JoinError>) {
    if let Err(error) = result
        && error.is_panic()
    {
        warn!(%error, of, "task panicked");
    }
}

#[cfg(test)]
mod tests;
