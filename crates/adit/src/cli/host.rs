//! Commands about hosts by name.

use std::path::PathBuf;

use adit_fleet::host::{HostName, UserName};
use adit_model::port::PortSet;
use adit_model::prefix::PortPrefix;
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum HostCommand {
    /// Print the names that expressions stand for, one a line, in order, each once.
    ///
    /// Exit codes: 0 printed, 1 a file of groups cannot be read, 2 an expression is wrong, and shown where.
    Expand(ExpandArguments),

    /// Print the shortest expression that stands for these names, in their order.
    ///
    /// Exit codes: 0 printed, 1 a file of groups or standard input cannot be read, 2 a name is wrong, and shown where.
    Fold(FoldArguments),

    /// Look after the table of ports: which port here stands for which service of which host.
    #[command(subcommand)]
    Tunnel(TunnelCommand),

    /// Keep the tunnels of the table, until stopped.
    ///
    /// A connection for each host, a listener for each port; each heals by itself. adit host tunnel create starts this
    /// where nobody keeps the table, and adit service install hosts has it started at boot. Exit codes: 0 stopped by
    /// SIGTERM or adit host down, 1 the table cannot be read or somebody keeps it already, 2 the command line, 130
    /// interrupted.
    Up(HostUpArguments),

    /// End whoever keeps the tunnels of the table, and wait until it has ended.
    ///
    /// The table stays as it is. Exit codes: 0 it has ended, or nobody kept it, 1 it does not end, 2 the command line.
    Down(HostDownArguments),
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TunnelCommand {
    /// Give services of hosts ports here, and have them kept.
    ///
    /// Host by host, and the services of each in their order, from START on: adit host tunnel create red00[1-2] 80
    /// 8080 makes 8080 lead to port 80 of red001 and 8081 to that of red002. What is in the table keeps its port
    /// whatever is created or deleted around it, and the same command again changes nothing. Either all is made or
    /// nothing. The hosts run any sshd, which is logged in at as ssh would; a service may listen there at the
    /// loopback alone. With --gateway the ports are a gateway's, reserved for devices of those names. Exit codes: 0
    /// the table has all of it, 1 it has not and nothing is changed, 2 the command line.
    #[command(visible_alias = "add")]
    Create(CreateArguments),

    /// Take services of hosts out of the table, and end their tunnels.
    ///
    /// All services of a host, or those that are named. Others keep their ports and their visitors. Exit codes: 0 none
    /// of it is in the table, 1 the table cannot be written, 2 the command line.
    #[command(visible_alias = "remove")]
    Delete(DeleteArguments),

    /// Show the table, and where each tunnel stands.
    ///
    /// Exit codes: 0 shown, 1 the table cannot be read, 2 the command line.
    List(ListArguments),

    /// Visit each service through its tunnel, and say which are reached.
    ///
    /// The host is asked to connect to its service; nothing is said to that. Exit codes: 0 each is reached, 1 one is not, or
    /// nobody keeps the table, 2 the command line.
    Check(ListArguments),
}

/// Expressions that stand for hosts.
#[derive(Debug, Clone, Args)]
pub(crate) struct GroupArguments {
    /// A file with groups:; without, the adit.yml of this folder, ~/.config/adit/adit.yml or /etc/adit/adit.yml.
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Leave these out.
    #[arg(short = 'x', long = "exclude", value_name = "EXPR")]
    pub(crate) except: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExpandArguments {
    #[command(flatten)]
    pub(crate) groups: GroupArguments,

    /// What is expanded: red00[1-3], n[0-6/2], a[1-2]b[3-4], @group, red*, with , ! & ^ between.
    #[arg(value_name = "EXPR", required = true)]
    pub(crate) expressions: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FoldArguments {
    #[command(flatten)]
    pub(crate) groups: GroupArguments,

    /// Sort the names first, numbers in them as numbers.
    #[arg(long)]
    pub(crate) sort: bool,

    /// The names, or expressions that stand for some; - is standard input, blanks between the names.
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
}

/// Where the table is.
#[derive(Debug, Clone, Args)]
pub(crate) struct TableArguments {
    /// The folder of the table: root's is /var/lib/adit-hosts, others' ~/.local/state/adit/hosts.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// The table of a gateway, by its data directory: devices of those names, and ports that are theirs alone.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub(crate) gateway: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArguments {
    /// How it is printed.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Output,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// An array of objects.
    Json,
    /// A list of mappings.
    Yaml,
    /// Values between commas, below their names (RFC 4180).
    Csv,
}

/// What each command about a table takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct AboutTable {
    #[command(flatten)]
    pub(crate) groups: GroupArguments,

    #[command(flatten)]
    pub(crate) table: TableArguments,

    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArguments {
    #[command(flatten)]
    pub(crate) about: AboutTable,

    /// The hosts, as ssh knows them: red00[1-2], pi@red00[1-2], @group.
    #[arg(value_name = "NAMES")]
    pub(crate) names: String,

    /// The ports of their services: 80, 80,443 or 8000-8003. Without: 22, to log in.
    #[arg(value_name = "SERVICE_PORTS", default_value = "22", value_parser = ports)]
    pub(crate) services: ServicePorts,

    /// The first port here. Without: 8001.
    #[arg(value_name = "EXTERNAL_START_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) start: Option<u16>,

    /// The same.
    #[arg(
        long,
        value_name = "START",
        conflicts_with_all = ["start", "port_prefix"],
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) port: Option<u16>,

    /// Ports by rule instead: this number and the service's port behind it, of the next host the next number. 401 and
    /// 22 are 40122.
    #[arg(long, value_name = "NUMBER", conflicts_with = "start")]
    pub(crate) port_prefix: Option<PortPrefix>,

    /// Where to listen here: an address, localhost, * for every address, or an interface by its name, whose addresses are followed.
    #[arg(long, value_name = "ADDRESS|INTERFACE", default_value = "*", value_parser = bind)]
    pub(crate) bind: String,

    /// The machine that has the services, as the hosts see it. Without: each host itself.
    #[arg(long, value_name = "HOST")]
    pub(crate) to: Option<HostName>,

    /// Who to log in as, of names that do not say it.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<UserName>,

    /// Pass over ports that other programs have, instead of refusing all.
    #[arg(long)]
    pub(crate) skip_busy: bool,

    /// Print what the table would be; nothing is changed.
    #[arg(long, visible_alias = "dryrun")]
    pub(crate) dry_run: bool,

    /// Write the table, and start nobody who keeps it.
    #[arg(long)]
    pub(crate) no_start: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeleteArguments {
    #[command(flatten)]
    pub(crate) about: AboutTable,

    /// The hosts.
    #[arg(value_name = "NAMES")]
    pub(crate) names: String,

    /// The ports of their services. Without: all.
    #[arg(value_name = "SERVICE_PORTS", value_parser = ports)]
    pub(crate) services: Option<ServicePorts>,

    /// Print what would go; nothing is changed.
    #[arg(long, visible_alias = "dryrun")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) about: AboutTable,

    /// The hosts. Without: all.
    #[arg(value_name = "NAMES")]
    pub(crate) names: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HostUpArguments {
    /// The folder of the table: root's is /var/lib/adit-hosts, others' ~/.local/state/adit/hosts.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Go to the background once all that is in the table listens.
    #[arg(short, long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HostDownArguments {
    /// The folder of the table: root's is /var/lib/adit-hosts, others' ~/.local/state/adit/hosts.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Ports of services in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServicePorts(pub(crate) Vec<u16>);

/// `80,443,8000-8003`, in that order.
fn ports(text: &str) -> Result<ServicePorts, String> {
    let mut ports = Vec::new();
    for part in text.split(',') {
        let set: PortSet = part.trim().parse().map_err(|error| format!("{error}"))?;
        let is_list = part
            .trim()
            .starts_with(|first: char| first.is_ascii_digit());
        if !is_list || set.is_empty() {
            return Err(format!(
                "{part:?} is no port; ports are numbers and ranges like 22,8000-8003"
            ));
        }
        for port in set.iter() {
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
    }
    Ok(ServicePorts(ports))
}

/// Where to listen, as the table has it.
fn bind(text: &str) -> Result<String, String> {
    if matches!(text, "*" | "localhost") || text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let name = text.strip_prefix('%').unwrap_or(text);
    match adit_tunnel::agent::network::InterfaceName::new(name) {
        Ok(_) => Ok(format!("%{name}")),
        Err(error) => Err(format!(
            "{error}; say an address, localhost, * for every address, or an interface like wlan0"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_keep_their_order() {
        assert_eq!(
            ports("443, 80,8000-8002,80").unwrap().0,
            [443, 80, 8_000, 8_001, 8_002]
        );
        for text in ["", "0", "80,", "*", "none", "80-70", "http", "1-", "65536"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn it_listens_at_an_address_or_an_interface() {
        for (text, expected) in [
            ("*", "*"),
            ("localhost", "localhost"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::1"),
            ("wlan0", "%wlan0"),
            ("%wlan0", "%wlan0"),
        ] {
            assert_eq!(bind(text).unwrap(), expected);
        }
        for text in ["", "a b", "wlan0\n", "an-interface-with-a-long-name", "a/b"] {
            assert!(bind(text).is_err(), "{text:?}");
        }
    }
}
