//! Who has a holding back when its holder is gone: connections of the same principal that lost it to a newer one, and
//! are there still. They may not know that they lost it, and would never ask again.
//!
//! Nothing is taken from a holder for them: two machines with one key do not take turns (security rule G03).

use adit_model::lease::Holding;

use super::{Entry, Heir, MemberId, Phase, Table};
use crate::transport::Bind;

/// Connections that are remembered for one holding; the one that lost it last has it back first. More than that are
/// not two machines with one key but many, and the first of them has asked for it often enough.
const HEIRS: usize = 4;

impl Table {
    /// Who is to have it back, if nobody holds it and nobody is being given it.
    pub(crate) fn heir(&self, holding: &Holding) -> Option<&Heir> {
        let entry = self.entries.get(holding)?;
        let is_vacant = match entry.phase {
            Phase::Grace(_) | Phase::Quarantine(_) => !entry.is_claimed(),
            Phase::Fresh | Phase::Held(..) => false,
        };
        entry.heirs.back().filter(|_| is_vacant)
    }

    /// A connection does not want it back, or cannot have it.
    pub(crate) fn renounce(&mut self, holding: &Holding, member: MemberId) {
        if let Some(entry) = self.entries.get_mut(holding) {
            entry.forget_heir(member);
        }
    }

    /// A connection takes back what it asked for in those words, and had lost before.
    pub(super) fn renounce_bind(&mut self, member: MemberId, bind: &Bind) {
        for entry in self.entries.values_mut() {
            (entry.heirs).retain(|heir| heir.member != member || heir.bind != *bind);
        }
    }

    /// A connection has ended. What it was to have back, and somebody else may now.
    pub(super) fn disinherit(&mut self, member: MemberId) -> Vec<Holding> {
        let mut holdings = Vec::new();
        for (holding, entry) in &mut self.entries {
            if entry.forget_heir(member) {
                holdings.push(holding.clone());
            }
        }
        holdings.retain(|holding| self.heir(holding).is_some());
        holdings
    }
}

impl Entry {
    /// A connection that is there has lost it.
    pub(super) fn add_heir(&mut self, heir: Heir) {
        if self.heirs.len() >= HEIRS {
            self.heirs.pop_front();
        }
        self.heirs.push_back(heir);
    }

    /// Says whether it was one.
    pub(super) fn forget_heir(&mut self, member: MemberId) -> bool {
        let before = self.heirs.len();
        self.heirs.retain(|heir| heir.member != member);
        self.heirs.len() != before
    }

    /// What must hold after every step.
    pub(super) fn check_heirs(&self) -> bool {
        let is_holder =
            |heir: &Heir| matches!(self.phase, Phase::Held(holder, _) if holder == heir.member);
        self.heirs.len() <= HEIRS && !self.heirs.iter().any(is_holder)
    }
}

#[cfg(test)]
mod tests;
