//! Which port somebody gets who asks for any.

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
        let reserved = ask.reservations.iter().filter_map(|rule| match &rule.what {
            Reserved::Ports(ports) => Some(ports),
            Reserved::Name(_) => None,
        });
        let reserved = reserved.fold(PortSet::EMPTY, |all, ports| all.union(ports));
        // A reserved port is had by its number alone, also by the one whom it is reserved for.
        let is_free = |port: &u16| {
            let holding = Holding::Port(*port);
            let is_known = self.entries.get(&holding).is_some_and(|entry| {
                entry.is_claimed()
                    || !matches!(entry.phase, Phase::Quarantine(until) if until <= now.ticks)
            });
            !is_known && !avoid.contains(port) && !reserved.contains(*port)
        };
        let none_free = || Refused::NoneFree {
            ports: ports.clone(),
        };
        let count = u32::try_from(ports.iter().filter(is_free).count()).unwrap_or(u32::MAX);
        let count = NonZeroU32::new(count).ok_or_else(none_free)?;
        let index = usize::try_from(draw(count)).unwrap_or_default();
        let port = ports.iter().filter(is_free).nth(index);
        let holding = Holding::Port(port.ok_or_else(none_free)?);
        self.forget_if_over(&holding, now);
        Ok(holding)
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
