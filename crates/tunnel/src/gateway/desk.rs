//! The desk: where connections ask for leases, and the one owner of the lease table and its listeners.
//!
//! The table (`lease`) is pure and lies behind one mutex, which is held for lines and never across an await. An
//! ask that takes longer holds a claim meanwhile, in this order:
//!
//! 1. the live grant is asked, and the table: somebody else's is "in use" at once;
//! 2. the connection that has it is asked whether it is there, if the rule of takeover says so;
//! 3. what is not bound yet is bound, all of it;
//! 4. the ledger keeps the lease;
//! 5. in one hold of the mutex the live grant is asked again, the claim is committed, the old holder is fenced out
//!    and the new one published; only then is the grant answered.
//!
//! Whatever fails or is dropped before 5 leaves all as it was. [`Desk::run`] does what nobody waits for: it
//! serves the listeners, ends what has expired or was taken away, and writes to the ledger what has changed by
//! itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_model::address::Scope;
use adit_model::host::Name;
use adit_model::id::{Epoch, PrincipalId};
use adit_model::lease::{Holding, Lease, LeaseState};
use adit_model::name::is_site;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::offered::{HeldPort, Offered, Site};
pub use self::refused::Refused;
pub use self::row::{LeaseRow, RowState};
pub use self::settings::{Clock, Settings};
pub use self::standing::{Fallen, Standing};
use self::wall::Wall;
pub use self::who::{Certified, Member, Who};
use super::lease::{MemberId, Now, Phase, Rules, Table};
use super::policy::Policy;
use super::port::BindError;
#[cfg(unix)]
use super::port::unix::SocketFile;
use super::registry::Registry;
use super::seam::{Ledger, Publish, Sockets};
use crate::transport::{Bind, CloseReason, ConnectionEnd, Transport};

mod commit;
mod crowd;
mod heir;
mod listen;
mod listener;
mod offered;
mod refused;
mod review;
mod row;
mod run;
mod settings;
mod standing;
mod wall;
mod who;

/// Answers connections that ask for leases, and keeps what they get.
#[derive(Debug)]
pub struct Desk {
    settings: Settings,
    seams: Seams,
    registry: Registry,
    started: Instant,
    state: Mutex<State>,
    /// Counts changes of the table, for asks that wait for one.
    changes: watch::Sender<u64>,
    /// There is a listener to be served, or something to be kept.
    work: Work,
}

/// What the desk needs from the rest of the program.
#[derive(Debug, Clone)]
pub struct Seams {
    /// Who may do what, as it is now. Its first value must be whole: leases of principals that it does not know
    /// are released.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// Keeps leases.
    pub ledger: Arc<dyn Ledger>,
    /// Serves the visitors of listeners.
    pub publish: Arc<dyn Publish>,
}

/// A forward that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The port: the one asked for, or the one that was drawn. 0 for a Unix socket.
    pub port: u16,
    /// Where it listens, as the grant has it.
    pub scope: Scope,
    /// The addresses that were truly bound; none for a Unix socket.
    pub addresses: Vec<SocketAddr>,
    /// The name that it is a service of, if it is one's; it may have been drawn.
    pub name: Option<Name>,
    /// Where visitors find it, if it is a site.
    pub urls: Vec<String>,
}

#[derive(Debug)]
struct State {
    table: Table,
    seats: HashMap<MemberId, Seat>,
    next_member: u64,
    listeners: HashMap<Holding, Listener>,
    /// Listeners that were told to stop, and such as are being bound again, each with what says that it is over.
    closing: HashMap<Holding, CancellationToken>,
    /// Why holdings have no listener that is to be there; it was logged.
    missing: HashMap<Holding, BindError>,
    /// Listeners that wait to be served.
    jobs: Vec<Job>,
    /// What the ledger is to keep, when it can.
    unkept: HashMap<Holding, Lease>,
    /// What the ledger is keeping in the background.
    keeping: Option<Holding>,
    wall: Wall,
    /// The policy that everybody was held against last.
    reviewed: Option<Arc<Policy>>,
    /// Principals that have more connections than they may, until it is known which of them are there.
    crowded: BTreeSet<PrincipalId>,
    is_stopping: bool,
}

