//! Where things are: the root of the repository, the build directory, and the `cargo` to call.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The repository that this xtask was built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the repository and asks cargo for the build directory, so that an exported
    /// `CARGO_TARGET_DIR` and a configured one are both respected.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no folder above it")?
            .to_owned();
        let output = Command::new(cargo_program())
            .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
            .current_dir(&root)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed");
        }
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("`cargo metadata` is not JSON")?;
        let target = metadata
            .get("target_directory")
            .and_then(serde_json::Value::as_str)
            .context("`cargo metadata` names no target directory")?;
        Ok(Self {
            root,
            target: target.into(),
        })
    }

    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder cargo builds into.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A cargo command in the root, without standard input: nothing here asks a question.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(cargo_program());
        command.current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Builds the program as it is shipped and returns its path: static, so that it runs on any Linux and in an image
    /// that has nothing else. The flag does not reach build scripts, since a target is named.
    pub(crate) fn build_release(&self) -> anyhow::Result<PathBuf> {
        let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        let mut flags = env::var("RUSTFLAGS").unwrap_or_default();
        flags.push_str(" -C target-feature=+crt-static");
        run(self
            .cargo()
            .env("RUSTFLAGS", flags.trim())
            .args(["build", "--release", "--package=adit", "--bin=adit"])
            .args(["--target", &target]))?;
        Ok(self.target.join(target).join("release").join("adit"))
    }
}

/// Prints a command and runs it to its end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let words = words(command);
    println!("$ {words}");
    let status = command
        .status()
        .with_context(|| format!("cannot run `{words}`"))?;
    if !status.success() {
        bail!("`{words}` failed: {status}");
    }
    Ok(())
}

/// As [`run`], for programs whose own stdout is their product: prints to stderr alone.
pub(crate) fn run_quietly(command: &mut Command) -> anyhow::Result<()> {
    let words = words(command);
    eprintln!("$ {words}");
    let status = command
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot run `{words}`"))?;
    if !status.success() {
        bail!("`{words}` failed: {status}");
    }
    Ok(())
}

/// A command as a person would type it.
pub(crate) fn words(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_else(|| command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
