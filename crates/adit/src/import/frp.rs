//! frp: `frpc.toml` and `frpc.ini` become tunnels, `frps.toml` and `frps.ini` settings of adit serve.
//!
//! The keys of the two forms are the same words, written `localPort` and `local_port`.

use adit_model::host::Name;
use adit_model::name::{HTTP, HTTPS, is_domain, is_site};
use adit_model::port::PortSet;

use super::document::{self, Field, Section, Value};
use super::tunnels::{self, Forward, Tunnel, quoted};
use super::{Imported, Left};

/// What a file says, whichever form it has.
struct Document {
    common: Section,
    proxies: Vec<Section>,
    visitors: Vec<Section>,
}

/// Where frp finds a service that names no address.
const LOCAL: &str = "127.0.0.1";
/// Ports of a range that are brought over at most.
const RANGE: usize = 1_000;

pub(super) fn import(text: &str) -> anyhow::Result<Imported> {
    let mut imported = Imported::default();
    let text = without_templates(text, &mut imported.left);
    let mut document = if is_ini(&text) {
        of_ini(&text)
    } else {
        let mut common = document::toml(&text)?;
        Document {
            proxies: common.tables("proxies"),
            visitors: common.tables("visitors"),
            common,
        }
    };
    let is_client = document.common.has("serverAddr")
        || document.common.has("server_addr")
        || !document.proxies.is_empty()
        || !document.visitors.is_empty();
    if is_client {
        client(&mut document, &mut imported);
    } else {
        server(&mut document.common, &mut imported);
    }
    Ok(imported)
}

/// The text without lines that frp would expand, which are told of.
fn without_templates(text: &str, left: &mut Vec<Left>) -> String {
    let mut kept = String::new();
    for (line, written) in (1..).zip(text.lines()) {
        let is_comment = written.trim_start().starts_with(['#', ';']);
        if written.contains("{{") && !is_comment {
            left.push(Left {
                line,
                what: String::from("template {{ }}"),
                why: String::from("templates are not expanded: write what it stands for"),
            });
        } else {
            kept.push_str(written);
        }
        kept.push('\n');
    }
    kept
}

fn is_ini(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "[common]")
}

fn of_ini(text: &str) -> Document {
    let mut document = Document {
        common: Section::default(),
        proxies: Vec::new(),
        visitors: Vec::new(),
    };
    for mut section in document::ini(text) {
        if section.name == "common" {
            document.common = section;
        } else if section.text(&["role"]).as_deref() == Some("visitor") {
            document.visitors.push(section);
        } else {
            document.proxies.push(section);
        }
    }
    document
}

fn client(document: &mut Document, imported: &mut Imported) {
    let common = &mut document.common;
    let Some(host) = common.text(&["serverAddr", "server_addr"]) else {
        imported.leave(
            common.line,
            "serverAddr",
            "it is not said, so there is nowhere to go to",
        );
        return;
    };
    if let Some(field) = common.take(&["serverPort", "server_port"]) {
        let why = "it is that of frps; adit goes to the port of the gateway's ssh: --ssh of adit serve, 2222 if nothing is said";
        imported.leave(field.line, &field.key, why);
    }
    let user = common.text(&["user"]).filter(|user| !user.is_empty());
    let mut tunnel = Tunnel {
        name: tunnels::name(&user.unwrap_or_else(|| host.clone())),
        host,
        port: Some(2_222),
        ..Tunnel::default()
    };
    for proxy in &mut document.proxies {
        let made = proxy_of(proxy, imported);
        if made.is_empty() {
            // Of one that is left out, its lines say nothing more.
            continue;
        }
        tunnel.forwards.extend(made);
        rest(proxy, imported);
    }
    for visitor in &mut document.visitors {
        let name = name_of(visitor);
        let server = visitor
            .text(&["serverName", "server_name"])
            .unwrap_or_default();
        let at = visitor.text(&["bindPort", "bind_port"]).unwrap_or_default();
        let why = format!(
            "a visitor is a local forward to a name here: local: \"{at}:{server}:PORT\", with the port of that service, \
             once the operator of the gateway has said adit grant add WHO --open {server}:PORT"
        );
        imported.leave(visitor.line, &format!("visitor {name}"), &why);
    }
    rest(&document.common, imported);
    imported.text = tunnels::write(std::slice::from_ref(&tunnel));
}

