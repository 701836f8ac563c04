//! What strangers would reach: the controller through a gateway, triggers that start programs,
//! callbacks that anybody can answer.

use std::net::{IpAddr, Ipv4Addr};

use adit_text::{Place, Problem, Problems};

use crate::http::is_here;
use crate::model::Compose;
use crate::model::callback_server::{Callback, Route, Routes, Trigger};
use crate::model::component::{Component, Kind as ComponentKind};
use crate::model::expose::ExposeConfig;

pub(super) fn check(compose: &Compose, problems: &mut Problems) {
    look(compose, &Public::of(compose), problems);
    names(compose, problems);
}

/// What strangers would reach of a file at ports of this machine that something else than its gateways makes
/// public, each with the place that says so.
pub fn check_public(compose: &Compose, ports: &[(u16, &Place)], problems: &mut Problems) {
    let public = Public {
        ports: ports.to_vec(),
        by_program: Vec::new(),
    };
    look(compose, &public, problems);
}

fn look(compose: &Compose, public: &Public<'_>, problems: &mut Problems) {
    controller(compose, public, problems);
    for listener in &compose.callback_servers {
        if public.place_of(listener.port.value).is_none() {
            continue;
        }
        if public.is_by_program(listener.port.value) {
            for route in listener.routes.each() {
                origin(route, problems);
            }
        }
        match &listener.routes {
            Routes::Callbacks(callbacks) => {
                for one in callbacks {
                    callback(one, problems);
                }
            }
            Routes::Triggers(triggers) => {
                for one in triggers {
                    trigger(one, compose, problems);
                }
            }
        }
    }
}

/// The ports of this machine that gateways make public, and where they say so.
struct Public<'p> {
    ports: Vec<(u16, &'p Place)>,
    /// Those that a provider's program leads to.
    by_program: Vec<u16>,
}

impl<'p> Public<'p> {
    fn of(compose: &'p Compose) -> Self {
        let mut ports = Vec::new();
        let mut by_program = Vec::new();
        for gateway in &compose.exposes {
            match &gateway.value {
                ExposeConfig::Ssh(ssh) => {
                    let forwards = ssh.forwards.iter();
                    let here = forwards.filter(|forward| is_here(&forward.host));
                    ports.extend(here.map(|forward| (forward.port, &forward.remote.place)));
                }
                ExposeConfig::Http(http) => {
                    ports.extend(http.ports.iter().map(|port| (port.value, &port.place)));
                    by_program.extend(http.ports.iter().map(|port| port.value));
                }
            }
        }
        Self { ports, by_program }
    }

    fn is_by_program(&self, port: u16) -> bool {
        self.by_program.contains(&port)
    }

    fn place_of(&self, port: u16) -> Option<&'p Place> {
        let mut ports = self.ports.iter();
        ports
            .find(|(public, _)| *public == port)
            .map(|(_, place)| *place)
    }
}

/// A gateway that leads to the API or to the page.
fn controller(compose: &Compose, public: &Public<'_>, problems: &mut Problems) {
    let Some(controller) = &compose.controller else {
        return;
    };
    let is_meant =
        |adapter: &crate::model::controller::Adapter| adapter.is_public && adapter.token.is_some();
    for adapter in &controller.adapters {
        if let Some(place) = public.place_of(adapter.port.value)
            && !is_meant(adapter)
        {
            let message = format!("port {} is the controller", adapter.port.value);
            let help = "who reaches it starts workflows; if that is meant, write \"public_controller: true\" and a token in the controller";
            problems.push(Problem::error(place, message).with_help(help));
        }
    }
    if let Some(page) = &controller.web_ui
        && let Some(place) = public.place_of(page.port.value)
    {
        let message = format!("port {} is the controller's page", page.port.value);
        let help = "who reaches it starts workflows, and it asks for no password";
        problems.push(Problem::error(place, message).with_help(help));
    }
}

