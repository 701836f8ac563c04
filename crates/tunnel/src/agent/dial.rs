//! Ways to reach a peer: over TCP, through a proxy, through a program, or through another peer.
//!
//! Whatever the way, its end is a [`Carrier`]: bytes to and from the peer's SSH server. What has to
//! go on beside it, a program or the connection to a hop, is its keeper, which lives in the task
//! of the connection that the carrier carries and ends with it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpStream;

use self::command::Program;
pub use self::command::{CommandError, ProxyCommand};
use self::jump::Hop;
pub use self::jump::JumpError;
pub use self::proxy::{
    ProxyEnvironment, ProxyError, ProxyFailure, ProxyServer, ProxyUrlError, ProxyVariableError,
};
use self::tcp::Last;
pub use self::tcp::{DialError, Family};
use super::connect::{SetUpError, SshConnect};
use super::haste::Pace;
use super::supervise::{ConnectError, ConnectionTask, Peer, PeerConfig};
use crate::transport::ssh::{Carrier, Held, Memory};

mod command;
mod jump;
mod proxy;
pub mod tcp;

/// How a peer is reached.
#[derive(Debug, Clone)]
pub struct Way {
    /// Through what.
    pub through: Through,
    /// Which addresses are tried of the host that is dialled from here.
    pub family: Family,
    /// Until the host, or the proxy before it, is connected; the proxy has as long again for its
    /// answer.
    pub timeout: Duration,
}

/// What stands between us and a peer.
#[derive(Debug, Clone)]
pub enum Through {
    /// Nothing: it is dialled from here.
    Nothing,
    /// A proxy, which dials.
    Proxy(Arc<ProxyServer>),
    /// A program, whose standard streams lead there.
    Command(ProxyCommand),
    /// Another peer, which is logged in at first and dials then. It has a way of its own, so a chain
    /// of any length is this again and again.
    Jump(Box<PeerConfig>),
}

/// Why a peer was not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WayError {
    /// It was dialled from here.
    #[error(transparent)]
    Direct(#[from] DialError),
    /// The proxy did not lead there.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The program did not lead there.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The peer before it did not lead there.
    #[error(transparent)]
    Jump(#[from] JumpError),
}

/// Until a socket is connected, where nothing else was said. Names with a dead address first take a
/// part of it.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

impl Way {
    /// Through nothing.
    pub const fn direct() -> Self {
        Self {
            through: Through::Nothing,
            family: Family::Any,
            timeout: DIAL_TIMEOUT,
        }
    }
}

impl WayError {
    /// Whether a person must do something before another attempt makes sense.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Direct(_) => false,
            Self::Proxy(error) => error.is_permanent(),
            Self::Command(error) => error.is_permanent(),
            Self::Jump(error) => error.is_permanent(),
        }
    }

    /// Whether nobody was there, not even to say no.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Direct(error) => error.is_silence(),
            Self::Proxy(error) => error.is_silence(),
            Self::Jump(JumpError::Hop { source, .. }) => source.is_silence(),
            Self::Jump(_) | Self::Command(_) => false,
        }
    }
}

/// Dials a peer by its way, again and again.
pub(super) struct Dialler {
    through: Ready,
    family: Family,
    timeout: Duration,
    last: Mutex<Last>,
}

/// [`Through`] with the hop set up.
enum Ready {
    Nothing,
    Proxy(Arc<ProxyServer>),
    Command(ProxyCommand),
    Jump(Box<SshConnect>),
}

impl Dialler {
    /// Sets up the hops, whose keys are read now.
    pub(super) fn new(way: &Way, memory: &Memory) -> Result<Self, SetUpError> {
        let through = match &way.through {
            Through::Nothing => Ready::Nothing,
            Through::Proxy(proxy) => Ready::Proxy(Arc::clone(proxy)),
            Through::Command(command) => Ready::Command(command.clone()),
            Through::Jump(hop) => {
                let connect = SshConnect::new(hop, memory.clone());
                let connect = connect.map_err(|source| SetUpError::Hop {
                    hop: hop.peer.to_string(),
                    source: Box::new(source),
                })?;
                Ready::Jump(Box::new(connect))
            }
        };
        Ok(Self {
            through,
            family: way.family,
            timeout: way.timeout,
            last: Mutex::default(),
        })
    }

