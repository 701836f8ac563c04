//! Orders about grants: what a principal may bind and open, where from, how long and how much.

use std::fmt;
use std::str::FromStr;

use adit_model::grant::{Grant, Limits, Pool, Reach, Sockets, TargetRule};
use adit_model::host::Name;
use adit_model::lease::{SocketName, Takeover};
use adit_model::name::{NamePattern, is_domain};
use adit_model::port::PortSet;
use adit_model::source::SourceSet;
use anyhow::ensure;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::sources;
use super::{Hands, Outcome, Row, row};
use crate::gateway::names::secret::{self, Secret};
use crate::gateway::principals;

/// What is to be done with grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum GrantOrder {
    /// A principal may do more, or something else.
    Add {
        /// Who.
        principal: Name,
        /// What.
        change: Box<GrantChange>,
    },
    /// Those of all principals.
    List {},
    /// That of one.
    Show {
        /// Whose.
        principal: Name,
    },
    /// What proves a domain to be a principal's.
    Proof {
        /// Whose it is to be.
        principal: Name,
        /// Which.
        domain: Name,
    },
    /// A principal may do less.
    Remove {
        /// Who.
        principal: Name,
        /// What.
        removal: Box<GrantRemoval>,
    },
}

/// What a grant gets. Lists are made longer, all else is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantChange {
    /// Ports besides those that it has.
    pub(crate) ports: Option<PortSet>,
    /// Port 0.
    pub(crate) any_port: bool,
    /// Which addresses its ports may be on.
    pub(crate) reach: Option<Reach>,
    /// Names besides those that it has.
    pub(crate) names: Vec<NamePattern>,
    /// Names that it is given.
    pub(crate) any_name: bool,
    /// Domains that it proves.
    pub(crate) own_domains: bool,
    /// How many of its connections may serve one site together.
    pub(crate) pool: Option<Pool>,
    /// Sockets besides those that it has; `*` for any.
    pub(crate) sockets: Vec<String>,
    /// Targets besides those that it has.
    pub(crate) targets: Vec<Target>,
    /// Where it may come from.
    pub(crate) sources: Option<SourceSet>,
    /// From when.
    pub(crate) not_before: Option<Timestamp>,
    /// Until when.
    pub(crate) not_after: Option<Timestamp>,
    /// What happens when it comes twice.
    pub(crate) takeover: Option<Takeover>,
    /// Where it may take a lease over from.
    pub(crate) takeover_from: Option<SourceSet>,
    /// How much of everything.
    pub(crate) limits: Limits,
}

/// What is taken from a grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantRemoval {
    /// Everything; nothing else counts then.
    pub(crate) all: bool,
    /// These ports.
    pub(crate) ports: Option<PortSet>,
    /// These names.
    pub(crate) names: Vec<NamePattern>,
    /// These sockets; `*` for all.
    pub(crate) sockets: Vec<String>,
    /// These targets.
    pub(crate) targets: Vec<Target>,
    /// Settings that are as without any.
    pub(crate) settings: Vec<Setting>,
}

/// A setting of a grant that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Setting {
    AnyPort,
    AnyName,
    OwnDomains,
    Pool,
    Reach,
    From,
    NotBefore,
    NotAfter,
    Takeover,
    TakeoverFrom,
    MaxConnections,
    MaxLeases,
    MaxStreams,
    Up,
    Down,
    Month,
}

/// What may be opened, as an operator writes it: `NAME:PORTS`, `*:PORTS` or `NETWORK:PORTS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Target(pub(crate) TargetRule);

/// A text that names no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// No name, no port, or neither.
    #[error("wanted NAME:PORTS or *:PORTS, as in red001:5432 or *:22,80")]
    Name,
    /// No network, no port, or neither.
    #[error("wanted NETWORK:PORTS, as in 192.0.2.0/24:443 or 2001:db8::5:22")]
    Network,
}

