//! The command line. The comments here are the help texts.

use std::path::PathBuf;

use adit_tunnel::agent::login::known_hosts::PinnedKey;
use adit_tunnel::ssh_config::Wanted;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::admin::{
    AdminArguments, AuditCommand, AuthorityCommand, GatewayArguments, GrantCommand, HostKeyCommand,
    InviteCommand, KeyCommand, LeaseCommand, PrincipalCommand, ReloadArguments, ReservationCommand,
    RevokeCommand,
};
pub(crate) use self::compose::{
    CheckArguments, EnvironmentArguments, RunArguments, SourceArguments, UpArguments,
};
pub(crate) use self::enrolment::{
    ExposeArguments, ImportArguments, ImportKind, JoinArguments, Service,
};
pub(crate) use self::gateway::ServeArguments;
pub(crate) use self::host::{
    CreateArguments, DeleteArguments, ExpandArguments, FoldArguments, GroupArguments, HostCommand,
    HostDownArguments, HostUpArguments, ListArguments, Output, TunnelCommand,
};
pub(crate) use self::peer::{ForwardsArguments, LoginArguments, WayArguments};
pub(crate) use self::service::{
    Init, InstallArguments, LogsArguments, ServiceArguments, ServiceCommand, What,
};
pub(crate) use self::ssh::{
    ConfigArguments, CopyIdArguments, NamedService, OpenArguments, SshCommand,
};
use crate::config::destination::{Destination, HostAndPort, UserName};
use crate::config::spec::StdioTarget;
use crate::config::{Purpose, Written};
use crate::log::Format;

