//! One tunnel of each contender, which take turns.

use std::net::SocketAddr;

use rustix::process::Pid;

use super::super::page::Work as _;
use super::super::pair::Pair;
use super::super::tunnel::{Plan, Tunnel};
use super::plain::{Peer, PlainTunnel};
use super::{Bench, Server};

/// A running server and its one client.
#[derive(Debug)]
pub(super) enum Contestant {
    /// Over SSH.
    Ssh(Tunnel),
    /// Over plain TCP.
    Plain(PlainTunnel),
}

impl Contestant {
    /// Starts both ends with a forward to each of the services.
    fn start(bench: &Bench, server: Server, services: &[SocketAddr]) -> anyhow::Result<Self> {
        let ssh = |pair| Tunnel::start(&bench.kit, &Plan::usual(pair), services).map(Self::Ssh);
        let plain = |peer: &Peer| PlainTunnel::start(&bench.kit, peer, services).map(Self::Plain);
        match server {
            Server::Sshd => ssh(Pair::STOCK),
            Server::Adit => ssh(Pair::SERVED),
            Server::AditAtBoth => ssh(Pair::OURS_SERVED),
            Server::Rathole => plain(&Peer::RATHOLE),
            Server::Bore => plain(&Peer::BORE),
        }
    }

    /// Where visitors of a service go.
    pub(super) fn visitors(&self, service: SocketAddr) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Ssh(tunnel) => tunnel.visitors(service),
            Self::Plain(tunnel) => tunnel.visitors(service),
        }
    }

    /// The processes of the server now.
    pub(super) fn server(&self) -> Vec<Pid> {
        match self {
            Self::Ssh(tunnel) => tunnel.host().processes(),
            Self::Plain(tunnel) => tunnel.server(),
        }
    }

    /// The processes of both ends now.
    pub(super) fn processes(&self) -> Vec<Pid> {
        match self {
            Self::Ssh(tunnel) => tunnel.processes(),
            Self::Plain(tunnel) => tunnel.processes(),
        }
    }
}

impl Bench {
    /// Does the same for each contender in turn, as many rounds as there are, with a tunnel of each that
    /// is up all the time. Who does not start is noted and has no column.
    pub(super) fn in_turns(
        &mut self,
        what: &str,
        services: &[SocketAddr],
        measure: impl Fn(&mut Self, Server, &Contestant) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut contestants = Vec::new();
        for server in Server::ALL {
            match Contestant::start(self, server, services) {
                Ok(contestant) => contestants.push((server, contestant)),
                Err(error) => self.settle(&format!("{what}, {server}"), Err(error))?,
            }
        }
        for round in 1..=self.scale.rounds {
            eprintln!("  round {round} of {}", self.scale.rounds);
            for (server, contestant) in &contestants {
                let outcome = measure(self, *server, contestant);
                self.settle(&format!("{what}, {server}"), outcome)?;
            }
        }
        Ok(())
    }
}
