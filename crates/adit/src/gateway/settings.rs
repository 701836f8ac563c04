//! What a gateway is to be: the command line over `gateway.yml` over the defaults, checked as a whole.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use adit_edge::rule::Rules;
use adit_model::address::Scope;
use adit_model::grant::{Limits, Reach};
use adit_model::host::{HostClass, Name, classify_host};
use adit_model::lease::Takeover;
use adit_model::port::PortSet;
use adit_model::source::SourceSet;
use adit_text::SecretSource;
use anyhow::Context as _;

pub(crate) use self::names::NameSettings;
use super::names::suffix::{self, Standing};
use crate::cli::ServeArguments;

mod file;
mod names;
mod rule;
#[cfg(test)]
mod tests;

/// Names the data directory, where neither a flag nor a file does.
pub(crate) const DATA_VARIABLE: &str = "ADIT_DATA";

/// The data directory that the environment names.
pub(crate) fn data_of_environment() -> Option<PathBuf> {
    let data = std::env::var_os(DATA_VARIABLE)?;
    (!data.is_empty()).then(|| data.into())
}

/// Everything that an operator can set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Where everything is kept.
    pub(crate) data: PathBuf,
    /// Where peers connect.
    pub(crate) ssh: Vec<Listen>,
    /// Load balancers in front of that, which tell of the peers' addresses by the PROXY protocol.
    pub(crate) proxies: SourceSet,
    /// Where visitors of names come in by HTTP.
    pub(crate) http: Vec<Listen>,
    /// Where they do by HTTPS.
    pub(crate) https: Vec<Listen>,
    /// Chains and keys of names.
    pub(crate) certificates: Vec<(PathBuf, PathBuf)>,
    /// The name that others know this machine by, in lower case.
    pub(crate) domain: Option<String>,
    /// What holds for names.
    pub(crate) names: NameSettings,
    /// Where the database is, if it is not in the data directory.
    pub(crate) database: Option<SecretSource>,
    /// What keys have that no one says anything else of.
    pub(crate) defaults: Defaults,
    /// What holds for visitors, by ports.
    pub(crate) rules: Rules,
    /// Files of keys.
    pub(crate) authorized_keys: Vec<PathBuf>,
    /// Whether forwards are kept to this machine.
    pub(crate) is_local_only: bool,
    /// Whether a client whose only forward was refused is sent away, so that it says why.
    pub(crate) ends_refused: bool,
    /// How leases are held.
    pub(crate) leases: Leases,
    /// How many of everything.
    pub(crate) caps: Caps,
    /// Where metrics and health are served.
    pub(crate) metrics: Option<SocketAddr>,
    /// Users whom anybody may log in as who says their names; nobody, unless it is written.
    pub(crate) anonymous: Vec<Name>,
    /// How long a stop waits for visitors.
    pub(crate) drain: Duration,
}

/// What a key of a file may do that its line says nothing of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Defaults {
    /// The ports; no forward of anybody listens at another.
    pub(crate) ports: PortSet,
    /// Where they are.
    pub(crate) reach: Reach,
    /// What happens when it comes twice.
    pub(crate) takeover: Takeover,
    /// How much of everything.
    pub(crate) limits: Limits,
}

/// How leases are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leases {
    /// How long one waits for its owner.
    pub(crate) grace: Duration,
    /// How long a released port is kept from others.
    pub(crate) port_quarantine: Duration,
    /// How long a released name is.
    pub(crate) name_quarantine: Duration,
}

/// How many of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Connections of peers.
    pub(crate) connections: usize,
    /// Visitors being served.
    pub(crate) visitors: usize,
}

/// Somewhere to listen: a port, and on which addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Listen {
    /// On which addresses.
    pub(crate) scope: Scope,
    /// The port; 0 for any.
    pub(crate) port: u16,
}

/// Where peers connect if nothing is said: not 22, which the machine's own sshd has.
const SSH: Listen = Listen {
    scope: Scope::Any,
    port: 2_222,
};
/// Ports of forwards if nothing is said.
const PORTS: (u16, u16) = (10_000, 20_000);

