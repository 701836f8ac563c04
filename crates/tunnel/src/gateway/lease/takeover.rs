//! The same principal asks for what another connection of its holds.

use adit_model::lease::{Holding, Takeover};
use jiff::Timestamp;

use super::{Answer, Ask, Entry, FLAP_STOP, FLAP_WINDOW, MemberId, Now, TAKEOVERS, Table, Verdict};
use crate::gateway::desk::Refused;

impl Table {
    /// Whether the new connection has it, the old one keeps it, or the old one is to be asked first.
    pub(super) fn take_over(
        &mut self,
        ask: &Ask<'_>,
        holding: &Holding,
        holder: (MemberId, Timestamp),
        now: Now,
    ) -> Result<Answer, Refused> {
        let (holder, since) = holder;
        self.may_move(ask, holding)?;
        let Some(entry) = self.entries.get_mut(holding) else {
            return self.claim(ask, holding, false, now);
        };
        let (is_probed, held_epoch) = (entry.is_probed, entry.epoch);
        let source = entry
            .asked
            .as_ref()
            .map_or(ask.source, |asked| asked.source);
        let stopped_until = entry.stopped_until(now);
        let held = || match stopped_until {
            Some(until) => Refused::Flapping {
                holding: holding.clone(),
                source_addr: source,
                since,
                instance: None,
                seconds: until.saturating_sub(now.ticks).as_secs().max(1),
            },
            None => Refused::HeldByYou {
                holding: holding.clone(),
                source_addr: source,
                since,
                instance: None,
            },
        };
        match ask.takeover {
            Takeover::Oldest => Err(held()),
            Takeover::Newest if stopped_until.is_none() => self.claim(ask, holding, false, now),
            // Whatever the rule: once it is taken over too often, only a holder that is gone loses it. That
            // one does, for nobody shall wait for a dead connection.
            Takeover::Newest | Takeover::Probe => match ask.verdict {
                Some(Verdict { epoch, is_alive }) if epoch == held_epoch => {
                    if is_alive {
                        Err(held())
                    } else {
                        self.claim(ask, holding, false, now)
                    }
                }
                _ if is_probed => Ok(Answer::Wait(holding.clone())),
                _ => {
                    entry.is_probed = true;
                    Ok(Answer::Probe {
                        holding: holding.clone(),
                        epoch: held_epoch,
                        holder,
                    })
                }
            },
        }
    }

    /// What another connection was given that asked for any, as this one does: it is had from one that is gone. Nobody
    /// who asks for any takes one from a connection that is there, whatever the rule of takeover says.
    pub(super) fn take_back(
        &mut self,
        ask: &Ask<'_>,
        holding: &Holding,
        (holder, is_drawn): (MemberId, bool),
        now: Now,
    ) -> Result<Answer, Refused> {
        let Some(entry) = self.entries.get_mut(holding) else {
            return self.claim(ask, holding, is_drawn, now);
        };
        let held_epoch = entry.epoch;
        match ask.verdict {
            Some(Verdict { epoch, is_alive }) if epoch == held_epoch && !is_alive => {
                self.claim(ask, holding, is_drawn, now)
            }
            _ if entry.is_probed => Ok(Answer::Wait(holding.clone())),
            _ => {
                entry.is_probed = true;
                Ok(Answer::Probe {
                    holding: holding.clone(),
                    epoch: held_epoch,
                    holder,
                })
            }
        }
    }

    /// The question whether the holder is there has an answer, or nobody waits for it any more.
    pub(crate) fn probe_is_over(&mut self, holding: &Holding) {
        if let Some(entry) = self.entries.get_mut(holding) {
            entry.is_probed = false;
        }
    }

    /// Whether the lease may go to where the new connection comes from, if the last one came from somewhere
    /// else, or nobody knows from where, after a restart (security rule G14).
    pub(super) fn may_move(&self, ask: &Ask<'_>, holding: &Holding) -> Result<(), Refused> {
        let last = self
            .entries
            .get(holding)
            .and_then(|entry| entry.asked.as_ref())
            .map(|asked| asked.source.ip().to_canonical());
        let source = ask.source.ip().to_canonical();
        let may = last == Some(source) || ask.takeover_from.contains(source);
        may.then_some(()).ok_or_else(|| Refused::OtherNetwork {
            holding: holding.clone(),
            address: source,
        })
    }
}

impl Entry {
    /// Until when it is not taken over from a holder that is there, because it was too often.
    fn stopped_until(&mut self, now: Now) -> Option<std::time::Duration> {
        self.stopped_until.take_if(|until| *until <= now.ticks);
        self.forget_takeovers(now);
        if self.stopped_until.is_none() && self.takeovers.len() >= TAKEOVERS {
            self.takeovers.clear();
            self.stopped_until = now.ticks.checked_add(FLAP_STOP);
        }
        self.stopped_until
    }

    pub(super) fn taken_over(&mut self, now: Now) {
        self.forget_takeovers(now);
        if self.takeovers.len() >= TAKEOVERS {
            self.takeovers.pop_front();
        }
        self.takeovers.push_back(now.ticks);
    }

    fn forget_takeovers(&mut self, now: Now) {
        while self
            .takeovers
            .pop_front_if(|then| now.ticks.saturating_sub(*then) >= FLAP_WINDOW)
            .is_some()
        {}
    }
}
