//! `adit forward`: one tunnel, from the command line, until a signal.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::dial::{ProxyEnvironment, Way};
use adit_tunnel::agent::forward::{Destination, Forward, Listens, Permits};
use adit_tunnel::agent::login::algorithms::{AlgorithmLists, Edit};
use adit_tunnel::agent::login::credentials::{AgentKeys, KeyChoice, LoginConfig};
use adit_tunnel::agent::login::known_hosts::{HostKeys, NameForm, NewHosts};
use adit_tunnel::agent::network::Watcher;
use adit_tunnel::agent::probe::{Finding, Prober};
use adit_tunnel::agent::supervise::{
    self, ConnectError, Event, KeepAlive, Peer, PeerConfig, RunError, TunnelConfig,
};
use adit_tunnel::ssh_config as ssh;
use adit_tunnel::transport::Bind;
use adit_tunnel::transport::ssh::Memory;
use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::ask::{Sources, Whose};
use self::detach::Countdown;
use self::option::{HostKeyChecking, KnownHostsFile, SshOption};
use self::spec::StdioTarget;
use crate::cli::ForwardArguments;
use crate::log::say;
use crate::terminal::Restore;

mod ask;
pub(crate) mod destination;
mod detach;
pub(crate) mod option;
pub(crate) mod spec;
mod ssh_config;
mod stdio;
mod way;

/// Keys that are offered when none is named, as ssh(1) has them, without those on hardware.
const DEFAULT_KEYS: [&str; 3] = [".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"];
/// Files that ssh(1) looks in.
const DEFAULT_KNOWN_HOSTS: [&str; 2] = [".ssh/known_hosts", ".ssh/known_hosts2"];
/// Files of the machine that ssh(1) looks in.
const GLOBAL_KNOWN_HOSTS: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
/// Exit code after SIGINT, as shells have it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;
/// Where hosts are remembered for who asked to forget them, below the directory for state.
const OWN_KNOWN_HOSTS: &str = "adit/known_hosts";

/// What a command line means depends on who types it where.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    home: Option<PathBuf>,
    state: Option<PathBuf>,
    user: Option<String>,
    /// Socket of the ssh-agent.
    ssh_agent: Option<PathBuf>,
    proxies: ProxyEnvironment,
}

/// Runs the tunnel until SIGINT or SIGTERM.
pub(crate) fn run(arguments: &ForwardArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    let is_detached = arguments.habits.background;
    if is_detached && !detach::is_second() {
        return detach::run();
    }
    let idle = arguments.habits.without_meaning();
    if !idle.is_empty() {
        info!("without meaning here: {}", idle.join(", "));
    }
    let config = config(arguments, &Surroundings::of_this_process())?;
    let connect = SshConnect::new(&config.peer, Memory::of_this_machine())?;
    let restore = Restore::new();
    if let Some(StdioTarget(target)) = &arguments.stdio {
        return stdio::run(target, &connect, &config.peer.peer);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let countdown = is_detached.then(|| Countdown::new(config.forwards.len(), verbose > 0));
    let result = runtime.block_on(serve(config, connect, countdown));
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    result
}

async fn serve(
    config: TunnelConfig,
    connect: SshConnect,
    countdown: Option<Countdown>,
) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let mut signals = JoinSet::new();
    let (stopped, signal) = (stop.clone(), signalled()?);
    signals.spawn(async move {
        let code = signal.await;
        stopped.cancel();
        code
    });
    let peer = config.peer.peer.clone();
    let (refused, ending) = (OnceLock::new(), stop.clone());
    let exits = config.exit_on_forward_failure;
    let events = |event: Event<'_>| {
        tell(&peer, &event);
        if exits && let Some(refusal) = refusal(&event) {
            refused.get_or_init(|| refusal);
            ending.cancel();
        }
        if let Some(countdown) = &countdown {
            if let Event::ForwardUp { forward }
            | Event::ForwardUnproved {
                forward,
                finding: Finding::Prohibited,
            }
            // Until its address comes nothing can be done, and that may be never.
            | Event::ForwardWaiting { forward, .. } = &event
            {
                countdown.is_up(forward.to_string());
            } else if matches!(event, Event::Ended { .. }) {
                countdown.begin();
            }
        }
    };
    let prober = Prober::new().ok().context("the system has no randomness")?;
    let forwards = config.forwards;
    let (watcher, network) = Watcher::start();
    let mut watching = JoinSet::new();
    watching.spawn(watcher.run(stop.clone()));
    let result =
        supervise::run_watching(&connect, forwards, Some(&prober), &network, &events, stop).await;
    watching.shutdown().await;
    match result {
        Ok(()) if let Some(refusal) = refused.get() => Err(anyhow::anyhow!("{refusal}")),
        // It ends without an error only by a signal.
        Ok(()) => {
            let code = signals.join_next().await;
            Ok(code.and_then(Result::ok).unwrap_or(ExitCode::SUCCESS))
        }
        Err(RunError::Connect(error)) => Err(not_connected(error, &config.peer.peer)),
        Err(error) => Err(error.into()),
    }
}

