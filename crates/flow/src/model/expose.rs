//! What makes local ports public, `gateway:` in a file.

use std::path::PathBuf;
use std::time::Duration;

use adit_text::SecretSource;

use super::Placed;

/// One of a file's.
#[derive(Clone, Debug, PartialEq)]
pub enum ExposeConfig {
    /// Ports of an SSH server.
    Ssh(Box<SshExpose>),
    /// Names of a provider, by its own program.
    Http(HttpExpose),
}

/// Ports of an SSH server that lead here.
#[derive(Clone, Debug, PartialEq)]
pub struct SshExpose {
    /// The server's name or address, word for word: it is also the first half of the public address.
    pub host: Placed<String>,
    /// The server's SSH port.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// How to log in.
    pub login: Login,
    /// Which host key is the server's.
    pub host_key: HostKey,
    /// A file of known hosts, in place of the user's own. As it was written.
    pub known_hosts: Option<PathBuf>,
    /// Pause between two questions whether the peer is there. None asks never.
    pub keep_alive: Option<Duration>,
    /// How often the gateway is looked at.
    pub watch_interval: Duration,
    /// Longest pause between two attempts to connect.
    pub retry_interval: Duration,
    /// Attempts in a row before it is given up. None goes on for ever.
    pub max_retry_count: Option<u32>,
    /// What leads where; one at least.
    pub forwards: Vec<PortForward>,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// With a key file, which the ssh-agent may hold too.
    KeyFile {
        /// The file, as it was written: `~` is not replaced.
        file: PathBuf,
        /// What it is encrypted with.
        passphrase: Option<SecretSource>,
    },
    /// With what the ssh-agent holds.
    SshAgent,
    /// With a password.
    Password(SecretSource),
}

/// Which host key is taken for the server's. A changed one never is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostKey {
    /// As a login without a word of this has it: a new one is written down for a login by key, and
    /// refused for one by password.
    #[default]
    Usual,
    /// A new one is written down.
    AcceptNew,
    /// Only one that is known.
    Strict,
    /// The one with this fingerprint, `SHA256:...`.
    Fingerprint(String),
}

/// A public port and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortForward {
    /// The public port; 0 lets the server choose.
    pub remote: Placed<u16>,
    /// The host that it leads to, as seen from here; an IPv6 address is without brackets.
    pub host: String,
    /// The port that it leads to.
    pub port: u16,
}

/// Local ports that get a name from a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpExpose {
    /// Whose program does it.
    pub driver: HttpDriver,
    /// The local ports; one at least.
    pub ports: Vec<Placed<u16>>,
}

/// Who gives the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpDriver {
    /// ngrok.
    Ngrok,
    /// A name of cloudflared's own choice.
    CloudflareQuick,
    /// A tunnel that was set up at Cloudflare, by its token.
    CloudflareToken {
        /// The token.
        token: SecretSource,
        /// The name that the tunnel was given there.
        hostname: Option<String>,
    },
    /// A tunnel that was made by cloudflared, by its name and credentials.
    CloudflareNamed {
        /// The tunnel's name or id.
        tunnel: String,
        /// Its credentials, as the path was written.
        credentials_file: PathBuf,
        /// The name that leads to it.
        hostname: Option<String>,
    },
}

impl HttpExpose {
    /// The public name, if it is known before it is public.
    pub fn hostname(&self) -> Option<&str> {
        match &self.driver {
            HttpDriver::Ngrok | HttpDriver::CloudflareQuick => None,
            HttpDriver::CloudflareToken { hostname, .. }
            | HttpDriver::CloudflareNamed { hostname, .. } => hostname.as_deref(),
        }
    }
}
