//! From a visitor of a listener to the connection that holds it: the edge serves, the registry knows whom.

use std::fmt;
use std::sync::{Arc, OnceLock};

use adit_edge::access::Access;
use adit_edge::access_log::TracingLog;
use adit_edge::dial::{Carrier, Dial, DialError, Later as DialLater};
use adit_edge::listen::Listener;
use adit_edge::stream::{Counts, Service, Settings, StreamServer};
use adit_edge::visitor::{Endpoint, Visitor};
use adit_model::lease::Holding;
use adit_tunnel::gateway::desk::Desk;
use adit_tunnel::gateway::registry::Unserved;
use adit_tunnel::gateway::seam::{Later, Publish, Sockets};
use adit_tunnel::transport::Origin;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Serves the visitors of leases.
pub(super) struct Visitors {
    server: StreamServer,
    dial: Arc<ByLease>,
    access: watch::Sender<Access>,
}

/// Leads a visitor to whoever holds the lease. The desk owns the listeners and comes later than who serves them.
#[derive(Debug, Default)]
struct ByLease {
    desk: OnceLock<Arc<Desk>>,
}

impl Visitors {
    /// For at most so many at a time.
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let dial = Arc::new(ByLease::default());
        let led: Arc<dyn Dial> = Arc::<ByLease>::clone(&dial);
        let (access, _) = watch::channel(Access::everyone());
        Arc::new(Self {
            server: StreamServer::new(led, Arc::new(TracingLog), settings),
            dial,
            access,
        })
    }

    /// Visitors are led by this desk from now on; before, nobody serves them. A second call changes nothing.
    pub(super) fn lead_by(&self, desk: Arc<Desk>) {
        drop(self.dial.desk.set(desk));
    }

    /// Who serves them.
    pub(super) const fn server(&self) -> &StreamServer {
        &self.server
    }

    /// What has been served.
    pub(super) fn counts(&self) -> Counts {
        self.server.counts()
    }
}

impl Publish for Visitors {
    fn serve(
        &self,
        sockets: Sockets,
        holding: Holding,
        stop: CancellationToken,
    ) -> Later<'static, ()> {
        let listeners = match sockets {
            Sockets::Tcp(sockets) => sockets.into_iter().map(Listener::tcp).collect(),
            Sockets::Unix(socket) => Listener::unix(socket).map(|listener| vec![listener]),
        };
        let listeners: Vec<Listener> = match listeners {
            Ok(listeners) => listeners,
            Err(error) => {
                warn!(%holding, %error, "the system serves no visitors there");
                return Box::pin(stop.cancelled_owned());
            }
        };
        let service = Service {
            holding,
            access: self.access.subscribe(),
            balancers: None,
            announce: None,
        };
        let serving = self.server.serve(listeners, service, &stop);
        Box::pin(serving)
    }
}

impl fmt::Debug for Visitors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitors")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Dial for ByLease {
    fn dial<'a>(&'a self, visitor: &'a Visitor) -> DialLater<'a, Result<Carrier, DialError>> {
        Box::pin(async move {
            let Some(desk) = self.desk.get() else {
                return Err(DialError::Unserved {
                    reason: String::from("the gateway is starting"),
                });
            };
            let opened = desk.registry().open(&visitor.holding, origin(visitor)).await;
            match opened {
                Ok(stream) => Ok(Carrier::Other(Box::new(stream))),
                Err(Unserved::Refused { code, reason }) => Err(DialError::Refused {
                    reason: format!("{code}: {reason}"),
                }),
                Err(Unserved::Slow) => Err(DialError::Late),
                Err(error) => Err(DialError::Unserved {
                    reason: error.to_string(),
                }),
            }
        })
    }
}

/// Who caused the byte stream, for the one who gets it.
fn origin(visitor: &Visitor) -> Origin {
    match visitor.origin {
        Endpoint::Tcp(address) => Origin::from(address),
        Endpoint::Unix => Origin {
            host: String::new(),
            port: 0,
        },
    }
}
