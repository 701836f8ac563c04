//! A connection asks for a lease, and gives it back.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adit_model::address::Scope;
use adit_model::grant::Grant;
use adit_model::id::{Epoch, Fingerprint, LeaseId, PrincipalId};
use adit_model::lease::{Holding, Lease, LeaseState, SocketName};
use adit_model::port::PortSet;
use tokio::time::{timeout, timeout_at};

use super::listener::{CLOSE, Fresh};
use super::{Desk, Listening, Member, Refused, Seat, SeatEnd, State, Who};
use crate::gateway::after;
use crate::gateway::lease::{
    Answer, Ask, Committed, MemberId, Now, Phase, Ticket, Verdict, Wanted,
};
use crate::gateway::policy::{Policy, Principal};
#[cfg(unix)]
use crate::gateway::port;
use crate::gateway::seam::LedgerError;
use crate::transport::{Bind, CloseReason, Transport};

/// How an ask has gone so far.
#[derive(Debug, Default)]
struct Attempt {
    /// What the holder was found to be.
    verdict: Option<Verdict>,
    /// Drawn ports that other programs have.
    avoid: Vec<u16>,
}

/// What comes next.
enum Step {
    Done(Listening),
    Wait(Holding),
    Probe {
        holding: Holding,
        epoch: Epoch,
        transport: Arc<dyn Transport>,
    },
    Fulfil(Plan),
}

/// What a claim needs to be fulfilled.
struct Plan {
    ticket: Ticket,
    lease: Lease,
    /// Whether the ledger knows the lease, as somebody's who asks for it again.
    is_known: bool,
    /// The holder did not answer.
    is_silent: bool,
}

/// A holding that a grant allows, as it was asked for.
struct Allowed {
    /// `None` for any port.
    holding: Option<Holding>,
    scope: Scope,
    /// Ports to draw from.
    ports: PortSet,
}

/// How long an ask waits for others of the same principal about the same holding.
const PATIENCE: Duration = Duration::from_secs(10);
/// Drawn ports that other programs may turn out to have, before that is told.
const DRAWS: usize = 16;
/// How long the ledger has to keep a new lease.
const KEEP_NEW: Duration = Duration::from_secs(10);
/// How long an owner waits for the ledger to keep what it knows already: it is kept later as well, and nobody shall
/// wait for a lease of their own.
const KEEP_KNOWN: Duration = Duration::from_millis(500);

impl Desk {
    /// Listens for a connection: `bind` word for word as the peer asked. The same words again are granted again.
    ///
    /// # Errors
    /// See [`Refused`].
    ///
    /// # Cancel safety
    /// Dropped, nothing is granted.
    pub async fn listen(&self, member: &Member, bind: &Bind) -> Result<Listening, Refused> {
        let deadline = after(PATIENCE);
        let mut attempt = Attempt::default();
        loop {
            let mut table = self.changes.subscribe();
            match self.step(member, bind, &attempt)? {
                Step::Done(listening) => return Ok(listening),
                Step::Wait(holding) => {
                    let changed = timeout_at(deadline, table.changed()).await;
                    if changed.is_err() {
                        return Err(Refused::Busy { holding });
                    }
                }
                Step::Probe {
                    holding,
                    epoch,
                    transport,
                } => {
                    let question = Question {
                        desk: self,
                        holding: &holding,
                    };
                    let is_alive = transport.is_alive(patience(transport.round_trip())).await;
                    drop(question);
                    attempt.verdict = Some(Verdict { epoch, is_alive });
                }
                Step::Fulfil(plan) => {
                    let holding = plan.ticket.holding.clone();
                    let is_drawn = bind.port() == Some(0);
                    match (Box::pin(self.fulfil(member, bind, plan)).await, &holding) {
                        (Err(Refused::Bind(error)), Holding::Port(port))
                            if is_drawn && error.is_taken() && attempt.avoid.len() < DRAWS =>
                        {
                            attempt.avoid.push(*port);
                        }
                        (result, _) => return result,
                    }
                }
            }
        }
    }

