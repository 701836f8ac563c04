//! Keeps a tunnel: connects, asks for its forwards, serves their visitors, and when the connection
//! ends waits and does it again.
//!
//! It never gives up once it was up. A forward that is refused is asked for again on the same
//! connection every second or two: a stock sshd holds the port of a connection that died unseen
//! until its own time-out, and grants it in the instant after. A forward of port 0 asks for the port
//! that it had before.
//!
//! The peer is not trusted: a stream that it opens is served only if it is a visitor of a forward
//! that is up, with the same bind text and port; all else is refused.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, debug_span, warn};

use self::forwards::{Forwards, Step};
use super::backoff::Backoff;
use super::dial::WayError;
use super::local;
use super::login::known_hosts::{HostAddressError, HostKeyRefusal};
use crate::transport::ssh::Held;
use crate::transport::{
    Bind, CloseReason, Connection, ConnectionEnd, OpenRequest, PeerRequest, RefusalCode, Target,
};

mod config;
mod forwards;

pub use self::config::{KeepAlive, Peer, PeerConfig, TunnelConfig};

/// A remote forward: visitors of `bind` at the peer go to `target` on our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// What to ask the peer for.
    pub bind: Bind,
    /// Where visitors go.
    pub target: Target,
}

/// Makes connections to a tunnel's peer.
pub trait Connect: Send + Sync {
    /// One attempt: dial, shake hands, check the host key, log in. Has a deadline of its own.
    ///
    /// Dropping the future must give the attempt up.
    fn connect(&self) -> impl Future<Output = Result<Connected, ConnectError>> + Send;
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
}

