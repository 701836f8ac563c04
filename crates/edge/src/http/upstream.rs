//! Connections to upstreams, kept for the next request.
//!
//! Each thread has its own. A connection is kept for one holding of one tenant, and is of no use to any other; when
//! the tunnel behind it is fenced out it ends in that instant, and whoever would have been next is led anew.

use std::collections::HashMap;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_model::id::PrincipalId;
use adit_model::lease::Holding;
use http::header::UPGRADE;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::{BodyEnd, Question, Sent};
use super::connection::{BUFFER, Came};
use crate::dial::{Carrier, Dial, DialError};
use crate::error_page::Cause;
use crate::listen;
use crate::visitor::{Endpoint, Visitor};

/// Connections that are kept for one holding, on one thread: eight visitors of HTTP/2 with 32 requests each find theirs
/// again (with 64, one request in fifteen dialled anew; 2026-11-23).
const KEPT_EACH: usize = 256;
/// Connections that are kept, on one thread.
const KEPT: usize = 1_024;
/// A connection that was kept for so long may have been closed at its other end while a request is on its way there.
/// Services keep theirs for 2 s and more (Apache 5 s, Node 5 s, uvicorn 5 s, gunicorn 2 s).
const STALE: Duration = Duration::from_secs(1);
/// How long one is kept. Services that keep theirs for less say so by closing it.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Whose connection it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: Option<PrincipalId>,
    holding: Holding,
}

/// The connections of one thread.
#[derive(Debug)]
pub(crate) struct Upstreams {
    kept: Mutex<Kept>,
    tasks: TaskTracker,
    end: CancellationToken,
    dial: Arc<dyn Dial>,
    dial_time: Duration,
    answer_time: Duration,
}

#[derive(Debug, Default)]
struct Kept {
    one: HashMap<Key, Vec<Idle>>,
    count: usize,
    /// Connections of HTTP/2, which are shared.
    shared: HashMap<Key, Shared>,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<Question>,
    used: Instant,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<Question>,
    since: Instant,
}

/// A connection that carries a request, on its way back to those that are kept.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Upstreams>,
    key: Key,
    sender: http1::SendRequest<Question>,
}

/// How an upstream is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way<'a> {
    /// Whose.
    pub(crate) tenant: Option<PrincipalId>,
    /// What.
    pub(crate) holding: &'a Holding,
    /// For whom, where it has to be led there.
    pub(crate) origin: Endpoint,
    /// How they came.
    pub(crate) came: &'a Came,
}

/// What an upstream says, and where it said it.
pub(crate) type Said = (Response<Incoming>, Option<Place>);

/// Why an upstream said nothing, with the request where no byte of it has left.
pub(crate) type Unsaid = (Option<Request<Question>>, Cause);

impl Upstreams {
    pub(crate) fn new(
        dial: Arc<dyn Dial>,
        dial_time: Duration,
        answer_time: Duration,
        end: CancellationToken,
    ) -> Self {
        Self {
            kept: Mutex::default(),
            tasks: TaskTracker::new(),
            end,
            dial,
            dial_time,
            answer_time,
        }
    }

