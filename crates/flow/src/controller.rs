//! The controller: the HTTP API that starts and watches runs, and the page for people.
//!
//! ```text
//! GET  /health                    {"status":"ok"}
//! GET  /workflows                 ids and titles; ?include_schema=true what they take and give
//! GET  /workflows/ID/schema       what one takes and gives
//! POST /workflows/runs            {"workflow_id","input","wait_for_completion":true,"output_only":false}
//! GET  /tasks/ID                  where a run stands; ?output_only=true what it gave
//! GET  /tasks/ID/watch            where it stands, a line of JSON at each change, until it has ended
//! POST /tasks/ID/resume           {"job_id","answer"}
//! POST /tasks/ID/cancel           ?wait_for_completion=true
//! ```
//!
//! All but `watch` are model-compose's, with its bytes; an adapter has them below its base path, and the
//! page's server below `/api`. `socket` has the same as messages. What is said to people who use all
//! this is in `docs/reference/controller.md`.
//!
//! Each server asks its `guard` about each request before anything else. Nothing that an answer says
//! comes from an error's causes: those are logged.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::exec::{CancelError, Report, ResumeError, StartError, TaskId};
use crate::expr::Value;
use crate::listen::{self, ListenError};
use crate::model::Compose;
use crate::model::controller::{Controller as Config, Pages as PagesConfig};

mod answer;
mod api;
mod body;
mod folder;
mod follow;
mod guard;
mod output;
mod page;
mod places;
mod progress;
mod request;
mod server;
mod site;
mod socket;
mod task;

pub use guard::Token;

use guard::Guard;
use places::Places;
use server::Server;
use site::{Pages, Site};
use socket::Sockets;

/// Whoever runs workflows, as the controller needs it: an engine.
pub trait Runs: Send + Sync {
    /// What the files say.
    fn compose(&self) -> &Compose;

    /// Starts a run of a workflow, [`DEFAULT`](crate::model::DEFAULT) included, and does not wait.
    ///
    /// # Errors
    ///
    /// There is no such workflow, no room for the run, or the end is near.
    fn start(&self, workflow: &str, input: Value) -> Result<TaskId, StartError>;

    /// Where a run stands. None for one that nobody knows, or knows any more.
    fn report(&self, task: &TaskId) -> Option<Arc<Report>>;

    /// Where a run stands now and from now on.
    fn watch(&self, task: &TaskId) -> Option<watch::Receiver<Arc<Report>>>;

    /// Lets a job go on that waits for a person. None gives no answer.
    ///
    /// # Errors
    ///
    /// There is no such run, or the job waits for nobody.
    fn resume(&self, task: &TaskId, job_id: &str, answer: Option<Value>)
    -> Result<(), ResumeError>;

    /// Tells a run to stop, and does not wait.
    ///
    /// # Errors
    ///
    /// There is no such run, or it has ended.
    fn cancel(&self, task: &TaskId) -> Result<(), CancelError>;

    /// Whether no run is started any more.
    fn is_closing(&self) -> bool;
}

/// The controller's servers, bound.
#[derive(Debug)]
pub struct Controller {
    servers: Vec<Server>,
    stage: watch::Sender<Stage>,
    asked: TaskTracker,
    pending_period: Duration,
    shutdown_timeout: Duration,
}

/// Why the controller cannot be there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// An address cannot be listened at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An adapter is to have a token and was given none.
    #[error("the controller at {host}:{port} has no token")]
    Token {
        /// The host as it was written.
        host: String,
        /// The port.
        port: u16,
    },
    /// The folder of the page's files cannot be opened.
    #[error("cannot open the folder {}", adit_text::show(&.folder.to_string_lossy()))]
    Folder {
        /// The folder as it was written.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is none.
    Serving,
    /// It is told of, and all is as ever.
    Pending,
    /// Runs come to their end, and requests that wait for them.
    Ending,
}

/// Waits until runs come to their end, or their controller has.
///
/// # Cancel safety
///
/// Nothing is lost.
async fn ending(stage: &mut watch::Receiver<Stage>) {
    // What it holds is a lock, which must not live on.
    let ended = stage.wait_for(|stage| *stage == Stage::Ending).await;
    drop(ended);
}

