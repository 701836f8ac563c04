//! `adit expose`: a local service as a name of a gateway that this machine has joined, until a signal.

use std::process::ExitCode;
use std::time::SystemTime;

use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::login::credentials::LoginConfig;
use adit_tunnel::agent::network::Watcher;
use adit_tunnel::agent::probe::{self, Prober, Probing};
use adit_tunnel::agent::supervise::{self, Instruments, RunError, TunnelConfig};
use adit_tunnel::ssh_config::Wanted;
use adit_tunnel::transport::ssh::Memory;
use adit_tunnel::transport::{Bind, Target};
use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::show::{Asked, Show};
use crate::cli::{ExposeArguments, Service};
use crate::config::destination::HostAndPort;
use crate::config::{Surroundings, Written, config};
use crate::enrolled::Enrolled;
use crate::signal::signalled;
use crate::status::Status;

mod show;

/// The port of a name at which a forward is a site.
const SITE: u16 = 80;
/// What stands for no name: with a site's port the gateway gives one. From a gateway that does not, no port for
/// strangers comes of it.
const ANY: &str = "localhost";

/// Exposes the service until SIGINT or SIGTERM.
pub(crate) fn run(arguments: &ExposeArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let gateway = gateway(arguments.to.as_ref(), &surroundings)?;
    let asked = match &arguments.name {
        Some(name) => Asked::Name(name.clone()),
        None => Asked::Any(arguments.service.clone()),
    };
    let forward = Forward {
        listens: Listens::There,
        bind: Bind::Tcp {
            host: String::from(match &asked {
                Asked::Name(name) => name.as_str(),
                Asked::Any(_) => ANY,
            }),
            port: SITE,
        },
        to: Destination::One(Target::Tcp {
            host: arguments.service.host.clone(),
            port: arguments.service.port,
        }),
    };
    let wanted = Wanted {
        host: gateway.entry.host.clone(),
        user: None,
        port: None,
    };
    let mut written = gateway.written(Written::look(wanted));
    if let Asked::Any(service) = &asked {
        written.wanted.user = Some(label(&gateway.entry.device, service));
    }
    let mut config = config(&written, &surroundings)?;
    config.forwards = vec![forward];
    config.peer.login = LoginConfig::with_keys(vec![gateway.key()]);
    let connect = SshConnect::new(&config.peer, Memory::of_this_machine())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(config, connect, (asked, arguments.json)));
    runtime.shutdown_background();
    result
}

/// The gateway that is meant, of those that were joined.
fn gateway(to: Option<&HostAndPort>, surroundings: &Surroundings) -> anyhow::Result<Enrolled> {
    if let Some(HostAndPort { host, port }) = to {
        let found = Enrolled::of_host(surroundings, host, *port);
        return found.with_context(|| {
            format!(
                "this machine has not joined {host}: adit join {host}, with a code that adit invite add prints there"
            )
        });
    }
    let mut all = Enrolled::all(surroundings).into_iter();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => bail!(
            "this machine has joined no gateway: adit join GATEWAY, with a code that adit invite add prints there"
        ),
        (Some(one), Some(other)) => bail!(
            "this machine has joined several gateways: say which with --to {} or --to {}",
            one.entry.host,
            other.entry.host
        ),
    }
}

/// As whom it is logged in where a name is to be given: the gateway draws by key and user name, so that each service
/// has a name of its own, the same again whenever it is exposed, in whatever order.
fn label(device: &str, service: &Service) -> String {
    let Service { host, port } = service;
    if host == Service::HERE {
        format!("{device}-{port}")
    } else {
        format!("{device}-{host}-{port}")
    }
}

async fn serve(
    config: TunnelConfig,
    connect: SshConnect,
    (asked, is_json): (Asked, bool),
) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let mut signals = JoinSet::new();
    let (stopped, signal) = (stop.clone(), signalled()?);
    signals.spawn(async move {
        let code = signal.await;
        stopped.cancel();
        code
    });
    let host = config.peer.peer.host.clone();
    let status = Status::new(
        &host,
        &config.peer.peer,
        &config.forwards,
        SystemTime::now(),
    );
    let meters = status.meters();
    let show = Show::new(asked, status, is_json, stop.clone());
    let prober = Prober::new().ok().context("the system has no randomness")?;
    let (watcher, network) = Watcher::start();
    let mut watching = JoinSet::new();
    watching.spawn(watcher.run(stop.clone()));
    let instruments = Instruments {
        probing: Some(Probing {
            prober: &prober,
            interval: probe::INTERVAL,
        }),
        meters: meters.clone(),
        network: Some(network),
        ..Instruments::default()
    };
    let events = |event: supervise::Event<'_>| show.event(&event);
    let run = supervise::run(&connect, config.forwards, instruments, &events, stop);
    let result = tokio::select! {
        result = run => result,
        never = show.follow(&meters) => match never {},
    };
    watching.shutdown().await;
    show.end();
    match result {
        Ok(()) if let Some(refusal) = show.refusal() => bail!("{refusal}"),
        // It ends without an error only by a signal.
        Ok(()) => {
            let code = signals.join_next().await;
            Ok(code.and_then(Result::ok).unwrap_or(ExitCode::SUCCESS))
        }
        Err(RunError::Connect(error)) => {
            Err(anyhow::Error::new(error).context(format!("cannot connect to {host}")))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_without_a_name_is_asked_for_under_a_label_of_its_own() {
        for (host, port, expected) in [
            (Service::HERE, 3000, "red001-3000"),
            (Service::HERE, 3001, "red001-3001"),
            ("db.local", 3000, "red001-db.local-3000"),
        ] {
            let host = String::from(host);
            assert_eq!(label("red001", &Service { host, port }), expected);
        }
    }

    #[test]
    fn who_has_joined_nothing_is_told_how() {
        let home = tempfile::tempdir().unwrap();
        let around = Surroundings::of_home(home.path(), None);
        for to in [None, Some("gw.example".parse().unwrap())] {
            let error = gateway(to.as_ref(), &around).unwrap_err().to_string();
            assert!(error.contains("adit join"), "{error}");
        }
    }
}
