//! Many of them: visitors of a tunnel, logins at a server, connections that do nothing.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::super::kit::Talker;
use super::super::page::Work as _;
use super::super::pair::Pair;
use super::super::ping::come_and_go;
use super::super::table::Measure;
use super::super::tunnel::{Host, Plan};
use super::super::usage;
use super::{Bench, SLACK};

/// Visitors that come, exchange 64 bytes and go.
pub(super) fn visits(bench: &mut Bench) -> anyhow::Result<()> {
    let echo = bench.services.echo();
    bench.in_turns("visits", &[echo], Plan::usual, |bench, pair, tunnel| {
        let rate = come_and_go(tunnel.visitors(echo)?, bench.scale.time)?;
        bench.results.add(Measure::Visits, pair, rate);
        Ok(())
    })
}

/// Logins one after the other, each of which asks for one forward.
pub(super) fn logins(bench: &mut Bench) -> anyhow::Result<()> {
    let mut hosts = Vec::new();
    for pair in SERVERS {
        hosts.push((pair, Host::start(&bench.kit, &Plan::usual(pair))?));
    }
    let count = bench.scale.logins;
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        for (pair, host) in &hosts {
            let outcome = log_in(bench, *pair, host, count);
            bench.settle(&format!("logins, {pair}"), outcome)?;
        }
    }
    bench.results.note(format!(
        "logins: {count} in a row from one process of our client, {KEX} at both servers"
    ));
    Ok(())
}

fn log_in(bench: &mut Bench, pair: Pair, host: &Host, count: u32) -> anyhow::Result<()> {
    // What our server does in a blink is repeated, so that there is something to count.
    let count = if pair == Pair::OURS {
        count.saturating_mul(OURS_MORE)
    } else {
        count
    };
    let before = usage::cpu_seconds(&host.processes());
    let mut command = load(bench, host, count);
    let said = bench.kit.output(&mut command, crowd_deadline(count))?;
    let used = usage::cpu_seconds(&host.processes()) - before;
    let (_, seconds) = said
        .trim()
        .split_once(" logins in ")
        .context(said.clone())?;
    let seconds: f64 = seconds.parse()?;
    bench
        .results
        .add(Measure::Logins, pair, f64::from(count) / seconds);
    bench
        .results
        .add(Measure::LoginCpu, pair, used * 1e3 / f64::from(count));
    Ok(())
}

/// Connections that do nothing, each with one forward.
pub(super) fn memory(bench: &mut Bench) -> anyhow::Result<()> {
    for pair in SERVERS {
        let outcome = hold(bench, pair, bench.scale.held).map(|held| {
            let results = &mut bench.results;
            results.add(Measure::Memory, pair, held.server.proportional);
            results.add(Measure::MemoryDirty, pair, held.server.private_dirty);
        });
        bench.settle(&format!("memory, {pair}"), outcome)?;
    }
    let alone = bench.scale.held_alone;
    let outcome = hold(bench, Pair::OURS, alone).map(|held| {
        bench.results.note(format!(
            "{alone} idle connections at our server alone: {:.1} KiB each (PSS), {:.1} KiB private \
             dirty; at our client {:.1} KiB each (PSS, the process itself included)",
            held.server.proportional, held.server.private_dirty, held.client.proportional
        ));
    });
    bench.settle("memory alone", outcome)?;
    bench.results.note(format!(
        "idle memory of the table: {} connections at each server",
        bench.scale.held
    ));
    Ok(())
}

/// Memory for one connection at both ends, in KiB.
struct Held {
    server: usage::Memory,
    client: usage::Memory,
}

fn hold(bench: &Bench, pair: Pair, count: u32) -> anyhow::Result<Held> {
    let host = Host::start(&bench.kit, &Plan::usual(pair))?;
    // Once before, so that what the first connection leaves behind for the next is not counted.
    bench
        .kit
        .output(&mut load(bench, &host, 1), crowd_deadline(1))?;
    let before = usage::memory(&host.processes());
    let mut command = load(bench, &host, count);
    let mut holder = Talker::start(&bench.kit, command.args(["--hold", "yes"]))?;
    holder.wait(&bench.kit, "the load", crowd_deadline(count), |said| {
        said.contains(" held\n").then_some(())
    })?;
    bench.kit.stop.wait(SETTLE);
    let after = usage::memory(&host.processes());
    let client = usage::memory(&holder.group().tree());
    holder.finish(&bench.kit, SLACK)?;
    let each = |after: f64, before: f64| (after - before) / f64::from(count);
    Ok(Held {
        server: usage::Memory {
            resident: each(after.resident, before.resident),
            proportional: each(after.proportional, before.proportional),
            private_dirty: each(after.private_dirty, before.private_dirty),
        },
        client: usage::Memory {
            resident: each(client.resident, 0.0),
            proportional: each(client.proportional, 0.0),
            private_dirty: each(client.private_dirty, 0.0),
        },
    })
}

fn load(bench: &Bench, host: &Host, count: u32) -> Command {
    let mut command = Command::new(&bench.kit.logins);
    command.arg("--addr").arg(host.addr().to_string());
    command.args(["--user", host.user(), "--kex", KEX]);
    command.arg("--key").arg(host.key());
    command.arg("--count").arg(count.to_string());
    command
}

/// A stock sshd on a busy machine does five a second.
fn crowd_deadline(count: u32) -> Duration {
    SLACK + Duration::from_millis(200).saturating_mul(count)
}

/// Both kinds of server, each with our client in front.
const SERVERS: [Pair; 2] = [Pair::OUR_CLIENT, Pair::OURS];

/// How many times as many logins our server gets.
const OURS_MORE: u32 = 10;

/// A key exchange that both servers have, and the cheapest: what is compared is all the rest.
const KEX: &str = "curve25519-sha256";

/// Until what a login needed has been given back.
const SETTLE: Duration = Duration::from_secs(2);
