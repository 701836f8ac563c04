//! One visitor's connection: requests one behind the other, rest in between, and whatever protocol comes after.
//!
//! A connection at which nothing is asked costs a socket and a few hundred bytes: hyper's state and its buffers are
//! given up after a while and made anew at the next byte.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::body::Answer;
use super::exchange::exchange;
use super::frame::FIELDS;
use super::guard::Guard;
use super::habits::Habits;
use super::line::Line;
use super::stall::Streams;
use super::stay::Stay;
use super::worker::Worker;
use crate::copy::{CopyEnd, Meters, copy};
use crate::dial::Carrier;
use crate::tls::Ahead;
use crate::visitor::Endpoint;
use crate::wire::{MadeOf, Wire};

/// How somebody came.
#[derive(Debug)]
pub(crate) struct Came {
    /// Who connected; as the balancer in front says, if there is one.
    pub(crate) peer: Endpoint,
    /// Where.
    pub(crate) listener: Endpoint,
    /// The balancer.
    pub(crate) via: Option<Endpoint>,
    /// Whether by TLS.
    pub(crate) is_secure: bool,
    /// The name that a TLS connection was made for, in its canonical form.
    pub(crate) server_name: Option<String>,
    /// Of HTTP/1.1.
    pub(crate) line: Option<Arc<Line>>,
    /// Of HTTP/2.
    pub(crate) habits: Habits,
    upgraded: Mutex<Option<Upgraded>>,
}

/// What carries another protocol.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) carrier: Carrier,
    /// What the upstream said already.
    pub(crate) ahead: Bytes,
    pub(crate) stay: Box<Stay>,
}

impl Came {
    pub(crate) fn new(peer: Endpoint, listener: Endpoint, via: Option<Endpoint>) -> Self {
        Self {
            peer,
            listener,
            via,
            is_secure: false,
            server_name: None,
            line: None,
            habits: Habits::default(),
            upgraded: Mutex::new(None),
        }
    }

    /// Another protocol begins behind the answer.
    pub(crate) fn switch(&self, upgraded: Upgraded) {
        *self.upgraded() = Some(upgraded);
    }

    fn upgraded(&self) -> std::sync::MutexGuard<'_, Option<Upgraded>> {
        self.upgraded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A visitor's socket, plain or under TLS.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// As one end of a copy.
    fn into_wire(self) -> Wire;

    /// Ends it so that what was not said yet cannot be taken for all.
    fn reset(self);
}

impl Socket for tokio::net::TcpStream {
    fn into_wire(self) -> Wire {
        Wire::new(MadeOf::Tcp(self))
    }

    fn reset(self) {
        // It fails only where there is nothing to reset any more.
        self.set_zero_linger().ok();
    }
}

impl Socket for tokio_rustls::server::TlsStream<Ahead> {
    fn into_wire(self) -> Wire {
        Wire::from(Carrier::other(self))
    }

    fn reset(self) {
        self.into_inner().0.into_socket().reset();
    }
}

/// Has hyper answer requests.
#[derive(Debug, Clone)]
struct Answering {
    worker: Arc<Worker>,
    came: Arc<Came>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (worker, came) = (Arc::clone(&self.worker), Arc::clone(&self.came));
        if came.line.is_none() {
            came.habits.asked(worker.core.settings.streams);
        }
        Box::pin(exchange(worker, came, request))
    }
}

/// How often a connection looks at its clocks.
const TICK: Duration = Duration::from_secs(1);
/// How long a visitor who goes on speaking is listened to after the last answer.
const LINGER: Duration = Duration::from_secs(2);
/// What a head that came too late is answered.
const LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// What hyper may hold of a connection of HTTP/1.1 in either direction, bytes. Without it that is 400 KiB.
pub(crate) const BUFFER: usize = 128 << 10;

/// How much a connection of HTTP/2 may have lie here, bytes.
#[derive(Debug, Clone, Copy)]
struct Windows {
    stream: u32,
    connection: u32,
    /// What one stream may hold back.
    send: usize,
}

/// Measured to be fast over long ways (spec/engines.md, part 2). 64 connections at a time have them.
const WIDE: Windows = Windows {
    stream: 1 << 20,
    connection: 2 << 20,
    send: 256 << 10,
};
/// RFC 9113's own (section 6.9.2), with which ten thousand connections have no more than 650 MB lie here.
const NARROW: Windows = Windows {
    stream: 65_535,
    connection: 65_535,
    send: 16 << 10,
};
/// Bytes of a head in HTTP/2 (security rule G74).
const HEAD_LIST: u32 = 32 << 10;

/// Why hyper was left.
enum Left {
    /// It has ended.
    Ended,
    /// It broke off.
    Broken,
    /// Nothing has been asked for a while.
    AtRest,
    /// A head does not come.
    Late,
    /// The visitor takes nothing of what is for it.
    Stalled,
}