/// A connection.
#[derive(Debug)]
struct Seat {
    who: Arc<Who>,
    transport: Arc<dyn Transport>,
    /// How far the wall clock had been set back when it came.
    behind: Duration,
    /// The first moment at which it may not be here any more by the policy as it was held against it.
    until: Option<Timestamp>,
    end: SeatEnd,
}

/// Whether a connection still counts, while it is closing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SeatEnd {
    /// It does.
    No,
    /// It is being closed: it fell silent, or is one too many.
    Closing,
    /// It may not be here any more.
    Fallen(Fallen),
}

/// A bound listener.
#[derive(Debug)]
struct Listener {
    scope: Scope,
    addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    /// Cancelled when it is open no more.
    over: CancellationToken,
    #[cfg(unix)]
    _file: Option<SocketFile>,
}

/// A listener to be served.
#[derive(Debug)]
struct Job {
    sockets: Sockets,
    holding: Holding,
    stop: CancellationToken,
    over: CancellationToken,
}

#[derive(Debug, Default)]
struct Work {
    jobs: Notify,
    unkept: Notify,
    crowded: Notify,
}

/// Connections that a principal may have too many until the others have been asked whether they are there.
const SPARE: u32 = 4;

impl Desk {
    /// A desk that begins with the leases of an earlier life: their listeners are bound at once, so that nobody
    /// else gets the ports, and visitors wait for the owners.
    pub fn new(settings: Settings, seams: Seams, leases: Vec<Lease>) -> Arc<Self> {
        let wall = settings.clock.now();
        let millis = u64::try_from(wall.as_millisecond()).unwrap_or_default();
        let rules = Rules {
            grace: settings.grace,
            port_quarantine: settings.port_quarantine,
            name_quarantine: settings.name_quarantine,
        };
        let mut table = Table::new(rules, Epoch::floor_at(millis).max(settings.epochs));
        let now = Now {
            ticks: Duration::ZERO,
            wall,
        };
        table.restore(leases, now);
        let desk = Arc::new(Self {
            settings,
            seams,
            registry: Registry::default(),
            started: Instant::now(),
            state: Mutex::new(State {
                table,
                seats: HashMap::new(),
                next_member: 1,
                listeners: HashMap::new(),
                closing: HashMap::new(),
                missing: HashMap::new(),
                jobs: Vec::new(),
                unkept: HashMap::new(),
                keeping: None,
                wall: Wall::default(),
                reviewed: None,
                crowded: BTreeSet::new(),
                is_stopping: false,
            }),
            changes: watch::Sender::new(0),
            work: Work::default(),
        });
        desk.review();
        desk
    }

    /// A connection has logged in. Counts those of a principal.
    ///
    /// # Errors
    /// It has too many already, or may not be here.
    pub fn join(
        self: &Arc<Self>,
        who: Who,
        transport: Arc<dyn Transport>,
    ) -> Result<Member, Refused> {
        let now = self.now();
        let mut state = self.state();
        // Asked within the lock: what a review has gone by in the meantime is not gone by again.
        let policy = self.policy();
        if state.is_stopping {
            return Err(Refused::Stopping);
        }
        let standing = policy.standing(&who, now.wall)?;
        let limit = standing.principal.grant.limits.connections;
        let limit = limit.unwrap_or(self.settings.connections);
        let count = state.seats_of(who.principal.id).len();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count >= limit {
            // Some of them may be gone without anybody knowing, and nobody shall wait for those. They are asked
            // at once, and then the newest are closed that are too many.
            if limit == 0 || count >= limit.saturating_add(SPARE) {
                return Err(Refused::TooManyConnections { limit });
            }
            state.crowded.insert(who.principal.id);
            self.work.crowded.notify_one();
        }
        let id = MemberId(state.next_member);
        state.next_member = state.next_member.saturating_add(1);
        let who = Arc::new(who);
        let seat = Seat {
            who: Arc::clone(&who),
            transport,
            behind: state.wall.behind(),
            until: standing.until,
            end: SeatEnd::No,
        };
        state.seats.insert(id, seat);
        Ok(Member {
            id,
            who,
            desk: Arc::downgrade(self),
        })
    }

