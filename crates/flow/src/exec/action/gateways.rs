//! Which gateways an action's texts name.

use std::collections::BTreeSet;

use crate::expose::PublicAddress;
use crate::expr::Value;
use crate::http;
use crate::model::Compose;
use crate::model::callback_server::Routes;
use crate::model::component::{Action, Command, Completion, Component, Kind, Request, Target};
use crate::model::{Setting, Text, Written};

/// The local ports of the gateways that a component's actions name, in their order and each once.
pub fn gateways_of(component: &Component) -> Vec<u16> {
    let ports: BTreeSet<u16> = match &component.kind {
        Kind::HttpServer(server) => server.actions.iter().flat_map(of_request).collect(),
        Kind::HttpClient(client) => client.actions.iter().flat_map(of_request).collect(),
        Kind::Shell(shell) => shell.actions.iter().flat_map(of_command).collect(),
        Kind::Workflow(_) => BTreeSet::new(),
    };
    ports.into_iter().collect()
}

/// The local ports of the gateways that a request names, its completion and its output included, in
/// their order.
pub(super) fn of_request(action: &Action<Request>) -> Vec<u16> {
    let mut ports = Ports::default();
    let Request {
        target,
        method: _,
        headers,
        params,
        body,
        stream_format: _,
        completion,
    } = &action.call;
    ports.target(target);
    ports.texts(headers);
    ports.values(params);
    ports.maybe(body.as_ref());
    ports.maybe(action.output.as_ref());
    match completion {
        None => {}
        Some(Completion::Callback(callback)) => {
            callback.wait_for.iter().for_each(|text| ports.text(text));
        }
        Some(Completion::Polling(polling)) => {
            ports.target(&polling.target);
            ports.texts(&polling.headers);
            ports.values(&polling.params);
            ports.maybe(polling.body.as_ref());
        }
    }
    ports.found()
}

/// The gateway whose address a request tells, with that address: one that leads to a listener for
/// callbacks before others. None if it tells none.
pub(super) fn told(
    request: &http::Request,
    gateways: &[(u16, PublicAddress)],
    compose: &Compose,
) -> Option<(u16, String)> {
    let told = gateways.iter().filter_map(|(port, public)| {
        let address = public.address();
        let wanted = [address.as_str(), public.url.as_str()];
        let mut values = request
            .headers
            .iter()
            .chain(&request.params)
            .map(|(_, value)| value)
            .chain(&request.body);
        let is_told = wanted
            .into_iter()
            .any(|text| request.url.as_sent().as_str().contains(text))
            || values.any(|value| tells(value, &wanted));
        is_told.then_some((*port, address))
    });
    let takes_callbacks = |(port, _): &(u16, String)| {
        let mut listeners = compose.callback_servers.iter();
        listeners.any(|one| one.port.value == *port && matches!(one.routes, Routes::Callbacks(_)))
    };
    let (listening, others): (Vec<_>, Vec<_>) = told.partition(takes_callbacks);
    listening.into_iter().chain(others).next()
}

/// Whether one of these texts is in a value. Recurses as deep as the value, which is bounded.
fn tells(value: &Value, texts: &[&str]) -> bool {
    let mut wanted = texts.iter();
    match value {
        Value::Text(text) => wanted.any(|one| text.contains(*one)),
        Value::List(list) => list.iter().any(|one| tells(one, texts)),
        Value::Map(map) => map.values().any(|one| tells(one, texts)),
        Value::Null
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bytes(_)
        | Value::Handle(_)
        | Value::Pending(_) => false,
    }
}

/// The same of programs.
pub(super) fn of_command(action: &Action<Command>) -> Vec<u16> {
    let mut ports = Ports::default();
    let command = &action.call;
    for text in command.commands.iter().flatten() {
        ports.text(text);
    }
    ports.texts(&command.env);
    if let Some(dir) = &command.working_dir {
        ports.text(dir);
    }
    if let Some(Setting::Rendered(text)) = &command.timeout {
        ports.text(text);
    }
    ports.maybe(action.output.as_ref());
    ports.found()
}

#[derive(Default)]
struct Ports(BTreeSet<u16>);

impl Ports {
    fn found(self) -> Vec<u16> {
        self.0.into_iter().collect()
    }

    fn text(&mut self, text: &Text) {
        for variable in text.template().variables() {
            let port = variable.source().name().strip_prefix("gateway:");
            self.0
                .extend(port.and_then(|port| port.parse::<u16>().ok()));
        }
    }

    fn texts(&mut self, texts: &[(String, Text)]) {
        for (_, text) in texts {
            self.text(text);
        }
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn value(&mut self, written: &Written) {
        match written {
            Written::Plain(_) => {}
            Written::Text(text) => self.text(text),
            Written::List(list) => list.iter().for_each(|one| self.value(one)),
            Written::Mapping(entries) => self.values(entries),
        }
    }

    fn values(&mut self, entries: &[(String, Written)]) {
        for (_, value) in entries {
            self.value(value);
        }
    }

    fn maybe(&mut self, written: Option<&Written>) {
        if let Some(written) = written {
            self.value(written);
        }
    }

    fn target(&mut self, target: &Target) {
        let (Target::Path(text) | Target::Endpoint(text)) = target;
        self.text(text);
    }
}