    /// Takes a forward back: `bind` as it was asked for, with the port that was granted. Says whether there
    /// was one. When this returns, its listener is closed.
    ///
    /// # Cancel safety
    /// Once polled, it is taken back.
    pub async fn cancel(&self, member: &Member, bind: &Bind) -> bool {
        let closing = {
            let now = self.now();
            let mut state = self.state();
            let Some(holding) = state.table.cancel(member.id, bind, now) else {
                return false;
            };
            self.settle(&mut state, &holding, now);
            state.closing.get(&holding).cloned()
        };
        if let Some(over) = closing
            && timeout(CLOSE, over.cancelled()).await.is_err()
        {
            tracing::warn!(%bind, "a listener does not close in time");
        }
        true
    }

    /// Asks the live grant and the table.
    fn step(&self, member: &Member, bind: &Bind, attempt: &Attempt) -> Result<Step, Refused> {
        let (policy, now) = (self.policy(), self.now());
        let mut state = self.state();
        let principal = state.standing(member.id, &policy, now)?;
        let allowed = self.allowed(&principal.grant, principal.id, bind)?;
        let wanted = match &allowed.holding {
            Some(holding) => Wanted::This(holding.clone()),
            None => Wanted::Any {
                ports: &allowed.ports,
                avoid: &attempt.avoid,
            },
        };
        if let Some(holding) = &allowed.holding {
            self.let_go(&mut state, holding, now);
        }
        let limit = principal.grant.limits.leases;
        let ask = Ask {
            member: member.id,
            principal: principal.id,
            label: &member.who.user,
            source: member.who.source,
            bind,
            wanted,
            scope: allowed.scope,
            takeover: principal.grant.takeover,
            takeover_from: &principal.grant.takeover_from,
            limit: limit.unwrap_or(self.settings.leases),
            reservations: &policy.reservations,
            verdict: attempt.verdict,
        };
        let answer = state.table.ask(&ask, now, &mut draw);
        if let Err(refused @ Refused::Flapping { .. }) = &answer {
            tracing::warn!(principal = %principal.name, source = %member.who.source, reason = %refused,
                "two machines seem to have one key");
        }
        Ok(match answer? {
            Answer::Again(holding) => {
                // It listens, or is told why not; or it is just being bound again.
                match (
                    state.listeners.contains_key(&holding),
                    state.missing.get(&holding),
                ) {
                    (true, _) => Step::Done(state.listening(&holding, allowed.scope)),
                    (false, Some(error)) => return Err(error.clone().into()),
                    (false, None) => Step::Wait(holding),
                }
            }
            Answer::Wait(holding) => Step::Wait(holding),
            Answer::Probe {
                holding,
                epoch,
                holder,
            } => {
                let Some(seat) = state.seats.get(&holder) else {
                    state.table.probe_is_over(&holding);
                    return Err(Refused::Busy { holding });
                };
                Step::Probe {
                    holding,
                    epoch,
                    transport: Arc::clone(&seat.transport),
                }
            }
            Answer::Claimed(ticket) => {
                let lease = state.table.claimed(&ticket, now);
                let Some(lease) = lease else {
                    let holding = ticket.holding;
                    return Err(Refused::Busy { holding });
                };
                Step::Fulfil(Plan {
                    ticket,
                    is_known: lease.id != LeaseId::new(0),
                    lease,
                    is_silent: attempt.verdict.is_some_and(|verdict| !verdict.is_alive),
                })
            }
        })
    }

    /// The socket that a path means in the folder of that principal.
    pub(in crate::gateway) fn socket(
        &self,
        principal: PrincipalId,
        path: &str,
    ) -> Result<SocketName, Refused> {
        socket_name(self.settings.sockets.as_deref(), principal, path)
    }

