//! Who has the port of a forward that was refused. The server does not say why it refuses (RFC 4254 section
//! 7.1 has a failure and no reason), but it can be asked to connect to the port itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::log_panic;
use crate::agent::probe;
use crate::transport::{Bind, OpenError, Origin, RefusalCode, StreamHead, StreamKind, Transport};

/// Who has the port of a forward that was refused, as far as the server shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// Somebody listens there: another program, or our own connection that died unseen.
    Somebody,
    /// Nobody answers there, so the forward is not allowed.
    Nobody,
    /// The server lets nobody connect to the port: it allows no forwarding at all, or no looking.
    Hidden,
    /// It cannot be known.
    Unknown,
}

/// How long the server may take. One that listens answers in a round trip.
const DEADLINE: Duration = probe::DEADLINE;

/// Looks that are under way on one connection.
#[derive(Debug, Default)]
pub(super) struct Looks(JoinSet<(usize, Holder)>);

impl Looks {
    /// Looks who has the port of the forward of that index.
    pub(super) fn look(&mut self, index: usize, bind: &Bind, transport: &Arc<dyn Transport>) {
        let (bind, transport) = (bind.clone(), Arc::clone(transport));
        self.0
            .spawn(async move { (index, holder(&bind, &*transport).await) });
    }

    /// What was seen next. Waits for ever where nobody looks.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn step(&mut self) -> (usize, Holder) {
        loop {
            match self.0.join_next().await {
                Some(Ok(seen)) => return seen,
                Some(Err(error)) => log_panic::<()>("look at a port", Err(error)),
                None => std::future::pending().await,
            }
        }
    }
}

async fn holder(bind: &Bind, transport: &dyn Transport) -> Holder {
    let Some(way) = probe::way(bind).filter(|_| bind.port().is_none_or(|port| port != 0)) else {
        return Holder::Unknown;
    };
    let opening = transport.open(StreamHead {
        kind: StreamKind::Direct(way),
        // As ssh -W has it.
        origin: Origin {
            host: String::from("127.0.0.1"),
            port: 65_535,
        },
    });
    match timeout(DEADLINE, opening).await {
        Ok(Ok(_)) => Holder::Somebody,
        Ok(Err(OpenError::Refused {
            code: RefusalCode::ConnectFailed,
            ..
        })) => Holder::Nobody,
        Ok(Err(OpenError::Refused { .. })) => Holder::Hidden,
        Ok(Err(OpenError::Closed | OpenError::Shortage)) | Err(_) => Holder::Unknown,
    }
}
