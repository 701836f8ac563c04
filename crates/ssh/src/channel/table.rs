//! The channels of one connection: what the peer's messages do to them, and what they send next.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::linger::Linger;
use super::{Channel, ChannelId, Ending, Half, Phase, Sort};
use crate::error::Violation;
use crate::event::{Event, Events};
use crate::flow::{Peer, Windows};
use crate::limits;
use crate::schedule::Schedule;
use crate::wire::Reader;

mod opening;
mod receive;
mod request;
mod send;

pub(crate) use send::Next;

/// What may be had at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) channels: usize,
    pub(crate) peer: Peer,
}

#[derive(Debug)]
pub(crate) struct Channels {
    caps: Caps,
    map: HashMap<u32, Channel>,
    next: u32,
    /// Whether all numbers have been used once.
    has_wrapped: bool,
    /// Channels that either side has asked for and the other has not answered.
    half_open: usize,
    /// Sessions that the peer has asked for.
    sessions: usize,
    refuses_sessions: bool,
    schedule: Schedule,
    /// Channels that owe a window adjust.
    adjusts: VecDeque<u32>,
    linger: Linger,
    /// What a channel may have in flight.
    in_flight: u64,
    /// When to look for channels that have waited in vain for credit.
    release: Option<Instant>,
    allowance: u64,
    promised: u64,
    /// Bytes of data that were copied from block to block.
    copied: u64,
    stray: u32,
}

impl Channels {
    pub(crate) fn new(caps: Caps) -> Self {
        Self {
            caps,
            map: HashMap::new(),
            next: 0,
            has_wrapped: false,
            half_open: 0,
            sessions: 0,
            refuses_sessions: false,
            schedule: Schedule::default(),
            adjusts: VecDeque::new(),
            linger: Linger::default(),
            in_flight: u64::MAX,
            release: None,
            allowance: 0,
            promised: 0,
            copied: 0,
            stray: 0,
        }
    }

    pub(crate) const fn set_allowance(&mut self, bytes: u64) {
        self.allowance = bytes;
    }

    pub(crate) const fn promised(&self) -> u64 {
        self.promised
    }

    pub(crate) fn windows(&self, channel: ChannelId) -> Option<Windows> {
        let channel = self.map.get(&channel.0)?;
        let (may_come, waits, limit) = channel.receive.state();
        Some(Windows {
            may_send: channel.send.left(),
            may_come,
            waits,
            limit,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) const fn refuse_sessions(&mut self) {
        self.refuses_sessions = true;
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        [self.linger.next_deadline(), self.release]
            .into_iter()
            .flatten()
            .min()
    }

    /// Gives up what closed channels hold whose readers have stopped, and waiting for credit that
    /// does not come.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut Events) {
        self.release_overdue(now);
        while let Some(local) = self.linger.next_due(now) {
            let Some(channel) = self.map.get_mut(&local) else {
                continue;
            };
            // A number that was used again since belongs to a channel that does not linger.
            let Some(since) = channel.lingers_since else {
                continue;
            };
            if now.saturating_duration_since(since) < limits::CLOSE_LINGER {
                self.linger.wait(since, local);
                continue;
            }
            let was = channel.promised();
            channel.discard_chunks();
            channel.lingers_since = None;
            self.released(local, was);
            events.push(Event::Lost {
                channel: ChannelId(local),
            });
            self.forget_if_over(local);
        }
    }

    /// Bytes of data that were copied from block to block, both ways, so far.
    pub(crate) const fn copied(&self) -> u64 {
        self.copied
    }

    fn fits(&self, window: u32) -> bool {
        self.promised.saturating_add(window.into()) <= self.allowance
    }

    fn insert(&mut self, channel: Channel) -> u32 {
        let local = self.next_number();
        self.half_open = self.half_open.saturating_add(1);
        self.sessions = self
            .sessions
            .saturating_add(usize::from(channel.sort == Sort::PeerSession));
        self.promised = self.promised.saturating_add(channel.promised());
        self.map.insert(local, channel);
        self.check();
        local
    }

    /// A number that no channel has. There are far more numbers than channels.
    fn next_number(&mut self) -> u32 {
        loop {
            let local = self.next;
            self.next = local.wrapping_add(1) & limits::CHANNEL_NUMBER;
            self.has_wrapped |= self.next == 0;
            if !self.map.contains_key(&local) {
                return local;
            }
        }
    }

    fn remove(&mut self, local: u32) {
        if let Some(channel) = self.map.remove(&local) {
            self.promised = self.promised.saturating_sub(channel.promised());
            self.sessions = self
                .sessions
                .saturating_sub(usize::from(channel.sort == Sort::PeerSession));
            if channel.phase != Phase::Open {
                self.half_open = self.half_open.saturating_sub(1);
            }
        }
        self.check();
    }

    /// A channel that both sides have closed is forgotten once the application has taken all.
    fn forget_if_over(&mut self, local: u32) {
        if self
            .map
            .get(&local)
            .is_some_and(|channel| channel.is_over() && channel.receive.buffered() == 0)
        {
            self.remove(local);
        }
    }

    /// Something may have become sendable.
    fn wake(&mut self, local: u32) {
        let Self {
            map,
            schedule,
            in_flight,
            ..
        } = self;
        if let Some(channel) = map.get_mut(&local)
            && channel.can_send(*in_flight)
        {
            schedule.wake(local, &mut channel.turn);
        }
    }

    /// A channel's promise was `was` and may have become smaller.
    fn released(&mut self, local: u32, was: u64) {
        let now = self.map.get(&local).map_or(0, Channel::promised);
        self.promised = self.promised.saturating_sub(was).saturating_add(now);
        self.check();
    }

    /// A message for a channel that was closed lately crosses our CLOSE and is ignored; one for a
    /// channel that never was is an error, and so are too many.
    fn count_stray(&mut self, local: u32) -> Result<(), Violation> {
        self.stray = self.stray.saturating_add(1);
        let was_ours = local < self.next || (self.has_wrapped && local <= limits::CHANNEL_NUMBER);
        if !was_ours || self.stray > limits::STRAY_CHANNEL_MESSAGES {
            return Err(Violation::protocol(
                "message for a channel that is not open",
            ));
        }
        Ok(())
    }

    fn check(&self) {
        debug_assert_eq!(
            self.promised,
            self.map.values().map(Channel::promised).sum::<u64>(),
            "promised windows leak"
        );
    }
}

/// The channel of a message that holds nothing else.
fn parse_channel(payload: &[u8]) -> Result<u32, Violation> {
    let mut reader = Reader::new(payload);
    reader.byte()?;
    let local = reader.uint32()?;
    reader.finish()?;
    Ok(local)
}

#[cfg(test)]
mod tests;
