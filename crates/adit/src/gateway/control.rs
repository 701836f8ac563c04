//! The control socket of a gateway: how commands reach the one that runs.
//!
//! `control.sock` lies in the data directory, which is ours alone, and both ends look at whose the other process
//! is (security rules G100, G103). A client sends one line of JSON and gets lines of JSON back:
//!
//! ```text
//! {"verb":"order","order":{"key":{"list":{"principal":null}}}}
//!     {"row":{...}}                             as many as there are
//!     {"done":"..."}                            what was done, null of a question; the last
//! {"verb":"status"}
//!     {"row":{...}}                             how it is
//!     {"done":null}
//! {"verb":"reload"}
//!     {"done":"..."}
//! {"verb":"stop"}
//!     {"done":"..."}
//!     {"refused":"..."}                         in the place of any of these
//! ```
//!
//! What an order changes is published before its answer is sent: who is told that a key is removed knows that
//! its connections are being closed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adit_model::port::PortSet;
use adit_store::Store;
use adit_tunnel::gateway::desk::Desk;
use adit_tunnel::gateway::report::Reports;
use anyhow::Context as _;
use rustix::process::getuid;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::monitor::Readings;
use super::order::{Hands, Order, Row, carry_out};
use super::settings::Leases;
use super::withdrawn::{Withdrawal, Withdrawn, is_away, takes_away};
use crate::control::lines::Lines;
use crate::control::{DEADLINE, LINE};

pub(crate) mod client;

/// Most clients at a time; more are hung up on (security rule G103).
const CLIENTS: usize = 16;
/// How long the database has to write down what is taken away, before that is done without it.
const WITHDRAW: Duration = Duration::from_millis(500);
/// Pause after the system refuses an accept, usually because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What is asked. What is not known is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Something is to be shown or changed.
    Order {
        /// What.
        order: Order,
    },
    /// How it is.
    Status {},
    /// The settings, the host keys and the files of keys are to be read again.
    Reload {},
    /// It is to end.
    Stop {},
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// One line of what was asked for.
    Row(Row),
    /// All is said; with what was done.
    Done(Option<String>),
    /// Nothing is done.
    Refused(String),
}

/// What only the gateway's own loop can do, and whom to tell that it has.
#[derive(Debug)]
pub(super) enum Asked {
    /// To publish what has changed in the store.
    Publish(oneshot::Sender<anyhow::Result<()>>),
    /// To show clients the host keys that are there now.
    HostKeys(oneshot::Sender<anyhow::Result<()>>),
    /// To read the settings and the files of keys again.
    Reload(oneshot::Sender<anyhow::Result<()>>),
    /// To end.
    Stop,
}

/// What is asked about. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// Where everything is kept.
    pub(super) store: Arc<Store>,
    /// Who holds what.
    pub(super) desk: Arc<Desk>,
    /// What agents have told of their machines.
    pub(super) reports: Reports,
    /// How long what is released is kept from others.
    pub(super) leases: Leases,
    /// The ports that forwards have.
    pub(super) ports: PortSet,
    /// The folder of the host keys.
    pub(super) host_keys: PathBuf,
    /// The file of the secret that names are given by.
    pub(super) names: PathBuf,
    /// How the gateway is.
    pub(super) readings: Arc<Readings>,
    /// What is taken away while the store is away.
    pub(super) withdrawn: Arc<Withdrawn>,
    /// The gateway's own loop.
    pub(super) asks: mpsc::Sender<Asked>,
}

/// Makes the socket. The lock of the data directory is held, so one that is there is a dead one's.
///
/// # Errors
///
/// The path is too long for a socket (unix(7): 107 bytes), or the system refuses.
pub(super) fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let shown = path.display();
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {shown}"));
        }
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(path)
        .with_context(|| format!("cannot listen at {shown}; a socket's path has at most 107 bytes"))
}

