//! What an operator sets up: a tunnel.

use std::fmt;
use std::path::PathBuf;

use super::Forward;
use crate::agent::dial::Way;
use crate::agent::login::algorithms::AlgorithmLists;
use crate::agent::login::known_hosts::HostKeys;
use crate::transport::ssh::CongestionControl;

/// A tunnel: a peer, how to log in there, and its forwards.
#[derive(Debug, Clone)]
pub struct TunnelConfig {
    /// The peer.
    pub peer: PeerConfig,
    /// Its forwards, asked for in this order.
    pub forwards: Vec<Forward>,
}

/// A peer and how to log in there.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Whom to connect to.
    pub peer: Peer,
    /// Private key files to offer, in order. Nothing else is offered.
    pub keys: Vec<PathBuf>,
    /// How it is reached.
    pub way: Way,
    /// The name that its host key is kept under, where that is not its own (`HostKeyAlias`).
    pub host_key_alias: Option<String>,
    /// How its host key is checked.
    pub host_keys: HostKeys,
    /// What is offered in the key exchange.
    pub algorithms: AlgorithmLists,
    /// Congestion control of its socket; the system's own where there is none. Where the kernel does
    /// not have it, that is logged and the system's own is used.
    pub congestion: Option<CongestionControl>,
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
