//! Which port somebody gets who asks for any.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use adit_model::lease::{Holding, Reserved};
use adit_model::port::PortSet;

use super::{Ask, Draw, Entry, Now, Phase, Table};
use crate::gateway::desk::Refused;

impl Table {
    /// The port that it had before, if it asked for any then too and nobody needs to be asked about it;
    /// otherwise one of those that are free, each with the same chance (security rule G16).
    pub(super) fn draw(
        &mut self,
        ask: &Ask<'_>,
        ports: &PortSet,
        avoid: &[u16],
        now: Now,
        draw: &mut Draw<'_>,
    ) -> Result<Holding, Refused> {
        if let Some(known) = self.known(ask, ports, avoid) {
            return Ok(known);
        }
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
            Holding::Port(_) | Holding::Unix(..) | Holding::Name(_) => None,
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

    /// A port of the same principal that was drawn for a connection with the same label, and that has none
    /// now. One that waits goes before one that was given up.
    fn known(&self, ask: &Ask<'_>, ports: &PortSet, avoid: &[u16]) -> Option<Holding> {
        let is_its_own = |entry: &Entry| {
            let asked = entry.asked.as_ref();
            entry.principal == ask.principal
                && !entry.is_claimed()
                && asked.is_some_and(|asked| asked.is_drawn && asked.label == ask.label)
        };
        let rank = |phase| match phase {
            Phase::Grace(_) => Some(0),
            Phase::Quarantine(_) => Some(1),
            Phase::Fresh | Phase::Held(..) => None,
        };
        self.entries
            .iter()
            .filter(|(_, entry)| is_its_own(entry))
            .filter(|(holding, _)| match holding {
                Holding::Port(port) => ports.contains(*port) && !avoid.contains(port),
                Holding::Unix(..) | Holding::Name(_) => false,
            })
            .filter(|(holding, _)| self.may_move(ask, holding).is_ok())
            .filter_map(|(holding, entry)| {
                Some((rank(entry.phase)?, entry.scope != ask.scope, holding))
            })
            .min()
            .map(|(.., holding)| holding.clone())
    }
}
