//! Somebody asks for a holding.

use adit_model::lease::Holding;

use super::draw::{Found, Own};
use super::{Answer, Ask, Asked, Claim, Draw, Entry, Now, Phase, Table, Ticket, Wanted};
use crate::gateway::desk::Refused;

impl Table {
    /// Answers an ask that the grant allows. What is somebody else's is refused at once and in the same words,
    /// whatever it is doing (security rule G13).
    pub(crate) fn ask(
        &mut self,
        ask: &Ask<'_>,
        now: Now,
        draw: &mut Draw<'_>,
    ) -> Result<Answer, Refused> {
        let answer = match &ask.wanted {
            Wanted::This(holding) => self.ask_for(ask, holding, now),
            Wanted::OneOf {
                holdings,
                choice,
                alive,
            } => self.ask_for_one_of(ask, holdings, (*choice, alive), now),
            Wanted::Any {
                ports,
                avoid,
                alive,
            } => self.ask_for_any(
                ask,
                Own {
                    ports,
                    avoid,
                    alive,
                },
                now,
                draw,
            ),
        };
        self.check();
        answer
    }

    fn ask_for(&mut self, ask: &Ask<'_>, holding: &Holding, now: Now) -> Result<Answer, Refused> {
        let in_use = || Refused::InUse {
            holding: holding.clone(),
        };
        if self.is_kept_for_others(ask, holding, now) {
            return Err(in_use());
        }
        self.forget_if_over(holding, now);
        let Some(entry) = self.entries.get(holding) else {
            return self.claim(ask, holding, false, now);
        };
        if entry.principal != ask.principal {
            return Err(in_use());
        }
        if let Some(claim) = &entry.claim
            && claim.member != ask.member
        {
            return Ok(Answer::Wait(holding.clone()));
        }
        match entry.phase {
            Phase::Held(member, _) if member == ask.member => again(entry, ask, holding),
            Phase::Held(holder, since) => self.take_over(ask, holding, (holder, since), now),
            Phase::Grace(_) => {
                self.may_move(ask, holding)?;
                self.claim(ask, holding, false, now)
            }
            Phase::Fresh | Phase::Quarantine(_) => self.claim(ask, holding, false, now),
        }
    }

    /// A port that it had before, as long as it asked for any then too: one that waits for it goes before one whose
    /// holder has to be asked whether it is there, and that before one that was given up. Otherwise a free one.
    fn ask_for_any(
        &mut self,
        ask: &Ask<'_>,
        own: Own<'_>,
        now: Now,
        draw: &mut Draw<'_>,
    ) -> Result<Answer, Refused> {
        let holding = match self.own(ask, own) {
            Some(Found::Free(holding)) => holding,
            Some(Found::Held(holding, holder)) => {
                return self.take_back(ask, &holding, (holder, true), now);
            }
            None => self.draw(ask, own, now, draw)?,
        };
        self.claim(ask, &holding, true, now)
    }

    /// Gives a claim, if the principal may have one lease more.
    pub(super) fn claim(
        &mut self,
        ask: &Ask<'_>,
        holding: &Holding,
        is_drawn: bool,
        now: Now,
    ) -> Result<Answer, Refused> {
        let entry = self.entries.get(holding);
        let is_counted = entry.is_some_and(Entry::counts);
        if !is_counted && self.count(ask.principal) >= ask.limit {
            return Err(Refused::TooManyLeases { limit: ask.limit });
        }
        if entry.is_some_and(Entry::is_claimed) {
            // The same connection asks for the same twice at once.
            return Ok(Answer::Wait(holding.clone()));
        }
        let epoch = self.next_epoch();
        let number = self.next_claim;
        self.next_claim = number.saturating_add(1);
        let bind = match holding {
            Holding::Port(port) => ask.bind.with_port(*port),
            Holding::Unix(..) | Holding::Name(_) | Holding::Service(..) | Holding::Member(..) => {
                ask.bind.clone()
            }
        };
        let claim = Claim {
            number,
            member: ask.member,
            epoch,
            scope: ask.scope,
            asked: Asked {
                bind,
                is_drawn,
                label: String::from(ask.label),
                source: ask.source,
            },
        };
        if self.entries.contains_key(holding) {
            self.change(holding, |entry| entry.claim = Some(claim));
        } else {
            self.insert(holding.clone(), Entry::fresh(ask, claim, now));
        }
        Ok(Answer::Claimed(Ticket {
            holding: holding.clone(),
            number,
        }))
    }
}

impl Entry {
    fn fresh(ask: &Ask<'_>, claim: Claim, now: Now) -> Self {
        Self {
            id: adit_model::id::LeaseId::new(0),
            principal: ask.principal,
            scope: ask.scope,
            epoch: adit_model::id::Epoch::ZERO,
            since: now.wall,
            phase: Phase::Fresh,
            asked: None,
            drawn: None,
            claim: Some(claim),
            is_probed: false,
            takeovers: std::collections::VecDeque::new(),
            heirs: std::collections::VecDeque::new(),
            stopped_until: None,
        }
    }
}

/// The same connection asks again: OpenSSH grants what it asks for in the same words, and says nothing.
fn again(entry: &Entry, ask: &Ask<'_>, holding: &Holding) -> Result<Answer, Refused> {
    match &entry.asked {
        Some(asked) if asked.bind == *ask.bind => Ok(Answer::Again(holding.clone())),
        asked => Err(Refused::OtherWords {
            holding: holding.clone(),
            bind: asked
                .as_ref()
                .map_or_else(|| holding.to_string(), |asked| asked.bind.to_string()),
        }),
    }
}
