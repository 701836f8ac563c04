//! `gateway:` of type `ssh-tunnel` in a compose file: ports of this machine at an SSH server, by tunnels as
//! everywhere.
//!
//! A port is called public once bytes have made its round trip, or where the server lets nobody find that
//! out and has granted it. One that the server gives to nobody but itself is not: whoever should call back
//! would knock in vain. What is told here is told in the words of the document that such files come from.

use std::collections::BTreeMap;

use adit_flow::expose::{Addresses, Expose, KeepError, Keeping};
use adit_flow::file::Environment;
use adit_flow::http::is_here;
use adit_flow::model::expose::{ExposeConfig, HostKey, Login, SshExpose};
use adit_flow::model::{Compose, Placed};
use adit_tunnel::agent::backoff::Patience;
use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::login::known_hosts::HostKeyRefusal;
use adit_tunnel::agent::network::Watcher;
use adit_tunnel::agent::probe::{Prober, Probing};
use adit_tunnel::agent::supervise::{
    self, ConnectError, Event, Instruments, RunError, TunnelConfig,
};
use adit_tunnel::agent::visitors::Visitors;
use adit_tunnel::transport::ssh::Memory;
use anyhow::{Context as _, anyhow};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::observe::Observer;
use crate::config::Surroundings;
use crate::tunnels::{Board, Row};

pub(crate) mod config;
mod observe;
mod visitors;

pub(crate) use self::visitors::CallbackVisitors;

/// The SSH gateways of a compose file. What they need is looked up when they are made, so that what is wrong
/// is told before anything is started; nothing is connected before [`Expose::keep`].
#[derive(Debug)]
pub(crate) struct Exposes {
    prepared: BTreeMap<usize, Prepared>,
    visitors: Visitors,
}

/// What one of them needs.
#[derive(Debug)]
struct Prepared {
    config: TunnelConfig,
    patience: Patience,
    /// Where `adit status` shows it.
    row: Row,
}

impl Exposes {
    /// Those of the file that stand at these places in [`Compose::exposes`]; gateways of other kinds are
    /// passed over. Each gets a row of `board`, called `gateway HOST`.
    ///
    /// # Errors
    ///
    /// A secret that is named is not there, a path or a file of ssh(1) cannot be used; with the gateway's
    /// place in the file.
    pub(crate) fn new(
        compose: &Compose,
        places: impl IntoIterator<Item = usize>,
        environment: &Environment,
        surroundings: &Surroundings,
        board: &Board,
    ) -> anyhow::Result<Self> {
        let mut prepared = BTreeMap::new();
        for number in places {
            let Some(Placed {
                value: ExposeConfig::Ssh(ssh),
                place,
            }) = compose.exposes.get(number)
            else {
                continue;
            };
            let config = config::tunnel(ssh, environment, surroundings);
            let config = config.with_context(|| format!("{place}: gateway {}", ssh.host.value))?;
            let one = Prepared {
                row: board.add(&format!("gateway {}", ssh.host.value), &config),
                config,
                patience: Patience {
                    longest: ssh.retry_interval,
                    retries: ssh.max_retry_count,
                },
            };
            prepared.insert(number, one);
        }
        Ok(Self {
            prepared,
            visitors: Visitors::default(),
        })
    }

    /// Who comes to a callback server of this machine at that port through these gateways.
    pub(crate) fn visitors_of(&self, port: u16) -> CallbackVisitors {
        CallbackVisitors::new(self.visitors.clone(), port)
    }

