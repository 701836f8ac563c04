//! `cargo xtask bench`: the product measured beside OpenSSH, in one run.
//!
//! `bench forward` is about the program that people run ([`forward`]), `bench flow` about its workflows
//! ([`flow`]), `bench gateway` about the server under a crowd ([`gateway`]), `bench ssh` about the engine. There every case takes the four pairs of ends in turns, round after round, so that what else the
//! machine does hits all of them; what is shown are medians and ratios. docs/reference/bench.md says
//! what is measured how.

mod case;
mod delay;
mod flow;
mod forward;
mod gateway;
mod iperf;
mod kit;
mod number;
mod pair;
mod ping;
mod plan;
mod promise;
mod service;
mod table;
mod target;
mod tunnel;
mod usage;

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use crate::clock;
use crate::programs::{self, Found};
use crate::workspace::Workspace;
use case::{Bench, Scale};
use kit::Kit;
use plan::{Plan, Record, Suite as _};
use service::Services;
use table::Results;

/// `cargo xtask bench`.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let first = words.split_first();
    match first.map(|(first, options)| (first.as_str(), options)) {
        Some(("flow", options)) => flow::command(options),
        Some(("forward", options)) => forward::command(options),
        Some(("gateway", options)) => gateway::command(options),
        Some(("ssh", options)) => ssh(options),
        _ => bail!("say what to measure: `cargo xtask bench ssh`, `forward`, `flow` or `gateway`"),
    }
}

/// `cargo xtask bench ssh`.
fn ssh(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::<Bench>::parse(words)?;
    if let Found::Without(packages) = programs::ensure(programs::BENCH)? {
        bail!("the bench needs {}", packages.join(" and "));
    }
    let workspace = Workspace::find()?;
    let mut bench = Bench {
        kit: Kit::build(&workspace, EXAMPLES)?,
        scale: plan.scale,
        services: Services::start()?,
        results: Results::default(),
    };
    let Scale { rounds, time, .. } = plan.scale;
    let head = head(
        &workspace,
        &Title {
            name: Bench::NAME,
            words: &plan.words,
            scale: format!(
                "{rounds} rounds, {} s for each measurement of bulk and pings",
                time.as_secs()
            ),
        },
    )?;
    let started = clock::now();
    for case in &plan.cases {
        bench.run(case)?;
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    let text = format!(
        "{head}- Load average at the end: {}; took {minutes:.0} minutes\n\n\
         ## Medians\n\nIn brackets: times the baseline's.\n\n{}\n## Targets\n\n{}",
        load_average()?,
        bench.results.markdown(),
        target::markdown(&bench.results)
    );
    publish(&workspace, Bench::NAME, &text, plan.record)
}

/// Prints the text, and writes it to docs/measured/ if that is wanted.
fn publish(
    workspace: &Workspace,
    name: &str,
    text: &str,
    record: Record,
) -> anyhow::Result<ExitCode> {
    println!("{text}");
    if record == Record::Written {
        let folder = workspace.root().join("docs").join("measured");
        fs::create_dir_all(&folder).context("cannot make docs/measured")?;
        let file = folder.join(format!("{}-bench-{name}.md", clock::today()?));
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("written to {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The examples of `adit-tunnel` that `bench ssh` runs.
const EXAMPLES: &[&str] = &["bench_gateway", "bench_logins", "bench_link"];

/// What a page is called and how it came to be.
struct Title<'a> {
    name: &'a str,
    words: &'a str,
    scale: String,
}

/// Says what ran on what: without that a number means nothing.
fn head(workspace: &Workspace, title: &Title<'_>) -> anyhow::Result<String> {
    let said = |program: &str, args: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(program)
            .args(args)
            .current_dir(workspace.root())
            .output()
            .with_context(|| format!("cannot run `{program}`"))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    let tree = if said("git", &["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
        "clean"
    } else {
        "changed"
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |model| {
            model.trim_start_matches([' ', '\t', ':'])
        });
    let control = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    Ok(format!(
        "# bench {}, {}\n\n\
         - `cargo xtask bench {}`: {}\n\
         - Commit {} ({tree}), {}\n\
         - {}, {} cores, {cpu}\n\
         - {}; {}; cipher {}; TCP congestion control {}\n\
         - Load average at the start: {}\n",
        title.name,
        clock::today()?,
        title.words,
        title.scale,
        said("git", &["rev-parse", "--short=12", "HEAD"])?,
        said("rustc", &["--version"])?,
        said("uname", &["-srm"])?,
        said("nproc", &[])?,
        said("ssh", &["-V"])?,
        said("iperf3", &["--version"])?,
        tunnel::CIPHER,
        control.as_deref().map_or("unknown", str::trim),
        load_average()?,
    ))
}

fn load_average() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    let averages: Vec<&str> = text.split(' ').take(3).collect();
    Ok(averages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, word) in [
            ("", "ssh"),
            ("edge", "ssh"),
            ("forward --only nothing", "recover"),
            ("forward --slow", "--slow"),
            ("flow --only nothing", "waiters"),
            ("flow --slow", "--slow"),
            ("gateway --only nothing", "reconnect"),
            ("ssh --only nothing", "stall"),
            ("ssh --rounds 0", "1 or more"),
            ("ssh --slow", "--slow"),
        ] {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let error = command(&words).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
