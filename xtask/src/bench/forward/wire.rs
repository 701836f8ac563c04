//! What an idle tunnel puts on the wire in a day, by cause.
//!
//! Intervals are shortened to a second, exchanges are counted, and a day has as many of them as its intervals
//! say. Bytes and packets are those of the tunnel's TCP connection both ways, as the kernel counts them
//! (`ss -i`), retransmitted ones included; each packet has 52 bytes of headers. Keep-alives are the
//! segments with data that the program has sent, probes and key exchanges are what it logs.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

use super::super::kit::Talker;
use super::super::number::{float, short};
use super::super::promise::{Measure, Wanted};
use super::super::tunnel::CIPHER;
use super::Bench;
use super::host::Host;
use super::lab::Lab;
use super::program::{Program, Tunnel, until_served};
use crate::clock;

const DAY: Measure = Measure {
    name: "idle, bytes a day at 10 s (adit: its defaults, probe 5 min), MB",
    wanted: Wanted::AtMost(2.5),
};
const THRIFTY_DAY: Measure = Measure {
    name: "idle, bytes a day at 60 s (adit: probe 30 min), KB",
    wanted: Wanted::AtMost(400.0),
};
const KEEP_ALIVE: Measure = Measure {
    name: "a keep-alive and its answer, bytes on the wire",
    wanted: Wanted::Nothing,
};
const KEEP_ALIVE_PACKETS: Measure = Measure {
    name: "a keep-alive and its answer, packets",
    wanted: Wanted::Nothing,
};
const KEEP_ALIVE_ACKS: Measure = Measure {
    name: "a keep-alive and its answer, packets that only acknowledge",
    wanted: Wanted::Nothing,
};
const KEEP_ALIVE_PAYLOAD: Measure = Measure {
    name: "a keep-alive and its answer, bytes of SSH in them",
    wanted: Wanted::Nothing,
};
const PROBE: Measure = Measure {
    name: "a probe, bytes on the wire",
    wanted: Wanted::Nothing,
};
const PROBE_PACKETS: Measure = Measure {
    name: "a probe, packets",
    wanted: Wanted::Nothing,
};
const PROBE_ACKS: Measure = Measure {
    name: "a probe, packets that only acknowledge",
    wanted: Wanted::Nothing,
};
const PROBE_PAYLOAD: Measure = Measure {
    name: "a probe, bytes of SSH in them",
    wanted: Wanted::Nothing,
};

const REKEY: Measure = Measure {
    name: "a key exchange of a running connection, bytes on the wire",
    wanted: Wanted::Nothing,
};

/// What keeps an idle tunnel busy in one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    KeepAlives,
    Probes,
    Rekeys,
}

impl Cause {
    /// Time between keep-alives and between probes: a second, or none in any measurement. An sshd whose keys
    /// are old enough renews them when it next has something to say, so keep-alives go on there.
    const fn intervals(self) -> (&'static str, &'static str) {
        match self {
            Self::KeepAlives | Self::Rekeys => ("1s", NEVER),
            Self::Probes => (NEVER, "1s"),
        }
    }

    /// More lines for sshd.
    const fn lines(self) -> &'static str {
        match self {
            Self::KeepAlives | Self::Probes => "",
            Self::Rekeys => "RekeyLimit default 1\n",
        }
    }
}

/// What was on the wire, and for how many exchanges.
#[derive(Debug, Clone, Copy)]
struct Cost {
    bytes: f64,
    packets: f64,
    acknowledgements: f64,
    payload: f64,
}

