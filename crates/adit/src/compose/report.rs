//! Where the parts of a compose file stand, for `adit status`.

use adit_flow::expose::State as Port;
use adit_flow::model::expose::ExposeConfig;
use adit_flow::process::State;

use super::service::{Inner, Phase};
use crate::log;
use crate::status::{PartKind, PartReport, ServiceReport, ServiceState};

/// Most parts that are told: all of them have to fit into a line of the control socket.
const PARTS: usize = 100;
/// Most bytes of a text in them.
const TEXT: usize = 300;

impl Inner {
    pub(super) fn report(&self, phase: Phase) -> ServiceReport {
        let parts = self.listeners();
        let parts = parts.chain(self.providers());
        let parts = parts.chain(self.servers()).chain(self.adapters(phase));
        ServiceReport {
            state: match phase {
                Phase::Starting => ServiceState::Starting,
                Phase::Ready => ServiceState::Ready,
                Phase::Ending => ServiceState::Ending,
            },
            runs: self.engine.running(),
            parts: parts.take(PARTS).collect(),
        }
    }

    /// They are bound before anything else, or nothing is up.
    fn listeners(&self) -> impl Iterator<Item = PartReport> {
        let listeners = self.compose.callback_servers.iter();
        listeners.map(|one| {
            let name = format!("{}:{}", one.host, one.port.value);
            part(PartKind::Listener, name, true, None)
        })
    }

    /// Gateways over SSH are among the tunnels.
    fn providers(&self) -> impl Iterator<Item = PartReport> {
        let all = self.compose.exposes.iter();
        let ports = all.flat_map(|one| match &one.value {
            ExposeConfig::Http(http) => http.ports.as_slice(),
            ExposeConfig::Ssh(_) => &[],
        });
        ports.map(|port| {
            let state = self.addresses.state(port.value);
            let (is_up, detail) = match state {
                Some(Port::Up(address)) => (true, Some(address.url)),
                Some(Port::Down(why) | Port::Barred(why)) => (false, Some(why)),
                None => (false, None),
            };
            let name = format!("port {}", port.value);
            part(PartKind::Gateway, name, is_up, detail)
        })
    }

    fn servers(&self) -> impl Iterator<Item = PartReport> {
        let all = self.components.all().iter();
        all.filter_map(|one| {
            let state = one.server()?.state().borrow().clone();
            let (is_up, detail) = match state {
                State::Ready => (true, None),
                State::Starting => (false, Some(String::from("starting"))),
                State::Stopped => (false, Some(String::from("stopped"))),
                State::Restarting { why } | State::Failed { why } => (false, Some(why)),
            };
            Some(part(
                PartKind::Component,
                one.id().to_owned(),
                is_up,
                detail,
            ))
        })
    }

    fn adapters(&self, phase: Phase) -> impl Iterator<Item = PartReport> {
        let controller = self.compose.controller.iter();
        let adapters = controller.flat_map(|controller| &controller.adapters);
        adapters.map(move |one| {
            let name = format!("{}:{}", one.host, one.port.value);
            part(PartKind::Controller, name, phase == Phase::Ready, None)
        })
    }
}

fn part(kind: PartKind, name: String, is_up: bool, detail: Option<String>) -> PartReport {
    // A server's last words may be many lines.
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    PartReport {
        kind,
        name: cut(name),
        is_up,
        detail: detail.map(|text| log::masked(&text)).map(first).map(cut),
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT));
    text
}
