//! What `adit serve` takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use adit_model::grant::Reach;
use adit_model::port::PortSet;
use clap::{Args, ValueEnum};

use crate::gateway::settings::Listen;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServeArguments {
    /// A file with settings; what stands on the command line counts before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The directory of everything that the gateway keeps: its database, its host keys, its control socket.
    /// Made if it is not there, for this user alone. Without: data: of --config, or ADIT_DATA.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Where ssh and adit connect: a port, at every address; or an address and a port. 0.0.0.0 is every address of
    /// IPv4, `[::]` of IPv6 alone. As often as you like; 2222 if nowhere is said.
    #[arg(long, value_name = "[ADDR:]PORT")]
    pub(crate) ssh: Vec<Listen>,

    /// Where visitors of names come in by HTTP: a port, or an address and a port. A forward to port 80 of a name,
    /// `ssh -R app:80:localhost:3000`, is app.DOMAIN there. As often as you like.
    #[arg(long, value_name = "[ADDR:]PORT")]
    pub(crate) http: Vec<Listen>,

    /// The same by HTTPS.
    #[arg(long, value_name = "[ADDR:]PORT")]
    pub(crate) https: Vec<Listen>,

    /// The name by which others reach this machine: it stands in the line that is printed to be tried there, and
    /// names of forwards are under it.
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Option<String>,

    /// Ports that forwards may have: 22,80,8000-8100. 10000-20000 if nothing is said.
    #[arg(long, value_name = "PORTS")]
    pub(crate) ports: Option<PortSet>,

    /// A file of keys that may log in, in OpenSSH's form; each is held to what its line says, and may have the
    /// ports of --ports where that says nothing. As often as you like.
    #[arg(long, value_name = "FILE")]
    pub(crate) authorized_keys: Vec<PathBuf>,

    /// Where a forward listens that names no address, or localhost.
    #[arg(long, value_name = "WHERE")]
    pub(crate) default_bind: Option<DefaultBind>,

    /// Forwards listen on this machine's own addresses alone, whatever is asked for.
    #[arg(long)]
    pub(crate) local_only: bool,

    /// Where metrics and health are served, over HTTP: an address of this machine and a port.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<SocketAddr>,

    /// A file with the URL of a PostgreSQL, MySQL or MariaDB database, in place of the one in the data
    /// directory. ADIT_DATABASE_URL holds such a URL, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) database_file: Option<PathBuf>,

    /// Read everything, say what is wrong with it, and end.
    #[arg(long)]
    pub(crate) check: bool,
}

/// Where a forward listens that names no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DefaultBind {
    /// On this machine alone, as ssh has it.
    Local,
    /// On every address.
    Public,
}

impl From<DefaultBind> for Reach {
    fn from(bind: DefaultBind) -> Self {
        match bind {
            DefaultBind::Local => Self::Asked,
            DefaultBind::Public => Self::Public,
        }
    }
}
