//! How a gateway is, for a person who asks.

use serde_json::json;

use super::readings::{Leases, Readings};
use crate::gateway::order::Row;

impl Readings {
    /// How it is: whether it is ready, and how much of everything is there.
    pub(in crate::gateway) fn state(&self) -> Row {
        let reasons = self.unready();
        let leases = Leases::of(&self.desk.rows());
        let (principals, keys) = {
            let policy = self.policy.borrow();
            (policy.principals.len(), policy.keys.len())
        };
        let visitors = self.visitors.counts();
        let all = [
            ("ready", json!(reasons.is_empty())),
            ("reasons", json!(reasons)),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("since", json!(self.condition.began())),
            ("connections", json!(self.acceptor.counts().connections)),
            ("visitors", json!(visitors.visitors)),
            ("visitors_waiting", json!(leases.waiting)),
            ("leases_held", json!(leases.held)),
            ("leases_in_grace", json!(leases.grace)),
            ("leases_in_quarantine", json!(leases.quarantine)),
            ("leases_unbound", json!(leases.unbound)),
            ("principals", json!(principals)),
            ("keys", json!(keys)),
        ];
        all.map(|(key, value)| (String::from(key), value))
            .into_iter()
            .collect()
    }
}
