//! `cargo xtask bench forward`: the program beside `ssh -N` and autossh, at the same sshd with the same
//! cipher.
//!
//! What people feel is measured: how long until the first byte, how long until a fault is mended, what
//! idle costs. Programs take turns, and what is shown are medians, ratios, and the promise behind each.

mod bulk;
mod crowd;
mod host;
mod lab;
mod program;
mod recover;
mod start;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use super::kit::Kit;
use super::page::Work;
use super::plan::{Case, Plan, Suite};
use super::promise::Results;
use super::{page, plan};
use crate::programs::{self, Found};
use crate::workspace::Workspace;
use program::Program;

pub(super) use crowd::raise_limits;

/// What the cases work with.
#[derive(Debug)]
struct Bench {
    kit: Kit,
    scale: Scale,
    results: Results<Program>,
}

impl Suite for Bench {
    type Scale = Scale;
    const NAME: &'static str = "forward";
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
            "## Medians\n\nIn brackets: times the baseline's, which is the first program of a line.\n\n{}",
            self.results.markdown()
        )
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    /// Rounds in which all programs take their turns.
    rounds: u32,
    /// One measurement of bulk or of visitors who come and go.
    time: Duration,
    /// Starts of each program in a round.
    starts: u32,
    /// How long idle connections are counted for.
    idle: Duration,
}

impl plan::Scale for Scale {
    const QUICK: Self = Self {
        rounds: 1,
        time: Duration::from_secs(2),
        starts: 3,
        idle: Duration::from_secs(20),
    };
    const USUAL: Self = Self {
        rounds: 3,
        time: Duration::from_secs(3),
        starts: 5,
        idle: Duration::from_mins(1),
    };
    const FULL: Self = Self {
        rounds: 5,
        time: Duration::from_secs(5),
        starts: 10,
        idle: Duration::from_mins(3),
    };

    fn with_rounds(self, rounds: u32) -> Self {
        Self { rounds, ..self }
    }
}

/// All of them, in the order in which they run.
const CASES: &[Case<Bench>] = &[
    Case {
        name: "start",
        about: "from exec to the first byte, and where that time goes",
        run: start::start,
    },
    Case {
        name: "recover",
        about: "from a fault to the next byte",
        run: recover::recover,
    },
    Case {
        name: "bulk",
        about: "one stream up and down, with two ciphers",
        run: bulk::bulk,
    },
    Case {
        name: "visits",
        about: "visitors who come and go",
        run: crowd::visits,
    },
    Case {
        name: "memory",
        about: "idle, and with 1,000 open streams",
        run: crowd::memory,
    },
    Case {
        name: "wire",
        about: "bytes on the wire of an idle tunnel",
        run: wire::wire,
    },
];

/// `cargo xtask bench forward`.
pub(super) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::<Bench>::parse(words)?;
    if let Found::Without(packages) = programs::ensure(programs::BENCH_FORWARD)? {
        bail!("the bench needs {}", packages.join(" and "));
    }
    let workspace = Workspace::find()?;
    let mut bench = Bench {
        kit: Kit::build(&workspace, "adit-tunnel", &["bench_link"])?,
        scale: plan.scale,
        results: Results::default(),
    };
    raise_limits()?;
    let Scale {
        rounds,
        time,
        starts,
        idle,
    } = plan.scale;
    let scale = format!(
        "{rounds} rounds, {} s for each measurement of bulk, {starts} starts a round, {} s idle",
        time.as_secs(),
        idle.as_secs()
    );
    page::make(&workspace, &plan, &scale, &mut bench)
}

impl Bench {
    /// Whether networks can be made, which root alone can.
    fn can_make_networks(&mut self, case: &str) -> bool {
        let can = rustix::process::geteuid().is_root();
        if !can {
            let note = format!("{case}: not measured, only root can make networks");
            self.results.note(note);
        }
        can
    }
}