/// What a file says, key by key; `None` where it says nothing.
#[derive(Debug, Default, PartialEq)]
struct Written {
    data: Option<PathBuf>,
    ssh: Option<Vec<Listen>>,
    proxies: Option<SourceSet>,
    http: Option<Vec<Listen>>,
    https: Option<Vec<Listen>>,
    certificates: Option<Vec<(PathBuf, PathBuf)>>,
    domain: Option<String>,
    names: Option<NameSettings>,
    database: Option<SecretSource>,
    ports: Option<PortSet>,
    reach: Option<Reach>,
    takeover: Option<Takeover>,
    limits: Limits,
    rules: Option<Rules>,
    authorized_keys: Option<Vec<PathBuf>>,
    is_local_only: Option<bool>,
    ends_refused: Option<bool>,
    grace: Option<Duration>,
    port_quarantine: Option<Duration>,
    name_quarantine: Option<Duration>,
    connections: Option<usize>,
    visitors: Option<usize>,
    metrics: Option<SocketAddr>,
    anonymous: Option<Vec<Name>>,
    drain: Option<Duration>,
}

impl Settings {
    /// What this command line says, and the file that it names.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or everything that is wrong with it, each with its place; or what is said
    /// does not go together.
    pub(crate) fn read(arguments: &ServeArguments) -> anyhow::Result<Self> {
        let mut written = match &arguments.config {
            Some(path) => file::read(path)?,
            None => Written::default(),
        };
        written.data = written.data.or_else(data_of_environment);
        Self::of(arguments, written)
    }

    fn of(arguments: &ServeArguments, written: Written) -> anyhow::Result<Self> {
        let said = |list: &[PathBuf]| (!list.is_empty()).then(|| list.to_vec());
        let data = arguments.data.clone().or(written.data);
        let settings = Self {
            data: data.context(
                "say where the gateway keeps its things: --data DIR, or the variable ADIT_DATA",
            )?,
            ssh: Some(arguments.ssh.clone())
                .filter(|listens| !listens.is_empty())
                .or(written.ssh)
                .unwrap_or_else(|| vec![SSH]),
            proxies: written.proxies.unwrap_or_default(),
            http: listens(&arguments.http, written.http),
            https: listens(&arguments.https, written.https),
            certificates: written.certificates.unwrap_or_default(),
            domain: (arguments.domain.clone().or(written.domain))
                .map(|domain| domain.trim_end_matches('.').to_ascii_lowercase()),
            names: written.names.unwrap_or_default(),
            database: arguments
                .database_file
                .clone()
                .map(SecretSource::File)
                .or(written.database),
            defaults: Defaults {
                ports: arguments
                    .ports
                    .clone()
                    .or(written.ports)
                    .unwrap_or_else(|| PortSet::from_ranges([PORTS])),
                reach: arguments
                    .default_bind
                    .map(Reach::from)
                    .or(written.reach)
                    .unwrap_or_default(),
                takeover: written.takeover.unwrap_or_default(),
                limits: written.limits,
            },
            rules: written.rules.unwrap_or_else(|| Rules::new([])),
            authorized_keys: said(&arguments.authorized_keys)
                .or(written.authorized_keys)
                .unwrap_or_default(),
            is_local_only: arguments.local_only || written.is_local_only.unwrap_or_default(),
            ends_refused: written.ends_refused.unwrap_or(true),
            leases: Leases {
                grace: written.grace.unwrap_or(Leases::GRACE),
                port_quarantine: written.port_quarantine.unwrap_or(Leases::PORT),
                name_quarantine: written.name_quarantine.unwrap_or(Leases::NAME),
            },
            caps: Caps {
                connections: written.connections.unwrap_or(Caps::CONNECTIONS),
                visitors: written.visitors.unwrap_or(Caps::VISITORS),
            },
            metrics: arguments.metrics.or(written.metrics),
            anonymous: written.anonymous.unwrap_or_default(),
            drain: written.drain.unwrap_or(DRAIN),
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        if let Some(domain) = &self.domain {
            let is_name = classify_host(domain) != HostClass::Invalid;
            anyhow::ensure!(is_name, "domain: {domain:?} is no name of a machine");
        }
        if let Some(metrics) = self.metrics {
            // Security rule G124.
            anyhow::ensure!(
                is_own(metrics.ip()),
                "metrics: {metrics} can be reached from elsewhere; they are served on a loopback address alone"
            );
        }
        for ports in self.rules.ports() {
            anyhow::ensure!(
                !ports.intersection(&self.defaults.ports).is_empty(),
                "visitors: no forward has a port of {ports}; those of forwards are {}",
                self.defaults.ports
            );
        }
        self.check_names()?;
        for listen in &self.ssh {
            let is_forward = listen.port != 0 && self.defaults.ports.contains(listen.port);
            anyhow::ensure!(
                !is_forward,
                "ssh: port {} is one of the ports of forwards ({}): one of both has to give way",
                listen.port,
                self.defaults.ports
            );
        }
        Ok(())
    }

    fn check_names(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.domain.is_some() || (self.http.is_empty() && self.https.is_empty()),
            "http and https serve names under a domain: say which, with --domain"
        );
        let standing = self.domain.as_deref().map(suffix::standing);
        anyhow::ensure!(
            !self.serves_names()
                || self.names.is_public_suffix
                || standing != Some(Standing::Suffix),
            "domain: anybody registers names under {}: take one that is yours, or say public_suffix: true under names:",
            self.name()
        );
        let at = [("http", &self.http), ("https", &self.https)];
        for (key, listen) in at
            .iter()
            .flat_map(|(key, all)| all.iter().map(move |one| (key, one)))
        {
            anyhow::ensure!(
                listen.port == 0 || !self.defaults.ports.contains(listen.port),
                "{key}: port {} is one of the ports of forwards ({}): one of both has to give way",
                listen.port,
                self.defaults.ports
            );
        }
        Ok(())
    }

