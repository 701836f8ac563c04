//! What every case of the bench needs: the built programs, a folder, and running a program with a
//! deadline.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::process::Group;
use crate::stop::Stop;
use crate::workspace::{Workspace, run_quietly, words};

/// What every case needs.
#[derive(Debug)]
pub(super) struct Kit {
    /// The program as it is shipped.
    pub(super) adit: PathBuf,
    /// Our server end.
    pub(super) gateway: PathBuf,
    /// Our client end in great number.
    pub(super) logins: PathBuf,
    /// The lab's link.
    pub(super) link: PathBuf,
    /// The wish to stop.
    pub(super) stop: Stop,
    folder: tempfile::TempDir,
}

impl Kit {
    /// Builds the program and these examples of a package, and makes a folder for files.
    pub(super) fn build(
        workspace: &Workspace,
        package: &str,
        examples: &[&str],
    ) -> anyhow::Result<Self> {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--package=adit", "--bin=adit"]);
        cargo.args(["--package", package]);
        for example in examples {
            cargo.args(["--example", example]);
        }
        run_quietly(&mut cargo)?;
        let release = workspace.target().join("release");
        let example = |name| release.join("examples").join(name);
        Ok(Self {
            adit: release.join("adit"),
            gateway: example("bench_gateway"),
            logins: example("bench_logins"),
            link: example("bench_link"),
            stop: Stop::on_signals()?,
            folder: tempfile::Builder::new()
                .prefix("adit-bench-")
                .tempdir()
                .context("cannot make a temporary folder")?,
        })
    }

    /// A new folder below that of the kit.
    pub(super) fn folder(&self) -> anyhow::Result<PathBuf> {
        let folder = tempfile::Builder::new()
            .disable_cleanup(true)
            .tempdir_in(self.folder.path())
            .context("cannot make a folder")?;
        Ok(folder.keep())
    }

    /// Runs a program to its end and returns what it wrote to stdout. It is killed when it takes
    /// longer, or when a signal asks to stop.
    pub(super) fn output(
        &self,
        command: &mut Command,
        deadline: Duration,
    ) -> anyhow::Result<String> {
        let folder = self.folder()?;
        let (stdout, stderr) = (folder.join("stdout"), folder.join("stderr"));
        let mut group = Group::start(
            command
                .stdin(Stdio::null())
                .stdout(File::create(&stdout).context("cannot make a file")?)
                .stderr(File::create(&stderr).context("cannot make a file")?),
        )?;
        let words = words(command);
        let status = self.stop.until(&words, deadline, || group.ended())?;
        let said = read(&stdout)?;
        if !status.success() {
            let said = format!("{said}{}", read(&stderr)?);
            bail!("`{words}`: {status}: {}", last_line(&said));
        }
        fs::remove_dir_all(&folder).context("cannot remove a folder")?;
        Ok(said)
    }
}

/// A program whose first words are waited for.
#[derive(Debug)]
pub(super) struct Talker {
    group: Group,
    said: PathBuf,
}

impl Talker {
    /// Starts it, with a pipe as stdin that ends when this is dropped.
    pub(super) fn start(kit: &Kit, command: &mut Command) -> anyhow::Result<Self> {
        let said = kit.folder()?.join("said");
        let file = File::create(&said).context("cannot make a file")?;
        let stderr = file.try_clone().context("cannot copy a file")?;
        let group = Group::start(command.stdin(Stdio::piped()).stdout(file).stderr(stderr))?;
        Ok(Self { group, said })
    }

    /// Waits until `find` finds something in what it has said.
    pub(super) fn wait<T>(
        &mut self,
        kit: &Kit,
        what: &str,
        deadline: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let (group, said) = (&mut self.group, &self.said);
        kit.stop.until(what, deadline, || {
            let ended = group.ended()?;
            let text = read(said)?;
            if let Some(found) = find(&text) {
                return Ok(Some(found));
            }
            match ended {
                Some(status) => bail!("{what} ended: {status}: {}", last_line(&text)),
                None => Ok(None),
            }
        })
    }

    /// Writes a line to its stdin.
    pub(super) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.group.child().stdin.as_mut();
        let stdin = stdin.context("its stdin has ended")?;
        writeln!(stdin, "{line}").context("it does not listen")?;
        stdin.flush().context("it does not listen")
    }

    /// All that it has said.
    pub(super) fn said(&self) -> anyhow::Result<String> {
        read(&self.said)
    }

    /// Its processes, for asking what they use.
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Ends it as Ctrl-C would, and gives all that it has said.
    pub(super) fn stop(self, patience: Duration) -> anyhow::Result<String> {
        let Self { group, said } = self;
        group.stop(patience)?;
        read(&said)
    }

    /// Ends its stdin and waits for it to end by itself.
    pub(super) fn finish(mut self, kit: &Kit, deadline: Duration) -> anyhow::Result<()> {
        drop(self.group.child().stdin.take());
        let group = &mut self.group;
        let status = kit.stop.until("the end", deadline, || group.ended())?;
        if !status.success() {
            bail!("{status}: {}", last_line(&self.said()?));
        }
        Ok(())
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where a program that fails usually says why.
fn last_line(text: &str) -> &str {
    text.trim_end().lines().next_back().unwrap_or("(silent)")
}
