//! The services behind the tunnels: one that echoes, one that pours, and one that never reads.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// Services on the loopback. Their threads end with their listeners and their visitors.
#[derive(Debug)]
pub(super) struct Services {
    echo: Listener,
    pour: Listener,
    stall: Listener,
}

/// A socket whose waiting threads are woken when it is dropped.
#[derive(Debug)]
struct Listener {
    socket: Arc<TcpListener>,
    addr: SocketAddr,
}

impl Services {
    /// Starts all three.
    pub(super) fn start() -> anyhow::Result<Self> {
        Ok(Self {
            echo: Listener::serve(ECHOES, echo)?,
            pour: Listener::serve(1, pour)?,
            // Nobody accepts: the kernel does, takes what fits its buffers, and then no more.
            stall: Listener::bind()?,
        })
    }

    /// Sends every byte back.
    pub(super) fn echo(&self) -> SocketAddr {
        self.echo.addr
    }

    /// Sends as much as is taken.
    pub(super) fn pour(&self) -> SocketAddr {
        self.pour.addr
    }

    /// Reads nothing, as an application that hangs.
    pub(super) fn stall(&self) -> SocketAddr {
        self.stall.addr
    }
}

impl Listener {
    fn bind() -> anyhow::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
        let addr = socket.local_addr().context("a socket has no address")?;
        let socket = Arc::new(socket);
        Ok(Self { socket, addr })
    }

    /// As many threads, each of which serves one visitor at a time.
    fn serve(threads: usize, serve: fn(TcpStream)) -> anyhow::Result<Self> {
        let listener = Self::bind()?;
        for _ in 0..threads {
            let socket = Arc::clone(&listener.socket);
            let work = move || {
                while let Ok((visitor, _)) = socket.accept() {
                    serve(visitor);
                }
            };
            thread::Builder::new()
                .name("service".into())
                .spawn(work)
                .context("cannot start a thread")?;
        }
        Ok(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Ends every accept that waits; a listener that cannot be shut down is gone.
        rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both).ok();
    }
}

fn echo(mut visitor: TcpStream) {
    let mut bytes = [0; 4096];
    visitor.set_nodelay(true).ok();
    visitor.set_read_timeout(Some(QUIET)).ok();
    while let Ok(count) = visitor.read(&mut bytes) {
        let Some(bytes) = bytes.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        if visitor.write_all(bytes).is_err() {
            return;
        }
    }
}

fn pour(mut visitor: TcpStream) {
    visitor.set_write_timeout(Some(QUIET)).ok();
    let bytes = vec![0; 65_536];
    while visitor.write_all(&bytes).is_ok() {}
}

/// More than the visitors of any case at a time.
const ECHOES: usize = 48;

/// A visitor that is silent for so long is gone.
const QUIET: Duration = Duration::from_secs(30);