/// What ends the program where a forward has to be up: how ssh reads ExitOnForwardFailure.
fn refusal(event: &Event<'_>) -> Option<String> {
    if let Event::ForwardRefused { forward } = event {
        Some(format!("forward was refused: {forward}"))
    } else if let Event::ForwardWaiting { forward, reason } = event {
        Some(format!("forward cannot listen, {reason}: {forward}"))
    } else {
        None
    }
}

/// Waits for SIGINT or SIGTERM, from this call on, and says what the program ends with.
fn signalled() -> anyhow::Result<impl Future<Output = ExitCode>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => ExitCode::from(INTERRUPTED),
            _ = terminate.recv() => ExitCode::SUCCESS,
        }
    })
}

fn not_connected(error: ConnectError, peer: &Peer) -> anyhow::Error {
    let Peer { host, port, user } = peer;
    anyhow::Error::new(error).context(format!("cannot connect to {host} port {port} as {user}"))
}

/// Says what a person should know. What a person waits for is a line of its own, the rest is logged.
fn tell(peer: &Peer, event: &Event<'_>) {
    let host = &peer.host;
    match event {
        Event::Connected => info!(host, "connected"),
        Event::ForwardUp { forward } => say(&format!("{}forward up: {forward}", kind(forward))),
        Event::ForwardBound { forward } => info!(host, bind = %forward.bind, "bound"),
        Event::ForwardUnproved {
            forward,
            finding: Finding::Prohibited,
        } => say(&format!(
            "forward bound, path not checked (the server lets nobody go there: PermitOpen, \
             AllowTcpForwarding): {forward}"
        )),
        Event::ForwardUnproved { forward, finding } => {
            say(&format!("forward not up, {finding}: {forward}"));
        }
        Event::ForwardRefused { forward } => match &forward.bind {
            Bind::Tcp { .. } => warn!(
                host, bind = %forward.bind, to = %forward.to,
                "server refused the forward: the port is taken, maybe by our own dead connection, or \
                 not allowed (AllowTcpForwarding, PermitListen); asking again every second or two"
            ),
            // A stock sshd leaves the file behind and does not take it back by itself.
            Bind::Unix { .. } => warn!(
                host, bind = %forward.bind, to = %forward.to,
                "server refused the forward: the socket's file is there already, maybe left by an \
                 earlier connection (remove it, or set StreamLocalBindUnlink yes in sshd_config), or \
                 not allowed (AllowStreamLocalForwarding); asking again every second or two"
            ),
        },
        Event::ForwardWaiting { forward, reason } => {
            say(&format!(
                "{}forward waiting, {reason}: {forward}",
                kind(forward)
            ));
        }
        Event::PortLost { bind } => warn!(host, %bind, "port is lost; asking for any other"),
        Event::Ended { end, up } => {
            let (end, seconds) = (chain(end), up.as_secs());
            warn!(host, end, up_seconds = seconds, "connection ended");
        }
        Event::Failed { error } => warn!(host, error = chain(error), "cannot connect"),
        Event::Waiting { delay } => info!(host, delay_ms = delay.as_millis(), "waiting"),
        _ => {}
    }
}

/// The word that ssh(1) has for it; none for a remote forward, the program's first purpose.
fn kind(forward: &Forward) -> &'static str {
    match (forward.listens, &forward.to) {
        (Listens::There, _) => "",
        (Listens::Here, Destination::One(_)) => "local ",
        (Listens::Here, Destination::Named(_)) => "dynamic ",
    }
}

fn config(
    arguments: &ForwardArguments,
    surroundings: &Surroundings,
) -> anyhow::Result<TunnelConfig> {
    let settings = ssh_config::read(arguments, &arguments.wanted(), surroundings)?;
    ssh_config::check(&settings);
    let forwards = match &arguments.stdio {
        Some(_) => Vec::new(),
        None => forwards(arguments, &settings)?,
    };
    let exits = settings.exit_on_forward_failure == Some(true);
    Ok(TunnelConfig {
        peer: way::peer(arguments, settings, surroundings)?,
        forwards,
        exit_on_forward_failure: exits || arguments.exit_on_forward_failure,
    })
}

/// The forwards of the command line, then those of the files that are not among them.
fn forwards(
    arguments: &ForwardArguments,
    settings: &ssh::Settings,
) -> anyhow::Result<Vec<Forward>> {
    let local = arguments.local_forwards.iter().map(|one| &one.0);
    let dynamic = arguments.dynamic_forwards.iter().map(|one| &one.0);
    let remote = arguments.remote_forwards.iter().map(|one| &one.0);
    let named = local.chain(dynamic).chain(remote);
    let mut forwards: Vec<Forward> = named.cloned().collect();
    for forward in ssh_config::forwards(settings)? {
        if !forwards.contains(&forward) {
            forwards.push(forward);
        }
    }
    let permitted = &arguments.permit_remote_open;
    for forward in &mut forwards {
        let Destination::Named(permits @ Permits::Only(_)) = &mut forward.to else {
            continue;
        };
        if permitted.is_empty() {
            warn!(
                bind = %forward.bind,
                "visitors of this forward reach nothing: name what they may reach with \
                 --permit-remote-open HOST:PORT"
            );
        }
        *permits = Permits::Only(permitted.clone());
    }
    anyhow::ensure!(
        !forwards.is_empty(),
        "nothing to forward: name a forward with -R, -L or -D, or write it in the configuration"
    );
    Ok(forwards)
}

