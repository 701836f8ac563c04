//! `adit ssh` and `adit open`: stock ssh by names, and any service of a named host.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use adit_fleet::host::{Host, HostName, UserName};
use adit_fleet::ssh_block::IdentityFile;
use adit_tunnel::agent::forward::{Destination as Leads, Forward, Listens};
use adit_tunnel::transport::{Bind, Target};
use clap::{Args, Subcommand};

use super::host::GroupArguments;
use super::peer::{FamilyArguments, LoginArguments, WayArguments};
use crate::config::destination::{Destination, HostAndPort};
use crate::config::option::{SshOption, jump};
use crate::config::{Purpose, Written};
use crate::names::as_user;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SshCommand {
    /// Have stock ssh, scp and adit know hosts by their names, through the host that stands before them.
    ///
    /// Writes a marked block to ~/.ssh/config: adit ssh config red00[1-2] red has ssh red001 go through red. What is
    /// in the file besides stays as it is, byte by byte; the same command again changes nothing, and another for the
    /// same manager replaces its block alone. A new block goes to the top of the file, since ssh takes the first of
    /// what is said of a host. Exit codes: 0 it stands there (or is printed), 1 it cannot be written, nothing is
    /// changed then, 2 the command line.
    Config(Box<ConfigArguments>),

    /// Have hosts take a key of yours, so that no password is asked for again, and prove that they do.
    ///
    /// Logs in at one host after the other as it can (by keys, the ssh-agent, a password that is asked for), adds the
    /// public key to ~/.ssh/authorized_keys there, once, and logs in anew by that key alone. Without -i it is
    /// ~/.ssh/id_ed25519, which is made if it is not there, without a passphrase. A host that fails leaves the others
    /// alone. Exit codes: 0 all of them take the key, 1 some do not, 2 the command line, 130 interrupted.
    CopyId(Box<CopyIdArguments>),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArguments {
    /// The hosts, as in red00[1-2] or pi@red001,pi@red002.
    #[arg(value_name = "NAMES", required_unless_present = "remove")]
    pub(crate) names: Option<String>,

    #[command(flatten)]
    pub(crate) groups: GroupArguments,

    /// The host that stands before them, by the name that it is to have; it may have a user before an @.
    #[arg(value_name = "MANAGER", required_unless_present = "remove")]
    pub(crate) manager: Option<Host>,

    /// Where the manager is dialled. Without: MANAGER.local, or MANAGER itself if it has a dot or is an address.
    #[arg(long, value_name = "HOST", conflicts_with = "remove")]
    pub(crate) manager_host: Option<HostName>,

    /// Who logs in at all of them, where no user stands before an @.
    #[arg(long, value_name = "USER", conflicts_with = "remove")]
    pub(crate) user: Option<UserName>,

    /// The private key to log in with, from / or ~/, as IdentityFile has it.
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    pub(crate) identity: Option<IdentityFile>,

    /// Reach them at ports of the manager instead of through it: the first at START, the next at START+1. 8001 without
    /// a number.
    #[arg(
        long,
        value_name = "START",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "8001",
        value_parser = clap::value_parser!(u16).range(1..),
        conflicts_with = "remove"
    )]
    pub(crate) ports: Option<u16>,

    /// Reach them at the ports of the manager that the table of adit host tunnel has for their ssh (port 22): said at
    /// the manager, with --laptop. Users that stand there count where NAMES has none.
    #[arg(long, conflicts_with_all = ["ports", "remove"])]
    pub(crate) table: bool,

    /// The folder of that table, as with adit host tunnel.
    #[arg(long, value_name = "DIR", requires = "table")]
    pub(crate) data: Option<PathBuf>,

    /// Take the block of that manager away instead.
    #[arg(long, value_name = "MANAGER", conflicts_with_all = ["names", "manager"])]
    pub(crate) remove: Option<HostName>,

    /// The file, instead of ~/.ssh/config.
    #[arg(short = 'F', value_name = "FILE", conflicts_with = "laptop")]
    pub(crate) file: Option<PathBuf>,

    /// Print the block, and write nothing.
    #[arg(long, conflicts_with_all = ["remove", "laptop", "dry_run"])]
    pub(crate) print: bool,

    /// Print the file as it would be, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Write it on that machine, which is logged in at, and not here.
    #[arg(long, value_name = "[USER@]HOST")]
    pub(crate) laptop: Option<Destination>,

    /// The port of its sshd.
    #[arg(
        short = 'p',
        value_name = "PORT",
        requires = "laptop",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) port: Option<u16>,

    /// Hosts on the way to it.
    #[arg(
        short = 'J',
        value_name = "[USER@]HOST[:PORT],...",
        requires = "laptop",
        value_parser = jump
    )]
    pub(crate) jump: Option<SshOption>,

    /// An option as ssh has it, for logging in there.
    #[arg(short = 'o', value_name = "OPTION=VALUE", requires = "laptop")]
    pub(crate) options: Vec<SshOption>,

    #[command(flatten)]
    pub(crate) login: LoginArguments,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CopyIdArguments {
    /// The private key whose public half they are to take; or that half, if an ssh-agent has the other.
    #[arg(short = 'i', value_name = "KEY")]
    pub(crate) key: Option<PathBuf>,

    /// Say what would be done, and do nothing: no host is asked.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// A file with the passphrase of the keys in its first line, for you alone to read (mode 600).
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// The same for the password. Without: ADIT_PASSWORD, then the terminal. It is never sent to a host whose key was
    /// new in this run and that nobody has looked at.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) way: WayArguments,

    /// The hosts, as in pi@red00[1-2].
    #[arg(value_name = "NAMES")]
    pub(crate) names: String,

    #[command(flatten)]
    pub(crate) groups: GroupArguments,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OpenArguments {
    /// The host by its name, and the port there; or the host and port that it is to lead to, from there.
    #[arg(value_name = "[USER@]NAME:[HOST:]PORT")]
    pub(crate) service: NamedService,

    /// The port here, at 127.0.0.1. Without: any that is free.
    #[arg(value_name = "LOCAL")]
    pub(crate) local: Option<u16>,

    #[command(flatten)]
    pub(crate) login: LoginArguments,

    #[command(flatten)]
    pub(crate) way: WayArguments,
}

/// A service of a host that is logged in at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedService {
    /// The host.
    pub(crate) host: Host,
    /// What it is to dial.
    pub(crate) target: Target,
}

