//! The lease table: who holds what, as a pure state machine.
//!
//! A *holding* (a port, a name, a Unix socket) is free, or there is an entry for it:
//!
//! ```text
//!           claim            commit               leave                 grace is over
//!   (free) ------> fresh ---------------> held -----------> grace ---------------------> quarantine --> (free)
//!                    | abandon             |   cancel, release                               ^
//!                    v                     +-------------------------------------------------+
//!                  (free)
//! ```
//!
//! Whoever asks and may have it gets a *claim*: nobody else is given the holding while the claim lasts, and the
//! one who held it goes on holding it until the claim is *committed*. So what must be done in between (binding,
//! writing to the ledger) is done without any lock, and either all of it has happened or nothing has. Each claim
//! has an epoch of its own, higher than every one before it.
//!
//! Entries belong to one principal from their first claim until they are free again; only that principal is ever
//! given a claim of them. That is all there is to security rules G10 and G16.
//!
//! There is no clock, no randomness and no waiting here: `now` and drawn numbers are arguments.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use adit_model::address::Scope;
use adit_model::host::Name;
use adit_model::id::{Epoch, LeaseId, PrincipalId};
use adit_model::lease::{Drawn, Holding, Lease, LeaseState, Reservation, Takeover};
use adit_model::port::PortSet;
use adit_model::source::SourceSet;
use jiff::Timestamp;

use crate::transport::Bind;

mod ask;
mod choose;
mod claim;
mod draw;
mod end;
mod heir;
mod restore;
#[cfg(test)]
mod simulation;
mod takeover;
#[cfg(test)]
mod tests;

/// Who holds what.
#[derive(Debug)]
pub(super) struct Table {
    rules: Rules,
    entries: BTreeMap<Holding, Entry>,
    /// The holdings of each principal.
    of: HashMap<PrincipalId, BTreeSet<Holding>>,
    /// Entries that count against their principal's limit.
    counts: HashMap<PrincipalId, u32>,
    /// The highest epoch that was ever given out.
    last: Epoch,
    next_claim: u64,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// For an owner to come back, with its listener there.
    pub(super) grace: Duration,
    /// From others, a port that was given back.
    pub(super) port_quarantine: Duration,
    /// From others, a name that was given back.
    pub(super) name_quarantine: Duration,
}

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Since the table was made, by the clock that only goes forward. All waits are by it.
    pub(super) ticks: Duration,
    /// What time people say it is: for what is stored and shown.
    pub(super) wall: Timestamp,
}

/// A connection at the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct MemberId(pub(super) u64);

/// What is known of one holding.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its row in the ledger; 0 before it was kept.
    pub(super) id: LeaseId,
    pub(super) principal: PrincipalId,
    /// Where it is to listen.
    pub(super) scope: Scope,
    /// The highest epoch that has held it.
    pub(super) epoch: Epoch,
    /// Since when its principal has it.
    pub(super) since: Timestamp,
    pub(super) phase: Phase,
    /// How it was asked for last; not known after a restart.
    pub(super) asked: Option<Asked>,
    /// What it was drawn for, if it was; known after a restart, too.
    pub(super) drawn: Option<Drawn>,
    claim: Option<Claim>,
    /// The connection that somebody waits to hear of: one question at a time.
    is_probed: bool,
    /// When it was taken over, lately.
    takeovers: VecDeque<Duration>,
    /// Since it is taken over too often, only a holder that is gone loses it until then.
    stopped_until: Option<Duration>,
    /// Who lost it while they were there, the last one last.
    heirs: VecDeque<Heir>,
}

/// A connection that lost a holding to another one, and is there still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heir {
    pub(super) member: MemberId,
    /// What it was granted: word for word, with its port.
    pub(super) bind: Bind,
}

/// What an entry is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is claimed for the first time.
    Fresh,
    /// A connection has it, since then.
    Held(MemberId, Timestamp),
    /// It waits for its owner until that tick.
    Grace(Duration),
    /// It is kept from others until that tick.
    Quarantine(Duration),
}

