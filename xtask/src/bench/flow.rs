//! `cargo xtask bench flow`: workflows that wait for callbacks, beside a server that does nothing else.
//!
//! `adit up` is asked over its API for runs by the thousand, a service of the bench takes their requests
//! and calls them back, and strangers come in between.

mod abuse;
mod callbacks;
mod crowd;
mod direct;
mod http;
mod program;
mod server;
mod service;
mod start;
mod waiters;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use super::kit::Kit;
use super::page::Work;
use super::plan::{Case, Plan, Suite};
use super::promise::{Contender, Results};
use super::{page, plan};
use crate::workspace::Workspace;

/// What takes callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The bench's own server.
    Direct,
    /// `adit up`.
    Adit,
}

impl Contender for End {
    const COLUMNS: &'static [Self] = &[Self::Direct, Self::Adit];
    const OURS: Self = Self::Adit;
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Adit => "adit",
        })
    }
}

/// What the cases work with.
#[derive(Debug)]
struct Bench {
    kit: Kit,
    scale: Scale,
    results: Results<End>,
}

impl Suite for Bench {
    type Scale = Scale;
    const NAME: &'static str = "flow";
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
            "## Medians\n\nIn brackets: times that of the first column.\n\n{}",
            self.results.markdown()
        )
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    rounds: u32,
    /// Starts in a round.
    starts: u32,
}

impl plan::Scale for Scale {
    const QUICK: Self = Self {
        rounds: 1,
        starts: 5,
    };
    const USUAL: Self = Self {
        rounds: 5,
        starts: 4,
    };
    const FULL: Self = Self {
        rounds: 10,
        starts: 10,
    };

    fn with_rounds(self, rounds: u32) -> Self {
        Self { rounds, ..self }
    }
}

/// All of them, in the order in which they run.
const CASES: &[Case<Bench>] = &[
    Case {
        name: "start",
        about: "from exec to the first job",
        run: start::start,
    },
    Case {
        name: "callbacks",
        about: "1,000 runs that wait, and their callbacks",
        run: callbacks::callbacks,
    },
    Case {
        name: "waiters",
        about: "10,000 runs that wait, and what each costs",
        run: waiters::waiters,
    },
    Case {
        name: "abuse",
        about: "strange requests while 1,000 runs wait",
        run: abuse::abuse,
    },
];

/// `cargo xtask bench flow`.
pub(super) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::<Bench>::parse(words)?;
    let workspace = Workspace::find()?;
    let mut bench = Bench {
        kit: Kit::build(&workspace, "adit-tunnel", &[])?,
        scale: plan.scale,
        results: Results::default(),
    };
    let Scale { rounds, starts } = plan.scale;
    let scale = format!("{rounds} rounds, {starts} starts a round");
    page::make(&workspace, &plan, &scale, &mut bench)
}

/// `/proc` counts in KiB.
const KIB_IN_MIB: f64 = 1_024.0;

/// Until what a crowd needed for a moment has been given back.
const SETTLE: Duration = Duration::from_secs(2);