/// A grant as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    ports: String,
    any_port: bool,
    reach: Reach,
    asked: Vec<String>,
    names: &'a [NamePattern],
    any_name: bool,
    own_domains: bool,
    pool: Option<String>,
    sockets: Vec<String>,
    targets: Vec<String>,
    from: String,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    takeover: Takeover,
    takeover_from: String,
    max_connections: Option<u32>,
    max_leases: Option<u32>,
    max_streams: Option<u32>,
    up: Option<u64>,
    down: Option<u64>,
    month: Option<u64>,
}

/// What is to stand in the DNS.
#[derive(Debug, Serialize)]
struct Proof<'a> {
    principal: &'a str,
    domain: &'a str,
    record: String,
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
}

/// Any socket.
const ANY: &str = "*";

pub(super) async fn carry_out(order: &GrantOrder, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    match order {
        GrantOrder::List {} => {
            let all = hands.store.principals().await?;
            let rows = all.iter().map(|one| of(one.name.as_str(), &one.grant));
            Outcome::list(rows)
        }
        GrantOrder::Show { principal } => {
            let found = hands.principal(principal).await?;
            Ok(Outcome::one(of(principal.as_str(), &found.grant)?))
        }
        GrantOrder::Proof { principal, domain } => {
            let found = hands.principal(principal).await?;
            ensure!(
                is_domain(domain),
                "{domain} is no domain of anybody's own: it has one part"
            );
            let secret = Secret::open(hands.names)?;
            Ok(Outcome::one(row(Proof {
                principal: principal.as_str(),
                domain: domain.as_str(),
                record: format!("{}.", secret::place(domain)),
                kind: "TXT",
                value: secret.proof(found.id, domain),
            })?))
        }
        GrantOrder::Add { principal, change } => {
            ensure!(
                **change != GrantChange::default(),
                "say what {principal} may do: --ports, --open and so on (adit grant add --help)"
            );
            set(principal, hands, |grant| change.apply(grant)).await
        }
        GrantOrder::Remove { principal, removal } => {
            ensure!(
                **removal != GrantRemoval::default(),
                "say what {principal} may not do any more: --ports, --open and so on, or --all"
            );
            set(principal, hands, |grant| removal.apply(grant)).await
        }
    }
}

async fn set(
    principal: &Name,
    hands: Hands<'_>,
    edit: impl Fn(&mut Grant) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let change = hands.change();
    let found = hands.principal(principal).await?;
    ensure!(
        !principals::is_of_file(principal),
        "{principal} is known by a file of keys alone, and may do what its line there says: change the line, and \
         then adit reload"
    );
    let mut grant = found.grant.clone();
    edit(&mut grant)?;
    if let (Some(from), Some(until)) = (grant.not_before, grant.not_after) {
        ensure!(from < until, "{from} is not before {until}");
    }
    let mut words = if grant == found.grant {
        format!("{principal} may do the same as before")
    } else {
        let written = hands.store.set_grant(&change, found.id, &grant);
        written.await?;
        format!(
            "the grant of {principal} is changed, and holds from now on for what is connected, too"
        )
    };
    if let Some(had) = hands.ports {
        let vain = grant.ports.difference(had);
        if !vain.is_empty() {
            words = format!(
                "{words}; no forward listens at {vain}, for the ports of this gateway are {had} (adit serve --ports)"
            );
        }
    }
    Ok(Outcome::done(words, [of(principal.as_str(), &grant)?]))
}

