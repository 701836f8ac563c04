//! Waits between attempts, and when a change of the network cuts one short.
//!
//! After a failure any change does: the way may be back, and an attempt costs little. After a refusal
//! only one that may have brought us to another network does (behind a hotel's portal another machine
//! answers for our peer, with another key), and one a minute: a server that counts failed logins
//! (sshd_config(5), PerSourcePenalties: 5 s each, felt from 15 s) has forgotten the last by then.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::{Connect, ConnectError, Connected};
use crate::agent::network::Network;

/// What a wait follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The peer was not reached, or the connection ended.
    Failure,
    /// The peer was reached, and a person has to do something.
    Refusal,
    /// The peer has said when to come back. Whatever else changes, it has not.
    Told,
}

/// Which attempt it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// The first of all, at which a person may be there.
    First,
    /// Soon after a connection was lost.
    Hasty,
    /// Any other.
    Steady,
}

/// Least time from one attempt to the next that a change brings about, whatever else changes.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// The same where the last was refused.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// Waits for `delay`, or until a change of the network asks for an attempt before; `began` is when the
/// last one did.
///
/// # Cancel safety
///
/// Cancel safe.
pub(super) async fn wait(delay: Duration, began: Instant, after: After, network: &mut Network) {
    let now = Instant::now();
    let mut until = now.checked_add(delay).unwrap_or(now);
    let least = match after {
        After::Failure => AFTER_FAILURE,
        After::Refusal => AFTER_REFUSAL,
        After::Told => return sleep_until(until).await,
    };
    let earliest = began.checked_add(least).unwrap_or(began);
    loop {
        tokio::select! {
            biased;
            () = sleep_until(until) => return,
            change = network.changed() => {
                if after == After::Failure || change.has_moved {
                    debug!(%change, "trying again before the time");
                    until = until.min(earliest.max(Instant::now()));
                }
            }
        }
    }
}

/// One attempt to connect. It is begun anew, once, if this machine loses an address or was asleep
/// meanwhile: what it waits for may be an answer to the address that it had. The first, in which a person
/// may be typing a password, is left alone.
///
/// # Cancel safety
///
/// Dropping the future gives the attempt up.
pub(super) async fn attempt(
    connect: &impl Connect,
    network: &Network,
    manner: Manner,
) -> Result<Connected, ConnectError> {
    if manner != Manner::First {
        let mut network = network.subscribe();
        tokio::select! {
            biased;
            attempt = once(connect, manner) => return attempt,
            () = outdated(&mut network) => debug!("attempt is begun anew"),
        }
    }
    once(connect, manner).await
}

async fn once(connect: &impl Connect, manner: Manner) -> Result<Connected, ConnectError> {
    match manner {
        Manner::Hasty => connect.connect_hastily().await,
        Manner::First | Manner::Steady => connect.connect().await,
    }
}

async fn outdated(network: &mut Network) {
    loop {
        let change = network.changed().await;
        if change.was_asleep || !change.lost.is_empty() {
            return;
        }
    }
}
