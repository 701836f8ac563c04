//! The command line. The comments here are the help texts.

use std::path::PathBuf;

use adit_tunnel::ssh_config::Wanted;
use clap::{Args, Parser, Subcommand};

use crate::commands::forward::destination::Destination;
use crate::commands::forward::option::{SshOption, jump};
use crate::commands::forward::spec::RemoteForward;

/// Gets a service out from behind a NAT, a firewall or a cellular link, and keeps it out.
#[derive(Debug, Parser)]
#[command(name = "adit", version, about)]
pub(crate) struct Cli {
    /// Log each visitor; twice, each packet's way.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make local services reachable at a host that runs any sshd, until stopped.
    ///
    /// Prints one line for each forward that is up. When the connection ends it comes back by
    /// itself. Exit codes: 0 stopped by a signal, 1 something only a person can mend, 2 the command
    /// line.
    Forward(ForwardArguments),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ForwardArguments {
    /// A remote forward: visitors of PORT at the sshd go to HOST:HOSTPORT from here. Port 0 lets the
    /// sshd choose. As often as you like; RemoteForward lines of the configuration come after them.
    #[arg(short = 'R', value_name = "[BIND:]PORT:HOST:HOSTPORT")]
    pub(crate) forwards: Vec<RemoteForward>,

    /// A private key to log in with, before those of the configuration. Without any:
    /// ~/.ssh/id_ed25519, id_ecdsa, id_rsa, those that are there.
    #[arg(short = 'i', value_name = "KEY")]
    pub(crate) keys: Vec<PathBuf>,

    /// The sshd's port: 22 unless the configuration has another.
    #[arg(short = 'p', value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// A configuration file as ssh has it, in the place of ~/.ssh/config and /etc/ssh/ssh_config; the
    /// word none for no file. What the command line says counts before it.
    #[arg(short = 'F', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Hosts on the way, the nearest first: each is logged in at, and leads to the next. What else
    /// there is to say of them stands in the configuration; the word none passes over its ProxyJump.
    #[arg(short = 'J', value_name = "[USER@]HOST[:PORT],...", value_parser = jump)]
    pub(crate) jump: Option<SshOption>,

    /// Dial IPv4 addresses alone.
    #[arg(short = '4')]
    pub(crate) only_v4: bool,

    /// Dial IPv6 addresses alone.
    #[arg(short = '6', conflicts_with = "only_v4")]
    pub(crate) only_v6: bool,

    /// Pass over the proxy that https_proxy or all_proxy names. Otherwise the first host of the way
    /// is reached through it, unless no_proxy lists that host or a ProxyCommand leads there.
    #[arg(long = "no-proxy")]
    pub(crate) without_proxy: bool,

    /// An option as ssh has it: UserKnownHostsFile, StrictHostKeyChecking (yes, accept-new),
    /// Ciphers, KexAlgorithms, ProxyJump, ProxyCommand, ConnectTimeout, AddressFamily, HostKeyAlias.
    #[arg(short = 'o', value_name = "OPTION=VALUE")]
    pub(crate) options: Vec<SshOption>,

    /// Where the sshd is. Without a user: the configuration's, or the name of yours here.
    #[arg(value_name = "[USER@]HOST")]
    pub(crate) destination: Destination,
}

impl ForwardArguments {
    /// The destination as it was asked for.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            host: self.destination.host.clone(),
            user: self.destination.user.clone(),
            port: self.port,
        }
    }
}
