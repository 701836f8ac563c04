//! One stream through the forward, up and down, and the CPU time that it costs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;

use super::super::iperf::{Amount, Run, Way};
use super::super::kit::Talker;
use super::super::page::Work as _;
use super::super::promise::{Measure, Wanted};
use super::super::tunnel::CIPHER;
use super::super::usage::cpu_seconds;
use super::Bench;
use super::host::Host;
use super::program::Program;
use crate::sshd::{self, Place};

/// What is measured with a cipher.
struct Measures {
    cipher: &'static str,
    up: Measure,
    down: Measure,
    up_cpu: Measure,
    down_cpu: Measure,
}

static MEASURES: [Measures; 2] = [
    Measures {
        cipher: CIPHER,
        up: Measure {
            name: "1 stream up, aes128-gcm, Gbit/s",
            wanted: Wanted::RatioAtLeast(1.15),
        },
        down: Measure {
            name: "1 stream down, aes128-gcm, Gbit/s",
            wanted: Wanted::RatioAtLeast(1.15),
        },
        up_cpu: Measure {
            name: "up, aes128-gcm, CPU s/GiB of the program",
            wanted: Wanted::Nothing,
        },
        down_cpu: Measure {
            name: "down, aes128-gcm, CPU s/GiB of the program",
            wanted: Wanted::Nothing,
        },
    },
    Measures {
        cipher: "chacha20-poly1305@openssh.com",
        up: Measure {
            name: "1 stream up, chacha20-poly1305, Gbit/s",
            wanted: Wanted::RatioAtLeast(1.15),
        },
        down: Measure {
            name: "1 stream down, chacha20-poly1305, Gbit/s",
            wanted: Wanted::RatioAtLeast(1.15),
        },
        up_cpu: Measure {
            name: "up, chacha20-poly1305, CPU s/GiB of the program",
            wanted: Wanted::Nothing,
        },
        down_cpu: Measure {
            name: "down, chacha20-poly1305, CPU s/GiB of the program",
            wanted: Wanted::Nothing,
        },
    },
];

/// Both programs with both ciphers, each with an sshd of its own that stays up all the time.
pub(super) fn bulk(bench: &mut Bench) -> anyhow::Result<()> {
    let service: SocketAddr = (Ipv4Addr::LOCALHOST, sshd::free_port()?).into();
    let mut tunnels = Vec::new();
    for measures in &MEASURES {
        for program in Program::CARRIERS {
            let host = Host::start(&bench.kit, &Place::Here, Ipv4Addr::LOCALHOST.into(), "")?;
            let started = super::crowd::up(bench, &host, program, service, measures.cipher)?;
            tunnels.push((measures, program, host, started));
        }
    }
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        for (measures, program, _host, (running, visitors)) in &tunnels {
            let outcome = once(bench, measures, *program, running, (service, *visitors));
            bench.settle(&format!("bulk, {program}, {}", measures.cipher), outcome)?;
        }
    }
    Ok(())
}

fn once(
    bench: &mut Bench,
    measures: &'static Measures,
    program: Program,
    running: &Talker,
    (service, visitors): (SocketAddr, SocketAddr),
) -> anyhow::Result<()> {
    for (way, rate, cpu) in [
        (Way::Up, &measures.up, &measures.up_cpu),
        (Way::Down, &measures.down, &measures.down_cpu),
    ] {
        let run = Run {
            service,
            service_place: &Place::Here,
            visitors,
            visitors_place: &Place::Here,
            way,
            streams: 1,
            amount: Amount::Time(bench.scale.time),
            deadline: bench.scale.time + SLACK,
        };
        let before = cpu_seconds(&running.group().tree());
        let flow = run.run(&bench.kit).context("iperf3")?;
        let used = cpu_seconds(&running.group().tree()) - before;
        bench.results.add(rate, program, flow.gigabits);
        bench.results.add(cpu, program, used / (flow.bytes / GIB));
    }
    Ok(())
}

/// A GiB, in bytes.
const GIB: f64 = 1_073_741_824.0;

/// What a run may take beyond its time.
const SLACK: Duration = Duration::from_secs(20);
