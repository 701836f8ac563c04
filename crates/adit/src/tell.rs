//! What a person should know of what happens to a tunnel. What is waited for is a line of its own, the
//! rest is logged.

use adit_tunnel::agent::chain;
use adit_tunnel::agent::probe::Finding;
use adit_tunnel::agent::supervise::{Event, Peer};
use tracing::{info, warn};

use crate::config::spec::kind;
use crate::log;
use crate::status::{News, refusal};

/// Says what happened to the tunnel of that name, where it has one, and what of it is news.
pub(crate) fn tell(tunnel: Option<&str>, peer: &Peer, event: &Event<'_>, news: News) {
    let host = &peer.host;
    let line = |text: &str| match tunnel {
        Some(name) => log::tell(&format!("{name}: {text}")),
        None => log::tell(text),
    };
    match event {
        Event::Connected => info!(tunnel, host, "connected"),
        Event::ForwardUp { forward, .. } if news == News::State => {
            line(&format!("{}forward up: {forward}", kind(forward)));
        }
        Event::ForwardProved {
            forward, finding, ..
        } if news == News::State => {
            line(&format!("{}forward up: {forward}", kind(forward)));
            if finding.part().is_some() {
                info!(tunnel, host, bind = %forward.bind, %finding, "not at both loopback addresses");
            }
        }
        Event::ForwardBound { forward, .. } => info!(tunnel, host, bind = %forward.bind, "bound"),
        Event::ForwardUnproved {
            forward,
            finding: Finding::Prohibited,
            ..
        } => line(&format!(
            "forward bound, path not checked (the server lets nobody go there: PermitOpen, \
             AllowTcpForwarding): {forward}"
        )),
        Event::ForwardUnproved {
            forward, finding, ..
        } if finding.is_unchecked() => line(&format!("forward {finding}: {forward}")),
        Event::ForwardUnproved {
            forward, finding, ..
        } => line(&format!("forward not up, {finding}: {forward}")),
        Event::ForwardRefused { forward, .. } => {
            let refusal = refusal(forward);
            warn!(
                tunnel, host, bind = %forward.bind, to = %forward.to,
                "{refusal}; asking again every second or two"
            );
        }
        Event::ForwardDenied {
            forward, reason, ..
        } if news == News::State => line(&format!(
            "forward refused by the gateway, {reason}: {forward}"
        )),
        Event::Granted { grant } => info!(tunnel, host, grant, "gateway allows"),
        Event::Superseded { by } => line(&format!(
            "{by}; it comes back when that one is gone. If this connection ends before, the next attempt is in \
             five minutes, so that two machines with one key do not take turns"
        )),
        Event::Returned { holding } => line(&format!(
            "{holding} is ours again: the other connection is gone"
        )),
        Event::RetryAfter { delay } => {
            info!(
                tunnel,
                host,
                delay_ms = delay.as_millis(),
                "gateway asks to come back later"
            );
        }
        Event::ForwardWaiting {
            forward, reason, ..
        } => {
            let kind = kind(forward);
            line(&format!("{kind}forward waiting, {reason}: {forward}"));
        }
        Event::ForwardListens { forward, .. } => {
            info!(tunnel, bind = %forward.bind, "listens");
        }
        Event::PortLost { bind } => {
            warn!(tunnel, host, %bind, "port is lost; asking for any other");
        }
        Event::Ended { end, up } => {
            let (end, seconds) = (chain(end), up.as_secs());
            warn!(tunnel, host, end, up_seconds = seconds, "connection ended");
        }
        Event::Failed { error } => {
            warn!(tunnel, host, error = chain(error), "cannot connect");
        }
        Event::Waiting { delay } => {
            info!(tunnel, host, delay_ms = delay.as_millis(), "waiting");
        }
        Event::ForwardUp { .. } | Event::ForwardProved { .. } | _ => {}
    }
}
