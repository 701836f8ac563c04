//! A TCP proxy that keeps every byte for a while, both ways.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::clock;

/// The proxy. Its threads end with it and with the connections through it.
#[derive(Debug)]
pub(super) struct DelayProxy {
    socket: Arc<TcpListener>,
    port: u16,
}

/// Bytes, and when they are due at the other side.
type Late = (Instant, Vec<u8>);

impl DelayProxy {
    /// Listens at a port of the loopback and passes what comes on to the target, that much later.
    pub(super) fn start(target: SocketAddr, one_way: Duration) -> anyhow::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
        let port = socket
            .local_addr()
            .context("a socket has no address")?
            .port();
        let socket = Arc::new(socket);
        let listener = Arc::clone(&socket);
        let work = move || {
            while let Ok((near, _)) = listener.accept() {
                // Who cannot be passed on is closed, and says so.
                pass(&near, target, one_way).ok();
            }
        };
        thread::Builder::new()
            .spawn(work)
            .context("cannot start a thread")?;
        Ok(Self { socket, port })
    }

    /// Its port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        // Ends the accept that waits; a listener that cannot be shut down is gone.
        rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both).ok();
    }
}

fn pass(near: &TcpStream, target: SocketAddr, one_way: Duration) -> anyhow::Result<()> {
    let far = TcpStream::connect(target)?;
    for (from, to) in [(near, &far), (&far, near)] {
        to.set_nodelay(true)?;
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (sender, receiver) = sync_channel(UNDERWAY);
        thread::Builder::new().spawn(move || take(from, one_way, &sender))?;
        thread::Builder::new().spawn(move || deliver(to, &receiver))?;
    }
    Ok(())
}

fn take(mut from: TcpStream, one_way: Duration, underway: &SyncSender<Late>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(count) = from.read(&mut buffer) {
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        if underway
            .send((clock::now() + one_way, bytes.to_vec()))
            .is_err()
        {
            break;
        }
    }
}

fn deliver(mut to: TcpStream, underway: &Receiver<Late>) {
    while let Ok((due, bytes)) = underway.recv() {
        thread::sleep(due.saturating_duration_since(clock::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // The end of one way; the socket may be gone already.
    to.shutdown(Shutdown::Write).ok();
}

/// Bytes of one read.
const READ_BYTES: usize = 65_536;

/// Reads that may be underway one way: 256 MiB of full ones, 10 Gbit/s for 200 ms.
const UNDERWAY: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::super::ping::ping;
    use super::super::service::Services;
    use super::*;

    #[test]
    fn an_exchange_takes_the_delay_of_both_ways() {
        let services = Services::start().unwrap();
        let proxy = DelayProxy::start(services.echo(), Duration::from_millis(10)).unwrap();
        let (stop, _signal) = crate::stop::tests::silent();
        let addr = (Ipv4Addr::LOCALHOST, proxy.port()).into();
        let latency = ping(addr, Duration::from_millis(50), &stop).unwrap();
        assert!(latency.p50 >= 20_000.0, "{latency:?}");
    }
}