/// Serves HTTP/1.1 until the visitor leaves.
///
/// # Cancel safety
/// Dropping the future breaks the connection off.
pub(crate) fn serve_http1<S: Socket>(
    worker: &Arc<Worker>,
    mut came: Came,
    socket: S,
) -> impl Future<Output = ()> + Send {
    let line = Arc::new(Line::new());
    came.line = Some(Arc::clone(&line));
    // What is large goes from hand to hand in a box, so that no hand keeps room for it.
    let guard = Box::new(Guard::new(socket, line));
    serve_guarded(worker, came, guard)
}

async fn serve_guarded<S: Socket>(worker: &Arc<Worker>, came: Came, mut guard: Box<Guard<S>>) {
    let emptied = Emptied(Arc::new(came));
    let came = &emptied.0;
    let settings = &worker.core.settings;
    let line = Arc::clone(guard.line());
    // Who has just come says something soon; who has been answered may rest.
    let mut patience = settings.head_time;
    loop {
        if !begins(worker, &mut guard, patience).await {
            return;
        }
        // In boxes, here and below, as one at rest would else keep room for all that may ever be done with it.
        let answering = Answering {
            worker: Arc::clone(worker),
            came: Arc::clone(came),
        };
        let (left, read);
        (left, guard, read) = Box::pin(converse(guard, answering, &line)).await;
        match left {
            Left::AtRest if read.is_empty() && guard.is_at_rest() => {
                worker.core.totals.rested();
                guard.rest();
                patience = settings.idle_time;
            }
            // Whoever does not take the answer before it would take this for a part of that.
            Left::Late if line.stuck().is_none() => {
                Box::pin(refuse_late(guard)).await;
                return;
            }
            Left::Ended => {
                let upgraded = came.upgraded().take();
                let (socket, ahead) = guard.into_parts();
                match upgraded {
                    Some(upgraded) => {
                        Box::pin(carry(worker, socket, &read, &ahead, upgraded)).await;
                    }
                    None => Box::pin(finish(socket)).await,
                }
                return;
            }
            Left::Broken if !line.is_cut() => {
                Box::pin(finish(guard.into_parts().0)).await;
                return;
            }
            Left::Stalled => {
                worker.core.totals.stalled();
                guard.into_parts().0.reset();
                return;
            }
            Left::AtRest | Left::Late | Left::Broken => {
                guard.into_parts().0.reset();
                return;
            }
        }
    }
}

/// Waits for the first byte of a request; without one, the connection is over.
async fn begins<S: Socket>(worker: &Worker, guard: &mut Guard<S>, patience: Duration) -> bool {
    let begins = std::future::poll_fn(|cx| guard.poll_begins(cx));
    let begun = tokio::select! {
        begun = timeout(patience, begins) => matches!(begun, Ok(Ok(()))),
        () = worker.core.stop.cancelled() => false,
    };
    begun && !guard.is_at_rest()
}

/// Has hyper answer what is asked, until that is left; with what is left of the connection, and what hyper has read.
async fn converse<S: Socket>(
    guard: Box<Guard<S>>,
    answering: Answering,
    line: &Line,
) -> (Left, Box<Guard<S>>, Bytes) {
    let worker = Arc::clone(&answering.worker);
    let mut connection = http1::Builder::new()
        .half_close(false)
        .max_buf_size(BUFFER)
        .header_read_timeout(None)
        .max_headers(FIELDS)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(guard), answering);
    let left = drive(&mut connection, line, &worker).await;
    let parts = connection.into_parts();
    (left, parts.io.into_inner(), parts.read_buf)
}

/// Says that a head came too late.
async fn refuse_late<S: Socket>(mut guard: Box<Guard<S>>) {
    let told = guard.socket_mut().write_all(LATE);
    if let Ok(Ok(())) = timeout(LINGER, told).await {
        finish(guard.into_parts().0).await;
    }
}

/// Has hyper serve until something is to be done that is not its own.
async fn drive<S: Socket>(
    connection: &mut http1::Connection<TokioIo<Box<Guard<S>>>, Answering>,
    line: &Line,
    worker: &Worker,
) -> Left {
    let settings = &worker.core.settings;
    let mut tick = pin!(sleep(TICK));
    let mut stopped = pin!(worker.core.stop.cancelled());
    let mut is_stopping = false;
    std::future::poll_fn(|cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(if ended.is_ok() {
                Left::Ended
            } else {
                Left::Broken
            });
        }
        while tick.as_mut().poll(cx).is_ready() {
            if let Some(next) = Instant::now().checked_add(TICK) {
                tick.as_mut().reset(next);
            }
            if line
                .stuck()
                .is_some_and(|stuck| stuck >= settings.stall_time)
                || line
                    .silence()
                    .is_some_and(|quiet| quiet >= settings.answer_time)
            {
                return Poll::Ready(Left::Stalled);
            }
            if line.head_age().is_some_and(|age| age >= settings.head_time) {
                return Poll::Ready(Left::Late);
            }
            if line.idle().is_some_and(|idle| idle >= settings.rest_after)
                && line.head_age().is_none()
                && line.stuck().is_none()
            {
                return Poll::Ready(Left::AtRest);
            }
        }
        Poll::Pending
    })
    .await
}

