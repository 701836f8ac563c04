//! What has to be there before a run, or before all of a file is up.

use adit_flow::exec::gateways_of;
use adit_flow::model::callback_server::Routes;
use adit_flow::model::component::{Action, Completion, Component, Kind, Request};
use adit_flow::model::expose::ExposeConfig;
use adit_flow::model::{Compose, Text};
use adit_text::Place;

use super::service::Scope;

/// What is needed, by its places in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// In [`Compose::callback_servers`].
    pub(super) listeners: Vec<usize>,
    /// In [`Compose::exposes`].
    pub(super) gateways: Vec<usize>,
    /// In [`Compose::every_component`].
    pub(super) components: Vec<usize>,
    pub(super) controller: bool,
}

impl Need {
    /// What is needed of a file.
    ///
    /// A run needs the components that it can come to use. If one of their actions waits for a callback,
    /// it needs all listeners for callbacks, since nothing says which will bring it, and the gateways that make their
    /// ports public; and those whose addresses it names, in any case.
    pub(super) fn of(compose: &Compose, scope: Scope<'_>) -> Self {
        match scope {
            Scope::All(_) => Self {
                listeners: (0..compose.callback_servers.len()).collect(),
                gateways: (0..compose.exposes.len()).collect(),
                components: (0..compose.every_component().len()).collect(),
                controller: true,
            },
            Scope::Run(workflow) => Self::of_run(compose, workflow),
            Scope::Clean => Self {
                listeners: Vec::new(),
                gateways: Vec::new(),
                components: (0..compose.every_component().len()).collect(),
                controller: false,
            },
        }
    }

    fn of_run(compose: &Compose, workflow: &str) -> Self {
        let place = Place {
            file: "".into(),
            line: 1,
            column: 1,
        };
        // One that is not there needs nothing, whatever its name looks like.
        let reached = match compose.workflow(workflow) {
            Ok(_) => compose.reach(&Text::implied(workflow, &place)).components,
            Err(_) => Vec::new(),
        };
        let is_reached = |one: &Component| reached.iter().any(|other| std::ptr::eq(*other, one));
        let every = compose.every_component();
        let components = every.iter().enumerate();
        let components = components.filter(|(_, one)| is_reached(one));
        let components = components.map(|(number, _)| number).collect();
        let waits = reached.iter().any(|component| waits(component));
        let listeners = compose.callback_servers.iter().enumerate();
        let listeners = listeners
            .filter(|(_, one)| waits && matches!(one.routes, Routes::Callbacks(_)))
            .map(|(number, _)| number);
        let listeners: Vec<usize> = listeners.collect();
        let mut ports: Vec<u16> = reached.iter().flat_map(|one| gateways_of(one)).collect();
        let served = listeners
            .iter()
            .filter_map(|number| compose.callback_servers.get(*number));
        ports.extend(served.map(|listener| listener.port.value));
        let gateways = compose.exposes.iter().enumerate();
        let gateways = gateways.filter(|(_, gateway)| serves(&gateway.value, &ports));
        Self {
            gateways: gateways.map(|(number, _)| number).collect(),
            listeners,
            components,
            controller: false,
        }
    }
}

/// Whether an action of it waits for a callback.
fn waits(component: &Component) -> bool {
    let is_callback =
        |action: &Action<Request>| matches!(action.call.completion, Some(Completion::Callback(_)));
    match &component.kind {
        Kind::HttpServer(server) => server.actions.iter().any(is_callback),
        Kind::HttpClient(client) => client.actions.iter().any(is_callback),
        Kind::Shell(_) | Kind::Workflow(_) => false,
    }
}

/// Whether a gateway makes one of these ports public.
fn serves(gateway: &ExposeConfig, ports: &[u16]) -> bool {
    match gateway {
        ExposeConfig::Ssh(ssh) => {
            let mut forwards = ssh.forwards.iter();
            forwards.any(|forward| ports.contains(&forward.port))
        }
        ExposeConfig::Http(http) => http.ports.iter().any(|port| ports.contains(&port.value)),
    }
}

#[cfg(test)]
mod tests {
    use adit_flow::file::{Dialect, Environment, Files, Source};
    use adit_text::Problems;

    use super::*;
    use crate::compose::service::SetUp;

    const FILE: &str = "
gateways:
  - {type: ssh-tunnel, port: ['0:8090'], connection: {host: g, auth: {type: keyfile, username: u, keyfile: k}}}
  - {type: ssh-tunnel, port: ['0:8091'], connection: {host: g, auth: {type: keyfile, username: u, keyfile: k}}}
  - {type: ssh-tunnel, port: ['0:7000'], connection: {host: g, auth: {type: keyfile, username: u, keyfile: k}}}
listeners:
  - {type: http-callback, port: 8090, path: /c, identify_by: '${body.id}'}
  - {type: http-trigger, port: 8091, path: /t, workflow: plain, allow_unauthenticated: true}
components:
  - {id: ls, type: shell, command: [ls]}
  - {id: ask, type: http-client, endpoint: http://x, completion: {type: callback, wait_for: x}}
  - {id: tell, type: http-client, endpoint: 'http://x/${gateway:7000.public_port}'}
  - {id: serve, type: http-server, start: [x], port: 9000, path: /}
workflows:
  - {id: plain, component: ls}
  - {id: waits, component: ask}
  - {id: tells, component: tell}
  - {id: both, jobs: [{id: a, component: serve}, {id: b, component: ask}]}
";

    #[test]
    fn a_run_needs_what_it_can_come_to_use_and_no_more() {
        let source = Source {
            name: "model-compose.yml",
            bytes: FILE.as_bytes(),
            dialect: Dialect::ModelCompose,
        };
        let mut problems = Problems::new();
        let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
        let compose = files.compose(&mut problems);
        let compose = compose.unwrap_or_else(|| panic!("{problems}"));
        for (workflow, listeners, gateways, components) in [
            ("plain", vec![], vec![], vec![0]),
            ("waits", vec![0], vec![0], vec![1]),
            ("tells", vec![], vec![2], vec![2]),
            ("both", vec![0], vec![0], vec![1, 3]),
            ("missing", vec![], vec![], vec![]),
            ("${missing}", vec![], vec![], vec![]),
        ] {
            let need = Need::of(&compose, Scope::Run(workflow));
            let expected = Need {
                listeners,
                gateways,
                components,
                controller: false,
            };
            assert_eq!(need, expected, "{workflow}");
        }
        let all = Need::of(&compose, Scope::All(SetUp::Done));
        assert_eq!(all.listeners, [0, 1]);
        assert_eq!((all.gateways.len(), all.components.len()), (3, 4));
        assert!(all.controller);
    }
}
