//! One host: a connection, and the listeners that share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adit_fleet::host::Host;
use adit_fleet::table::Entry;
use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::listen::{Beside, Shared, Waiting};
use adit_tunnel::agent::network::Network;
use adit_tunnel::agent::supervise::{self, Event, Instruments, Peer};
use adit_tunnel::ssh_config::Wanted;
use adit_tunnel::transport::ssh::Memory;
use adit_tunnel::transport::{Bind, Target};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::config::{Surroundings, Written, config};
use crate::status::News;
use crate::tell::tell;
use crate::tunnels::Row;

/// How long a host that only a person can mend is left alone, unless the table is read again.
const REFUSED: Duration = Duration::from_secs(300);
/// Time between two attempts to have a port that somebody else has.
const TAKEN: Duration = Duration::from_secs(5);

/// What a host's connection and its listeners have in common. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    pub(super) shared: Shared,
    /// Ends the wait after a failure.
    pub(super) again: Arc<Notify>,
    rows: Arc<Mutex<Rows>>,
}

#[derive(Debug, Default)]
struct Rows {
    is_connected: bool,
    /// Why only a person can mend it.
    failure: Option<String>,
    /// By their ports here.
    all: HashMap<u16, Row>,
}

impl Link {
    /// The connection's news are told of this row, too.
    pub(super) fn add(&self, port: u16, row: Row) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_connected {
            row.apply(&Event::Connected);
        } else if let Some(failure) = &rows.failure {
            row.failed(failure.clone());
        }
        rows.all.insert(port, row);
    }

    /// They are not told of it any more, nor is it shown.
    pub(super) fn remove(&self, port: u16) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.all.remove(&port) {
            row.remove();
        }
    }

    fn heard(&self, name: &str, peer: &Peer, event: &Event<'_>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.failure = None;
        if matches!(event, Event::Connected) {
            rows.is_connected = true;
        } else if matches!(event, Event::Ended { .. } | Event::Failed { .. }) {
            rows.is_connected = false;
        }
        let mut news = News::None;
        for row in rows.all.values() {
            let of_row = row.apply(event);
            if of_row != News::None {
                news = of_row;
            }
        }
        drop(rows);
        tell(Some(name), peer, event, news);
    }

    fn failed(&self, error: &str) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.is_connected = false;
        rows.failure = Some(error.to_owned());
        for row in rows.all.values() {
            row.failed(error.to_owned());
        }
    }

    /// Whether only a person can mend it.
    pub(super) fn has_failed(&self) -> bool {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.failure.is_some()
    }
}

/// What is said of a host on the command line.
fn written(host: &Host) -> Written {
    Written::look(Wanted {
        host: host.name.to_string(),
        user: host.user.as_ref().map(ToString::to_string),
        port: None,
    })
}

/// Who is logged in at where, as ssh's configuration has it.
pub(super) fn peer(host: &Host, surroundings: &Surroundings) -> Peer {
    match config(&written(host), surroundings) {
        Ok(config) => config.peer.peer,
        // Whoever connects tells why.
        Err(_) => Peer {
            host: host.name.to_string(),
            port: 22,
            user: host
                .user
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
        },
    }
}

/// The forward that an entry stands for.
pub(crate) fn forward(entry: &Entry) -> Forward {
    Forward {
        listens: Listens::Here,
        bind: bind(&entry.bind, entry.port),
        to: Destination::One(target(entry)),
    }
}

/// Where an entry listens.
fn bind(host: &str, port: u16) -> Bind {
    let host = if host == "*" { "" } else { host };
    Bind::Tcp {
        host: host.to_owned(),
        port,
    }
}

/// Where its visitors go, from the host.
pub(super) fn target(entry: &Entry) -> Target {
    Target::Tcp {
        host: entry.service.host.to_string(),
        port: entry.service.port,
    }
}

/// Keeps the connection to a host until `stop`.
pub(super) async fn connect(
    host: Host,
    surroundings: Surroundings,
    link: Link,
    network: Network,
    stop: CancellationToken,
) {
    let name = host.to_string();
    loop {
        let ran = async {
            // Read anew each time: what was wrong with it may have been mended.
            let config =
                config(&written(&host), &surroundings).map_err(|error| format!("{error:#}"))?;
            let connect = SshConnect::new(&config.peer, Memory::of_this_machine())
                .map_err(|error| chain(&error))?;
            let instruments = Instruments {
                network: Some(network.subscribe()),
                shared: link.shared.clone(),
                ..Instruments::default()
            };
            let peer = config.peer.peer.clone();
            let events = |event: Event<'_>| link.heard(&name, &peer, &event);
            let ran = supervise::run(&connect, Vec::new(), instruments, &events, stop.clone());
            ran.await.map_err(|error| chain(&error))
        };
        let Err(error) = Box::pin(ran).await else {
            return;
        };
        error!(
            host = name,
            error, "host failed; trying again in five minutes"
        );
        link.failed(&error);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(REFUSED) => {}
            () = link.again.notified() => {}
        }
    }
}

/// Listens for an entry's visitors until `stop`. Says once whether it could.
pub(super) async fn listen(
    (entry, peer): (Entry, Peer),
    row: Row,
    link: Link,
    network: Network,
    bound: oneshot::Sender<Result<(), String>>,
    stop: CancellationToken,
) {
    let mut bound = Some(bound);
    let forward = forward(&entry);
    let meter = row.meters().into_iter().next().unwrap_or_default();
    let name = entry.host.to_string();
    let events = |event: Event<'_>| {
        let news = row.apply(&event);
        tell(Some(&name), &peer, &event, news);
    };
    let mut say = |answer: Result<(), String>| {
        if let Some(bound) = bound.take() {
            // Who has asked may have gone.
            drop(bound.send(answer));
        }
    };
    loop {
        let started =
            Beside::start(forward.clone(), Arc::clone(&meter), &link.shared, &network).await;
        match started {
            Ok(beside) => {
                say(Ok(()));
                events(Event::ForwardListens {
                    number: 0,
                    forward: &forward,
                });
                beside.keep(&events, &stop).await;
                return;
            }
            Err(error) => {
                let words = chain(&error);
                warn!(
                    host = name,
                    port = entry.port,
                    error = words,
                    "cannot listen; trying again"
                );
                let reason = Waiting::Listen(words.clone());
                events(Event::ForwardWaiting {
                    number: 0,
                    forward: &forward,
                    reason: &reason,
                });
                say(Err(words));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(TAKEN) => {}
        }
    }
}