    async fn keep_one(
        &self,
        number: usize,
        ssh: &SshExpose,
        addresses: &Addresses,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let prepared = self.prepared.get(&number);
        let prepared = prepared.with_context(|| format!("gateway {number} was not made ready"))?;
        let observer = Observer::new(number, ssh, addresses);
        warn_of(ssh, &prepared.config);
        let server = format!("{}:{}", ssh.host.value, ssh.port);
        info!("Establishing SSH tunnel to {server}");
        let kept = async {
            let connect = SshConnect::new(&prepared.config.peer, Memory::of_this_machine())?;
            let prober = Prober::new().ok().context("the system has no randomness")?;
            let (watcher, network) = Watcher::start();
            let instruments = Instruments {
                probing: Some(Probing {
                    prober: &prober,
                    interval: config::probe_interval(ssh.watch_interval),
                }),
                meters: prepared.row.meters(),
                network: Some(network),
                visitors: Some(self.visitors.clone()),
                patience: prepared.patience,
                ..Instruments::default()
            };
            let events = |event: Event<'_>| {
                prepared.row.apply(&event);
                observer.observe(&event);
            };
            let forwards = prepared.config.forwards.clone();
            let ran = supervise::run(&connect, forwards, instruments, &events, stop.clone());
            let watching = CancellationToken::new();
            let ran = async {
                let ran = ran.await;
                watching.cancel();
                ran
            };
            let stopping = async {
                stop.cancelled().await;
                info!("Stopping SSH tunnel to {server}");
                observer.stopped();
            };
            let mut both =
                std::pin::pin!(async { tokio::join!(ran, watcher.run(watching.clone())).0 });
            let ran = tokio::select! {
                biased;
                () = stopping => both.await,
                ran = &mut both => ran,
            };
            ran.map_err(|error| explained(error, ssh, &observer))
        };
        Box::pin(kept).await.inspect_err(|error| {
            let why = chain(error.as_ref());
            observer.failed(&why);
            prepared.row.failed(why);
        })
    }
}

impl Expose for Exposes {
    fn keep<'a>(
        &'a self,
        gateway: usize,
        config: &'a SshExpose,
        addresses: &'a Addresses,
        stop: CancellationToken,
    ) -> Keeping<'a> {
        Box::pin(async move {
            let kept = self.keep_one(gateway, config, addresses, stop).await;
            let host = &config.host.value;
            let kept = kept.with_context(|| format!("gateway {host}"));
            kept.map_err(KeepError::from)
        })
    }
}

/// What a person should think of before the ports are open.
fn warn_of(ssh: &SshExpose, config: &TunnelConfig) {
    let host = config::bare(&ssh.host.value);
    for forward in &ssh.forwards {
        if !is_here(&forward.host) {
            warn!(
                "[Gateway] port {} of {host} leads to {}:{}, another host of this network: whoever \
                 reaches the one reaches the other",
                forward.remote.value, forward.host, forward.port
            );
        }
    }
    let dialled = &config.peer.peer.host;
    if dialled != host {
        warn!(
            "[Gateway] {host} is {dialled} by the configuration of ssh, and public addresses name {host}: \
             whoever is to call back has to know it by that name"
        );
    }
}

/// Why a gateway cannot be, in one line that says what to do.
fn explained(error: RunError, ssh: &SshExpose, observer: &Observer<'_>) -> anyhow::Error {
    match &error {
        RunError::GivenUp { retries } => {
            let last = observer.trouble();
            anyhow!("SSH max retry count ({retries}) reached, giving up: {last}")
        }
        RunError::Connect(ConnectError::HostKey(HostKeyRefusal::New { host, shown })) => {
            let rule = match (&ssh.host_key, &ssh.login) {
                (HostKey::Strict, _) => "host_key is strict",
                (_, Login::Password(_)) => {
                    "a password is sent to no host that nobody has looked at"
                }
                (_, Login::KeyFile { .. } | Login::SshAgent) => {
                    "new hosts are refused (StrictHostKeyChecking)"
                }
            };
            let fingerprint = shown.split_whitespace().last().unwrap_or(shown);
            anyhow!(
                "host {host} is not known, and {rule}; it shows {shown}. Compare this with the host's own \
                 (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then write \"host_key: \
                 {fingerprint}\" below \"connection:\""
            )
        }
        RunError::Connect(_) | RunError::Listen(_) | _ => anyhow::Error::new(error),
    }
}

#[cfg(test)]
mod tests;
