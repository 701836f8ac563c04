//! The scripts that set a component up and take it down.

use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::limits::STOP_GRACE;
use super::{ChildEnvironment, Exit, Followed, Keeper, Program, SpawnError};
use crate::model::component::{Arguments, Manage};

/// What `manage:` of a component says to run before and after it is used, and what its programs are run with. Their
/// output goes to the log.
#[derive(Clone, Debug)]
pub struct Scripts {
    keeper: Keeper,
    /// What its lines begin with in the log.
    id: String,
    manage: Manage,
    dir: PathBuf,
    environment: ChildEnvironment,
}

/// Why a component was not set up or taken down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// It was not started.
    #[error("the {script} script cannot be run")]
    Spawn {
        /// `install`, `build` or `clean`.
        script: &'static str,
        /// Why not.
        source: SpawnError,
    },
    /// It has failed.
    #[error("the {script} script has failed: {command} ({exit}){last}")]
    Failed {
        /// `install`, `build` or `clean`.
        script: &'static str,
        /// Its name and arguments.
        command: String,
        /// How it has ended.
        exit: Exit,
        /// How the message goes on: its last lines.
        last: String,
    },
    /// The system does not tell of it.
    #[error("the {script} script cannot be followed")]
    Lost {
        /// `install`, `build` or `clean`.
        script: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Scripts {
    /// Those of the component `id`. Paths of `manage` are from `base`.
    pub fn new(
        keeper: &Keeper,
        id: &str,
        manage: &Manage,
        base: &Path,
        environment: &ChildEnvironment,
    ) -> Self {
        let dir = manage.working_dir.as_deref();
        Self {
            keeper: keeper.clone(),
            id: adit_text::escape(id),
            manage: manage.clone(),
            dir: dir.map_or_else(|| base.to_owned(), |dir| base.join(dir)),
            environment: environment.clone(),
        }
    }

    /// Runs `install`, then `build`. Once `stop` is cancelled the one that runs is ended, no other is started,
    /// and that is no error.
    ///
    /// # Errors
    ///
    /// One has failed; those after it were not run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the one that runs as dropping a [`Child`](super::Child) does.
    pub async fn prepare(&self, stop: &CancellationToken) -> Result<(), ScriptError> {
        self.run("install", &self.manage.install, stop).await?;
        self.run("build", &self.manage.build, stop).await
    }

    /// Runs `clean`, as [`prepare`](Self::prepare) does the others.
    ///
    /// # Errors
    ///
    /// One has failed; those after it were not run.
    ///
    /// # Cancel safety
    ///
    /// As that of [`prepare`](Self::prepare).
    pub async fn clean(&self, stop: &CancellationToken) -> Result<(), ScriptError> {
        self.run("clean", &self.manage.clean, stop).await
    }

    async fn run(
        &self,
        script: &'static str,
        all: &[Arguments],
        stop: &CancellationToken,
    ) -> Result<(), ScriptError> {
        let lost = |source| ScriptError::Lost { script, source };
        for arguments in all {
            if stop.is_cancelled() {
                break;
            }
            let program = self.program(arguments);
            info!("[{}] {script}: {}", self.id, program.line());
            let mut running = self
                .follow(&program)
                .map_err(|source| ScriptError::Spawn { script, source })?;
            let exit = tokio::select! {
                () = stop.cancelled() => {
                    return running.stop(STOP_GRACE).await.map(drop).map_err(lost);
                }
                exit = running.wait() => exit.map_err(lost)?,
            };
            if !exit.is_success() {
                return Err(ScriptError::Failed {
                    script,
                    command: program.line(),
                    exit,
                    last: running.tail().to_string(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn manage(&self) -> &Manage {
        &self.manage
    }

    pub(super) fn program(&self, arguments: &Arguments) -> Program {
        let own = self.manage.env.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        Program {
            argv: arguments
                .iter()
                .map(|text| text.as_str().to_owned())
                .collect(),
            dir: self.dir.clone(),
            env: self.environment.with(own),
        }
    }

    /// Starts a program whose lines go to the log.
    pub(super) fn follow(&self, program: &Program) -> Result<Followed, SpawnError> {
        let id = self.id.clone();
        let log = move |line: &str| info!("[{id}] {line}");
        Followed::start(&self.keeper, program, log)
    }
}
