//! What a principal may do, as flags.

use adit_model::grant::{Limits, Pool, Reach};
use adit_model::host::Name;
use adit_model::lease::Takeover;
use adit_model::name::NamePattern;
use adit_model::port::PortSet;
use adit_model::source::SourceSet;
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::moment;
use crate::gateway::order::{GrantChange, GrantRemoval, Setting, Target};

#[derive(Debug, Clone, Args)]
pub(crate) struct GrantAddArguments {
    /// Who may.
    #[arg(value_name = "PRINCIPAL")]
    pub(crate) principal: Name,

    #[command(flatten)]
    pub(crate) grant: GrantArguments,
}

/// What somebody may.
#[derive(Debug, Clone, Args)]
pub(crate) struct GrantArguments {
    /// Listen on these ports: 10022 or 10100-10199,10443. Those outside of the gateway's own --ports stay closed.
    #[arg(long, value_name = "PORTS")]
    ports: Option<PortSet>,

    /// Ask for port 0, and get any free one of its ports.
    #[arg(long)]
    any_port: bool,

    /// Where its ports listen.
    #[arg(long, value_name = "WHERE")]
    reach: Option<ReachText>,

    /// Have that name at the edge, and offer its ports to whoever may open it: ssh -R NAME:22:localhost:22. A star
    /// stands for part of one label: dev-*, *.example.org. Names with dots are whole domains. As often as you like.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<NamePattern>,

    /// Be given a name for a site for which it asks for none: ssh -R 80:localhost:3000.
    #[arg(long)]
    any_name: bool,

    /// Have domains that a TXT record proves to be its own; adit grant proof says which record.
    #[arg(long)]
    own_domains: bool,

    /// Serve one site by so many connections together: 3, 3:round-robin, 3:least-streams or 3:failover.
    #[arg(long, value_name = "COUNT[:WAY]")]
    pool: Option<Pool>,

    /// Listen at a Unix socket of that name in its own folder; * for any. As often as you like.
    #[arg(long = "socket", value_name = "NAME")]
    sockets: Vec<String>,

    /// Open streams to a name that is known here, * for every such name. As often as you like.
    #[arg(long = "open", value_name = "NAME:PORTS", value_parser = Target::of_name)]
    open: Vec<Target>,

    /// Open streams to the addresses of a network. Addresses inside of this machine or of private networks only
    /// where it is exactly one. As often as you like.
    #[arg(long = "open-cidr", value_name = "NETWORK:PORTS", value_parser = Target::of_network)]
    open_cidr: Vec<Target>,

    /// Come from there alone: addresses, networks and patterns with commas between, a ! before what is left out.
    #[arg(long, value_name = "SOURCES")]
    from: Option<SourceSet>,

    /// From when: 2027-01-01, 2027-01-01T08:00 or with a zone, as in 2027-01-01T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    not_before: Option<Timestamp>,

    /// Until when; then its connections are closed.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    not_after: Option<Timestamp>,

    /// What happens when it asks for a lease that another connection of its has.
    #[arg(long, value_name = "RULE")]
    takeover: Option<TakeoverText>,

    /// From where it may take a lease over whose connection came from elsewhere.
    #[arg(long, value_name = "SOURCES")]
    takeover_from: Option<SourceSet>,

    /// So many connections at a time.
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<u32>,

    /// So many leases at a time.
    #[arg(long, value_name = "COUNT")]
    max_leases: Option<u32>,

    /// So many byte streams at a time; without it a quarter of the visitors that the gateway has room for.
    #[arg(long, value_name = "COUNT")]
    max_streams: Option<u32>,

    /// So many bytes a second from it to visitors: 500kB, 2MiB.
    #[arg(long, value_name = "SIZE", value_parser = adit_text::size::parse)]
    up: Option<u64>,

    /// So many bytes a second from visitors to it.
    #[arg(long, value_name = "SIZE", value_parser = adit_text::size::parse)]
    down: Option<u64>,

    /// So many bytes a calendar month (UTC), both ways: 10GB.
    #[arg(long, value_name = "SIZE", value_parser = adit_text::size::parse)]
    month: Option<u64>,
}

#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags that are given or not")]
pub(crate) struct GrantRemoveArguments {
    /// Who may not any more.
    #[arg(value_name = "PRINCIPAL")]
    pub(crate) principal: Name,

    /// Anything at all.
    #[arg(long)]
    all: bool,

    /// Listen on these ports.
    #[arg(long, value_name = "PORTS")]
    ports: Option<PortSet>,

    /// Ask for port 0.
    #[arg(long)]
    any_port: bool,

    /// Where its ports listen is where it asks for again.
    #[arg(long)]
    reach: bool,

