//! The streams of one connection: each channel of the engine with the stream that an application
//! holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use adit_ssh::Connection;
use adit_ssh::block::Block;
use adit_ssh::channel::{ChannelId, ChannelRequest, ExitStatus};
use tokio::sync::oneshot;

use super::super::mailbox::DirtyList;
use super::super::stream::{AppEnd, StreamDriver, StreamEnd};
use super::super::{ByteStream, OpenError};
use super::tally::Tally;

/// Who waits for a stream to open.
type Opener = oneshot::Sender<Result<ByteStream, OpenError>>;

/// One channel.
pub(super) struct Stream {
    channel: ChannelId,
    driver: StreamDriver,
    /// Handed over, and not reported as taken.
    untaken: usize,
    /// Sealed in this turn.
    sealed: usize,
    opening: Option<(ByteStream, Opener)>,
    is_ended_by_us: bool,
    /// The channel is closed, and the application still has something to read.
    is_closed: bool,
    is_abandoned: bool,
    /// The turn in which it was served last.
    turn: u64,
}

#[derive(Default)]
pub(super) struct Streams {
    map: HashMap<u32, Stream>,
    /// Streams that the engine sealed bytes of in this turn.
    sealed: Vec<u32>,
    /// Bulk that has arrived: its streams hear of it after all others.
    bulk: Vec<(ChannelId, Block)>,
    /// Streams that the peer has not answered.
    opening: usize,
    tally: Tally,
}

/// A stream whose packets have this many bytes is part of a bulk transfer.
const BULK: usize = 16_384;
/// Most bytes of a block that is handed to the engine at once.
const PACKET: usize = 32_768;

impl Streams {
    /// A stream for a channel of the engine. It is told by its number when it has news.
    pub(super) fn add(
        &mut self,
        channel: ChannelId,
        stream: (ByteStream, StreamDriver),
        opener: Option<Opener>,
    ) -> Option<ByteStream> {
        let (stream, driver) = stream;
        let (opening, ours) = match opener {
            Some(opener) => {
                self.opening = self.opening.saturating_add(1);
                (Some((stream, opener)), None)
            }
            None => (None, Some(stream)),
        };
        let entry = Stream {
            channel,
            driver,
            untaken: 0,
            sealed: 0,
            opening,
            is_ended_by_us: false,
            is_closed: false,
            is_abandoned: false,
            turn: 0,
        };
        self.map.insert(channel.number(), entry);
        ours
    }

    pub(super) fn remove(&mut self, channel: u32) {
        let removed = self.map.remove(&channel);
        if removed.is_some_and(|stream| stream.opening.is_some()) {
            self.opening = self.opening.saturating_sub(1);
        }
    }

    /// The peer confirmed a stream that an application waits for.
    pub(super) fn opened(&mut self, channel: ChannelId) {
        if let Some((stream, opener)) = self
            .map
            .get_mut(&channel.number())
            .and_then(|entry| entry.opening.take())
        {
            self.opening = self.opening.saturating_sub(1);
            // An application that is gone gives the stream back; dropping it resets the channel.
            drop(opener.send(Ok(stream)));
        }
    }

    /// The peer refused it.
    pub(super) fn refused(&mut self, channel: ChannelId, error: OpenError) {
        if let Some((_, opener)) = self
            .map
            .remove(&channel.number())
            .and_then(|entry| entry.opening)
        {
            self.opening = self.opening.saturating_sub(1);
            drop(opener.send(Err(error)));
        }
    }

    /// Streams that the peer has not answered.
    pub(super) const fn opening(&self) -> usize {
        self.opening
    }

    /// Hands what has arrived on a channel to its stream; bulk with [`deliver_bulk`](Self::deliver_bulk).
    pub(super) fn deliver(&mut self, channel: ChannelId, engine: &mut Connection, now: Instant) {
        let Some(chunk) = engine.take_chunk(channel) else {
            return;
        };
        if chunk.len() >= BULK {
            self.bulk.push((channel, chunk));
        } else {
            self.hand_over(channel, chunk, engine, now);
        }
    }

    /// Hands over what was kept back. Applications run in the order in which they were woken, and who
    /// waits for a few bytes should not wait until others have written their hundreds of KiB.
    pub(super) fn deliver_bulk(&mut self, engine: &mut Connection, now: Instant) {
        let mut bulk = std::mem::take(&mut self.bulk);
        for (channel, chunk) in bulk.drain(..) {
            self.hand_over(channel, chunk, engine, now);
        }
        self.bulk = bulk;
    }

    /// Hands a chunk and all that came behind it to a channel's stream.
    fn hand_over(
        &mut self,
        channel: ChannelId,
        first: Block,
        engine: &mut Connection,
        now: Instant,
    ) {
        let stream = self.map.get_mut(&channel.number());
        let Some(stream) = stream.filter(|stream| !stream.is_abandoned) else {
            engine.consumed(channel, first.len(), now);
            discard(channel, engine, now);
            return;
        };
        let mut next = Some(first);
        while let Some(chunk) = next {
            stream.untaken = stream.untaken.saturating_add(chunk.len());
            self.tally.payload(chunk.len());
            stream.driver.push(chunk);
            next = engine.take_chunk(channel);
        }
        count(&mut self.tally, stream);
    }

