//! Which channel sends next: deficit round robin with a short lane for channels that have just
//! begun to send (as in RFC 8290 section 4.2, with channels for flows).
//!
//! A channel that sends a little now and then goes before those that always have more, and none can
//! stay there: after a quantum, or after running empty, it queues with the others.

use std::collections::VecDeque;

use crate::limits;

/// What a channel may send before the next one's turn, in bytes.
const QUANTUM: i64 = 65_536;

/// A channel's place in the schedule.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    deficit: i64,
    queued: bool,
}

/// The channels that have something to send.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    fresh: VecDeque<u32>,
    steady: VecDeque<u32>,
}

impl Schedule {
    /// The channel has something to send that it may send.
    pub(crate) fn wake(&mut self, channel: u32, turn: &mut Turn) {
        if !turn.queued {
            turn.queued = true;
            turn.deficit = QUANTUM;
            self.fresh.push_back(channel);
        }
    }

    /// Whose turn it is.
    pub(crate) fn current(&self) -> Option<u32> {
        self.fresh.front().or_else(|| self.steady.front()).copied()
    }

    /// The current channel sent a packet. The turn passes on when its quantum is used up.
    pub(crate) fn sent(&mut self, turn: &mut Turn, bytes: usize) {
        let charge = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .max(limits::PACKET_CHARGE);
        turn.deficit = turn.deficit.saturating_sub(charge.into());
        if turn.deficit <= 0 {
            turn.deficit = turn.deficit.saturating_add(QUANTUM);
            self.pass_on();
        }
    }

    /// The current channel has nothing more to send. From the short lane it goes behind the
    /// others first, so that it does not come back to the front by sending drop by drop.
    pub(crate) fn is_empty_handed(&mut self, turn: &mut Turn) {
        if self.fresh.is_empty() {
            turn.queued = false;
            self.steady.pop_front();
        } else {
            self.pass_on();
        }
    }

    /// The current channel is gone.
    pub(crate) fn is_gone(&mut self) {
        if self.fresh.pop_front().is_none() {
            self.steady.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.steady.is_empty()
    }

    fn pass_on(&mut self) {
        if let Some(channel) = self.fresh.pop_front().or_else(|| self.steady.pop_front()) {
            self.steady.push_back(channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn two_busy_channels_share_and_a_fresh_one_goes_first() {
        let mut schedule = Schedule::default();
        let mut turns: BTreeMap<u32, Turn> = (1..=3).map(|id| (id, Turn::default())).collect();
        let mut sent: BTreeMap<u32, usize> = BTreeMap::new();
        schedule.wake(1, turns.get_mut(&1).unwrap());
        schedule.wake(2, turns.get_mut(&2).unwrap());
        for _ in 0..1000 {
            let id = schedule.current().unwrap();
            *sent.entry(id).or_default() += 1;
            // Channel 2 sends packets half as large: it may send twice as many.
            schedule.sent(
                turns.get_mut(&id).unwrap(),
                if id == 1 { 32_768 } else { 16_384 },
            );
        }
        let ratio = sent[&2] * 100 / sent[&1];
        assert!((190..=210).contains(&ratio), "{sent:?}");
        schedule.wake(3, turns.get_mut(&3).unwrap());
        assert_eq!(schedule.current(), Some(3));
    }

    #[test]
    fn tiny_packets_pay() {
        let mut schedule = Schedule::default();
        let mut turns: BTreeMap<u32, Turn> = (1..=2).map(|id| (id, Turn::default())).collect();
        schedule.wake(1, turns.get_mut(&1).unwrap());
        schedule.wake(2, turns.get_mut(&2).unwrap());
        let mut tiny = 0;
        for _ in 0..10_000 {
            let id = schedule.current().unwrap();
            tiny += usize::from(id == 1);
            schedule.sent(
                turns.get_mut(&id).unwrap(),
                if id == 1 { 1 } else { 32_768 },
            );
        }
        // 256 tiny packets a quantum against two full ones, and one quantum ahead.
        let full = 10_000 - tiny;
        assert!(tiny <= full * 128 + 256, "{tiny} tiny, {full} full");
    }

    #[test]
    fn a_channel_that_drips_does_not_stay_in_front() {
        let mut schedule = Schedule::default();
        let (mut drip, mut bulk) = (Turn::default(), Turn::default());
        schedule.wake(1, &mut bulk);
        schedule.sent(&mut bulk, 65_536);
        schedule.wake(2, &mut drip);
        schedule.sent(&mut drip, 1);
        schedule.is_empty_handed(&mut drip);
        // It is still queued, behind the busy one: waking it again changes nothing.
        schedule.wake(2, &mut drip);
        assert_eq!(schedule.current(), Some(1));
        schedule.sent(&mut bulk, 65_536);
        assert_eq!(schedule.current(), Some(2));
        schedule.is_empty_handed(&mut drip);
        assert_eq!(schedule.current(), Some(1));
    }
}