/// The text names no service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceError;

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "write NAME:PORT, for example red001:80, or NAME:HOST:PORT for what is behind it, with an IPv6 address in \
             brackets",
        )
    }
}

impl std::error::Error for ServiceError {}

impl FromStr for NamedService {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let (user, text) = match text.rsplit_once('@') {
            Some((user, text)) => (Some(user.parse().map_err(|_| ServiceError)?), text),
            None => (None, text),
        };
        let (name, target) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or(ServiceError)?,
            None => text.split_once(':').ok_or(ServiceError)?,
        };
        let target = if target.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("localhost:{target}")
        } else {
            target.to_owned()
        };
        let HostAndPort { host, port } = target.parse().map_err(|_| ServiceError)?;
        Ok(Self {
            host: Host {
                user,
                name: name.parse().map_err(|_| ServiceError)?,
            },
            target: Target::Tcp {
                host,
                port: port.ok_or(ServiceError)?,
            },
        })
    }
}

impl fmt::Display for NamedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.host.name.as_str();
        if name.contains(':') {
            write!(f, "[{name}]:")?;
        } else {
            write!(f, "{name}:")?;
        }
        match &self.target {
            Target::Tcp { host, port } if host == "localhost" => port.fmt(f),
            target @ (Target::Tcp { .. } | Target::Unix { .. }) => target.fmt(f),
        }
    }
}

impl OpenArguments {
    /// What it says of the tunnel.
    pub(crate) fn written(&self) -> Written {
        let Host { user, name } = self.service.host.clone();
        let user = user.map(String::from);
        let forward = Forward {
            listens: Listens::Here,
            bind: Bind::Tcp {
                host: String::from("127.0.0.1"),
                port: self.local.unwrap_or_default(),
            },
            to: Leads::One(self.service.target.clone()),
        };
        Written {
            forwards: vec![forward],
            purpose: Purpose::Only,
            ..self
                .way
                .written(self.way.wanted(name.as_str(), user), &self.login)
        }
    }
}

impl ConfigArguments {
    /// How the other machine is logged in at.
    pub(crate) fn laptop(&self, there: &Destination) -> Written {
        let way = WayArguments {
            port: self.port,
            config: None,
            jump: self.jump.clone(),
            family: FamilyArguments {
                only_v4: false,
                only_v6: false,
            },
            without_proxy: false,
            options: self.options.clone(),
        };
        let wanted = way.wanted(&there.host, there.user.clone());
        Written {
            purpose: Purpose::Stream,
            ..way.written(wanted, &self.login)
        }
    }

    /// The manager, as the user of all if it names none.
    pub(crate) fn manager(&self) -> Option<Host> {
        let manager = self.manager.clone()?;
        Some(as_user(manager, self.user.as_ref()))
    }
}

impl CopyIdArguments {
    /// How a host is logged in at, with those keys before what else there is.
    pub(crate) fn written(&self, host: &Host, keys: Vec<PathBuf>) -> Written {
        let user = host.user.clone().map(String::from);
        let login = LoginArguments {
            keys,
            passphrase_file: self.passphrase_file.clone(),
            password_file: self.password_file.clone(),
            pins: Vec::new(),
        };
        let wanted = self.way.wanted(host.name.as_str(), user);
        Written {
            purpose: Purpose::Stream,
            ..self.way.written(wanted, &login)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_host_and_what_it_dials() {
        for (text, host, target) in [
            ("red001:80", "red001", "localhost:80"),
            ("pi@red001:80", "pi@red001", "localhost:80"),
            ("red001:db.lan:5432", "red001", "db.lan:5432"),
            ("red001:[::1]:80", "red001", "[::1]:80"),
            ("[2001:db8::1]:80", "2001:db8::1", "localhost:80"),
        ] {
            let service: NamedService = text.parse().unwrap();
            let read = (service.host.to_string(), service.target.to_string());
            assert_eq!(read, (host.to_owned(), target.to_owned()));
            let shown = service.to_string();
            assert!(text.ends_with(&shown), "{text} {shown}");
        }
        for text in [
            "",
            "red001",
            "red001:",
            ":80",
            "red001:0",
            "red001:http",
            "red001:65536",
            "a b:80",
            "red\n:80",
            "x y@a:80",
            "-oProxyCommand=x:80",
            "red001:a;b:80",
        ] {
            assert_eq!(text.parse::<NamedService>(), Err(ServiceError), "{text:?}");
        }
    }
}