    /// Asks by HTTP/1.1.
    ///
    /// # Errors
    /// The request comes back where no byte of it has left.
    ///
    /// # Cancel safety
    /// Dropping the future ends the connection that carries the request.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        way: Way<'_>,
        mut request: Request<Question>,
    ) -> Result<Said, Unsaid> {
        let key = way.key();
        while let Some(Idle { sender, since }) = self.take(&key) {
            let again = (since.elapsed() >= STALE)
                .then(|| again(&request))
                .flatten();
            match self.send(sender, &key, request).await {
                // It was closed between two requests, and no byte of this one has left.
                Err((Some(unsent), _)) => request = unsent,
                // Its close was under way, and nothing is asked twice that may not be.
                Err((None, Cause::Upstream(error))) => match again {
                    Some(again) if has_just_closed(&error) => request = again,
                    _ => return Err((None, Cause::Upstream(error))),
                },
                said => return said,
            }
        }
        let sender = match self.connect(way).await {
            Ok(sender) => sender,
            Err(cause) => return Err((Some(request), cause)),
        };
        self.send(sender, &key, request).await
    }

    async fn send(
        self: &Arc<Self>,
        mut sender: http1::SendRequest<Question>,
        key: &Key,
        request: Request<Question>,
    ) -> Result<Said, Unsaid> {
        let sent = Arc::clone(request.body().sent());
        match self.in_time(&sent, sender.try_send_request(request)).await {
            Some(Ok(response)) => {
                let place = Place {
                    of: Arc::clone(self),
                    key: key.clone(),
                    sender,
                };
                Ok((response, Some(place)))
            }
            Some(Err(mut error)) => {
                let unsent = error.take_message();
                Err((unsent, broken(error.into_error())))
            }
            None => Err((None, Cause::Late)),
        }
    }

    /// The answer, unless nothing happens for too long: as long as the request's body moves, it is waited for.
    async fn in_time<T>(&self, sent: &Sent, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        loop {
            let before = sent.bytes();
            match timeout(self.answer_time, answer.as_mut()).await {
                Ok(answer) => return Some(answer),
                Err(_) if sent.bytes() == before => return None,
                Err(_) => {}
            }
        }
    }

    /// Asks by HTTP/2, which gRPC needs.
    pub(crate) async fn ask_shared(
        self: &Arc<Self>,
        way: Way<'_>,
        request: Request<Question>,
    ) -> Result<Said, Unsaid> {
        let key = way.key();
        let mut request = request;
        if let Some(sender) = self.share(&key) {
            match self.send_shared(sender, request).await {
                // It was closed, and no byte of this one has left.
                Err((Some(unsent), _)) => request = unsent,
                said => return said,
            }
        }
        let sender = match self.connect_shared(way).await {
            Ok(sender) => sender,
            Err(cause) => return Err((Some(request), cause)),
        };
        let shared = Shared {
            sender: sender.clone(),
            used: Instant::now(),
        };
        self.kept().shared.insert(key, shared);
        self.send_shared(sender, request).await
    }

    async fn send_shared(
        &self,
        mut sender: http2::SendRequest<Question>,
        request: Request<Question>,
    ) -> Result<Said, Unsaid> {
        let sent = Arc::clone(request.body().sent());
        match self.in_time(&sent, sender.try_send_request(request)).await {
            Some(Ok(response)) => Ok((response, None)),
            Some(Err(mut error)) => {
                let unsent = error.take_message();
                Err((unsent, broken(error.into_error())))
            }
            None => Err((None, Cause::Late)),
        }
    }

    /// The connection of HTTP/2 that is there.
    fn share(&self, key: &Key) -> Option<http2::SendRequest<Question>> {
        let mut kept = self.kept();
        let shared = kept.shared.get_mut(key)?;
        shared.used = Instant::now();
        (!shared.sender.is_closed()).then(|| shared.sender.clone())
    }

    async fn open(&self, way: Way<'_>) -> Result<Through, Cause> {
        let visitor = Visitor {
            holding: way.holding.clone(),
            origin: way.origin,
            listener: way.came.listener,
            via: way.came.via,
        };
        let dialled = timeout(self.dial_time, self.dial.dial(&visitor)).await;
        let carrier = dialled
            .unwrap_or(Err(DialError::Late))
            .map_err(Cause::Dial)?;
        if let Carrier::Tcp(socket) = &carrier {
            listen::dialled(socket);
        }
        Ok(Through(carrier))
    }

    async fn connect(&self, way: Way<'_>) -> Result<http1::SendRequest<Question>, Cause> {
        let through = self.open(way).await?;
        let made = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(through))
            .await;
        let (sender, connection) = made.map_err(Cause::Upstream)?;
        let connection = connection.with_upgrades();
        let end = self.end.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                // How it ends is told to whoever asked.
                _ = connection => {}
                () = end.cancelled() => {}
            }
        });
        Ok(sender)
    }

    async fn connect_shared(&self, way: Way<'_>) -> Result<http2::SendRequest<Question>, Cause> {
        let through = self.open(way).await?;
        let made =
            http2::Builder::new(OnTasks(self.tasks.clone())).handshake(TokioIo::new(through));
        let (sender, connection) = made.await.map_err(Cause::Upstream)?;
        let end = self.end.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _ = connection => {}
                () = end.cancelled() => {}
            }
        });
        Ok(sender)
    }

    /// The one that was given back last, since those before it are the likelier to be closed.
    fn take(&self, key: &Key) -> Option<Idle> {
        let mut kept = self.kept();
        let kept = &mut *kept;
        let list = kept.one.get_mut(key)?;
        let before = list.len();
        let mut taken = None;
        let mut place = before;
        while taken.is_none()
            && let Some(next) = place.checked_sub(1)
            && let Some(idle) = list.get(next)
        {
            place = next;
            if idle.sender.is_closed() {
                list.remove(place);
            } else if idle.sender.is_ready() {
                taken = Some(list.remove(place));
            }
        }
        kept.count = kept.count.saturating_sub(before.saturating_sub(list.len()));
        if list.is_empty() {
            kept.one.remove(key);
        }
        taken
    }

    /// Lets go of what was kept too long. To be called now and then.
    pub(crate) fn sweep(&self) {
        let mut kept = self.kept();
        // What it carries goes on without being kept.
        kept.shared
            .retain(|_, it| !it.sender.is_closed() && it.used.elapsed() < KEPT_FOR);
        let mut count = 0_usize;
        kept.one.retain(|_, list| {
            list.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < KEPT_FOR);
            count = count.saturating_add(list.len());
            !list.is_empty()
        });
        kept.count = count;
    }

    /// Waits until all connections have ended, which they do when their token is cancelled.
    pub(crate) async fn ended(&self) {
        let kept = std::mem::take(&mut *self.kept());
        drop(kept);
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way<'_> {
    fn key(&self) -> Key {
        Key {
            tenant: self.tenant,
            holding: self.holding.clone(),
        }
    }
}

