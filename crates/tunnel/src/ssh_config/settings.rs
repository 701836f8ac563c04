//! What the files say about one host.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::Place;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

/// What the files say about one host. `None` is what no file speaks of; its default is the
/// reader's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name or address to connect to: `HostName`, or what was asked for; names in lower case.
    pub host: String,
    /// `User`, what was asked for, or the user here.
    pub user: String,
    /// `Port`, what was asked for, or 22.
    pub port: u16,
    /// `AddressFamily`.
    pub address_family: Option<AddressFamily>,
    /// `ConnectTimeout`.
    pub connect_timeout: Option<Duration>,
    /// `ServerAliveInterval`; zero is never.
    pub server_alive_interval: Option<Duration>,
    /// `ServerAliveCountMax`.
    pub server_alive_count_max: Option<u32>,
    /// `IdentityFile`, in order. An empty list says that no file is to be offered, the defaults
    /// included.
    pub identity_files: Option<Vec<PathBuf>>,
    /// `IdentitiesOnly`.
    pub identities_only: Option<bool>,
    /// `IdentityAgent`.
    pub identity_agent: Option<IdentityAgent>,
    /// `CertificateFile`, in order.
    pub certificate_files: Vec<PathBuf>,
    /// `HostKeyAlias`, in lower case: the name that the host's key is kept under.
    pub host_key_alias: Option<String>,
    /// `StrictHostKeyChecking`.
    pub host_key_checking: Option<HostKeyChecking>,
    /// `UserKnownHostsFile`; an empty list is `none`.
    pub user_known_hosts: Option<Vec<KnownHostsFile>>,
    /// `GlobalKnownHostsFile`; an empty list is `none`.
    pub global_known_hosts: Option<Vec<KnownHostsFile>>,
    /// `HashKnownHosts`.
    pub hash_known_hosts: Option<bool>,
    /// `ProxyJump` or `ProxyCommand`, whichever is written first.
    pub proxy: Option<Placed<Proxy>>,
    /// `Ciphers`, unread.
    pub ciphers: Option<Placed<String>>,
    /// `KexAlgorithms`, unread.
    pub kex_algorithms: Option<Placed<String>>,
    /// `HostKeyAlgorithms`, unread.
    pub host_key_algorithms: Option<Placed<String>>,
    /// `LocalForward`, in order.
    pub local_forwards: Vec<Placed<SshForward>>,
    /// `RemoteForward`, in order.
    pub remote_forwards: Vec<Placed<SshForward>>,
    /// `DynamicForward`, in order.
    pub dynamic_forwards: Vec<Placed<SshForward>>,
    /// `GatewayPorts`: local forwards without a bind listen on all addresses.
    pub gateway_ports: Option<bool>,
    /// `ExitOnForwardFailure`.
    pub exit_on_forward_failure: Option<bool>,
}

/// Values of `AddressFamily`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// `any`
    Any,
    /// `inet`
    V4,
    /// `inet6`
    V6,
}

/// Values of `StrictHostKeyChecking`. There is no `no`: it is read as `accept-new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyChecking {
    /// New hosts are refused.
    Yes,
    /// A person is asked about new hosts.
    Ask,
    /// New hosts are written down and trusted.
    AcceptNew,
}

/// A known_hosts file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownHostsFile {
    /// Of that path.
    Path(PathBuf),
    /// adit's own: `/dev/null` was asked for, and what is forgotten at once protects nobody.
    Own,
}

/// Values of `IdentityAgent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityAgent {
    /// `none`
    None,
    /// The socket that a variable of the environment names.
    Variable(String),
    /// The socket of that path.
    Socket(PathBuf),
}

/// How to get to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// Through these hosts, the nearest first; never empty.
    Jump(Vec<Jump>),
    /// Through the standard streams of a program.
    Command(ProxyCommand),
}

/// A host on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// User there; where there is none, what the files say about that host.
    pub user: Option<String>,
    /// Host, to be looked up in the files as any other.
    pub host: String,
    /// Port; where there is none, what the files say about that host.
    pub port: Option<u16>,
}

/// A program and its arguments, to be run without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyCommand {
    /// As it was written.
    pub written: String,
    /// Cut into words first and tokens put in then, so that no value becomes two words; never empty.
    pub words: Vec<String>,
}

/// A forward as ssh_config writes it. Hosts are not yet held against any rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshForward {
    /// Where visitors come.
    pub bind: ForwardBind,
    /// Where they go.
    pub target: ForwardTarget,
}

/// Where visitors of a forward come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardBind {
    /// A port; 0 lets the far end choose.
    Tcp {
        /// Address; `*` and the empty text are all of them, none is the default's.
        host: Option<String>,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Where visitors of a forward go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardTarget {
    /// A port of a host.
    Tcp {
        /// Name or address.
        host: String,
        /// Port, from 1.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// Where each of them says (SOCKS).
    Socks,
}

impl fmt::Display for SshForward {
    /// As `ssh -G` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bind {
            ForwardBind::Tcp { host: None, port } => write!(f, "{port}")?,
            ForwardBind::Tcp {
                host: Some(host),
                port,
            } => write!(f, "[{host}]:{port}")?,
            ForwardBind::Unix(path) => write!(f, "{}", path.display())?,
        }
        match &self.target {
            ForwardTarget::Tcp { host, port } => write!(f, " [{host}]:{port}"),
            ForwardTarget::Unix(path) => write!(f, " {}", path.display()),
            ForwardTarget::Socks => Ok(()),
        }
    }
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            write!(f, "{}", self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}
