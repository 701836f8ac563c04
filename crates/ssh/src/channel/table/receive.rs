//! What comes on channels and who takes it: data, the end of it, and windows.

use std::time::{Duration, Instant};

use super::{Channels, parse_channel};
use crate::block::Block;
use crate::channel::{Channel, ChannelId, Ending, Half, Phase};
use crate::error::Violation;
use crate::event::{Event, Events};
use crate::limits;
use crate::wire::Reader;

impl Channels {
    /// CHANNEL_DATA came, in a block whose range is the payload. Gives the block back unless kept.
    pub(crate) fn data(
        &mut self,
        mut block: Block,
        events: &mut Events,
    ) -> Result<Option<Block>, Violation> {
        let mut reader = Reader::new(block.as_slice());
        reader.byte()?;
        let local = reader.uint32()?;
        let bytes = reader.string()?.len();
        reader.finish()?;
        let channel = self.receiving_data(local, bytes)?;
        if bytes == 0 {
            return Ok(Some(block));
        }
        if !channel.may_fill() {
            // We have closed or will; what was in flight has nowhere to go and is not refilled.
            channel.receive.discard(bytes);
            return Ok(Some(block));
        }
        block.advance(9);
        let given_back = channel.keep(block);
        if !channel.readable {
            channel.readable = true;
            events.push(Event::Readable {
                channel: ChannelId(local),
            });
        }
        if let Some(copied) = &given_back {
            let bytes = u64::try_from(copied.len()).unwrap_or(u64::MAX);
            self.copied = self.copied.saturating_add(bytes);
        }
        Ok(given_back)
    }

