//! One request's stay: what is written of it in the access log when its answer has left.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::body::Sent;
use super::connection::Came;
use super::load::Load;
use super::worker::Core;
use crate::access_log::Chain;
use crate::error_page::Cause;
use crate::visitor::Endpoint;

/// Takes a line for each request whose answer has left. Called on the visitor's own task; it must not block.
pub trait RequestLog: fmt::Debug + Send + Sync {
    /// A request was answered, or its visitor has left.
    fn answered(&self, entry: &RequestEntry<'_>);
}

/// What is said of a request.
#[derive(Debug)]
pub struct RequestEntry<'a> {
    /// Who asked: the visitor itself where a trusted proxy stands in front.
    pub visitor: Option<IpAddr>,
    /// Who connected.
    pub peer: Endpoint,
    /// Where.
    pub listener: Endpoint,
    /// The host in its canonical form; empty where there was none.
    pub host: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The target. Its query may hold secrets and is not written.
    pub target: &'a Uri,
    /// The version.
    pub version: Version,
    /// The answer's.
    pub status: StatusCode,
    /// Bytes of the request's body.
    pub from_visitor: u64,
    /// Bytes of the answer's body.
    pub to_visitor: u64,
    /// From the request's head to the answer's last byte.
    pub lasted: Duration,
    /// Whether the answer left whole.
    pub is_whole: bool,
    /// Why it was answered here, if it was.
    pub cause: Option<&'a Cause>,
}

/// Writes the lines as events of target `adit::access`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingRequestLog;

impl RequestLog for TracingRequestLog {
    fn answered(&self, entry: &RequestEntry<'_>) {
        let cause = entry
            .cause
            .map(|cause| tracing::field::display(Chain(cause)));
        tracing::info!(
            target: "adit::access",
            host = entry.host,
            method = %entry.method,
            path = entry.target.path(),
            status = entry.status.as_u16(),
            visitor.addr = entry.visitor.map(tracing::field::display),
            visitor.peer = %entry.peer,
            listener = %entry.listener,
            from_visitor = entry.from_visitor,
            to_visitor = entry.to_visitor,
            seconds = entry.lasted.as_secs_f64(),
            whole = entry.is_whole,
            cause,
            "request answered"
        );
    }
}

/// What is taken back sooner was asked to be taken back (Envoy: `premature_reset_min_stream_lifetime`).
const HASTE: Duration = Duration::from_secs(1);

/// A request that is being answered.
pub(crate) struct Stay {
    core: Arc<Core>,
    came: Arc<Came>,
    since: Instant,
    pub(crate) visitor: Option<IpAddr>,
    pub(crate) host: String,
    method: Method,
    target: Uri,
    version: Version,
    status: StatusCode,
    pub(crate) sent: Arc<Sent>,
    to_visitor: u64,
    is_whole: bool,
    cause: Option<Cause>,
    /// What it weighs at a member of a pool.
    pub(crate) load: Option<Load>,
}

impl Stay {
    pub(crate) fn new(core: Arc<Core>, came: Arc<Came>, head: &http::request::Parts) -> Self {
        Self {
            visitor: came.peer.ip(),
            core,
            came,
            since: Instant::now(),
            host: String::new(),
            method: head.method.clone(),
            target: head.uri.clone(),
            version: head.version,
            status: StatusCode::OK,
            sent: Arc::default(),
            to_visitor: 0,
            is_whole: false,
            cause: None,
            load: None,
        }
    }

    /// What the upstream answers.
    pub(crate) const fn answers(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// It is answered here.
    pub(crate) fn refused(&mut self, cause: Cause) {
        self.status = cause.status();
        self.is_whole = true;
        self.cause = Some(cause);
    }

    pub(crate) fn gave(&mut self, bytes: usize) {
        self.to_visitor = self
            .to_visitor
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Another protocol went both ways.
    pub(crate) fn carried(&mut self, from_visitor: u64, to_visitor: u64) {
        self.sent.set(from_visitor);
        self.to_visitor = to_visitor;
        self.is_whole = true;
    }

    pub(crate) const fn is_whole(&mut self) {
        self.is_whole = true;
    }

    /// The answer broke off within.
    pub(crate) fn is_cut(&mut self) {
        self.is_whole = false;
        if let Some(line) = &self.came.line {
            line.cut();
        }
    }
}

impl fmt::Debug for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stay")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        match &self.came.line {
            Some(line) => line.end(),
            None if self.is_whole || self.since.elapsed() >= HASTE => self.came.habits.kept(),
            None => {}
        }
        self.core.totals.answered(self.status);
        self.core.log.answered(&RequestEntry {
            visitor: self.visitor,
            peer: self.came.peer,
            listener: self.came.listener,
            host: &self.host,
            method: &self.method,
            target: &self.target,
            version: self.version,
            status: self.status,
            from_visitor: self.sent.bytes(),
            to_visitor: self.to_visitor,
            lasted: self.since.elapsed(),
            is_whole: self.is_whole,
            cause: self.cause.as_ref(),
        });
    }
}
