//! What a gateway tells about itself, read at the moment it is asked: nothing is counted for its sake.

use std::sync::Arc;

use adit_model::lease::Holding;
use adit_tunnel::budget::Budget;
use adit_tunnel::gateway::accept::Acceptor;
use adit_tunnel::gateway::desk::{Desk, LeaseRow, RowState};
use adit_tunnel::gateway::policy::Policy;
use tokio::sync::watch;
use tracing::warn;

use super::condition::Condition;
use super::process::Process;
use super::text::Page;
use crate::gateway::audit;
use crate::gateway::names::Names;
use crate::gateway::settings::Caps;
use crate::gateway::visitors::Visitors;

/// Where the numbers are.
#[derive(Debug)]
pub(in crate::gateway) struct Readings {
    pub(in crate::gateway) acceptor: Arc<Acceptor>,
    pub(in crate::gateway) desk: Arc<Desk>,
    pub(in crate::gateway) visitors: Arc<Visitors>,
    pub(in crate::gateway) names: Option<Arc<Names>>,
    pub(in crate::gateway) policy: watch::Receiver<Arc<Policy>>,
    pub(in crate::gateway) condition: Arc<Condition>,
    pub(in crate::gateway) budget: Budget,
    pub(in crate::gateway) caps: Caps,
}

/// How many leases are how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leases {
    pub(super) held: u64,
    pub(super) grace: u64,
    pub(super) quarantine: u64,
    pub(super) unbound: u64,
    pub(super) waiting: u64,
}

impl Readings {
    /// Why no work should be sent here; nothing when it may be.
    pub(super) fn unready(&self) -> Vec<String> {
        self.condition.unready()
    }

    /// Everything, in Prometheus' format.
    pub(super) async fn metrics(&self) -> String {
        let mut page = Page::default();
        self.gateway(&mut page);
        self.connections(&mut page);
        self.visitors(&mut page);
        self.names(&mut page);
        leases(&mut page, &self.desk.rows());
        match tokio::task::spawn_blocking(Process::look).await {
            Ok(process) => self.process(&mut page, process),
            Err(error) => warn!(%error, "what this process uses cannot be told"),
        }
        page.finish()
    }

    fn gateway(&self, page: &mut Page) {
        page.gauge("adit_info", "The program; its version is the label.")
            .with("version", env!("CARGO_PKG_VERSION"), 1);
        let is_ready = u8::from(self.unready().is_empty());
        page.gauge("adit_ready", "1 while /ready says so.")
            .is(is_ready);
        let (is_answering, ago) = self.condition.store();
        page.gauge(
            "adit_store_up",
            "1 if the database answered when it was asked last.",
        )
        .is(u8::from(is_answering));
        page.gauge(
            "adit_store_answer_age_seconds",
            "Time since the database answered.",
        )
        .is(ago.as_secs_f64());
        let [done, refused] = self.condition.reloads();
        page.counter(
            "adit_reloads_total",
            "Times that settings and keys were read again.",
        )
        .with("result", "done", done)
        .with("result", "refused", refused);
        let (version, principals, keys) = {
            let policy = self.policy.borrow();
            (policy.version, policy.principals.len(), policy.keys.len())
        };
        page.gauge(
            "adit_policy_version",
            "The state of the store that is in force.",
        )
        .is(version);
        page.gauge("adit_principals", "Principals who may log in.")
            .is(principals);
        page.gauge("adit_keys", "Keys that let somebody in.")
            .is(keys);
        let audit = audit::counts();
        page.counter("adit_audit_entries_total", "Audit entries that were kept.")
            .is(audit.kept);
        page.counter(
            "adit_audit_dropped_total",
            "Audit entries that could not be kept.",
        )
        .is(audit.dropped);
    }

    fn connections(&self, page: &mut Page) {
        let counts = self.acceptor.counts();
        page.gauge(
            "adit_connections",
            "Connections of tunnels, those on their way in included.",
        )
        .is(counts.connections);
        page.gauge(
            "adit_connections_limit",
            "Connections of tunnels that there may be.",
        )
        .is(self.caps.connections);
        page.gauge(
            "adit_connections_arriving",
            "Connections that are logging in.",
        )
        .is(counts.arriving);
        page.gauge(
            "adit_connections_waiting",
            "Connections that wait for their turn to log in.",
        )
        .is(counts.waiting);
        page.counter(
            "adit_connections_accepted_total",
            "Connections that were accepted.",
        )
        .is(counts.accepted);
        page.counter(
            "adit_connections_refused_total",
            "Connections that were closed unheard.",
        )
        .with("reason", "limit", counts.too_many)
        .with("reason", "door", counts.no_place);
        page.counter(
            "adit_logins_total",
            "Connections that logged in, and that did not.",
        )
        .with("result", "done", counts.logged_in)
        .with("result", "refused", counts.not_logged_in);
        page.counter(
            "adit_accept_errors_total",
            "Times that the system refused to accept.",
        )
        .with("listener", "tunnels", counts.refused)
        .with("listener", "visitors", self.visitors.counts().refused);
    }

