//! What an operator sets up: a tunnel.

use std::path::PathBuf;

use crate::agent::forward::Forward;
use crate::agent::login::algorithms::AlgorithmLists;
use crate::agent::login::known_hosts::HostKeys;
use crate::transport::ssh::CongestionControl;

/// A tunnel: a peer, how to log in there, and its forwards.
#[derive(Debug, Clone)]
pub struct TunnelConfig {
    /// The peer.
    pub peer: PeerConfig,
    /// Its forwards: those of the peer are asked for in this order, ours are bound in it.
    pub forwards: Vec<Forward>,
}

/// A peer and how to log in there.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Whom to connect to.
    pub peer: Peer,
    /// Private key files to offer, in order. Nothing else is offered.
    pub keys: Vec<PathBuf>,
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
