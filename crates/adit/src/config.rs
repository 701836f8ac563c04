//! What was written about tunnels, on a command line or in a file, and what it means here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adit_tunnel::agent::dial::{Family, Way};
use adit_tunnel::agent::forward::{Destination, Forward, Permit, Permits};
use adit_tunnel::agent::login::algorithms::{AlgorithmLists, Edit};
use adit_tunnel::agent::login::credentials::{AgentKeys, KeyChoice, LoginConfig};
use adit_tunnel::agent::login::known_hosts::{HostKeys, NameForm, NewHosts, PinnedKey};
use adit_tunnel::agent::probe::public_port;
use adit_tunnel::agent::supervise::{KeepAlive, Peer, PeerConfig, TunnelConfig};
use adit_tunnel::ssh_config as ssh;
use anyhow::Context as _;
use tracing::{info, warn};

use self::ask::{Sources, Whose};
use self::option::{HostKeyChecking, SshOption};
pub(crate) use self::surroundings::Surroundings;
use crate::enrolled;

pub(crate) mod ask;
pub(crate) mod destination;
pub(crate) mod file;
pub(crate) mod option;
pub(crate) mod spec;
mod ssh_config;
mod surroundings;
mod way;

/// What was written about one tunnel. What it does not say stands in the files of ssh(1), or is as ssh
/// has it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "said or not")]
pub(crate) struct Written {
    /// The destination.
    pub(crate) wanted: ssh::Wanted,
    /// The forwards, in the order in which they are set up.
    pub(crate) forwards: Vec<Forward>,
    /// Where visitors of remote forwards without a target may go, of those that do not say it
    /// themselves.
    pub(crate) permits: Vec<Permit>,
    /// Whether remote forwards without a target may listen for everybody.
    pub(crate) public_socks: bool,
    /// Whether there must be a forward.
    pub(crate) purpose: Purpose,
    /// Whether a refused forward ends the tunnel.
    pub(crate) exit_on_forward_failure: bool,
    /// Private keys, before those of the files.
    pub(crate) keys: Vec<PathBuf>,
    /// A file with the keys' passphrase.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// A file with the destination's password.
    pub(crate) password_file: Option<PathBuf>,
    /// A configuration in the place of those of ssh(1).
    pub(crate) config: Option<PathBuf>,
    /// Hosts on the way.
    pub(crate) jump: Option<SshOption>,
    /// The only family that is dialled.
    pub(crate) family: Option<Family>,
    /// Whether a proxy of the environment is passed over.
    pub(crate) without_proxy: bool,
    /// Whether the password and the host key of the environment are its destination's.
    pub(crate) takes_password: bool,
    /// Options of ssh_config(5), which count before its files.
    pub(crate) options: Vec<SshOption>,
    /// How a dead connection is noticed, before what the files say of it.
    pub(crate) keep_alive: Option<KeepAlive>,
    /// Keys of which the destination must have one, whatever files say of it.
    pub(crate) pins: Vec<PinnedKey>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its forwards.
    Forwards,
    /// One stream; those forwards that files name are passed over.
    Stream,
    /// Its own forwards; those that files name are passed over.
    Only,
    /// To look at it; its forwards, if it has any.
    Look,
}

impl Written {
    /// A connection to that host, of which nothing is said but which host.
    pub(crate) fn look(wanted: ssh::Wanted) -> Self {
        Self {
            wanted,
            forwards: Vec::new(),
            permits: Vec::new(),
            public_socks: false,
            purpose: Purpose::Stream,
            exit_on_forward_failure: false,
            keys: Vec::new(),
            passphrase_file: None,
            password_file: None,
            config: None,
            jump: None,
            family: None,
            without_proxy: false,
            takes_password: false,
            options: Vec::new(),
            keep_alive: None,
            pins: Vec::new(),
        }
    }
}