mod admin;
mod compose;
mod enrolment;
mod gateway;
mod host;
mod peer;
mod service;
mod ssh;

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

    /// A file for the command, before those that it names itself.
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

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

    /// Keep what a file says, until stopped: its tunnels, and its workflows with all that they need.
    ///
    /// Listeners are bound first, then gateways are connected, components set up (install, build) and
    /// started, and last the controller opens. One tunnel that cannot be had leaves the others alone: it is shown
    /// as failed and tried again every five minutes. Where none of them can be had and none ever was, it
    /// ends. Exit codes: 0 stopped by SIGTERM, adit down or adit stop, 1 something only a person can mend, 2
    /// the command line, 130 interrupted.
    Up(UpArguments),

    /// Keep what a file says, as adit up does, without setting components up.
    ///
    /// The install and build scripts of components are passed over. Exit codes: 0 stopped by SIGTERM, adit
    /// down or adit stop, 1 something only a person can mend, 2 the command line, 130 interrupted.
    Start(UpArguments),

    /// End the adit up of a file, take its components down, and wait until it has ended.
    ///
    /// The clean scripts of components are run after everything else has ended; where none is up, they are
    /// run all the same. Exit codes: 0 it has ended, or none was up, 1 it does not end or a script
    /// failed, 2 the command line, 129 SIGHUP stopped the scripts, 130 SIGINT did, 143
    /// SIGTERM did.
    Down(SourceArguments),

    /// End the adit up of a file, or a gateway, and wait until it has ended.
    ///
    /// As adit down, without the clean scripts. With --data, the gateway that runs with that directory ends as by
    /// SIGTERM: visitors have the time of drain: in its settings. Exit codes: 0 it has ended, or none was up, 1 it
    /// does not end or no gateway runs, 2 the command line.
    Stop(StopArguments),

    /// Run a workflow of a file, and print what it gives.
    ///
    /// If an adit up of the file runs, it is run there; otherwise here, with only what the workflow can come to
    /// use. The result alone goes to standard output: text as it is, all else as JSON. Interrupted,
    /// it stops the run wherever that is; if it is killed, a run in an adit up goes on.
    /// Exit codes: 0 it has given its result, 1 it failed or its result cannot be written, 2 the command
    /// line or the input, 129 stopped by SIGHUP, 130 interrupted, 143 stopped by SIGTERM.
    Run(RunArguments),

    /// Show where the tunnels of an adit up stand, of a file or of all that this user has running; or how a gateway
    /// is.
    ///
    /// A forward is up when bytes made the round trip through it in the last five minutes (probe: in
    /// the file). A gateway is ready while it serves and its database answers; adit lease list shows its ports.
    /// Exit codes: 0 every forward is up, or the gateway is ready, 1 something is not or nothing runs, 2 the command
    /// line.
    Status(StatusArguments),

    /// Read a file and say what is wrong with it, all at once; nothing is connected.
    ///
    /// Exit codes: 0 nothing is wrong, 1 something is, 2 the command line.
    Check(CheckArguments),

    /// Read a file as adit check does, and say in a line what it holds.
    ///
    /// Exit codes: 0 nothing is wrong, 1 something is, 2 the command line.
    Validate(SourceArguments),

    /// Be the public end: let ssh and adit in, and serve the visitors of what they forward, until stopped.
    ///
    /// Whoever logs in is somebody that the store knows, or a line of a file of keys. A forward that is granted
    /// is held for its owner while it is away, also over a restart of the gateway, and is given back
    /// to it at once. SIGHUP reads the settings and the files of keys again. Exit codes: 0 stopped by SIGTERM, 1
    /// something only a person can mend, 2 the command line, 130 interrupted.
    Serve(Box<ServeArguments>),

    /// Look after the people who may log in at a gateway.
    ///
    /// Somebody has a name, keys (adit key), and a grant that says what for (adit grant).
    User(AdminArguments<PrincipalCommand>),

    /// Look after the machines that may log in at a gateway.
    ///
    /// A device has a name, keys (adit key), and a grant that says what for (adit grant).
    Device(AdminArguments<PrincipalCommand>),

    /// Look after the keys that users and devices log in with.
    Key(AdminArguments<KeyCommand>),

    /// Look after what users and devices may do at a gateway.
    Grant(AdminArguments<GrantCommand>),

    /// See which ports, names and sockets are held at a gateway, and take them away.
    Lease(AdminArguments<LeaseCommand>),

    /// Keep ports and names of a gateway for one user or device.
    Reservation(AdminArguments<ReservationCommand>),

    /// Look after the authorities whose certificates a gateway takes.
    Authority(AdminArguments<AuthorityCommand>),

    /// Keep keys and certificates out of a gateway for good.
    Revoke(AdminArguments<RevokeCommand>),

    /// See and change the keys that a gateway is known by.
    HostKey(AdminArguments<HostKeyCommand>),

    /// Let machines become devices of a gateway by codes, each once.
    Invite(AdminArguments<InviteCommand>),

    /// See who changed what at a gateway.
    Audit(AdminArguments<AuditCommand>),

    /// Have a gateway read its settings and its files of keys again, as SIGHUP does.
    ///
    /// All of it holds, or nothing is changed. Nobody is disconnected but those who may not be there any more.
    /// Exit codes: 0 it was read, 1 something is wrong with it (nothing is changed) or no gateway runs, 2 the
    /// command line.
    Reload(ReloadArguments),

    /// Make this machine a device of a gateway, by a code that adit invite add prints there.
    ///
    /// Asks for the code at the terminal; no flag takes it, since command lines are seen by others. The code says
    /// which host key the gateway has, and nothing of it is sent to a host that has another. Then this machine makes
    /// a key of its own, and logs in with it from there on: adit expose, adit forward and adit up need no more than
    /// the gateway's name. If the connection is lost in the middle, the same command with the same code does the
    /// rest. Exit codes: 0 joined, 1 the code or the host is not the right one, or the gateway is not reached, 2 the
    /// command line, 130 interrupted.
    Join(Box<JoinArguments>),

    /// Make a service of this machine a site under a name of a gateway that was joined, until stopped.
    ///
    /// Prints the URL once visitors get through, and shows them as they come. When the connection ends it comes back
    /// by itself. Exit codes: 0 stopped by SIGTERM, 1 this machine has joined no gateway, or that refuses the name, 2
    /// the command line, 130 interrupted.
    Expose(ExposeArguments),

    /// Have stock ssh know hosts by their names, and log in there by a key.
    #[command(subcommand)]
    Ssh(SshCommand),

    /// Make a service of a named host reachable here, until stopped.
    ///
    /// adit open red001:80 prints http://localhost:49152 -> red001:80, with a port that was free. The host is logged in
    /// at by what the configuration says of its name (adit ssh config writes it) or through -J, and dials the service
    /// itself, so that what listens for red001 alone is reached; red001:db.lan:5432 is a host behind it. When the
    /// connection ends it comes back by itself. Exit codes: 0 stopped by SIGTERM, 1 the host was not reached at first, the
    /// port here is taken, or something only a person can mend, 2 the command line, 130 interrupted.
    Open(Box<OpenArguments>),

    /// Name hosts by ranges, and give their services ports here.
    #[command(subcommand)]
    Host(HostCommand),

    /// Have adit started at boot, and see how it does.
    #[command(subcommand)]
    Service(Box<ServiceCommand>),

    /// Read a file of another program, and print what says the same to adit.
    ///
    /// Nothing is changed, run or read besides that file. What has no like here is told on standard error, with its
    /// line; a restriction that cannot be kept leaves out what it restricts. Secrets are never printed. Exit codes: 0
    /// all of it has its like, 1 something has not, or the file cannot be read, 2 the command line.
    Import(ImportArguments),

    /// Find out what is wrong with a tunnel, and say what to change.
    ///
    /// Looks at this machine's clock, services and ports; the host's name, addresses and key; the login; and,
    /// over one connection, whether forwards are granted, where they are bound and whether bytes make the
    /// round trip. What is granted is given back, and what an adit up keeps is not touched. Services here
    /// are asked as gently as an adit up asks them; where a local forward leads sees one connection
    /// that says nothing. A line for each check: ok, warn, or FAIL with what to change. Exit codes: 0 no
    /// check failed, 1 one did, 2 the command line.
    Doctor(Box<DoctorArguments>),

    /// Write a host's key down in known_hosts, by its fingerprint.
    ///
    /// The host is asked for its keys and left before any login. If it has the one of that fingerprint, it
    /// is known from then on, and a password may be sent there without anybody at the terminal. Exit
    /// codes: 0 it is known by that key, 1 it has no such key or is known by another (nothing is written),
    /// 2 the command line.
    Trust(Box<TrustArguments>),

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