impl Subject {
    /// Answers until dropped.
    pub(super) async fn serve(self, listener: UnixListener) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                // Those that have gone leave their places before others come.
                Some(ended) = clients.join_next() => if let Err(error) = ended {
                    warn!(%error, "client of the control socket made a task panic");
                },
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        if clients.len() >= CLIENTS {
                            debug!("client of the control socket is one too many");
                        } else {
                            clients.spawn(self.clone().client(socket));
                        }
                    }
                    Err(error) => {
                        warn!(%error, "cannot let clients of the control socket in");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn client(self, socket: UnixStream) {
        if let Err(error) = self.answer(socket).await {
            debug!(%error, "client of the control socket has gone");
        }
    }

    async fn answer(&self, socket: UnixStream) -> io::Result<()> {
        let uid = socket.peer_cred()?.uid();
        if uid != getuid().as_raw() && uid != 0 {
            return Err(io::Error::other(format!("user {uid} may not ask")));
        }
        let (reader, mut writer) = socket.into_split();
        let mut lines = Lines::new(reader, LINE);
        let line = timeout(DEADLINE, lines.next()).await??.unwrap_or_default();
        let answered = match serde_json::from_slice(&line) {
            Ok(Request::Order { order }) => self.order(&order, uid, &mut writer).await,
            Ok(Request::Status {}) => {
                send(&mut writer, &Answer::Row(self.readings.state())).await?;
                Ok(None)
            }
            Ok(Request::Reload {}) => self.reload().await.map(Some),
            Ok(Request::Stop {}) => self.stop().await.map(Some),
            Err(error) => Err(anyhow::anyhow!(
                "the question is not understood (is it another version of adit?): {error}"
            )),
        };
        let last = match answered {
            Ok(done) => Answer::Done(done),
            Err(error) => Answer::Refused(format!("{error:#}")),
        };
        send(&mut writer, &last).await
    }

    async fn order(
        &self,
        order: &Order,
        uid: u32,
        writer: &mut OwnedWriteHalf,
    ) -> anyhow::Result<Option<String>> {
        let hands = Hands {
            store: &self.store,
            desk: Some(&self.desk),
            reports: Some(&self.reports),
            who: &format!("uid {uid}"),
            leases: self.leases,
            ports: Some(&self.ports),
            host_keys: &self.host_keys,
            names: &self.names,
        };
        let carried = if takes_away(order) {
            match timeout(WITHDRAW, Box::pin(carry_out(order, hands))).await {
                Ok(Err(error)) if is_away(&error) => None,
                Err(_) => None,
                Ok(carried) => Some(carried),
            }
        } else {
            Some(carry_out(order, hands).await)
        };
        let Some(carried) = carried else {
            // It does not wait for the publisher either, which may be waiting for the database.
            let withdrawal = Withdrawal {
                who: format!("uid {uid}"),
                order: order.clone(),
            };
            return self.withdrawn.withdraw(withdrawal).map(Some);
        };
        let outcome = carried?;
        if let Some(done) = &outcome.done {
            info!("{done}");
            let published = if matches!(order, Order::HostKey(_)) {
                self.ask(Asked::HostKeys).await
            } else {
                self.ask(Asked::Publish).await
            };
            published.context(
                "it is written down, but the gateway could not read it back; it tries again every few seconds",
            )?;
        }
        for row in outcome.rows {
            send(writer, &Answer::Row(row)).await?;
        }
        Ok(outcome.done)
    }

    async fn reload(&self) -> anyhow::Result<String> {
        self.ask(Asked::Reload)
            .await
            .context("nothing is changed")?;
        Ok(String::from("everything was read again"))
    }

    async fn stop(&self) -> anyhow::Result<String> {
        let told = self.asks.send(Asked::Stop).await;
        told.ok().context("it is stopping already")?;
        Ok(String::from("it is stopping"))
    }

    async fn ask(
        &self,
        what: impl FnOnce(oneshot::Sender<anyhow::Result<()>>) -> Asked,
    ) -> anyhow::Result<()> {
        let (done, answer) = oneshot::channel();
        let asked = self.asks.send(what(done)).await;
        asked.ok().context("the gateway is stopping")?;
        answer.await.context("the gateway is stopping")?
    }
}

async fn send(writer: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    timeout(DEADLINE, writer.write_all(&line)).await??;
    Ok(())
}
