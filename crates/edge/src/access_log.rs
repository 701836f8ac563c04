//! One line for each visitor.

use std::fmt;
use std::time::Duration;

use crate::dial::DialError;
use crate::proxy_protocol::HeaderError;
use crate::visitor::Visitor;

/// Takes a line for each visitor who has left. Called on the visitor's own task; it must not block.
pub trait AccessLog: fmt::Debug + Send + Sync {
    /// A visitor has left.
    fn left(&self, entry: &Entry<'_>);
}

/// What is said of a visitor.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Who.
    pub visitor: &'a Visitor,
    /// How long they stayed.
    pub lasted: Duration,
    /// Bytes that whoever serves took from them.
    pub from_visitor: u64,
    /// Bytes that they took.
    pub to_visitor: u64,
    /// How it ended.
    pub end: &'a End,
}

/// How a visitor's stay ended. Only after [`Served`](Self::Served) and [`Closed`](Self::Closed) did the visitor get
/// an end of file; after all others a reset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// Both directions ended in good order.
    #[error("served")]
    Served,
    /// The other end closed while the visitor was still speaking; all that it had said was delivered.
    #[error("closed by the other end")]
    Closed,
    /// The visitor broke off.
    #[error("visitor broke off")]
    VisitorReset(#[source] std::io::Error),
    /// The other end broke off.
    #[error("other end broke off")]
    CarrierReset(#[source] std::io::Error),
    /// The visitor's network is not let in.
    #[error("not let in")]
    Denied,
    /// The listener is for balancers, and the visitor is none of those listed.
    #[error("not a listed balancer")]
    NotABalancer,
    /// The balancer's header was wrong.
    #[error("header of the PROXY protocol")]
    Header(#[source] HeaderError),
    /// Nobody serves the visitor.
    #[error("not dialled")]
    Dial(#[source] DialError),
    /// Nothing was said for as long as is allowed.
    #[error("idle")]
    Idle,
    /// The gateway stopped, and the time to drain was over.
    #[error("gateway stopped")]
    Stopped,
    /// What served the visitor ended by a bug of ours.
    #[error("broken off by a bug")]
    Broken,
}

/// Writes the lines as events of target `adit::access`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingLog;

impl AccessLog for TracingLog {
    fn left(&self, entry: &Entry<'_>) {
        let Entry { visitor, end, .. } = entry;
        let via = visitor.via.map(tracing::field::display);
        tracing::info!(
            target: "adit::access",
            holding = %visitor.holding,
            listener = %visitor.listener,
            visitor.addr = %visitor.origin,
            visitor.via = via,
            from_visitor = entry.from_visitor,
            to_visitor = entry.to_visitor,
            seconds = entry.lasted.as_secs_f64(),
            end = %Chain(*end),
            "visitor left"
        );
    }
}

/// An error and its causes in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
