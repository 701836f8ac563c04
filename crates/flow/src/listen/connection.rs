//! One connection: requests one after the other, each head and the whole within limits.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Limits;
use super::handle::Handler;

/// Serves a connection to its end. After `stop`, or [`Limits::lifetime`], the request that is there is
/// the last.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    handler: Arc<Handler>,
    limits: Limits,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection will be slow");
    }
    let is_cut = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, is_cut) = (Arc::clone(&handler), Arc::clone(&is_cut));
        Box::pin(async move {
            let answered = handler.answer(peer, request.map(Body::new)).await;
            let mut response = answered.response;
            if !answered.is_body_read {
                // Where the next request begins is not known.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
                is_cut.store(true, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes)
        .max_header_size(limits.head_bytes)
        // A visitor that has said all may close its side, as `nc -N` does.
        .half_close(true);
    let mut connection = builder.serve_connection(TokioIo::new(stream), service);
    // Dropped before the socket is.
    let last = Last {
        handler: &handler,
        peer,
    };
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(ended),
        () = stop.cancelled() => None,
        () = sleep(limits.lifetime) => None,
    };
    let ended = if let Some(ended) = ended {
        Ok(ended)
    } else {
        Pin::new(&mut connection).graceful_shutdown();
        let last = poll_fn(|cx| connection.poll_without_shutdown(cx));
        timeout(limits.drain, last).await
    };
    let is_unread = match ended {
        Ok(Ok(())) => is_cut.load(Ordering::Relaxed),
        // A head that is no HTTP, or is too long, has an answer, too.
        Ok(Err(error)) if error.is_parse() => true,
        Ok(Err(error)) => {
            debug!(visitor.addr = %peer, %error, "a connection broke off");
            return;
        }
        Err(_) => return,
    };
    let mut stream = connection.into_parts().io.into_inner();
    let is_shut = stream.shutdown().await.is_ok();
    if is_unread && is_shut {
        linger(&mut stream, limits).await;
    }
    drop(last);
    drop(stream);
}

/// Says on whatever way that a connection is over.
struct Last<'h> {
    handler: &'h Handler,
    peer: SocketAddr,
}

impl Drop for Last<'_> {
    fn drop(&mut self) {
        self.handler.over(self.peer);
    }
}

/// Reads and forgets what still comes: a socket that is closed with bytes in it is reset, and the answer
/// is lost on its way (RFC 9112, 9.6).
async fn linger(stream: &mut TcpStream, limits: Limits) {
    let rest = async {
        let mut forgotten = [0; 4_096];
        while stream.read(&mut forgotten).await.is_ok_and(|read| read > 0) {}
    };
    if timeout(limits.linger, rest).await.is_err() {
        debug!("a visitor did not stop sending");
    }
}
