//! What the channels have to send, and in what order.

use std::time::{Duration, Instant};

use super::{ChannelId, Channels, Ending, Half};
use crate::block::{Block, Pool};
use crate::channel::{Channel, Phase, Sort};
use crate::flow::most_in_flight;
use crate::message;
use crate::wire::Write;

/// What a channel sends next.
pub(crate) enum Next {
    /// Data, in a block whose range begins behind its headroom.
    Data {
        remote: u32,
        block: Block,
        channel: ChannelId,
    },
    /// A small message.
    Message(Vec<u8>),
}

/// SSH_EXTENDED_DATA_STDERR (RFC 4254 section 5.2).
const STANDARD_ERROR: u32 = 1;

impl Channels {
    /// Queues data: the range of a block, which begins at or after [`crate::block::HEADROOM`].
    pub(crate) fn write(&mut self, channel: ChannelId, block: Block) {
        if let Some(found) = self.map.get_mut(&channel.0)
            && found.ending == Ending::None
            && !block.is_empty()
        {
            found.write(block);
        }
        self.wake(channel.0);
    }

    /// A message for what a far process says besides its output (RFC 4254 section 5.2), as much of
    /// `bytes` as the peer's window and packets take. It overtakes what is queued.
    pub(crate) fn standard_error(&mut self, channel: ChannelId, bytes: &[u8]) -> Option<Vec<u8>> {
        let found = self.map.get_mut(&channel.0).filter(|found| {
            found.sort == Sort::PeerSession
                && found.phase == Phase::Open
                && found.ours == Half::Open
                && found.ending == Ending::None
        })?;
        let most = found.send.packet(u64::MAX).min(bytes.len());
        let taken = bytes.get(..most).filter(|taken| !taken.is_empty())?;
        found.send.sent(most);
        let mut out = vec![message::CHANNEL_EXTENDED_DATA];
        out.put_uint32(found.remote);
        out.put_uint32(STANDARD_ERROR);
        out.put_string(taken);
        Some(out)
    }

    /// What waits to be sent on a channel, in bytes.
    pub(crate) fn queued(&self, channel: ChannelId) -> usize {
        self.map.get(&channel.0).map_or(0, Channel::queued)
    }

    /// EOF after what is queued.
    pub(crate) fn finish(&mut self, channel: ChannelId) {
        if let Some(found) = self.map.get_mut(&channel.0)
            && found.ending == Ending::None
        {
            found.ending = Ending::Finish;
        }
        self.wake(channel.0);
    }

    /// EOF and then CLOSE after what is queued: nobody reads here any more.
    pub(crate) fn close(&mut self, channel: ChannelId) {
        if let Some(found) = self.map.get_mut(&channel.0)
            && found.ending != Ending::Reset
        {
            found.ending = Ending::Close;
        }
        self.wake(channel.0);
    }

    /// The next window adjust that is owed.
    pub(crate) fn next_adjust(&mut self) -> Option<[u8; 9]> {
        loop {
            let local = self.adjusts.pop_front()?;
            let Some(channel) = self.map.get_mut(&local) else {
                continue;
            };
            channel.adjusts = false;
            if !channel.may_fill() {
                continue;
            }
            let Some(bytes) = channel.receive.adjust(self.caps.peer) else {
                continue;
            };
            return Some(message::with_two_numbers(
                message::CHANNEL_WINDOW_ADJUST,
                channel.remote,
                bytes,
            ));
        }
    }

    /// What the channel whose turn it is sends next.
    pub(crate) fn next(&mut self, pool: &Pool, now: Instant) -> Option<Next> {
        loop {
            let local = self.schedule.current()?;
            let Some(channel) = self.map.get_mut(&local) else {
                self.schedule.is_gone();
                continue;
            };
            if !channel.can_send(self.in_flight) {
                if channel.can_send(u64::MAX) {
                    let flight = channel.send.flight();
                    flight.hold(now);
                    self.release = self.release.or_else(|| flight.release_at());
                }
                self.schedule.is_empty_handed(&mut channel.turn);
                continue;
            }
            let remote = channel.remote;
            if channel.ending != Ending::Reset
                && let Some(block) = channel.next_block(pool, self.in_flight, &mut self.copied)
            {
                self.schedule.sent(&mut channel.turn, block.len());
                return Some(Next::Data {
                    remote,
                    block,
                    channel: ChannelId(local),
                });
            }
            self.schedule.sent(&mut channel.turn, 0);
            let was = channel.promised();
            let number = if channel.ending != Ending::Reset && channel.ours == Half::Open {
                channel.ours = Half::Ended;
                message::CHANNEL_EOF
            } else {
                channel.ours = Half::Closed;
                if channel.ending == Ending::Close {
                    // Nobody reads here any more.
                    channel.discard_chunks();
                }
                message::CHANNEL_CLOSE
            };
            self.released(local, was);
            self.forget_if_over(local);
            let mut out = vec![number];
            out.put_uint32(remote);
            return Some(Next::Message(out));
        }
    }

    /// A round trip was measured; `least` is the least of all.
    pub(crate) fn round_trip(&mut self, least: Duration, latest: Duration) {
        self.in_flight = most_in_flight(least, latest);
        if self.in_flight == u64::MAX && self.release.is_some() {
            // Nothing is held any more.
            let waiting: Vec<u32> = self.map.keys().copied().collect();
            for local in waiting {
                self.wake(local);
            }
        }
    }

    /// Lets channels send whose peer has given no credit for long: it may wait for more itself.
    pub(super) fn release_overdue(&mut self, now: Instant) {
        if self.release.is_none_or(|due| due > now) {
            return;
        }
        self.release = None;
        let mut overdue = Vec::new();
        for (local, channel) in &mut self.map {
            match channel.send.flight().release_at() {
                Some(due) if due <= now => {
                    channel.send.flight().release();
                    overdue.push(*local);
                }
                Some(due) => self.release = Some(self.release.map_or(due, |first| first.min(due))),
                None => {}
            }
        }
        for local in overdue {
            self.wake(local);
        }
    }

    /// Whether a channel has something to send that it may send.
    pub(crate) fn can_send(&self) -> bool {
        !self.schedule.is_empty() || !self.adjusts.is_empty()
    }
}
