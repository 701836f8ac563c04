//! Commands about services that are started at boot.

use std::path::PathBuf;

use adit_fleet::host::UserName;
use adit_fleet::unit::{Credential, ServiceName};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Have adit up, adit serve or adit host up started at boot, and start it now.
    ///
    /// Writes a unit of systemd, enables it and starts it; with --init, a script for OpenRC or a plain init. The
    /// service comes back when it ends, waits for a network, and is started anew when it says nothing for a minute
    /// or two. It may do little but that. The same command again changes nothing, or what is different; a file that adit
    /// has not written is left alone. Exit codes: 0 it is installed and runs, 1 it is not, 2 the command line.
    Install(InstallArguments),

    /// End a service, and have it started at boot no more.
    ///
    /// What it keeps, tunnels and tables, stays where it is. Exit codes: 0 it is gone, or was not there, 1 it cannot
    /// be taken away, 2 the command line.
    Uninstall(ServiceArguments),

    /// Show whether a service is installed, starts at boot, and runs.
    ///
    /// Exit codes: 0 it runs, 1 it does not, 2 the command line.
    Status(ServiceArguments),

    /// Show the log of a service.
    ///
    /// Exit codes: 0 shown, 1 there is none, 2 the command line.
    Logs(LogsArguments),
}

/// What is to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// adit up: the tunnels and workflows of a file.
    Up,
    /// adit serve: a gateway.
    Serve,
    /// adit host up: the tunnels of the table of ports.
    Hosts,
}

/// Who starts services here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Init {
    /// systemd.
    Systemd,
    /// OpenRC.
    Openrc,
    /// A plain init with scripts in /etc/init.d.
    Sysv,
}

/// Which service is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServiceArguments {
    /// What it starts.
    #[arg(value_name = "WHAT")]
    pub(crate) what: What,

    /// Its name, where there are several: adit-up, adit-gateway and adit-hosts unless another is said.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<ServiceName>,

    /// One of this user's own, which the user's own systemd starts.
    #[arg(long)]
    pub(crate) user: bool,

    /// Who starts services here. Without: whoever does.
    #[arg(long, value_name = "INIT")]
    pub(crate) init: Option<Init>,

    /// Of a machine whose files are in this folder, an image for example: nothing is started.
    #[arg(long, value_name = "DIR", conflicts_with = "user")]
    pub(crate) root: Option<PathBuf>,

    /// Print what would be done; nothing is changed.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InstallArguments {
    #[command(flatten)]
    pub(crate) service: ServiceArguments,

    /// The files of adit up; adit.yml of this folder where none is named.
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The data directory of adit serve, or the folder of the table of adit host up.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// The settings of adit serve.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The file with the URL of adit serve's database: it is a credential of the unit's, and on no command line.
    #[arg(long, value_name = "FILE")]
    pub(crate) database_file: Option<PathBuf>,

    /// Whose keys and files it uses: the owner of the file of adit up, or who called sudo.
    #[arg(long, value_name = "USER", conflicts_with = "user")]
    pub(crate) run_as: Option<UserName>,

    /// A secret that root alone has to read: the service finds it at ${env.CREDENTIALS_DIRECTORY}/ and the file's own
    /// name. As often as you like.
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_file: Vec<Credential>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArguments {
    #[command(flatten)]
    pub(crate) service: ServiceArguments,

    /// Go on as it grows.
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// So many lines of its end.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) lines: u32,
}
