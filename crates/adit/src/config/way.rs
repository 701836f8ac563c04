//! The way to the peer: the hosts on it, each with its own settings, and what the first is dialled
//! through.
//!
//! As with ssh, what the command line says by `-i`, `-p` and `-o` is for the destination; a host on
//! the way has what the configuration says of it. The last of several jumps is reached through those
//! before it, and the first by what the configuration says of that host.

use std::sync::Arc;

use adit_tunnel::agent::dial::{DIAL_TIMEOUT, Family, ProxyCommand, Through, Way};
use adit_tunnel::agent::supervise::PeerConfig;
use adit_tunnel::ssh_config::{AddressFamily, Jump, Placed, Proxy, Settings, Wanted};
use anyhow::Context as _;
use tracing::info;

use super::ask::Whose;
use super::{Surroundings, Written, peer_config, ssh_config};

/// Most hosts on a way, as many as one ProxyJump may list.
const HOPS: usize = 16;

/// The destination that was written, and the way there.
pub(super) fn peer(
    written: &Written,
    settings: Settings,
    surroundings: &Surroundings,
) -> anyhow::Result<PeerConfig> {
    let mut finder = Finder {
        written: Written {
            keys: Vec::new(),
            // The destination's, and nobody else's to see.
            password_file: None,
            options: Vec::new(),
            jump: None,
            keep_alive: None,
            // Its key and not theirs.
            pins: Vec::new(),
            ..written.clone()
        },
        surroundings,
        asked: vec![written.wanted.clone()],
    };
    finder.complete(written, settings, &[])
}

/// Finds the way, from the destination back to here.
struct Finder<'a> {
    /// What of it is for hosts on the way, too.
    written: Written,
    surroundings: &'a Surroundings,
    /// What was looked up so far, the destination first.
    asked: Vec<Wanted>,
}

impl Finder<'_> {
    /// A host by its settings, reached through `before` where that is not empty, else as its settings
    /// say.
    fn complete(
        &mut self,
        written: &Written,
        settings: Settings,
        before: &[Jump],
    ) -> anyhow::Result<PeerConfig> {
        let proxy = settings.proxy.clone();
        let timeout = settings.connect_timeout.filter(|time| !time.is_zero());
        let family = match settings.address_family {
            None | Some(AddressFamily::Any) => Family::Any,
            Some(AddressFamily::V4) => Family::V4,
            Some(AddressFamily::V6) => Family::V6,
        };
        let whose = if self.asked.len() == 1 {
            Whose::Destination
        } else {
            Whose::Hop
        };
        let mut peer = peer_config(written, settings, whose, self.surroundings)?;
        let through = match (before, proxy.map(|Placed { value, .. }| value)) {
            ([before @ .., last], _) => self.hop(last, before)?,
            ([], Some(Proxy::Jump(jumps))) => match jumps.split_last() {
                Some((last, before)) => self.hop(last, before)?,
                None => Through::Nothing,
            },
            ([], Some(Proxy::Command(command))) => match stand_in::jump(&command.words) {
                Some(jump) => {
                    info!(%jump, "there is no ssh to run for ProxyCommand; it is read as ProxyJump");
                    self.hop(&jump, &[])?
                }
                None => ProxyCommand::new(command.words).map_or(Through::Nothing, Through::Command),
            },
            ([], None) => self.proxy_before(&peer)?,
        };
        peer.way = Way {
            through,
            family,
            timeout: timeout.unwrap_or(DIAL_TIMEOUT),
        };
        Ok(peer)
    }

    fn hop(&mut self, jump: &Jump, before: &[Jump]) -> anyhow::Result<Through> {
        let wanted = Wanted {
            host: jump.host.clone(),
            user: jump.user.clone(),
            port: jump.port,
        };
        let is_known = self.asked.contains(&wanted);
        self.asked.push(wanted.clone());
        anyhow::ensure!(!is_known, "ProxyJump leads in a circle: {}", self.chain());
        anyhow::ensure!(
            self.asked.len() <= HOPS.saturating_add(1),
            "ProxyJump leads over more than {HOPS} hosts: {}",
            self.chain()
        );
        let settings = ssh_config::read(&self.written, &wanted, self.surroundings);
        let settings = settings.with_context(|| format!("hop {jump}"))?;
        // Not the command line's: what it asks of the destination is not for others.
        let written = self.written.clone();
        let peer = self.complete(&written, settings, before);
        let peer = peer.with_context(|| format!("hop {jump}"))?;
        Ok(Through::Jump(Box::new(peer)))
    }

    /// The proxy of the environment for a host that is dialled from here.
    fn proxy_before(&self, peer: &PeerConfig) -> anyhow::Result<Through> {
        if self.written.without_proxy {
            return Ok(Through::Nothing);
        }
        let (host, port) = (&peer.peer.host, peer.peer.port);
        Ok(match self.surroundings.proxies.proxy_for(host, port)? {
            Some(proxy) => {
                info!(host, %proxy, "host is reached through a proxy; --no-proxy goes without");
                Through::Proxy(Arc::new(proxy))
            }
            None => Through::Nothing,
        })
    }

    /// The hosts as they were asked for, the nearest to the destination first.
    fn chain(&self) -> String {
        let names = self.asked.iter().map(|wanted| {
            let Wanted { host, user, port } = wanted.clone();
            Jump { user, host, port }.to_string()
        });
        names.collect::<Vec<_>>().join(", reached through ")
    }
}

mod stand_in;
#[cfg(test)]
mod tests;
