//! A connection asks for a lease, and gives it back: what the live grant and the table say.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use adit_model::address::Scope;
use adit_model::grant::Offer;
use adit_model::id::{Epoch, Fingerprint, LeaseId, PrincipalId};
use adit_model::lease::{Holding, SocketName, Takeover};
use adit_model::name::{NameRules, is_site};
use adit_model::port::PortSet;
use tokio::time::{timeout, timeout_at};

use super::commit::Plan;
use super::listener::CLOSE;
use super::{Desk, Listening, Member, Refused, SeatEnd, State, Who};
use crate::control::Instance;
use crate::gateway::after;
use crate::gateway::lease::{Answer, Ask, Choice, MemberId, Now, Phase, Verdict, Wanted};
use crate::gateway::policy::{Policy, Principal};
#[cfg(unix)]
use crate::gateway::port;
use crate::gateway::seam::Unproved;
use crate::transport::{Bind, Transport};

/// How an ask has gone so far.
#[derive(Debug, Default)]
struct Attempt {
    /// What the holder was found to be.
    verdict: Option<Verdict>,
    /// Drawn ports that other programs have.
    avoid: Vec<u16>,
    /// Holders of ports that were drawn before, who were found to be there.
    alive: Vec<Epoch>,
    /// What is to come back, and nothing else; from nobody who holds it.
    back: Option<Holding>,
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

/// What a grant allows, as it was asked for.
pub(super) struct Allowed {
    pub(super) wish: Wish,
    pub(super) scope: Scope,
}

/// What somebody asks for and may have.
pub(super) enum Wish {
    /// That one.
    This(Holding),
    /// One of these, the first first.
    OneOf(Vec<Holding>, Choice),
    /// Any free port of these.
    AnyPort(PortSet),
}

impl Wish {
    /// The one that it is about, if it is about one.
    const fn holding(&self) -> Option<&Holding> {
        match self {
            Self::This(holding) => Some(holding),
            Self::OneOf(..) | Self::AnyPort(_) => None,
        }
    }

    /// Whether it may be that one.
    pub(super) fn may_be(&self, holding: &Holding) -> bool {
        match self {
            Self::This(wished) => wished == holding,
            Self::OneOf(holdings, _) => holdings.contains(holding),
            Self::AnyPort(ports) => {
                matches!(holding, Holding::Port(port) if ports.contains(*port))
            }
        }
    }
}

/// How long an ask waits for others of the same principal about the same holding.
const PATIENCE: Duration = Duration::from_secs(10);
/// Drawn ports that other programs may turn out to have, before that is told.
const DRAWS: usize = 16;

impl Desk {
    /// Listens for a connection: `bind` word for word as the peer asked. The same words again are granted again.
    ///
    /// # Errors
    /// See [`Refused`].
    ///
    /// # Cancel safety
    /// Dropped, nothing is granted.
    pub async fn listen(&self, member: &Member, bind: &Bind) -> Result<Listening, Refused> {
        self.prove(member, bind).await?;
        self.attain(member, bind, None).await
    }

