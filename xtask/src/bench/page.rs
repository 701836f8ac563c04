//! The page of a bench: what ran on what, the values, and where all that is written.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use super::kit::Kit;
use super::plan::{Plan, Record, Suite};
use super::tunnel;
use crate::clock;
use crate::workspace::Workspace;

/// A bench that can run its cases.
pub(super) trait Work: Suite {
    /// What its cases work with.
    fn kit(&self) -> &Kit;

    /// Notes something to know about the values, or why one is missing.
    fn note(&mut self, note: String);

    /// The values so far, with their headings, in Markdown.
    fn report(&self) -> String;

    /// Notes an error, unless it is the wish to stop.
    fn settle(&mut self, what: &str, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        if self.kit().stop.is_asked() {
            bail!("stopped by a signal");
        }
        if let Err(error) = outcome {
            self.note(format!("{what}: {error:#}"));
        }
        Ok(())
    }
}

/// Runs the cases of a plan, whose scale is told in words, and publishes the page. What fails in a case
/// is noted and the others go on; a signal ends all.
pub(super) fn make<B: Work>(
    workspace: &Workspace,
    plan: &Plan<B>,
    scale: &str,
    bench: &mut B,
) -> anyhow::Result<ExitCode> {
    let head = head(workspace, plan, scale)?;
    let started = clock::now();
    for case in &plan.cases {
        eprintln!("{}: {}", case.name, case.about);
        let outcome = (case.run)(bench);
        bench.settle(case.name, outcome)?;
    }
    let text = format!(
        "{head}- Load average at the end: {}; took {:.0} minutes\n\n{}",
        load_average()?,
        started.elapsed().as_secs_f64() / 60.0,
        bench.report(),
    );
    publish(workspace, B::NAME, &text, plan.record)
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

/// Says what ran on what: without that a number means nothing.
fn head<B: Suite>(workspace: &Workspace, plan: &Plan<B>, scale: &str) -> anyhow::Result<String> {
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
         - `cargo xtask bench {}`: {scale}\n\
         - Commit {} ({tree}), {}\n\
         - {}, {} cores, {cpu}\n\
         - {}; {}; cipher {}; TCP congestion control {}\n\
         - Load average at the start: {}\n",
        B::NAME,
        clock::today()?,
        plan.words,
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
