//! Everybody is held against the policy again: whenever it changes, and whenever a moment comes at which somebody's
//! time is over (security rules G04 to G06).

use std::sync::Arc;

use adit_model::address::Scope;
use adit_model::grant::Grant;
use adit_model::host::Name;
use adit_model::lease::Holding;
use adit_model::name::is_site;

use super::{Desk, Fallen, Refused, Seat, SeatEnd, State};
use crate::gateway::lease::{Entry, MemberId, Now, Phase};
use crate::gateway::policy::Policy;
use crate::transport::{Bind, CloseReason, Transport};

impl Desk {
    /// Does what the policy and the clocks demand, and binds what is not bound. Called at every change of the
    /// policy, and at least once a second.
    pub(super) fn review(&self) {
        let now = self.now();
        let mut state = self.state();
        let policy = self.policy();
        if state.is_stopping {
            return;
        }
        if let Some(back) = state.wall.see(now) {
            tracing::warn!(seconds = back.as_secs(), now = %now.wall,
                "the clock was set back; what had expired stays so");
        }
        let reviewed = state.reviewed.as_ref();
        let is_new = !reviewed.is_some_and(|reviewed| Arc::ptr_eq(reviewed, &policy));
        state.reviewed = Some(Arc::clone(&policy));
        let mut closing = self.review_seats(&mut state, &policy, is_new, now);
        closing.extend(self.review_leases(&mut state, &policy, is_new, now));
        for passed in state.table.pass(now) {
            self.settle(&mut state, passed.holding(), now);
        }
        drop(state);
        self.repair();
        for (transport, reason) in closing {
            transport.close(reason);
        }
    }

    /// Ends connections that may not be here any more; their leases are released.
    fn review_seats(
        &self,
        state: &mut State,
        policy: &Policy,
        is_new: bool,
        now: Now,
    ) -> Vec<(Arc<dyn Transport>, CloseReason)> {
        let wall = state.wall;
        let mut fallen = Vec::new();
        for (member, seat) in &mut state.seats {
            let time = wall.time_for(seat.behind, now);
            let is_due = is_new || seat.until.is_some_and(|until| until <= time);
            if seat.end != SeatEnd::No || !is_due {
                continue;
            }
            match policy.standing(&seat.who, time) {
                Ok(standing) => seat.until = standing.until,
                Err(why) => fallen.push((*member, why)),
            }
        }
        let mut closing = Vec::new();
        for (member, why) in fallen {
            self.release_member(state, member, now);
            if let Some(seat) = state.seats.get_mut(&member) {
                closing.push((Arc::clone(&seat.transport), reason(seat, &why)));
                seat.end = SeatEnd::Fallen(why);
            }
        }
        closing
    }

    /// Releases all that a connection has and is being given.
    pub(super) fn release_member(&self, state: &mut State, member: MemberId, now: Now) {
        let (held, claimed) = state.table.leave(member, now);
        for holding in &claimed {
            self.settle(state, holding, now);
        }
        self.release_all(state, &held, now);
    }

    /// Releases leases that their principals may not have any more, whether or not they are here.
    fn review_leases(
        &self,
        state: &mut State,
        policy: &Policy,
        is_new: bool,
        now: Now,
    ) -> Vec<(Arc<dyn Transport>, CloseReason)> {
        let (mut lost, mut narrowed) = (Vec::new(), Vec::new());
        for (holding, entry) in state.table.entries() {
            let is_over = match entry.phase {
                Phase::Held(..) => false,
                Phase::Grace(_) => is_expired(policy, entry, now),
                Phase::Fresh | Phase::Quarantine(_) => continue,
            };
            let scope = if is_new && !is_over {
                self.allowed_scope(policy, holding, entry)
            } else {
                (!is_over).then_some(entry.scope)
            };
            match scope {
                Some(scope) if scope == entry.scope => {}
                Some(scope) => narrowed.push((holding.clone(), scope)),
                None => lost.push((holding.clone(), entry.phase)),
            }
        }
        for (holding, scope) in narrowed {
            tracing::info!(%holding, %scope, "a lease is allowed here only, and listens nowhere else");
            self.registry.end(&holding);
            state.close_listener(&holding);
            state.table.narrow(&holding, scope);
            self.settle(state, &holding, now);
        }
        let mut closing = Vec::new();
        for (holding, phase) in lost {
            tracing::info!(%holding, "a lease is not allowed any more, and released");
            self.release_all(state, std::slice::from_ref(&holding), now);
            let Phase::Held(member, _) = phase else {
                continue;
            };
            if let Some(seat) = state.seats.get(&member)
                && state.table.held_by(member).is_empty()
            {
                let text = format!("{holding} is not allowed to you any more");
                closing.push((
                    Arc::clone(&seat.transport),
                    CloseReason::Revoked(text.into()),
                ));
            }
        }
        closing
    }