    /// CHANNEL_EXTENDED_DATA came. Nobody here reads it: it counts, is dropped and credited.
    pub(crate) fn extended_data(&mut self, payload: &[u8], now: Instant) -> Result<(), Violation> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let local = reader.uint32()?;
        reader.uint32()?;
        let bytes = reader.string()?.len();
        reader.finish()?;
        let channel = self.receiving_data(local, bytes)?;
        if channel.may_fill() {
            self.credit(local, bytes, now);
        } else {
            channel.receive.discard(bytes);
        }
        Ok(())
    }

    /// The channel, if the peer may send so much data on it now; counted against its window.
    fn receiving_data(&mut self, local: u32, bytes: usize) -> Result<&mut Channel, Violation> {
        let channel = self.receiving(local)?;
        if bytes > usize::try_from(limits::CHANNEL_PACKET).unwrap_or(usize::MAX) {
            return Err(Violation::protocol(
                "channel data is over the maximum packet size",
            ));
        }
        channel.count_empty(bytes)?;
        channel.receive.data(bytes)?;
        Ok(channel)
    }

    /// The channel, if the peer may send data on it now.
    fn receiving(&mut self, local: u32) -> Result<&mut Channel, Violation> {
        let channel = self
            .map
            .get_mut(&local)
            .filter(|channel| channel.phase == Phase::Open);
        let channel = channel.ok_or(Violation::protocol("data for a channel that is not open"))?;
        if channel.theirs != Half::Open {
            return Err(Violation::protocol("data after EOF"));
        }
        Ok(channel)
    }

    pub(crate) fn window_adjusted(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let (local, bytes) = (reader.uint32()?, reader.uint32()?);
        reader.finish()?;
        match self
            .map
            .get_mut(&local)
            .filter(|channel| channel.phase == Phase::Open && channel.theirs != Half::Closed)
        {
            Some(channel) => channel.send.adjust(bytes)?,
            None => return self.count_stray(local),
        }
        self.wake(local);
        Ok(())
    }

    pub(crate) fn ended(&mut self, payload: &[u8], events: &mut Events) -> Result<(), Violation> {
        let local = parse_channel(payload)?;
        let channel = self.receiving(local)?;
        let was = channel.promised();
        channel.theirs = Half::Ended;
        self.released(local, was);
        events.push(Event::Ended {
            channel: ChannelId(local),
        });
        self.wake(local);
        Ok(())
    }

    pub(crate) fn closed(
        &mut self,
        payload: &[u8],
        now: Instant,
        events: &mut Events,
    ) -> Result<(), Violation> {
        let local = parse_channel(payload)?;
        let channel = self
            .map
            .get_mut(&local)
            .filter(|channel| channel.phase == Phase::Open);
        let channel = channel.ok_or(Violation::protocol("CLOSE for a channel that is not open"))?;
        if channel.theirs == Half::Closed {
            return Err(Violation::protocol("CLOSE twice"));
        }
        let was_cut = channel.theirs == Half::Open && channel.ours != Half::Closed;
        let was = channel.promised();
        channel.theirs = Half::Closed;
        // The peer takes nothing more; CLOSE is answered with CLOSE (RFC 4254 section 5.3).
        channel.discard_queue();
        channel.ending = Ending::Reset;
        if channel.receive.buffered() > 0 {
            channel.lingers_since = Some(now);
            self.linger.wait(now, local);
        }
        self.released(local, was);
        events.push(Event::Closed {
            channel: ChannelId(local),
            was_cut,
        });
        self.wake(local);
        self.forget_if_over(local);
        Ok(())
    }

    pub(crate) fn take_chunk(&mut self, channel: ChannelId) -> Option<Block> {
        self.map.get_mut(&channel.0)?.take_chunk()
    }

    /// The application has taken bytes.
    pub(crate) fn consumed(&mut self, channel: ChannelId, bytes: usize, now: Instant) {
        self.credit(channel.0, bytes, now);
        self.forget_if_over(channel.0);
    }

    fn credit(&mut self, local: u32, bytes: usize, now: Instant) {
        let Some(channel) = self.map.get_mut(&local) else {
            return;
        };
        let was = channel.promised();
        channel.receive.consumed(bytes, now);
        if let Some(since) = &mut channel.lingers_since {
            *since = now;
        }
        if channel.may_fill() && channel.receive.wants_adjust(self.caps.peer) && !channel.adjusts {
            channel.adjusts = true;
            self.adjusts.push_back(local);
        }
        self.released(local, was);
    }

    /// A window that holds its sender back gets larger, if the allowance has room. Says how much
    /// room is missing, if it is.
    pub(crate) fn grow(
        &mut self,
        channel: ChannelId,
        now: Instant,
        round_trip: Duration,
    ) -> Option<u64> {
        let free = self.allowance.saturating_sub(self.promised);
        let most = if round_trip < limits::WINDOW_GROWTH_ROUND_TRIP {
            limits::WINDOW_START
        } else {
            self.caps.peer.largest_window()
        };
        let channel_id = channel.0;
        let channel = self
            .map
            .get_mut(&channel_id)
            .filter(|channel| channel.may_fill())?;
        let wanted = channel.receive.wants_growth(now, round_trip, most)?;
        if u64::from(wanted) > free {
            return Some(u64::from(wanted).saturating_sub(free));
        }
        channel.receive.grow(wanted);
        self.promised = self.promised.saturating_add(wanted.into());
        if channel.receive.wants_adjust(self.caps.peer) && !channel.adjusts {
            channel.adjusts = true;
            self.adjusts.push_back(channel_id);
        }
        self.check();
        None
    }

    pub(crate) fn is_busy(&self, channel: ChannelId) -> bool {
        self.map
            .get(&channel.0)
            .is_some_and(|channel| channel.receive.is_busy())
    }

    /// Ends both halves at once; what waits is lost. A channel that the peer has not answered yet
    /// is closed as soon as it does.
    pub(crate) fn reset(&mut self, channel: ChannelId) {
        let Some(found) = self.map.get_mut(&channel.0) else {
            return;
        };
        match found.phase {
            Phase::Opening => found.phase = Phase::Abandoned,
            // What the peer asked for is refused, not reset.
            Phase::Abandoned | Phase::Asked => {}
            Phase::Open => {
                let was = found.promised();
                found.ending = Ending::Reset;
                found.discard_queue();
                found.discard_chunks();
                self.released(channel.0, was);
            }
        }
        self.wake(channel.0);
        self.forget_if_over(channel.0);
    }
}