impl Place {
    /// The answer's last byte was read: the connection may carry the next request.
    pub(crate) fn give_back(self) {
        let Self { of, key, sender } = self;
        if sender.is_closed() {
            return;
        }
        let mut kept = of.kept();
        let kept = &mut *kept;
        if kept.count >= KEPT {
            return;
        }
        let list = kept.one.entry(key).or_default();
        if list.len() < KEPT_EACH {
            list.push(Idle {
                sender,
                since: Instant::now(),
            });
            kept.count = kept.count.saturating_add(1);
        }
    }
}

/// The same request, if it may be asked twice: it changes nothing (RFC 9110 section 9.2.1), and has no body.
fn again(request: &Request<Question>) -> Option<Request<Question>> {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method())
        && !request.headers().contains_key(UPGRADE);
    let body = is_safe.then(|| request.body().again()).flatten()?;
    let mut again = Request::new(body);
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    Some(again)
}

/// Whether the other end closed before it said anything.
fn has_just_closed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    error.is_incomplete_message()
        || error.is_canceled()
        || cause.is_some_and(<dyn std::error::Error>::is::<io::Error>)
}

/// Whose doing it is that a request was not answered.
fn broken(error: hyper::Error) -> Cause {
    let body = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<BodyEnd>());
    match body {
        Some(BodyEnd::Broken) => Cause::Body,
        Some(BodyEnd::Late) => Cause::LateBody,
        None => Cause::Upstream(error),
    }
}

/// Runs what hyper has to run beside a connection.
#[derive(Debug, Clone)]
pub(crate) struct OnTasks(pub(crate) TaskTracker);

impl<F> hyper::rt::Executor<F> for OnTasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A carrier as hyper's connection has it: it ends when it is cut off, also between two requests.
#[derive(Debug)]
pub(crate) struct Through(pub(crate) Carrier);

impl AsyncRead for Through {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Carrier::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Carrier::Other(stream) => {
                if let Poll::Ready(error) = stream.poll_cut(cx) {
                    return Poll::Ready(Err(error));
                }
                Pin::new(stream).poll_read(cx, buffer)
            }
        }
    }
}

impl AsyncWrite for Through {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Carrier::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Carrier::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Carrier::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Carrier::Other(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Carrier::Tcp(socket) => socket.is_write_vectored(),
            Carrier::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Carrier::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Carrier::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Carrier::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Carrier::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