/// How somebody asked for a holding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Word for word, with the port that was granted.
    pub(super) bind: Bind,
    /// Whether the port was drawn, for port 0.
    pub(super) is_drawn: bool,
    /// The label of the connection.
    pub(super) label: String,
    /// Where the connection came from.
    pub(super) source: SocketAddr,
}

impl Asked {
    /// What the port was drawn for.
    fn drawn(&self) -> Option<Drawn> {
        match &self.bind {
            Bind::Tcp { host, .. } if self.is_drawn => Some(Drawn {
                host: host.clone(),
                label: self.label.clone(),
            }),
            Bind::Tcp { .. } | Bind::Unix { .. } => None,
        }
    }
}

#[derive(Debug, Clone)]
struct Claim {
    number: u64,
    member: MemberId,
    epoch: Epoch,
    scope: Scope,
    asked: Asked,
}

/// A claim, to be committed or abandoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) holding: Holding,
    number: u64,
}

/// What somebody asks for.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) member: MemberId,
    pub(super) principal: PrincipalId,
    pub(super) label: &'a str,
    pub(super) source: SocketAddr,
    pub(super) bind: &'a Bind,
    pub(super) wanted: Wanted<'a>,
    pub(super) scope: Scope,
    pub(super) takeover: Takeover,
    pub(super) takeover_from: &'a SourceSet,
    /// Leases that the principal may have.
    pub(super) limit: u32,
    pub(super) reservations: &'a [Reservation],
    /// What the holder of that epoch was found to be.
    pub(super) verdict: Option<Verdict>,
}

/// Which holding is asked for.
#[derive(Debug)]
pub(super) enum Wanted<'a> {
    /// That one.
    This(Holding),
    /// One of these, the first first.
    OneOf {
        /// Those.
        holdings: &'a [Holding],
        /// Why it may be any of them.
        choice: Choice,
        /// Holders that were asked, and are there.
        alive: &'a [Epoch],
    },
    /// Any free port of these.
    Any {
        /// Those that may be drawn.
        ports: &'a PortSet,
        /// Those that were tried, and that another program has.
        avoid: &'a [u16],
        /// Holders of ports of its own that were asked, and are there.
        alive: &'a [Epoch],
    },
}

/// Why somebody may be given one of several holdings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It asks for no name: each of its wishes has one, the same each time.
    Name,
    /// It is one of those that serve a site together: each has a place.
    Place,
}

/// Whether the holder of an epoch is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) epoch: Epoch,
    pub(super) is_alive: bool,
}

/// What becomes of an ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The same connection has it already, asked for in the same words.
    Again(Holding),
    /// It may have it, once all that belongs to it is there.
    Claimed(Ticket),
    /// First the holder is to be asked whether it is there.
    Probe {
        holding: Holding,
        epoch: Epoch,
        holder: MemberId,
    },
    /// Another connection of the same principal is being answered about it: ask again.
    Wait(Holding),
}

/// What a committed claim has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) epoch: Epoch,
    pub(super) bind: Bind,
    /// Who held it before, if a connection did.
    pub(super) displaced: Option<MemberId>,
    /// What that one had asked for.
    pub(super) lost: Option<Bind>,
}

/// A number below the bound, uniformly drawn.
pub(super) type Draw<'a> = dyn FnMut(NonZeroU32) -> u32 + 'a;

