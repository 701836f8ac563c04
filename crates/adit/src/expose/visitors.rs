//! Who really comes to a callback server whose port is public.

use std::net::SocketAddr;

use adit_tunnel::agent::visitors::Visitors;

/// The visitors of one callback server of this machine that come through our own tunnels.
#[derive(Debug, Clone)]
pub(crate) struct CallbackVisitors {
    visitors: Visitors,
    port: u16,
}

impl CallbackVisitors {
    pub(super) const fn new(visitors: Visitors, port: u16) -> Self {
        Self { visitors, port }
    }

    /// Where the visitor is that this peer of the server stands for. `None` for a peer that is itself who
    /// it seems. To be asked once a request has been read, not before.
    pub(crate) fn visitor(&self, peer: SocketAddr) -> Option<SocketAddr> {
        self.visitors.visitor(peer, self.port)
    }

    /// The server is about to close the connection from this peer.
    pub(crate) fn over(&self, peer: SocketAddr) {
        self.visitors.over(peer, self.port);
    }
}