    /// The same for what is proved. With `back`, it is that holding or nothing, and whoever holds it keeps it.
    pub(super) async fn attain(
        &self,
        member: &Member,
        bind: &Bind,
        back: Option<&Holding>,
    ) -> Result<Listening, Refused> {
        let deadline = after(PATIENCE);
        let mut attempt = Attempt {
            back: back.cloned(),
            ..Attempt::default()
        };
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
                    if is_alive {
                        attempt.alive.push(epoch);
                    }
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
        let now = self.now();
        let mut state = self.state();
        let policy = self.policy();
        let principal = state.standing(member.id, &policy, now)?;
        let mut allowed = self.allowed(&principal, member.who(), bind)?;
        let mut takeover = principal.grant.takeover;
        if let Some(holding) = &attempt.back {
            let holding = holding.clone();
            if !allowed.wish.may_be(&holding) {
                return Err(Refused::Busy { holding });
            }
            allowed.wish = Wish::This(holding);
            takeover = Takeover::Oldest;
        }
        let wanted = match &allowed.wish {
            Wish::This(holding) => {
                self.let_go(&mut state, holding, now);
                Wanted::This(holding.clone())
            }
            Wish::OneOf(holdings, choice) => {
                for holding in holdings {
                    self.let_go(&mut state, holding, now);
                }
                Wanted::OneOf {
                    holdings,
                    choice: *choice,
                    alive: &attempt.alive,
                }
            }
            Wish::AnyPort(ports) => Wanted::Any {
                ports,
                avoid: &attempt.avoid,
                alive: &attempt.alive,
            },
        };
        let limit = principal.grant.limits.leases;
        let ask = Ask {
            member: member.id,
            principal: principal.id,
            label: &member.who.user,
            source: member.who.source,
            bind,
            wanted,
            scope: allowed.scope,
            takeover,
            takeover_from: &principal.grant.takeover_from,
            limit: limit.unwrap_or(self.settings.leases),
            reservations: &policy.reservations,
            verdict: attempt.verdict,
        };
        let answer = state.table.ask(&ask, now, &mut draw);
        let answer = answer.map_err(|refused| {
            // The table knows no agents, only their leases.
            let holding = allowed.wish.holding();
            refused.held_by(holding.and_then(|holding| state.agent_of(holding)))
        });
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
                    (true, _) => Step::Done(self.listening(&state, &holding, allowed.scope)),
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

    /// Which names there may be here.
    pub(super) fn name_rules(&self) -> &NameRules {
        static NONE: LazyLock<NameRules> = LazyLock::new(NameRules::default);
        let sites = self.settings.sites.as_ref();
        sites.map_or(&*NONE, |sites| sites.rules())
    }

    /// Has a domain proved that somebody asks for and no grant gives.
    ///
    /// # Errors
    /// It is not.
    async fn prove(&self, member: &Member, bind: &Bind) -> Result<(), Refused> {
        let (Bind::Tcp { host, port }, Some(sites)) = (bind, &self.settings.sites) else {
            return Ok(());
        };
        let principal = {
            let (state, now) = (self.state(), self.now());
            state.standing(member.id, &self.policy(), now)?
        };
        let offer = principal.grant.offers(host, *port, sites.rules())?;
        let Some(Offer {
            name: domain,
            needs_proof: true,
        }) = offer
        else {
            return Ok(());
        };
        if sites.is_proved(principal.id, &domain) {
            return Ok(());
        }
        let proved = sites.prove(principal.id, &domain).await;
        proved.map_err(|error| Refused::Unproved { domain, error })
    }

    /// What a grant allows of what was asked for.
    pub(super) fn allowed(
        &self,
        principal: &Principal,
        who: &Who,
        bind: &Bind,
    ) -> Result<Allowed, Refused> {
        let grant = &principal.grant;
        match bind {
            Bind::Tcp { host, port } => {
                if let Some(offer) = grant.offers(host, *port, self.name_rules())? {
                    return Ok(Allowed {
                        wish: self.service(principal, offer, *port)?,
                        scope: Scope::Loopback,
                    });
                }
                if let Some(sites) = &self.settings.sites
                    && grant.draws_name(host, *port)?
                {
                    let names = sites.draw(principal.id, &mark(who)).into_iter();
                    let services = names.map(|name| Holding::Service(name, *port));
                    return Ok(Allowed {
                        wish: Wish::OneOf(services.collect(), Choice::Name),
                        scope: Scope::Loopback,
                    });
                }
                Ok(Allowed {
                    scope: grant.listen(host, *port)?,
                    wish: if *port == 0 {
                        Wish::AnyPort(grant.ports.intersection(&self.settings.ports))
                    } else {
                        Wish::This(Holding::Port(*port))
                    },
                })
            }
            Bind::Unix { path } => {
                let name = self.socket(principal.id, path)?;
                grant.socket(&name)?;
                if self.settings.sockets.is_none() {
                    return Err(Refused::NoSockets { name });
                }
                Ok(Allowed {
                    wish: Wish::This(Holding::Unix(principal.id, name)),
                    scope: Scope::Loopback,
                })
            }
        }
    }

    /// The service of a name, or a place among those that offer it together.
    fn service(&self, principal: &Principal, offer: Offer, port: u16) -> Result<Wish, Refused> {
        let Offer { name, needs_proof } = offer;
        let sites = self.settings.sites.as_ref();
        if needs_proof && !sites.is_some_and(|it| it.is_proved(principal.id, &name)) {
            // It was withdrawn since it was proved, or there are no sites here.
            let reason = String::from("its proof is not there any more; ask again");
            return Err(Refused::Unproved {
                domain: name,
                error: Unproved { reason },
            });
        }
        let first = Holding::Service(name.clone(), port);
        let pool = principal
            .grant
            .pool
            .filter(|pool| pool.places > 1 && is_site(port));
        Ok(match pool {
            Some(pool) => {
                let more = (1..pool.places).map(|place| Holding::Member(name.clone(), port, place));
                Wish::OneOf(std::iter::once(first).chain(more).collect(), Choice::Place)
            }
            None => Wish::This(first),
        })
    }

    /// What was granted.
    pub(super) fn listening(&self, state: &State, holding: &Holding, scope: Scope) -> Listening {
        let listener = state.listeners.get(holding);
        Listening {
            port: match holding {
                Holding::Port(port) | Holding::Service(_, port) | Holding::Member(_, port, _) => {
                    *port
                }
                Holding::Unix(..) | Holding::Name(_) => 0,
            },
            scope,
            addresses: listener.map_or_else(Vec::new, |listener| listener.addresses.clone()),
            name: holding.service().map(|(name, _)| name.clone()),
            urls: self.urls(holding),
        }
    }
}

/// What tells one device of a principal from another: its key, where it has one of its own, and the label that it
/// gives itself. A certificate's key is another one every day.
fn mark(who: &Who) -> Vec<u8> {
    let key = who.key.as_ref().filter(|_| who.certificate.is_none());
    let key = key.map(Fingerprint::to_string).unwrap_or_default();
    let mut mark = key.into_bytes();
    mark.push(0);
    mark.extend_from_slice(who.user.as_bytes());
    mark
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

    /// Which agent holds that, if one does and says so.
    fn agent_of(&self, holding: &Holding) -> Option<Instance> {
        let Some(Phase::Held(holder, _)) = self.table.entry(holding).map(|entry| entry.phase)
        else {
            return None;
        };
        self.seats.get(&holder)?.who.line.instance()
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