/// The forwards of one proxy; none if it is left out, which is told.
fn proxy_of(proxy: &mut Section, imported: &mut Imported) -> Vec<Forward> {
    let name = name_of(proxy);
    let what = format!("proxy {name}");
    let line = proxy.line;
    let kind = proxy.text(&["type"]).unwrap_or_else(|| String::from("tcp"));
    if let Some(restriction) = restriction(proxy) {
        let why = format!(
            "{} keeps others out there and has no like here, so all of {what} is left out",
            restriction.key
        );
        imported.leave(restriction.line, &restriction.key, &why);
        return Vec::new();
    }
    if proxy.has("plugin") || proxy.has("plugin.type") {
        imported.leave(
            line,
            &what,
            "adit has no plugins: name the service behind it",
        );
        return Vec::new();
    }
    if let Some(group) = proxy.take(&["loadBalancer.group", "group"]) {
        if !matches!(kind.as_str(), "http" | "https") {
            let why = "several agents serve one name together, and no port: make it a proxy of type http, or give each a port";
            imported.leave(line, &what, why);
            return Vec::new();
        }
        // Who else is in it is a matter of one principal here, and not of a secret.
        proxy.take(&["loadBalancer.groupKey", "group_key"]);
        let why = "several agents of one device or user serve a name together once the operator of the gateway has said \
                   adit grant add WHO --pool COUNT; until then the last one has it";
        imported.leave(group.line, &group.key, why);
    }
    let host = proxy
        .text(&["localIP", "local_ip"])
        .filter(|host| !host.is_empty());
    let host = bracketed(&host.unwrap_or_else(|| String::from(LOCAL)));
    let made = match kind.as_str() {
        "tcp" => tcp(proxy, &host),
        "http" => site(proxy, (&host, HTTP), imported),
        // Passed through by its name, so that it ends at the service as before.
        "https" => site(proxy, (&host, HTTPS), imported),
        "stcp" => stcp(proxy, &host, imported),
        "tcpmux" => tcpmux(proxy, &host, imported),
        "udp" | "sudp" => Err(String::from("SSH carries no UDP")),
        "xtcp" => Err(String::from(
            "nothing goes past the gateway here: make it one of type stcp",
        )),
        other => Err(format!("there is no type {other}")),
    };
    let check = check(proxy);
    let mut forwards = match made {
        Ok(forwards) => forwards,
        Err(why) => {
            imported.leave(line, &what, &why);
            return Vec::new();
        }
    };
    if let Some(check) = check {
        for forward in &mut forwards {
            forward.check = Some(check.clone());
        }
    }
    // Always on here, or of no meaning.
    proxy.take(&["transport.useEncryption", "use_encryption"]);
    forwards
}

/// What keeps somebody out who would be let in without it.
fn restriction(proxy: &Section) -> Option<Field> {
    let restricts = |field: &&Field| {
        matches!(
            field.key.as_str(),
            "httpUser"
                | "http_user"
                | "httpPassword"
                | "http_pwd"
                | "httpPwd"
                | "routeByHTTPUser"
                | "route_by_http_user"
        )
    };
    proxy.left().find(restricts).cloned()
}