/// Both programs with keep-alives alone, then ours with probes and with key exchanges alone.
pub(super) fn wire(bench: &mut Bench) -> anyhow::Result<()> {
    if !bench.can_make_networks("wire") {
        return Ok(());
    }
    let stock = keep_alive(bench, Program::Ssh)?;
    let ours = keep_alive(bench, Program::Adit)?;
    let probe = over(bench, Program::Adit, Cause::Probes)?;
    let rekey = over(bench, Program::Adit, Cause::Rekeys)?;
    let results = &mut bench.results;
    results.add(&PROBE, Program::Adit, probe.bytes);
    results.add(&PROBE_PACKETS, Program::Adit, probe.packets);
    results.add(&PROBE_ACKS, Program::Adit, probe.acknowledgements);
    results.add(&PROBE_PAYLOAD, Program::Adit, probe.payload);
    // Each follows a keep-alive, whose bytes are not its own.
    let rekey = rekey.bytes - ours.bytes;
    results.add(&REKEY, Program::Adit, rekey);

    // By OpenSSH's defaults a client renews no keys for their age. Ours does after an hour, and on a line that
    // is asked once a minute after a day (docs/decision/0012).
    for (measure, unit, unit_bytes, keep_alive_every, probe_every, rekeys) in [
        (&DAY, "MB", 1e6, 10.0, 300.0, 24.0),
        (&THRIFTY_DAY, "KB", 1e3, 60.0, 1_800.0, 1.0),
    ] {
        let stock = DAY_SECONDS / keep_alive_every * stock.bytes;
        results.add(measure, Program::Ssh, stock / unit_bytes);
        let keep_alives = DAY_SECONDS / keep_alive_every * ours.bytes;
        let probes = DAY_SECONDS / probe_every * probe.bytes;
        let rekeys = rekeys * rekey;
        let all = keep_alives + probes + rekeys;
        results.add(measure, Program::Adit, all / unit_bytes);
        results.note(format!(
            "a day of adit with keep-alives after {keep_alive_every} s and probes after {probe_every} s, in \
             {unit}: keep-alives {}, probes {}, key exchanges {}",
            short(keep_alives / unit_bytes),
            short(probes / unit_bytes),
            short(rekeys / unit_bytes),
        ));
    }
    results.note(String::from(
        "sshd sends nothing of its own as it comes (ClientAliveInterval 0): its part of the wire is \
         answers and acknowledgements; its TCP keep-alives after 2 hours of silence never come",
    ));
    Ok(())
}

fn keep_alive(bench: &mut Bench, program: Program) -> anyhow::Result<Cost> {
    let cost = over(bench, program, Cause::KeepAlives)?;
    let results = &mut bench.results;
    results.add(&KEEP_ALIVE, program, cost.bytes);
    results.add(&KEEP_ALIVE_PACKETS, program, cost.packets);
    results.add(&KEEP_ALIVE_ACKS, program, cost.acknowledgements);
    results.add(&KEEP_ALIVE_PAYLOAD, program, cost.payload);
    Ok(cost)
}

/// The cost of one exchange, over a line with a round trip of 50 ms.
fn over(bench: &mut Bench, program: Program, cause: Cause) -> anyhow::Result<Cost> {
    let lab = Lab::lay(&bench.kit, ONE_WAY)?;
    let host = Host::start(&bench.kit, &lab.public, lab.addr, cause.lines())?;
    let inside = lab.inside.clone();
    let tunnel = Tunnel {
        program,
        place: &inside,
        port: PORT,
        service: lab.services.echo(),
        cipher: CIPHER,
        options: &["ServerAliveInterval=1"],
    };
    let running = match program {
        Program::Ssh | Program::Autossh => tunnel.start(&bench.kit, &host)?,
        Program::Adit => up(bench, &lab, &host, cause)?,
    };
    let served = until_served(
        &bench.kit,
        &lab.public,
        tunnel.visitors(),
        clock::now(),
        START,
    )?;
    served.with_context(|| running.said().unwrap_or_default())?;
    bench.kit.stop.wait(SETTLE);
    let before = Counted::now(bench, &lab, &running)?;
    bench.kit.stop.wait(bench.scale.idle);
    let after = Counted::now(bench, &lab, &running)?;
    let exchanges = match cause {
        Cause::KeepAlives => after.data_segments - before.data_segments,
        Cause::Probes => after.probes - before.probes,
        Cause::Rekeys => after.rekeys - before.rekeys,
    };
    anyhow::ensure!(exchanges > 0.0, "nothing was exchanged");
    let each = |after: f64, before: f64| (after - before) / exchanges;
    let said = running.said()?;
    let mut probes = said.lines().filter(|line| line.contains(PROBED));
    if let Some(failed) = probes.find(|line| !line.contains(FOUND_UP)) {
        let note = format!("{program}, {cause:?}: not every probe came back: {failed}");
        bench.results.note(note);
    }
    eprintln!("  {program}, {cause:?}: {exchanges} exchanges");
    drop((running, host));
    lab.end(&bench.kit)?;
    Ok(Cost {
        bytes: each(after.bytes, before.bytes),
        packets: each(after.packets, before.packets),
        acknowledgements: each(after.acknowledgements, before.acknowledgements),
        payload: each(after.payload, before.payload),
    })
}