/// Takeovers of one lease within [`FLAP_WINDOW`] before they are stopped (security rule G03).
pub(super) const TAKEOVERS: usize = 3;
/// See [`TAKEOVERS`].
pub(super) const FLAP_WINDOW: Duration = Duration::from_secs(60);
/// How long they stay stopped (security rule G03).
pub(super) const FLAP_STOP: Duration = Duration::from_secs(300);
/// The least quarantine, whatever is set: by then no visitor is left who was accepted for the old owner and
/// has not been led to it yet (see `registry`).
pub(super) const LEAST_QUARANTINE: Duration = Duration::from_secs(60);
/// Of what one principal has given back, so much is kept from others, and then what it gave back first is free: a
/// tenth of ten thousand ports. Else whoever asks for one port after the other and gives each back would keep
/// everybody else from all of them.
pub(super) const QUARANTINED: usize = 1_024;
/// What an owner has at least to come back after a restart: the longest pause of an adit agent between two
/// tries is 30 s, and a login takes its time.
pub(super) const LEAST_RETURN: Duration = Duration::from_secs(60);

impl Table {
    /// An empty one. No epoch of it is below `floor`.
    pub(super) fn new(rules: Rules, floor: Epoch) -> Self {
        Self {
            rules,
            entries: BTreeMap::new(),
            of: HashMap::new(),
            counts: HashMap::new(),
            last: floor,
            next_claim: 1,
        }
    }

    /// What is known of a holding.
    pub(super) fn entry(&self, holding: &Holding) -> Option<&Entry> {
        self.entries.get(holding)
    }

    /// What is known of the holdings of a principal, in order.
    pub(super) fn entries_of(
        &self,
        principal: PrincipalId,
    ) -> impl Iterator<Item = (&Holding, &Entry)> {
        let holdings = self.of.get(&principal).into_iter().flatten();
        holdings.filter_map(|holding| self.entries.get_key_value(holding))
    }

    /// Whether a name is somebody's, or a service of it.
    pub(super) fn has_name(&self, name: &Name) -> bool {
        let whole = Holding::Name(name.clone());
        self.entries.contains_key(&whole) || self.services_of(name).next().is_some()
    }

    /// The services of a name, with the places of their pools.
    pub(super) fn services_of(&self, name: &Name) -> impl Iterator<Item = (&Holding, &Entry)> {
        let services = Holding::Service(name.clone(), 0)..=Holding::Service(name.clone(), u16::MAX);
        let members =
            Holding::Member(name.clone(), 0, 0)..=Holding::Member(name.clone(), u16::MAX, u16::MAX);
        self.entries
            .range(services)
            .chain(self.entries.range(members))
    }