fn tcp(proxy: &mut Section, host: &str) -> Result<Vec<Forward>, String> {
    let ports = |text: Option<String>, what: &str| {
        let text = text.ok_or_else(|| format!("it has no {what}"))?;
        let ports = text.replace(' ', "");
        if ports == "0" {
            return Ok(vec![0]);
        }
        let ports: PortSet = ports.parse().map_err(|_| format!("{what} is none"))?;
        let all: Vec<u16> = (0..=RANGE)
            .map_while(|at| ports.nth(u32::try_from(at).ok()?))
            .collect();
        if all.len() > RANGE {
            return Err(format!("it has more than {RANGE} ports"));
        }
        Ok(all)
    };
    let local = ports(proxy.text(&["localPort", "local_port"]), "local port")?;
    let remote = proxy.text(&["remotePort", "remote_port"]);
    let remote = ports(
        Some(remote.unwrap_or_else(|| String::from("0"))),
        "remote port",
    )?;
    if local.len() != remote.len() {
        return Err(String::from("it has not as many local as remote ports"));
    }
    let both = remote.iter().zip(&local);
    both.map(|(remote, local)| Forward::remote(&format!("*:{remote}:{host}:{local}")))
        .collect()
}

/// The forwards of a site: one for each of its names, at that port of them.
fn site(
    proxy: &mut Section,
    (host, at): (&str, u16),
    imported: &mut Imported,
) -> Result<Vec<Forward>, String> {
    let port = proxy
        .port(&["localPort", "local_port"])
        .ok_or("it has no local port")?;
    if let Some(locations) = proxy.take(&["locations"]) {
        return Err(format!(
            "{} gives it a part of a name's paths alone; a name here is one service's",
            locations.key
        ));
    }
    let names = names(proxy, imported);
    if names.is_empty() {
        return Err(String::from(
            "it has no subdomain, and no domain that it can have here",
        ));
    }
    let forwards = names.iter();
    forwards
        .map(|name| Forward::remote(&format!("{name}:{at}:{host}:{port}")))
        .collect()
}

/// The names of a proxy: the one under the gateway's domain, and whole domains. Those that are none are told of.
fn names(proxy: &mut Section, imported: &mut Imported) -> Vec<Name> {
    let mut names = Vec::new();
    if let Some(field) = proxy.take(&["subdomain"]) {
        let text = field.value.text();
        match text.parse::<Name>() {
            Ok(name) if !is_domain(&name) => names.push(name),
            Ok(_) | Err(_) if !text.is_empty() => {
                imported.leave(
                    field.line,
                    &field.key,
                    "it is no name below the gateway's domain",
                );
            }
            Ok(_) | Err(_) => {}
        }
    }
    let Some(field) = proxy.take(&["customDomains", "custom_domains"]) else {
        return names;
    };
    let domains = match field.value {
        Value::List(all) => all,
        Value::Text(text) => text.split(',').map(String::from).collect(),
        Value::Tables(_) => Vec::new(),
    };
    for domain in domains.iter().map(|domain| domain.trim()) {
        match domain.parse::<Name>() {
            Ok(name) if is_domain(&name) => names.push(name),
            Ok(_) | Err(_) => {
                let why = format!(
                    "{domain:?} is no whole domain: each name is asked for by itself, without stars"
                );
                imported.leave(field.line, &field.key, &why);
            }
        }
    }
    names
}

fn stcp(proxy: &mut Section, host: &str, imported: &mut Imported) -> Result<Vec<Forward>, String> {
    let port = inner_port(proxy)?;
    let name = name_of(proxy);
    for secret in ["secretKey", "sk", "allowUsers", "allow_users"] {
        if let Some(field) = proxy.take(&[secret]) {
            let why = format!(
                "who may reach it is said at the gateway: adit grant add WHO --open {name}:{port}; until then nobody does"
            );
            imported.leave(field.line, &field.key, &why);
        }
    }
    Ok(vec![Forward::remote(&format!(
        "{name}:{port}:{host}:{port}"
    ))?])
}

