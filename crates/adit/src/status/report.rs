//! A status as text: the JSON of `adit status --json`, which is a promise to scripts.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One `adit up`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Of the program that runs.
    pub(crate) version: String,
    /// The file that it was started with.
    pub(crate) config: PathBuf,
    /// Its process.
    pub(crate) pid: u32,
    /// When it was started.
    pub(crate) since: When,
    /// Its tunnels, as the file has them; gateways behind them.
    pub(crate) tunnels: Vec<TunnelReport>,
    /// Its workflows and what they need, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<ServiceReport>,
}

/// What runs workflows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceReport {
    pub(crate) state: ServiceState,
    /// Runs that are not over.
    pub(crate) runs: usize,
    /// Where its parts stand: listeners, gateways of providers, components, the controller.
    pub(crate) parts: Vec<PartReport>,
}

/// A part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartReport {
    pub(crate) kind: PartKind,
    /// Where it listens, or what it is called.
    pub(crate) name: String,
    pub(crate) is_up: bool,
    /// Where visitors come to, or why it is not up.
    pub(crate) detail: Option<String>,
}

/// The kinds of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartKind {
    /// It takes requests from outside.
    Listener,
    /// A provider's program, which makes a port public.
    Gateway,
    /// A server of ours that workflows ask.
    Component,
    /// It starts runs.
    Controller,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServiceState {
    /// It is being set up.
    Starting,
    /// Runs can be started.
    Ready,
    /// No run is started any more.
    Ending,
}

/// One tunnel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TunnelReport {
    /// Its name in the file.
    pub(crate) name: String,
    /// The peer's host.
    pub(crate) host: String,
    /// The peer's port.
    pub(crate) port: u16,
    /// Our name there.
    pub(crate) user: String,
    pub(crate) state: TunnelState,
    /// Since when it has been in that state.
    pub(crate) since: When,
    /// Logins so far.
    pub(crate) connections: u64,
    /// What went wrong last, even if it was mended since.
    pub(crate) last_error: Option<Trouble>,
    /// What an adit gateway said last that may be done there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<String>,
    /// Its forwards, in order.
    pub(crate) forwards: Vec<ForwardReport>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    pub(crate) at: When,
}

/// One forward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ForwardReport {
    pub(crate) kind: Kind,
    /// Where it should listen, as it was written.
    pub(crate) bind: String,
    /// Where visitors come to.
    pub(crate) address: String,
    /// Where they go.
    pub(crate) target: String,
    pub(crate) state: ForwardState,
    /// Since when it has been in that state.
    pub(crate) since: When,
    /// Why it is not up, or not wholly.
    pub(crate) reason: Option<String>,
    /// How long bytes took the last time that they made the round trip, in milliseconds.
    pub(crate) round_trip_ms: Option<f64>,
    /// Visitors that are here now.
    pub(crate) visitors: u64,
    /// Visitors that came so far.
    pub(crate) visitors_total: u64,
    /// Bytes from visitors to the target so far.
    pub(crate) bytes_to_target: u64,
    /// Bytes from the target to visitors so far.
    pub(crate) bytes_to_visitor: u64,
    /// What the check of its target found last that was news, where it is checked.
    pub(crate) check: Option<CheckReport>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckReport {
    /// Whether visitors are served.
    pub(crate) is_well: bool,
    /// What was found, or heard, in words.
    pub(crate) what: String,
    /// When it was found first.
    pub(crate) since: When,
}

/// The kinds of forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `-R`, to one target.
    Remote,
    /// `-R` without a target.
    RemoteDynamic,
    /// `-L`.
    Local,
    /// `-D`.
    Dynamic,
}

/// Where a tunnel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TunnelState {
    /// The first attempt is under way.
    Connecting,
    /// It is logged in.
    Connected,
    /// Its connection ended or did not come about; it is tried again in a moment.
    Waiting,
    /// What only a person can mend; it is tried again every five minutes.
    Failed,
}

/// Where a forward stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForwardState {
    /// There is no connection.
    Away,
    /// It listens here, and its address or port is not to be had; it is bound as soon as it is.
    Waiting,
    /// The server was asked for it.
    Asking,
    /// The server said no, and is asked again and again.
    Refused,
    /// The server said yes; whether bytes get through is being found out.
    Bound,
    /// The server said yes, and lets nobody find out whether bytes get through.
    Unchecked,
    /// The server said yes, and bytes do not get through.
    Failing,
    /// Visitors get through.
    Up,
}

/// A moment, in text as RFC 3339 has it, in UTC and to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct When(pub(crate) SystemTime);

impl Report {
    /// Whether visitors of every forward get through and are served. A path that cannot be looked at is not
    /// called up.
    pub(crate) fn is_up(&self) -> bool {
        let mut forwards = self.tunnels.iter().flat_map(|tunnel| &tunnel.forwards);
        self.service.iter().all(ServiceReport::is_up)
            && forwards.all(|forward| {
                let check = forward.check.as_ref();
                forward.state == ForwardState::Up && check.is_none_or(|check| check.is_well)
            })
    }
}

impl ServiceReport {
    fn is_up(&self) -> bool {
        self.state == ServiceState::Ready && self.parts.iter().all(|part| part.is_up)
    }
}

impl PartKind {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Gateway => "gateway",
            Self::Component => "component",
            Self::Controller => "controller",
        }
    }
}

impl ServiceState {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Ending => "ending",
        }
    }
}

impl Kind {
    /// Whether the server listens.
    pub(crate) const fn is_remote(self) -> bool {
        matches!(self, Self::Remote | Self::RemoteDynamic)
    }

    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::RemoteDynamic => "remote socks",
            Self::Local => "local",
            Self::Dynamic => "dynamic",
        }
    }
}

impl TunnelState {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

impl ForwardState {
    /// Whether nothing is known to be wrong with it.
    pub(crate) const fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Unchecked)
    }

    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Waiting => "waiting",
            Self::Asking => "asking",
            Self::Refused => "refused",
            Self::Bound => "bound",
            Self::Unchecked => "bound, path not checked",
            Self::Failing => "failing",
            Self::Up => "up",
        }
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_seconds(self.0))
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text).map_err(de::Error::custom)?;
        Ok(Self(time))
    }
}
