//! The command line. The comments here are the help texts.

use std::path::PathBuf;

use adit_tunnel::agent::dial::Family;
use adit_tunnel::agent::forward::Permit;
use adit_tunnel::ssh_config::Wanted;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::destination::{Destination, UserName};
use crate::config::option::{SshOption, jump};
use crate::config::spec::{DynamicForward, LocalForward, RemoteForward, StdioTarget};
use crate::config::{Purpose, Written};
use crate::log::Format;

/// Gets a service out from behind a NAT, a firewall or a cellular link, and keeps it out.
#[derive(Debug, Parser)]
#[command(name = "adit", version, about)]
pub(crate) struct Cli {
    /// Log each visitor; twice, each packet's way.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// How the log on stderr is written.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "plain")]
    pub(crate) log_format: Format,

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
    /// codes: 0 stopped by SIGTERM, 1 something only a person can mend, 2 the command line, 130
    /// interrupted. With -W: 0 when both ends have finished, 1 otherwise.
    Forward(Box<ForwardArguments>),

    /// Keep the tunnels of a file, until stopped.
    ///
    /// One tunnel that cannot be had leaves the others alone: it is shown as failed and tried again every
    /// five minutes. Where none of them can be had and none ever was, it ends. Exit codes: 0 stopped by
    /// SIGTERM or adit down, 1 something only a person can mend, 2 the command line, 130 interrupted.
    Up(UpArguments),

    /// End the adit up of a file, and wait until it has ended.
    ///
    /// Exit codes: 0 it has ended, 1 none runs or it does not end, 2 the command line.
    Down(FileArgument),

    /// Show where the tunnels of an adit up stand: of a file, or of all that this user has running.
    ///
    /// A forward is up when bytes made the round trip through it in the last five minutes (probe: in
    /// the file). Exit codes: 0 every forward is up, 1 something is not or nothing runs, 2 the command
    /// line.
    Status(StatusArguments),

    /// Read a file and say what is wrong with it, all at once; nothing is connected.
    ///
    /// Exit codes: 0 nothing is wrong, 1 something is, 2 the command line.
    #[command(visible_alias = "validate")]
    Check(CheckArguments),

    /// Print what makes a shell complete the command line of adit.
    ///
    /// For bash: adit completions bash > ~/.local/share/bash-completion/completions/adit. Exit codes: 0
    /// printed, 1 nobody reads it, 2 the command line.
    Completions(CompletionsArguments),

    /// Write the manual, a page for each command.
    ///
    /// Exit codes: 0 written, 1 the directory cannot be written to, 2 the command line.
    Man(ManArguments),
}