/// Services that are told apart by the name in a CONNECT become services of those names, which are opened by SSH.
fn tcpmux(
    proxy: &mut Section,
    host: &str,
    imported: &mut Imported,
) -> Result<Vec<Forward>, String> {
    let multiplexer = proxy.text(&["multiplexer"]);
    if multiplexer.is_none_or(|it| it != "httpconnect") {
        return Err(String::from("it has no multiplexer but httpconnect"));
    }
    let port = inner_port(proxy)?;
    let line = proxy.line;
    let what = format!("proxy {}", name_of(proxy));
    let names = names(proxy, imported);
    let Some(first) = names.first() else {
        return Err(String::from(
            "it has no subdomain, and no domain that it can have here",
        ));
    };
    let why = format!(
        "there is no CONNECT at the gateway: it is opened by ssh -J GATEWAY -p {port} {first}, or ssh -W {first}:{port} \
         GATEWAY, once adit grant add WHO --open {first}:{port} is said there; until then nobody does"
    );
    imported.leave(line, &what, &why);
    let forwards = names.iter();
    forwards
        .map(|name| Forward::remote(&format!("{name}:{port}:{host}:{port}")))
        .collect()
}

/// The port of a service that is not for everybody: at the port of a site, a name would be public (security rule
/// G110).
fn inner_port(proxy: &mut Section) -> Result<u16, String> {
    let port = proxy
        .port(&["localPort", "local_port"])
        .ok_or("it has no local port")?;
    if is_site(port) {
        return Err(format!(
            "at port {port} of a name it would be a site for everybody: have the service listen at another one, too"
        ));
    }
    Ok(port)
}

/// What is to be checked of the service.
fn check(proxy: &mut Section) -> Option<String> {
    let kind = proxy.text(&["healthCheck.type", "health_check_type"])?;
    let path = proxy.text(&["healthCheck.path", "health_check_url"]);
    match kind.as_str() {
        "tcp" => Some(String::from("tcp")),
        "http" => Some(format!(
            "http:{}",
            path.unwrap_or_else(|| String::from("/"))
        )),
        _ => None,
    }
}

fn name_of(section: &mut Section) -> String {
    let named = section.text(&["name"]);
    named.unwrap_or_else(|| section.name.trim_start_matches("range:").to_owned())
}

/// Tells of what nobody has taken.
fn rest(section: &Section, imported: &mut Imported) {
    for field in section.left() {
        imported.leave(field.line, &field.key, why(&field.key));
    }
}

/// Why a key has no like here.
fn why(key: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| key.starts_with(word));
    if key.is_empty() {
        "it is neither a section nor a key with a value"
    } else if has(&["auth", "token", "oidc", "privilege_token", "authenticat"]) {
        "adit logs in by a key: adit join GATEWAY, or key: in adit.yml; the secret is not brought over"
    } else if has(&["includes"]) {
        "no other file is read: import each by itself"
    } else if has(&[
        "webServer",
        "admin_",
        "dashboard_",
        "enablePrometheus",
        "enable_prometheus",
    ]) {
        "adit status shows where everything stands; a gateway has metrics:"
    } else if has(&["log"]) {
        "the log goes to standard error: ADIT_LOG, -v"
    } else if has(&["transport.bandwidthLimit", "bandwidth_limit"]) {
        "say it at the gateway: adit grant add WHO --up 1MB --down 1MB"
    } else if has(&["transport.proxyProtocol", "proxy_protocol"]) {
        "say it in gateway.yml: visitors:, send_proxy:"
    } else if has(&[
        "transport.",
        "protocol",
        "tls_",
        "pool_count",
        "tcp_mux",
        "heartbeat",
        "use_compression",
    ]) {
        "SSH is the one transport, always encrypted, and never compressed"
    } else if has(&[
        "hostHeaderRewrite",
        "host_header_rewrite",
        "requestHeaders",
        "responseHeaders",
        "header_",
    ]) {
        "headers are not changed; the service is told who asks by X-Forwarded-For"
    } else if has(&["loginFailExit", "login_fail_exit"]) {
        "adit ends at its start if only a person can mend what is wrong, and goes on trying else"
    } else if has(&["maxPortsPerClient", "max_ports_per_client"]) {
        "say it of each: adit grant add WHO --max-leases COUNT"
    } else {
        "it has no like here"
    }
}

