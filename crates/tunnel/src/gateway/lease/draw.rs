//! Which port somebody gets who asks for any.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use adit_model::id::Epoch;
use adit_model::lease::{Holding, Reserved, Takeover};
use adit_model::port::PortSet;

use super::{Ask, Draw, Entry, MemberId, Now, Phase, Table};
use crate::gateway::desk::Refused;
use crate::transport::Bind;

/// Of which ports somebody may be given one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own<'a> {
    /// Those that may be drawn.
    pub(super) ports: &'a PortSet,
    /// But for those.
    pub(super) avoid: &'a [u16],
    /// Holders that were asked, and are there.
    pub(super) alive: &'a [Epoch],
}

/// A port that somebody had before.
#[derive(Debug)]
pub(super) enum Found {
    /// Nobody has it now.
    Free(Holding),
    /// A connection has it.
    Held(Holding, MemberId),
}

/// Holders that are asked at the most whether they are there before a port is drawn anew. Where more machines share
/// one key and one wish, nobody can tell whose port is whose, and none is asked: a fleet that comes back at once
/// would have the gateway do nothing else, and lose ports to whoever answers last.
const QUESTIONS: usize = 4;
/// Leases of one principal that are looked through for a port that it had. Of more, only these come back.
const LOOKED_THROUGH: usize = 256;

impl Table {
    /// One of the ports that are free, each with the same chance (security rule G16).
    pub(super) fn draw(
        &mut self,
        ask: &Ask<'_>,
        own: Own<'_>,
        now: Now,
        draw: &mut Draw<'_>,
    ) -> Result<Holding, Refused> {
        let Own { ports, avoid, .. } = own;
        let none_free = || Refused::NoneFree {
            ports: ports.clone(),
        };
        let blocked = self.blocked(ask, ports, avoid, now);
        let count = usize::try_from(ports.len()).unwrap_or(usize::MAX);
        let free = u32::try_from(count.saturating_sub(blocked.len())).unwrap_or_default();
        let free = NonZeroU32::new(free).ok_or_else(none_free)?;
        // Each blocked port that stands before the drawn one moves it by a place.
        let mut place = draw(free);
        let mut port = ports.nth(place).ok_or_else(none_free)?;
        for blocked in blocked {
            if blocked > port {
                break;
            }
            place = place.saturating_add(1);
            port = ports.nth(place).ok_or_else(none_free)?;
        }
        let holding = Holding::Port(port);
        self.forget_if_over(&holding, now);
        Ok(holding)
    }

    /// The ports of these that are not free, ascending. A reserved one is had by its number alone, also by the one
    /// whom it is reserved for.
    fn blocked(&self, ask: &Ask<'_>, ports: &PortSet, avoid: &[u16], now: Now) -> BTreeSet<u16> {
        let known = self
            .entries
            .range(Holding::Port(0)..=Holding::Port(u16::MAX));
        let known = known.filter_map(|(holding, entry)| match holding {
            Holding::Port(port) if ports.contains(*port) => {
                let is_over = matches!(entry.phase, Phase::Quarantine(until) if until <= now.ticks);
                (entry.is_claimed() || !is_over).then_some(*port)
            }
            Holding::Port(_)
            | Holding::Unix(..)
            | Holding::Name(_)
            | Holding::Service(..)
            | Holding::Member(..) => None,
        });
        let reserved = ask.reservations.iter().flat_map(|rule| {
            match &rule.what {
                Reserved::Ports(reserved) => reserved.intersection(ports),
                Reserved::Name(_) => PortSet::EMPTY,
            }
            .iter()
            .collect::<Vec<_>>()
        });
        let avoid = avoid.iter().copied().filter(|port| ports.contains(*port));
        known.chain(reserved).chain(avoid).collect()
    }

    /// The port of the same principal that was drawn for a connection with the same label. Of several, one that was
    /// asked for in the same words goes before others, then the one that it had first: who asks for several in the
    /// same order as before gets each in its place.
    pub(super) fn own(&self, ask: &Ask<'_>, own: Own<'_>) -> Option<Found> {
        let host = match ask.bind {
            Bind::Tcp { host, .. } => host.as_str(),
            Bind::Unix { .. } => return None,
        };
        let mut holders = 0_usize;
        let found = self
            .entries_of(ask.principal)
            .take(LOOKED_THROUGH)
            .filter_map(|(holding, entry)| {
                let drawn = entry.drawn.as_ref()?;
                if drawn.label != ask.label || !self.may_be_given(ask, own, holding, entry) {
                    return None;
                }
                let is_other = drawn.host != host;
                let (rank, holder) = match entry.phase {
                    Phase::Grace(_) => (0, None),
                    Phase::Held(holder, _) if !is_other && may_be_asked(ask, own.alive, entry) => {
                        holders = holders.saturating_add(1);
                        (1, Some(holder))
                    }
                    Phase::Quarantine(_) => (2, None),
                    Phase::Fresh | Phase::Held(..) => return None,
                };
                let is_elsewhere = entry.scope != ask.scope;
                let order = (rank, is_other, is_elsewhere, entry.since, holding);
                Some((order, holder))
            });
        let best = found.min_by(|(one, _), (other, _)| one.cmp(other));
        let ((.., holding), holder) = best?;
        let holding = holding.clone();
        match holder {
            Some(_) if holders > QUESTIONS => None,
            Some(holder) => Some(Found::Held(holding, holder)),
            None => Some(Found::Free(holding)),
        }
    }

    /// Whether a port that is its own already may be given to who asks.
    fn may_be_given(&self, ask: &Ask<'_>, own: Own<'_>, holding: &Holding, entry: &Entry) -> bool {
        let is_fit = match holding {
            Holding::Port(port) => own.ports.contains(*port) && !own.avoid.contains(port),
            Holding::Unix(..) | Holding::Name(_) | Holding::Service(..) | Holding::Member(..) => {
                false
            }
        };
        let is_others = (ask.reservations.iter())
            .any(|rule| rule.principal != ask.principal && rule.what.covers(holding));
        is_fit && !is_others && !entry.is_claimed() && self.may_move(ask, holding).is_ok()
    }
}

/// Whether the holder of a port may lose it to who asks, if it is gone.
pub(super) fn may_be_asked(ask: &Ask<'_>, alive: &[Epoch], entry: &Entry) -> bool {
    let is_itself = matches!(entry.phase, Phase::Held(holder, _) if holder == ask.member);
    ask.takeover != Takeover::Oldest
        && !is_itself
        && alive.len() < QUESTIONS
        && !alive.contains(&entry.epoch)
}