impl Command {
    /// Whether errors alone are to be logged.
    pub(crate) const fn is_quiet(&self) -> bool {
        match self {
            Self::Forward(arguments) => arguments.habits.quiet,
            Self::Up(_)
            | Self::Down(_)
            | Self::Status(_)
            | Self::Check(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ForwardArguments {
    /// A remote forward: visitors of PORT at the sshd go to HOST:HOSTPORT from here. Port 0 lets the
    /// sshd choose. Either side may be the path of a Unix socket. With no more than a port, visitors
    /// say by SOCKS where they want to go, within --permit-remote-open. As often as you like;
    /// RemoteForward lines of the configuration come after them.
    #[arg(short = 'R', value_name = "[BIND:]PORT:HOST:HOSTPORT")]
    pub(crate) remote_forwards: Vec<RemoteForward>,

    /// A local forward: visitors of PORT here go to HOST:HOSTPORT from there. Without BIND, loopback
    /// alone; * is every address; %INTERFACE is every address that the interface has, whatever they
    /// become (%wlan0:8001:localhost:22); port 0 lets the system choose. An address or interface that
    /// is not there is waited for. Either side may be the path of a Unix socket. As often as you like;
    /// LocalForward lines of the configuration come after them.
    #[arg(short = 'L', value_name = "[BIND:]PORT:HOST:HOSTPORT")]
    pub(crate) local_forwards: Vec<LocalForward>,

    /// A dynamic forward: visitors of PORT here say by SOCKS (4, 4a, 5) where they want to go, from
    /// there; names are looked up there. BIND and PORT as with -L. As often as you like;
    /// DynamicForward lines of the configuration come after them.
    #[arg(short = 'D', value_name = "[BIND:]PORT")]
    pub(crate) dynamic_forwards: Vec<DynamicForward>,

    /// Where visitors of a -R without a target may go, as PermitRemoteOpen has it: HOST:PORT, or
    /// HOST:* for every port. Without any: nowhere. A name other than localhost never leads to this
    /// machine's own or its link's addresses: permit the address for that. As often as you like.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) permit_remote_open: Vec<Permit>,

    /// Let a -R without a target listen for everybody (at *, an empty BIND or an address that is no
    /// loopback) and not for the sshd's own machine alone. Whoever reaches that port may then go where
    /// --permit-remote-open leads. Without it visitors from elsewhere are refused, even where an sshd with
    /// GatewayPorts yes listens for them.
    #[arg(long)]
    pub(crate) public_socks: bool,

    /// Standard input and output go to HOST:PORT (or the path of a Unix socket) from there, and
    /// nothing else is forwarded: for a ProxyCommand. It ends with them.
    #[arg(
        short = 'W',
        value_name = "HOST:PORT",
        conflicts_with_all = [
            "remote_forwards",
            "local_forwards",
            "dynamic_forwards",
            "permit_remote_open",
            "public_socks",
            "background",
        ]
    )]
    pub(crate) stdio: Option<StdioTarget>,

    /// End with exit code 1 if a forward is refused, as ssh does with ExitOnForwardFailure. Without it a
    /// refused forward is asked for again and again.
    #[arg(long)]
    pub(crate) exit_on_forward_failure: bool,

    /// A private key to log in with, before those of the configuration; or its public half, where the
    /// ssh-agent has the private one. Without any: ~/.ssh/id_ed25519, id_ecdsa, id_rsa, those that are
    /// there, and all keys of the ssh-agent (SSH_AUTH_SOCK, IdentityAgent).
    #[arg(short = 'i', value_name = "KEY")]
    pub(crate) keys: Vec<PathBuf>,

    /// A file with the passphrase of the keys in its first line, for you alone to read (mode 600).
    /// Without: ADIT_PASSPHRASE of the environment, then the terminal.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// The same for the password. Without: ADIT_PASSWORD, then the terminal. It is never sent to a host
    /// whose key was new in this run and that nobody has looked at.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

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

    #[command(flatten)]
    pub(crate) family: FamilyArguments,

    /// Pass over the proxy that https_proxy or all_proxy names. Otherwise the first host of the way
    /// is reached through it, unless no_proxy lists that host or a ProxyCommand leads there.
    #[arg(long = "no-proxy")]
    pub(crate) without_proxy: bool,

    /// An option as ssh has it, for the destination and before its files: StrictHostKeyChecking (yes,
    /// ask, accept-new), UserKnownHostsFile, ServerAliveInterval, IdentityFile and every other that adit
    /// reads from a configuration.
    #[arg(short = 'o', value_name = "OPTION=VALUE")]
    pub(crate) options: Vec<SshOption>,

    #[command(flatten)]
    pub(crate) habits: Habits,

    /// Where the sshd is. Without a user: the configuration's, or the name of yours here.
    #[arg(value_name = "[USER@]HOST")]
    pub(crate) destination: Destination,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArguments {
    /// The file. Given again, a later one counts before an earlier one, key by key. Without: adit.yml
    /// or adit.yaml here.
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Go to the background once every forward is up. If a tunnel fails before, so does this.
    #[arg(short, long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FileArgument {
    /// The first file that it was started with. Without: adit.yml or adit.yaml here, or else the only one
    /// that runs.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    /// The first file that it was started with. Without: all that run.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// As JSON, an object a line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Again after each change, until interrupted or its end.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArguments {
    /// The file. Given again, a later one counts before an earlier one, key by key. Without: adit.yml
    /// or adit.yaml here.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ManArguments {
    /// Where to: adit.1, adit-forward.1 and so on are written there, for man(1).
    #[arg(value_name = "DIR", required_unless_present = "markdown")]
    pub(crate) folder: Option<PathBuf>,

    /// Print them all as one page in Markdown instead.
    #[arg(long, conflicts_with = "folder")]
    pub(crate) markdown: bool,
}

/// What people write for ssh(1) and autossh(1), so that their lines work here.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags that are given or not")]
pub(crate) struct Habits {
    /// Go to the background once all forwards are up.
    #[arg(short = 'f')]
    pub(crate) background: bool,

    /// The user there, where the destination names none.
    #[arg(short = 'l', value_name = "USER")]
    pub(crate) user: Option<UserName>,

    /// Log errors alone.
    #[arg(short = 'q')]
    pub(crate) quiet: bool,

    /// As with ssh -N. There is never a command, so it changes nothing; nor do -T, -n, -C and -M.
    #[arg(short = 'N')]
    no_command: bool,

    #[arg(short = 'T', hide = true)]
    no_terminal: bool,

    #[arg(short = 'n', hide = true)]
    no_input: bool,

    #[arg(short = 'C', hide = true)]
    compression: bool,

    #[arg(short = 'M', value_name = "PORT", hide = true)]
    monitor: Option<String>,
}

impl Habits {
    /// What was written and has no meaning here, beyond -N, which says what is the case.
    pub(crate) fn without_meaning(&self) -> Vec<&'static str> {
        let all = [
            (self.no_terminal, "-T (there is no terminal to be had)"),
            (self.no_input, "-n (nothing reads the input)"),
            (self.compression, "-C (nothing is compressed)"),
            (
                self.monitor.is_some(),
                "-M (the connection is watched without a port)",
            ),
        ];
        let written = all.into_iter().filter(|(is_written, _)| *is_written);
        written.map(|(_, words)| words).collect()
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FamilyArguments {
    /// Dial IPv4 addresses alone.
    #[arg(short = '4')]
    pub(crate) only_v4: bool,

    /// Dial IPv6 addresses alone.
    #[arg(short = '6', conflicts_with = "only_v4")]
    pub(crate) only_v6: bool,
}

impl ForwardArguments {
    /// The user that the destination names, or `-l`.
    fn user(&self) -> Option<String> {
        let named = self.destination.user.clone();
        named.or_else(|| self.habits.user.as_ref().map(|user| user.0.clone()))
    }

    /// What it says of the tunnel.
    pub(crate) fn written(&self) -> Written {
        let local = self.local_forwards.iter().map(|one| &one.0);
        let dynamic = self.dynamic_forwards.iter().map(|one| &one.0);
        let remote = self.remote_forwards.iter().map(|one| &one.0);
        Written {
            wanted: Wanted {
                host: self.destination.host.clone(),
                user: self.user(),
                port: self.port,
            },
            forwards: local.chain(dynamic).chain(remote).cloned().collect(),
            permits: self.permit_remote_open.clone(),
            public_socks: self.public_socks,
            purpose: match self.stdio {
                Some(_) => Purpose::Stream,
                None => Purpose::Forwards,
            },
            exit_on_forward_failure: self.exit_on_forward_failure,
            keys: self.keys.clone(),
            passphrase_file: self.passphrase_file.clone(),
            password_file: self.password_file.clone(),
            config: self.config.clone(),
            jump: self.jump.clone(),
            family: match (self.family.only_v4, self.family.only_v6) {
                (true, _) => Some(Family::V4),
                (false, true) => Some(Family::V6),
                (false, false) => None,
            },
            without_proxy: self.without_proxy,
            options: self.options.clone(),
            keep_alive: None,
            takes_password: true,
        }
    }
}
