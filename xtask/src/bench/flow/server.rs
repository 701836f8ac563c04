//! A server of the bench: some threads, each with one connection at a time.

use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::http::{self, Message};
use crate::clock;

/// A request, and the connection that it came by.
pub(super) struct Asked<'a> {
    pub(super) message: Message,
    /// When the last byte of it had come.
    pub(super) came: Instant,
    pub(super) stream: &'a TcpStream,
}

/// Whether a connection goes on after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Request,
    /// Somebody else has it now.
    Nothing,
}

/// It listens at the loopback. Its threads end when this is dropped and their visitors go.
#[derive(Debug)]
pub(super) struct Server {
    socket: Arc<TcpListener>,
    addr: SocketAddr,
}

impl Server {
    /// Answers requests by this.
    pub(super) fn start(
        answer: impl Fn(Asked<'_>) -> anyhow::Result<Next> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
        let addr = socket.local_addr().context("a socket has no address")?;
        let (socket, answer) = (Arc::new(socket), Arc::new(answer));
        for _ in 0..THREADS {
            let (socket, answer) = (Arc::clone(&socket), Arc::clone(&answer));
            let work = move || {
                while let Ok((stream, _)) = socket.accept() {
                    // Who talks nonsense is let go; the measurement then misses what should have come.
                    serve(&stream, &*answer).ok();
                }
            };
            let thread = thread::Builder::new().name("service".into());
            thread.spawn(work).context("cannot start a thread")?;
        }
        Ok(Self { socket, addr })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ends every accept that waits; a listener that cannot be shut down is gone.
        rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both).ok();
    }
}

fn serve(
    stream: &TcpStream,
    answer: &impl Fn(Asked<'_>) -> anyhow::Result<Next>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(QUIET))?;
    let mut reader = BufReader::new(stream);
    while let Some(message) = http::read(&mut reader)? {
        let came = clock::now();
        let asked = Asked {
            message,
            came,
            stream,
        };
        if answer(asked)? == Next::Nothing {
            break;
        }
    }
    Ok(())
}

/// Connections at a time; more wait to be accepted. Eight may be kept without a use.
const THREADS: usize = 32;

/// A connection that is silent for so long is gone.
const QUIET: Duration = Duration::from_secs(30);