/// `adit up` with a file of this one tunnel.
fn up(bench: &Bench, lab: &Lab, host: &Host, cause: Cause) -> anyhow::Result<Talker> {
    let folder = bench.kit.folder()?;
    let (sshd, addr) = (host.sshd()?, host.addr()?);
    let (keep_alive, probe) = cause.intervals();
    let text = format!(
        "tunnels:\n  bench:\n    host: {user}@{ip}\n    port: {port}\n    key: {key}\n    \
         known_hosts: {known_hosts}\n    ssh_config: none\n    keepalive: {keep_alive}\n    \
         probe: {probe}\n    options:\n      StrictHostKeyChecking: accept-new\n      \
         Ciphers: {CIPHER}\n    forwards:\n      - remote: \"127.0.0.1:{PORT}:{service}\"\n",
        user = sshd.user(),
        ip = addr.ip(),
        port = addr.port(),
        key = sshd.key().display(),
        known_hosts = host.known_hosts().display(),
        service = lab.services.echo(),
    );
    let file = folder.join("adit.yml");
    fs::write(&file, text).context("cannot write adit.yml")?;
    let mut command = lab.inside.command(&bench.kit.adit);
    command.args(["up", "-f"]).arg(&file);
    command
        .env("XDG_RUNTIME_DIR", &folder)
        .env("ADIT_LOG", LOG_FILTER);
    Talker::start(&bench.kit, &mut command)
}

/// What was counted so far.
#[derive(Debug, Clone, Copy)]
struct Counted {
    bytes: f64,
    packets: f64,
    acknowledgements: f64,
    payload: f64,
    data_segments: f64,
    probes: f64,
    rekeys: f64,
}

impl Counted {
    fn now(bench: &Bench, lab: &Lab, running: &Talker) -> anyhow::Result<Self> {
        let mut sockets = lab.inside.command("ss");
        sockets.args([
            "-tinHO",
            "state",
            "established",
            "dst",
            &lab.addr.to_string(),
        ]);
        let sockets = bench.kit.output(&mut sockets, START)?;
        let field = |name: &str| socket_count(&sockets, name);
        let said = running.said()?;
        let logged = |words: &str| u64::try_from(said.matches(words).count()).map(float);
        let payload = field("bytes_sent:") + field("bytes_received:");
        let packets = field("segs_out:") + field("segs_in:");
        Ok(Self {
            bytes: payload + packets * HEADERS,
            packets,
            acknowledgements: field("segs_out:") - field("data_segs_out:") + field("segs_in:")
                - field("data_segs_in:"),
            payload,
            data_segments: field("data_segs_out:"),
            probes: logged(PROBED)?,
            rekeys: logged(RENEWED)?,
        })
    }
}

/// A count in the words of `ss -i`, over all sockets it shows; none is nothing.
fn socket_count(text: &str, name: &str) -> f64 {
    let words = text.split_whitespace();
    let counts = words.filter_map(|word| word.strip_prefix(name)?.parse::<f64>().ok());
    counts.sum()
}

/// What our client logs for each probe, and for each key exchange after the first.
const PROBED: &str = "path was probed";
const FOUND_UP: &str = "finding=up";
const RENEWED: &str = "keys were renewed";
const LOG_FILTER: &str =
    "info,adit_tunnel::agent::supervise::paths=debug,adit_tunnel::transport::ssh::task=debug";

/// Of each packet: IPv4 20, TCP 20, its timestamps 12.
const HEADERS: f64 = 52.0;

const DAY_SECONDS: f64 = 86_400.0;

/// Longer than any measurement.
const NEVER: &str = "24h";

/// A port of the host's loopback, which is its own.
const PORT: u16 = 8_080;

/// Half of a round trip of 50 ms: longer than an acknowledgement is put off (40 ms), so that what a
/// far host costs is counted.
const ONE_WAY: Duration = Duration::from_millis(25);

/// Until the start is over.
const SETTLE: Duration = Duration::from_secs(3);

/// What a tunnel's start takes at most.
const START: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_a_socket_is_found_by_its_name() {
        let text =
            "0 0 10.0.0.1:1 10.0.0.2:22 cubic data_segs_out:7 bytes_sent:52 bytes_received:28";
        assert!((socket_count(text, "bytes_sent:") - 52.0).abs() < 1e-9);
        assert!((socket_count(text, "data_segs_out:") - 7.0).abs() < 1e-9);
        assert!(socket_count(text, "segs_in:").abs() < 1e-9);
    }
}
