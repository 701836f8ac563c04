//! Streams that a client opens towards the gateway, as `ssh -L` and `-W` do: each for as long as its way is allowed.

use std::sync::Arc;

use adit_model::grant::Grant;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::jump;
use crate::copy::copy;
use crate::gateway::accept::Shared;
use crate::gateway::desk::Who;
use crate::gateway::limit::{Metered, Side};
use crate::gateway::open::{Asker, NotOpened, Opened, Way, way};
use crate::gateway::policy::Policy;
use crate::transport::{OpenRequest, RefusalCode, StreamKind};

/// Opens a stream that a client asked for, and carries it until it ends or is not allowed any more.
pub(super) async fn carry(shared: &Shared, who: &Who, is_agent: bool, request: OpenRequest) {
    let OpenRequest { head, answer } = request;
    let refuse = |error: &NotOpened| {
        tracing::debug!(principal = %who.principal.name, to = ?head.kind, %error, "stream is refused");
        (error.code(), error.to_string())
    };
    let StreamKind::Direct(target) = &head.kind else {
        let (code, reason) = refuse(&NotOpened::Backwards);
        return answer.refuse(code, reason);
    };
    let opening = async {
        let policy = Arc::clone(&shared.rules.policy.borrow());
        let Some(principal) = policy.principals.get(&who.principal.id) else {
            return Err((
                RefusalCode::Prohibited,
                String::from("you are not known here any more"),
            ));
        };
        let asker = Asker {
            principal: principal.id,
            grant: &principal.grant,
            policy: &policy,
            is_agent,
        };
        let usage = shared.usages.of(principal.id);
        let permit = usage.stream().map_err(|error| refuse(&error.into()))?;
        let mut way = way(asker, target, &shared.desk, shared.resolver.as_ref())
            .await
            .map_err(|error| refuse(&error))?;
        let opened = way
            .open(&shared.desk, who.source.into())
            .await
            .map_err(|error| refuse(&error))?;
        Ok((way, opened, permit))
    };
    let (way, opened, permit) = match opening.await {
        Ok(opened) => opened,
        Err((code, reason)) => return answer.refuse(code, reason),
    };
    let policy = shared.rules.policy.clone();
    // The answer of an instant ago is not the answer of now (security rule G04).
    if let Some(reason) = denied(&policy.borrow(), who, &way, shared.rules.clock.now()) {
        return answer.refuse(RefusalCode::Prohibited, reason);
    }
    let stream = answer.accept();
    let carried = async {
        match opened {
            Opened::Socket(socket) => {
                let mut socket = Metered::new(socket, permit, Side::Visitor);
                if copy(stream, &mut socket).await.end.is_err() {
                    reset(socket.socket());
                }
            }
            Opened::Lease(fenced) => {
                if let Some(error) = jump::carry(stream, *fenced, permit).await {
                    tracing::debug!(principal = %who.principal.name, %error, "stream is cut off");
                }
            }
        }
    };
    tokio::select! {
        () = carried => {}
        () = forbidden(policy, who, &way, shared) => {
            tracing::debug!(principal = %who.principal.name, "stream is not allowed any more");
        }
    }
}

/// Why a way is not allowed to somebody now, if it is not.
fn denied(policy: &Policy, who: &Who, way: &Way, now: Timestamp) -> Option<String> {
    let Some(principal) = policy.principals.get(&who.principal.id) else {
        return Some(String::from("you are not known here any more"));
    };
    let grant: &Grant = &principal.grant;
    grant
        .admits(who.source.ip(), now)
        .and_then(|()| way.is_allowed(grant))
        .err()
        .map(|denied| denied.to_string())
}

/// Waits until a way is not allowed any more.
async fn forbidden(
    mut policy: watch::Receiver<Arc<Policy>>,
    who: &Who,
    way: &Way,
    shared: &Shared,
) {
    while policy.changed().await.is_ok() {
        let now = shared.rules.clock.now();
        if denied(&policy.borrow_and_update(), who, way, now).is_some() {
            return;
        }
    }
    // Nobody is left who could change it.
    std::future::pending::<()>().await;
}

/// The other end shall be able to tell that this was no good end.
fn reset(socket: &TcpStream) {
    // A socket that has ended by itself needs none.
    drop(socket.set_zero_linger());
}
