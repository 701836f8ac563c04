//! Ports of this machine: each taken once.

use adit_text::{Place, Problem, Problems};

use crate::file::controller::is_loopback;
use crate::model::component::Kind;
use crate::model::expose::ExposeConfig;
use crate::model::{Compose, Placed};

/// Something that listens.
struct Taken<'t> {
    what: &'static str,
    host: &'t str,
    port: u16,
    place: &'t Place,
}

pub(super) fn check(compose: &Compose, problems: &mut Problems) {
    let mut taken: Vec<Taken<'_>> = Vec::new();
    for one in all(compose) {
        let mut earlier = taken.iter();
        let same = earlier.find(|other| other.port == one.port && meet(other.host, one.host));
        match same {
            Some(same) => {
                let message = format!(
                    "port {} is taken by the {} at {}",
                    one.port, same.what, same.place
                );
                problems.push(Problem::error(one.place, message));
            }
            None => taken.push(one),
        }
    }
    for (at, gateway) in compose.exposes.iter().enumerate() {
        forwards(at, gateway, &compose.exposes, problems);
    }
}

fn all(compose: &Compose) -> Vec<Taken<'_>> {
    let mut all = Vec::new();
    if let Some(controller) = &compose.controller {
        for adapter in &controller.adapters {
            all.push(taken("controller", &adapter.host, &adapter.port));
        }
        if let Some(page) = &controller.web_ui {
            all.push(taken("web UI", &page.host, &page.port));
        }
    }
    for listener in &compose.callback_servers {
        all.push(taken("listener", &listener.host, &listener.port));
    }
    for component in compose.every_component() {
        if let Kind::HttpServer(server) = &component.kind
            && server.manage.start.is_some()
        {
            all.push(taken("component", "localhost", &server.port));
        }
    }
    all
}

fn taken<'t>(what: &'static str, host: &'t str, port: &'t Placed<u16>) -> Taken<'t> {
    Taken {
        what,
        host,
        port: port.value,
        place: &port.place,
    }
}

/// Whether two that listen at one port are in each other's way.
fn meet(one: &str, other: &str) -> bool {
    let is_wild = |host: &str| matches!(host, "" | "0.0.0.0" | "::" | "[::]");
    is_wild(one) || is_wild(other) || one == other || (is_loopback(one) && is_loopback(other))
}

/// Public ports of one server: each asked for once.
fn forwards(
    at: usize,
    gateway: &Placed<ExposeConfig>,
    all: &[Placed<ExposeConfig>],
    problems: &mut Problems,
) {
    let ExposeConfig::Ssh(ssh) = &gateway.value else {
        return;
    };
    let mut earlier = Vec::new();
    for other in all.iter().take(at) {
        if let ExposeConfig::Ssh(other) = &other.value
            && (&other.host, other.port) == (&ssh.host, ssh.port)
        {
            earlier.extend(&other.forwards);
        }
    }
    for forward in &ssh.forwards {
        let remote = &forward.remote;
        let same = earlier.iter().find(|other| other.remote == *remote);
        if let Some(same) = same.filter(|_| remote.value != 0) {
            let message = format!(
                "the public port {} is asked for already, at {}",
                remote.value, same.remote.place
            );
            problems.push(Problem::error(&remote.place, message));
        }
        earlier.push(forward);
    }
}
