//! The command line of `cargo xtask`: which commands there are. Each reads its own arguments.

use std::process::ExitCode;

use anyhow::bail;

use crate::{bench, demo, fuzz, gate, interop, reference, soak};

/// One word after `cargo xtask`.
struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<ExitCode>,
}

/// All of them. A new one is a module and an entry here.
const COMMANDS: &[Command] = &[
    Command {
        name: "demo",
        arguments: "[--once] [--cuts N] [--rest SECONDS] [--within SECONDS]",
        about: "\
build adit, start a private sshd as the public host and a web page as the private
service, show the page through the tunnel, cut the tunnel N times (1) and show it
come back, serve until Ctrl-C; with --once, stop when it has come back; with
--rest, leave it in peace so long before each cut; with --within, fail when the
page was away for longer",
        run: demo::command,
    },
    Command {
        name: "test",
        arguments: "[STAGE...]",
        about: "all that CI runs, or only the named stages of it",
        run: gate::command,
    },
    Command {
        name: "soak",
        arguments: "[JOB...]",
        about: "\
the long jobs that do not fit CI, or only the named ones; each writes what it
printed to docs/measured/",
        run: soak::command,
    },
    Command {
        name: "bench",
        arguments: "ssh|forward|flow|gateway [--quick|--full] [--rounds N] [--only CASE]... [--write]",
        about: "\
measure the engine (ssh) or the program (forward) beside OpenSSH and autossh, or
workflows that wait for callbacks (flow), or the server under thousands of agents
(gateway), in one run and print the table in Markdown; with --write, to
docs/measured/ too",
        run: bench::command,
    },
    Command {
        name: "interop",
        arguments: "[--only PEER] [--seed N]",
        about: "\
meet every SSH program and library that can be had on every algorithm, and write
docs/reference/interop.md; with --only, run the peers of that name and write nothing",
        run: interop::command,
    },
    Command {
        name: "fuzz",
        arguments: "[--seconds N] [--jobs N] [TARGET...]",
        about: "\
throw bytes at every parser of strangers' bytes, or at the named ones, for N seconds
each (60); with --jobs, N of them at once (1)",
        run: fuzz::command,
    },
    Command {
        name: "reference",
        arguments: "[PAGE...] [--check]",
        about: "\
write the pages of docs/reference/ that are made, or the named ones (limits, commands);
with --check, only say whether they are stale",
        run: reference::command,
    },
];

/// Does what the words after `cargo xtask` ask for.
pub(crate) fn run(words: impl Iterator<Item = String>) -> anyhow::Result<ExitCode> {
    let words: Vec<String> = words.collect();
    let Some((name, arguments)) = words.split_first() else {
        return Ok(print_help());
    };
    if ["help", "-h", "--help"].contains(&name.as_str()) {
        return Ok(print_help());
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(arguments),
        None => bail!("unknown command: {name}\n\n{}", usage()),
    }
}

fn print_help() -> ExitCode {
    println!("{}", usage());
    println!("stages of test:\n{}", gate::list());
    println!("jobs of soak:\n{}", soak::list());
    ExitCode::SUCCESS
}

fn usage() -> String {
    let commands = COMMANDS.iter().map(|command| {
        let about = command.about.replace('\n', "\n      ");
        format!("  {} {}\n      {about}\n", command.name, command.arguments)
    });
    format!(
        "usage: cargo xtask COMMAND\n\n{}",
        commands.collect::<Vec<_>>().concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_line(line: &str) -> anyhow::Result<ExitCode> {
        run(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn no_word_and_help_show_the_help() {
        for line in ["", "help", "-h", "--help"] {
            assert_eq!(run_line(line).unwrap(), ExitCode::SUCCESS, "{line}");
        }
    }

    #[test]
    fn an_unknown_word_is_named_in_the_error() {
        for (line, word) in [
            ("frobnicate", "frobnicate"),
            ("demo --twice", "--twice"),
            ("demo --cuts many", "many"),
            ("demo --cuts", "--cuts"),
            ("test --all", "--all"),
            ("test everything", "everything"),
            ("soak --all", "--all"),
            ("soak everything", "everything"),
            ("reference --check now", "now"),
            ("reference now", "now"),
        ] {
            let error = run_line(line).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