/// What happens to a tunnel.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The connection is logged in.
    Connected,
    /// A forward was granted: visitors come.
    ForwardUp {
        /// The bind with the port that was granted.
        bind: &'a Bind,
        /// Where visitors go.
        target: &'a Target,
    },
    /// A forward was refused for the first time on this connection; it is asked for again and again.
    ForwardRefused {
        /// The bind.
        bind: &'a Bind,
        /// Where visitors would go.
        target: &'a Target,
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

/// How long a connection may take to say goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// Visitors that came before the answer to their forward. More are refused.
const EARLY_VISITORS: usize = 64;

/// Keeps the tunnel until `stop`. When this returns, all that it started has ended.
///
/// # Errors
///
/// An error of the first attempt that only a person can mend.
///
/// # Cancel safety
///
/// Dropping the future ends everything at once, without a goodbye to the peer.
pub async fn run(
    connect: &impl Connect,
    forwards: Vec<Forward>,
    events: &(dyn Fn(Event<'_>) + Send + Sync),
    stop: CancellationToken,
) -> Result<(), ConnectError> {
    let mut backoff = Backoff::new();
    let mut forwards = Forwards::new(forwards);
    let mut is_first = true;
    // The last connection's socket, if its peer fell silent.
    let mut held: Option<Held> = None;
    loop {
        let attempt = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            attempt = connect.connect() => attempt,
        };
        let mut is_refused = false;
        let up = match attempt {
            Err(error) if is_first && error.is_permanent() => return Err(error),
            Err(error) => {
                is_refused = error.is_permanent();
                events(Event::Failed { error: &error });
                Duration::ZERO
            }
            Ok(connected) => {
                is_first = false;
                if let Some(held) = held.take() {
                    // The way is back, so the old connection's sshd hears of its end and frees its ports.
                    held.reset();
                }
                events(Event::Connected);
                let start = Instant::now();
                let (ended, left) = serve(connected, &mut forwards, events, &stop).await;
                held = left;
                match ended {
                    None => return Ok(()),
                    Some(end) => {
                        let up = start.elapsed();
                        events(Event::Ended { end: &end, up });
                        up
                    }
                }
            }
        };
        let delay = if is_refused {
            backoff.refused(chance())
        } else {
            backoff.next(up, chance())
        };
        events(Event::Waiting { delay });
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = sleep(delay) => {}
        }
    }
}

/// One connection from its login to its end, which is `None` when it came by `stop`; and the socket of
/// a peer that has fallen silent.
async fn serve(
    connected: Connected,
    forwards: &mut Forwards,
    events: &(dyn Fn(Event<'_>) + Send + Sync),
    stop: &CancellationToken,
) -> (Option<ConnectionEnd>, Option<Held>) {
    let Connected { connection, task } = connected;
    let Connection {
        transport,
        mut requests,
    } = connection;
    let mut driver = JoinSet::new();
    driver.spawn(task);
    let mut visitors = JoinSet::new();
    let mut early: Vec<OpenRequest> = Vec::new();
    let mut end = transport.end();
    forwards.begin();
    let ended = loop {
        tokio::select! {
            // The answer to a forward stands before its first visitor, so it is looked at first.
            biased;
            () = stop.cancelled() => break None,
            change = forwards.step(&*transport) => {
                tell(&change, forwards, events);
                for request in std::mem::take(&mut early) {
                    admit(request, forwards, &mut early, &mut visitors);
                }
            }
            end = end.wait() => break Some(end),
            Some(request) = requests.recv() => match request {
                PeerRequest::Open(request) => {
                    admit(request, forwards, &mut early, &mut visitors);
                }
                // A server has nothing to ask of a client; dropping the question refuses.
                PeerRequest::Forward(_) | PeerRequest::Cancel(_) => {}
            },
            Some(result) = visitors.join_next() => log_panic("visitor", result),
        }
    };
    if ended.is_none() {
        transport.close(CloseReason::Stopping);
        if timeout(CLOSE_DEADLINE, end.wait()).await.is_err() {
            debug!("connection did not say goodbye in time");
        }
    }
    drop((transport, requests, early));
    visitors.shutdown().await;
    (ended, end_of(driver).await)
}

/// Waits for a connection's task, which has little left to do, and gives what it leaves.
async fn end_of(mut driver: JoinSet<Option<Held>>) -> Option<Held> {
    let ended = timeout(CLOSE_DEADLINE, driver.join_next()).await;
    driver.abort_all();
    let held = match ended {
        Ok(Some(Ok(held))) => held,
        Ok(Some(Err(error))) => {
            log_panic("connection", Err(error));
            None
        }
        Ok(None) | Err(_) => None,
    };
    while let Some(result) = driver.join_next().await {
        log_panic("connection", result.map(drop));
    }
    held
}

/// Tells what a person should know of a change.
fn tell(change: &Step, forwards: &Forwards, events: &(dyn Fn(Event<'_>) + Send + Sync)) {
    match change {
        Step::Granted(number) => {
            if let Some((bind, target)) = forwards.get(*number) {
                events(Event::ForwardUp { bind, target });
            }
        }
        Step::Refused(number) => {
            if let Some((bind, target)) = forwards.get(*number) {
                events(Event::ForwardRefused { bind, target });
            }
        }
        Step::Lost(bind) => events(Event::PortLost { bind }),
        Step::Again => {}
    }
}

/// Serves a visitor of a forward that is up, keeps one whose forward may be granted in this instant,
/// and refuses everybody else (S94).
fn admit(
    request: OpenRequest,
    forwards: &Forwards,
    early: &mut Vec<OpenRequest>,
    visitors: &mut JoinSet<()>,
) {
    if let Some(target) = forwards.target(&request.head.kind) {
        let span = debug_span!("visitor", origin = %request.head.origin, %target);
        let target = target.clone();
        visitors.spawn(serve_visitor(request, target).instrument(span));
    } else if forwards.may_become(&request.head.kind) && early.len() < EARLY_VISITORS {
        early.push(request);
    } else {
        debug!(head = ?request.head.kind, "peer opened what it was not asked for");
        let answer = request.answer;
        answer.refuse(RefusalCode::Prohibited, "no such forward");
    }
}

async fn serve_visitor(request: OpenRequest, target: Target) {
    match local::serve(request.answer, &target).await {
        Ok(copied) => {
            let (to_target, to_visitor) = (copied.to_socket, copied.to_stream);
            match copied.end {
                Ok(()) => debug!(to_target, to_visitor, "visitor has gone"),
                Err(error) => debug!(to_target, to_visitor, %error, "visitor was cut off"),
            }
        }
        // Not only debug: visitors come and find nobody.
        Err(error) => warn!(%error, "visitor was turned away"),
    }
}

/// A panic is a mistake of ours; it ends what that task was for and nothing else.
fn log_panic(of: &'static str, result: Result<(), JoinError>) {
    if let Err(error) = result
        && error.is_panic()
    {
        warn!(%error, of, "task panicked");
    }
}

/// A number that nobody can guess; any will do if the system has none.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_be_bytes(bytes),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests;
