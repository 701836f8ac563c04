//! Visitors that measure: one that asks and waits for the answer, and many that come and go.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::number::{float, percentile};
use crate::clock;
use crate::stop::Stop;

/// How long answers took, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) most: f64,
}

/// Sends 64 bytes and waits for them to come back, again and again for that long. One exchange goes
/// before, so that the stream is open.
///
/// # Errors
/// An answer did not come within [`PATIENCE`].
pub(super) fn ping(addr: SocketAddr, time: Duration, stop: &Stop) -> anyhow::Result<Latency> {
    let mut visitor = visit(addr)?;
    exchange(&mut visitor).context("no first answer")?;
    let started = clock::now();
    let mut took = Vec::new();
    while started.elapsed() < time {
        took.push(exchange(&mut visitor)?.as_secs_f64() * 1e6);
        if stop.is_asked() {
            bail!("stopped by a signal");
        }
    }
    took.sort_by(f64::total_cmp);
    Ok(Latency {
        p50: percentile(&took, 0.5)?,
        p99: percentile(&took, 0.99)?,
        most: percentile(&took, 1.0)?,
    })
}

/// Pings while bulk goes on that takes so long, a second shorter than it. Gives what bulk gives, too.
///
/// # Errors
/// An answer did not come within [`PATIENCE`], or bulk failed.
pub(super) fn ping_beside<T: Send>(
    addr: SocketAddr,
    time: Duration,
    stop: &Stop,
    bulk: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<(Latency, T)> {
    thread::scope(|scope| {
        let bulk = scope.spawn(bulk);
        stop.wait(RAMP);
        let time = time.saturating_sub(RAMP.saturating_mul(2));
        let latency = ping(addr, time, stop);
        let done = bulk.join().map_err(|_| anyhow!("bulk panicked"))??;
        Ok((latency?, done))
    })
}

/// Lets [`PARALLEL`] visitors come, exchange 64 bytes and go for that long, and returns how many came
/// a second.
///
/// # Errors
/// A visitor was not served.
pub(super) fn come_and_go(addr: SocketAddr, time: Duration) -> anyhow::Result<f64> {
    let started = clock::now();
    let visits: Vec<anyhow::Result<u64>> = thread::scope(|scope| {
        let visitors: Vec<_> = (0..PARALLEL)
            .map(|_| scope.spawn(move || come_and_go_alone(addr, started, time)))
            .collect();
        let ended = visitors.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .map(|visits| visits.unwrap_or_else(|_| bail!("a visitor panicked")))
            .collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let visits: Vec<u64> = visits.into_iter().collect::<anyhow::Result<_>>()?;
    Ok(float(visits.iter().sum()) / seconds)
}

fn come_and_go_alone(addr: SocketAddr, started: Instant, time: Duration) -> anyhow::Result<u64> {
    let mut visits = 0_u64;
    while started.elapsed() < time {
        exchange(&mut visit(addr)?)?;
        visits = visits.saturating_add(1);
    }
    Ok(visits)
}

/// A visitor that gives up when nothing moves for [`PATIENCE`].
pub(super) fn visit(addr: SocketAddr) -> anyhow::Result<TcpStream> {
    let visitor = TcpStream::connect_timeout(&addr, PATIENCE).context("cannot connect")?;
    visitor.set_nodelay(true)?;
    visitor.set_read_timeout(Some(PATIENCE))?;
    visitor.set_write_timeout(Some(PATIENCE))?;
    Ok(visitor)
}

fn exchange(visitor: &mut TcpStream) -> anyhow::Result<Duration> {
    let started = clock::now();
    let mut bytes = [7; PING_BYTES];
    visitor.write_all(&bytes).context("nothing is taken")?;
    visitor.read_exact(&mut bytes).context("no answer")?;
    Ok(started.elapsed())
}

/// Bytes of a ping, there and back.
const PING_BYTES: usize = 64;

/// Visitors who come and go at once.
const PARALLEL: usize = 16;

/// Until bulk has its speed, and before it ends.
const RAMP: Duration = Duration::from_millis(500);

/// A tunnel that answers nothing for so long is wedged.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::super::service::Services;
    use super::*;

    #[test]
    fn pings_and_visits_are_counted_without_a_tunnel() {
        let services = Services::start().unwrap();
        let (stop, _signal) = crate::stop::tests::silent();
        let time = Duration::from_millis(50);
        let latency = ping(services.echo(), time, &stop).unwrap();
        assert!(
            latency.p50 > 0.0 && latency.p50 <= latency.p99,
            "{latency:?}"
        );
        assert!(latency.p99 <= latency.most, "{latency:?}");
        assert!(come_and_go(services.echo(), time).unwrap() > 0.0);
    }
}
