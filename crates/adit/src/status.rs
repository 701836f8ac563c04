//! What `adit status` shows: where each tunnel and each of its forwards stands, and since when.
//!
//! Pure: events go in with the time at which they happened, and nothing else changes it. It is what the
//! control socket's answer is written from, so it has no secret in it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adit_tunnel::agent::chain;
use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::meter::Meter;
use adit_tunnel::agent::probe::public_port;
use adit_tunnel::agent::supervise::{Event, Peer};
use adit_tunnel::transport::Bind;

pub(crate) use self::report::{
    CheckReport, ForwardReport, ForwardState, Kind, PartKind, PartReport, Report, ServiceReport,
    ServiceState, Trouble, TunnelReport, TunnelState, When,
};

mod report;
pub(crate) mod table;

/// Most bytes of a text in a report that is not from the file.
const TEXT: usize = 300;

/// A tunnel as it stands.
#[derive(Debug)]
pub(crate) struct Status {
    peer: Peer,
    tunnel: TunnelReport,
    /// Who has taken over what this connection had.
    successor: Option<String>,
    meters: Vec<Arc<Meter>>,
}

/// What an event changed for a person who looks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing, or a number.
    None,
    /// A state.
    State,
}

impl Status {
    /// A tunnel that nothing has happened to yet.
    pub(crate) fn new(name: &str, peer: &Peer, forwards: &[Forward], now: SystemTime) -> Self {
        let reports = forwards.iter().map(|forward| ForwardReport {
            kind: Kind::of(forward),
            bind: forward.bind.to_string(),
            address: address(forward, peer),
            target: forward.to.to_string(),
            state: ForwardState::Away,
            since: When(now),
            reason: None,
            round_trip_ms: None,
            visitors: 0,
            visitors_total: 0,
            bytes_to_target: 0,
            bytes_to_visitor: 0,
            check: None,
        });
        Self {
            tunnel: TunnelReport {
                name: name.to_owned(),
                host: peer.host.clone(),
                port: peer.port,
                user: peer.user.clone(),
                state: TunnelState::Connecting,
                since: When(now),
                connections: 0,
                last_error: None,
                grant: None,
                forwards: reports.collect(),
            },
            successor: None,
            peer: peer.clone(),
            meters: forwards.iter().map(|_| Arc::default()).collect(),
        }
    }

    /// Where its forwards' visitors are counted.
    pub(crate) fn meters(&self) -> Vec<Arc<Meter>> {
        self.meters.clone()
    }

    /// Takes what happened.
    pub(crate) fn apply(&mut self, event: &Event<'_>, now: SystemTime) -> News {
        match event {
            Event::Connected => {
                self.tunnel.connections = self.tunnel.connections.saturating_add(1);
                for forward in &mut self.tunnel.forwards {
                    if forward.kind.is_remote() {
                        forward.turn(ForwardState::Asking, None, now);
                    }
                }
                self.turn(TunnelState::Connected, now)
            }
            Event::ForwardUp { number, forward } => {
                self.forward(*number, forward, ForwardState::Up, None, now)
            }
            Event::ForwardProved {
                number,
                forward,
                finding,
            } => {
                let part = finding.part();
                let part = part.map(|version| format!("over {version} alone"));
                let news = self.forward(*number, forward, ForwardState::Up, part, now);
                if let Some(report) = self.tunnel.forwards.get_mut(*number) {
                    report.round_trip_ms = finding.round_trip().map(milliseconds);
                }
                news
            }
            Event::ForwardBound { number, forward } => {
                self.forward(*number, forward, ForwardState::Bound, None, now)
            }
            Event::ForwardUnproved {
                number,
                forward,
                finding,
            } => {
                let state = if finding.is_unchecked() {
                    ForwardState::Unchecked
                } else {
                    ForwardState::Failing
                };
                self.forward(*number, forward, state, Some(finding.to_string()), now)
            }
            Event::ForwardRefused { number, forward } => {
                let reason = refusal(forward).to_owned();
                self.forward(*number, forward, ForwardState::Refused, Some(reason), now)
            }
            Event::ForwardDenied {
                number,
                forward,
                reason,
            } => {
                let reason = Some(format!("gateway refused the forward: {reason}"));
                self.forward(*number, forward, ForwardState::Refused, reason, now)
            }
            Event::Granted { grant } => {
                self.tunnel.grant = Some(cut((*grant).to_owned()));
                News::None
            }
            Event::Superseded { by } => {
                let text = by.to_string();
                self.trouble(text.clone(), now);
                self.successor = Some(text);
                News::State
            }
            Event::Returned { .. } => {
                self.successor = None;
                News::State
            }
            Event::ForwardWaiting {
                number,
                forward,
                reason,
            } => {
                let reason = Some(reason.to_string());
                self.forward(*number, forward, ForwardState::Waiting, reason, now)
            }
            Event::ForwardListens { number, forward } => {
                self.forward(*number, forward, ForwardState::Away, None, now)
            }
            Event::Ended { end, .. } => {
                self.away(now);
                // Who has it now says more than the goodbye.
                let successor = self.successor.take();
                self.trouble(successor.unwrap_or_else(|| chain(end)), now);
                self.turn(TunnelState::Waiting, now)
            }
            Event::Failed { error } => {
                self.trouble(chain(error), now);
                let state = if error.is_permanent() {
                    TunnelState::Failed
                } else {
                    TunnelState::Waiting
                };
                self.turn(state, now)
            }
            Event::PortLost { .. } | Event::Waiting { .. } | _ => News::None,
        }
    }