    fn visitors(&self, page: &mut Page) {
        let counts = self.visitors.counts();
        page.gauge("adit_visitors", "Visitors who are there.")
            .is(counts.visitors);
        page.gauge("adit_visitors_limit", "Visitors that there may be.")
            .is(self.visitors.most());
        page.counter(
            "adit_visitors_accepted_total",
            "Visitors who were accepted.",
        )
        .is(counts.accepted);
        page.counter(
            "adit_visitors_unserved_total",
            "Visitors who were not served to a good end.",
        )
        .with("reason", "turned_away", counts.turned_away)
        .with("reason", "nobody_there", counts.not_dialled)
        .with("reason", "broken_off", counts.broken_off);
        page.counter(
            "adit_visitor_bytes_total",
            "Bytes of visitors who have left.",
        )
        .with("direction", "in", counts.from_visitors)
        .with("direction", "out", counts.to_visitors);
        page.counter(
            "adit_visitors_full_total",
            "Times that a listener waited for room.",
        )
        .is(counts.full);
    }

    /// Of all names together: what visitors can choose is no label (security rule G124).
    fn names(&self, page: &mut Page) {
        let Some(names) = &self.names else {
            return;
        };
        let counts = names.counts();
        let (sites, passed) = names.published();
        page.gauge("adit_names", "Names that lead somewhere.")
            .with("kind", "site", sites)
            .with("kind", "passed", passed);
        page.gauge(
            "adit_name_connections",
            "Connections of visitors of names that are there.",
        )
        .is(counts.connections);
        page.counter(
            "adit_name_connections_total",
            "Connections of visitors of names that were accepted.",
        )
        .is(counts.accepted);
        page.counter(
            "adit_name_connections_ended_total",
            "Connections of visitors of names that came to no request.",
        )
        .with("reason", "turned_away", counts.turned_away)
        .with("reason", "handshake", counts.handshakes_failed)
        .with("reason", "passed", counts.passed);
        let [informed, done, moved, refused, failed] = counts.by_class;
        page.counter("adit_name_requests_total", "Requests that were answered.")
            .with("class", "1xx", informed)
            .with("class", "2xx", done)
            .with("class", "3xx", moved)
            .with("class", "4xx", refused)
            .with("class", "5xx", failed);
    }

    fn process(&self, page: &mut Page, process: Process) {
        let budget = (self.budget.total(), self.budget.left());
        page.gauge(
            "adit_window_bytes_limit",
            "Memory that windows and streams may take.",
        )
        .is(budget.0);
        page.gauge("adit_window_bytes", "Memory of it that is promised.")
            .is(budget.0.saturating_sub(budget.1));
        page.gauge(
            "process_start_time_seconds",
            "When the gateway began, since 1970.",
        )
        .is(self.condition.began().as_second());
        page.counter("process_cpu_seconds_total", "Time of processors.")
            .is(process.processors.as_secs_f64());
        page.gauge("process_open_fds", "Open file descriptors.")
            .may_be(process.descriptors);
        page.gauge("process_max_fds", "File descriptors that there may be.")
            .may_be(process.most_descriptors);
        page.gauge("process_resident_memory_bytes", "Memory that it has.")
            .may_be(process.resident);
    }
}

fn leases(page: &mut Page, rows: &[LeaseRow]) {
    let leases = Leases::of(rows);
    page.gauge(
        "adit_leases",
        "Ports, names and sockets that are kept for somebody.",
    )
    .with("state", "held", leases.held)
    .with("state", "grace", leases.grace)
    .with("state", "quarantine", leases.quarantine);
    page.gauge(
        "adit_leases_unbound",
        "Ports of these that should be open and are not.",
    )
    .is(leases.unbound);
    page.gauge(
        "adit_visitors_waiting",
        "Visitors who wait for an owner to come back.",
    )
    .is(leases.waiting);
}

impl Leases {
    pub(super) fn of(rows: &[LeaseRow]) -> Self {
        let mut leases = Self::default();
        for row in rows {
            let (count, is_open) = match row.state {
                RowState::Held { .. } => (&mut leases.held, true),
                RowState::Grace { .. } => (&mut leases.grace, true),
                RowState::Quarantine { .. } => (&mut leases.quarantine, false),
            };
            *count = count.saturating_add(1);
            let is_port = matches!(row.holding, Holding::Port(_));
            if is_open && is_port && row.addresses.is_empty() {
                leases.unbound = leases.unbound.saturating_add(1);
            }
            leases.waiting = leases.waiting.saturating_add(row.waiting.into());
        }
        leases
    }
}
