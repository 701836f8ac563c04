//! Which holding somebody gets who may have one of several: a name that was not asked for, or a place in a pool.

use adit_model::host::Name;
use adit_model::id::Epoch;
use adit_model::lease::Holding;
use adit_model::name::is_site;

use super::draw::may_be_asked;
use super::{Answer, Ask, Choice, Entry, MemberId, Now, Phase, Table};
use crate::gateway::desk::Refused;
use crate::transport::Bind;

/// What is to be done about a holding to have it, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It waits for who asks as this one does.
    Awaited,
    /// Who asked as this one does has it, and may be gone.
    Doubtful,
    /// Nobody has it.
    Free,
    /// It waits for somebody of the same principal who asked otherwise.
    Others,
    /// Another connection of the same principal has it, and may be gone.
    Full,
}

impl Table {
    /// One of the holdings, in their order: but first one that this very wish had before.
    pub(super) fn ask_for_one_of(
        &mut self,
        ask: &Ask<'_>,
        holdings: &[Holding],
        (choice, alive): (Choice, &[Epoch]),
        now: Now,
    ) -> Result<Answer, Refused> {
        for holding in holdings {
            self.forget_if_over(holding, now);
        }
        if let Some(own) = self.asked_alike(ask, holdings) {
            return Ok(Answer::Again(own));
        }
        if choice == Choice::Place
            && let Some(first) = holdings.first()
            && self.is_kept_for_others(ask, first, now)
        {
            // Nobody is told how many serve it (security rule G13).
            let holding = first.clone();
            return Err(Refused::InUse { holding });
        }
        let mut best: Option<(Rank, Option<MemberId>, &Holding)> = None;
        for holding in holdings {
            if self.is_kept_for_others(ask, holding, now) {
                continue;
            }
            let Some((rank, holder)) = self.rank(ask, choice, alive, holding) else {
                continue;
            };
            if best.is_none_or(|(least, ..)| rank < least) {
                best = Some((rank, holder, holding));
            }
        }
        let none_free = || match choice {
            Choice::Name => Refused::NoNameFree,
            Choice::Place => Refused::NoPlaceFree {
                places: holdings.len(),
            },
        };
        let (_, holder, holding) = best.ok_or_else(none_free)?;
        let is_drawn = choice == Choice::Name;
        match holder {
            Some(holder) => self.take_back(ask, holding, (holder, is_drawn), now),
            None => self.claim(ask, holding, is_drawn, now),
        }
    }

    /// What the same connection was given for the same words.
    fn asked_alike(&self, ask: &Ask<'_>, holdings: &[Holding]) -> Option<Holding> {
        let is_own = |holding: &&Holding| {
            self.entries.get(*holding).is_some_and(|entry| {
                matches!(entry.phase, Phase::Held(holder, _) if holder == ask.member)
                    && entry
                        .asked
                        .as_ref()
                        .is_some_and(|asked| asked.bind == *ask.bind)
            })
        };
        holdings.iter().find(is_own).cloned()
    }

    fn rank(
        &self,
        ask: &Ask<'_>,
        choice: Choice,
        alive: &[Epoch],
        holding: &Holding,
    ) -> Option<(Rank, Option<MemberId>)> {
        let Some(entry) = self.entries.get(holding) else {
            return Some((Rank::Free, None));
        };
        let is_its = entry.principal == ask.principal && !entry.is_claimed();
        if !is_its || self.may_move(ask, holding).is_err() {
            return None;
        }
        let is_alike = is_alike(ask, choice, entry);
        match entry.phase {
            Phase::Grace(_) if is_alike => Some((Rank::Awaited, None)),
            Phase::Grace(_) => Some((Rank::Others, None)),
            Phase::Quarantine(_) => Some((Rank::Free, None)),
            Phase::Held(holder, _) if may_be_asked(ask, alive, entry) => match choice {
                Choice::Name => is_alike.then_some((Rank::Doubtful, Some(holder))),
                Choice::Place => Some((Rank::Full, Some(holder))),
            },
            Phase::Fresh | Phase::Held(..) => None,
        }
    }

    /// Whether a rule or another principal's lease keeps it from who asks. A name's sites are one principal's: one
    /// that speaks for a name at one port would else be taken for it at the other.
    pub(super) fn is_kept_for_others(
        &mut self,
        ask: &Ask<'_>,
        holding: &Holding,
        now: Now,
    ) -> bool {
        let is_reserved = (ask.reservations.iter())
            .any(|rule| rule.principal != ask.principal && rule.what.covers(holding));
        let site = holding.service().filter(|(_, port)| is_site(*port));
        is_reserved || site.is_some_and(|(name, _)| self.is_anothers_site(ask, name, now))
    }

    fn is_anothers_site(&mut self, ask: &Ask<'_>, name: &Name, now: Now) -> bool {
        let sites = self.services_of(name);
        let anothers = sites.filter(|(holding, entry)| {
            let port = holding.service().map(|(_, port)| port);
            entry.principal != ask.principal && port.is_some_and(is_site)
        });
        let anothers: Vec<_> = anothers.map(|(holding, _)| holding.clone()).collect();
        anothers.into_iter().any(|holding| {
            self.forget_if_over(&holding, now);
            self.entries.contains_key(&holding)
        })
    }
}

/// Whether what a holding was given for is what is asked for now. Of places in a pool all are; they are told apart by
/// who had them.
fn is_alike(ask: &Ask<'_>, choice: Choice, entry: &Entry) -> bool {
    match choice {
        Choice::Name => entry
            .drawn
            .as_ref()
            .is_some_and(|drawn| matches!(ask.bind, Bind::Tcp { host, .. } if *host == drawn.host)),
        Choice::Place => entry
            .asked
            .as_ref()
            .is_some_and(|asked| asked.label == ask.label && asked.source.ip() == ask.source.ip()),
    }
}