    /// A connection has ended: its leases wait for their owner, unless it was closed because it may not be
    /// here any more.
    pub fn leave(&self, member: Member, end: &ConnectionEnd) {
        if matches!(end, ConnectionEnd::Ours(CloseReason::Revoked(_))) {
            let mut state = self.state();
            let held = state.table.held_by(member.id);
            self.release_all(&mut state, &held, self.now());
        }
        // The rest is in its drop.
        drop(member);
    }

    /// Every lease that is known, in the order of their holdings.
    pub fn rows(&self) -> Vec<LeaseRow> {
        let (policy, now, state) = (self.policy(), self.now(), self.state());
        let entries = state.table.entries();
        let rows = entries.filter_map(|(holding, entry)| {
            let lease = state.table.lease(holding, now)?;
            let listener = state.listeners.get(holding);
            Some(LeaseRow {
                id: entry.id,
                holding: holding.clone(),
                scope: entry.scope,
                addresses: listener.map_or_else(Vec::new, |one| one.addresses.clone()),
                urls: self.urls(holding),
                principal: entry.principal,
                name: (policy.principals.get(&entry.principal))
                    .map(|principal| principal.name.clone()),
                epoch: entry.epoch,
                since: entry.since,
                state: state.row(entry, &lease)?,
                waiting: self.registry.waiting(holding),
            })
        });
        rows.collect()
    }

    /// Counts up with every change of the table.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The sites that there are: of those whose owner is here or awaited.
    pub fn sites(&self) -> Vec<Site> {
        let state = self.state();
        let entries = state.table.entries();
        let sites = entries.filter_map(|(holding, entry)| {
            let (name, port) = holding.service().filter(|(_, port)| is_site(*port))?;
            let is_here = match entry.phase {
                Phase::Held(..) => true,
                Phase::Grace(_) => false,
                Phase::Fresh | Phase::Quarantine(_) => return None,
            };
            Some(Site {
                name: name.clone(),
                port,
                holding: holding.clone(),
                principal: entry.principal,
                is_here,
            })
        });
        sites.collect()
    }

    /// Where visitors find what is held, if it is a site.
    fn urls(&self, holding: &Holding) -> Vec<String> {
        let sites = self.settings.sites.as_ref();
        let urls = sites.zip(holding.service());
        urls.map_or_else(Vec::new, |(sites, (name, port))| sites.urls(name, port))
    }

    /// Whose a lease is.
    pub fn principal(&self, holding: &Holding) -> Option<PrincipalId> {
        let state = self.state();
        state.table.entry(holding).map(|entry| entry.principal)
    }

    /// Where a forward of that connection listens, by the bind that it was granted as; none for a Unix socket.
    pub fn listens_at(&self, member: &Member, bind: &Bind) -> Option<(Holding, Vec<SocketAddr>)> {
        let state = self.state();
        let holding = state.table.held_by(member.id).into_iter().find(|holding| {
            let entry = state.table.entry(holding);
            entry.is_some_and(|entry| {
                entry
                    .asked
                    .as_ref()
                    .is_some_and(|asked| asked.bind == *bind)
            })
        })?;
        let addresses = (state.listeners.get(&holding))
            .map_or_else(Vec::new, |listener| listener.addresses.clone());
        Some((holding, addresses))
    }

    /// Takes a lease away, as an operator wants it: from its holder, or from quarantine. Says whether there was
    /// one.
    pub fn release(&self, holding: &Holding) -> bool {
        self.take_away(
            holding,
            &format!("{holding} was taken back by the operator"),
        )
    }

