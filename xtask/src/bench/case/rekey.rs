//! Bulk during which the keys are renewed again and again.

use std::thread;
use std::time::Duration;

use anyhow::{anyhow, ensure};

use super::super::iperf::{Amount, Flow, Run, Way};
use super::super::number::float;
use super::super::page::Work as _;
use super::super::pair::{Client, Pair};
use super::super::ping::ping;
use super::super::table::Measure;
use super::super::tunnel::{Plan, Tunnel};
use super::{Bench, SLACK, iperf_service};
use crate::sshd::Place;

/// A number of bytes up and down, with pings beside the first of them.
pub(super) fn rekey(bench: &mut Bench) -> anyhow::Result<()> {
    let (service, echo) = (iperf_service()?, bench.services.echo());
    let (every, bytes) = (bench.scale.rekey_every, bench.scale.rekey_bytes);
    for pair in Pair::ALL {
        let outcome = one(bench, pair, every, bytes, service, echo);
        bench.settle(&format!("rekey, {pair}"), outcome)?;
    }
    bench.results.note(format!(
        "with rekeys: {} MiB each way, keys renewed after {} MiB by each end",
        bytes >> 20,
        every >> 20
    ));
    Ok(())
}

fn one(
    bench: &mut Bench,
    pair: Pair,
    every: u64,
    bytes: u64,
    service: std::net::SocketAddr,
    echo: std::net::SocketAddr,
) -> anyhow::Result<()> {
    let plan = Plan {
        rekey: Some(every),
        ..Plan::usual(pair)
    };
    let tunnel = Tunnel::start(&bench.kit, &plan, &[service, echo])?;
    let addr = tunnel.visitors(echo)?;
    let run = |way| -> anyhow::Result<Flow> {
        let run = Run {
            service,
            service_place: &Place::Here,
            visitors: tunnel.visitors(service)?,
            visitors_place: &Place::Here,
            way,
            streams: 1,
            amount: Amount::Bytes(bytes),
            deadline: SLACK + Duration::from_secs(bytes / SLOWEST),
        };
        run.run(&bench.kit)
    };
    let (up, most) = thread::scope(|scope| {
        let bulk = scope.spawn(|| run(Way::Up));
        let mut most = 0.0_f64;
        while !bulk.is_finished() {
            let beside = ping(addr, Duration::from_secs(1), &bench.kit.stop)?;
            most = most.max(beside.most);
        }
        let up = bulk.join().map_err(|_| anyhow!("bulk panicked"))??;
        anyhow::Ok((up, most))
    })?;
    let down = run(Way::Down)?;
    let pauses = pauses(&tunnel.said()?);
    if pair.client == Client::Adit {
        // Both ends count what they send; one that crosses the other's is the same.
        let least = bytes / every;
        let seen = u64::try_from(pauses.len())?;
        ensure!(seen >= least, "{seen} rekeys in place of {least}");
        let longest = pauses.iter().copied().fold(0.0, f64::max);
        bench.results.add(Measure::RekeyPause, pair, longest);
        let mean = pauses.iter().sum::<f64>() / float(seen);
        bench.results.note(format!(
            "rekeys of {pair}: {seen}, {mean:.2} ms each on average as our client sees them"
        ));
    }
    bench.results.add(Measure::RekeyUp, pair, up.gigabits);
    bench.results.add(Measure::RekeyDown, pair, down.gigabits);
    bench.results.add(Measure::RekeyPingMost, pair, most / 1e3);
    Ok(())
}

/// The `took=` of each line of our client that says that keys were renewed, in ms.
fn pauses(said: &str) -> Vec<f64> {
    let lines = said
        .lines()
        .filter(|line| line.contains("keys were renewed"));
    let times = lines.filter_map(|line| line.split_once("took="));
    times
        .filter_map(|(_, took)| milliseconds(took.split_whitespace().next()?))
        .collect()
}

/// A duration as Rust writes it for developers: `1.5s`, `20ms`, `7.25µs`.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("ms", 1.0), ("µs", 1e-3), ("ns", 1e-6), ("s", 1e3)];
    units.iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * factor)
    })
}

/// Bytes a second below which a run is given up.
const SLOWEST: u64 = 20 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_read_from_what_our_client_logs() {
        let said = "\
2026-11-22T03:00:00Z  INFO connected host=\"127.0.0.1\"
2026-11-22T03:00:00Z DEBUG keys were renewed took=1.5ms
2026-11-22T03:00:01Z DEBUG keys were renewed took=750µs
2026-11-22T03:00:01Z DEBUG keys were renewed took=1.25s
";
        assert_eq!(pauses(said), [1.5, 0.75, 1250.0]);
    }
}
