//! The port table, as it is shown.

use std::net::SocketAddr;

use adit_model::address::Scope;
use adit_model::id::{Epoch, Fingerprint, LeaseId, PrincipalId};
use adit_model::lease::{Holding, Lease, LeaseState};
use jiff::Timestamp;
use serde::Serialize;

use super::State;
use crate::gateway::lease::{Entry, Phase};

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseRow {
    /// Its number in the store.
    pub id: LeaseId,
    /// What is held.
    pub holding: Holding,
    /// Where it is to listen.
    pub scope: Scope,
    /// The addresses that are truly bound.
    pub addresses: Vec<SocketAddr>,
    /// Where visitors find it, if it is a site.
    pub urls: Vec<String>,
    /// Whose it is.
    pub principal: PrincipalId,
    /// That principal's name, if it is known still.
    pub name: Option<String>,
    /// The highest epoch that has held it.
    pub epoch: Epoch,
    /// Since when the principal has it.
    pub since: Timestamp,
    /// What it is doing.
    pub state: RowState,
    /// Visitors that wait for its owner.
    pub waiting: u32,
}

/// What a lease is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RowState {
    /// A connection has it.
    Held {
        /// Where that comes from.
        source: SocketAddr,
        /// The user name it gave.
        user: String,
        /// The key it logged in with.
        key: Option<Fingerprint>,
        /// What it asked for, word for word.
        bind: String,
        /// Since when.
        since: Timestamp,
    },
    /// It waits for its owner.
    Grace {
        /// Until then.
        until: Timestamp,
    },
    /// It is kept from others.
    Quarantine {
        /// Until then.
        until: Timestamp,
    },
}

impl State {
    /// What an entry is doing; `None` while it is only being claimed.
    pub(super) fn row(&self, entry: &Entry, lease: &Lease) -> Option<RowState> {
        Some(match entry.phase {
            Phase::Fresh => return None,
            Phase::Held(member, since) => {
                let seat = self.seats.get(&member)?;
                let asked = entry.asked.as_ref();
                RowState::Held {
                    source: seat.who.source,
                    user: seat.who.user.clone(),
                    key: seat.who.key.clone(),
                    bind: asked.map_or_else(String::new, |asked| asked.bind.to_string()),
                    since,
                }
            }
            Phase::Grace(_) | Phase::Quarantine(_) => match lease.state {
                LeaseState::Grace(until) => RowState::Grace { until },
                LeaseState::Quarantine(until) => RowState::Quarantine { until },
                // A claim is being fulfilled, and its owner is back in a moment.
                LeaseState::Held => RowState::Grace { until: entry.since },
            },
        })
    }
}
