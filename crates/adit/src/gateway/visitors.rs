//! From a visitor of a listener to the connection that holds it: the edge serves, the registry knows whom.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_edge::access_log::TracingLog;
use adit_edge::dial::{Carrier, Dial, DialError, Drain, Fill, Io, Later as DialLater};
use adit_edge::listen::{Listener, Places};
use adit_edge::rule::Rules;
use adit_edge::stream::{Counts, Service, Settings as StreamSettings, StreamServer};
use adit_edge::visitor::{Endpoint, Visitor};
use adit_model::lease::Holding;
use adit_tunnel::gateway::desk::Desk;
use adit_tunnel::gateway::limit::{Metered, Side, Usages};
use adit_tunnel::gateway::policy::Policy;
use adit_tunnel::gateway::probe::Ends;
use adit_tunnel::gateway::registry::{Fenced, Unserved};
use adit_tunnel::gateway::seam::{Later, Publish, Sockets};
use adit_tunnel::transport::Origin;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::settings::Settings;

/// Serves the visitors of leases.
pub(super) struct Visitors {
    server: StreamServer,
    dial: Arc<ByLease>,
    rules: watch::Sender<Arc<Rules>>,
    most: usize,
}

/// Leads a visitor to whoever holds the lease. The desk owns the listeners and comes later than who serves them.
#[derive(Debug, Default)]
struct ByLease {
    led: OnceLock<Led>,
}

/// Who knows where a visitor is led, and what that may cost its principal.
#[derive(Debug)]
struct Led {
    desk: Arc<Desk>,
    policy: watch::Receiver<Arc<Policy>>,
    usages: Usages,
}

/// Part of all descriptors that are kept for tunnels at most.
const TUNNELS_PART: u64 = 4;
/// Part of all visitors that one principal may have whose grant sets no limit of streams: twice what one port may have,
/// so that no key takes all the places with its other ports.
const PRINCIPAL_PART: usize = 4;

impl Visitors {
    /// As these settings say.
    pub(super) fn new(settings: &Settings) -> Arc<Self> {
        let dial = Arc::new(ByLease::default());
        let led: Arc<dyn Dial> = Arc::<ByLease>::clone(&dial);
        let (rules, _) = watch::channel(Arc::new(settings.rules.clone()));
        let descriptors = getrlimit(Resource::Nofile).current;
        let descriptors = descriptors.unwrap_or(u64::MAX);
        // Peers' connections come first, but for a low limit their cap is far from being reached.
        let connections = u64::try_from(settings.caps.connections).unwrap_or(u64::MAX);
        let tunnels = connections.min(descriptors / TUNNELS_PART);
        let suited = StreamSettings::within(descriptors.saturating_sub(tunnels));
        let suited = StreamSettings {
            visitors: suited.visitors.min(settings.caps.visitors),
            visitors_each: suited.visitors_each.min(settings.caps.visitors),
            ..suited
        };
        Arc::new(Self {
            most: suited.visitors,
            server: StreamServer::new(led, Arc::new(TracingLog), suited),
            dial,
            rules,
        })
    }

    /// Visitors are led by this desk from now on; before, nobody serves them. A second call changes nothing.
    pub(super) fn lead_by(
        &self,
        desk: Arc<Desk>,
        policy: watch::Receiver<Arc<Policy>>,
        usages: Usages,
    ) {
        let led = Led {
            desk,
            policy,
            usages,
        };
        drop(self.dial.led.set(led));
    }

    /// What holds for visitors who come from here on.
    pub(super) fn set_rules(&self, rules: &Rules) {
        self.rules.send_replace(Arc::new(rules.clone()));
    }

    /// The way to whoever holds a lease, for visitors that come in elsewhere.
    pub(super) fn dial(&self) -> Arc<dyn Dial> {
        Arc::<ByLease>::clone(&self.dial) as _
    }

    /// The room that all visitors have.
    pub(super) fn places(&self) -> Places {
        self.server.places()
    }

    /// Waits until the visitors have left, for so long; then none is there any more.
    pub(super) async fn drain(&self, within: Duration) {
        self.server.drain(within).await;
    }

    /// How many there may be at a time: as many as the settings say and descriptors suffice for.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// Byte streams of one principal whose grant sets no limit.
    pub(super) fn share(&self) -> u32 {
        let share = (self.most / PRINCIPAL_PART).max(1);
        u32::try_from(share).unwrap_or(u32::MAX)
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
            rules: self.rules.subscribe(),
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
            let Some(led) = self.led.get() else {
                return Err(DialError::Unserved {
                    reason: String::from("the gateway is starting"),
                });
            };
            led.dial(visitor).await
        })
    }

    fn probe<'a>(
        &'a self,
        visitor: &'a Visitor,
    ) -> Option<DialLater<'a, Result<Carrier, DialError>>> {
        let (Endpoint::Tcp(from), Endpoint::Tcp(to)) = (visitor.origin, visitor.listener) else {
            return None;
        };
        let registry = self.led.get()?.desk.registry();
        let probed = registry.probes().of(Ends { from, to })?;
        Some(Box::pin(async move {
            if probed != visitor.holding {
                return Err(unserved(&Unserved::NoLease));
            }
            let stream = registry.probe(&probed).await;
            let stream = stream.map_err(|error| unserved(&error))?;
            Ok(Carrier::other(stream))
        }))
    }
}

fn unserved(reason: &dyn fmt::Display) -> DialError {
    DialError::Unserved {
        reason: reason.to_string(),
    }
}

impl Led {
    async fn dial(&self, visitor: &Visitor) -> Result<Carrier, DialError> {
        let holding = &visitor.holding;
        let principal = self.desk.principal(holding);
        let principal = principal.ok_or_else(|| unserved(&Unserved::NoLease))?;
        if !self.policy.borrow().principals.contains_key(&principal) {
            return Err(unserved(&Unserved::NoLease));
        }
        let permit = self.usages.of(principal).stream();
        let permit = permit.map_err(|error| unserved(&error))?;
        match self.desk.registry().open(holding, origin(visitor)).await {
            // Whoever came in between pays for its own.
            Ok(_) if self.desk.principal(holding) != Some(principal) => {
                Err(unserved(&Unserved::NoLease))
            }
            Ok(stream) => {
                let metered = Metered::new(stream, permit, Side::Principal);
                Ok(Carrier::Other(Box::new(Served(metered))))
            }
            Err(Unserved::Refused { code, reason }) => Err(DialError::Refused {
                reason: format!("{code}: {reason}"),
            }),
            Err(Unserved::Slow) => Err(DialError::Late),
            Err(error) => Err(unserved(&error)),
        }
    }
}

/// A visitor's byte stream to whoever holds the lease.
struct Served(Metered<Fenced>);

impl Io for Served {
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.socket_mut().stream_mut().poll_closed(cx)
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        // Past the meter: who waits until it may go on is cut off all the same.
        self.0.socket().poll_cut(cx)
    }

    fn lends(&self) -> bool {
        true
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, fill: Fill<'_>) -> Poll<io::Result<usize>> {
        self.0
            .poll_write_with(cx, |socket, cx| socket.stream_mut().poll_fill(cx, fill))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, drain: Drain<'_>) -> Poll<io::Result<usize>> {
        self.0
            .poll_read_with(cx, |socket, cx| socket.stream_mut().poll_drain(cx, drain))
    }
}

impl AsyncRead for Served {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Served {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
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
