//! What the channels have to send, and in what order.

use super::{ChannelId, Channels, Ending, Half};
use crate::block::{Block, Pool};
use crate::channel::Channel;
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
            let Some(bytes) = channel.receive.adjust() else {
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
    pub(crate) fn next(&mut self, pool: &Pool) -> Option<Next> {
        loop {
            let local = self.schedule.current()?;
            let Some(channel) = self.map.get_mut(&local) else {
                self.schedule.is_gone();
                continue;
            };
            if !channel.can_send() {
                self.schedule.is_empty_handed(&mut channel.turn);
                continue;
            }
            let remote = channel.remote;
            if channel.ending != Ending::Reset
                && let Some(block) = channel.next_block(pool, &mut self.copied)
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

    /// Whether a channel has something to send that it may send.
    pub(crate) fn can_send(&self) -> bool {
        !self.schedule.is_empty() || !self.adjusts.is_empty()
    }
}
