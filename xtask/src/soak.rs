//! `cargo xtask soak`: what is worth running and does not fit CI.
//!
//! Each job is a command with a time limit. What it prints goes to the terminal and to
//! `docs/measured/DATE-JOB.txt`, under a head that says on what commit and machine it ran; the
//! files are committed.

mod job;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::process::Group;
use crate::programs::{self, Found};
use crate::workspace::{Workspace, words};
use crate::{arguments, clock};
use job::{JOBS, Job};

/// The jobs and what they do, one line each, for `--help`.
pub(crate) fn list() -> String {
    let lines = JOBS
        .iter()
        .map(|job| format!("  {:<16} {}\n", job.name, job.about));
    lines.collect()
}

/// `cargo xtask soak`: runs the named jobs, or all of them when none is named.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let names = arguments::names(words)?;
    let jobs: Vec<&Job> = if names.is_empty() {
        JOBS.iter().collect()
    } else {
        let find = |name: &String| {
            JOBS.iter()
                .find(|job| job.name == name)
                .with_context(|| format!("no job {name}; there are:\n{}", list()))
        };
        names.iter().map(find).collect::<anyhow::Result<_>>()?
    };
    if let Found::Without(packages) = programs::ensure(programs::SOAK)? {
        bail!("the jobs need {}", packages.join(" and "));
    }
    let workspace = Workspace::find()?;
    let failed: Vec<String> = jobs
        .iter()
        .filter_map(|job| {
            let error = measure(&workspace, job).err()?;
            println!("job {} failed: {error:#}", job.name);
            Some(job.name.to_owned())
        })
        .collect();
    if failed.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        bail!("failed: {}", failed.join(", "))
    }
}

fn measure(workspace: &Workspace, job: &Job) -> anyhow::Result<()> {
    let folder = workspace.root().join("docs").join("measured");
    fs::create_dir_all(&folder).context("cannot make docs/measured")?;
    let file = folder.join(format!("{}-{}.txt", clock::today()?, job.name));
    let mut command = workspace.cargo();
    command.args(job.work.args()).envs(job.env.iter().copied());
    println!("\n=== {}: {}", job.name, job.about);
    let head = head(workspace, job, &command)?;
    let mut record = Record::create(&file, workspace.root())?;
    record.line(&head)?;

    let started = clock::now();
    let outcome = record_run(&mut command, job.limit, &mut record);
    let end = match &outcome {
        Ok(()) => "passed".to_owned(),
        Err(error) => format!("FAILED: {error:#}"),
    };
    record.line(&format!(
        "\n# {end} after {:.1} s",
        started.elapsed().as_secs_f64()
    ))?;
    outcome
}

/// Says what ran on what: without that a number means nothing.
fn head(workspace: &Workspace, job: &Job, command: &Command) -> anyhow::Result<String> {
    let root = workspace.root();
    let said = |program: &str, args: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(program)
            .args(args)
            .current_dir(root)
            .output()
            .with_context(|| format!("cannot run `{program}`"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let tree = if said("git", &["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
        "clean"
    } else {
        "changed"
    };
    let env: Vec<String> = job
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value} "))
        .collect();
    let env = env.concat();
    Ok(format!(
        "# {}: {}\n# {} at commit {} ({tree})\n# {}, {} cores, {}\n$ {env}{}\n",
        job.name,
        job.about,
        clock::today()?,
        said("git", &["rev-parse", "--short=12", "HEAD"])?,
        said("uname", &["-srm"])?,
        said("nproc", &[])?,
        said("rustc", &["--version"])?,
        words(command),
    ))
}

/// Runs a command in a group of its own, with both its outputs going into the record.
fn record_run(command: &mut Command, limit: Duration, record: &mut Record) -> anyhow::Result<()> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut group = Group::start(
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("cannot copy a pipe")?)
            .stderr(writer),
    )?;
    // The command holds copies of the pipe's writing end, which would keep the reader waiting.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = clock::now();
    let (sender, lines) = sync_channel::<String>(1024);
    let outcome = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            for line in BufReader::new(reader).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let outcome = loop {
            let left = limit.saturating_sub(started.elapsed());
            match lines.recv_timeout(left) {
                Ok(line) => {
                    if let Err(error) = record.line(&line) {
                        break Err(error);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    break Err(anyhow!("not done in {} s", limit.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
        };
        drop(lines);
        let status = match outcome {
            Ok(()) => group.child().wait().context("cannot wait for the job"),
            Err(error) => {
                drop(group);
                Err(error)
            }
        };
        reading.join().map_err(|_| anyhow!("reading panicked"))?;
        status
    })?;
    if outcome.success() {
        Ok(())
    } else {
        bail!("{outcome}")
    }
}

/// The file of a job, which is the terminal too. Paths of this machine do not reach the file.
#[derive(Debug)]
struct Record {
    file: File,
    root: String,
}

impl Record {
    fn create(file: &Path, root: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            file: File::create(file).with_context(|| format!("cannot make {}", file.display()))?,
            root: root.display().to_string(),
        })
    }

    fn line(&mut self, text: &str) -> anyhow::Result<()> {
        println!("{text}");
        let text = text.replace(&self.root, ".");
        writeln!(self.file, "{text}").context("cannot write the record")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(script: &str, limit: Duration) -> (anyhow::Result<()>, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("record.txt");
        let mut record = Record::create(&file, Path::new("/somewhere/here")).unwrap();
        let outcome = record_run(Command::new("sh").args(["-c", script]), limit, &mut record);
        (outcome, fs::read_to_string(file).unwrap())
    }

    #[test]
    fn both_outputs_are_recorded_in_order_and_without_the_place() {
        let script = "echo one; echo two >&2; echo in /somewhere/here/crates";
        let (outcome, text) = recorded(script, Duration::from_secs(30));
        outcome.unwrap();
        assert_eq!(text, "one\ntwo\nin ./crates\n");
    }

    #[test]
    fn a_job_that_fails_is_an_error_with_its_status() {
        let (outcome, _) = recorded("exit 3", Duration::from_secs(30));
        assert_eq!(outcome.unwrap_err().to_string(), "exit status: 3");
    }

    #[test]
    fn a_job_over_its_limit_is_killed_with_what_it_started() {
        let (outcome, text) = recorded("echo begun; sleep 600 & wait", Duration::from_secs(2));
        assert_eq!(outcome.unwrap_err().to_string(), "not done in 2 s");
        assert_eq!(text, "begun\n");
    }

    #[test]
    fn the_flakes_job_runs_the_tests_that_the_gate_calls_real() {
        let config = include_str!("../../.config/nextest.toml");
        let flakes = JOBS.iter().find(|job| job.name == "flakes").unwrap();
        let args = flakes.work.args();
        let filter = args.last().unwrap();
        assert!(config.contains(&format!("filter = '{filter}'")));
    }

    #[test]
    fn a_job_that_names_fuzz_targets_names_some_that_there_are() {
        let targets = crate::fuzz::targets(&Workspace::find().unwrap()).unwrap();
        let job = JOBS.iter().find(|job| job.name == "flow-fuzz").unwrap();
        let named: Vec<_> = job
            .work
            .args()
            .into_iter()
            .skip_while(|word| *word != "2")
            .skip(1)
            .collect();
        assert_eq!(named.len(), 5);
        for name in named {
            assert!(targets.iter().any(|target| target == name), "{name}");
        }
    }
}
