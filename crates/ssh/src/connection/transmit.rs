//! What goes to the peer, and in what order.
//!
//! Key exchange before control messages, control before window adjusts, those before data, data by
//! turns. What is sealed cannot be overtaken any more, so the owner asks for no more than it can
//! soon write.

use std::time::Instant;

use super::{Connection, Stage, cost};
use crate::block::Block;
use crate::channel::table::Next;
use crate::error::ConnectionError;
use crate::event::Event;
use crate::kex::Outward;
use crate::message;
use crate::negotiate::Role;
use crate::packet::Outgoing;
use crate::provider::CryptoError;

/// Channel data up to this many bytes is copied into a block that small packets share, so that a
/// trickle does not hold a block a packet.
const SMALL: usize = 4_096;

impl Connection {
    /// Seals packets into `out` until it holds `most` bytes or nothing is left. A single packet may
    /// go over that.
    ///
    /// # Errors
    /// The connection is over; what was already sealed may still be written.
    pub fn transmit(
        &mut self,
        now: Instant,
        out: &mut Outgoing,
        most: usize,
    ) -> Result<(), ConnectionError> {
        if let Some(ident) = self.ident.take() {
            out.push_raw(&ident, &self.pool);
            if self.role == Role::Client && self.error().is_none() {
                self.kex.begin(now).map_err(|error| self.fail(error))?;
            }
        }
        if let Some(goodbye) = self.goodbye.take() {
            while let Some(Outward::Message(message)) = self.kex.out.pop_front() {
                self.writer.seal(&[&message], out, &self.pool)?;
            }
            return self.writer.seal(&[&goodbye], out, &self.pool);
        }
        if std::mem::take(&mut self.channel_began) && self.timers.wants_early_round_trip() {
            // Before the channel carries anything: a round trip measured under load is mostly queue.
            self.timers.early_round_trip_asked();
            self.ask_alive(now);
        }
        while out.len() < most {
            match self.seal_next(now, out) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.fail(error)),
            }
        }
        self.timers.control_queue(self.control_bytes, now);
        self.rekey_if_due(now).map_err(|error| self.fail(error))
    }

    /// Whether [`transmit`](Self::transmit) would seal something.
    pub fn wants_write(&self) -> bool {
        if self.ident.is_some() || self.goodbye.is_some() || !self.kex.out.is_empty() {
            return true;
        }
        if self.kex.sending_is_held() {
            return false;
        }
        !self.control.is_empty()
            || self
                .running()
                .is_some_and(|running| running.channels.can_send())
    }

    /// Seals one packet; `false` if there is none.
    fn seal_next(&mut self, now: Instant, out: &mut Outgoing) -> Result<bool, ConnectionError> {
        match self.kex.out.pop_front() {
            Some(Outward::Message(message)) => {
                self.writer.seal(&[&message], out, &self.pool)?;
                return Ok(true);
            }
            Some(Outward::NewKeys(sealer, sequence)) => {
                self.writer.seal(&[&[message::NEWKEYS]], out, &self.pool)?;
                if matches!(self.stage, Stage::Running(_)) {
                    self.coming.sends_anew(self.writer.volume.bytes);
                }
                self.writer.change_keys(sealer, sequence);
                if matches!(self.stage, Stage::Ident(_) | Stage::Kex) {
                    self.send_ext_info(out)?;
                }
                return Ok(true);
            }
            None if self.kex.sending_is_held() => return Ok(false),
            None => {}
        }
        if let Some(message) = self.control.pop_front() {
            self.control_bytes = self.control_bytes.saturating_sub(cost(&message));
            self.timers.control_queue_moved(now);
            self.writer.seal(&[&message], out, &self.pool)?;
            return Ok(true);
        }
        let Stage::Running(running) = &mut self.stage else {
            return Ok(false);
        };
        if let Some(adjust) = running.channels.next_adjust() {
            self.writer.seal(&[&adjust], out, &self.pool)?;
            return Ok(true);
        }
        match running.channels.next(&self.pool, now) {
            None => Ok(false),
            Some(Next::Message(message)) => self
                .writer
                .seal(&[&message], out, &self.pool)
                .map(|()| true),
            Some(Next::Data {
                remote,
                block,
                channel,
            }) => {
                let bytes = block.len();
                self.seal_data(remote, block, out)?;
                self.events.push(Event::Sealed { channel, bytes });
                Ok(true)
            }
        }
    }

    fn seal_data(
        &mut self,
        remote: u32,
        mut block: Block,
        out: &mut Outgoing,
    ) -> Result<(), ConnectionError> {
        let bytes = u32::try_from(block.len()).map_err(|_| INTERNAL)?;
        let header = message::with_two_numbers(message::CHANNEL_DATA, remote, bytes);
        if block.len() <= SMALL {
            return self
                .writer
                .seal(&[&header, block.as_slice()], out, &self.pool);
        }
        let (start, end) = (block.start(), block.start().saturating_add(block.len()));
        block.set_range(start.checked_sub(header.len()).ok_or(INTERNAL)?, end);
        let room = block.as_mut_slice().first_chunk_mut().ok_or(INTERNAL)?;
        *room = header;
        self.writer.seal_block(block, out)
    }

    /// RFC 8308 section 2.4: right behind our first NEWKEYS, if the peer takes it.
    fn send_ext_info(&mut self, out: &mut Outgoing) -> Result<(), ConnectionError> {
        match self.ours.build() {
            Some(ext_info) if self.kex.peer_takes_ext_info() => {
                self.writer.seal(&[&ext_info], out, &self.pool)
            }
            _ => Ok(()),
        }
    }
}

const INTERNAL: ConnectionError = ConnectionError::Crypto(CryptoError::Internal);
