//! Who is behind a socket: whoever connects, or who a load balancer in front says (replacement text I4-k of the
//! security review: from listed networks only, there always, never guessed).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use adit_edge::proxy_protocol::{self, BLOCK_LENGTH, Header, Progress};
use adit_tunnel::gateway::accept::{Direct, Source, Sourced};
use adit_tunnel::gateway::seam::Later;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::settings::Settings;

/// What these settings say.
pub(super) fn of(settings: &Settings) -> Arc<dyn Source> {
    if settings.proxies.is_everywhere() {
        Arc::new(Direct)
    } else {
        Arc::new(Balanced {
            networks: settings.proxies.clone(),
        })
    }
}

/// Connections come through load balancers alone, each with a header.
#[derive(Debug)]
struct Balanced {
    networks: adit_model::source::SourceSet,
}

impl Source for Balanced {
    fn of(&self, mut socket: TcpStream, peer: SocketAddr) -> Later<'_, io::Result<Sourced>> {
        Box::pin(async move {
            if !self.networks.contains(peer.ip()) {
                let words = format!("{peer} is no load balancer of proxy_protocol");
                return Err(io::Error::other(words));
            }
            let source = header(&mut socket).await?;
            Ok(Sourced::new(socket, source.unwrap_or(peer)))
        })
    }
}

/// Reads a header and not a byte more, since what follows it is the peer's: byte by byte, 107 or 536 of them at the
/// most.
async fn header(socket: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut seen = Vec::with_capacity(BLOCK_LENGTH);
    loop {
        seen.push(socket.read_u8().await?);
        match proxy_protocol::read(&seen).map_err(io::Error::other)? {
            Progress::Whole(Header::Proxied { source, .. }, _) => return Ok(Some(source)),
            Progress::Whole(Header::Own, _) => return Ok(None),
            Progress::Partial => {}
        }
    }
}
