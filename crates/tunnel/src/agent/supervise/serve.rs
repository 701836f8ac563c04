//! One connection from its login to its end: asks for forwards, lets the peer's visitors in and ours
//! out.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, debug_span, warn};

use super::advice::{Advice, successor};
use super::forwards::{Forwards, Guest, Step};
use super::paths::{Paths, Suspicion};
use super::refusal::Looks;
use super::{Connected, Event, chance, log_panic};
use crate::agent::control::{Control, News, answer_probe};
use crate::agent::forward::Destination;
use crate::agent::health::Health;
use crate::agent::listen::Listeners;
use crate::agent::local::{self, LocalError};
use crate::agent::network::Network;
use crate::agent::probe::{Caller, Probing};
use crate::control::ToAgent;
use crate::transport::ssh::Held;
use crate::transport::{
    CloseReason, Connection, ConnectionEnd, Doubt, OpenRequest, PeerRequest, RefusalCode,
    StreamKind,
};

/// How long a connection may take to say goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// Visitors that came before the answer to their forward. More are refused.
const EARLY_VISITORS: usize = 64;

/// How a connection was.
pub(super) struct Served {
    /// Its end, which is `None` when it came by `stop`.
    pub(super) end: Option<ConnectionEnd>,
    /// The socket of a peer that has fallen silent.
    pub(super) held: Option<Held>,
    /// What the gateway has said about coming back.
    pub(super) advice: Advice,
}