/// A controller that is public, under a name by which it may not be asked.
fn names(compose: &Compose, problems: &mut Problems) {
    let Some(controller) = &compose.controller else {
        return;
    };
    for adapter in controller.adapters.iter().filter(|one| one.is_public) {
        for gateway in &compose.exposes {
            let (host, port) = match &gateway.value {
                ExposeConfig::Ssh(ssh) => {
                    let mut forwards = ssh.forwards.iter().filter(|one| is_here(&one.host));
                    let forward = forwards.find(|one| one.port == adapter.port.value);
                    let Some(forward) = forward else { continue };
                    (Some(ssh.host.value.as_str()), &forward.remote.place)
                }
                ExposeConfig::Http(http) => {
                    let mut ports = http.ports.iter();
                    let Some(port) = ports.find(|one| one.value == adapter.port.value) else {
                        continue;
                    };
                    (http.hostname(), &port.place)
                }
            };
            let is_among = |host: &str| adapter.hosts.iter().any(|one| is_host(one, host));
            let message = match host {
                Some(host) if is_among(host.trim_matches(['[', ']'])) => continue,
                Some(_) => "the controller is public here, and refuses to be asked by this host",
                None if !adapter.hosts.is_empty() => continue,
                None => "the controller is public here under a name that it refuses to be asked by",
            };
            let help = "write the public name into \"hosts\" of the controller";
            problems.push(Problem::warning(port, message).with_help(help));
        }
    }
}

/// Whether an entry of `hosts`, which may have a port, is this host.
fn is_host(entry: &str, host: &str) -> bool {
    let name = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.contains(':') => name,
        Some(_) | None => entry,
    };
    name.trim_matches(['[', ']']).eq_ignore_ascii_case(host)
}

/// Networks that tell nobody from anybody: a provider's program on this machine stands between, and
/// all of its visitors come from here.
fn origin(route: &Route, problems: &mut Problems) {
    let guard = &route.guard;
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let lets_in = guard.allow.iter().any(|network| network.contains(here));
    if guard.allow.is_empty() || (lets_in && guard.proof.is_some()) {
        return;
    }
    let message = format!(
        "behind an http-tunnel every visitor comes from 127.0.0.1, so \"allow\" lets {} in",
        if lets_in { "anybody" } else { "nobody" }
    );
    let help = "leave it out, and add \"auth\" with a token or a secret";
    problems.push(Problem::warning(&route.path.place, message).with_help(help));
}

/// A callback that anybody can answer who finds it.
fn callback(callback: &Callback, problems: &mut Problems) {
    let guard = &callback.route.guard;
    if callback.identify_by.is_none() && guard.proof.is_none() && guard.allow.is_empty() {
        let message = "this callback is public, and anybody who finds it completes a run";
        let help = "add \"identify_by\", or \"auth\" with a token";
        let problem = Problem::warning(&callback.route.path.place, message);
        problems.push(problem.with_help(help));
    }
}

/// A trigger that starts programs for anybody.
fn trigger(trigger: &Trigger, compose: &Compose, problems: &mut Problems) {
    if trigger.route.guard.proof.is_some() || trigger.is_open {
        return;
    }
    let reach = compose.reach(&trigger.workflow);
    let mut components = reach.components.into_iter();
    let runs_programs = |component: &&Component| match &component.kind {
        ComponentKind::Shell(_) | ComponentKind::HttpServer(_) => true,
        ComponentKind::HttpClient(_) | ComponentKind::Workflow(_) => false,
    };
    if let Some(component) = components.find(runs_programs) {
        let message = format!(
            "this trigger is public and asks for no proof, and its workflow runs programs (at {})",
            component.id.place()
        );
        let help = "add \"auth\" with a token or a secret; or \"allow_unauthenticated: true\" if anybody may";
        let problem = Problem::error(&trigger.route.path.place, message);
        problems.push(problem.with_help(help));
    }
}