/// Below what the page's server has the API.
const PAGE_API: &str = "/api";

impl Controller {
    /// Binds all adapters of a file and the page.
    ///
    /// `tokens` are the adapters' in their order; what is missing there is none. The page asks for the
    /// first of them, since it does what the adapter does.
    ///
    /// # Errors
    ///
    /// An address is taken or there is none of that name, a token is missing that the file wants, or the
    /// folder of the page's files is not there.
    ///
    /// # Cancel safety
    ///
    /// What was bound so far is let go.
    pub async fn bind(
        config: &Config,
        runs: Arc<dyn Runs>,
        tokens: &[Option<Token>],
    ) -> Result<Self, BindError> {
        let (stage, watched) = watch::channel(Stage::Serving);
        let asked = TaskTracker::new();
        let places = Places::of_this_process();
        let api = api::Api::new(runs, watched, asked.clone(), places.to_wait());
        let mut servers = Vec::new();
        for (position, adapter) in config.adapters.iter().enumerate() {
            let token = tokens.get(position).cloned().flatten();
            let (host, port) = (&adapter.host, adapter.port.value);
            if adapter.token.is_some() && token.is_none() {
                let host = host.clone();
                return Err(BindError::Token { host, port });
            }
            let (listeners, _) = listen::socket::bind(host, port).await?;
            let site = Site {
                guard: Guard::new(&adapter.hosts, &adapter.origins, token),
                base_path: adapter.base_path.clone(),
                api: api.clone(),
                sockets: adapter.websocket.as_ref().map(Sockets::new),
                pages: None,
            };
            servers.push(Server::new(listeners, site, places.connections));
        }
        if let Some(web_ui) = &config.web_ui {
            let (listeners, _) = listen::socket::bind(&web_ui.host, web_ui.port.value).await?;
            let hosts: Vec<String> = config
                .adapters
                .iter()
                .flat_map(|adapter| adapter.hosts.clone())
                .collect();
            let token = tokens.iter().flatten().next().cloned();
            let site = Site {
                guard: Guard::new(&hosts, &[], token),
                base_path: PAGE_API.to_owned(),
                api: api.clone(),
                sockets: None,
                pages: Some(match &web_ui.pages {
                    PagesConfig::Own => Pages::Own,
                    PagesConfig::Folder(folder) => Pages::Folder(folder::Folder::open(folder)?),
                }),
            };
            servers.push(Server::new(listeners, site, places.connections));
        }
        Ok(Self {
            servers,
            stage,
            asked,
            pending_period: config.shutdown_pending_period,
            shutdown_timeout: config.shutdown_timeout,
        })
    }

    /// Where it listens: the adapters in the order of the file, then the page.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        let servers = self.servers.iter();
        servers.flat_map(Server::addresses).collect()
    }

    /// Serves until `stop`. Then, for the file's `shutdown_pending_period`, serves on and says that it
    /// is about to stop; then waits for requests to be answered, for its `shutdown_timeout` at most; then
    /// closes. When this returns, everything that it started has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it closes everything at once.
    pub async fn run(self, stop: CancellationToken) {
        let closed = CancellationToken::new();
        let mut servers = JoinSet::new();
        for server in self.servers {
            servers.spawn(server.run(closed.clone()));
        }
        stop.cancelled().await;
        if !self.pending_period.is_zero() {
            info!("the controller is about to stop");
            self.stage.send_replace(Stage::Pending);
            tokio::time::sleep(self.pending_period).await;
        }
        self.stage.send_replace(Stage::Ending);
        self.asked.close();
        if timeout(self.shutdown_timeout, self.asked.wait())
            .await
            .is_err()
        {
            let left = self.asked.len();
            warn!(left, "requests still wait for their runs; closing them");
        }
        closed.cancel();
        while let Some(ended) = servers.join_next().await {
            server::report(ended);
        }
    }
}

impl fmt::Debug for dyn Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runs")
    }
}