    /// Everything, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Holding, &Entry)> {
        self.entries.iter()
    }

    /// The entry as the ledger keeps it. One that is only being claimed is held already, for the ledger: its
    /// claim is committed next.
    pub(super) fn lease(&self, holding: &Holding, now: Now) -> Option<Lease> {
        let entry = self.entries.get(holding)?;
        Some(entry.lease(holding.clone(), now))
    }

    /// The ledger has kept it as that row.
    pub(super) fn kept(&mut self, holding: &Holding, id: LeaseId) {
        if let Some(entry) = self.entries.get_mut(holding) {
            entry.id = id;
        }
    }

    fn next_epoch(&mut self) -> Epoch {
        self.last = self.last.next();
        self.last
    }

    /// Leases of a principal that count against its limit.
    pub(super) fn count(&self, principal: PrincipalId) -> u32 {
        self.counts.get(&principal).copied().unwrap_or_default()
    }

    /// Changes an entry, and counts.
    fn change<T>(&mut self, holding: &Holding, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.entries.get_mut(holding)?;
        let was = entry.counts();
        let changed = change(entry);
        let (principal, is) = (entry.principal, entry.counts());
        self.recount(principal, was, is);
        Some(changed)
    }

    fn insert(&mut self, holding: Holding, entry: Entry) {
        let (principal, is) = (entry.principal, entry.counts());
        self.remove(&holding);
        let of = self.of.entry(principal).or_default();
        of.insert(holding.clone());
        self.entries.insert(holding, entry);
        self.recount(principal, false, is);
    }

    fn remove(&mut self, holding: &Holding) {
        if let Some(entry) = self.entries.remove(holding) {
            self.recount(entry.principal, entry.counts(), false);
            if let Some(of) = self.of.get_mut(&entry.principal) {
                of.remove(holding);
                if of.is_empty() {
                    self.of.remove(&entry.principal);
                }
            }
        }
    }

    fn recount(&mut self, principal: PrincipalId, was: bool, is: bool) {
        let count = self.counts.entry(principal).or_default();
        match (was, is) {
            (false, true) => *count = count.saturating_add(1),
            (true, false) => *count = count.saturating_sub(1),
            _ => {}
        }
        if *count == 0 {
            self.counts.remove(&principal);
        }
    }

    /// What must hold after every step.
    pub(super) fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let mut counts: HashMap<PrincipalId, u32> = HashMap::new();
        for (holding, entry) in &self.entries {
            debug_assert!(entry.epoch <= self.last, "{holding}: an epoch of nobody");
            if let Some(claim) = &entry.claim {
                debug_assert!(
                    claim.epoch > entry.epoch && claim.epoch <= self.last,
                    "{holding}: a claim with an old epoch"
                );
                debug_assert!(
                    !matches!(entry.phase, Phase::Held(member, _) if member == claim.member),
                    "{holding}: its holder claims it"
                );
            }
            match entry.phase {
                Phase::Fresh => debug_assert!(entry.claim.is_some(), "{holding}: fresh for nobody"),
                Phase::Held(..) => {
                    debug_assert!(entry.asked.is_some(), "{holding}: never asked for");
                }
                Phase::Grace(_) | Phase::Quarantine(_) => {}
            }
            debug_assert!(entry.takeovers.len() <= TAKEOVERS, "{holding}: {entry:?}");
            debug_assert!(entry.check_heirs(), "{holding}: {entry:?}");
            debug_assert!(
                (self.of.get(&entry.principal)).is_some_and(|of| of.contains(holding)),
                "{holding}: not among its principal's"
            );
            if entry.counts() {
                let count = counts.entry(entry.principal).or_default();
                *count = count.saturating_add(1);
            }
        }
        debug_assert!(
            counts == self.counts,
            "{counts:?} counted as {:?}",
            self.counts
        );
        debug_assert_eq!(
            self.of.values().map(BTreeSet::len).sum::<usize>(),
            self.entries.len(),
            "holdings of nobody"
        );
    }
}

impl Entry {
    /// Whether its listener is to be there.
    pub(super) const fn wants_listener(&self) -> bool {
        self.claim.is_some() || matches!(self.phase, Phase::Held(..) | Phase::Grace(_))
    }

    /// Whether somebody is being given it.
    pub(super) const fn is_claimed(&self) -> bool {
        self.claim.is_some()
    }

    /// Whether it counts against its principal's limit.
    const fn counts(&self) -> bool {
        self.claim.is_some() || !matches!(self.phase, Phase::Quarantine(_))
    }

    fn lease(&self, holding: Holding, now: Now) -> Lease {
        let at = |tick: Duration| {
            let left = tick.saturating_sub(now.ticks);
            now.wall.saturating_add(left).unwrap_or(now.wall)
        };
        let state = match (&self.claim, self.phase) {
            (Some(_), _) | (None, Phase::Fresh | Phase::Held(..)) => LeaseState::Held,
            (None, Phase::Grace(until)) => LeaseState::Grace(at(until)),
            (None, Phase::Quarantine(until)) => LeaseState::Quarantine(at(until)),
        };
        let claimed = self.claim.as_ref();
        Lease {
            id: self.id,
            holding,
            scope: claimed.map_or(self.scope, |claim| claim.scope),
            principal: self.principal,
            epoch: claimed.map_or(self.epoch, |claim| claim.epoch),
            since: self.since,
            state,
            drawn: claimed.map_or_else(|| self.drawn.clone(), |claim| claim.asked.drawn()),
        }
    }
}
