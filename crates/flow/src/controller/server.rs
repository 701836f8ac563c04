//! Sockets, connections and their ends.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::future::select_all;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::BindError;
use super::site::{Arrival, Site};

/// Bound sockets of one server: several where a name has several addresses.
#[derive(Debug)]
pub(super) struct Listeners(Vec<TcpListener>);

impl Listeners {
    /// Binds all addresses that a host has, or none.
    pub(super) async fn bind(host: &str, port: u16) -> Result<Self, BindError> {
        match bind(host, port).await {
            Ok(sockets) => Ok(Self(sockets)),
            Err(source) => Err(BindError::Listen {
                host: host.to_owned(),
                port,
                source,
            }),
        }
    }
}

async fn bind(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses: Vec<SocketAddr> = if bare.eq_ignore_ascii_case("localhost") {
        // Whatever the hosts file says: a browser tries both.
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        both.map(|ip| SocketAddr::new(ip, port)).to_vec()
    } else {
        tokio::net::lookup_host((bare, port)).await?.collect()
    };
    addresses.sort_unstable();
    addresses.dedup();
    let mut sockets: Vec<TcpListener> = Vec::new();
    for mut address in addresses {
        if let (0, Some(first)) = (port, sockets.first()) {
            // A port that the system chooses is one for all addresses.
            address.set_port(first.local_addr()?.port());
        }
        match TcpListener::bind(address).await {
            Ok(socket) => sockets.push(socket),
            // A machine without IPv6 has no ::1.
            Err(error)
                if error.kind() == io::ErrorKind::AddrNotAvailable && !sockets.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    if sockets.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(sockets)
}

/// One server: its sockets and what it serves there.
#[derive(Debug)]
pub(super) struct Server {
    listeners: Vec<TcpListener>,
    site: Arc<Site>,
}

impl Server {
    pub(super) fn new(listeners: Listeners, site: Site) -> Self {
        Self {
            listeners: listeners.0,
            site: Arc::new(site),
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter_map(|it| it.local_addr().ok())
    }

    /// Serves until `closed`, then gives what is under way [`DRAIN`] to end.
    pub(super) async fn run(self, closed: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = closed.cancelled() => break,
                (stream, place) = next(&self.listeners, &places) => {
                    let site = Arc::clone(&self.site);
                    connections.spawn(serve(stream, site, place, closed.clone()));
                }
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        drop(self.listeners);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }
}

/// The next connection and its place among all. Dropped, it has taken none.
async fn next(
    listeners: &[TcpListener],
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            std::future::pending::<()>().await;
            continue;
        };
        let accepts = listeners.iter().map(|it| Box::pin(it.accept()));
        let (accepted, _, _) = select_all(accepts).await;
        match accepted {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    site: Arc<Site>,
    place: OwnedSemaphorePermit,
    closed: CancellationToken,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // Reports are small and wanted now.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection keeps its delay");
    }
    let arrival = Arc::new(Arrival::new(local));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (site, arrival) = (Arc::clone(&site), Arc::clone(&arrival));
        async move { Ok::<_, Infallible>(site.answer(request.map(Body::new), &arrival).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closed.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match timeout(DRAIN, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
    if let Some(opening) = arrival.take_socket() {
        tokio::select! {
            () = opening.run() => {}
            () = async {
                closed.cancelled().await;
                sleep(DRAIN).await;
            } => {}
        }
    }
    drop(place);
}

/// Says that a task of ours has panicked.
pub(super) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a task of the controller has panicked");
    }
}

/// Most connections of one server at once; the next waits to be accepted. A browser has six.
const CONNECTIONS: usize = 256;

/// Within this a head has come, and an idle connection asks again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most of a head, and of a body that is not yet asked for; hyper wants 8 KiB at least.
const BUFFER_BYTES: usize = 64 << 10;

/// How long a connection may go on when all is closed.
const DRAIN: Duration = Duration::from_secs(2);

/// Pause after the system refuses an accept, usually because file descriptors ran out. The refusal is
/// immediate, so without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
