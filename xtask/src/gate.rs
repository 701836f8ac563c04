//! `cargo xtask test`: everything that CI runs, in stages with a time budget each.
//!
//! All stages run even when one fails, so that one run tells everything. A stage over its budget is
//! printed loudly; only a total over the limit fails, because one slow stage is noise on a shared
//! machine and a slow gate is not. With `CI` in the environment, `ADIT_REAL=1` is set for the
//! tests: a missing real program then fails instead of being skipped.

mod count;
mod verdict;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::programs::{self, Found};
use crate::workspace::{Workspace, run as run_command};
use crate::{arguments, clock, fuzz, openssh};
use count::Count;
use verdict::{Report, Verdict};

/// `cargo xtask test`: runs the named stages, or all of them when none is named.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let stages = chosen(arguments::names(words)?)?;
    let mut gate = Gate {
        workspace: Workspace::find()?,
        place: if env::var_os("CI").is_some_and(|value| !value.is_empty()) {
            Place::Ci
        } else {
            Place::Laptop
        },
        tests: Count::default(),
    };
    let started = clock::now();
    let reports: Vec<Report> = stages.into_iter().map(|stage| gate.run(stage)).collect();
    let verdict = Verdict::of(&reports, started.elapsed(), gate.tests);
    println!("\n=== summary\n{verdict}");
    Ok(if verdict.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The stages and what they do, one line each, for `--help`.
pub(crate) fn list() -> String {
    let lines = STAGES
        .iter()
        .map(|stage| format!("  {:<10} {}\n", stage.name, stage.about));
    lines.collect()
}

/// One step of the gate.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    about: &'static str,
    /// What it may take on two cores when dependencies were never built.
    budget: Duration,
    run: fn(&mut Gate) -> anyhow::Result<()>,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "setup",
        about: "install the missing programs and cargo tools",
        budget: Duration::from_mins(8),
        run: Gate::setup,
    },
    Stage {
        name: "fmt",
        about: "cargo fmt --check",
        budget: Duration::from_secs(20),
        run: Gate::fmt,
    },
    Stage {
        name: "deny",
        about: "licences, bans, duplicates and sources of the dependencies",
        budget: Duration::from_mins(1),
        run: Gate::deny,
    },
    Stage {
        name: "tidy",
        about: "documents and tree hold each other",
        budget: Duration::from_mins(1),
        run: Gate::tidy,
    },
    Stage {
        name: "clippy",
        about: "every lint, every target, warnings denied",
        budget: Duration::from_mins(7),
        run: Gate::clippy,
    },
    Stage {
        name: "docs",
        about: "rustdoc of every item, warnings denied",
        budget: Duration::from_secs(90),
        run: Gate::docs,
    },
    Stage {
        name: "build",
        about: "the program as it is shipped",
        budget: Duration::from_mins(9),
        run: Gate::build,
    },
    Stage {
        name: "unit",
        about: "unit tests, simulation, contract suites",
        budget: Duration::from_mins(7),
        run: Gate::unit,
    },
    Stage {
        name: "real",
        about: "the lab and real programs: tests in lab_*, real_*, lab:: and real::",
        budget: Duration::from_mins(12),
        run: Gate::real,
    },
    Stage {
        name: "doctests",
        about: "the examples in the documentation",
        budget: Duration::from_mins(1),
        run: Gate::doctests,
    },
    Stage {
        name: "demo",
        about: "cargo xtask demo --once",
        budget: Duration::from_mins(1),
        run: Gate::demo,
    },
    Stage {
        name: "fuzz",
        about: "each fuzz target for a few seconds",
        budget: Duration::from_mins(6),
        run: Gate::fuzz,
    },
];

/// What the whole gate may take from a fresh clone on two cores.
const TOTAL_BUDGET: Duration = Duration::from_mins(55);

/// Which tests run real programs or the lab; the same expression gives them their time limit in
/// `.config/nextest.toml`.
const REAL_TESTS: &str = "binary(/^(lab|real)_/) | test(/(^|::)(lab|real)::/)";

/// What a missing program means at home.
const SKIP: &str = "skip: the tests that need them will skip themselves";

/// How long each fuzz target runs in the gate.
const FUZZ_SMOKE: Duration = Duration::from_secs(5);

/// The tidy tests, which have a stage of their own.
const TIDY_TESTS: &str = "binary_id(xtask::tidy)";

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Ci,
    Laptop,
}

#[derive(Debug)]
struct Gate {
    workspace: Workspace,
    place: Place,
    tests: Count,
}

impl Gate {
    fn run(&mut self, stage: &'static Stage) -> Report {
        println!("\n=== {}: {}", stage.name, stage.about);
        let started = clock::now();
        let failure = (stage.run)(self).err();
        if let Some(error) = &failure {
            println!("{error:#}");
        }
        let report = Report {
            stage,
            took: started.elapsed(),
            failure,
        };
        println!("{}", report.line());
        report
    }