    pub(super) fn sealed(&mut self, channel: ChannelId, bytes: usize) {
        if let Some(stream) = self.map.get_mut(&channel.number()) {
            if stream.sealed == 0 {
                self.sealed.push(channel.number());
            }
            stream.sealed = stream.sealed.saturating_add(bytes);
        }
    }

    /// Tells each stream once what was sealed of it since.
    pub(super) fn report_sealed(&mut self) {
        for channel in self.sealed.drain(..) {
            if let Some(stream) = self.map.get_mut(&channel) {
                stream.driver.sealed(std::mem::take(&mut stream.sealed));
                count(&mut self.tally, stream);
            }
        }
    }

    pub(super) fn ended(&mut self, channel: ChannelId) {
        if let Some(stream) = self.map.get_mut(&channel.number()) {
            stream.driver.push_eof();
            count(&mut self.tally, stream);
        }
    }

    /// The channel is over on the peer's side. What arrived is still read, for a while.
    pub(super) fn closed(&mut self, channel: ChannelId, was_cut: bool) {
        let Some(stream) = self.map.get_mut(&channel.number()) else {
            return;
        };
        if was_cut {
            stream.driver.reset(StreamEnd::Reset);
        } else {
            stream.driver.stop_output(StreamEnd::Reset);
        }
        count(&mut self.tally, stream);
        if stream.untaken == 0 || stream.is_abandoned {
            self.remove(channel.number());
        } else {
            stream.is_closed = true;
        }
    }

    /// What an application did with its stream goes to the engine.
    pub(super) fn news(&mut self, number: u32, engine: &mut Connection, now: Instant) {
        let Some(stream) = self.map.get_mut(&number) else {
            return;
        };
        if stream.opening.is_some() {
            return;
        }
        let channel = stream.channel;
        let news = stream.driver.news();
        stream.untaken = stream.untaken.saturating_sub(news.consumed);
        engine.consumed(channel, news.consumed, now);
        let mut taken: usize = 0;
        while let Some(block) = stream.driver.take_block(PACKET) {
            taken = taken.saturating_add(block.len());
            engine.write(channel, block);
        }
        self.tally.payload(taken);
        count(&mut self.tally, stream);
        if let Some(status) = news.exit {
            // It goes ahead of output that waits, and so in any case ahead of the close.
            let exit = ChannelRequest::Exit(ExitStatus::Code(status));
            engine.request_channel(channel, &exit, false);
        }
        let is_written = taken >= news.outbound;
        match news.end {
            AppEnd::Shut if is_written && !stream.is_ended_by_us => {
                stream.is_ended_by_us = true;
                engine.finish(channel);
            }
            AppEnd::Closed if is_written => {
                abandon(stream, engine, now);
                engine.close_channel(channel);
            }
            AppEnd::Reset => {
                abandon(stream, engine, now);
                engine.reset(channel);
            }
            AppEnd::Open | AppEnd::Shut | AppEnd::Closed => {}
        }
        let is_read = stream.untaken == 0 || stream.is_abandoned;
        if stream.is_closed && is_read {
            self.remove(number);
        }
    }

    /// Nobody has read for long enough after the channel closed: what is left is dropped.
    pub(super) fn lost(&mut self, channel: ChannelId) {
        if let Some(mut stream) = self.map.remove(&channel.number()) {
            stream.driver.drop_inbound();
        }
    }

    /// The channel of that number, if it has a stream.
    pub(super) fn channel(&self, number: u32) -> Option<ChannelId> {
        self.map.get(&number).map(|stream| stream.channel)
    }

    /// A turn in which something moved is over.
    pub(super) fn turn(&mut self) {
        self.tally.turn();
    }

    /// What all streams have cost so far.
    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
}

/// Counts what serving a stream has cost, and the stream once a turn.
fn count(tally: &mut Tally, stream: &mut Stream) {
    let costs = stream.driver.take_costs();
    tally.copied(costs.copied);
    tally.woke(costs.wakes);
    let turn = tally.turns.saturating_add(1);
    if stream.turn != turn {
        stream.turn = turn;
        tally.stream_turn();
    }
}

/// Nobody reads any more: what was handed over is gone with the application, and counts as taken.
fn abandon(stream: &mut Stream, engine: &mut Connection, now: Instant) {
    stream.is_abandoned = true;
    engine.consumed(stream.channel, std::mem::take(&mut stream.untaken), now);
}

/// Throws away what nobody reads.
fn discard(channel: ChannelId, engine: &mut Connection, now: Instant) {
    while let Some(chunk) = engine.take_chunk(channel) {
        engine.consumed(channel, chunk.len(), now);
    }
}

/// A stream and its driver for a channel of that kind.
pub(super) fn pair(
    channel: ChannelId,
    pool: &adit_ssh::block::Pool,
    dirty: &Arc<DirtyList>,
) -> (ByteStream, StreamDriver) {
    ByteStream::pair(channel.number(), PACKET, pool.clone(), Arc::clone(dirty))
}
