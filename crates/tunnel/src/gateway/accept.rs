//! Where connections come in: accept, a place at the [`door`](super::door), login, and then a session to
//! its end.
//!
//! Everything that [`Acceptor::run`] starts has ended when it returns. Stopped, it takes nobody new, tells
//! those who are there, and waits for them for a while.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::server::{DelaySecret, ServerLogin};
use adit_ssh::connection::{KeepAlive, ServerConfig, TransportConfig};
use adit_ssh::provider::{CryptoError, CryptoProvider};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use self::counts::Counts;
use self::counts::{Here, Totals};
use self::logins::Logins;
pub(super) use self::logins::{Telling, tell};
use self::place::{Newcomer, Place, Ticket};
pub use self::sourced::Sourced;
use super::admission::{Gate, Rules};
use super::desk::{Clock, Desk, Who};
use super::door::Door;
use super::enroll::{Enroll, Enrolment};
use super::host_keys::HostKeys;
use super::limit::Usages;
use super::network::Network;
use super::open::Resolve;
use super::policy::Policy;
use super::report::Reports;
use super::seam::Later;
use super::session;
use super::throttle::Throttle;
use crate::transport::Connection;
use crate::transport::ssh::{Driver, Memory, accept, tune};

mod counts;
mod logins;
mod place;
mod sourced;

/// What an operator may set about connections.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The host keys, best first.
    pub host_keys: HostKeys,
    /// Text for whoever tries to log in, before it has; lines end with CR LF.
    pub banner: Option<String>,
    /// When a silent client is asked for a sign of life, and how often before it counts as gone.
    pub keep_alive: Option<KeepAlive>,
    /// Whether a client whose only wish was refused is told so by the end of its connection: a stock
    /// `ssh -N` would sit there for ever, and say no more than that it failed.
    pub ends_useless: bool,
    /// Whether who proves nothing is asked about at all: the policy says as whom it may come in.
    pub anonymous: bool,
    /// Connections in all, those on their way in included. One more is closed at once.
    pub connections: usize,
    /// How long those who are there have to end after a stop.
    pub drain: Duration,
    /// What keeps enrolment codes; without it nobody is enrolled.
    pub enroll: Option<Arc<dyn Enroll>>,
    /// Where visitors of names come in.
    pub site: Site,
}

/// Where visitors of names come in, as devices are told it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// The domain that names are under.
    pub domain: Option<String>,
    /// The port of HTTP.
    pub http: Option<u16>,
    /// The port of HTTPS.
    pub https: Option<u16>,
}

/// What the acceptor needs from the rest of the program.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Who may do what, as it is now.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// The leases.
    pub desk: Arc<Desk>,
    /// What principals carry.
    pub usages: Usages,
    /// Finds the addresses of names.
    pub resolver: Arc<dyn Resolve>,
    /// Finds out who is behind a socket: a load balancer says it in its PROXY header.
    pub source: Arc<dyn Source>,
    /// The cryptography.
    pub provider: Arc<CryptoProvider>,
    /// The memory of connections.
    pub memory: Memory,
    /// What time it is.
    pub clock: Clock,
}

/// Who a socket comes from.
pub trait Source: fmt::Debug + Send + Sync {
    /// The real address behind a socket whose other end is at `peer`; reads what a load balancer put
    /// ahead, and not a byte more. It has [`SOURCE_DEADLINE`].
    ///
    /// # Errors
    /// The socket is not taken.
    fn of(&self, socket: TcpStream, peer: SocketAddr) -> Later<'_, io::Result<Sourced>>;
}

/// Nothing is in front of this gateway: a socket comes from where it comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Source for Direct {
    fn of(&self, socket: TcpStream, peer: SocketAddr) -> Later<'_, io::Result<Sourced>> {
        Box::pin(async move { Ok(Sourced::new(socket, peer)) })
    }
}

/// How long a load balancer has to say who it speaks for.
pub const SOURCE_DEADLINE: Duration = Duration::from_secs(5);
/// Pause after the system refuses an accept, usually because file descriptors ran out. The
/// refusal is immediate, so without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Default of [`Settings::drain`]: a client that is told to go goes at once.
pub const DRAIN: Duration = Duration::from_secs(10);
/// Default of [`Settings::keep_alive`]: a mapping of a NAT lives longer than half a minute, and a client
/// that has been gone for one and a half is.
pub const KEEP_ALIVE: KeepAlive = KeepAlive {
    interval: Duration::from_secs(30),
    misses: 3,
};
/// Default of [`Settings::connections`].
pub const CONNECTIONS: usize = 16_384;