    /// A holder whose connection has ended has it no more, even if nobody has said so yet.
    fn let_go(&self, state: &mut State, holding: &Holding, now: Now) {
        let Some(Phase::Held(holder, _)) = state.table.entry(holding).map(|entry| entry.phase)
        else {
            return;
        };
        let seat = state.seats.get(&holder);
        if seat.is_some_and(|seat| seat.transport.end().now().is_some()) {
            self.to_grace(state, holder, now);
        }
    }

    /// What a grant allows of what was asked for.
    fn allowed(
        &self,
        grant: &Grant,
        principal: PrincipalId,
        bind: &Bind,
    ) -> Result<Allowed, Refused> {
        match bind {
            Bind::Tcp { host, port } => Ok(Allowed {
                scope: grant.listen(host, *port)?,
                holding: (*port != 0).then_some(Holding::Port(*port)),
                ports: if *port == 0 {
                    grant.ports.intersection(&self.settings.ports)
                } else {
                    PortSet::EMPTY
                },
            }),
            Bind::Unix { path } => {
                let name = self.socket(principal, path)?;
                grant.socket(&name)?;
                if self.settings.sockets.is_none() {
                    return Err(Refused::NoSockets { name });
                }
                Ok(Allowed {
                    holding: Some(Holding::Unix(principal, name)),
                    scope: Scope::Loopback,
                    ports: PortSet::EMPTY,
                })
            }
        }
    }

    /// Binds, keeps, and commits.
    async fn fulfil(&self, member: &Member, bind: &Bind, plan: Plan) -> Result<Listening, Refused> {
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
        change.told(holding, plan.is_silent);
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
        let (policy, now) = (self.policy(), self.now());
        let busy = || Refused::Busy {
            holding: holding.clone(),
        };
        let mut state = self.state();
        // What fails here gives the claim back when the lock is, since arguments are dropped after locals.
        let principal = state.standing(member.id, &policy, now)?;
        self.still_allowed(&policy, &principal, bind, plan)?;
        let Committed {
            epoch,
            bind,
            displaced,
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
            self.registry.serve(holding, epoch, bind, transport);
        }
        let mut change = Change {
            epoch,
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
                idle: is_idle.then_some(transport),
            });
        }
        self.changed();
        Ok((state.listening(holding, plan.lease.scope), change))
    }

    /// Whether what was claimed is allowed still.
    fn still_allowed(
        &self,
        policy: &Policy,
        principal: &Principal,
        bind: &Bind,
        plan: &Plan,
    ) -> Result<(), Refused> {
        let holding = &plan.ticket.holding;
        let allowed = self.allowed(&principal.grant, principal.id, bind)?;
        let is_drawable = match (&allowed.holding, holding) {
            (None, Holding::Port(port)) => allowed.ports.contains(*port),
            _ => true,
        };
        let is_others = policy
            .reservations
            .iter()
            .any(|rule| rule.principal != principal.id && rule.what.covers(holding));
        if is_others {
            return Err(Refused::InUse {
                holding: holding.clone(),
            });
        }
        if allowed.scope != plan.lease.scope || !is_drawable {
            // The grant has changed in between; asked again, it is answered by the new one.
            return Err(Refused::Busy {
                holding: holding.clone(),
            });
        }
        Ok(())
    }
}

/// The socket that a path means in the folder of that principal.
#[cfg(unix)]
fn socket_name(
    base: Option<&Path>,
    principal: PrincipalId,
    path: &str,
) -> Result<SocketName, Refused> {
    let base = base.unwrap_or_else(|| Path::new(""));
    port::unix::read_path(base, principal, path).ok_or_else(|| Refused::Path {
        path: String::from(path),
        folder: port::unix::folder_name(principal),
    })
}