    /// Takes a lease away for a reason, of which its holder is told: from its holder, or from quarantine. Says whether
    /// there was one.
    pub fn take_away(&self, holding: &Holding, reason: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let holder = state.table.entry(holding).map(|entry| entry.phase);
        match holder {
            None => false,
            Some(Phase::Quarantine(_)) => {
                if let Some(mut lease) = state.table.lease(holding, now) {
                    lease.state = LeaseState::Quarantine(now.wall);
                    self.keep_later(&mut state, lease);
                }
                state.table.forget(holding)
            }
            Some(phase) => {
                self.release_all(&mut state, std::slice::from_ref(holding), now);
                if let Phase::Held(member, _) = phase {
                    state.close_if_idle(member, &CloseReason::Revoked(reason.into()));
                }
                true
            }
        }
    }

    /// Which connection serves each lease now.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A connection has ended.
    fn left(&self, member: MemberId) {
        let now = self.now();
        let mut state = self.state();
        let Some(seat) = state.seats.remove(&member) else {
            return;
        };
        if matches!(seat.end, SeatEnd::Fallen(_)) {
            let held = state.table.held_by(member);
            self.release_all(&mut state, &held, now);
        }
        self.to_grace(&mut state, member, now);
        drop(state);
        drop(seat);
    }

    /// What a connection held waits for its owner, and what it was being given is given to it no more.
    fn to_grace(&self, state: &mut State, member: MemberId, now: Now) {
        let (held, claimed) = state.table.leave(member, now);
        for holding in held.iter().chain(&claimed) {
            self.settle(state, holding, now);
        }
    }

    fn release_all(&self, state: &mut State, holdings: &[Holding], now: Now) {
        for holding in holdings {
            state.table.release(holding, now);
            self.settle(state, holding, now);
        }
    }

    /// Has the listener, the registry and the ledger follow what the table says of a holding, and calls who is to have
    /// it back.
    fn settle(&self, state: &mut State, holding: &Holding, now: Now) {
        self.follow(state, holding);
        if let Some(lease) = state.table.lease(holding, now) {
            self.keep_later(state, lease);
        }
        state.call_heir(holding);
    }

    /// The same but for the ledger.
    fn follow(&self, state: &mut State, holding: &Holding) {
        let entry = state.table.entry(holding);
        match entry.map(|entry| (entry.wants_listener(), entry.phase)) {
            Some((true, Phase::Held(..))) => {}
            Some((true, _)) => self.registry.vacate(holding),
            Some((false, _)) | None => {
                self.registry.end(holding);
                state.close_listener(holding);
            }
        }
        self.changed();
    }

    /// Has the ledger keep a lease, as soon as it can.
    fn keep_later(&self, state: &mut State, lease: Lease) {
        state.unkept.insert(lease.holding.clone(), lease);
        self.work.unkept.notify_one();
    }

    fn changed(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn now(&self) -> Now {
        Now {
            ticks: self.started.elapsed(),
            wall: self.settings.clock.now(),
        }
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.seams.policy.borrow())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between is a bug of the table's; what is there is the best that is known.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The connections of a principal that count, oldest first.
    fn seats_of(&self, principal: PrincipalId) -> BTreeMap<MemberId, Arc<dyn Transport>> {
        let of = |seat: &Seat| seat.end == SeatEnd::No && seat.who.principal.id == principal;
        let seats = self.seats.iter().filter(|(_, seat)| of(seat));
        seats
            .map(|(member, seat)| (*member, Arc::clone(&seat.transport)))
            .collect()
    }

    /// Closes a connection that had leases and has none left, so that its owner learns of it.
    fn close_if_idle(&self, member: MemberId, reason: &CloseReason) {
        if let Some(seat) = self.seats.get(&member)
            && self.table.held_by(member).is_empty()
        {
            seat.transport.close(reason.clone());
        }
    }

    fn close_listener(&mut self, holding: &Holding) {
        self.missing.remove(holding);
        if let Some(listener) = self.listeners.remove(holding) {
            listener.stop.cancel();
            self.closing.insert(holding.clone(), listener.over);
        }
    }
}

#[cfg(test)]
mod tests;