    /// Have that name, as it was written for adit grant add. As often as you like.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<NamePattern>,

    /// Be given names.
    #[arg(long)]
    any_name: bool,

    /// Have domains that it proves.
    #[arg(long)]
    own_domains: bool,

    /// Serve one site by several connections.
    #[arg(long)]
    pool: bool,

    /// Listen at a Unix socket of that name; * for all. As often as you like.
    #[arg(long = "socket", value_name = "NAME")]
    sockets: Vec<String>,

    /// Open streams to that name at these ports, as it was written for adit grant add.
    #[arg(long = "open", value_name = "NAME:PORTS", value_parser = Target::of_name)]
    open: Vec<Target>,

    /// Open streams to that network at these ports, as it was written for adit grant add.
    #[arg(long = "open-cidr", value_name = "NETWORK:PORTS", value_parser = Target::of_network)]
    open_cidr: Vec<Target>,

    /// It may come from everywhere again.
    #[arg(long)]
    from: bool,

    /// There is no beginning any more.
    #[arg(long)]
    not_before: bool,

    /// There is no end any more.
    #[arg(long)]
    not_after: bool,

    /// The rule of takeover is probe again.
    #[arg(long)]
    takeover: bool,

    /// Leases may be taken over from everywhere again.
    #[arg(long)]
    takeover_from: bool,

    /// Connections are limited by the gateway's own limits alone.
    #[arg(long)]
    max_connections: bool,

    /// Leases are.
    #[arg(long)]
    max_leases: bool,

    /// Byte streams are.
    #[arg(long)]
    max_streams: bool,

    /// Bytes a second to visitors are.
    #[arg(long)]
    up: bool,

    /// Bytes a second from visitors are.
    #[arg(long)]
    down: bool,

    /// Bytes a month are.
    #[arg(long)]
    month: bool,
}

/// Where ports listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReachText {
    /// On the gateway's machine alone, whatever is asked for.
    Local,
    /// Where it is asked for, as ssh has it.
    Asked,
    /// On every address, also without being asked for.
    Public,
}

/// What happens when a principal comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TakeoverText {
    /// The old connection is asked whether it is there.
    Probe,
    /// The new one has it at once.
    Newest,
    /// The old one keeps it while it lives.
    Oldest,
}

impl GrantArguments {
    /// What they say.
    pub(crate) fn change(&self) -> GrantChange {
        GrantChange {
            ports: self.ports.clone(),
            any_port: self.any_port,
            reach: self.reach.map(|reach| match reach {
                ReachText::Local => Reach::Local,
                ReachText::Asked => Reach::Asked,
                ReachText::Public => Reach::Public,
            }),
            names: self.names.clone(),
            any_name: self.any_name,
            own_domains: self.own_domains,
            pool: self.pool,
            sockets: self.sockets.clone(),
            targets: [self.open.as_slice(), &self.open_cidr].concat(),
            sources: self.from.clone(),
            not_before: self.not_before,
            not_after: self.not_after,
            takeover: self.takeover.map(|takeover| match takeover {
                TakeoverText::Probe => Takeover::Probe,
                TakeoverText::Newest => Takeover::Newest,
                TakeoverText::Oldest => Takeover::Oldest,
            }),
            takeover_from: self.takeover_from.clone(),
            limits: Limits {
                connections: self.max_connections,
                leases: self.max_leases,
                streams: self.max_streams,
                up: self.up,
                down: self.down,
                month: self.month,
            },
        }
    }
}

impl GrantRemoveArguments {
    /// What they say.
    pub(crate) fn removal(&self) -> GrantRemoval {
        let settings = [
            (self.any_port, Setting::AnyPort),
            (self.any_name, Setting::AnyName),
            (self.own_domains, Setting::OwnDomains),
            (self.pool, Setting::Pool),
            (self.reach, Setting::Reach),
            (self.from, Setting::From),
            (self.not_before, Setting::NotBefore),
            (self.not_after, Setting::NotAfter),
            (self.takeover, Setting::Takeover),
            (self.takeover_from, Setting::TakeoverFrom),
            (self.max_connections, Setting::MaxConnections),
            (self.max_leases, Setting::MaxLeases),
            (self.max_streams, Setting::MaxStreams),
            (self.up, Setting::Up),
            (self.down, Setting::Down),
            (self.month, Setting::Month),
        ];
        let settings = settings.into_iter().filter(|(is_named, _)| *is_named);
        GrantRemoval {
            all: self.all,
            ports: self.ports.clone(),
            names: self.names.clone(),
            sockets: self.sockets.clone(),
            targets: [self.open.as_slice(), &self.open_cidr].concat(),
            settings: settings.map(|(_, setting)| setting).collect(),
        }
    }
}
