//! What an operator sets up: a tunnel.

use std::fmt;
use std::time::Duration;

use crate::agent::dial::Way;
use crate::agent::forward::Forward;
use crate::agent::login::algorithms::AlgorithmLists;
use crate::agent::login::credentials::LoginConfig;
use crate::agent::login::known_hosts::HostKeys;
use crate::transport::ssh::CongestionControl;

/// A tunnel: a peer, how to log in there, and its forwards.
#[derive(Debug, Clone)]
pub struct TunnelConfig {
    /// The peer.
    pub peer: PeerConfig,
    /// Its forwards: those of the peer are asked for in this order, ours are bound in it.
    pub forwards: Vec<Forward>,
    /// Whether a remote forward that is refused ends the program instead of being asked for again
    /// (ssh_config(5), ExitOnForwardFailure).
    pub exit_on_forward_failure: bool,
}

/// A peer and how to log in there.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Whom to connect to.
    pub peer: Peer,
    /// What to log in with. Nothing else is offered.
    pub login: LoginConfig,
    /// How it is reached.
    pub way: Way,
    /// The name that its host key is kept under, where that is not its own (`HostKeyAlias`).
    pub host_key_alias: Option<String>,
    /// How its host key is checked.
    pub host_keys: HostKeys,
    /// What is offered in the key exchange.
    pub algorithms: AlgorithmLists,
    /// How a peer that says nothing is found out.
    pub keep_alive: KeepAlive,
    /// Congestion control of its socket; the system's own where there is none. Where the kernel does
    /// not have it, that is logged and the system's own is used.
    pub congestion: Option<CongestionControl>,
}

/// A peer that has said nothing for `interval` is asked whether it is there, and is gone after `misses`
/// such times (ssh_config(5), ServerAliveInterval and ServerAliveCountMax).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Never zero: a tunnel that cannot tell that its peer is gone says "up" for ever.
    pub interval: Duration,
    /// At least 1.
    pub misses: u32,
}

impl Default for KeepAlive {
    /// 10 s and 3 times: a cut is noticed within half a minute, at 2 MB a day.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            misses: 3,
        }
    }
}

/// A peer and our name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Host name or address.
    pub host: String,
    /// Port, 22 unless something else was said.
    pub port: u16,
    /// User name.
    pub user: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, user } = self;
        write!(f, "{host} port {port} as {user}")
    }
}
