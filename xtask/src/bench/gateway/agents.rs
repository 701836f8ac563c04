//! Agents by the thousand, one process of the example `gateway_load`, each with one forward: what is measured is
//! the server.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Pid;

use super::super::kit::{Kit, Talker};
use super::super::number::float;
use super::super::page::Work as _;
use super::super::pair::Pair;
use super::super::promise::{Measure, Wanted};
use super::super::tunnel::{Host, Plan};
use super::super::usage::{Memory, memory as memory_of};
use super::{Bench, SLACK, Server};
use crate::clock;

const MEMORY: Measure = Measure {
    name: "memory for each idle tunnel, KiB (PSS)",
    wanted: Wanted::AtMost(40.0),
};
const FRESH: Measure = Measure {
    name: "the same, two seconds after the last login",
    wanted: Wanted::Nothing,
};
const DIRTY: Measure = Measure {
    name: "memory for each idle tunnel, KiB (private dirty)",
    wanted: Wanted::Nothing,
};
const DESCRIPTORS: Measure = Measure {
    name: "open files for each idle tunnel",
    wanted: Wanted::AtMost(3.0),
};
const BACK: Measure = Measure {
    name: "until every agent has its forward after kill -9, s",
    wanted: Wanted::AtMost(10.0),
};
const LOGINS: Measure = Measure {
    name: "logins a second, 16 at a time",
    wanted: Wanted::RatioAtLeast(5.0),
};

/// Idle tunnels: a few at sshd, which has two processes for each, and all at ours.
pub(super) fn memory(bench: &mut Bench) -> anyhow::Result<()> {
    for (server, pair, count) in [
        (Server::Sshd, Pair::STOCK, SSHD_IDLE),
        (Server::Adit, Pair::SERVED, bench.scale.idle),
    ] {
        let outcome = hold(bench, server, pair, count);
        bench.settle(&format!("memory, {server}"), outcome)?;
    }
    let note = format!(
        "idle: {SSHD_IDLE} tunnels at sshd, {} at adit; all of its memory is theirs",
        bench.scale.idle
    );
    bench.results.note(note);
    Ok(())
}

fn hold(bench: &mut Bench, server: Server, pair: Pair, count: u32) -> anyhow::Result<()> {
    let host = Host::start(&bench.kit, &Plan::usual(pair))?;
    let started = clock::now();
    let mut load = start(&bench.kit, &host, count)?;
    load.wait(&bench.kit, "the load", crowd_deadline(count), |said| {
        said.contains(" up after ").then_some(())
    })?;
    let took = started.elapsed().as_secs_f64();
    bench.kit.stop.wait(SETTLE);
    let processes = host.processes();
    let fresh = memory_of(&processes).proportional;
    bench.kit.stop.wait(IDLE);
    let Memory {
        proportional,
        private_dirty,
        ..
    } = memory_of(&processes);
    let files: usize = processes.iter().map(|pid| open_files(*pid)).sum();
    let each = f64::from(count);
    let results = &mut bench.results;
    results.add(&MEMORY, server, proportional / each);
    results.add(&FRESH, server, fresh / each);
    results.add(&DIRTY, server, private_dirty / each);
    results.add(&DESCRIPTORS, server, float(u64::try_from(files)?) / each);
    results.note(format!(
        "idle, {server}: all {count} were up after {took:.1} s"
    ));
    load.finish(&bench.kit, SLACK)
}

fn open_files(pid: Pid) -> usize {
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Agents whose gateway is killed and started again at once.
pub(super) fn reconnect(bench: &mut Bench) -> anyhow::Result<()> {
    let count = bench.scale.agents;
    let plan = Plan::usual(Pair::SERVED);
    let mut host = Host::start(&bench.kit, &plan)?;
    let mut load = start(&bench.kit, &host, count)?;
    for round in 0..=bench.scale.rounds {
        if round > 0 {
            host = host.kill(&bench.kit, &plan)?;
        }
        // One line for each time that all are up; the first is not of a return.
        let line = usize::try_from(round)?;
        let seconds: f64 = load.wait(&bench.kit, "the load", crowd_deadline(count), |said| {
            let mut ups = said
                .lines()
                .filter_map(|line| line.split_once(" up after "));
            ups.nth(line)?.1.parse().ok()
        })?;
        if round > 0 {
            bench.results.add(&BACK, Server::Adit, seconds);
        }
        bench.kit.stop.wait(SETTLE);
    }
    bench.results.note(format!(
        "reconnect: {count} agents, from the first end until the last forward"
    ));
    load.finish(&bench.kit, SLACK)
}

/// Agents that come and go, so many at a time.
pub(super) fn logins(bench: &mut Bench) -> anyhow::Result<()> {
    let time = bench.scale.logins;
    let sshd = Host::start(&bench.kit, &Plan::usual(Pair::STOCK))?;
    let adit = Host::start(&bench.kit, &Plan::usual(Pair::SERVED))?;
    for _ in 0..bench.scale.rounds {
        for (server, host) in [(Server::Sshd, &sshd), (Server::Adit, &adit)] {
            let mut command = load(&bench.kit, host, "logins", AT_A_TIME);
            command.arg("--seconds").arg(time.as_secs().to_string());
            let said = bench.kit.output(&mut command, time + SLACK + SLACK)?;
            let (count, seconds) = said
                .trim()
                .split_once(" logins in ")
                .context(said.clone())?;
            let (count, seconds): (f64, f64) = (count.parse()?, seconds.parse()?);
            bench.results.add(&LOGINS, server, count / seconds);
        }
    }
    Ok(())
}

fn load(kit: &Kit, host: &Host, mode: &str, count: u32) -> Command {
    let mut command = Command::new(kit.adit.with_file_name("examples/gateway_load"));
    command.args(["--mode", mode, "--addr", &host.addr().to_string()]);
    command.args(["--user", host.user(), "--count", &count.to_string()]);
    command.arg("--key").arg(host.key());
    command
}

/// Agents that stay.
fn start(kit: &Kit, host: &Host, count: u32) -> anyhow::Result<Talker> {
    Talker::start(kit, &mut load(kit, host, "hold", count))
}

/// A stock sshd on a busy machine does five a second, and ours more.
fn crowd_deadline(count: u32) -> Duration {
    SLACK + Duration::from_millis(200).saturating_mul(count)
}

/// Idle tunnels at sshd.
const SSHD_IDLE: u32 = 50;

/// Agents that log in at the same time.
const AT_A_TIME: u32 = 16;

/// Longer than jemalloc keeps pages that nobody wants, ten seconds (`dirty_decay_ms`), and than a keep-alive waits:
/// what a login needed is not what an idle tunnel costs.
const IDLE: Duration = Duration::from_secs(40);

/// Until nothing of a login is under way any more.
const SETTLE: Duration = Duration::from_secs(2);
