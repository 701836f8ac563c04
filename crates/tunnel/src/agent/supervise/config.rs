//! What an operator sets up: a tunnel.

use std::path::PathBuf;

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm};

use super::Forward;
use crate::agent::login::known_hosts::HostKeys;

/// A tunnel: a peer, how to log in there, and its forwards.
#[derive(Debug, Clone)]
pub struct TunnelConfig {
    /// Whom to connect to.
    pub peer: Peer,
    /// Private keys to offer, in order. Nothing else is offered.
    pub keys: Vec<PathBuf>,
    /// How its host key is checked.
    pub host_keys: HostKeys,
    /// What is offered in the key exchange.
    pub algorithms: AlgorithmLists,
    /// Its forwards, asked for in this order.
    pub forwards: Vec<Forward>,
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

/// Algorithms in the order in which they are offered. `None` stands for the engine's own order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlgorithmLists {
    /// Ciphers.
    pub ciphers: Option<Vec<CipherAlgorithm>>,
    /// Key exchange methods.
    pub kex: Option<Vec<KexAlgorithm>>,
}