/// How to log in at a host with these settings; the way there is not looked at.
fn peer_config(
    arguments: &ForwardArguments,
    settings: ssh::Settings,
    whose: Whose,
    surroundings: &Surroundings,
) -> anyhow::Result<PeerConfig> {
    let mut algorithms = AlgorithmLists::default();
    let mut known_hosts = None;
    let mut checking = None;
    for option in &arguments.options {
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
    let files = match (known_hosts, &settings.user_known_hosts) {
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
    let global_files = match &settings.global_known_hosts {
        Some(files) => surroundings.listed(files)?,
        None => GLOBAL_KNOWN_HOSTS.iter().map(PathBuf::from).collect(),
    };
    let login = login_config(arguments, &settings, whose, surroundings)?;
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
        },
        algorithms,
        keep_alive: keep_alive(
            settings.server_alive_interval,
            settings.server_alive_count_max,
        ),
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
    arguments: &ForwardArguments,
    settings: &ssh::Settings,
    whose: Whose,
    surroundings: &Surroundings,
) -> anyhow::Result<LoginConfig> {
    let listed = ssh_config::keys(settings);
    let choice = if arguments.keys.is_empty() && listed.is_none() {
        KeyChoice::Usual
    } else {
        KeyChoice::Named
    };
    // Who names keys means those: a server that is offered others learns whose they are.
    let offers_all = choice == KeyChoice::Usual && settings.identities_only != Some(true);
    let (passphrase, password) = (&arguments.passphrase_file, &arguments.password_file);
    let ask = Sources::of_this_process(whose, passphrase.clone(), password.clone());
    Ok(LoginConfig {
        keys: surroundings.keys(&arguments.keys, listed)?,
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

impl Surroundings {
    fn of_this_process() -> Self {
        let path = |name: &str| -> Option<PathBuf> {
            let value: OsString = std::env::var_os(name)?;
            let path = PathBuf::from(value);
            path.is_absolute().then_some(path)
        };
        let home = path("HOME");
        let below_home = home.as_deref().map(|home| home.join(".local/state"));
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self {
            state: path("XDG_STATE_HOME").or(below_home),
            home,
            user: text("USER").or_else(|| text("LOGNAME")),
            ssh_agent: path("SSH_AUTH_SOCK"),
            proxies: ProxyEnvironment::of_this_process(),
        }
    }

    fn below_home(&self, file: &Path) -> anyhow::Result<PathBuf> {
        let home = self.home.as_deref();
        let home = home.context("HOME is not set, so ~/.ssh cannot be found")?;
        Ok(home.join(file))
    }

    /// Where hosts are remembered for who asked to forget them.
    fn own_known_hosts(&self) -> anyhow::Result<PathBuf> {
        let state = self.state.as_deref();
        let state = state.context("neither XDG_STATE_HOME nor HOME is set")?;
        Ok(state.join(OWN_KNOWN_HOSTS))
    }

    /// The files that a configuration lists; it has said of itself what is read otherwise.
    fn listed(&self, files: &[ssh::KnownHostsFile]) -> anyhow::Result<Vec<PathBuf>> {
        let files = files.iter().map(|file| match file {
            ssh::KnownHostsFile::Path(path) => Ok(path.clone()),
            ssh::KnownHostsFile::Own => self.own_known_hosts(),
        });
        files.collect()
    }

    fn known_hosts(&self, file: &KnownHostsFile) -> anyhow::Result<PathBuf> {
        match file {
            KnownHostsFile::Path(path) => Ok(path.clone()),
            KnownHostsFile::Home(path) => self.below_home(path),
            KnownHostsFile::Own => {
                let own = self.own_known_hosts()?;
                warn!(
                    file = %own.display(),
                    "hosts are remembered here and not in /dev/null"
                );
                Ok(own)
            }
        }
    }

    /// The ssh-agent's socket, by the configuration or the environment.
    fn ssh_agent(&self, configured: Option<&ssh::IdentityAgent>) -> Option<PathBuf> {
        match configured {
            None => self.ssh_agent.clone(),
            Some(ssh::IdentityAgent::None) => None,
            Some(ssh::IdentityAgent::Socket(socket)) => Some(socket.clone()),
            Some(ssh::IdentityAgent::Variable(name)) => std::env::var_os(name).map(PathBuf::from),
        }
    }

    /// The keys that were named and those of the configuration, or the usual ones that are there.
    fn keys(
        &self,
        named: &[PathBuf],
        listed: Option<Vec<PathBuf>>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let mut keys = named.to_vec();
        if named.is_empty() && listed.is_none() {
            for file in DEFAULT_KEYS {
                let file = self.below_home(Path::new(file))?;
                if file.exists() {
                    keys.push(file);
                }
            }
        }
        for key in listed.unwrap_or_default() {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests;