fn server(common: &mut Section, imported: &mut Imported) {
    let mut lines: Vec<String> = Vec::new();
    let address = common
        .text(&["bindAddr", "bind_addr"])
        .filter(|it| !it.is_empty());
    if let Some(port) = common.take(&["bindPort", "bind_port"]) {
        let why =
            "it is that of frpc; adit and ssh come to the port of ssh:, 2222 if nothing is said";
        imported.leave(port.line, &port.key, why);
    }
    if let Some(address) = &address {
        lines.push(format!(
            "ssh: {}",
            quoted(&format!("{}:2222", bracketed(address)))
        ));
    }
    let proxies = common.take(&["proxyBindAddr", "proxy_bind_addr"]);
    let inner = proxies
        .as_ref()
        .map(|field| field.value.text())
        .filter(|it| !it.is_empty());
    let is_any = |text: &str| matches!(text, "0.0.0.0" | "::");
    let at = inner.clone().or_else(|| address.clone());
    let mut is_restricted = false;
    if let (Some(field), Some(text)) = (&proxies, &inner) {
        if matches!(text.as_str(), "127.0.0.1" | "::1" | "localhost") {
            lines.push(String::from("local_only: true"));
        } else if !is_any(text) {
            let why = "forwards here listen everywhere or on this machine alone, so that no port is given: say ports:, and keep \
                       visitors out by visitors:";
            imported.leave(field.line, &field.key, why);
            is_restricted = true;
        }
    }
    for (key, keys) in [
        ("http", ["vhostHTTPPort", "vhost_http_port"]),
        ("https", ["vhostHTTPSPort", "vhost_https_port"]),
    ] {
        if let Some(port) = common.port(&keys).filter(|port| *port > 0) {
            let listen = match at.as_deref().filter(|it| !is_any(it)) {
                Some(address) => format!("{}:{port}", bracketed(address)),
                None => port.to_string(),
            };
            lines.push(format!("{key}: {}", quoted(&listen)));
        }
    }
    if let Some(domain) = common.text(&["subDomainHost", "subdomain_host"]) {
        lines.push(format!("domain: {}", quoted(&domain)));
    }
    if let Some(field) = common.take(&["allowPorts", "allow_ports"]) {
        match allowed(&field.value) {
            Some(ports) if !is_restricted => {
                lines.push(format!("ports: {}", quoted(&ports.to_string())));
            }
            Some(_) => {}
            None => imported.leave(field.line, &field.key, "it names no ports"),
        }
    } else if !is_restricted {
        imported.leave(
            common.line,
            "allowPorts",
            "frps gives every port; adit those of ports: alone, 10000-20000 if nothing is said",
        );
    }
    rest(common, imported);
    imported.text = String::from(
        "# For adit serve --config gateway.yml; --check says whether it can be used as it is.\n",
    );
    for line in lines {
        imported.text.push_str(&line);
        imported.text.push('\n');
    }
}

/// The ports of a list, `2000-3000,3001`, or of tables with `start` and `end`, or `single`.
fn allowed(value: &Value) -> Option<PortSet> {
    let text = match value {
        Value::Text(text) => text.replace(' ', ""),
        Value::List(all) => all.join(","),
        Value::Tables(tables) => {
            let each = tables.iter().map(|table| {
                let mut table = table.clone();
                match (
                    table.port(&["single"]),
                    table.port(&["start"]),
                    table.port(&["end"]),
                ) {
                    (Some(one), _, _) => Some(one.to_string()),
                    (None, Some(start), Some(end)) => Some(format!("{start}-{end}")),
                    _ => None,
                }
            });
            each.collect::<Option<Vec<_>>>()?.join(",")
        }
    };
    text.parse().ok()
}

/// An address as it stands before a port.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        String::from(host)
    }
}
