//! Where a service's file is, and whose it is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use adit_fleet::unit::{MARK, ServiceName};
use anyhow::{Context as _, bail, ensure};

use super::{is_root, usual_name};
use crate::cli::{Init, ServiceArguments};
use crate::config::Surroundings;

/// The file of a service.
pub(super) struct Place {
    pub(super) name: ServiceName,
    pub(super) init: Init,
    pub(super) file: PathBuf,
    is_user: bool,
    /// The folder of another machine's files.
    pub(super) root: Option<PathBuf>,
}

/// Whether there is a file of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Installed {
    No,
    /// adit has not written it.
    Foreign,
    Ours,
}

/// What writing it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    New,
    Changed,
    Same,
}

impl Place {
    /// That of a service.
    ///
    /// # Errors
    ///
    /// A user's service needs systemd, and a home directory.
    pub(super) fn of(
        service: &ServiceArguments,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Self> {
        let name = match &service.name {
            Some(name) => name.clone(),
            None => usual_name(service.what).parse()?,
        };
        let root = service.root.clone().unwrap_or_else(|| PathBuf::from("/"));
        let init = service.init.unwrap_or_else(|| detected(&root));
        let file = match (init, service.user) {
            (Init::Systemd, true) => surroundings
                .below_home(Path::new(&format!(".config/systemd/user/{name}.service")))?,
            (Init::Systemd, false) => root.join(format!("etc/systemd/system/{name}.service")),
            (Init::Openrc | Init::Sysv, false) => root.join(format!("etc/init.d/{name}")),
            (Init::Openrc | Init::Sysv, true) => {
                bail!(
                    "a user's own services need systemd, which does not run here: leave --user out"
                )
            }
        };
        Ok(Self {
            name,
            init,
            file,
            is_user: service.user,
            root: service.root.clone(),
        })
    }

    /// A line for systemctl, about this service or about all.
    pub(super) fn systemctl(&self, words: &[&str], is_of_this: bool) -> Vec<String> {
        let mut line = vec!["systemctl".to_owned()];
        if self.is_user {
            line.push("--user".to_owned());
        }
        if let Some(root) = &self.root {
            line.push(format!("--root={}", root.display()));
        }
        line.extend(words.iter().map(|word| (*word).to_owned()));
        if is_of_this {
            line.push(format!("{}.service", self.name));
        }
        line
    }

    /// Whether there is such a file, and whose.
    pub(super) fn installed(&self) -> anyhow::Result<Installed> {
        match fs::read_to_string(&self.file) {
            Ok(text) if text.contains(MARK) => Ok(Installed::Ours),
            Ok(_) => Ok(Installed::Foreign),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Installed::No),
            Err(error) => {
                Err(error).with_context(|| format!("cannot read {}", self.file.display()))
            }
        }
    }

    /// What is said of somebody else's file.
    pub(super) fn foreign(&self) -> String {
        format!(
            "{} was not written by adit, and is left alone: move it away, or name the service otherwise with --name",
            self.file.display()
        )
    }

    /// Whether this process may change what the machine starts.
    ///
    /// # Errors
    ///
    /// It is not root's.
    pub(super) fn ensure_may_write(&self) -> anyhow::Result<()> {
        ensure!(
            self.is_user || is_root() || self.root.is_some(),
            "only root changes what starts at boot: sudo adit service ..., or --user for a service of your own"
        );
        Ok(())
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    ///
    /// Somebody else's is there, or the disk is full, for example.
    pub(super) fn write(&self, text: &str) -> anyhow::Result<Written> {
        let written = match self.installed()? {
            Installed::Foreign => bail!(self.foreign()),
            Installed::Ours if fs::read_to_string(&self.file)? == text => return Ok(Written::Same),
            Installed::Ours => Written::Changed,
            Installed::No => Written::New,
        };
        let mode = if self.init == Init::Systemd {
            0o644
        } else {
            0o755
        };
        let cannot = || format!("cannot write {}", self.file.display());
        let folder = self.file.parent().with_context(cannot)?;
        fs::create_dir_all(folder).with_context(cannot)?;
        let new = folder.join(format!(".{}.new", self.name));
        let done = (|| {
            // One that a killed command has left.
            drop(fs::remove_file(&new));
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.file)
        })();
        done.with_context(cannot)?;
        Ok(written)
    }

    /// Removes the file.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        let removed = fs::remove_file(&self.file);
        removed.with_context(|| format!("cannot remove {}", self.file.display()))
    }
}

/// Who starts services here.
fn detected(root: &Path) -> Init {
    if root.join("run/systemd/system").exists() {
        Init::Systemd
    } else if root.join("run/openrc").exists() || root.join("sbin/openrc-run").exists() {
        Init::Openrc
    } else {
        Init::Sysv
    }
}
