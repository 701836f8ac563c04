//! Sockets, connections and their ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::future::select_all;
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::site::{Arrival, Site};

/// One server: its sockets and what it serves there.
#[derive(Debug)]
pub(super) struct Server {
    listeners: Vec<TcpListener>,
    site: Arc<Site>,
    /// Most at once; the next waits to be accepted.
    connections: usize,
}

impl Server {
    pub(super) fn new(listeners: Vec<TcpListener>, site: Site, connections: usize) -> Self {
        Self {
            listeners,
            site: Arc::new(site),
            connections,
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter_map(|it| it.local_addr().ok())
    }

    /// Serves until `closed`, then gives what is under way [`DRAIN`] to end.
    pub(super) async fn run(self, closed: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.connections));
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
        Box::pin(async move {
            let answer = site.answer(request.map(Body::new), &arrival).await;
            Ok::<_, Infallible>(answer)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(ended),
        () = closed.cancelled() => None,
    };
    let ended = if let Some(ended) = ended {
        Ok(ended)
    } else {
        Pin::new(&mut connection).graceful_shutdown();
        let last = poll_fn(|cx| connection.poll_without_shutdown(cx));
        timeout(DRAIN, last).await
    };
    match ended {
        Ok(Ok(())) => {}
        // A head that is no HTTP, or is too long, has an answer, too.
        Ok(Err(error)) if error.is_parse() => {}
        Ok(Err(error)) => return debug!(%error, "a connection broke off"),
        Err(_) => return,
    }
    let Parts { io, read_buf, .. } = connection.into_parts();
    let stream = io.into_inner();
    match arrival.take_socket() {
        None => linger(stream).await,
        Some(opening) => tokio::select! {
            () = opening.run(stream, read_buf) => {}
            () = async {
                closed.cancelled().await;
                sleep(DRAIN).await;
            } => {}
        },
    }
    drop(place);
}

/// Closes our side, then reads and forgets what still comes: a socket that is closed with bytes in it
/// is reset, and the answer is lost on its way (RFC 9112, 9.6).
async fn linger(mut stream: TcpStream) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    match timeout(LINGER, rest).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(%error, "a connection broke off"),
        Err(_) => debug!("a peer did not close in time"),
    }
}

/// Says that a task of ours has panicked.
pub(super) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a task of the controller has panicked");
    }
}

/// Within this a head has come, and an idle connection asks again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most of a head, and of a body that is not yet asked for; hyper wants 8 KiB at least.
const BUFFER_BYTES: usize = 64 << 10;

/// How long a connection may go on when all is closed.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a peer has to close when we have.
const LINGER: Duration = Duration::from_secs(1);

/// Pause after the system refuses an accept, usually because file descriptors ran out. The refusal is
/// immediate, so without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
