//! Threads that serve visitors of names, each with a runtime, listeners and upstream connections of its own.
//!
//! One thread's connection never waits for another's (spec/engines.md, part 2: measured 1.1 to 1.5 times the requests
//! of a shared runtime). What all of them read is published whole.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adit_model::lease::Holding;
use futures_util::future::join_all;
use http::StatusCode;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::connection::{Came, serve_http1, serve_http2};
use super::load::Loads;
use super::passage::{self, Passing};
use super::stay::RequestLog;
use super::upstream::Upstreams;
use crate::dial::Dial;
use crate::listen::{self, Accepted, BACKLOG, Door, Listener, Places, Room};
use crate::pool::Pool;
use crate::proxy_protocol::{Balancers, Header};
use crate::route::{Balance, Routes, Upstream};
use crate::stream::read_header;
use crate::tls::{Secured, Tls};
use crate::visitor::Endpoint;

/// How visitors of names are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads, each with a listener at every address.
    pub threads: usize,
    /// Connections at a time, in all.
    pub visitors: usize,
    /// Requests at a time on one connection of HTTP/2.
    pub streams: u32,
    /// Proxies whose word on who the visitor is, is taken.
    pub trusted: Vec<IpNet>,
    /// Balancers in front: then visitors come through those alone, with a header of the PROXY protocol.
    pub balancers: Option<Arc<Balancers>>,
    /// How long the header of a balancer may take.
    pub balancer_time: Duration,
    /// How long a TLS handshake, or the head of a request, may take.
    pub head_time: Duration,
    /// How long a connection at which nothing is asked is kept.
    pub idle_time: Duration,
    /// After how long such a connection gives up its buffers.
    pub rest_after: Duration,
    /// How long a dial may take.
    pub dial_time: Duration,
    /// How long an upstream may take until its answer begins.
    pub answer_time: Duration,
    /// How long a visitor may say nothing within a request's body, or take nothing of an answer.
    pub stall_time: Duration,
    /// Memory for large buffers of other protocols, bytes.
    pub buffer_bytes: usize,
    /// Room that is shared with others who serve visitors; without it there is room for `visitors`.
    pub places: Option<Places>,
}

impl Default for Settings {
    /// nginx's, where it has one: `client_header_timeout` is 60 s there and 10 s here (security rule G74),
    /// `keepalive_timeout` 75 s, `client_body_timeout` 60 s, `proxy_read_timeout` 60 s and with Nginx Proxy Manager
    /// 90 s, which is taken.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            visitors: 10_000,
            streams: 100,
            trusted: Vec::new(),
            balancers: None,
            balancer_time: Duration::from_secs(3),
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            rest_after: Duration::from_secs(5),
            dial_time: Duration::from_secs(15),
            answer_time: Duration::from_secs(90),
            stall_time: Duration::from_secs(60),
            buffer_bytes: 64 << 20,
            places: None,
        }
    }
}

/// Where visitors come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The address. With port 0 the system picks one, the same for all threads.
    pub address: SocketAddr,
    /// Whether by TLS.
    pub is_secure: bool,
}

/// Serves visitors of names.
#[derive(Debug)]
pub struct HttpServer {
    core: Arc<Core>,
    sockets: Mutex<Vec<Vec<(TcpListener, bool)>>>,
    addresses: Vec<SocketAddr>,
}

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) routes: watch::Receiver<Arc<Routes>>,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) log: Arc<dyn RequestLog>,
    tls: Option<Tls>,
    door: Door,
    room: Arc<Semaphore>,
    /// Connections of HTTP/2 that may have wide windows.
    pub(crate) wide: Semaphore,
    listening: Arc<listen::Counts>,
    pub(crate) buffers: Pool,
    pub(crate) totals: Totals,
    turn: AtomicUsize,
    pub(crate) loads: Arc<Loads>,
    /// No more connections, and no more requests on those that are there.
    pub(crate) stop: CancellationToken,
    /// Those that are there end.
    end: CancellationToken,
}

