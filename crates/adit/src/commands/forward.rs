//! `adit forward`: one tunnel, from the command line, until a signal.

use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::network::Watcher;
use adit_tunnel::agent::probe::{self, Prober, Probing};
use adit_tunnel::agent::supervise::{
    self, ConnectError, Event, Instruments, Peer, RunError, TunnelConfig,
};
use adit_tunnel::transport::ssh::Memory;
use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli::ForwardArguments;
use crate::config::spec::StdioTarget;
use crate::config::{Surroundings, config};
use crate::detach::{self, LetGo};
use crate::signal::signalled;
use crate::status::Status;
use crate::tell::tell;
use crate::terminal::Restore;

mod stdio;

/// Runs the tunnel until SIGINT or SIGTERM.
pub(crate) fn run(arguments: &ForwardArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    let is_detached = arguments.habits.background;
    if is_detached && !detach::is_second()? {
        return detach::run();
    }
    let idle = arguments.habits.without_meaning();
    if !idle.is_empty() {
        info!("without meaning here: {}", idle.join(", "));
    }
    let config = config(&arguments.written(), &Surroundings::of_this_process())?;
    let connect = SshConnect::new(&config.peer, Memory::of_this_machine())?;
    if let Some(StdioTarget(target)) = &arguments.stdio {
        let _restore = Restore::new();
        return stdio::run(target, &connect, &config.peer.peer);
    }
    let let_go = is_detached.then(|| LetGo::new(verbose > 0));
    keep(config, connect, let_go, &|_| None)
}

/// Keeps the tunnel until SIGINT or SIGTERM, or until whoever hears what happens to it gives a reason to end it.
pub(super) fn keep(
    config: TunnelConfig,
    connect: SshConnect,
    let_go: Option<LetGo>,
    hear: &(dyn Fn(&Event<'_>) -> Option<String> + Sync),
) -> anyhow::Result<ExitCode> {
    let restore = Restore::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(config, connect, let_go, hear));
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    result
}

async fn serve(
    config: TunnelConfig,
    connect: SshConnect,
    let_go: Option<LetGo>,
    hear: &(dyn Fn(&Event<'_>) -> Option<String> + Sync),
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
    let now = SystemTime::now();
    let status = Status::new(&peer.host, &peer, &config.forwards, now);
    let meters = status.meters();
    let status = Mutex::new(status);
    let events = |event: Event<'_>| {
        let (news, is_ready) = {
            let mut status = status.lock().unwrap_or_else(PoisonError::into_inner);
            (status.apply(&event, SystemTime::now()), status.is_ready())
        };
        tell(None, &peer, &event, news);
        let refusal = exits.then(|| refusal(&event)).flatten();
        if let Some(refusal) = hear(&event).or(refusal) {
            refused.get_or_init(|| refusal);
            ending.cancel();
        }
        if let (Some(let_go), true) = (&let_go, is_ready) {
            let_go.ready();
        }
    };
    let prober = Prober::new().ok().context("the system has no randomness")?;
    let (watcher, network) = Watcher::start();
    let mut watching = JoinSet::new();
    watching.spawn(watcher.run(stop.clone()));
    let instruments = Instruments {
        probing: Some(Probing {
            prober: &prober,
            interval: probe::INTERVAL,
        }),
        meters,
        network: Some(network),
        ..Instruments::default()
    };
    let result = supervise::run(&connect, config.forwards, instruments, &events, stop).await;
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
    if let Event::ForwardRefused { forward, .. } = event {
        Some(format!("forward was refused: {forward}"))
    } else if let Event::ForwardWaiting {
        forward, reason, ..
    } = event
    {
        Some(format!("forward cannot listen, {reason}: {forward}"))
    } else {
        None
    }
}

fn not_connected(error: ConnectError, peer: &Peer) -> anyhow::Error {
    let Peer { host, port, user } = peer;
    anyhow::Error::new(error).context(format!("cannot connect to {host} port {port} as {user}"))
}
