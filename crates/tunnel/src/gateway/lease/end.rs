//! How leases end: their connections die, they are given back or taken away, their time is over.

use std::time::Duration;

use adit_model::address::Scope;
use adit_model::id::PrincipalId;
use adit_model::lease::Holding;

use super::{Entry, LEAST_QUARANTINE, MemberId, Now, Phase, QUARANTINED, Table};
use crate::transport::Bind;

/// What time has done to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Its owner did not come back: it is kept from others now.
    Grace(Holding),
    /// It is free.
    Quarantine(Holding),
}

impl Passed {
    /// What it is about.
    pub(crate) const fn holding(&self) -> &Holding {
        let (Self::Grace(holding) | Self::Quarantine(holding)) = self;
        holding
    }
}

impl Table {
    /// From here on it is to listen there, whoever may be asking for it.
    pub(crate) fn narrow(&mut self, holding: &Holding, scope: Scope) {
        self.change(holding, |entry| entry.scope = scope);
        self.check();
    }

    /// A connection has ended: what it held waits for its owner. What it held; and what it was being given, or was
    /// to have back and somebody else is to now.
    pub(crate) fn leave(&mut self, member: MemberId, now: Now) -> (Vec<Holding>, Vec<Holding>) {
        let mut claimed = self.abandon_all(member);
        let held = self.held_by(member);
        for holding in &held {
            let until = now.ticks.saturating_add(self.rules.grace);
            self.change(holding, |entry| entry.phase = Phase::Grace(until));
        }
        claimed.extend(self.disinherit(member));
        self.check();
        (held, claimed)
    }

    /// The holder itself gives back what it asked for in those words, with the port that was granted; who held it
    /// before does not want it back.
    pub(crate) fn cancel(&mut self, member: MemberId, bind: &Bind, now: Now) -> Option<Holding> {
        self.renounce_bind(member, bind);
        let holding = self
            .entries
            .iter()
            .find(|(_, entry)| {
                matches!(entry.phase, Phase::Held(holder, _) if holder == member)
                    && entry
                        .asked
                        .as_ref()
                        .is_some_and(|asked| asked.bind == *bind)
            })
            .map(|(holding, _)| holding.clone())?;
        // Somebody of the same principal who is being given it still is.
        self.quarantine(&holding, now);
        self.check();
        Some(holding)
    }

    /// It is taken away, also from whoever is being given it. Says whether it was there.
    pub(crate) fn release(&mut self, holding: &Holding, now: Now) -> bool {
        let phase = self.change(holding, |entry| {
            entry.claim = None;
            entry.heirs.clear();
            entry.phase
        });
        match phase {
            None | Some(Phase::Quarantine(_)) => {}
            Some(Phase::Fresh) => self.remove(holding),
            Some(Phase::Held(..) | Phase::Grace(_)) => self.quarantine(holding, now),
        }
        self.check();
        phase.is_some()
    }

    /// An operator says that nobody needs to be kept from it any more. Says whether it was in quarantine.
    pub(crate) fn forget(&mut self, holding: &Holding) -> bool {
        let is_over = self.entries.get(holding).is_some_and(|entry| {
            matches!(entry.phase, Phase::Quarantine(_)) && !entry.is_claimed()
        });
        if is_over {
            self.remove(holding);
        }
        self.check();
        is_over
    }

    /// What a connection holds.
    pub(crate) fn held_by(&self, member: MemberId) -> Vec<Holding> {
        self.entries
            .iter()
            .filter(|(_, entry)| matches!(entry.phase, Phase::Held(holder, _) if holder == member))
            .map(|(holding, _)| holding.clone())
            .collect()
    }

    /// Time goes by. What is being claimed stays.
    pub(crate) fn pass(&mut self, now: Now) -> Vec<Passed> {
        let passed: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.is_claimed())
            .filter_map(|(holding, entry)| match entry.phase {
                Phase::Grace(until) if until <= now.ticks => Some(Passed::Grace(holding.clone())),
                Phase::Quarantine(until) if until <= now.ticks => {
                    Some(Passed::Quarantine(holding.clone()))
                }
                Phase::Fresh | Phase::Held(..) | Phase::Grace(_) | Phase::Quarantine(_) => None,
            })
            .collect();
        for event in &passed {
            match event {
                Passed::Grace(holding) => self.quarantine(holding, now),
                Passed::Quarantine(holding) => self.remove(holding),
            }
        }
        self.check();
        passed
    }

    /// Frees what is in quarantine no longer, before somebody is told that it is.
    pub(super) fn forget_if_over(&mut self, holding: &Holding, now: Now) {
        let is_over = self.entries.get(holding).is_some_and(|entry: &Entry| {
            !entry.is_claimed()
                && matches!(entry.phase, Phase::Quarantine(until) if until <= now.ticks)
        });
        if is_over {
            self.remove(holding);
        }
    }

    fn quarantine(&mut self, holding: &Holding, now: Now) {
        let until = now.ticks.saturating_add(self.quarantine_time(holding));
        let principal = self.change(holding, |entry| {
            entry.phase = Phase::Quarantine(until);
            entry.principal
        });
        if let Some(first) = principal.and_then(|principal| self.one_too_many(principal)) {
            self.remove(&first);
        }
    }

    /// What a principal gave back first, if more than enough of its is kept from others.
    fn one_too_many(&self, principal: PrincipalId) -> Option<Holding> {
        let kept = self.entries.iter().filter_map(|(holding, entry)| {
            let is_its_own = entry.principal == principal && !entry.is_claimed();
            match (holding, entry.phase) {
                // Nobody else comes there.
                (Holding::Unix(..), _) => None,
                (_, Phase::Quarantine(until)) if is_its_own => Some((until, holding)),
                (_, Phase::Fresh | Phase::Held(..) | Phase::Grace(_) | Phase::Quarantine(_)) => {
                    None
                }
            }
        });
        let kept: Vec<_> = kept.collect();
        let first = kept.iter().min().filter(|_| kept.len() > QUARANTINED);
        first.map(|(_, holding)| Holding::clone(holding))
    }

    /// How long others are kept from it once its lease has ended. A Unix socket is in its principal's own
    /// folder, where nobody else comes.
    pub(super) fn quarantine_time(&self, holding: &Holding) -> Duration {
        match holding {
            Holding::Port(_) => self.rules.port_quarantine.max(LEAST_QUARANTINE),
            Holding::Name(_) | Holding::Service(..) | Holding::Member(..) => {
                self.rules.name_quarantine.max(LEAST_QUARANTINE)
            }
            Holding::Unix(..) => Duration::ZERO,
        }
    }
}
