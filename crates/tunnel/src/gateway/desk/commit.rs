//! A claim is fulfilled: bound, kept and committed, or given back as if it had never been.

use std::sync::Arc;
use std::time::Duration;

use adit_model::id::{Epoch, Fingerprint, LeaseId};
use adit_model::lease::{Holding, Lease, LeaseState};
use jiff::Timestamp;
use tokio::time::timeout;

use super::listener::Fresh;
use super::{Desk, Listening, Member, Refused, Seat, SeatEnd, Who};
use crate::gateway::lease::{Committed, Ticket};
use crate::gateway::line::{Errand, Superseded, Word};
use crate::gateway::policy::{Policy, Principal};
use crate::gateway::seam::LedgerError;
use crate::transport::{Bind, CloseReason, Transport};

/// What a claim needs to be fulfilled.
pub(super) struct Plan {
    pub(super) ticket: Ticket,
    pub(super) lease: Lease,
    /// Whether the ledger knows the lease, as somebody's who asks for it again.
    pub(super) is_known: bool,
    /// The holder did not answer.
    pub(super) is_silent: bool,
}

/// How long the ledger has to keep a new lease: a commit takes milliseconds, and whoever asks is better told soon
/// that the database is away than kept waiting. Clients that give up on their own do so after 10 s and more.
const KEEP_NEW: Duration = Duration::from_secs(3);
/// How long an owner waits for the ledger to keep what it knows already: it is kept later as well, and nobody shall
/// wait for a lease of their own.
const KEEP_KNOWN: Duration = Duration::from_millis(500);

impl Desk {
    /// Binds, keeps, and commits.
    pub(super) async fn fulfil(
        &self,
        member: &Member,
        bind: &Bind,
        plan: Plan,
    ) -> Result<Listening, Refused> {
        let mut claim = Claim {
            desk: self,
            ticket: Some(&plan.ticket),
            kept: None,
        };
        let holding = &plan.ticket.holding;
        let fresh = self.bind(holding, plan.lease.scope, plan.is_known).await?;
        let id = match self.keep(&plan.lease, plan.is_known).await {
            Ok(id) => {
                claim.kept = Some(Lease {
                    id,
                    ..plan.lease.clone()
                });
                Some(id)
            }
            Err(error) if plan.is_known => {
                tracing::warn!(%holding, %error, "a known lease goes to its owner, and is kept later");
                None
            }
            Err(error) => {
                let holding = holding.clone();
                return Err(Refused::Ledger { holding, error });
            }
        };
        let (listening, change) = self.commit(member, bind, &plan, claim, fresh, id)?;
        change.told(holding, plan.is_silent, self.now().wall);
        Ok(listening)
    }

    async fn keep(&self, lease: &Lease, is_known: bool) -> Result<LeaseId, LedgerError> {
        let within = if is_known { KEEP_KNOWN } else { KEEP_NEW };
        match timeout(within, self.seams.ledger.keep(lease)).await {
            Ok(kept) => kept,
            Err(_) => Err(LedgerError {
                reason: format!("no answer within {within:?}"),
            }),
        }
    }

    /// In one hold of the lock: asks the live grant again, commits the claim, fences the old holder out and
    /// publishes the new one.
    fn commit(
        &self,
        member: &Member,
        bind: &Bind,
        plan: &Plan,
        mut claim: Claim<'_>,
        fresh: Option<Fresh>,
        id: Option<LeaseId>,
    ) -> Result<(Listening, Change), Refused> {
        let holding = &plan.ticket.holding;
        let now = self.now();
        let busy = || Refused::Busy {
            holding: holding.clone(),
        };
        let mut state = self.state();
        // Not sooner: a review between the two would have passed over what is only being claimed.
        let policy = self.policy();
        // What fails here gives the claim back when the lock is, since arguments are dropped after locals.
        let principal = state.standing(member.id, &policy, now)?;
        self.still_allowed(&policy, (&principal, member), bind, plan)?;
        let Committed {
            epoch,
            bind,
            displaced,
            lost,
        } = state.table.commit(&plan.ticket, now).ok_or_else(busy)?;
        claim.ticket = None;
        match id {
            Some(id) if state.keeping.as_ref() != Some(holding) => {
                state.unkept.remove(holding);
                state.table.kept(holding, id);
            }
            // What the ledger is just being told is older than this.
            _ => {
                if let Some(id) = id {
                    state.table.kept(holding, id);
                }
                if let Some(lease) = state.table.lease(holding, now) {
                    self.keep_later(&mut state, lease);
                }
            }
        }
        if let Some(fresh) = fresh {
            self.install(&mut state, holding, fresh);
        }
        let newcomer = state.seats.get(&member.id).map(Seat::passport);
        let displaced = displaced.and_then(|displaced| {
            let seat = state.seats.get(&displaced)?;
            Some((displaced, seat.passport()))
        });
        if let Some((transport, _)) = &newcomer {
            let transport = Arc::clone(transport);
            let owner = member.who.principal.id;
            self.registry.serve(holding, owner, epoch, bind, transport);
        }
        let mut change = Change {
            epoch,
            version: policy.version,
            newcomer: newcomer.map(|(_, who)| who),
            old: None,
        };
        if let Some((displaced, (transport, who))) = displaced {
            if plan.is_silent {
                // It is gone, and all else that it had waits for its owner, who is here already.
                if let Some(seat) = state.seats.get_mut(&displaced) {
                    seat.end = SeatEnd::Closing;
                }
                self.to_grace(&mut state, displaced, now);
            }
            let is_idle = state.table.held_by(displaced).is_empty();
            change.old = Some(Displaced {
                who,
                lost,
                idle: is_idle.then_some(transport),
            });
        }
        self.changed();
        Ok((self.listening(&state, holding, plan.lease.scope), change))
    }

