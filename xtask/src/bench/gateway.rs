//! `cargo xtask bench gateway`: `adit serve` beside a stock sshd, and beside rathole and bore.
//!
//! Some cases are about the server under agents by the thousand ([`agents`]), some about what visitors of one
//! tunnel get ([`bulk`], [`crowd`]). There sshd and `adit serve` have the same stock client, `ssh -N -R`;
//! rathole and bore have clients of their own and no cipher ([`plain`]).

mod agents;
mod bulk;
mod crowd;
mod plain;
mod turns;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use super::kit::Kit;
use super::page::Work;
use super::plan::{Case, Plan, Suite};
use super::promise::{Contender, Results};
use super::service::Services;
use super::{forward, page, plan};
use crate::programs::{self, Found};
use crate::workspace::Workspace;

/// Where agents log in, and who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Server {
    /// The machine's `sshd`, under stock ssh or the bench's own agents.
    Sshd,
    /// `adit serve` under the same.
    Adit,
    /// `adit serve` under `adit forward`.
    AditAtBoth,
    /// `rathole --server` under `rathole --client`, plain TCP.
    Rathole,
    /// `bore server` under `bore local`, plain TCP.
    Bore,
}

impl Server {
    /// All, in the order in which they take their turns.
    const ALL: [Self; 5] = [
        Self::Sshd,
        Self::Adit,
        Self::AditAtBoth,
        Self::Rathole,
        Self::Bore,
    ];
}

impl Contender for Server {
    const COLUMNS: &'static [Self] = &Self::ALL;
    const OURS: Self = Self::Adit;
    const BOTH: Option<Self> = Some(Self::AditAtBoth);
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sshd => "sshd",
            Self::Adit => "adit",
            Self::AditAtBoth => "adit at both ends",
            Self::Rathole => "rathole, plain",
            Self::Bore => "bore, plain",
        })
    }
}

/// What the cases work with.
#[derive(Debug)]
struct Bench {
    kit: Kit,
    scale: Scale,
    services: Services,
    results: Results<Server>,
}

impl Suite for Bench {
    type Scale = Scale;
    const NAME: &'static str = "gateway";
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
            "## Medians\n\nIn brackets: times sshd's.\n\n{}",
            self.results.markdown()
        )
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    /// Rounds of everything but `memory`.
    rounds: u32,
    /// One measurement of bulk, of pings or of visitors who come and go.
    bulk: Duration,
    /// How long agents come and go in one.
    logins: Duration,
    /// Idle agents at the gateway.
    idle: u32,
    /// Agents that come back after a kill.
    agents: u32,
}

impl plan::Scale for Scale {
    const QUICK: Self = Self {
        rounds: 1,
        bulk: Duration::from_secs(2),
        logins: Duration::from_secs(3),
        idle: 1_000,
        agents: 500,
    };
    const USUAL: Self = Self {
        rounds: 3,
        bulk: Duration::from_secs(3),
        logins: Duration::from_secs(10),
        idle: 5_000,
        agents: 2_000,
    };
    const FULL: Self = Self {
        rounds: 5,
        bulk: Duration::from_secs(5),
        logins: Duration::from_secs(30),
        idle: 5_000,
        agents: 2_000,
    };

    fn with_rounds(self, rounds: u32) -> Self {
        Self { rounds, ..self }
    }
}

/// All of them, in the order in which they run.
const CASES: &[Case<Bench>] = &[
    Case {
        name: "memory",
        about: "idle tunnels that are held, and what each costs",
        run: agents::memory,
    },
    Case {
        name: "reconnect",
        about: "agents that come back after kill -9 of the gateway",
        run: agents::reconnect,
    },
    Case {
        name: "logins",
        about: "agents that log in, ask for a forward and leave",
        run: agents::logins,
    },
    Case {
        name: "bulk",
        about: "up and down, 1 and 8 streams, CPU time",
        run: bulk::bulk,
    },
    Case {
        name: "crowd",
        about: "visitors who come and go, pings beside bulk, memory",
        run: crowd::crowd,
    },
];

/// `cargo xtask bench gateway`.
pub(super) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::<Bench>::parse(words)?;
    if let Found::Without(packages) = programs::ensure(programs::BENCH)? {
        bail!("the bench needs {}", packages.join(" and "));
    }
    let workspace = Workspace::find()?;
    let mut bench = Bench {
        kit: Kit::build(&workspace, "adit-tunnel", &["gateway_load"])?,
        scale: plan.scale,
        services: Services::start()?,
        results: Results::default(),
    };
    forward::raise_limits()?;
    let Scale {
        rounds,
        bulk,
        logins,
        idle,
        agents,
    } = plan.scale;
    let scale = format!(
        "{idle} idle tunnels; {rounds} rounds of {agents} agents that come back, of {} s of logins, and of \
         {} s for each measurement of bulk, pings and visitors",
        logins.as_secs(),
        bulk.as_secs()
    );
    page::make(&workspace, &plan, &scale, &mut bench)
}

/// What a run may take beyond its time: the machine is busy.
const SLACK: Duration = Duration::from_secs(30);
