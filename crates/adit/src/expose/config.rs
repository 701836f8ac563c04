//! What a file says of a gateway, as a tunnel.
//!
//! The file names host, port, user and login, so those are its own: of ssh's configuration neither `User`
//! nor `Port`, keys nor forwards count. What it does not speak of is as everywhere: the way there
//! (`HostName`, `ProxyJump`, `ProxyCommand`), known hosts, algorithms, the ssh-agent's socket.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use adit_flow::file::Environment;
use adit_flow::model::expose::{HostKey, Login, SshExpose};
use adit_text::SecretSource;
use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::login::credentials::{AgentKeys, KeyChoice, LoginConfig};
use adit_tunnel::agent::login::known_hosts::NewHosts;
use adit_tunnel::agent::login::prompt::Told;
use adit_tunnel::agent::supervise::{KeepAlive, TunnelConfig};
use adit_tunnel::ssh_config::Wanted;
use adit_tunnel::transport::{Bind, Target};
use anyhow::Context as _;
use tracing::info;

use crate::config::ask::{Given, Sources};
use crate::config::option::{HostKeyChecking, SshOption};
use crate::config::{Purpose, Surroundings, Written, config};

/// Every address of both families, if the server lets visitors come to all (RFC 4254 7.1).
const EVERYWHERE: &str = "";
/// Every IPv4 address: model-compose's own word on the wire.
const EVERYWHERE_IPV4: &str = "0.0.0.0";
/// Most often that a path which works is probed: each probe costs 1.6 KB, which is 4.6 MB a day.
const MOST_OFTEN: Duration = Duration::from_secs(30);

/// The tunnel of a gateway.
///
/// # Errors
///
/// A secret that is named is not there, or a path or a file of ssh(1) cannot be used.
pub(super) fn tunnel(
    ssh: &SshExpose,
    environment: &Environment,
    surroundings: &Surroundings,
) -> anyhow::Result<TunnelConfig> {
    let written = written(ssh, surroundings)?;
    let mut config = config(&written, surroundings)?;
    let bind = wildcard(bare(&ssh.host.value));
    let forwards = ssh.forwards.iter().map(|one| forward(one, bind));
    config.forwards = forwards.collect();
    config.exit_on_forward_failure = false;
    let peer = &mut config.peer;
    if peer.host_keys.new_hosts == NewHosts::Ask {
        // Whoever starts it may be a service. What a password is sent to has to be known before.
        peer.host_keys.new_hosts = match ssh.login {
            Login::KeyFile { .. } | Login::SshAgent => NewHosts::Accept,
            Login::Password(_) => NewHosts::Refuse,
        };
    }
    login(&ssh.login, &mut peer.login, environment, surroundings)?;
    if ssh.keep_alive.is_none() {
        info!("keepalive_interval 0s is read as not set: a dead connection has to be noticed");
    }
    Ok(config)
}

/// How often a path that works is probed. That a connection has ended is noticed without.
pub(super) fn probe_interval(watch_interval: Duration) -> Duration {
    watch_interval.max(MOST_OFTEN)
}

/// A host without the brackets that an IPv6 address may have in a file.
pub(crate) fn bare(host: &str) -> &str {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host)
}

/// The same as a command line would say it, but for the login.
fn written(ssh: &SshExpose, surroundings: &Surroundings) -> anyhow::Result<Written> {
    let mut options = Vec::new();
    let mut pins = Vec::new();
    if let Some(file) = &ssh.known_hosts {
        options.push(SshOption::known_hosts(surroundings.at_home(file)?));
    }
    match &ssh.host_key {
        HostKey::Usual => {}
        HostKey::AcceptNew => {
            options.push(SshOption::StrictHostKeyChecking(HostKeyChecking::AcceptNew));
        }
        HostKey::Strict => options.push(SshOption::StrictHostKeyChecking(HostKeyChecking::Yes)),
        HostKey::Fingerprint(text) => pins.push(text.parse().context("host_key")?),
    }
    let misses = KeepAlive::default().misses;
    Ok(Written {
        wanted: Wanted {
            host: bare(&ssh.host.value).to_owned(),
            user: Some(ssh.user.clone()),
            port: Some(ssh.port),
        },
        forwards: Vec::new(),
        permits: Vec::new(),
        public_socks: false,
        // Forwards of ssh's files are not the gateway's.
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
        options,
        keep_alive: Some(
            ssh.keep_alive
                .map_or_else(KeepAlive::default, |interval| KeepAlive {
                    interval,
                    misses,
                }),
        ),
        pins,
    })
}

/// What is asked for at a host of that name. Its visitors come to what its name says: to an IPv4 address by
/// IPv4 alone, and else perhaps by IPv6. A server may compare the word (`PermitListen`), so the one that
/// model-compose says is kept where it is enough.
fn wildcard(host: &str) -> &'static str {
    if host.parse::<Ipv4Addr>().is_ok() {
        EVERYWHERE_IPV4
    } else {
        EVERYWHERE
    }
}

fn forward(one: &adit_flow::model::expose::PortForward, bind: &str) -> Forward {
    Forward {
        listens: Listens::There,
        bind: Bind::Tcp {
            host: bind.to_owned(),
            port: one.remote.value,
        },
        to: Destination::One(Target::Tcp {
            host: one.host.clone(),
            port: one.port,
        }),
    }
}

/// Puts the login of the file in the place of the one that ssh's configuration has. A server that is offered
/// anything else learns more than it has to.
fn login(
    login: &Login,
    config: &mut LoginConfig,
    environment: &Environment,
    surroundings: &Surroundings,
) -> anyhow::Result<()> {
    let given = |source: &SecretSource| given(source, environment, surroundings);
    let (mut passphrase, mut password) = (None, None);
    config.choice = KeyChoice::Named;
    config.agent_keys = AgentKeys::Named;
    config.keys = Vec::new();
    match login {
        Login::KeyFile {
            file,
            passphrase: source,
        } => {
            config.keys.push(surroundings.at_home(file)?);
            passphrase = source
                .as_ref()
                .map(given)
                .transpose()
                .context("passphrase")?;
        }
        Login::SshAgent => {
            anyhow::ensure!(
                config.ssh_agent.is_some(),
                "the login is by the ssh-agent, and none is there (SSH_AUTH_SOCK)"
            );
            config.agent_keys = AgentKeys::All;
        }
        Login::Password(source) => {
            config.certificates = Vec::new();
            config.ssh_agent = None;
            password = Some(given(source).context("password")?);
        }
    }
    config.ask = std::sync::Arc::new(Sources::given(passphrase, password));
    Ok(())
}

fn given(
    source: &SecretSource,
    environment: &Environment,
    surroundings: &Surroundings,
) -> anyhow::Result<Given> {
    Ok(match source {
        SecretSource::File(file) => Given::File(surroundings.at_home(Path::new(file))?),
        SecretSource::Environment(name) => {
            let value = environment.value(name).filter(|value| !value.is_empty());
            let value = value.with_context(|| format!("variable {name} is not set"))?;
            Given::Told(Told::new(value.to_owned()))
        }
        SecretSource::Value(value) => Given::Told(Told::new(value.clone())),
    })
}
