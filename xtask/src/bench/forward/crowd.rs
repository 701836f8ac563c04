//! Many visitors: who come and go, and who stay.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::kit::Talker;
use super::super::page::Work as _;
use super::super::ping::{come_and_go, visit};
use super::super::promise::{Measure, Wanted};
use super::super::service::Services;
use super::super::tunnel::CIPHER;
use super::super::usage::{Memory, memory as memory_of};
use super::Bench;
use super::host::Host;
use super::program::{Program, Tunnel};
use crate::sshd::{self, Place};

const VISITS: Measure = Measure {
    name: "new connections a second, 16 at a time",
    wanted: Wanted::RatioAtLeast(5.0),
};
const IDLE: Measure = Measure {
    name: "memory, idle, MiB (RSS)",
    wanted: Wanted::AtMost(15.0),
};
const IDLE_PROPORTIONAL: Measure = Measure {
    name: "memory, idle, MiB (PSS)",
    wanted: Wanted::Nothing,
};
const OPEN: Measure = Measure {
    name: "memory for each of 1,000 open streams, KiB (RSS beyond idle)",
    wanted: Wanted::AtMost(64.0),
};
const OPEN_PROPORTIONAL: Measure = Measure {
    name: "memory for each of 1,000 open streams, KiB (PSS beyond idle)",
    wanted: Wanted::Nothing,
};

/// Lets this process, and what it starts, have as many files open as root's limit allows: a thousand visitors and
/// their services are more than the usual 1,024.
pub(in super::super) fn raise_limits() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .context("cannot raise the limit of open files")
}

/// A tunnel on this machine to a service that is not looked at yet, and where its visitors go.
pub(super) fn up(
    bench: &Bench,
    host: &Host,
    program: Program,
    service: SocketAddr,
    cipher: &str,
) -> anyhow::Result<(Talker, SocketAddr)> {
    let tunnel = Tunnel {
        program,
        place: &Place::Here,
        port: sshd::free_port()?,
        service,
        cipher,
        options: &[],
    };
    let running = tunnel.start(&bench.kit, host)?;
    // The listener is there when the forward is granted; the visitor who finds that out is let go.
    let visitors = tunnel.visitors();
    let listens = || Ok(TcpStream::connect(visitors).ok().map(drop));
    let outcome = bench.kit.stop.until("the forward", START, listens);
    outcome.with_context(|| running.said().unwrap_or_default())?;
    Ok((running, visitors))
}

/// Visitors that come, exchange 64 bytes and go.
pub(super) fn visits(bench: &mut Bench) -> anyhow::Result<()> {
    let services = Services::start()?;
    let mut tunnels = Vec::new();
    for program in Program::CARRIERS {
        let host = Host::start(&bench.kit, &Place::Here, Ipv4Addr::LOCALHOST.into(), "")?;
        let tunnel = up(bench, &host, program, services.echo(), CIPHER)?;
        tunnels.push((program, host, tunnel));
    }
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        for (program, _host, (_running, visitors)) in &tunnels {
            let outcome = come_and_go(*visitors, bench.scale.time).map(|rate| {
                bench.results.add(&VISITS, *program, rate);
            });
            bench.settle(&format!("visits, {program}"), outcome)?;
        }
    }
    Ok(())
}

/// What a program holds when nothing happens, and what a thousand visitors add who stay.
pub(super) fn memory(bench: &mut Bench) -> anyhow::Result<()> {
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        for program in Program::ALL {
            let outcome = hold(bench, program);
            bench.settle(&format!("memory, {program}"), outcome)?;
        }
    }
    Ok(())
}

fn hold(bench: &mut Bench, program: Program) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
    let service = listener.local_addr().context("a socket has no address")?;
    let host = Host::start(&bench.kit, &Place::Here, Ipv4Addr::LOCALHOST.into(), "")?;
    let (running, visitors) = up(bench, &host, program, service, CIPHER)?;
    let measured = |bench: &Bench| -> Memory {
        bench.kit.stop.wait(SETTLE);
        memory_of(&running.group().tree())
    };
    let idle = measured(bench);
    bench
        .results
        .add(&IDLE, program, idle.resident / KIB_IN_MIB);
    bench
        .results
        .add(&IDLE_PROPORTIONAL, program, idle.proportional / KIB_IN_MIB);

    let open = thread::scope(|scope| -> anyhow::Result<Memory> {
        let (enough, more) = mpsc::channel();
        let served = scope.spawn(move || stay(&listener, &more));
        let opened: anyhow::Result<Vec<TcpStream>> = (0..STREAMS)
            .map(|_| greeted(visitors, &bench.kit.stop))
            .collect();
        let open = opened.as_ref().ok().map(|_| measured(bench));
        drop(enough);
        // Wakes the service, which then looks whether there is more to come.
        drop(TcpStream::connect(service));
        let served = served.join().map_err(|_| anyhow!("the service panicked"))?;
        drop(opened.context("a stream was not opened")?);
        served.context("the service")?;
        open.context("nothing was opened")
    })?;
    let each = |open: f64, idle: f64| (open - idle) / f64::from(STREAMS);
    bench
        .results
        .add(&OPEN, program, each(open.resident, idle.resident));
    bench.results.add(
        &OPEN_PROPORTIONAL,
        program,
        each(open.proportional, idle.proportional),
    );
    Ok(())
}

/// A visitor who has exchanged a byte with the service, and stays.
fn greeted(visitors: SocketAddr, stop: &crate::stop::Stop) -> anyhow::Result<TcpStream> {
    anyhow::ensure!(!stop.is_asked(), "stopped by a signal");
    let mut visitor = visit(visitors)?;
    visitor.write_all(&[7])?;
    visitor.read_exact(&mut [0])?;
    Ok(visitor)
}

/// Answers the first byte of each visitor, and keeps them all until nothing more is to come.
fn stay(listener: &TcpListener, more: &mpsc::Receiver<()>) -> anyhow::Result<()> {
    let mut visitors = Vec::new();
    loop {
        let (mut visitor, _) = listener.accept().context("cannot accept")?;
        if matches!(more.try_recv(), Err(mpsc::TryRecvError::Disconnected)) {
            return Ok(());
        }
        let mut byte = [0];
        visitor.set_read_timeout(Some(START))?;
        // Who only looked whether the forward is there has nothing to say.
        if visitor.read(&mut byte)? == 1 {
            visitor.write_all(&byte)?;
            visitors.push(visitor);
        }
    }
}

/// Streams that are open at once.
const STREAMS: u32 = 1_000;

/// `/proc` counts in KiB.
const KIB_IN_MIB: f64 = 1_024.0;

/// Until what a login or a crowd needed for a moment has been given back.
const SETTLE: Duration = Duration::from_secs(2);

/// What a tunnel's start takes at most.
const START: Duration = Duration::from_secs(20);
