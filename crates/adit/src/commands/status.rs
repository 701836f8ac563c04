//! `adit status`: where tunnels stand, or how a gateway is.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use rustix::termios::tcgetwinsize;

use super::gateway;
use crate::cli::StatusArguments;
use crate::config::{Surroundings, file};
use crate::control::client;
use crate::control::directory::{Directories, Running};
use crate::gateway::settings;
use crate::log::say;
use crate::status::{Report, table};

/// Clears a terminal and goes to its first line (ECMA-48: CUP, ED).
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Shows one `up`, or all.
pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    if let Some(data) = &arguments.data {
        return gateway::status(data, arguments.json);
    }
    let directories = Directories::of_this_process(&Surroundings::of_this_process());
    let running = chosen(arguments, &directories)?;
    if running.is_empty() {
        let data = settings::data_of_environment().context("nothing is up")?;
        anyhow::ensure!(
            !arguments.watch,
            "nothing is up: a gateway cannot be watched"
        );
        return gateway::status(&data, arguments.json);
    }
    if let ([only], true) = (running.as_slice(), arguments.watch) {
        return watch(only, arguments);
    }
    anyhow::ensure!(
        !arguments.watch,
        "several are up: name the file of the one to watch with -f"
    );
    let mut is_up = true;
    for (number, running) in running.iter().enumerate() {
        let report = match client::status(running) {
            Ok(report) => report,
            // One that is about to end, or does not answer, leaves the others to be shown.
            Err(error) => {
                is_up = false;
                say(&format!(
                    "adit: {}: {error:#}",
                    running.holder.config.display()
                ));
                continue;
            }
        };
        is_up &= report.is_up();
        let gap = if number > 0 && !arguments.json {
            "\n"
        } else {
            ""
        };
        print(&format!("{gap}{}", shown(&report, arguments)?))?;
    }
    Ok(code(is_up))
}

/// The one that is meant, or all that there are.
fn chosen(arguments: &StatusArguments, directories: &Directories) -> anyhow::Result<Vec<Running>> {
    if let Some(file) = arguments.files.first() {
        let name = file::identity(std::slice::from_ref(file))?;
        let running = directories.find(&name);
        let running = running.with_context(|| format!("{} is not up", file.display()))?;
        return Ok(vec![running]);
    }
    Ok(directories.all())
}

fn watch(running: &Running, arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let clear = if io::stdout().is_terminal() && !arguments.json {
        CLEAR
    } else {
        ""
    };
    client::watch(running, |report| {
        let text = shown(&report, arguments).map_err(io::Error::other)?;
        print(&format!("{clear}{text}"))
    })?;
    anyhow::bail!("{} has ended", running.holder.config.display())
}

fn shown(report: &Report, arguments: &StatusArguments) -> anyhow::Result<String> {
    if arguments.json {
        let mut line = serde_json::to_string(report).context("cannot write the report")?;
        line.push('\n');
        return Ok(line);
    }
    Ok(table::show(report, SystemTime::now(), width()))
}

/// Columns of the terminal, if it is one.
fn width() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn code(is_up: bool) -> ExitCode {
    if is_up {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
