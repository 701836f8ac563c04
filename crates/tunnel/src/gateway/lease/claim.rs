//! What becomes of a claim.

use adit_model::lease::{Holding, Lease};

use super::{Claim, Committed, Entry, Heir, MemberId, Now, Phase, Table, Ticket};

impl Table {
    /// The claim as the ledger keeps it; `None` if it is no more.
    pub(crate) fn claimed(&self, ticket: &Ticket, now: Now) -> Option<Lease> {
        let entry = self.entries.get(&ticket.holding)?;
        let claim = entry.claim.as_ref()?;
        (claim.number == ticket.number).then(|| entry.lease(ticket.holding.clone(), now))
    }

    /// Everything is there: the claimant holds it from here on, and whoever held it does not. `None` if the
    /// claim is no more, because its connection has ended or may not have it any more. Who held it has it back when
    /// it is vacant, as long as that one is there.
    pub(crate) fn commit(&mut self, ticket: &Ticket, now: Now) -> Option<Committed> {
        let committed = self.change(&ticket.holding, |entry| {
            let claim = entry.claim.take_if(|claim| claim.number == ticket.number)?;
            let displaced = match entry.phase {
                Phase::Held(holder, _) => Some(holder),
                Phase::Fresh | Phase::Grace(_) | Phase::Quarantine(_) => None,
            };
            entry.forget_heir(claim.member);
            let lost = entry.asked.take().map(|asked| asked.bind);
            let lost = lost.filter(|_| displaced.is_some());
            if let (Some(member), Some(bind)) = (displaced, lost.clone()) {
                entry.taken_over(now);
                entry.add_heir(Heir { member, bind });
            }
            let bind = claim.asked.bind.clone();
            entry.epoch = claim.epoch;
            entry.scope = claim.scope;
            entry.drawn = claim.asked.drawn();
            entry.asked = Some(claim.asked);
            entry.phase = Phase::Held(claim.member, now.wall);
            Some(Committed {
                epoch: claim.epoch,
                bind,
                displaced,
                lost,
            })
        });
        self.check();
        committed.flatten()
    }

    /// It came to nothing: all is as it was before.
    pub(crate) fn abandon(&mut self, ticket: &Ticket) {
        self.unclaim(&ticket.holding, |claim| claim.number == ticket.number);
        self.check();
    }

    /// Takes a claim back, and with it the entry if there is nothing else to it. Says whether there was one.
    fn unclaim(&mut self, holding: &Holding, is_it: impl FnOnce(&mut Claim) -> bool) -> bool {
        let was = self.change(holding, |entry| {
            (entry.claim.take_if(is_it).is_some(), entry.phase)
        });
        if was == Some((true, Phase::Fresh)) {
            self.remove(holding);
        }
        was.is_some_and(|(was_claimed, _)| was_claimed)
    }

    /// Claims of a connection that has ended come to nothing. Their holdings.
    pub(super) fn abandon_all(&mut self, member: MemberId) -> Vec<Holding> {
        let is_its = |entry: &Entry| {
            let claim = entry.claim.as_ref();
            claim.is_some_and(|claim| claim.member == member)
        };
        let claimed = self.entries.iter().filter(|(_, entry)| is_its(entry));
        let claimed: Vec<_> = claimed.map(|(holding, _)| holding.clone()).collect();
        for holding in &claimed {
            self.unclaim(holding, |_| true);
        }
        claimed
    }
}