    /// Where the tunnel stands.
    pub(crate) const fn state(&self) -> TunnelState {
        self.tunnel.state
    }

    /// Whether it was ever logged in.
    pub(crate) const fn was_connected(&self) -> bool {
        self.tunnel.connections > 0
    }

    /// Whether there is nothing left to do: it is logged in, and each forward is up, or waits for an address that this machine
    /// may never have.
    pub(crate) fn is_ready(&self) -> bool {
        let mut forwards = self.tunnel.forwards.iter();
        let is_connected = self.tunnel.state == TunnelState::Connected;
        is_connected
            && forwards
                .all(|forward| forward.state.is_up() || forward.state == ForwardState::Waiting)
    }

    /// The tunnel has come to nothing, and is begun anew later.
    pub(crate) fn failed(&mut self, error: String, now: SystemTime) -> News {
        self.away(now);
        self.trouble(error, now);
        self.turn(TunnelState::Failed, now)
    }

    /// What a check of a forward's target found that is news.
    pub(crate) fn checked(
        &mut self,
        number: usize,
        is_well: bool,
        what: String,
        now: SystemTime,
    ) -> News {
        let Some(report) = self.tunnel.forwards.get_mut(number) else {
            return News::None;
        };
        report.check = Some(CheckReport {
            is_well,
            what: cut(what),
            since: When(now),
        });
        News::State
    }

    /// All of it, with the numbers of this moment.
    pub(crate) fn report(&self) -> TunnelReport {
        let mut tunnel = self.tunnel.clone();
        for (report, meter) in tunnel.forwards.iter_mut().zip(&self.meters) {
            let reading = meter.read();
            report.visitors = reading.now;
            report.visitors_total = reading.visitors;
            report.bytes_to_target = reading.to_target;
            report.bytes_to_visitor = reading.to_visitor;
        }
        tunnel
    }

    fn turn(&mut self, state: TunnelState, now: SystemTime) -> News {
        if self.tunnel.state == state {
            return News::None;
        }
        self.tunnel.state = state;
        self.tunnel.since = When(now);
        News::State
    }

    fn forward(
        &mut self,
        number: usize,
        forward: &Forward,
        state: ForwardState,
        reason: Option<String>,
        now: SystemTime,
    ) -> News {
        let address = address(forward, &self.peer);
        let Some(report) = self.tunnel.forwards.get_mut(number) else {
            return News::None;
        };
        report.address = address;
        report.turn(state, reason.map(cut), now)
    }

    fn away(&mut self, now: SystemTime) {
        let forwards = self.tunnel.forwards.iter_mut();
        // What waits here has nothing to do with the connection.
        for forward in forwards.filter(|forward| forward.state != ForwardState::Waiting) {
            forward.turn(ForwardState::Away, None, now);
        }
    }

    fn trouble(&mut self, what: String, now: SystemTime) {
        self.tunnel.last_error = Some(Trouble {
            what: cut(what),
            at: When(now),
        });
    }
}

impl ForwardReport {
    fn turn(&mut self, state: ForwardState, reason: Option<String>, now: SystemTime) -> News {
        if state != ForwardState::Up {
            self.round_trip_ms = None;
        }
        let is_same = self.state == state && self.reason == reason;
        if self.state != state {
            self.state = state;
            self.since = When(now);
        }
        self.reason = reason;
        if is_same { News::None } else { News::State }
    }
}

impl Kind {
    fn of(forward: &Forward) -> Self {
        match (forward.listens, &forward.to) {
            (Listens::There, Destination::One(_)) => Self::Remote,
            (Listens::There, Destination::Named(_)) => Self::RemoteDynamic,
            (Listens::Here, Destination::One(_)) => Self::Local,
            (Listens::Here, Destination::Named(_)) => Self::Dynamic,
        }
    }
}

/// Why a server says no to a forward, as far as it can be known here: it does not tell.
pub(crate) const fn refusal(forward: &Forward) -> &'static str {
    match &forward.bind {
        Bind::Tcp { .. } => {
            "server refused the forward: the port is taken, maybe by our own dead connection, or not \
             allowed (AllowTcpForwarding, PermitListen)"
        }
        // A stock sshd leaves the file behind and does not take it back by itself.
        Bind::Unix { .. } => {
            "server refused the forward: the socket's file is there already, maybe left by an earlier \
             connection (remove it, or set StreamLocalBindUnlink yes in sshd_config), or not allowed \
             (AllowStreamLocalForwarding)"
        }
    }
}

/// A text of a report: all of them together fit into a line of the control socket.
fn cut(mut text: String) -> String {
    if text.len() > TEXT {
        let end = text.floor_char_boundary(TEXT);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Where visitors come to.
fn address(forward: &Forward, peer: &Peer) -> String {
    match (forward.listens, public_port(&forward.bind), &forward.bind) {
        (Listens::There, Some(port), Bind::Tcp { host, .. })
            if matches!(host.as_str(), "" | "*" | "0.0.0.0" | "::") =>
        {
            let host = peer.host.clone();
            Bind::Tcp { host, port }.to_string()
        }
        (Listens::There, None, _) => format!("{} at {}", forward.bind, peer.host),
        (_, _, bind) => bind.to_string(),
    }
}

/// In thousandths of a second, to a hundredth of one.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}