    /// Whether visitors of names come in anywhere.
    pub(crate) fn serves_names(&self) -> bool {
        !(self.http.is_empty() && self.https.is_empty())
    }

    /// What differs from what runs, and cannot be changed while it does.
    pub(crate) fn fixed_since(&self, running: &Self) -> Vec<&'static str> {
        let differs = [
            ("data", self.data != running.data),
            ("ssh", self.ssh != running.ssh),
            ("http", self.http != running.http),
            (
                "domain",
                self.domain != running.domain && self.serves_names(),
            ),
            ("names", self.names != running.names),
            ("https", self.https != running.https),
            ("proxy_protocol", self.proxies != running.proxies),
            ("database", self.database != running.database),
            ("end_refused", self.ends_refused != running.ends_refused),
            ("leases", self.leases != running.leases),
            ("caps", self.caps != running.caps),
            ("metrics", self.metrics != running.metrics),
            // Who is named may change; whether clients are asked at all is settled with the listeners.
            (
                "anonymous",
                !self.anonymous.is_empty() && running.anonymous.is_empty(),
            ),
            ("ports", self.defaults.ports != running.defaults.ports),
        ];
        let differs = differs.into_iter().filter(|(_, differs)| *differs);
        differs.map(|(key, _)| key).collect()
    }

    /// The name that is printed for others: the domain, or `this-host`.
    pub(crate) fn name(&self) -> &str {
        self.domain.as_deref().unwrap_or("this-host")
    }
}

/// What the command line says, or else the file.
fn listens(said: &[Listen], written: Option<Vec<Listen>>) -> Vec<Listen> {
    if said.is_empty() {
        written.unwrap_or_default()
    } else {
        said.to_vec()
    }
}

/// How long a stop waits for visitors if nothing is said.
const DRAIN: Duration = Duration::from_secs(10);

impl Leases {
    /// A device whose modem dials again, reboots or changes its battery is back within that; and nobody else
    /// gets its port for a day more.
    const GRACE: Duration = Duration::from_secs(600);
    /// Security rule G16.
    const PORT: Duration = Duration::from_secs(86_400);
    /// Security rule G16.
    const NAME: Duration = Duration::from_secs(30 * 86_400);
}

impl Caps {
    /// What 2 GiB hold at 40 KiB a tunnel, and as many again to spare.
    const CONNECTIONS: usize = 20_000;
    /// Each is one open file.
    const VISITORS: usize = 16_384;
}

fn is_own(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// A text that says nowhere to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "wanted a port, or an address and a port: 2222 at every address, 127.0.0.1:2222 at one, 0.0.0.0:2222 and \
     [::]:2222 at every one of IPv4 or of IPv6 alone"
)]
pub(crate) struct ListenError;

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let is_bare_v6 = host.contains(':') && !host.starts_with('[');
        let port: Option<u16> = port.parse().ok();
        match (Scope::read(host), port) {
            (Ok(scope), Some(port)) if !is_bare_v6 => Ok(Self { scope, port }),
            _ => Err(ListenError),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, port } = self;
        write!(f, "{scope}:{port}")
    }
}
