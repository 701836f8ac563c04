//! The command line of `cargo xtask`: which words it knows and what they mean.

use anyhow::{Context as _, bail};

use crate::workspace::Workspace;
use crate::{demo, gate, reference, soak};

const HELP: &str = "\
usage: cargo xtask COMMAND

  demo [--once] [--cuts N]   build adit, start a private sshd as the public host and a web page as
                             the private service, show the page through the tunnel, cut the tunnel
                             N times (1) and show it come back, serve until Ctrl-C; with --once,
                             stop when it has come back
  test [STAGE...]            all that CI runs, or only the named stages of it
  soak [JOB...]              the long jobs that do not fit CI, or only the named ones; each writes
                             what it printed to docs/measured/
  reference [--check]        write docs/reference/ from the sources; with --check, only say whether
                             it is stale
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Help,
    Demo(demo::Plan),
    Test { stages: Vec<String> },
    Soak { jobs: Vec<String> },
    Reference(reference::Mode),
}

/// Does what the words after `cargo xtask` ask for.
pub(crate) fn run(words: impl Iterator<Item = String>) -> anyhow::Result<()> {
    match parse(words)? {
        Request::Help => {
            println!("{HELP}");
            println!("stages of test:\n{}", gate::list());
            println!("jobs of soak:\n{}", soak::list());
            Ok(())
        }
        Request::Demo(plan) => demo::run(&Workspace::find()?, &plan),
        Request::Test { stages } => gate::run(Workspace::find()?, &stages),
        Request::Soak { jobs } => soak::run(&Workspace::find()?, &jobs),
        Request::Reference(mode) => reference::run(&Workspace::find()?, mode),
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Request> {
    let Some(command) = words.next() else {
        return Ok(Request::Help);
    };
    match command.as_str() {
        "help" | "-h" | "--help" => Ok(Request::Help),
        "demo" => parse_demo(words).map(Request::Demo),
        "test" => Ok(Request::Test {
            stages: names(words)?,
        }),
        "soak" => Ok(Request::Soak {
            jobs: names(words)?,
        }),
        "reference" => match (words.next().as_deref(), words.next()) {
            (None, _) => Ok(Request::Reference(reference::Mode::Write)),
            (Some("--check"), None) => Ok(Request::Reference(reference::Mode::Check)),
            (Some(word), _) => bail!("unknown argument: {word}\n\n{HELP}"),
        },
        word => bail!("unknown command: {word}\n\n{HELP}"),
    }
}

fn parse_demo(mut words: impl Iterator<Item = String>) -> anyhow::Result<demo::Plan> {
    let mut plan = demo::Plan {
        cuts: 1,
        ending: demo::Ending::CtrlC,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--once" => plan.ending = demo::Ending::WhenBack,
            "--cuts" => {
                let count = words.next().context("--cuts needs a number")?;
                plan.cuts = count
                    .parse()
                    .with_context(|| format!("--cuts needs a number, not {count}"))?;
            }
            _ => bail!("unknown argument: {word}\n\n{HELP}"),
        }
    }
    Ok(plan)
}

fn names(words: impl Iterator<Item = String>) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = words.collect();
    match names.iter().find(|name| name.starts_with('-')) {
        Some(flag) => bail!("unknown argument: {flag}\n\n{HELP}"),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Request> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn no_word_and_help_show_the_help() {
        for line in ["", "help", "-h", "--help"] {
            assert_eq!(parsed(line).unwrap(), Request::Help, "{line}");
        }
    }

    #[test]
    fn demo_takes_a_number_of_cuts_and_an_ending() {
        let plan = demo::Plan {
            cuts: 3,
            ending: demo::Ending::WhenBack,
        };
        assert_eq!(parsed("demo --cuts 3 --once").unwrap(), Request::Demo(plan));
    }

    #[test]
    fn an_unknown_word_is_named_in_the_error() {
        for (line, word) in [
            ("frobnicate", "frobnicate"),
            ("demo --twice", "--twice"),
            ("demo --cuts many", "many"),
            ("test --all", "--all"),
            ("reference --check now", "--check"),
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
