//! `cargo xtask bench edge`: names over HTTP beside nginx, haproxy and caddy, and a request through a tunnel beside
//! nginx in front of `ssh -R`.
//!
//! Each stands in front of the same origin, an nginx that answers from memory ([`front`]); `wrk` and `h2load` ask
//! ([`load`]). What counts is the processor time that the one in front uses for a request: load and origin share
//! the cores with it. One connection that is idle costs memory alone ([`idle`]).

mod front;
mod idle;
mod load;
mod requests;
mod through;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use self::front::Ground;
use super::kit::Kit;
use super::page::Work;
use super::plan::{Case, Plan, Suite};
use super::promise::{Contender, Results};
use super::{forward, page, plan};
use crate::programs::{self, Found};
use crate::workspace::Workspace;

/// Who stands in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Server {
    Nginx,
    Haproxy,
    Caddy,
    /// The crate `edge`; through a tunnel, `adit serve`.
    Adit,
}

impl Server {
    /// All, in the order in which they take their turns.
    const ALL: [Self; 4] = [Self::Nginx, Self::Haproxy, Self::Caddy, Self::Adit];
}

impl Contender for Server {
    const COLUMNS: &'static [Self] = &Self::ALL;
    const OURS: Self = Self::Adit;
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Adit => "adit",
        })
    }
}

/// What the cases work with.
#[derive(Debug)]
struct Bench {
    kit: Kit,
    scale: Scale,
    ground: Ground,
    results: Results<Server>,
}

impl Suite for Bench {
    type Scale = Scale;
    const NAME: &'static str = "edge";
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
            "## Medians\n\nIn brackets: times nginx's.\n\n{}",
            self.results.markdown()
        )
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    rounds: u32,
    /// One measurement.
    time: Duration,
    /// Idle connections.
    idle: u32,
}

impl plan::Scale for Scale {
    const QUICK: Self = Self {
        rounds: 1,
        time: Duration::from_secs(2),
        idle: 1_000,
    };
    const USUAL: Self = Self {
        rounds: 3,
        time: Duration::from_secs(3),
        idle: 4_000,
    };
    const FULL: Self = Self {
        rounds: 5,
        time: Duration::from_secs(5),
        idle: 8_000,
    };

    fn with_rounds(self, rounds: u32) -> Self {
        Self { rounds, ..self }
    }
}

/// All of them, in the order in which they run.
const CASES: &[Case<Bench>] = &[
    Case {
        name: "requests",
        about: "small and 64 KiB answers, kept and new connections, plain, TLS and HTTP/2",
        run: requests::requests,
    },
    Case {
        name: "idle",
        about: "memory of connections at which nothing is asked",
        run: idle::idle,
    },
    Case {
        name: "tunnel",
        about: "a request through a tunnel, beside nginx in front of ssh -R",
        run: through::tunnel,
    },
];

/// `cargo xtask bench edge`.
pub(super) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::<Bench>::parse(words)?;
    if let Found::Without(packages) = programs::ensure(programs::BENCH_EDGE)? {
        bail!("the bench needs {}", packages.join(" and "));
    }
    let workspace = Workspace::find()?;
    // In one build, so that both are made of the same libraries.
    let kit = Kit::build(&workspace, "adit-edge", &["bench_edge"])?;
    let example = workspace.target().join("release/examples/bench_edge");
    forward::raise_limits()?;
    let mut bench = Bench {
        ground: Ground::prepare(&kit, example)?,
        kit,
        scale: plan.scale,
        results: Results::default(),
    };
    let Scale { rounds, time, idle } = plan.scale;
    let scale = format!(
        "{rounds} rounds of {} s for each measurement, {idle} idle connections; {}",
        time.as_secs(),
        front::versions()
    );
    page::make(&workspace, &plan, &scale, &mut bench)
}

/// What a run may take beyond its time: the machine is busy.
const SLACK: Duration = Duration::from_secs(60);
