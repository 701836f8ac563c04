//! From a fault to the next byte through the forward.
//!
//! ssh alone is not here: it ends with its connection, and stays away. autossh is what people run for
//! that. All have `ServerAliveInterval=1` and `ServerAliveCountMax=2`, so that what is measured is
//! what they do when they know, and how soon they know from the same signs.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::page::Work as _;
use super::super::promise::{Measure, Wanted};
use super::super::tunnel::CIPHER;
use super::host::Host;
use super::lab::Lab;
use super::program::{Back, GIVEN_UP, Program, Tunnel, listener, until_back, until_served};
use super::{Bench, Scale, plan};
use crate::clock;

/// Something that breaks tunnels.
struct Fault {
    what: &'static str,
    /// More lines for sshd.
    lines: &'static str,
    measure: Measure,
    /// The same from the moment in which the port was free again, where that takes long.
    from_freed: Option<Measure>,
    /// How much of it there is in a run that is only to see whether all works.
    when: When,
    /// Makes it, and gives the moment from which the time counts.
    make: fn(&Bench, &mut Lab, &mut Host) -> anyhow::Result<Instant>,
}

/// In which runs a fault is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// It takes long: not with `--quick`.
    NotQuick,
}

static FAULTS: [Fault; 6] = [
    Fault {
        what: "session killed",
        lines: "",
        measure: Measure {
            name: "back after its session was killed at the sshd, s",
            wanted: Wanted::Nothing,
        },
        from_freed: None,
        when: When::Always,
        make: |_, _, host| {
            let now = clock::now();
            host.sshd()?.cut()?;
            Ok(now)
        },
    },
    Fault {
        what: "sshd restarted",
        lines: "",
        measure: Measure {
            name: "back after sshd listens again, all its sessions having ended, s",
            wanted: Wanted::Nothing,
        },
        from_freed: None,
        when: When::Always,
        make: |bench, _, host| {
            host.restart(&bench.kit)?;
            Ok(clock::now())
        },
    },
    Fault {
        what: "sshd hangs",
        lines: "",
        measure: Measure {
            name: "back after sshd goes on, which was stopped for 6 s, s",
            wanted: Wanted::Nothing,
        },
        from_freed: None,
        when: When::Always,
        make: |bench, _, host| {
            host.freeze()?;
            bench.kit.stop.wait(HANGS);
            host.thaw()?;
            Ok(clock::now())
        },
    },
    Fault {
        what: "dark path",
        lines: "",
        measure: Measure {
            name: "back after the path is, which was dark for 10 s, s",
            wanted: Wanted::Nothing,
        },
        from_freed: None,
        when: When::Always,
        make: |bench, lab, _| darken(bench, lab, DARK),
    },
    Fault {
        what: "dark path, long",
        lines: "",
        measure: Measure {
            name: "back after the path is, which was dark for 60 s, s",
            wanted: Wanted::AtMost(3.0),
        },
        from_freed: None,
        when: When::NotQuick,
        make: |bench, lab, _| darken(bench, lab, LONG_DARK),
    },
    Fault {
        what: "stale listener",
        lines: "ClientAliveInterval 1\nClientAliveCountMax 3\n",
        measure: Measure {
            name: "back after a change of address, its port held till sshd's ClientAlive 1 x 3, s",
            wanted: Wanted::Nothing,
        },
        from_freed: Some(Measure {
            name: "the same from the moment in which sshd frees the port, s",
            wanted: Wanted::AtMost(3.0),
        }),
        when: When::Always,
        make: |bench, lab, _| {
            let now = clock::now();
            lab.tell(&bench.kit, "move")?;
            Ok(now)
        },
    },
];

/// Each fault for each program, round after round.
pub(super) fn recover(bench: &mut Bench) -> anyhow::Result<()> {
    if !bench.can_make_networks("recover") {
        return Ok(());
    }
    let note = "ssh alone ends with its connection and never comes back; so autossh is compared";
    bench.results.note(String::from(note));
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        let is_quick = bench.scale == <Scale as plan::Scale>::QUICK;
        let faults = FAULTS.iter();
        for fault in faults.filter(|fault| fault.when == When::Always || !is_quick) {
            for program in [Program::Autossh, Program::Adit] {
                let outcome = once(bench, fault, program);
                bench.settle(&format!("{}, {program}", fault.what), outcome)?;
            }
        }
    }
    Ok(())
}

/// Lets nothing through for a while; neither end is told.
fn darken(bench: &Bench, lab: &mut Lab, time: Duration) -> anyhow::Result<Instant> {
    lab.tell(&bench.kit, "dark")?;
    bench.kit.stop.wait(time);
    lab.tell(&bench.kit, "light")?;
    Ok(clock::now())
}

fn once(bench: &mut Bench, fault: &'static Fault, program: Program) -> anyhow::Result<()> {
    let mut lab = Lab::lay(&bench.kit, ONE_WAY)?;
    let mut host = Host::start(&bench.kit, &lab.public, lab.addr, fault.lines)?;
    let (inside, public) = (lab.inside.clone(), lab.public.clone());
    let tunnel = Tunnel {
        program,
        place: &inside,
        port: PORT,
        service: lab.services.echo(),
        cipher: CIPHER,
        options: &["ServerAliveInterval=1", "ServerAliveCountMax=2"],
    };
    let running = tunnel.start(&bench.kit, &host)?;
    let visitors = tunnel.visitors();
    let served = until_served(&bench.kit, &public, visitors, clock::now(), START)?;
    served.with_context(|| format!("no start: {}", running.said().unwrap_or_default()))?;
    // A second is what the watch of either takes to begin.
    bench.kit.stop.wait(REST);
    let before = listener(&public, PORT)?;
    let since = (fault.make)(bench, &mut lab, &mut host)?;
    let back = until_back(&bench.kit, &public, visitors, before, since)?;
    let seconds =
        |time: fn(Back) -> Duration| back.map_or(f64::INFINITY, |back| time(back).as_secs_f64());
    let results = &mut bench.results;
    results.add(&fault.measure, program, seconds(|back| back.served));
    if let Some(measure) = &fault.from_freed {
        let from_freed = seconds(|back| back.served.saturating_sub(back.freed));
        results.add(measure, program, from_freed);
    }
    if back.is_none() {
        let (what, after) = (fault.what, GIVEN_UP.as_secs());
        let said = running.said().unwrap_or_default();
        let last = said.trim_end().lines().next_back().unwrap_or_default();
        results.note(format!(
            "{what}, {program}: not back after {after} s: {last}"
        ));
    }
    drop((running, host));
    lab.end(&bench.kit)
}

/// A port of the host's loopback, which is its own.
const PORT: u16 = 8_080;

/// Half of a round trip of 20 ms, as between two cities.
const ONE_WAY: Duration = Duration::from_millis(10);

/// How long sshd is stopped and the path is dark: longer than all need to notice.
const HANGS: Duration = Duration::from_secs(6);
const DARK: Duration = Duration::from_secs(10);

/// Long enough that attempts to come back have become rare.
const LONG_DARK: Duration = Duration::from_mins(1);

/// Between the first visitor and the fault.
const REST: Duration = Duration::from_secs(1);

/// What a tunnel's start takes at most.
const START: Duration = Duration::from_secs(20);