/// Accepts connections and serves them.
#[derive(Debug)]
pub struct Acceptor {
    shared: Arc<Shared>,
    connections: usize,
    drain: Duration,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) desk: Arc<Desk>,
    pub(super) usages: Usages,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) ends_useless: bool,
    pub(super) site: Site,
    pub(super) reports: Reports,
    enrolment: Option<Arc<Enrolment>>,
    source: Arc<dyn Source>,
    memory: Memory,
    config: Mutex<Arc<ServerConfig>>,
    door: Mutex<Door<Ticket, Arc<Newcomer>>>,
    logins: Mutex<Logins>,
    throttle: Arc<Mutex<Throttle>>,
    totals: Totals,
}

impl Shared {
    /// Connections that wait for a place at the door.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.door).waiting()
    }

    /// Connections that are there.
    pub(super) fn connections(&self) -> usize {
        usize::try_from(self.totals.connections()).unwrap_or(usize::MAX)
    }
}

impl Shared {
    /// Says of each network how many of its logins have had no line.
    fn sum_up(&self) {
        for (network, count) in lock(&self.logins).period() {
            tracing::info!(
                network = network.map(tracing::field::display),
                count,
                "more connections have logged in than have lines of their own"
            );
        }
    }
}

impl Settings {
    /// The defaults, with those host keys.
    pub fn with_host_keys(host_keys: HostKeys) -> Self {
        Self {
            host_keys,
            banner: None,
            keep_alive: Some(KEEP_ALIVE),
            ends_useless: true,
            anonymous: false,
            connections: CONNECTIONS,
            drain: DRAIN,
            enroll: None,
            site: Site::default(),
        }
    }
}

impl Acceptor {
    /// An acceptor.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(settings: Settings, parts: Parts) -> Result<Self, CryptoError> {
        let mut transport =
            TransportConfig::server(Arc::clone(&parts.provider), parts.memory.pool.clone());
        transport.keep_alive = settings.keep_alive;
        transport.preferences.host_key = settings.host_keys.algorithms().to_vec();
        let config = ServerConfig {
            transport,
            host_keys: settings.host_keys.keys(),
            login: ServerLogin {
                methods: vec![Method::PublicKey],
                banner: settings.banner,
                signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
                anonymous: settings.anonymous,
            },
            delay_secret: DelaySecret::generate(parts.provider.random.as_ref())?,
        };
        let shared = Shared {
            rules: Rules {
                policy: parts.policy,
                verifier: Arc::clone(&parts.provider.verifier),
                clock: parts.clock,
            },
            desk: parts.desk,
            usages: parts.usages,
            resolver: parts.resolver,
            ends_useless: settings.ends_useless,
            site: settings.site,
            reports: Reports::default(),
            enrolment: settings.enroll.map(|seam| Arc::new(Enrolment::new(seam))),
            source: parts.source,
            memory: parts.memory,
            config: Mutex::new(Arc::new(config)),
            door: Mutex::new(Door::of(settings.connections)),
            logins: Mutex::default(),
            throttle: Arc::default(),
            totals: Totals::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            connections: settings.connections,
            drain: settings.drain,
        })
    }

    /// Other host keys from here on. Connections that are there keep theirs.
    pub fn set_host_keys(&self, host_keys: &HostKeys) {
        let mut config = lock(&self.shared.config);
        let mut changed = ServerConfig::clone(&config);
        changed.host_keys = host_keys.keys();
        changed.transport.preferences.host_key = host_keys.algorithms().to_vec();
        *config = Arc::new(changed);
    }

    /// What agents of devices have told of themselves.
    pub fn reports(&self) -> &Reports {
        &self.shared.reports
    }

    /// What has come so far, and what is there.
    pub fn counts(&self) -> Counts {
        let door = lock(&self.shared.door);
        let (arriving, waiting) = (door.taken(), door.waiting());
        drop(door);
        self.shared.totals.counts(arriving, waiting)
    }

    /// Accepts and serves until `stop`, then until everybody has gone or the drain time is over.
    pub async fn run(&self, listeners: Vec<TcpListener>, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        let mut listeners = Listeners {
            sockets: listeners,
            first: 0,
        };
        let mut summary = tokio::time::interval(logins::PERIOD);
        summary.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = summary.tick() => self.shared.sum_up(),
                (socket, peer) = listeners.next(&self.shared.totals) => {
                    let totals = &self.shared.totals;
                    Totals::add(&totals.accepted);
                    if connections.len() >= self.connections {
                        Totals::add(&totals.too_many);
                        tracing::debug!(visitor.addr = %peer, "connection is closed: there are too many");
                        continue;
                    }
                    let here = Here::counted(&self.shared);
                    let span = tracing::info_span!("connection", visitor.addr = %peer);
                    let serving = serve(here, socket, peer, stop.clone());
                    connections.spawn(serving.instrument(span));
                }
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        drop(listeners);
        let drained = tokio::time::timeout(self.drain, async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        });
        if drained.await.is_err() {
            let left = connections.len();
            tracing::warn!(
                left,
                "drain time is over; closing the connections that are left"
            );
            connections.shutdown().await;
        }
    }
}