    /// Where a principal may have what it has; `None` for nowhere.
    fn allowed_scope(&self, policy: &Policy, holding: &Holding, entry: &Entry) -> Option<Scope> {
        let grant = &policy.principals.get(&entry.principal)?.grant;
        let is_others = policy
            .reservations
            .iter()
            .any(|rule| rule.principal != entry.principal && rule.what.covers(holding));
        if is_others {
            return None;
        }
        match (holding, &entry.asked) {
            (Holding::Port(port), Some(asked)) => {
                let asked_port = if asked.is_drawn { 0 } else { *port };
                let scope = match &asked.bind {
                    Bind::Tcp { host, .. } => grant.listen(host, asked_port).ok(),
                    Bind::Unix { .. } => None,
                };
                scope.filter(|scope| *scope == entry.scope && grant.ports.contains(*port))
            }
            (Holding::Port(port), None) => narrowed(grant, *port, entry.scope),
            (Holding::Unix(_, name), _) => grant.socket(name).is_ok().then_some(entry.scope),
            (Holding::Name(name), _) => {
                let is_own = grant.has_name(name, self.name_rules());
                is_own.is_ok_and(|is_own| is_own).then_some(entry.scope)
            }
            (Holding::Service(name, port) | Holding::Member(name, port, _), _) => {
                let place = match holding {
                    Holding::Member(_, _, place) => *place,
                    Holding::Service(..)
                    | Holding::Name(_)
                    | Holding::Port(_)
                    | Holding::Unix(..) => 0,
                };
                let has_place = place == 0 || grant.pool.is_some_and(|pool| place < pool.places);
                let is_given = entry.drawn.is_some() && grant.any_name && is_site(*port);
                let is_allowed =
                    has_place && (is_given || self.may_have(grant, entry, name, *port));
                is_allowed.then_some(entry.scope)
            }
        }
    }

    /// Whether a name is in the grant, or is a domain that was proved.
    fn may_have(&self, grant: &Grant, entry: &Entry, name: &Name, port: u16) -> bool {
        match grant.has_name(name, self.name_rules()) {
            Ok(true) => true,
            Ok(false) => {
                let sites = self.settings.sites.as_ref();
                let is_proved = sites.is_some_and(|it| it.is_proved(entry.principal, name));
                grant.own_domains && is_site(port) && is_proved
            }
            Err(_) => false,
        }
    }
}

/// What is left of a scope after a restart, when nobody knows the words that it was asked for in: all of it, if
/// the grant still gives that or more for any words; else the part that it gives for such as may have been
/// meant; else nothing.
fn narrowed(grant: &Grant, port: u16, scope: Scope) -> Option<Scope> {
    if !grant.ports.contains(port) {
        return None;
    }
    let own = scope.to_string();
    let texts = [own.as_str(), "", "localhost"];
    let asked = grant.asked.iter().map(|rule| rule.host.as_str());
    let scopes: Vec<_> = texts
        .into_iter()
        .chain(asked)
        // It may have been drawn.
        .flat_map(|text| [port, 0].map(|port| grant.listen(text, port)))
        .filter_map(Result::ok)
        .collect();
    if scopes.iter().any(|given| scope.is_within(*given)) {
        return Some(scope);
    }
    scopes.into_iter().find(|given| given.is_within(scope))
}

/// Whether the time of its principal's grant is over.
fn is_expired(policy: &Policy, entry: &Entry, now: Now) -> bool {
    let principal = policy.principals.get(&entry.principal);
    let until = principal.and_then(|principal| principal.grant.not_after);
    until.is_some_and(|until| until <= now.wall)
}

fn reason(seat: &Seat, why: &Fallen) -> CloseReason {
    let text = Refused::from(why.clone()).to_string();
    tracing::info!(principal = %seat.who.principal.id, source = %seat.who.source, reason = %text,
        "a connection may not be here any more");
    CloseReason::Revoked(text.into())
}