    fn setup(&mut self) -> anyhow::Result<()> {
        programs::ensure_tool(&self.workspace, &programs::NEXTEST)?;
        programs::ensure_tool(&self.workspace, &programs::DENY)?;
        programs::ensure_tool(&self.workspace, &programs::FUZZ)?;
        match programs::ensure(programs::REAL)? {
            Found::All => {}
            Found::Without(_) if self.place == Place::Laptop => println!("{SKIP}"),
            Found::Without(packages) => bail!("CI needs {}", packages.join(", ")),
        }
        match openssh::ensure(&self.workspace.target().join("interop")) {
            Err(error) if self.place == Place::Laptop => {
                println!("without OpenSSH 10.0: {error:#}\n{SKIP}");
                Ok(())
            }
            outcome => outcome.context("CI needs OpenSSH 10.0"),
        }
    }

    fn fmt(&mut self) -> anyhow::Result<()> {
        run_command(self.workspace.cargo().args(["fmt", "--all", "--check"]))
    }

    /// Advisories are left out: their database cannot be reached from the build machines
    /// (docs/scope.md).
    fn deny(&mut self) -> anyhow::Result<()> {
        println!("(no advisories here: the database cannot be reached, see docs/scope.md)");
        run_command(
            self.workspace
                .cargo()
                .args(["deny", "check", "bans", "licenses", "sources"]),
        )
    }

    fn tidy(&mut self) -> anyhow::Result<()> {
        self.nextest(&["--package=xtask", "--test=tidy"])
    }

    fn clippy(&mut self) -> anyhow::Result<()> {
        run_command(self.workspace.cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-Dwarnings",
        ]))
    }

    fn docs(&mut self) -> anyhow::Result<()> {
        run_command(
            self.workspace
                .cargo()
                .env("RUSTDOCFLAGS", "-Dwarnings")
                .args([
                    "doc",
                    "--no-deps",
                    "--workspace",
                    "--document-private-items",
                ]),
        )
    }

    fn build(&mut self) -> anyhow::Result<()> {
        self.workspace.build_release().map(drop)
    }

    fn unit(&mut self) -> anyhow::Result<()> {
        let filter = format!("not ({REAL_TESTS} | {TIDY_TESTS})");
        self.nextest(&["--workspace", "-E", &filter])
    }

    fn real(&mut self) -> anyhow::Result<()> {
        self.nextest(&["--workspace", "-E", REAL_TESTS])
    }

    fn doctests(&mut self) -> anyhow::Result<()> {
        run_command(
            self.workspace
                .cargo()
                .args(["test", "--workspace", "--doc"]),
        )
    }

    /// The demo runs in a process of its own, as a newcomer would start it.
    fn demo(&mut self) -> anyhow::Result<()> {
        run_command(self.workspace.cargo().args([
            "run",
            "--quiet",
            "--package=xtask",
            "--",
            "demo",
            "--once",
        ]))
    }

    fn fuzz(&mut self) -> anyhow::Result<()> {
        let targets = fuzz::targets(&self.workspace)?;
        fuzz::smoke(&self.workspace, &targets, FUZZ_SMOKE)
    }

    /// Runs tests by nextest's profile `gate` and adds them to the count.
    fn nextest(&mut self, args: &[&str]) -> anyhow::Result<()> {
        let report = count::junit_file(&self.workspace);
        count::forget(&report)?;
        let mut command = self.workspace.cargo();
        command
            .args(["nextest", "run", "--profile=gate"])
            .args(args);
        if self.place == Place::Ci {
            command.env("ADIT_REAL", "1");
        }
        let outcome = run_command(&mut command);
        match count::read(&report) {
            Ok(count) => self.tests.add(count),
            Err(error) if outcome.is_ok() => return Err(error),
            // No test was reached; why, cargo has already said.
            Err(_) => {}
        }
        outcome
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Stage>> {
    if names.is_empty() {
        return Ok(STAGES.iter().collect());
    }
    let find = |name: &String| {
        STAGES
            .iter()
            .find(|stage| stage.name == name)
            .with_context(|| format!("no stage {name}; there are:\n{}", list()))
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budgets_of_the_stages_fit_the_total() {
        let sum: Duration = STAGES.iter().map(|stage| stage.budget).sum();
        assert!(sum <= TOTAL_BUDGET, "{sum:?}");
    }

    #[test]
    fn a_stage_is_chosen_by_its_name_and_an_unknown_name_lists_them() {
        let names = |stages: Vec<&Stage>| stages.iter().map(|stage| stage.name).collect::<Vec<_>>();
        assert_eq!(names(chosen(&["tidy".to_owned()]).unwrap()), ["tidy"]);
        assert_eq!(chosen(&[]).unwrap().len(), STAGES.len());
        let error = chosen(&["tests".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no stage tests") && error.contains("clippy"));
    }

    #[test]
    fn the_time_limits_of_nextest_are_for_the_same_tests_as_the_stage() {
        let config = include_str!("../../.config/nextest.toml");
        assert!(config.contains(&format!("filter = '{REAL_TESTS}'")));
    }
}
