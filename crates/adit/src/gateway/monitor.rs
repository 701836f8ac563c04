//! Metrics, health and readiness over HTTP, for whoever runs this machine (security rule G124).
//!
//! `GET /metrics` is Prometheus' text format, `GET /health` says that the process lives, `GET /ready` whether it
//! serves as it should: 200, or 503 with a line for each reason. Served on a loopback address alone, and only to
//! who calls it by the name of one: a page of somebody's that a browser here shows can have its own name lead
//! here, but not take that name off its requests. Nothing that a visitor says is in any answer.
//!
//! A connection is one request and has [`DEADLINE`] for all of it.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub(super) use self::condition::Condition;
pub(super) use self::readings::Readings;

mod condition;
mod process;
mod readings;
mod state;
mod text;

/// Connections at a time; one more waits to be accepted. Who scrapes needs one.
const CONNECTIONS: usize = 16;
/// Everything that a connection has to be done in.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest head, in bytes, and the most headers in it.
const HEAD_BYTES: usize = 16_384;
const HEADERS: usize = 64;
/// Pause after the system refuses an accept, usually because file descriptors ran out. The refusal is immediate,
/// so without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A socket that is bound, and answers nobody yet.
#[derive(Debug)]
pub(super) struct Monitor {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Monitor {
    /// Binds there.
    ///
    /// # Errors
    ///
    /// The system does not let us.
    pub(super) fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let wanted = || format!("cannot serve metrics at {address}");
        let listener = std::net::TcpListener::bind(address).with_context(wanted)?;
        listener.set_nonblocking(true).with_context(wanted)?;
        let address = listener.local_addr().with_context(wanted)?;
        Ok(Self { listener, address })
    }

    /// Where it is, with the port that was drawn if any would do.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`. When this returns, nobody is being answered any more.
    ///
    /// # Errors
    ///
    /// The system does not wait for connections.
    pub(super) async fn run(
        self,
        readings: Arc<Readings>,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((socket, _)) => {
                        connections.spawn(timeout(DEADLINE, serve(socket, Arc::clone(&readings))));
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept who asks for metrics");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => debug!("who asked for metrics took too long"),
                    Err(error) => warn!(%error, "an answer about this gateway failed"),
                },
            }
        }
        connections.shutdown().await;
        Ok(())
    }
}

/// One request and its answer.
async fn serve(socket: TcpStream, readings: Arc<Readings>) {
    let service = service_fn(|request: Request<Incoming>| {
        let readings = Arc::clone(&readings);
        async move { Ok::<_, Infallible>(answer(&request, &readings).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(DEADLINE)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "a connection for metrics broke off");
    }
}

async fn answer<B>(request: &Request<B>, readings: &Readings) -> Response<String> {
    if !is_for_this_machine(request) {
        let words =
            "metrics are for this machine: ask for them by a loopback address or localhost\n";
        return plain(StatusCode::MISDIRECTED_REQUEST, words);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let mut response = plain(StatusCode::OK, readings.metrics().await);
            let format = HeaderValue::from_static(text::FORMAT);
            response.headers_mut().insert(CONTENT_TYPE, format);
            response
        }
        "/health" => plain(StatusCode::OK, "alive\n"),
        "/ready" => match readings.unready() {
            reasons if reasons.is_empty() => plain(StatusCode::OK, "ready\n"),
            reasons => plain(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
        },
        _ => plain(
            StatusCode::NOT_FOUND,
            "there is /metrics, /health and /ready\n",
        ),
    }
}

fn plain(status: StatusCode, words: impl Into<String>) -> Response<String> {
    let mut response = Response::new(words.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether a request names a loopback address or `localhost`, whatever the port: it may have come through a
/// forward. One that names nothing, or two things, is not answered.
fn is_for_this_machine<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let target = request.uri().authority();
    let is_own = |text: &str| {
        let name = text.rsplit_once(':').map_or(text, |(name, port)| {
            let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            if is_port { name } else { text }
        });
        let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        name.eq_ignore_ascii_case("localhost")
            || bare
                .unwrap_or(name)
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    };
    host.to_str().is_ok_and(is_own) && target.is_none_or(|target| is_own(target.as_str()))
}

#[cfg(test)]
mod tests;
