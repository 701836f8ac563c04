//! The cases: what is done for a round of each, and which values come of it.

mod bulk;
mod costs;
mod crowd;
mod far;
mod rekey;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::iperf::{Amount, Flow, Run, Way};
use super::kit::Kit;
use super::page::Work;
use super::pair::Pair;
use super::plan::{self, Case, Suite};
use super::service::Services;
use super::table::Results;
use super::target;
use super::tunnel::{Plan, Tunnel};
use crate::sshd::{self, Place};

impl Suite for Bench {
    type Scale = Scale;
    const NAME: &'static str = "ssh";
    const CASES: &'static [Case<Self>] = CASES;
}

impl Work for Bench {
    fn kit(&self) -> &Kit {
        &self.kit
    }

    fn note(&mut self, note: String) {
        self.results.note(note);
    }

    fn report(&self) -> String {
        format!(
            "## Medians\n\nIn brackets: times the baseline's.\n\n{}\n## Targets\n\n{}",
            self.results.markdown(),
            target::markdown(&self.results)
        )
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// Rounds in which all pairs take their turns.
    pub(super) rounds: u32,
    /// One measurement of bulk or pings.
    pub(super) time: Duration,
    /// Bytes of the case with rekeys, each way, and the bytes between two rekeys.
    pub(super) rekey_bytes: u64,
    pub(super) rekey_every: u64,
    /// Logins in one measurement.
    pub(super) logins: u32,
    /// Idle connections held beside a stock sshd, and at our server alone.
    pub(super) held: u32,
    pub(super) held_alone: u32,
}

impl plan::Scale for Scale {
    /// To see whether all works: about three minutes.
    const QUICK: Self = Self {
        rounds: 1,
        time: Duration::from_secs(2),
        rekey_bytes: 256 << 20,
        rekey_every: 32 << 20,
        logins: 30,
        held: 50,
        held_alone: 50,
    };
    /// To see where one is: about a quarter of an hour.
    const USUAL: Self = Self {
        rounds: 3,
        time: Duration::from_secs(3),
        rekey_bytes: 512 << 20,
        rekey_every: 64 << 20,
        logins: 60,
        held: 100,
        held_alone: 500,
    };
    /// What is written down: about three quarters of an hour.
    const FULL: Self = Self {
        rounds: 5,
        time: Duration::from_secs(5),
        rekey_bytes: 20 << 30,
        rekey_every: 256 << 20,
        logins: 200,
        held: 500,
        held_alone: 5_000,
    };

    fn with_rounds(self, rounds: u32) -> Self {
        Self { rounds, ..self }
    }
}

/// All of them, in the order in which they run.
const CASES: &[Case<Bench>] = &[
    Case {
        name: "bulk",
        about: "up and down, 1 and 8 streams, CPU time",
        run: bulk::bulk,
    },
    Case {
        name: "bidir",
        about: "8 streams each way at once",
        run: bulk::bidir,
    },
    Case {
        name: "costs",
        about: "copies and wakes, as our ends count them",
        run: costs::costs,
    },
    Case {
        name: "ping",
        about: "pings through an idle tunnel and under bulk",
        run: bulk::pings,
    },
    Case {
        name: "stall",
        about: "pings beside a stream whose application does not read",
        run: bulk::stall,
    },
    Case {
        name: "rekey",
        about: "bulk with frequent rekeys, and their pauses",
        run: rekey::rekey,
    },
    Case {
        name: "visits",
        about: "new connections through a tunnel",
        run: crowd::visits,
    },
    Case {
        name: "logins",
        about: "logins at a server",
        run: crowd::logins,
    },
    Case {
        name: "memory",
        about: "idle connections at a server",
        run: crowd::memory,
    },
    Case {
        name: "link",
        about: "a line of 50 ms and 1 Gbit/s, without and with 1 % loss",
        run: far::link,
    },
    Case {
        name: "proxy",
        about: "50 ms by a delaying proxy: SSH's own windows",
        run: far::proxy,
    },
];

/// What the cases work with.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) kit: Kit,
    pub(super) scale: Scale,
    pub(super) services: Services,
    pub(super) results: Results,
}

impl Bench {
    /// Does the same for each pair in turn, as many rounds as there are, with a tunnel of each pair
    /// that is up all the time.
    fn in_turns(
        &mut self,
        what: &str,
        services: &[SocketAddr],
        plan: impl Fn(Pair) -> Plan,
        measure: impl Fn(&mut Self, Pair, &Tunnel) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut tunnels = Vec::new();
        for pair in Pair::ALL {
            match Tunnel::start(&self.kit, &plan(pair), services) {
                Ok(tunnel) => tunnels.push((pair, tunnel)),
                Err(error) => self.settle(&format!("{what}, {pair}"), Err(error))?,
            }
        }
        for round in 1..=self.scale.rounds {
            eprintln!("  round {round} of {}", self.scale.rounds);
            for (pair, tunnel) in &tunnels {
                let outcome = measure(self, *pair, tunnel);
                self.settle(&format!("{what}, {pair}"), outcome)?;
            }
        }
        Ok(())
    }

    /// Bulk through a tunnel on this machine.
    fn flow(
        &self,
        tunnel: &Tunnel,
        service: SocketAddr,
        way: Way,
        streams: u32,
    ) -> anyhow::Result<Flow> {
        let run = Run {
            service,
            service_place: &Place::Here,
            visitors: tunnel.visitors(service)?,
            visitors_place: &Place::Here,
            way,
            streams,
            amount: Amount::Time(self.scale.time),
            deadline: self.scale.time + SLACK,
        };
        run.run(&self.kit)
    }
}

/// A port for iperf3's server, free a moment ago.
fn iperf_service() -> anyhow::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, sshd::free_port()?).into())
}

/// What a run may take beyond its time: queues drain, and the machine is busy.
const SLACK: Duration = Duration::from_secs(20);
