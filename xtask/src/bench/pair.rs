//! Which programs stand at the two ends of a tunnel.

use std::fmt;

/// The end that dials out and has the services behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    /// Stock ssh.
    Ssh,
    /// The program itself, `adit forward`.
    Adit,
}

/// The end that visitors come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Server {
    /// Stock sshd.
    Sshd,
    /// Our server end, the example `bench_gateway`.
    Gateway,
    /// The program itself, `adit serve`.
    Serve,
}

/// Both ends of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) client: Client,
    pub(super) server: Server,
}

impl Pair {
    /// Both ends stock: what the others are compared with.
    pub(super) const STOCK: Self = Self {
        client: Client::Ssh,
        server: Server::Sshd,
    };
    /// Our client at a stock server.
    pub(super) const OUR_CLIENT: Self = Self {
        client: Client::Adit,
        server: Server::Sshd,
    };
    /// A stock client at our server.
    pub(super) const OUR_SERVER: Self = Self {
        client: Client::Ssh,
        server: Server::Gateway,
    };
    /// Both ends ours.
    pub(super) const OURS: Self = Self {
        client: Client::Adit,
        server: Server::Gateway,
    };
    /// A stock client at the program that is our server.
    pub(super) const SERVED: Self = Self {
        client: Client::Ssh,
        server: Server::Serve,
    };
    /// The program at both ends.
    pub(super) const OURS_SERVED: Self = Self {
        client: Client::Adit,
        server: Server::Serve,
    };

    /// All that `bench ssh` compares, in the order in which they take their turns in a round.
    pub(super) const ALL: [Self; 4] = [Self::STOCK, Self::OUR_CLIENT, Self::OUR_SERVER, Self::OURS];
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = match self.client {
            Client::Ssh => "ssh",
            Client::Adit => "adit",
        };
        let server = match self.server {
            Server::Sshd => "sshd",
            Server::Gateway | Server::Serve => "adit",
        };
        write!(f, "{client} to {server}")
    }
}