/// Where connections come in. They have their turns: a flood at one of them keeps nobody out of another.
struct Listeners {
    sockets: Vec<TcpListener>,
    /// Which is asked first.
    first: usize,
}

impl Listeners {
    /// The next socket of any listener.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn next(&mut self, totals: &Totals) -> (TcpStream, SocketAddr) {
        loop {
            match std::future::poll_fn(|cx| self.poll(cx)).await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    Totals::add(&totals.refused);
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let (behind, ahead) = self.sockets.split_at(self.first.min(self.sockets.len()));
        for (index, listener) in (self.first..).zip(ahead).chain((0..).zip(behind)) {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                self.first = index.saturating_add(1);
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection has panicked");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is changed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(here: Here, socket: TcpStream, peer: SocketAddr, stop: CancellationToken) {
    let shared = here.shared();
    // Who is not logged in yet has nothing to be told.
    let logged_in = tokio::select! {
        () = stop.cancelled() => return,
        // In a box: a connection lasts, and its login does not.
        logged_in = Box::pin(log_in(shared, socket, peer)) => logged_in,
    };
    if let Some((who, connection, driver)) = logged_in {
        let telling = lock(&shared.logins).another(Network::of(who.source.ip()));
        tell!(
            telling,
            principal = %who.principal.name,
            user = %who.user,
            source = %who.source,
            software = %who.software,
            key = who.key.as_ref().map(tracing::field::display),
            "connection is logged in"
        );
        Totals::add(&shared.totals.logged_in);
        let arrival = session::Arrival {
            who,
            connection,
            driver,
            telling,
        };
        session::serve(Arc::clone(shared), arrival, stop).await;
    }
}

async fn log_in(
    shared: &Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<(Who, Connection, Driver<Sourced>)> {
    let sourced = tokio::time::timeout(SOURCE_DEADLINE, shared.source.of(socket, peer));
    let mut sourced = sourced.await.ok()?.ok()?;
    let source = sourced.address();
    let network = Network::of(source.ip());
    let Some(place) = Place::take(shared, network, &mut sourced).await else {
        Totals::add(&shared.totals.no_place);
        tracing::debug!(%network, "connection is closed: no place at the door");
        return None;
    };
    if let Err(error) = tune(sourced.socket()) {
        tracing::debug!(%error, "socket has gone");
        return None;
    }
    let config = Arc::clone(&lock(&shared.config));
    let mut gate = Gate::new(shared.rules.clone(), source, Arc::clone(&shared.throttle))
        .enrolling(shared.enrolment.clone());
    let accepting = Box::pin(accept(sourced, &config, shared.memory.clone(), &mut gate));
    let accepted = tokio::select! {
        biased;
        accepted = accepting => accepted,
        () = place.displaced() => {
            Totals::add(&shared.totals.no_place);
            tracing::debug!(%network, "connection is closed: it says nothing and a neighbour wants its place");
            return None;
        }
    };
    drop(place);
    let (connection, driver) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            gate.failed();
            Totals::add(&shared.totals.not_logged_in);
            tracing::debug!(%error, "nobody logged in");
            return None;
        }
    };
    let who = gate.admitted()?;
    let now = tokio::time::Instant::now().into_std();
    lock(&shared.door).knows(network, now);
    Some((who, connection, driver))
}

#[cfg(test)]
mod tests;
