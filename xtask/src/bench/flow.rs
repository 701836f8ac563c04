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

use anyhow::{Context as _, bail};

use super::kit::Kit;
use super::promise::{Contender, Results};
use super::{Record, Title, head, load_average, publish};
use crate::clock;
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

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    rounds: u32,
    /// Starts in a round.
    starts: u32,
}

impl Scale {
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
}

/// One case.
#[derive(Debug)]
struct Case {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Bench) -> anyhow::Result<()>,
}

/// All of them, in the order in which they run.
const CASES: &[Case] = &[
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

/// What is asked for.
#[derive(Debug)]
struct Plan {
    scale: Scale,
    cases: Vec<&'static Case>,
    record: Record,
    words: String,
}

impl Plan {
    fn parse(words: &[String]) -> anyhow::Result<Self> {
        let mut plan = Self {
            scale: Scale::USUAL,
            cases: Vec::new(),
            record: Record::Nowhere,
            words: format!("flow {}", words.join(" ")).trim_end().to_owned(),
        };
        let mut rounds = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => plan.scale = Scale::QUICK,
                "--full" => plan.scale = Scale::FULL,
                "--write" => plan.record = Record::Written,
                "--only" => {
                    let name = words.next().context("--only needs a case")?;
                    let case = CASES.iter().find(|case| case.name == name);
                    plan.cases
                        .push(case.with_context(|| format!("no case {name}; {}", list()))?);
                }
                "--rounds" => {
                    let count = words.next().context("--rounds needs a number")?;
                    let count = count.parse::<u32>().ok().filter(|count| *count > 0);
                    rounds = Some(count.context("--rounds needs a number, 1 or more")?);
                }
                _ => bail!("unknown argument: {word}"),
            }
        }
        if let Some(rounds) = rounds {
            plan.scale.rounds = rounds;
        }
        if plan.cases.is_empty() {
            plan.cases = CASES.iter().collect();
        }
        Ok(plan)
    }
}

/// `cargo xtask bench flow`.
pub(super) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::parse(words)?;
    let workspace = Workspace::find()?;
    let mut bench = Bench {
        kit: Kit::build(&workspace, &[])?,
        scale: plan.scale,
        results: Results::default(),
    };
    let Scale { rounds, starts } = plan.scale;
    let title = Title {
        name: "flow",
        words: &plan.words,
        scale: format!("{rounds} rounds, {starts} starts a round"),
    };
    let head = head(&workspace, &title)?;
    let began = clock::now();
    for case in &plan.cases {
        eprintln!("{}: {}", case.name, case.about);
        let outcome = (case.run)(&mut bench);
        bench.settle(case.name, outcome)?;
    }
    let text = format!(
        "{head}- Load average at the end: {}; took {:.0} minutes\n\n\
         ## Medians\n\nIn brackets: times that of the first column.\n\n{}",
        load_average()?,
        began.elapsed().as_secs_f64() / 60.0,
        bench.results.markdown(),
    );
    publish(&workspace, "flow", &text, &plan.record)
}

impl Bench {
    /// Notes an error, unless it is the wish to stop.
    fn settle(&mut self, what: &str, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        if self.kit.stop.is_asked() {
            bail!("stopped by a signal");
        }
        if let Err(error) = outcome {
            self.results.note(format!("{what}: {error:#}"));
        }
        Ok(())
    }
}

/// The cases in one line.
fn list() -> String {
    let names = CASES
        .iter()
        .map(|case| format!("{} ({})", case.name, case.about));
    format!("there are: {}", names.collect::<Vec<_>>().join(", "))
}

/// `/proc` counts in KiB.
const KIB_IN_MIB: f64 = 1_024.0;

/// Until what a crowd needed for a moment has been given back.
const SETTLE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> anyhow::Result<Plan> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Plan::parse(&words)
    }

    #[test]
    fn the_plan_is_a_scale_cases_and_a_place_for_the_table() {
        let usual = plan("").unwrap();
        assert_eq!(usual.scale, Scale::USUAL);
        assert_eq!(usual.cases.len(), CASES.len());
        assert_eq!(
            (usual.record, usual.words),
            (Record::Nowhere, "flow".into())
        );
        let some = plan("--rounds 7 --full --only waiters --only start --write").unwrap();
        assert_eq!((some.scale.rounds, some.scale.starts), (7, 10));
        let names: Vec<&str> = some.cases.iter().map(|case| case.name).collect();
        assert_eq!(names, ["waiters", "start"]);
        assert_eq!(some.record, Record::Written);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, word) in [
            ("--only nothing", "callbacks"),
            ("--only", "--only"),
            ("--rounds 0", "1 or more"),
            ("--slow", "--slow"),
        ] {
            let error = plan(line).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
