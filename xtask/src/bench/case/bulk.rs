//! Bulk through a tunnel, and pings beside it.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

use super::super::iperf::Way;
use super::super::ping::{ping, ping_beside, visit};
use super::super::table::Measure;
use super::super::tunnel::{Plan, Tunnel};
use super::super::usage::cpu_seconds;
use super::{Bench, iperf_service};
use crate::clock;

/// One and eight streams, up and down, and the CPU time of one.
pub(super) fn bulk(bench: &mut Bench) -> anyhow::Result<()> {
    let service = iperf_service()?;
    bench.in_turns("bulk", &[service], Plan::usual, |bench, pair, tunnel| {
        for (way, streams, rate, cpu) in [
            (Way::Up, 1, Measure::Up1, Some(Measure::UpCpu)),
            (Way::Down, 1, Measure::Down1, Some(Measure::DownCpu)),
            (Way::Up, 8, Measure::Up8, None),
            (Way::Down, 8, Measure::Down8, None),
        ] {
            let before = cpu_seconds(&tunnel.processes());
            let flow = bench.flow(tunnel, service, way, streams)?;
            let used = cpu_seconds(&tunnel.processes()) - before;
            bench.results.add(rate, pair, flow.gigabits);
            if let Some(cpu) = cpu {
                bench.results.add(cpu, pair, used / (flow.bytes / GIB));
            }
        }
        Ok(())
    })
}

/// Eight streams each way at once: whoever writes without reading stops here for ever.
pub(super) fn bidir(bench: &mut Bench) -> anyhow::Result<()> {
    let service = iperf_service()?;
    bench.in_turns("bidir", &[service], Plan::usual, |bench, pair, tunnel| {
        let flow = bench.flow(tunnel, service, Way::Both, 8)?;
        bench
            .results
            .add(Measure::Bidir, pair, flow.slower_gigabits);
        Ok(())
    })
}

/// Pings through a tunnel without and with one stream of bulk.
pub(super) fn pings(bench: &mut Bench) -> anyhow::Result<()> {
    let (service, echo) = (iperf_service()?, bench.services.echo());
    let services = [service, echo];
    bench.in_turns("ping", &services, Plan::usual, |bench, pair, tunnel| {
        let addr = tunnel.visitors(echo)?;
        let idle = ping(addr, bench.scale.time, &bench.kit.stop)?;
        bench.results.add(Measure::PingP50, pair, idle.p50);
        bench.results.add(Measure::PingP99, pair, idle.p99);
        for (way, p50, p99) in [
            (Way::Up, Measure::UpPingP50, Measure::UpPingP99),
            (Way::Down, Measure::DownPingP50, Measure::DownPingP99),
        ] {
            let bulk = || bench.flow(tunnel, service, way, 1);
            let (latency, _) = ping_beside(addr, bench.scale.time, &bench.kit.stop, bulk)?;
            bench.results.add(p50, pair, latency.p50);
            bench.results.add(p99, pair, latency.p99);
        }
        Ok(())
    })
}

/// Pings beside a stream whose service does not read, and beside one whose visitor does not.
pub(super) fn stall(bench: &mut Bench) -> anyhow::Result<()> {
    let services = &bench.services;
    let (echo, stall, pour) = (services.echo(), services.stall(), services.pour());
    let all = [echo, stall, pour];
    bench.in_turns("stall", &all, Plan::usual, |bench, pair, tunnel| {
        let (addr, time) = (tunnel.visitors(echo)?, bench.scale.time);
        let stalled = fill(tunnel, stall)?;
        let beside = ping(addr, time, &bench.kit.stop).context("beside a stalled service")?;
        bench.results.add(Measure::StallUpP99, pair, beside.p99);
        drop(stalled);

        let stalled = visit(tunnel.visitors(pour)?)?;
        bench.kit.stop.wait(FILL);
        let beside = ping(addr, time, &bench.kit.stop).context("beside a stalled visitor")?;
        bench.results.add(Measure::StallDownP99, pair, beside.p99);
        drop(stalled);
        Ok(())
    })
}

/// Writes until nothing more is taken for a while.
fn fill(tunnel: &Tunnel, stall: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut visitor = visit(tunnel.visitors(stall)?)?;
    visitor.set_write_timeout(Some(FULL))?;
    let (started, bytes) = (clock::now(), vec![0; 65_536]);
    loop {
        match visitor.write(&bytes) {
            Ok(_) => anyhow::ensure!(started.elapsed() < FILL_DEADLINE, "it takes no end"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(visitor),
            Err(error) => return Err(error).context("the stalled stream broke"),
        }
    }
}

/// A GiB, in bytes.
const GIB: f64 = 1_073_741_824.0;

/// A stream that takes nothing for so long is full.
const FULL: Duration = Duration::from_millis(500);

/// Until every buffer on the way is full.
const FILL: Duration = Duration::from_secs(1);

/// A stream that takes bytes for so long has no bound.
const FILL_DEADLINE: Duration = Duration::from_secs(20);