/// What has been served.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    connections: AtomicU64,
    now: AtomicU64,
    turned_away: AtomicU64,
    handshakes_failed: AtomicU64,
    passed: AtomicU64,
    rests: AtomicU64,
    stalled: AtomicU64,
    misused: AtomicU64,
    by_class: [AtomicU64; 5],
}

/// What a server has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are there now.
    pub connections: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Of those, by the rules of the PROXY protocol.
    pub turned_away: u64,
    /// Of those, at the TLS handshake.
    pub handshakes_failed: u64,
    /// Of those, whose TLS was passed through.
    pub passed: u64,
    /// Times that a connection at which nothing was asked gave up its buffers.
    pub rests: u64,
    /// Visitors who took nothing of what was for them for too long.
    pub stalled: u64,
    /// Connections of HTTP/2 that were ended since most of what was asked was taken back at once.
    pub misused: u64,
    /// Requests that were answered, by the first digit of the status: 1 to 5.
    pub by_class: [u64; 5],
    /// Times that a listener waited for room.
    pub full: u64,
    /// Times that the system refused to accept.
    pub refused: u64,
}

impl Totals {
    pub(crate) fn rested(&self) {
        self.rests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stalled(&self) {
        self.stalled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn misused(&self) {
        self.misused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).checked_sub(1);
        if let Some(count) = class.and_then(|class| self.by_class.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What serves names and where it gets its answers from.
#[derive(Debug)]
pub struct Parts {
    /// Which name leads where, at each moment.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// The way there.
    pub dial: Arc<dyn Dial>,
    /// A line for each request.
    pub log: Arc<dyn RequestLog>,
    /// What TLS needs, where a place is secure.
    pub tls: Option<Tls>,
}

/// Connections of HTTP/2 at a time that have wide windows: what visitors may have lie here is bounded by it.
const WIDE: usize = 64;
/// How often connections to upstreams that are kept are looked through.
const SWEEP: Duration = Duration::from_secs(10);

impl HttpServer {
    /// Binds all places.
    ///
    /// # Errors
    /// A place cannot be bound; then none is.
    pub fn bind(parts: Parts, settings: Settings, places: &[Place]) -> io::Result<Self> {
        let threads = settings.threads.max(1);
        let mut sockets: Vec<Vec<(TcpListener, bool)>> = Vec::new();
        sockets.resize_with(threads, Vec::new);
        let mut addresses = Vec::new();
        for place in places {
            let mut address = place.address;
            for own in &mut sockets {
                let socket = bind(address)?;
                if address.port() == 0 {
                    address = socket.local_addr()?;
                }
                own.push((socket, place.is_secure));
            }
            addresses.push(address);
        }
        let listening = Arc::<listen::Counts>::default();
        let places = settings.places.clone();
        let places = places.unwrap_or_else(|| Places::new(settings.visitors));
        let core = Core {
            door: Door::new(&places, Arc::clone(&listening)),
            room: Arc::new(Semaphore::new(
                settings.visitors.min(Semaphore::MAX_PERMITS),
            )),
            wide: Semaphore::new(WIDE),
            listening,
            buffers: Pool::new(settings.buffer_bytes / crate::pool::LARGE),
            routes: parts.routes,
            dial: parts.dial,
            log: parts.log,
            tls: parts.tls,
            totals: Totals::default(),
            turn: AtomicUsize::new(0),
            loads: Arc::default(),
            stop: CancellationToken::new(),
            end: CancellationToken::new(),
            settings,
        };
        Ok(Self {
            core: Arc::new(core),
            sockets: Mutex::new(sockets),
            addresses,
        })
    }

    /// Where it listens, in the order of its places.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop`; then waits for so long until what is being answered has been, and ends the rest. A second
    /// call serves nothing.
    ///
    /// # Errors
    /// A thread cannot be started.
    ///
    /// # Cancel safety
    /// Dropping the future ends all connections in a moment.
    pub async fn run(&self, stop: &CancellationToken, drain: Duration) -> io::Result<()> {
        let _end = self.core.end.clone().drop_guard();
        let sockets =
            std::mem::take(&mut *self.sockets.lock().unwrap_or_else(PoisonError::into_inner));
        let mut threads = Vec::new();
        for (number, sockets) in sockets.into_iter().enumerate() {
            let core = Arc::clone(&self.core);
            let (done, ended) = oneshot::channel::<()>();
            let thread = std::thread::Builder::new()
                .name(format!("adit-http-{number}"))
                .spawn(move || {
                    let served = serve(&core, sockets);
                    drop(done);
                    served
                })?;
            threads.push((thread, ended));
        }
        stop.cancelled().await;
        self.core.stop.cancel();
        let (threads, ends): (Vec<_>, Vec<_>) = threads.into_iter().unzip();
        // They are dropped, not sent.
        let mut ended = pin!(join_all(ends));
        if timeout(drain, ended.as_mut()).await.is_err() {
            warn!(
                left = self.core.totals.now.load(Ordering::Relaxed),
                "drain time is over; ending the connections that are left"
            );
            self.core.end.cancel();
            drop(ended.await);
        }
        for thread in threads {
            // It has said its last word; what is left is its end.
            match tokio::task::spawn_blocking(move || thread.join()).await {
                Ok(Ok(served)) => served?,
                _ => {
                    return Err(io::Error::other(
                        "a thread that serves names ended by a bug",
                    ));
                }
            }
        }
        Ok(())
    }

    /// What it has done.
    pub fn counts(&self) -> Counts {
        let Core {
            totals, listening, ..
        } = &*self.core;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: load(&totals.now),
            accepted: load(&totals.connections),
            turned_away: load(&totals.turned_away),
            handshakes_failed: load(&totals.handshakes_failed),
            passed: load(&totals.passed),
            rests: load(&totals.rests),
            stalled: load(&totals.stalled),
            misused: load(&totals.misused),
            by_class: totals.by_class.each_ref().map(load),
            full: load(&listening.full),
            refused: load(&listening.refused),
        }
    }
}

impl Core {
    /// The members of an upstream in the order in which they are asked.
    pub(crate) fn order<'a>(
        &self,
        upstream: &'a Upstream,
    ) -> impl Iterator<Item = &'a Holding> + use<'a> {
        let count = upstream.members.len();
        let first = match upstream.balance {
            Balance::Failover => 0,
            Balance::RoundRobin => self.next_turn(count),
            Balance::LeastStreams => self.loads.least(&upstream.members),
        };
        upstream.members.iter().cycle().skip(first).take(count)
    }

    fn next_turn(&self, count: usize) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        turn.checked_rem(count).unwrap_or(0)
    }
}

/// One listener among those of all threads: the system spreads visitors over them.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// One thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) core: Arc<Core>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) tasks: TaskTracker,
}