    /// Whether what was claimed is allowed still.
    fn still_allowed(
        &self,
        policy: &Policy,
        (principal, member): (&Principal, &Member),
        bind: &Bind,
        plan: &Plan,
    ) -> Result<(), Refused> {
        let holding = &plan.ticket.holding;
        let allowed = self.allowed(principal, member.who(), bind)?;
        let is_others = policy
            .reservations
            .iter()
            .any(|rule| rule.principal != principal.id && rule.what.covers(holding));
        if is_others {
            return Err(Refused::InUse {
                holding: holding.clone(),
            });
        }
        if allowed.scope != plan.lease.scope || !allowed.wish.may_be(holding) {
            // The grant has changed in between; asked again, it is answered by the new one.
            return Err(Refused::Busy {
                holding: holding.clone(),
            });
        }
        Ok(())
    }
}

/// A takeover, to be told once the lock is given back.
struct Change {
    epoch: Epoch,
    /// Of the policy that allowed it (security rule G04).
    version: u64,
    newcomer: Option<Arc<Who>>,
    old: Option<Displaced>,
}

/// Who held it before.
struct Displaced {
    who: Arc<Who>,
    /// What it had asked for.
    lost: Option<Bind>,
    /// The connection, if it has nothing left.
    idle: Option<Arc<dyn Transport>>,
}

impl Change {
    /// Tells the old connection, and the audit (security rule G14).
    fn told(self, holding: &Holding, was_silent: bool, now: Timestamp) {
        let Some(Displaced {
            who: old,
            lost,
            idle,
        }) = self.old
        else {
            return;
        };
        let Some(new) = self.newcomer else {
            return;
        };
        let key = |who: &Who| who.key.as_ref().map(Fingerprint::to_string);
        let agent = |who: &Who| who.line.instance().map(tracing::field::display);
        tracing::info!(
            target: "adit::audit",
            what = "lease.takeover",
            who = new.principal.name,
            %holding,
            epoch = %self.epoch,
            policy.version = self.version,
            principal = %new.principal.id,
            new.source = %new.source,
            new.key = key(&new),
            new.user = %adit_ssh::printable::Printable::new(new.user.as_bytes()),
            new.software = new.software,
            new.agent = agent(&new),
            old.source = %old.source,
            old.key = key(&old),
            old.software = old.software,
            old.agent = agent(&old),
            old.user = %adit_ssh::printable::Printable::new(old.user.as_bytes()),
            was_silent,
            "lease was taken over"
        );
        if let Some(bind) = lost {
            let to = new.source;
            old.line.send(Errand::Lost { bind, to });
        }
        let word = Word::Superseded(Superseded {
            holding: holding.clone(),
            by: new,
            since: now,
            closes: idle.is_some(),
            was_silent,
        });
        // Whoever hears it closes the connection behind it.
        let stays = old.line.stays() && !was_silent;
        if let (Err(_), Some(transport), false) = (old.line.tell(word), idle, stays) {
            transport.close(CloseReason::Superseded);
        }
    }
}

impl Seat {
    fn passport(&self) -> (Arc<dyn Transport>, Arc<Who>) {
        (Arc::clone(&self.transport), Arc::clone(&self.who))
    }
}

/// A claim that is being fulfilled. Dropped before it is committed, it is given back, and what the ledger was
/// told of it is set right.
struct Claim<'a> {
    desk: &'a Desk,
    ticket: Option<&'a Ticket>,
    kept: Option<Lease>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let desk = self.desk;
        let now = desk.now();
        let mut state = desk.state();
        state.table.abandon(ticket);
        desk.follow(&mut state, &ticket.holding);
        if let Some(kept) = self.kept.take() {
            let is = state.table.lease(&ticket.holding, now);
            let lease = is.unwrap_or(Lease {
                state: LeaseState::Quarantine(now.wall),
                ..kept
            });
            desk.keep_later(&mut state, lease);
        }
    }
}