/// One connection from its login to its end.
pub(super) async fn serve(
    connected: Connected,
    forwards: &mut Forwards,
    listeners: &Listeners,
    (probing, peer, health): (Option<Probing<'_>>, Option<&str>, Health),
    events: &(dyn Fn(Event<'_>) + Send + Sync),
    stop: &CancellationToken,
    network: &mut Network,
) -> Served {
    let Connected { connection, task } = connected;
    let Connection {
        transport,
        mut requests,
    } = connection;
    let mut driver = JoinSet::new();
    driver.spawn(task);
    let mut visitors = JoinSet::new();
    let mut early: Vec<OpenRequest> = Vec::new();
    let mut end = transport.end();
    let mut paths = Paths::new(probing, peer);
    let mut looks = Looks::default();
    let mut control = Control::open(&transport, health);
    let mut advice = Advice::default();
    forwards.begin();
    listeners.connect(Some(Arc::clone(&transport)));
    listeners.tell(events);
    let ended = loop {
        tokio::select! {
            // The end before all that it makes ready: a question that nobody will answer is answered by it.
            // The answer to a forward stands before its first visitor, so it is looked at before those.
            biased;
            () = stop.cancelled() => break None,
            end = end.wait() => break Some(end),
            change = forwards.step(&*transport) => {
                tell(&change, forwards, &mut paths, events);
                if let Step::Refused(index) = change
                    && paths.are_probed()
                    && let Some((_, forward)) = forwards.named(index)
                {
                    looks.look(index, &forward.bind, &transport);
                }
                for request in std::mem::take(&mut early) {
                    admit(request, forwards, &paths, &mut early, &mut visitors);
                }
            }
            (index, finding) = paths.step(&transport) => {
                if let Some((number, forward)) = &forwards.named(index) {
                    let number = *number;
                    let finding = &finding;
                    events(if finding.is_up() {
                        Event::ForwardProved { number, forward, finding }
                    } else {
                        Event::ForwardUnproved { number, forward, finding }
                    });
                }
            }
            (index, holder) = looks.step() => {
                if let Some((number, forward)) = &forwards.named(index) {
                    events(Event::ForwardHeld { number: *number, forward, holder });
                }
            }
            news = control.step() => match news {
                News::Open(asker) => paths.decide(Some(asker)),
                News::Closed => paths.decide(None),
                News::Said(message) => heard(&message, forwards, &mut advice, events),
            },
            change = network.changed() => {
                let asks = change.asks();
                debug!(%change, asks, "in doubt about the peer");
                transport.doubt(Doubt {
                    asks,
                    lost: change.lost,
                });
            }
            Some(request) = requests.recv() => match request {
                PeerRequest::Open(request) => {
                    admit(request, forwards, &paths, &mut early, &mut visitors);
                }
                // A server has nothing to ask of a client; dropping the question refuses.
                PeerRequest::Forward(_) | PeerRequest::Cancel(_) | PeerRequest::Session(_) => {}
            },
            Some(result) = visitors.join_next() => log_panic("visitor", result),
        }
    };
    listeners.connect(None);
    if ended.is_none() {
        transport.close(CloseReason::Stopping);
        if timeout(CLOSE_DEADLINE, end.wait()).await.is_err() {
            debug!("connection did not say goodbye in time");
        }
    }
    for message in control.last_words().await {
        heard(&message, forwards, &mut advice, events);
    }
    drop((paths, looks, transport, requests, early));
    visitors.shutdown().await;
    Served {
        end: ended,
        held: end_of(driver).await,
        advice,
    }
}

/// Waits for a connection's task, which has little left to do, and gives what it leaves.
async fn end_of(mut driver: JoinSet<Option<Held>>) -> Option<Held> {
    let ended = timeout(CLOSE_DEADLINE, driver.join_next()).await;
    driver.abort_all();
    let held = match ended {
        Ok(Some(Ok(held))) => held,
        Ok(Some(Err(error))) => {
            log_panic::<()>("connection", Err(error));
            None
        }
        Ok(None) | Err(_) => None,
    };
    while let Some(result) = driver.join_next().await {
        log_panic("connection", result);
    }
    held
}

/// Tells what a person should know of a change.
fn tell(
    change: &Step,
    forwards: &Forwards,
    paths: &mut Paths<'_>,
    events: &(dyn Fn(Event<'_>) + Send + Sync),
) {
    match change {
        Step::Granted(index) => {
            if let Some((number, forward)) = &forwards.named(*index) {
                let number = *number;
                paths.granted(*index, &forward.bind, forwards.meter(*index));
                events(if paths.are_probed() {
                    Event::ForwardBound { number, forward }
                } else {
                    Event::ForwardUp { number, forward }
                });
            }
        }
        Step::Refused(index) => {
            if let Some((number, forward)) = &forwards.named(*index) {
                let number = *number;
                events(Event::ForwardRefused { number, forward });
            }
        }
        Step::Lost(bind) => events(Event::PortLost { bind }),
        Step::Again => {}
    }
}

/// Takes what a gateway says. None of it has this end do anything but tell, and wait.
fn heard(
    message: &ToAgent,
    forwards: &Forwards,
    advice: &mut Advice,
    events: &(dyn Fn(Event<'_>) + Send + Sync),
) {
    match message {
        ToAgent::Superseded { .. } => {
            if let Some(by) = successor(message) {
                advice.superseded(&by);
                events(Event::Superseded { by: &by });
            }
        }
        ToAgent::Returned { holding } => {
            advice.returned();
            let holding = &holding.shown();
            events(Event::Returned { holding });
        }
        ToAgent::Refused { forward, reason } => {
            let asked = forward.clone().into();
            if let Some((number, forward)) = &forwards.refused_as(&asked) {
                let reason = &reason.shown();
                let number = *number;
                events(Event::ForwardDenied {
                    number,
                    forward,
                    reason,
                });
            }
        }
        ToAgent::RetryAfter { seconds } => {
            let delay = advice.retry_after(*seconds, chance());
            events(Event::RetryAfter { delay });
        }
        ToAgent::Grant(grant) => {
            let grant = &grant.to_string();
            events(Event::Granted { grant });
        }
        ToAgent::Identity(identity) => events(Event::Identified { identity }),
        ToAgent::Named(named) => {
            let asked = named.forward.clone().into();
            if let Some((number, forward)) = &forwards.asked_as(&asked) {
                let number = *number;
                events(Event::ForwardNamed {
                    number,
                    forward,
                    named,
                });
            }
        }
        // Of the subsystem's own.
        ToAgent::Welcome { .. } | ToAgent::Probed { .. } => {}
    }
}

/// Serves a visitor of a forward that is up, keeps one whose forward may be granted in this instant,
/// and refuses everybody else (S94).
fn admit(
    request: OpenRequest,
    forwards: &Forwards,
    paths: &Paths<'_>,
    early: &mut Vec<OpenRequest>,
    visitors: &mut JoinSet<()>,
) {
    if let StreamKind::Probe { host, port } = &request.head.kind {
        if paths.is_probed_by_gateway(host, *port) {
            visitors.spawn(answer_probe(request.answer));
        } else {
            debug!(%host, port, "gateway probes what it was not asked to");
            let answer = request.answer;
            answer.refuse(RefusalCode::Prohibited, "no such probe");
        }
    } else if forwards.keeps_out(&request.head) {
        let origin = &request.head.origin;
        // Not only debug: the port is open to strangers, if not what is behind it.
        warn!(%origin, "stranger was kept out of a proxy for the server's own machine (GatewayPorts)");
        request
            .answer
            .refuse(RefusalCode::Prohibited, "not for others");
    } else if let Some((number, to)) = forwards.destination(&request.head.kind) {
        let span = debug_span!("visitor", origin = %request.head.origin, %to);
        let suspicion = paths.suspicion(number, &request.head.origin);
        let guest = forwards.guest(number, &request.head.origin);
        let served = serve_visitor(request, to.clone(), suspicion, guest);
        visitors.spawn(served.instrument(span));
    } else if forwards.may_become(&request.head.kind) && early.len() < EARLY_VISITORS {
        early.push(request);
    } else {
        debug!(head = ?request.head.kind, "peer opened what it was not asked for");
        let answer = request.answer;
        answer.refuse(RefusalCode::Prohibited, "no such forward");
    }
}

async fn serve_visitor(
    request: OpenRequest,
    to: Destination,
    suspicion: Option<Suspicion>,
    guest: Guest,
) {
    let served = match suspicion {
        None => local::serve(request.answer, &to, &guest.visit()).await,
        Some(Suspicion { probe, since }) => {
            let mut stream = request.answer.accept();
            match probe.hold(&mut stream, since).await {
                Caller::Probe => return,
                Caller::Visitor(first) => {
                    stream.unread(&first);
                    local::serve_accepted(stream, &to, &guest.visit()).await
                }
            }
        }
    };
    match served {
        Ok(copied) => {
            let (to_target, to_visitor) = (copied.to_socket, copied.to_stream);
            match copied.end {
                Ok(()) => debug!(to_target, to_visitor, "visitor has gone"),
                Err(error) => debug!(to_target, to_visitor, %error, "visitor was cut off"),
            }
        }
        Err(LocalError::Left) => debug!("visitor left before its target answered"),
        // Not only debug: visitors come and find nobody.
        Err(error) => warn!(%error, "visitor was turned away"),
    }
}
