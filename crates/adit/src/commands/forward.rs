//! `adit forward`: one tunnel, from the command line, until a signal.

use std::process::ExitCode;
use std::sync::OnceLock;

use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::probe::{Finding, Prober};
use adit_tunnel::agent::supervise::{self, ConnectError, Event, Peer, RunError, TunnelConfig};
use adit_tunnel::transport::Bind;
use adit_tunnel::transport::ssh::Memory;
use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::detach::Countdown;
use crate::cli::ForwardArguments;
use crate::config::spec::{StdioTarget, kind};
use crate::config::{Surroundings, config};
use crate::log::say;
use crate::terminal::Restore;

mod detach;
mod stdio;

/// Exit code after SIGINT, as shells have it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

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
    let config = config(&arguments.written(), &Surroundings::of_this_process())?;
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
        if let (Event::ForwardRefused { forward }, true) = (&event, exits) {
            refused.get_or_init(|| forward.to_string());
            ending.cancel();
        }
        if let Some(countdown) = &countdown {
            if let Event::ForwardUp { forward }
            | Event::ForwardUnproved {
                forward,
                finding: Finding::Prohibited,
            } = &event
            {
                countdown.is_up(forward.to_string());
            } else if matches!(event, Event::Ended { .. }) {
                countdown.begin();
            }
        }
    };
    let prober = Prober::new().ok().context("the system has no randomness")?;
    let forwards = config.forwards;
    let result = supervise::run_probing(&connect, forwards, Some(&prober), &events, stop).await;
    match result {
        Ok(()) if let Some(forward) = refused.get() => {
            Err(anyhow::anyhow!("forward was refused: {forward}"))
        }
        // It ends without an error only by a signal.
        Ok(()) => {
            let code = signals.join_next().await;
            Ok(code.and_then(Result::ok).unwrap_or(ExitCode::SUCCESS))
        }
        Err(RunError::Connect(error)) => Err(not_connected(error, &config.peer.peer)),
        Err(error) => Err(error.into()),
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
