//! The command line. The comments here are the help texts.

use std::path::PathBuf;

use adit_tunnel::agent::forward::Permit;
use clap::{Args, Parser, Subcommand};

use crate::commands::forward::destination::Destination;
use crate::commands::forward::option::SshOption;
use crate::commands::forward::spec::{DynamicForward, LocalForward, RemoteForward, StdioTarget};

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
    /// Make local services reachable at a host that runs any sshd, and services there reachable here,
    /// until stopped.
    ///
    /// Prints one line for each forward that is up. When the connection ends it comes back by
    /// itself; what listens here stays bound meanwhile, and visitors wait for up to 10 seconds. Exit
    /// codes: 0 stopped by a signal, 1 something only a person can mend, 2 the command line. With -W:
    /// 0 when both ends have finished, 1 otherwise.
    Forward(ForwardArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ForwardArguments {
    /// A remote forward: visitors of PORT at the sshd go to HOST:HOSTPORT from here. Port 0 lets the
    /// sshd choose. Either side may be the path of a Unix socket. With [BIND:]PORT alone, visitors
    /// say by SOCKS where they want to go, within --permit-remote-open. As often as you like;
    /// RemoteForward lines of the configuration come after them.
    #[arg(short = 'R', value_name = "[BIND:]PORT:HOST:HOSTPORT")]
    pub(crate) remote_forwards: Vec<RemoteForward>,

    /// A local forward: visitors of PORT here go to HOST:HOSTPORT from there. Without BIND, loopback
    /// alone; * is every address; port 0 lets the system choose. Either side may be the path of a
    /// Unix socket. As often as you like; LocalForward lines of the configuration come after them.
    #[arg(short = 'L', value_name = "[BIND:]PORT:HOST:HOSTPORT")]
    pub(crate) local_forwards: Vec<LocalForward>,

    /// A dynamic forward: visitors of PORT here say by SOCKS (4, 4a, 5) where they want to go, from
    /// there; names are looked up there. BIND and PORT as with -L. As often as you like;
    /// DynamicForward lines of the configuration come after them.
    #[arg(short = 'D', value_name = "[BIND:]PORT")]
    pub(crate) dynamic_forwards: Vec<DynamicForward>,

    /// Where visitors of a -R without a target may go, as PermitRemoteOpen has it: HOST:PORT, or
    /// HOST:* for every port. Without any: nowhere. As often as you like.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) permit_remote_open: Vec<Permit>,

    /// Standard input and output go to HOST:PORT (or the path of a Unix socket) from there, and
    /// nothing else is forwarded: for a ProxyCommand. It ends with them.
    #[arg(
        short = 'W',
        value_name = "HOST:PORT",
        conflicts_with_all = ["remote_forwards", "local_forwards", "dynamic_forwards", "permit_remote_open"]
    )]
    pub(crate) stdio: Option<StdioTarget>,

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

    /// An option as ssh has it: UserKnownHostsFile, StrictHostKeyChecking (yes, accept-new),
    /// Ciphers, KexAlgorithms.
    #[arg(short = 'o', value_name = "OPTION=VALUE")]
    pub(crate) options: Vec<SshOption>,

    /// Where the sshd is. Without a user: the configuration's, or the name of yours here.
    #[arg(value_name = "[USER@]HOST")]
    pub(crate) destination: Destination,
}