/// Variable with the keys of which the destination must have one.
pub(crate) const HOST_KEY: &str = "ADIT_HOST_KEY";
/// Files that ssh(1) looks in.
const DEFAULT_KNOWN_HOSTS: [&str; 2] = [".ssh/known_hosts", ".ssh/known_hosts2"];
/// Files of the machine that ssh(1) looks in.
const GLOBAL_KNOWN_HOSTS: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// The tunnel that was written of.
///
/// # Errors
///
/// A file cannot be read, or something in it or in `written` is wrong; a tunnel without a forward.
pub(crate) fn config(
    written: &Written,
    surroundings: &Surroundings,
) -> anyhow::Result<TunnelConfig> {
    let enrolled = enrolled::apply(written, surroundings);
    let written = enrolled.as_ref().unwrap_or(written);
    let pinned = pinned(written)?;
    let written = pinned.as_ref().unwrap_or(written);
    let settings = ssh_config::read(written, &written.wanted, surroundings)?;
    ssh_config::check(&settings);
    let forwards = match written.purpose {
        Purpose::Stream => Vec::new(),
        Purpose::Only => written.forwards.clone(),
        Purpose::Forwards | Purpose::Look => forwards(written, &settings)?,
    };
    let exits = settings.exit_on_forward_failure == Some(true);
    Ok(TunnelConfig {
        peer: way::peer(written, settings, surroundings)?,
        forwards,
        exit_on_forward_failure: exits || written.exit_on_forward_failure,
    })
}

/// The same tunnel with the keys that the environment pins, if that is for it and nothing else pins any.
fn pinned(written: &Written) -> anyhow::Result<Option<Written>> {
    let text = std::env::var(HOST_KEY).unwrap_or_default();
    if text.is_empty() || !written.takes_password || !written.pins.is_empty() {
        return Ok(None);
    }
    let pins = text.split(',').map(|pin| pin.trim().parse());
    let pins = pins.collect::<Result<_, _>>();
    Ok(Some(Written {
        pins: pins.with_context(|| format!("cannot use {HOST_KEY}"))?,
        ..written.clone()
    }))
}

/// Whether the files of ssh(1) say that a dead connection is not to be looked for. It is all the same.
///
/// # Errors
///
/// A file cannot be read, or something in it is wrong.
pub(crate) fn has_keep_alive_off(
    written: &Written,
    surroundings: &Surroundings,
) -> anyhow::Result<bool> {
    let settings = ssh_config::read(written, &written.wanted, surroundings)?;
    Ok(settings.server_alive_interval == Some(Duration::ZERO))
}

/// The forwards that were written, then those of the files that are not among them.
fn forwards(written: &Written, settings: &ssh::Settings) -> anyhow::Result<Vec<Forward>> {
    let mut forwards = written.forwards.clone();
    for forward in ssh_config::forwards(settings)? {
        if !forwards.contains(&forward) {
            forwards.push(forward);
        }
    }
    for forward in &mut forwards {
        let is_public = public_port(&forward.bind).is_some();
        let shown = forward.to_string();
        let Destination::Named(Permits::Only(permits)) = &mut forward.to else {
            continue;
        };
        anyhow::ensure!(
            written.public_socks || !is_public,
            "{shown} would let everybody who reaches that port into this network: name a loopback \
             address, as in localhost:1080, or say --public-socks (public_socks: true in a file) if \
             that is meant"
        );
        if permits.is_empty() {
            permits.clone_from(&written.permits);
        }
        if permits.is_empty() {
            warn!(
                bind = %forward.bind,
                "visitors of this forward reach nothing: name what they may reach with \
                 --permit-remote-open HOST:PORT (permit: in a file)"
            );
        }
    }
    anyhow::ensure!(
        !forwards.is_empty() || written.purpose == Purpose::Look,
        "nothing to forward: name a forward (-R, -L or -D; forwards: in a file), or write it in the \
         configuration"
    );
    Ok(forwards)
}

