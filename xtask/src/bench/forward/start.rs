//! From exec to the first byte through the forward, and where that time goes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::super::kit::{Kit, Talker};
use super::super::number::float;
use super::super::page::Work as _;
use super::super::promise::{Measure, Wanted};
use super::super::service::Services;
use super::super::tunnel::CIPHER;
use super::Bench;
use super::host::Host;
use super::program::{Program, Tunnel, until_served};
use crate::clock;
use crate::programs;
use crate::sshd::{self, Place};
use crate::workspace::words;

const FIRST_BYTE: Measure = Measure {
    name: "exec to the first byte through the forward, ms",
    wanted: Wanted::Nothing,
};
const VERSION: Measure = Measure {
    name: "exec to the end of a run that prints its version, ms",
    wanted: Wanted::Nothing,
};
const DIALLED: Measure = Measure {
    name: "exec to its TCP connection, ms",
    wanted: Wanted::Nothing,
};
const KEY_EXCHANGE: Measure = Measure {
    name: "from there to its first key exchange packet, ms",
    wanted: Wanted::Nothing,
};
const SEEDING: Measure = Measure {
    name: "of all that, seeding by jitter entropy, CPU ms (perf)",
    wanted: Wanted::Nothing,
};

/// Each program, again and again.
pub(super) fn start(bench: &mut Bench) -> anyhow::Result<()> {
    let services = Services::start()?;
    let host = Host::start(&bench.kit, &Place::Here, Ipv4Addr::LOCALHOST.into(), "")?;
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        for _ in 0..bench.scale.starts {
            for program in Program::ALL {
                let outcome = once(bench, &host, services.echo(), program);
                bench.settle(&format!("start, {program}"), outcome)?;
            }
        }
        for program in Program::CARRIERS {
            let outcome = parts(bench, &host, program);
            bench.settle(&format!("parts of the start, {program}"), outcome)?;
        }
        let outcome = seeding(bench, &host);
        bench.settle("seeding", outcome)?;
    }
    Ok(())
}

fn once(
    bench: &mut Bench,
    host: &Host,
    service: SocketAddr,
    program: Program,
) -> anyhow::Result<()> {
    let tunnel = Tunnel {
        program,
        place: &Place::Here,
        port: sshd::free_port()?,
        service,
        cipher: CIPHER,
        options: &[],
    };
    let started = clock::now();
    let running = tunnel.start(&bench.kit, host)?;
    let took = until_served(
        &bench.kit,
        &Place::Here,
        tunnel.visitors(),
        started,
        DEADLINE,
    )?;
    let Some(took) = took else {
        bail!("it does not start: {}", running.said()?.trim_end());
    };
    bench.results.add(&FIRST_BYTE, program, milliseconds(took));
    Ok(())
}

/// The same start against a listener of ours that greets and says nothing more, so that no time of a server's is in
/// it: its connection, then the first packet behind its version line, which needs the first random
/// numbers (RFC 4253 section 7.1: a cookie).
fn parts(bench: &mut Bench, host: &Host, program: Program) -> anyhow::Result<()> {
    for _ in 0..bench.scale.starts {
        let mut version = match program {
            Program::Adit => Command::new(&bench.kit.adit),
            Program::Ssh | Program::Autossh => Command::new("ssh"),
        };
        version
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = clock::now();
        version.status().context("it does not start")?;
        bench
            .results
            .add(&VERSION, program, milliseconds(started.elapsed()));

        let silent = Silent::bind()?;
        let mut command = silent.command(&bench.kit, host, program)?;
        let started = clock::now();
        let running = Talker::start(&bench.kit, &mut command)?;
        let (dialled, key_exchange) = silent.greet()?;
        drop(running);
        let from_start = dialled.saturating_duration_since(started);
        bench
            .results
            .add(&DIALLED, program, milliseconds(from_start));
        let from_there = key_exchange.saturating_duration_since(dialled);
        bench
            .results
            .add(&KEY_EXCHANGE, program, milliseconds(from_there));
    }
    Ok(())
}

