//! Somebody who has logged in, as the desk knows it.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use adit_model::id::Fingerprint;
use jiff::Timestamp;

use super::Desk;
use crate::gateway::lease::MemberId;
use crate::gateway::line::Line;
use crate::gateway::policy::Principal;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Who {
    /// Whom the login proved it to be.
    pub principal: Arc<Principal>,
    /// The key that it logged in with; also that of a certificate.
    pub key: Option<Fingerprint>,
    /// The certificate, if it logged in with one: it ends when its authority or itself is revoked.
    pub certificate: Option<Certified>,
    /// Where it comes from.
    pub source: SocketAddr,
    /// The user name it gave: a label, no identity.
    pub user: String,
    /// What its program calls itself, escaped and cut: a label, too.
    pub software: String,
    /// Until when what it logged in with is valid: a certificate's time.
    pub not_after: Option<Timestamp>,
    /// What it can be told.
    pub line: Arc<Line>,
}

/// The certificate of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The authority that signed it.
    pub authority: Fingerprint,
    /// Its serial number.
    pub serial: u64,
    /// Its key id.
    pub key_id: String,
    /// The one of its names that it stands for here.
    pub name: String,
}

/// A connection at the desk. Given back with [`Desk::leave`](super::Desk::leave); dropped, it has been lost.
#[derive(Debug)]
pub struct Member {
    pub(super) id: MemberId,
    pub(super) who: Arc<Who>,
    pub(super) desk: Weak<Desk>,
}

impl Member {
    /// Who it is.
    pub fn who(&self) -> &Who {
        &self.who
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(desk) = self.desk.upgrade() {
            desk.left(self.id);
        }
    }
}
