//! What strangers would reach: the controller through a gateway, triggers that start programs,
//! callbacks that anybody can answer.

use adit_text::{Place, Problem, Problems};

use crate::file::controller::is_loopback;
use crate::model::Compose;
use crate::model::callback_server::{Callback, Routes, Trigger};
use crate::model::component::{Component, Kind as ComponentKind};
use crate::model::expose::ExposeConfig;

pub(super) fn check(compose: &Compose, problems: &mut Problems) {
    look(compose, &Public::of(compose), problems);
}

/// What strangers would reach of a file at ports of this machine that something else than its gateways makes
/// public, each with the place that says so.
pub fn check_public(compose: &Compose, ports: &[(u16, &Place)], problems: &mut Problems) {
    let public = Public {
        ports: ports.to_vec(),
    };
    look(compose, &public, problems);
}

fn look(compose: &Compose, public: &Public<'_>, problems: &mut Problems) {
    controller(compose, public, problems);
    for listener in &compose.callback_servers {
        if public.place_of(listener.port.value).is_none() {
            continue;
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
}

impl<'p> Public<'p> {
    fn of(compose: &'p Compose) -> Self {
        let mut ports = Vec::new();
        for gateway in &compose.exposes {
            match &gateway.value {
                ExposeConfig::Ssh(ssh) => {
                    let forwards = ssh.forwards.iter();
                    let here = forwards.filter(|forward| is_here(&forward.host));
                    ports.extend(here.map(|forward| (forward.port, &forward.remote.place)));
                }
                ExposeConfig::Http(http) => {
                    ports.extend(http.ports.iter().map(|port| (port.value, &port.place)));
                }
            }
        }
        Self { ports }
    }

    fn place_of(&self, port: u16) -> Option<&'p Place> {
        let mut ports = self.ports.iter();
        ports
            .find(|(public, _)| *public == port)
            .map(|(_, place)| *place)
    }
}

fn is_here(host: &str) -> bool {
    is_loopback(host) || matches!(host, "0.0.0.0" | "::")
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
