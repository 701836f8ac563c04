//! A server that is set up, started, kept and taken down for a component.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::limits::STOP_GRACE;
use super::{
    ChildEnvironment, Exit, Followed, Keeper, Pause, Program, ScriptError, Scripts, SpawnError,
    Tail,
};
use crate::model::component::{Manage, Restart};

mod port;

/// The server of one component. It runs in [`run`](Self::run); meanwhile others look at its [`State`].
#[derive(Debug)]
pub struct Service {
    scripts: Scripts,
    port: u16,
    state: watch::Sender<State>,
}

/// Where a server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is set up, started, or not listening yet.
    Starting,
    /// It accepts connections.
    Ready,
    /// It has ended and will be started again.
    Restarting {
        /// How it has ended, or why it did not start.
        why: String,
    },
    /// It has ended and stays so.
    Failed {
        /// How it has ended, or why it did not start.
        why: String,
    },
    /// It was stopped.
    Stopped,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// It was not set up.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// Its program was not started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Somebody else listens where it should.
    #[error("port {port} is in use by another program")]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// It has ended before it listened.
    #[error("{command} has ended before it listened at port {port} ({exit}){last}")]
    EndedEarly {
        /// Its name and arguments.
        command: String,
        /// Where it should have listened.
        port: u16,
        /// How it has ended.
        exit: Exit,
        /// How the message goes on: its last lines.
        last: String,
    },
    /// It does not listen.
    #[error("nothing listens at port {port} after {within:?}{last}")]
    Late {
        /// Where it should listen.
        port: u16,
        /// How long it was waited for.
        within: Duration,
        /// How the message goes on: its last lines.
        last: String,
    },
    /// It has ended after it was ready, and is not started again.
    #[error("{command} has ended ({exit}){last}")]
    Ended {
        /// Its name and arguments.
        command: String,
        /// How it has ended.
        exit: Exit,
        /// How the message goes on: its last lines.
        last: String,
    },
    /// The system does not tell of it.
    #[error("{command}: cannot be followed")]
    Lost {
        /// Its name and arguments.
        command: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Why a server cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unready {
    /// It will not be ready any more.
    #[error("the server of {id} has failed: {why}")]
    Failed {
        /// The component.
        id: String,
        /// Why.
        why: String,
    },
    /// It was not ready in time.
    #[error("the server of {id} is not ready: {why}")]
    Late {
        /// The component.
        id: String,
        /// What it waits for.
        why: String,
    },
    /// It was stopped.
    #[error("the server of {id} was stopped")]
    Stopped {
        /// The component.
        id: String,
    },
}

impl Service {
    /// The server of the component `id`, which listens at `port` of the loopback. Paths of `manage` are from
    /// `base`.
    pub fn new(
        keeper: &Keeper,
        id: &str,
        manage: &Manage,
        port: u16,
        base: &Path,
        environment: &ChildEnvironment,
    ) -> Self {
        Self {
            scripts: Scripts::new(keeper, id, manage, base, environment),
            port,
            state: watch::Sender::new(State::Starting),
        }
    }

    /// Where it stands, now and later.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Waits until it accepts connections, also while it is started again.
    ///
    /// # Errors
    ///
    /// It has failed or was stopped, or it was not ready `within` that time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ready(&self, within: Duration) -> Result<(), Unready> {
        let id = || self.scripts.id().to_owned();
        let mut states = self.state();
        let settled = states.wait_for(|state| match state {
            State::Ready | State::Failed { .. } | State::Stopped => true,
            State::Starting | State::Restarting { .. } => false,
        });
        let state = match timeout(within, settled).await {
            Ok(Ok(state)) => state.clone(),
            // The sender is our own.
            Ok(Err(_)) => State::Stopped,
            Err(_) => self.state.borrow().clone(),
        };
        match state {
            State::Ready => Ok(()),
            State::Failed { why } => Err(Unready::Failed { id: id(), why }),
            State::Stopped => Err(Unready::Stopped { id: id() }),
            State::Restarting { why } => Err(Unready::Late { id: id(), why }),
            State::Starting => {
                let why = format!("nothing listens at port {} yet", self.port);
                Err(Unready::Late { id: id(), why })
            }
        }
    }

    /// Sets the server up, starts it and keeps it until `stop`. When this returns nothing of it runs any more. To be
    /// called once.
    ///
    /// # Errors
    ///
    /// It could not be set up or was never ready, or it has ended and its policy says that it stays so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the server as dropping a [`Child`](super::Child) does, and is not waited for.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), ServiceError> {
        let kept = self.keep(stop).await;
        self.state.send_replace(match &kept {
            Ok(()) => State::Stopped,
            Err(error) => State::Failed { why: told(error) },
        });
        kept
    }

    async fn keep(&self, stop: &CancellationToken) -> Result<(), ServiceError> {
        self.scripts.prepare(stop).await?;
        let Some(start) = &self.scripts.manage().start else {
            return self.wait_for_another(stop).await;
        };
        let program = self.scripts.program(start);
        let mut pause = Pause::new();
        let mut was_ready = false;
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let (error, up_for) = match self.start(&program, stop).await {
                Ok(None) => return Ok(()),
                Ok(Some(mut server)) => {
                    was_ready = true;
                    let since = Instant::now();
                    self.state.send_replace(State::Ready);
                    let exit = tokio::select! {
                        () = stop.cancelled() => return self.stop(&mut server).await,
                        exit = server.wait() => exit.map_err(|source| lost(&program, source))?,
                    };
                    let error = ServiceError::Ended {
                        command: program.line(),
                        exit,
                        last: server.tail().to_string(),
                    };
                    if !self.is_restarted_after(exit) {
                        return Err(error);
                    }
                    (error, since.elapsed())
                }
                Err(error) if was_ready => (error, Duration::ZERO),
                Err(error) => return Err(error),
            };
            let pause = pause.next(up_for);
            let (id, why) = (self.scripts.id(), told(&error));
            warn!("[{id}] {why}\n  it is started again in {pause:?}");
            self.state.send_replace(State::Restarting { why });
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(pause) => {}
            }
        }
    }

    /// Starts it and waits until it is ready; none if it was stopped meanwhile.
    async fn start(
        &self,
        program: &Program,
        stop: &CancellationToken,
    ) -> Result<Option<Followed>, ServiceError> {
        let port = self.port;
        if !port::is_free(port) {
            return Err(ServiceError::PortInUse { port });
        }
        let mut server = self.scripts.follow(program)?;
        tokio::select! {
            () = stop.cancelled() => {
                self.stop(&mut server).await?;
                Ok(None)
            }
            exit = server.wait() => Err(ServiceError::EndedEarly {
                command: program.line(),
                port,
                exit: exit.map_err(|source| lost(program, source))?,
                last: server.tail().to_string(),
            }),
            ready = timeout(self.scripts.manage().ready_timeout, port::accepts(port)) => {
                if ready.is_err() {
                    self.stop(&mut server).await?;
                    return Err(self.late(server.tail()));
                }
                info!("[{}] ready at port {port}", self.scripts.id());
                Ok(Some(server))
            }
        }
    }

    /// There is nothing to start: somebody else does.
    async fn wait_for_another(&self, stop: &CancellationToken) -> Result<(), ServiceError> {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            ready = timeout(self.scripts.manage().ready_timeout, port::accepts(self.port)) => {
                if ready.is_err() {
                    let nobody = ServiceError::Late {
                        port: self.port,
                        within: self.scripts.manage().ready_timeout,
                        last: String::new(),
                    };
                    return Err(nobody);
                }
            }
        }
        self.state.send_replace(State::Ready);
        stop.cancelled().await;
        Ok(())
    }

    /// However it ends, it was asked to.
    async fn stop(&self, running: &mut Followed) -> Result<(), ServiceError> {
        let stopped = running.stop(STOP_GRACE).await;
        stopped.map(drop).map_err(|source| ServiceError::Lost {
            command: self.scripts.id().to_owned(),
            source,
        })
    }

    fn is_restarted_after(&self, exit: Exit) -> bool {
        match self.scripts.manage().restart {
            Restart::Never => false,
            Restart::OnFailure => !exit.is_success(),
            Restart::Always => true,
        }
    }

    fn late(&self, tail: &Tail) -> ServiceError {
        ServiceError::Late {
            port: self.port,
            within: self.scripts.manage().ready_timeout,
            last: tail.to_string(),
        }
    }
}

fn lost(program: &Program, source: io::Error) -> ServiceError {
    ServiceError::Lost {
        command: program.line(),
        source,
    }
}

/// An error and what it comes from.
fn told(error: &ServiceError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