/// Which share of our start is the seeding of aws-lc's generator: perf samples the program's clock
/// from exec to the first key exchange packet, and the samples in functions of the jitter entropy
/// source are counted.
fn seeding(bench: &mut Bench, host: &Host) -> anyhow::Result<()> {
    if programs::find("perf").is_none() {
        let note = String::from("seeding: not measured, there is no perf");
        bench.results.note(note);
        return Ok(());
    }
    let data = bench.kit.folder()?.join("perf.data");
    let silent = Silent::bind()?;
    let command = silent.command(&bench.kit, host, Program::Adit)?;
    let mut perf = Command::new("perf");
    perf.args([
        "record",
        "--quiet",
        "--event",
        "cpu-clock",
        "--freq",
        PERF_HERTZ,
        "--output",
    ]);
    perf.arg(&data).arg("--").arg(command.get_program());
    perf.args(command.get_args());
    let running = Talker::start(&bench.kit, &mut perf)?;
    silent.greet()?;
    running.stop(DEADLINE)?;
    let (seeding, all) = samples(&bench.kit, &data)?;
    let hertz: f64 = PERF_HERTZ.parse()?;
    let cpu = |samples: u64| float(samples) / hertz * 1e3;
    bench.results.add(&SEEDING, Program::Adit, cpu(seeding));
    bench.results.note(format!(
        "seeding: {:.0} % of the CPU time from exec to the first key exchange packet, {:.1} of {:.1} ms",
        100.0 * float(seeding) / float(all.max(1)),
        cpu(seeding),
        cpu(all)
    ));
    Ok(())
}

/// How many samples are in the jitter entropy source, and how many there are.
fn samples(kit: &Kit, data: &Path) -> anyhow::Result<(u64, u64)> {
    let mut report = Command::new("perf");
    report.args(["report", "--stdio", "--show-nr-samples", "--no-children"]);
    report.args(["--fields", "sample,symbol", "--sort", "symbol", "--input"]);
    report.arg(data);
    let said = kit.output(&mut report, DEADLINE)?;
    let lines = said.lines().filter_map(|line| {
        let (count, symbol) = line.trim().split_once(' ')?;
        Some((count.parse::<u64>().ok()?, is_jitter(symbol)))
    });
    let (mut seeding, mut all) = (0_u64, 0_u64);
    for (count, is_seeding) in lines {
        all = all.saturating_add(count);
        if is_seeding {
            seeding = seeding.saturating_add(count);
        }
    }
    if all == 0 {
        bail!("`{}` has no samples", words(&report));
    }
    Ok((seeding, all))
}

/// Whether a line about a symbol, `[.] jent_memaccess  -  -`, is about the jitter entropy source. It is
/// compiled without optimisation, so that its small functions are there by their names.
fn is_jitter(symbol: &str) -> bool {
    let name = symbol.split_whitespace().nth(1).unwrap_or_default();
    name.contains("jent_") || JITTER_FUNCTIONS.contains(&name)
}

/// A host that greets and then says nothing.
struct Silent(TcpListener);

impl Silent {
    fn bind() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
        // It holds for accept too (socket(7)): a program may end before it connects.
        set_socket_timeout(&listener, Timeout::Recv, Some(DEADLINE))?;
        Ok(Self(listener))
    }

    fn command(&self, kit: &Kit, host: &Host, program: Program) -> anyhow::Result<Command> {
        let addr = self.0.local_addr().context("a socket has no address")?;
        let tunnel = Tunnel {
            program,
            place: &Place::Here,
            port: 0,
            service: addr,
            cipher: CIPHER,
            options: &[],
        };
        let mut command = tunnel.to(kit, addr, host.sshd()?.key());
        command.arg(format!("nobody@{}", addr.ip()));
        Ok(command)
    }

    /// When the program has connected, and when its first packet has come.
    fn greet(&self) -> anyhow::Result<(Instant, Instant)> {
        let (mut stream, _) = self.0.accept().context("nobody comes")?;
        let dialled = clock::now();
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?;
        let (mut said, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut bytes).context("it says nothing")?;
            said.extend_from_slice(bytes.get(..count).unwrap_or_default());
            let line = said.iter().position(|byte| *byte == b'\n');
            if line.is_some_and(|end| said.len() > end.saturating_add(1)) {
                return Ok((dialled, clock::now()));
            }
            if count == 0 {
                bail!("it goes before its key exchange");
            }
        }
    }
}

/// A time in milliseconds.
fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Functions of the jitter entropy source (jitterentropy-base.c, jitterentropy-sha3.c) that have other names.
const JITTER_FUNCTIONS: [&str; 2] = ["rol64", "xoshiro128starstar"];

/// Samples a second of the program's own clock.
const PERF_HERTZ: &str = "10000";

/// Any of these programs starts in a second, or in some on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_the_jitter_entropy_source_are_told_by_their_functions() {
        for (symbol, expected) in [
            ("[.] jent_keccakp_chi    -      -", true),
            ("[.] aws_lc_0_47_0_jent_sha3_update", true),
            ("[.] rol64", true),
            ("[k] __handle_mm_fault    -      -", false),
            ("", false),
        ] {
            assert_eq!(is_jitter(symbol), expected, "{symbol}");
        }
    }
}