impl Cli {
    /// The command line of this process; where it is not understood, the program ends with code 2.
    pub(crate) fn read() -> Self {
        let mut cli = Self::parse();
        let named = std::mem::take(&mut cli.files);
        if named.is_empty() {
            return cli;
        }
        if let Some(files) = cli.command.files() {
            files.splice(0..0, named);
            return cli;
        }
        let words = "the command reads no file: -f does not belong before it";
        Self::command()
            .error(ErrorKind::ArgumentConflict, words)
            .exit()
    }
}

impl Command {
    /// The files that are named for it, if it reads some.
    fn files(&mut self) -> Option<&mut Vec<PathBuf>> {
        match self {
            Self::Up(arguments) | Self::Start(arguments) => Some(&mut arguments.source.files),
            Self::Down(source) | Self::Validate(source) => Some(&mut source.files),
            Self::Stop(arguments) => Some(&mut arguments.source.files),
            Self::Run(arguments) => Some(&mut arguments.source.files),
            Self::Check(arguments) => Some(&mut arguments.files),
            Self::Status(arguments) => Some(&mut arguments.files),
            Self::Doctor(arguments) => Some(&mut arguments.files),
            Self::Forward(_)
            | Self::Serve(_)
            | Self::User(_)
            | Self::Device(_)
            | Self::Key(_)
            | Self::Grant(_)
            | Self::Lease(_)
            | Self::Reservation(_)
            | Self::Authority(_)
            | Self::Revoke(_)
            | Self::HostKey(_)
            | Self::Invite(_)
            | Self::Audit(_)
            | Self::Reload(_)
            | Self::Join(_)
            | Self::Expose(_)
            | Self::Ssh(_)
            | Self::Open(_)
            | Self::Host(_)
            | Self::Service(_)
            | Self::Import(_)
            | Self::Trust(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }

    /// Whether errors alone are to be logged.
    pub(crate) const fn is_quiet(&self) -> bool {
        match self {
            Self::Forward(arguments) => arguments.habits.quiet,
            // What is worth knowing is in what they say anyway.
            Self::Doctor(_) | Self::Run(_) | Self::Expose(_) | Self::Join(_) | Self::Ssh(_) => true,
            Self::Up(_)
            | Self::Start(_)
            | Self::Down(_)
            | Self::Stop(_)
            | Self::Status(_)
            | Self::Check(_)
            | Self::Validate(_)
            | Self::Serve(_)
            | Self::User(_)
            | Self::Device(_)
            | Self::Key(_)
            | Self::Grant(_)
            | Self::Lease(_)
            | Self::Reservation(_)
            | Self::Authority(_)
            | Self::Revoke(_)
            | Self::HostKey(_)
            | Self::Invite(_)
            | Self::Audit(_)
            | Self::Reload(_)
            | Self::Open(_)
            | Self::Host(_)
            | Self::Service(_)
            | Self::Import(_)
            | Self::Trust(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ForwardArguments {
    #[command(flatten)]
    pub(crate) forwards: ForwardsArguments,

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

    #[command(flatten)]
    pub(crate) login: LoginArguments,

    #[command(flatten)]
    pub(crate) way: WayArguments,

    #[command(flatten)]
    pub(crate) habits: Habits,

    /// Where the sshd is. Without a user: the configuration's, or the name of yours here.
    #[arg(value_name = "[USER@]HOST")]
    pub(crate) destination: Destination,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    /// The file that it was started with; of several the first counts. Without: all that run.
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// As JSON, an object a line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Again after each change, until interrupted or its end.
    #[arg(short, long)]
    pub(crate) watch: bool,

    /// The gateway that runs with this data directory is meant. Without, and with nothing up: that of ADIT_DATA.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["files", "watch"])]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StopArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,

    /// The gateway that runs with this data directory is meant.
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) forwards: ForwardsArguments,

    #[command(flatten)]
    pub(crate) login: LoginArguments,

    #[command(flatten)]
    pub(crate) way: WayArguments,

    /// The user there, where the destination names none.
    #[arg(short = 'l', value_name = "USER")]
    pub(crate) user: Option<UserName>,

    /// The file with the tunnels. Given again, a later one counts before an earlier one, key by key.
    /// Without: the usual one here, as with adit up.
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) environment: EnvironmentArguments,

    /// As JSON, an object for each check and line.
    #[arg(long)]
    pub(crate) json: bool,

    /// A tunnel of the file, by its name; or a host, with the options that adit forward would have. A
    /// host without a forward is asked for one of port 0. Without: all tunnels of the file.
    #[arg(value_name = "TUNNEL|[USER@]HOST")]
    pub(crate) target: Option<Destination>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustArguments {
    #[command(flatten)]
    pub(crate) way: WayArguments,

    /// The host, as it is written elsewhere: a name of the configuration will do. An IPv6 address with a
    /// port stands in brackets.
    #[arg(value_name = "HOST[:PORT]")]
    pub(crate) host: HostAndPort,

    /// The fingerprint of its key, as ssh-keygen -l prints it there
    /// (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub).
    #[arg(value_name = "SHA256:...")]
    pub(crate) key: PinnedKey,
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

impl ForwardArguments {
    /// The user that the destination names, or `-l`.
    fn user(&self) -> Option<String> {
        let named = self.destination.user.clone();
        named.or_else(|| self.habits.user.as_ref().map(|user| user.0.clone()))
    }

    /// What it says of the tunnel.
    pub(crate) fn written(&self) -> Written {
        let wanted = self.way.wanted(&self.destination.host, self.user());
        Written {
            forwards: self.forwards.listed(),
            permits: self.forwards.permit_remote_open.clone(),
            public_socks: self.forwards.public_socks,
            purpose: match self.stdio {
                Some(_) => Purpose::Stream,
                None => Purpose::Forwards,
            },
            exit_on_forward_failure: self.exit_on_forward_failure,
            ..self.way.written(wanted, &self.login)
        }
    }
}

impl DoctorArguments {
    /// What they say of a host.
    pub(crate) fn written(&self, destination: &Destination) -> Written {
        let named = destination.user.clone();
        let user = named.or_else(|| self.user.as_ref().map(|user| user.0.clone()));
        let wanted = self.way.wanted(&destination.host, user);
        Written {
            forwards: self.forwards.listed(),
            permits: self.forwards.permit_remote_open.clone(),
            public_socks: self.forwards.public_socks,
            ..self.way.written(wanted, &self.login)
        }
    }
}

impl TrustArguments {
    /// Whose key is meant. A port of the host counts before `-p`.
    pub(crate) fn written(&self) -> Written {
        let wanted = self.way.wanted(&self.host.host, None);
        let port = self.host.port.or(wanted.port);
        self.way
            .written(Wanted { port, ..wanted }, &LoginArguments::default())
    }
}
