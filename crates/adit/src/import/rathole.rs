//! rathole: a client's services become tunnels, a server's the ports and grants of a gateway.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::ensure;

use super::Imported;
use super::document::{self, Field, Section};
use super::tunnels::{self, Forward, Tunnel, quoted};

pub(super) fn import(text: &str) -> anyhow::Result<Imported> {
    let mut root = document::toml(text)?;
    let mut imported = Imported::default();
    let clients = root.below("client.services");
    let servers = root.below("server.services");
    let at = root.take(&["server.bind_addr"]);
    let host = root.text(&["client.remote_addr"]);
    ensure!(
        host.is_some() || at.is_some(),
        "it has neither client.remote_addr nor server.bind_addr"
    );
    if let Some(host) = &host {
        client(host, clients, &servers, &mut imported);
    }
    if let Some(at) = &at {
        server(at, servers, host.is_some(), &mut imported);
    }
    for field in root.left() {
        imported.leave(field.line, &field.key, why(&field.key));
    }
    Ok(imported)
}

fn client(remote: &str, services: Vec<Section>, servers: &[Section], imported: &mut Imported) {
    // Its port is rathole's own.
    let host = remote.rsplit_once(':').map_or(remote, |(host, _)| host);
    let mut tunnel = Tunnel {
        name: tunnels::name(host),
        host: String::from(host.trim_matches(['[', ']'])),
        port: Some(2_222),
        ..Tunnel::default()
    };
    for mut service in services {
        let what = format!("service {}", service.name);
        if service.text(&["type"]).as_deref() == Some("udp") {
            imported.leave(service.line, &what, "SSH carries no UDP");
            continue;
        }
        let Some(local) = service.text(&["local_addr"]) else {
            imported.leave(service.line, &what, "it has no local_addr");
            continue;
        };
        let server = servers.iter().find(|server| server.name == service.name);
        let place = server.and_then(|server| place(&mut server.clone()));
        let bind = if let Some(at) = place {
            let everywhere = if at.ip().is_loopback() {
                "localhost"
            } else {
                "*"
            };
            format!("{everywhere}:{}", at.port())
        } else {
            let why = "its public port stands in the server's file: until it stands here, it is any free one";
            imported.leave(service.line, &what, why);
            String::from("*:0")
        };
        match Forward::remote(&format!("{bind}:{local}")) {
            Ok(forward) => tunnel.forwards.push(forward),
            Err(why) => imported.leave(service.line, &what, &why),
        }
        rest(&service, imported);
    }
    imported
        .text
        .push_str(&tunnels::write(std::slice::from_ref(&tunnel)));
}

fn server(at: &Field, services: Vec<Section>, is_both: bool, imported: &mut Imported) {
    let why =
        "it is that of rathole; adit and ssh come to the port of ssh:, 2222 if nothing is said";
    imported.leave(at.line, &at.key, why);
    let (mut ports, mut grants) = (BTreeSet::new(), String::new());
    for mut service in services {
        let what = format!("service {}", service.name);
        if service.text(&["type"]).as_deref() == Some("udp") {
            imported.leave(service.line, &what, "SSH carries no UDP");
            continue;
        }
        let Some(place) = place(&mut service) else {
            imported.leave(
                service.line,
                &what,
                "it has no bind_addr with an address and a port",
            );
            continue;
        };
        let is_local = place.ip().is_loopback();
        if !is_local && !place.ip().is_unspecified() {
            let why = "forwards here listen everywhere or on this machine alone, so it is left out: give its port by adit grant \
                       add, and keep visitors out by visitors: in gateway.yml";
            imported.leave(service.line, &what, why);
            continue;
        }
        ports.insert(place.port());
        let (name, port) = (tunnels::name(&service.name), place.port());
        let reach = if is_local { " --reach local" } else { "" };
        // A text takes everything.
        writeln!(
            grants,
            "#   adit device add {name}; adit grant add {name} --ports {port}{reach}; adit invite add {name}"
        )
        .ok();
        rest(&service, imported);
    }
    if is_both {
        imported.text.push('\n');
    }
    imported.text.push_str(
        "# For adit serve --config gateway.yml; --check says whether it can be used as it is.\n",
    );
    if !ports.is_empty() {
        let all: Vec<String> = ports.iter().map(ToString::to_string).collect();
        // A text takes everything.
        writeln!(imported.text, "ports: {}", quoted(&all.join(","))).ok();
        imported.text.push_str(
            "# In the place of its token each service has a device that may have its port alone:\n",
        );
        imported.text.push_str(&grants);
    }
}

/// Where a service is public.
fn place(service: &mut Section) -> Option<SocketAddr> {
    service.text(&["bind_addr"])?.parse().ok()
}

fn rest(service: &Section, imported: &mut Imported) {
    for field in service.left() {
        imported.leave(
            field.line,
            &format!("{}: {}", service.name, field.key),
            why(&field.key),
        );
    }
}

/// Why a key has no like here.
fn why(key: &str) -> &'static str {
    let key = key
        .trim_start_matches("client.")
        .trim_start_matches("server.");
    if key.contains("token") {
        "adit logs in by a key: adit join GATEWAY, or key: in adit.yml; the secret is not brought over"
    } else if key.starts_with("transport") {
        "SSH is the one transport, always encrypted, and checks the host by its key"
    } else if key.starts_with("heartbeat") || key.starts_with("retry") {
        "dead connections are noticed by keepalive: in adit.yml, and attempts are spaced by adit"
    } else if key.starts_with("nodelay") {
        "small pieces are never held back"
    } else {
        "it has no like here"
    }
}