/// Says that nothing more comes, and reads what nobody wants for a moment: a socket that is closed over unread bytes
/// is reset, and the reset would overtake the answer.
async fn finish<S: Socket>(mut socket: S) {
    let mut bytes = [0; 1 << 10];
    let unread = async {
        socket.shutdown().await?;
        while socket.read(&mut bytes).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    drop(timeout(LINGER, unread).await);
}

/// Copies what another protocol says, both ways.
async fn carry<S: Socket>(
    worker: &Worker,
    mut socket: S,
    read: &Bytes,
    ahead: &BytesMut,
    upgraded: Upgraded,
) {
    let Upgraded {
        carrier,
        ahead: said,
        mut stay,
    } = upgraded;
    let mut carrier = Wire::from(carrier);
    let before = async {
        socket.write_all(&said).await?;
        socket.flush().await?;
        let mut carrier = carrier.lend();
        carrier.write_all(read).await?;
        carrier.write_all(ahead).await?;
        carrier.flush().await
    };
    if !matches!(
        timeout(worker.core.settings.stall_time, before).await,
        Ok(Ok(()))
    ) {
        return;
    }
    let mut visitor = socket.into_wire();
    let meters = Meters::default();
    let end = copy(
        visitor.lend(),
        carrier.lend(),
        &worker.core.buffers,
        &meters,
        None,
    )
    .await;
    if matches!(end, CopyEnd::Done | CopyEnd::CarrierClosed) {
        visitor.finish();
        carrier.finish();
    }
    let (from_visitor, to_visitor) = meters.read();
    let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let first = length(read.len()).saturating_add(length(ahead.len()));
    stay.carried(
        from_visitor.saturating_add(first),
        to_visitor.saturating_add(length(said.len())),
    );
}

/// Serves HTTP/2 until the visitor leaves.
///
/// # Cancel safety
/// Dropping the future breaks the connection off.
pub(crate) async fn serve_http2<S: Socket>(worker: &Arc<Worker>, came: Came, socket: S) {
    let settings = &worker.core.settings;
    let came = Arc::new(came);
    let answering = Answering {
        worker: Arc::clone(worker),
        came: Arc::clone(&came),
    };
    let streams = Streams {
        tasks: worker.tasks.clone(),
        patience: settings.stall_time,
    };
    let wide = worker.core.wide.try_acquire().ok();
    let windows = if wide.is_some() { WIDE } else { NARROW };
    let connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_concurrent_streams(settings.streams)
        .max_send_buf_size(windows.send)
        .max_header_list_size(HEAD_LIST)
        .keep_alive_interval(settings.idle_time)
        .keep_alive_timeout(settings.head_time)
        .serve_connection(TokioIo::new(socket), answering);
    let mut connection = pin!(connection);
    let mut idle = pin!(idle(&came, settings.head_time, settings.idle_time));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = worker.core.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // How long that may take is the server's to say.
            connection.await.ok();
            return;
        }
        () = came.habits.are_bad() => {
            worker.core.totals.misused();
            connection.as_mut().graceful_shutdown();
            timeout(LINGER, connection).await.ok();
            return;
        }
        () = idle.as_mut() => connection.as_mut().graceful_shutdown(),
    }
    // It is told, and given time to finish what it began meanwhile; one who does not answer keeps nothing.
    let stays = async {
        loop {
            sleep(settings.head_time).await;
            if is_at_rest(&came) {
                return;
            }
        }
    };
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stays => {}
    }
}

/// Whether nothing is being answered. Each request that is has its own hold on how the visitor came, beside the
/// connection's and its service's.
fn is_at_rest(came: &Arc<Came>) -> bool {
    Arc::strong_count(came) <= 2
}

/// Ends when nothing was asked on a connection for too long.
async fn idle(came: &Arc<Came>, first: Duration, then: Duration) {
    let mut patience = first;
    let mut asked = 0;
    loop {
        sleep(patience).await;
        let before = std::mem::replace(&mut asked, came.habits.count());
        if is_at_rest(came) && asked == before {
            return;
        }
        patience = then;
    }
}

/// What is left of a connection that was dropped holds itself no longer.
struct Emptied(Arc<Came>);

impl Drop for Emptied {
    fn drop(&mut self) {
        let upgraded = self.0.upgraded().take();
        drop(upgraded);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    fn size<'a, A: 'a, B, C, F>(_: impl FnOnce(&'a A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// What one at which nothing is asked keeps, beside its socket: it was 14 KiB.
    #[test]
    fn a_connection_at_rest_is_small() {
        let plain = size(serve_http1::<TcpStream>);
        let secure = size(serve_http1::<tokio_rustls::server::TlsStream<Ahead>>);
        assert!(plain <= 1_024 && secure <= 2_048, "{plain} and {secure}");
    }
}