fn serve(core: &Arc<Core>, sockets: Vec<(TcpListener, bool)>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let upstreams = Upstreams::new(
            Arc::clone(&core.dial),
            core.settings.dial_time,
            core.settings.answer_time,
            core.end.clone(),
        );
        let worker = Arc::new(Worker {
            core: Arc::clone(core),
            upstreams: Arc::new(upstreams),
            tasks: TaskTracker::new(),
        });
        for (socket, is_secure) in sockets {
            let listener = Listener::tcp(socket)?;
            worker
                .tasks
                .spawn(Arc::clone(&worker).accept(listener, is_secure));
        }
        worker.tasks.close();
        let mut sweep = tokio::time::interval(SWEEP);
        let swept = async {
            loop {
                sweep.tick().await;
                worker.upstreams.sweep();
            }
        };
        tokio::select! {
            () = worker.tasks.wait() => {}
            () = swept => {}
        }
        // Nobody asks any more.
        worker.upstreams.ended().await;
        Ok(())
    })
}

impl Worker {
    async fn accept(self: Arc<Self>, listener: Listener, is_secure: bool) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.core.stop.cancelled() => return,
                accepted = listener.next(&self.core.door, &self.core.room) => accepted,
            };
            let worker = Arc::clone(&self);
            self.tasks.spawn(async move {
                let end = worker.core.end.clone();
                tokio::select! {
                    biased;
                    () = end.cancelled() => {}
                    () = worker.attend(accepted, is_secure) => {}
                }
            });
        }
    }

    async fn attend(self: &Arc<Self>, accepted: Accepted, is_secure: bool) {
        let Accepted {
            socket,
            peer,
            listener,
            room,
        } = accepted;
        let _here = Here::new(Arc::clone(&self.core), room);
        let Some(socket) = socket.into_tcp() else {
            return;
        };
        let Some(came) = self.introduce(&socket, peer, listener).await else {
            self.core.totals.turned_away.fetch_add(1, Ordering::Relaxed);
            // It is no visitor, and is owed no more than an end.
            socket.set_zero_linger().ok();
            return;
        };
        match &self.core.tls {
            Some(tls) if is_secure => Box::pin(self.secure(tls, came, socket)).await,
            _ => Box::pin(serve_http1(self, came, socket)).await,
        }
    }

    async fn secure(self: &Arc<Self>, tls: &Tls, mut came: Came, socket: TcpStream) {
        let socket = match Box::pin(passage::pass(&self.core, &came, socket)).await {
            Passing::Ended => {
                self.core.totals.passed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Passing::Late => {
                let failed = &self.core.totals.handshakes_failed;
                failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Passing::Ours(socket) => socket,
        };
        let secured = timeout(self.core.settings.head_time, Box::pin(tls.accept(socket))).await;
        let Ok(Ok(Secured {
            stream,
            server_name,
            is_http2,
        })) = secured
        else {
            self.core
                .totals
                .handshakes_failed
                .fetch_add(1, Ordering::Relaxed);
            return;
        };
        came.is_secure = true;
        came.server_name = server_name;
        if is_http2 {
            Box::pin(serve_http2(self, came, stream)).await;
        } else {
            Box::pin(serve_http1(self, came, stream)).await;
        }
    }

    /// Who it is; a balancer says it of those whom it brings.
    async fn introduce(
        &self,
        socket: &TcpStream,
        peer: Endpoint,
        listener: Endpoint,
    ) -> Option<Came> {
        let Some(balancers) = &self.core.settings.balancers else {
            return Some(Came::new(peer, listener, None));
        };
        if !balancers.contain(peer) {
            return None;
        }
        let header = Box::pin(read_header(socket));
        let header = timeout(self.core.settings.balancer_time, header).await;
        Some(match header.ok()?.ok()? {
            Header::Proxied {
                source,
                destination,
            } => Came::new(
                Endpoint::Tcp(source),
                Endpoint::Tcp(destination),
                Some(peer),
            ),
            Header::Own => Came::new(peer, listener, Some(peer)),
        })
    }

    /// The members of an upstream in the order in which they are asked.
    pub(crate) fn order<'a>(
        &self,
        upstream: &'a Upstream,
    ) -> impl Iterator<Item = &'a Holding> + use<'a> {
        self.core.order(upstream)
    }
}

/// A connection that is there.
struct Here {
    core: Arc<Core>,
    _room: Room,
}

impl Here {
    fn new(core: Arc<Core>, room: Room) -> Self {
        core.totals.connections.fetch_add(1, Ordering::Relaxed);
        core.totals.now.fetch_add(1, Ordering::Relaxed);
        Self { core, _room: room }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.core.totals.now.fetch_sub(1, Ordering::Relaxed);
    }
}
