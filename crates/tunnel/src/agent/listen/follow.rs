//! Follows an address that comes and goes: one that was written down, or those of an interface.
//!
//! What this machine has is bound, what it has no more is closed, and visitors who are connected stay. The
//! network's changes say when to look; every now and then it is looked at without one, for a port that
//! another has given back and for a machine that does not tell of changes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info};

use super::bind::{ListenError, bind_one, is_absent, refused};
use super::standing::{Slot, Standing, Waiting};
use super::{Link, Socket, serve};
use crate::agent::chain;
use crate::agent::forward::Forward;
use crate::agent::network::{InterfaceName, Network};
use crate::agent::supervise::log_panic;
use crate::transport::Bind;

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// An address that was written down.
    Address(IpAddr),
    /// The addresses of an interface.
    Interface(InterfaceName),
}

/// A forward whose sockets come and go with their addresses. Dropped, they are closed.
pub(super) struct Follower {
    place: Place,
    forward: Forward,
    port: u16,
    link: Link,
    sockets: Vec<Bound>,
    /// A task for each socket and its visitors.
    tasks: JoinSet<()>,
}

/// A socket that is bound.
struct Bound {
    ip: IpAddr,
    /// Whether an interface bears the address. Others can be bound, too (`127.0.0.2`, for example), and
    /// do not go away with an interface.
    is_borne: bool,
    state: State,
}

/// Whether visitors are let in.
enum State {
    /// Not yet: where another forward cannot be bound, nobody has been.
    Fresh(TcpListener),
    /// They are, until this is dropped.
    Serving { _closes: DropGuard },
}

/// Why an address is not bound.
enum Missing {
    /// It is not there.
    Absent(Waiting),
    /// The system says no.
    Refused(ListenError),
}

/// How often it is tried anew without a change of the network.
const AGAIN: Duration = Duration::from_secs(5);

impl Place {
    /// What a bind has us follow; nothing where it is a socket's path or a name, `localhost` among them.
    ///
    /// # Errors
    ///
    /// It names what can be no interface.
    pub(super) fn of(bind: &Bind) -> Result<Option<Self>, ListenError> {
        let Bind::Tcp { host, .. } = bind else {
            return Ok(None);
        };
        match InterfaceName::of_host(host) {
            Some(name) => Ok(Some(Self::Interface(name?))),
            None => Ok(host.parse().ok().map(Self::Address)),
        }
    }

    fn addresses(&self, network: &Network) -> Result<Vec<IpAddr>, Waiting> {
        match self {
            Self::Address(ip) => Ok(vec![*ip]),
            Self::Interface(name) => {
                let addresses = network.addresses_of(name);
                addresses.map_err(|reason| Waiting::Interface {
                    name: name.clone(),
                    reason,
                })
            }
        }
    }
}

impl Follower {
    /// Binds what there is to bind.
    ///
    /// # Errors
    ///
    /// An address that is there cannot be had.
    pub(super) fn start(
        place: Place,
        forward: Forward,
        link: Link,
        network: &Network,
    ) -> Result<(Self, Standing), ListenError> {
        let mut this = Self {
            place,
            port: forward.bind.port().unwrap_or_default(),
            forward,
            link,
            sockets: Vec::new(),
            tasks: JoinSet::new(),
        };
        let waiting = match this.settle(network) {
            Ok(()) => None,
            Err(Missing::Absent(waiting)) => Some(waiting),
            Err(Missing::Refused(error)) => return Err(error),
        };
        let standing = this.standing(waiting);
        Ok((this, standing))
    }

    /// Follows until it is dropped.
    pub(super) async fn run(mut self, mut network: Network, slot: Slot) {
        loop {
            let waiting = match self.settle(&network) {
                Ok(()) => None,
                Err(Missing::Absent(waiting)) => Some(waiting),
                Err(Missing::Refused(error)) => Some(Waiting::Listen(chain(&error))),
            };
            self.let_in();
            let is_waiting = waiting.is_some();
            slot.set(self.standing(waiting));
            tokio::select! {
                _ = network.changed() => {}
                () = sleep(AGAIN), if is_waiting => {}
                Some(result) = self.tasks.join_next() => log_panic("listener", result),
            }
        }
    }

    fn standing(&self, waiting: Option<Waiting>) -> Standing {
        let bind = self.forward.bind.with_port(self.port);
        let forward = Forward {
            bind,
            ..self.forward.clone()
        };
        Standing { forward, waiting }
    }

    /// Closes what is not there any more and binds what has come. Says of what is missing the first.
    fn settle(&mut self, network: &Network) -> Result<(), Missing> {
        let wanted = self.place.addresses(network);
        let wanted_now = wanted.as_deref().unwrap_or_default();
        let forward = &self.forward;
        self.sockets.retain(|bound| {
            let is_gone = bound.is_borne && network.has(bound.ip) == Some(false);
            let stays = wanted_now.contains(&bound.ip) && !is_gone;
            if !stays {
                info!(%forward, ip = %bound.ip, "address has gone; not listening there any more");
            }
            stays
        });
        let mut first = Ok(());
        for ip in wanted.map_err(Missing::Absent)? {
            if self.sockets.iter().any(|bound| bound.ip == ip) {
                continue;
            }
            let bound = self.bind(ip, network);
            first = first.and(bound);
        }
        first
    }

    fn bind(&mut self, ip: IpAddr, network: &Network) -> Result<(), Missing> {
        let wanted = SocketAddr::new(ip, self.port);
        let (addr, listener) = bind_one(wanted).map_err(|error| {
            if is_absent(&error) {
                Missing::Absent(Waiting::Absent(ip))
            } else {
                Missing::Refused(refused(wanted, error))
            }
        })?;
        // The system chooses once.
        self.port = addr.port();
        self.sockets.push(Bound {
            ip,
            is_borne: network.has(ip) == Some(true),
            state: State::Fresh(listener),
        });
        let forward = &self.forward;
        match self.place {
            Place::Interface(_) => info!(%forward, %addr, "listening"),
            // That the forward is up is told, and says where.
            Place::Address(_) => debug!(%forward, "listening"),
        }
        Ok(())
    }

    /// Lets visitors in where they are not yet.
    fn let_in(&mut self) {
        for bound in &mut self.sockets {
            if matches!(bound.state, State::Serving { .. }) {
                continue;
            }
            let closed = CancellationToken::new();
            let serving = State::Serving {
                _closes: closed.clone().drop_guard(),
            };
            if let State::Fresh(listener) = std::mem::replace(&mut bound.state, serving) {
                let (socket, link) = (Socket::Tcp(listener), self.link.clone());
                let task = serve(socket, self.forward.clone(), link, closed);
                self.tasks.spawn(task);
            }
        }
    }
}