/// How to log in at a host with these settings; the way there is not looked at.
fn peer_config(
    written: &Written,
    settings: ssh::Settings,
    whose: Whose,
    surroundings: &Surroundings,
) -> anyhow::Result<PeerConfig> {
    let mut algorithms = AlgorithmLists::default();
    let mut known_hosts = None;
    let mut checking = None;
    for option in &written.options {
        // As with ssh, what was said first counts.
        match option {
            SshOption::UserKnownHostsFile(files) => {
                known_hosts.get_or_insert(files);
            }
            SshOption::StrictHostKeyChecking(value) => {
                checking.get_or_insert(*value);
            }
            SshOption::Algorithms(lists) => {
                if algorithms.ciphers == Edit::default() {
                    algorithms.ciphers.clone_from(&lists.ciphers);
                }
                if algorithms.kex == Edit::default() {
                    algorithms.kex.clone_from(&lists.kex);
                }
            }
            // They are in the settings.
            SshOption::Line(_) => {}
        }
    }
    if algorithms.ciphers == Edit::default() {
        let written = ssh_config::list(settings.ciphers.as_ref(), Edit::parse)?;
        algorithms.ciphers = written.unwrap_or_default();
    }
    if algorithms.kex == Edit::default() {
        let written = ssh_config::list(settings.kex_algorithms.as_ref(), Edit::parse)?;
        algorithms.kex = written.unwrap_or_default();
    }
    let new_hosts = match checking {
        None => match settings.host_key_checking {
            Some(ssh::HostKeyChecking::AcceptNew) => NewHosts::Accept,
            Some(ssh::HostKeyChecking::Yes) => NewHosts::Refuse,
            Some(ssh::HostKeyChecking::Ask) | None => NewHosts::Ask,
        },
        Some(HostKeyChecking::Yes) => NewHosts::Refuse,
        Some(HostKeyChecking::AcceptNew) => NewHosts::Accept,
        Some(HostKeyChecking::Ask) => NewHosts::Ask,
        Some(HostKeyChecking::No) => {
            warn!("StrictHostKeyChecking=no is read as accept-new: a changed key is refused");
            NewHosts::Accept
        }
    };
    let mut files = match (known_hosts, &settings.user_known_hosts) {
        (Some(files), _) => {
            let files = files.iter().map(|file| surroundings.known_hosts(file));
            files.collect::<anyhow::Result<_>>()?
        }
        (None, Some(files)) => surroundings.listed(files)?,
        (None, None) => DEFAULT_KNOWN_HOSTS
            .iter()
            .map(|file| surroundings.below_home(Path::new(file)))
            .collect::<anyhow::Result<_>>()?,
    };
    surroundings.put_writable_first(&mut files);
    let global_files = match &settings.global_known_hosts {
        Some(files) => surroundings.listed(files)?,
        None => GLOBAL_KNOWN_HOSTS.iter().map(PathBuf::from).collect(),
    };
    let login = login_config(written, &settings, whose, surroundings)?;
    Ok(PeerConfig {
        peer: Peer {
            host: settings.host,
            port: settings.port,
            user: settings.user,
        },
        login,
        host_keys: HostKeys {
            files,
            global_files,
            new_hosts,
            names: if settings.hash_known_hosts == Some(true) {
                NameForm::Hashed
            } else {
                NameForm::Plain
            },
            pinned: written.pins.clone(),
        },
        algorithms,
        keep_alive: written.keep_alive.unwrap_or_else(|| {
            let interval = settings.server_alive_interval;
            keep_alive(interval, settings.server_alive_count_max)
        }),
        congestion: None,
        way: Way::direct(),
        host_key_alias: settings.host_key_alias,
    })
}

/// ssh's spelling of it. It cannot be turned off here: a tunnel that says "up" has to know.
fn keep_alive(interval: Option<Duration>, misses: Option<u32>) -> KeepAlive {
    let default = KeepAlive::default();
    if interval == Some(Duration::ZERO) {
        info!("ServerAliveInterval 0 is read as not set: a dead connection has to be noticed");
    }
    KeepAlive {
        interval: interval
            .filter(|interval| !interval.is_zero())
            .unwrap_or(default.interval),
        misses: misses.map_or(default.misses, |misses| misses.max(1)),
    }
}

/// What to log in with at a host with these settings.
fn login_config(
    written: &Written,
    settings: &ssh::Settings,
    whose: Whose,
    surroundings: &Surroundings,
) -> anyhow::Result<LoginConfig> {
    let listed = ssh_config::keys(settings);
    let choice = if written.keys.is_empty() && listed.is_none() {
        KeyChoice::Usual
    } else {
        KeyChoice::Named
    };
    // Who names keys means those: a server that is offered others learns whose they are.
    let offers_all = choice == KeyChoice::Usual && settings.identities_only != Some(true);
    let (passphrase, password) = (&written.passphrase_file, &written.password_file);
    let takes_password = whose == Whose::Destination && written.takes_password;
    let ask = Sources::of_this_process(whose, passphrase.clone(), password.clone(), takes_password);
    Ok(LoginConfig {
        keys: surroundings.keys(&written.keys, listed)?,
        choice,
        certificates: settings.certificate_files.clone(),
        ssh_agent: surroundings.ssh_agent(settings.identity_agent.as_ref()),
        agent_keys: if offers_all {
            AgentKeys::All
        } else {
            AgentKeys::Named
        },
        ask: Arc::new(ask),
    })
}

#[cfg(test)]
mod tests;