impl GrantChange {
    pub(super) fn apply(&self, grant: &mut Grant) -> anyhow::Result<()> {
        if let Some(ports) = &self.ports {
            grant.ports = grant.ports.union(ports);
        }
        grant.any_port |= self.any_port;
        grant.names.extend(self.names.iter().cloned());
        grant.names.sort_unstable();
        grant.names.dedup();
        grant.any_name |= self.any_name;
        grant.own_domains |= self.own_domains;
        grant.pool = self.pool.or(grant.pool);
        for socket in &self.sockets {
            add_socket(&mut grant.sockets, socket)?;
        }
        for Target(rule) in &self.targets {
            add_target(&mut grant.targets, rule);
        }
        set_if(&mut grant.reach, self.reach);
        set_if(&mut grant.sources, self.sources.clone());
        set_if(&mut grant.takeover, self.takeover);
        set_if(&mut grant.takeover_from, self.takeover_from.clone());
        grant.not_before = self.not_before.or(grant.not_before);
        grant.not_after = self.not_after.or(grant.not_after);
        let (limits, new) = (&mut grant.limits, &self.limits);
        limits.connections = new.connections.or(limits.connections);
        limits.leases = new.leases.or(limits.leases);
        limits.streams = new.streams.or(limits.streams);
        limits.up = new.up.or(limits.up);
        limits.down = new.down.or(limits.down);
        limits.month = new.month.or(limits.month);
        Ok(())
    }
}

impl GrantRemoval {
    fn apply(&self, grant: &mut Grant) -> anyhow::Result<()> {
        if self.all {
            *grant = Grant::default();
            return Ok(());
        }
        if let Some(ports) = &self.ports {
            grant.ports = grant.ports.difference(ports);
        }
        grant.names.retain(|name| !self.names.contains(name));
        for socket in &self.sockets {
            remove_socket(&mut grant.sockets, socket)?;
        }
        for Target(rule) in &self.targets {
            grant.targets = grant
                .targets
                .iter()
                .filter_map(|old| without(old, rule))
                .collect();
        }
        for setting in &self.settings {
            setting.clear(grant);
        }
        Ok(())
    }
}

impl Setting {
    fn clear(self, grant: &mut Grant) {
        let plain = Grant::default();
        match self {
            Self::AnyPort => grant.any_port = false,
            Self::AnyName => grant.any_name = false,
            Self::OwnDomains => grant.own_domains = false,
            Self::Pool => grant.pool = None,
            Self::Reach => grant.reach = plain.reach,
            Self::From => grant.sources = plain.sources,
            Self::NotBefore => grant.not_before = None,
            Self::NotAfter => grant.not_after = None,
            Self::Takeover => grant.takeover = plain.takeover,
            Self::TakeoverFrom => grant.takeover_from = plain.takeover_from,
            Self::MaxConnections => grant.limits.connections = None,
            Self::MaxLeases => grant.limits.leases = None,
            Self::MaxStreams => grant.limits.streams = None,
            Self::Up => grant.limits.up = None,
            Self::Down => grant.limits.down = None,
            Self::Month => grant.limits.month = None,
        }
    }
}

fn set_if<T>(place: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *place = new;
    }
}

fn add_socket(sockets: &mut Sockets, text: &str) -> anyhow::Result<()> {
    if text == ANY {
        *sockets = Sockets::Any;
        return Ok(());
    }
    let name: SocketName = text.parse()?;
    match sockets {
        Sockets::None => *sockets = Sockets::Named(vec![name]),
        Sockets::Named(names) if !names.contains(&name) => names.push(name),
        Sockets::Named(_) | Sockets::Any => {}
    }
    Ok(())
}

fn remove_socket(sockets: &mut Sockets, text: &str) -> anyhow::Result<()> {
    if text == ANY {
        *sockets = Sockets::None;
        return Ok(());
    }
    let name: SocketName = text.parse()?;
    match sockets {
        Sockets::None => {}
        Sockets::Any => anyhow::bail!(
            "any socket is allowed, so one alone cannot be taken away: take --socket '*' away and add those that stay"
        ),
        Sockets::Named(names) => {
            names.retain(|one| *one != name);
            if names.is_empty() {
                *sockets = Sockets::None;
            }
        }
    }
    Ok(())
}

/// Adds a rule: to the ports of one that is about the same, if there is one.
fn add_target(targets: &mut Vec<TargetRule>, rule: &TargetRule) {
    for old in targets.iter_mut() {
        match (old, rule) {
            (
                TargetRule::Name { name, ports },
                TargetRule::Name {
                    name: of,
                    ports: more,
                },
            ) if name == of => {
                *ports = ports.union(more);
                return;
            }
            (
                TargetRule::Cidr { network, ports },
                TargetRule::Cidr {
                    network: of,
                    ports: more,
                },
            ) if network == of => {
                *ports = ports.union(more);
                return;
            }
            _ => {}
        }
    }
    targets.push(rule.clone());
}

