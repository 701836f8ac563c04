//! `adit open`: a port here for a service of a named host, until stopped.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::supervise::Event;
use adit_tunnel::transport::Target;
use adit_tunnel::transport::ssh::Memory;

use super::forward;
use crate::cli::{NamedService, OpenArguments};
use crate::config::{Surroundings, config};

/// Ports behind which a browser is what one goes there with.
const WEB: [u16; 6] = [80, 3_000, 5_000, 8_000, 8_080, 8_888];
/// The same with TLS.
const WEB_BY_TLS: [u16; 2] = [443, 8_443];

/// Connects, prints where the service is here, and carries visitors.
pub(crate) fn run(arguments: &OpenArguments) -> anyhow::Result<ExitCode> {
    let mut config = config(&arguments.written(), &Surroundings::of_this_process())?;
    // A port that is taken is told, and not waited for: another can be named.
    config.exit_on_forward_failure = true;
    let connect = SshConnect::new(&config.peer, Memory::of_this_machine())?;
    let (told, was_there) = (OnceLock::new(), AtomicBool::new(false));
    let name = &arguments.service.host.name;
    let service = &arguments.service;
    forward::keep(config, connect, None, &|event| {
        if let Event::Connected = event {
            was_there.store(true, Ordering::Relaxed);
        }
        if let Event::ForwardUp { forward, .. } = event {
            told.get_or_init(|| forward.bind.port().map(|port| say(port, service)));
        }
        // Whoever waits for it is here: what was never there is told, and not waited for.
        if let Event::Failed { error } = event
            && !was_there.load(Ordering::Relaxed)
        {
            return Some(format!("cannot connect to {name}: {}", chain(error)));
        }
        None
    })
}

fn say(port: u16, service: &NamedService) {
    let line = format!("{} -> {service}", address(port, service));
    if let Err(error) = writeln!(io::stdout().lock(), "{line}") {
        tracing::debug!(%error, "nobody reads where it is open");
    }
}

/// As one goes there: by a browser, or by whatever knows host and port.
fn address(port: u16, service: &NamedService) -> String {
    let scheme = match &service.target {
        Target::Tcp { port, .. } if WEB.contains(port) => "http://",
        Target::Tcp { port, .. } if WEB_BY_TLS.contains(port) => "https://",
        Target::Tcp { .. } | Target::Unix { .. } => "",
    };
    format!("{scheme}localhost:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_a_url_and_others_an_address() {
        for (service, shown) in [
            ("red001:80", "http://localhost:49152"),
            ("red001:db.lan:5432", "localhost:49152"),
            ("red001:443", "https://localhost:49152"),
        ] {
            let service = service.parse().unwrap();
            assert_eq!(address(49_152, &service), shown);
        }
    }
}