    /// Whether nothing is between.
    pub(super) const fn is_direct(&self) -> bool {
        matches!(self.through, Ready::Nothing)
    }

    /// Goes the way once, at that pace. A socket of ours is shown to `tune` before anything is sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up; a program is killed.
    pub(super) async fn dial(
        &self,
        peer: &Peer,
        pace: Pace,
        tune: &(dyn Fn(&TcpStream) + Sync),
    ) -> Result<(Box<dyn Carrier>, Keeper), WayError> {
        let (host, port) = (peer.host.as_str(), peer.port);
        let connect =
            |host, port| tcp::dial_again(self.family, (host, port), pace, &self.last, self.timeout);
        match &self.through {
            Ready::Nothing => {
                let socket = connect(host, port).await?;
                tune(&socket);
                Ok((Box::new(socket), Keeper::Nobody))
            }
            Ready::Proxy(proxy) => {
                let mut socket = match connect(proxy.host(), proxy.port()).await {
                    Ok(socket) => socket,
                    Err(error) => return Err(proxy.unreachable(error).into()),
                };
                tune(&socket);
                proxy.ask(&mut socket, host, port, self.timeout).await?;
                Ok((Box::new(socket), Keeper::Nobody))
            }
            Ready::Command(command) => {
                let (pipes, program) = command.start()?;
                Ok((Box::new(pipes), Keeper::Program(Box::new(program))))
            }
            Ready::Jump(connect) => {
                let connected = connect.connect_boxed(pace).await;
                let connected = connected.map_err(|source| JumpError::Hop {
                    hop: connect.peer().to_string(),
                    source: Box::new(source),
                })?;
                let hop = Hop::new(connect.peer(), connected);
                let (stream, hop) = hop.open(host, port, self.timeout).await?;
                Ok((Box::new(stream), Keeper::Hop(hop)))
            }
        }
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").finish_non_exhaustive()
    }
}

/// What has to go on for a carrier to carry. Dropped, it ends at once.
pub(super) enum Keeper {
    /// Nothing: the system does it.
    Nobody,
    /// A program between.
    Program(Box<Program>),
    /// The connection to the hop before.
    Hop(Hop),
}

impl Keeper {
    /// Does `work`, which uses the carrier, and what has to go on meanwhile.
    ///
    /// # Cancel safety
    ///
    /// As safe as `work`.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.go_on() => {}
        }
        // What is kept is over; the carrier will say so.
        work.await
    }

    /// Goes on until there is nothing more to do.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    async fn go_on(&mut self) {
        match self {
            Self::Nobody => {}
            Self::Program(program) => program.log_words().await,
            Self::Hop(hop) => hop.go_on().await,
        }
    }

    /// A connection's task, with what has to go on beside it, and its end behind it; or what is left to
    /// hold, if either has fallen silent.
    pub(super) fn keep(mut self, task: ConnectionTask) -> ConnectionTask {
        if matches!(self, Self::Nobody) {
            return task;
        }
        Box::pin(async move {
            match self.beside(task).await {
                Some(held) => self.hold(held).await,
                None => self.end().await,
            }
        })
    }

    /// Ends in order what was kept for a login that has failed, and says why it did: maybe that was
    /// none of the peer's doing.
    pub(super) async fn explain(mut self, error: ConnectError) -> ConnectError {
        let reason = match (&mut self, &error) {
            (Self::Program(program), ConnectError::Handshake(_)) => {
                program.reason().await.map(WayError::from)
            }
            (Self::Hop(hop), ConnectError::Handshake(_)) => hop.reason().map(WayError::from),
            _ => None,
        };
        drop(self.end().await);
        reason.map_or(error, ConnectError::Dial)
    }

    /// What is kept says goodbye, and leaves what there is to hold if it had fallen silent itself.
    pub(super) async fn end(self) -> Option<Held> {
        match self {
            Self::Nobody => None,
            Self::Program(program) => {
                (*program).end().await;
                None
            }
            Self::Hop(hop) => hop.end().await,
        }
    }

    /// What it carried has fallen silent and is held as `carried`: whichever part of the way is dark,
    /// the nearest socket is what can be reset when it is not dark any more.
    async fn hold(self, carried: Held) -> Option<Held> {
        match self {
            Self::Hop(hop) => hop.hold(carried).await,
            Self::Nobody | Self::Program(_) => self.end().await,
        }
    }
}