/// The socket that a path means: none, where there are no sockets.
#[cfg(not(unix))]
fn socket_name(_: Option<&Path>, _: PrincipalId, path: &str) -> Result<SocketName, Refused> {
    Err(Refused::Path {
        path: String::from(path),
        folder: String::new(),
    })
}

/// A takeover, to be told once the lock is given back.
struct Change {
    epoch: Epoch,
    newcomer: Option<Arc<Who>>,
    old: Option<Displaced>,
}

/// Who held it before.
struct Displaced {
    who: Arc<Who>,
    /// The connection, if it has nothing left.
    idle: Option<Arc<dyn Transport>>,
}

impl Change {
    /// Tells the old connection, and the audit (security rule G14).
    fn told(self, holding: &Holding, was_silent: bool) {
        let (Some(new), Some(Displaced { who: old, idle })) = (self.newcomer, self.old) else {
            return;
        };
        let key = |who: &Who| who.key.as_ref().map(Fingerprint::to_string);
        tracing::info!(
            target: "adit::audit",
            what = "lease.takeover",
            who = new.principal.name,
            %holding,
            epoch = %self.epoch,
            principal = %new.principal.id,
            new.source = %new.source,
            new.key = key(&new),
            new.user = %adit_ssh::printable::Printable::new(new.user.as_bytes()),
            old.source = %old.source,
            old.key = key(&old),
            old.user = %adit_ssh::printable::Printable::new(old.user.as_bytes()),
            was_silent,
            "lease was taken over"
        );
        if let Some(transport) = idle {
            transport.close(CloseReason::Superseded);
        }
    }
}

impl State {
    /// The principal as it is now, if the connection may be here.
    pub(super) fn standing(
        &self,
        member: MemberId,
        policy: &Policy,
        now: Now,
    ) -> Result<Arc<Principal>, Refused> {
        if self.is_stopping {
            return Err(Refused::Stopping);
        }
        let seat = self.seats.get(&member).ok_or(Refused::Gone)?;
        match &seat.end {
            SeatEnd::No => {}
            SeatEnd::Closing => return Err(Refused::Gone),
            SeatEnd::Fallen(fallen) => return Err(fallen.clone().into()),
        }
        let time = self.wall.time_for(seat.behind, now);
        Ok(policy.standing(&seat.who, time)?.principal)
    }

    fn listening(&self, holding: &Holding, scope: Scope) -> Listening {
        let listener = self.listeners.get(holding);
        Listening {
            port: match holding {
                Holding::Port(port) => *port,
                Holding::Unix(..) | Holding::Name(_) => 0,
            },
            scope,
            addresses: listener.map_or_else(Vec::new, |listener| listener.addresses.clone()),
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

/// A question whether a holder is there. Dropped, nobody waits for its answer any more.
struct Question<'a> {
    desk: &'a Desk,
    holding: &'a Holding,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.desk.state().table.probe_is_over(self.holding);
        self.desk.changed();
    }
}

/// How long a holder may take to answer: a few round trips, so that one lost packet is sent again, and 2 s at the
/// most (security rule G13). A second if its distance is not known.
pub(super) fn patience(round_trip: Option<Duration>) -> Duration {
    const LEAST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(2);
    const UNKNOWN: Duration = Duration::from_secs(1);
    const REPEATED: Duration = Duration::from_millis(300);
    round_trip.map_or(UNKNOWN, |round_trip| {
        let few = round_trip.saturating_mul(4).saturating_add(REPEATED);
        few.clamp(LEAST, MOST)
    })
}

/// A number below the bound from the system's random source, each with the same chance.
fn draw(bound: NonZeroU32) -> u32 {
    // Numbers from here on would give the lowest results a greater chance.
    let past = u32::MAX.saturating_sub(u32::MAX % bound);
    loop {
        let mut bytes = [0; 4];
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            tracing::error!("the system gives no random numbers; the first free port is taken");
            return 0;
        }
        let number = u32::from_be_bytes(bytes);
        if number < past {
            return number % bound;
        }
    }
}