/// What is left of a rule without another about the same name or network.
fn without(old: &TargetRule, away: &TargetRule) -> Option<TargetRule> {
    let mut left = old.clone();
    match (&mut left, away) {
        (
            TargetRule::Name { name, ports },
            TargetRule::Name {
                name: of,
                ports: less,
            },
        ) if name == of => {
            *ports = ports.difference(less);
            (!ports.is_empty()).then_some(left)
        }
        (
            TargetRule::Cidr { network, ports },
            TargetRule::Cidr {
                network: of,
                ports: less,
            },
        ) if network == of => {
            *ports = ports.difference(less);
            (!ports.is_empty()).then_some(left)
        }
        _ => Some(left),
    }
}

impl Target {
    /// Reads `NAME:PORTS`.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(crate) fn of_name(text: &str) -> Result<Self, TargetError> {
        let (name, ports) = text.rsplit_once(':').ok_or(TargetError::Name)?;
        let name = match name {
            ANY => None,
            name => Some(name.parse().map_err(|_| TargetError::Name)?),
        };
        let ports = some(ports).ok_or(TargetError::Name)?;
        Ok(Self(TargetRule::Name { name, ports }))
    }

    /// Reads `NETWORK:PORTS`; an address is the network that has it alone.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(crate) fn of_network(text: &str) -> Result<Self, TargetError> {
        let (network, ports) = text.rsplit_once(':').ok_or(TargetError::Network)?;
        let bare = network.trim_start_matches('[').replacen(']', "", 1);
        let address = bare.parse::<std::net::IpAddr>().map(Into::into);
        let network = address.or_else(|_| bare.parse());
        let network = network.map_err(|_| TargetError::Network)?;
        let ports = some(ports).ok_or(TargetError::Network)?;
        Ok(Self(TargetRule::Cidr { network, ports }))
    }
}

/// Ports, at least one.
fn some(text: &str) -> Option<PortSet> {
    let ports = PortSet::from_str(text).ok()?;
    (!ports.is_empty()).then_some(ports)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            TargetRule::Name { name, ports } => {
                let name = name.as_ref().map_or(ANY, Name::as_str);
                write!(f, "{name}:{ports}")
            }
            TargetRule::Cidr { network, ports } => write!(f, "{network}:{ports}"),
        }
    }
}

fn of(principal: &str, grant: &Grant) -> anyhow::Result<Row> {
    let mut row = Row::new();
    row.insert(String::from("principal"), Value::from(principal));
    row.extend(shown(grant)?);
    Ok(row)
}

pub(super) fn shown(grant: &Grant) -> anyhow::Result<Row> {
    let asked = grant.asked.iter();
    let targets = grant.targets.iter();
    row(Shown {
        ports: grant.ports.to_string(),
        any_port: grant.any_port,
        reach: grant.reach,
        asked: asked
            .map(|asked| format!("{}:{}", asked.host, asked.ports))
            .collect(),
        names: &grant.names,
        any_name: grant.any_name,
        own_domains: grant.own_domains,
        pool: grant.pool.map(|pool| pool.to_string()),
        sockets: match &grant.sockets {
            Sockets::None => Vec::new(),
            Sockets::Named(names) => names.iter().map(SocketName::to_string).collect(),
            Sockets::Any => vec![String::from(ANY)],
        },
        targets: targets
            .map(|rule| Target(rule.clone()).to_string())
            .collect(),
        from: sources(&grant.sources),
        not_before: grant.not_before,
        not_after: grant.not_after,
        takeover: grant.takeover,
        takeover_from: sources(&grant.takeover_from),
        max_connections: grant.limits.connections,
        max_leases: grant.limits.leases,
        max_streams: grant.limits.streams,
        up: grant.limits.up,
        down: grant.limits.down,
        month: grant.limits.month,
    })
}
