//! What the peer's bytes do.

use std::time::Instant;

use super::goodbye::disconnected;
use super::{Auth, Connection, Running, Stage};
use crate::block::Block;
use crate::channel::ChannelKind;
use crate::error::{ConnectionError, Violation};
use crate::event::Event;
use crate::forward::requests::Effect;
use crate::kex::{FirstPacket, Progress};
use crate::limits;
use crate::message;
use crate::negotiate::Role;
use crate::packet::Packet;
use crate::wire::{Reader, Write};

use zeroize::Zeroize;

impl Connection {
    /// Takes bytes from the peer and says how many. What is left belongs to an unfinished packet,
    /// or to one that has to wait ([`wants_read`](Self::wants_read)), and must be given again in
    /// front of what comes next.
    ///
    /// # Errors
    /// The connection is over. [`transmit`](Self::transmit) still gives what is to be said.
    pub fn receive(&mut self, now: Instant, input: &[u8]) -> Result<usize, ConnectionError> {
        if let Some(error) = self.error() {
            return Err(error.clone());
        }
        let mut taken = 0;
        let result = self.take(now, input, &mut taken);
        self.reader.rest();
        result
            .and_then(|()| self.rekey_if_due(now))
            .map_err(|error| self.fail(error))?;
        self.timers.control_queue(self.control_bytes, now);
        Ok(taken)
    }

    /// How many bytes [`receive`](Self::receive) needs in one piece to take the packet whose
    /// beginning it was given last; `None` while that is not known.
    pub fn unfinished(&self) -> Option<usize> {
        self.reader.unfinished()
    }

    /// The socket has ended: nothing more will come.
    pub fn end_of_input(&mut self) -> ConnectionError {
        self.fail(ConnectionError::Truncated)
    }

    fn take(
        &mut self,
        now: Instant,
        input: &[u8],
        taken: &mut usize,
    ) -> Result<(), ConnectionError> {
        while self.wants_read() {
            let rest = input.get(*taken..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            if let Stage::Ident(reader) = &mut self.stage {
                let (count, ident) = reader.read(rest)?;
                *taken = taken.saturating_add(count);
                self.timers.heard(now);
                if let Some(ident) = ident {
                    let ours = crate::version::OURS.as_bytes().to_vec();
                    let theirs = ident.as_bytes().to_vec();
                    match self.role {
                        Role::Client => self.kex.set_idents(ours, theirs),
                        Role::Server => {
                            self.kex.set_idents(theirs, ours);
                            // Not before: what is offered depends on who asks.
                            self.kex.begin_with(now, &ident)?;
                        }
                    }
                    self.peer = Some(ident);
                    self.stage = Stage::Kex;
                }
                continue;
            }
            let Some(packet) = self.reader.next(rest, &self.pool)? else {
                break;
            };
            *taken = taken.saturating_add(packet.taken);
            self.timers.heard(now);
            self.packet(now, packet)?;
        }
        Ok(())
    }

    pub(super) fn packet(&mut self, now: Instant, packet: Packet) -> Result<(), ConnectionError> {
        let Packet {
            sequence,
            mut payload,
            ..
        } = packet;
        let number = payload.as_slice().first().copied().unwrap_or_default();
        let is_ext_info_place = self.ext_info.packet();
        if !matches!(self.stage, Stage::Running(_)) {
            let total = self.reader.total;
            if total.bytes > limits::PREAUTH_BYTES || total.packets > limits::PREAUTH_PACKETS {
                return Err(Violation::protocol("too much before login").into());
            }
        }
        self.check_order(number)?;
        self.check_rekey_is_answered(number, payload.as_slice())?;
        if number == message::CHANNEL_DATA
            && let Stage::Running(running) = &mut self.stage
        {
            // The one message whose block may be kept.
            if let Some(block) = running.channels.data(payload, &mut self.events)? {
                self.reader.done_with(block);
            }
            return Ok(());
        }
        let result = self.message(now, number, sequence, &payload, is_ext_info_place);
        if matches!(number, 50..=79) {
            // There may have been a password in it, and the block goes back to a pool.
            payload.as_mut_slice().zeroize();
        }
        self.reader.done_with(payload);
        result
    }

    /// Whether a message may come at this time at all.
    fn check_order(&self, number: u8) -> Result<(), Violation> {
        let is_transport = (1..=4).contains(&number);
        let is_kex = (20..=49).contains(&number);
        if matches!(self.stage, Stage::Kex) {
            // Strict key exchange: nothing but what the exchange expects, and a goodbye.
            let is_harmless =
                is_transport && (!self.kex.is_strict() || number == message::DISCONNECT);
            if !is_kex && !is_harmless {
                return Err(Violation::protocol("message in the first key exchange"));
            }
        } else if self.kex.peer_is_held() && !is_transport && !is_kex {
            return Err(Violation::protocol(
                "message between the peer's KEXINIT and NEWKEYS",
            ));
        }
        Ok(())
    }

    /// From our KEXINIT to the peer's the peer may go on as before, since it has not read ours yet.
    /// Data is bounded by the windows it was promised; what costs no window is bounded here.
    fn check_rekey_is_answered(&mut self, number: u8, payload: &[u8]) -> Result<(), Violation> {
        let costs_window = matches!(
            number,
            message::CHANNEL_DATA | message::CHANNEL_EXTENDED_DATA
        );
        if !self.kex.awaits_kexinit() || !matches!(self.stage, Stage::Running(_)) {
            self.overdue = 0;
        } else if !costs_window {
            self.overdue = self.overdue.saturating_add(super::cost(payload));
        }
        if self.overdue > limits::CONTROL_QUEUE_BYTES {
            return Err(Violation::kex("key exchange is not answered"));
        }
        Ok(())
    }

    fn message(
        &mut self,
        now: Instant,
        number: u8,
        sequence: u32,
        payload: &Block,
        is_ext_info_place: bool,
    ) -> Result<(), ConnectionError> {
        let payload = payload.as_slice();
        match number {
            message::DISCONNECT => Err(disconnected(payload)),
            // OpenSSH pads with IGNORE and talks with DEBUG; neither is answered or logged.
            message::IGNORE | message::DEBUG | message::UNIMPLEMENTED => Ok(()),
            message::PONG => {
                self.pong();
                Ok(())
            }
            message::NEWKEYS => self.new_keys(payload, now),
            20..=49 => self.kex_message(now, payload, sequence),
            message::EXT_INFO => self.ext_info_message(payload, is_ext_info_place),
            message::SERVICE_REQUEST | message::SERVICE_ACCEPT | 50..=79 => {
                self.login_message(now, payload)
            }
            80..=127 => self.running_message(now, number, sequence, payload),
            message::PING => self.echo(payload),
            128.. if !matches!(self.stage, Stage::Running(_)) => {
                Err(Violation::protocol("message needs a login").into())
            }
            _ => {
                self.unimplemented(sequence);
                Ok(())
            }
        }
    }

    fn unimplemented(&mut self, sequence: u32) {
        let mut out = vec![message::UNIMPLEMENTED];
        out.put_uint32(sequence);
        self.push_control(out);
    }

    fn kex_message(
        &mut self,
        now: Instant,
        payload: &[u8],
        sequence: u32,
    ) -> Result<(), ConnectionError> {
        let is_kexinit = payload.first() == Some(&message::KEXINIT);
        if is_kexinit && matches!(self.stage, Stage::Login(_)) {
            return Err(Violation::protocol("key exchange before login").into());
        }
        let used = self.reader.volume.bytes.max(self.writer.volume.bytes);
        if is_kexinit {
            self.kex.earn(used);
        }
        let first = if sequence == 0 {
            FirstPacket::Yes
        } else {
            FirstPacket::No
        };
        if let Progress::HostKey(offer) = self.kex.receive(now, payload, first)? {
            self.events.push(Event::HostKey(offer));
        }
        Ok(())
    }

    fn running_message(
        &mut self,
        now: Instant,
        number: u8,
        sequence: u32,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        let role = self.role;
        let Self {
            stage,
            events,
            channel_began,
            ..
        } = self;
        let Stage::Running(running) = stage else {
            return Err(Violation::protocol("message needs a login").into());
        };
        let Running {
            channels,
            requests,
            auth,
        } = running.as_mut();
        let answer = match number {
            message::GLOBAL_REQUEST => {
                match requests.requested(payload, role, events)? {
                    Effect::NoMoreSessions => channels.refuse_sessions(),
                    Effect::Prove(body) => {
                        let reply = self.prove(&body)?;
                        if let Some(running) = self.running_mut() {
                            running.requests.owe_reply(reply);
                        }
                    }
                    Effect::None | Effect::Alive(_) | Effect::Proved(_) | Effect::Undo(_) => {}
                }
                self.push_replies();
                None
            }
            message::REQUEST_SUCCESS | message::REQUEST_FAILURE => {
                let mut undo = None;
                match requests.answered(payload, events)? {
                    Effect::Undo(cancel) => undo = Some(cancel),
                    Effect::Alive(since) => {
                        let round_trip = now.saturating_duration_since(since);
                        // The least ever seen: what a busy connection adds is queue, not distance,
                        // and a window grown for a queue only makes the queue longer.
                        let least = self
                            .round_trip
                            .map_or(round_trip, |least| least.min(round_trip));
                        self.round_trip = Some(least);
                        channels.round_trip(least, round_trip);
                        self.timers.alive_answered(since);
                        self.events.push(Event::Alive { round_trip });
                    }
                    Effect::Proved(blobs) => self.proofs_came(blobs, payload)?,
                    Effect::None | Effect::NoMoreSessions | Effect::Prove(_) => {}
                }
                undo
            }
            message::CHANNEL_OPEN => {
                let may_forward = match auth {
                    Auth::Client(_) => true,
                    Auth::Server(server) => server.restrictions().permit_forwarding(),
                };
                let may = |kind: &_| {
                    (may_forward || *kind == ChannelKind::Session)
                        && requests.may_be_opened(kind, role)
                };
                channels.asked(payload, may, events)?
            }
            message::CHANNEL_OPEN_CONFIRMATION => {
                *channel_began = true;
                channels.confirmed(payload, events).map(|()| None)?
            }
            message::CHANNEL_OPEN_FAILURE => channels.failed(payload, events).map(|()| None)?,
            message::CHANNEL_WINDOW_ADJUST => {
                channels.window_adjusted(payload)?;
                if self.timers.wants_round_trip(now) {
                    // Whoever sends much wants to know how near the peer is.
                    self.ask_alive(now);
                }
                None
            }
            message::CHANNEL_EXTENDED_DATA => {
                channels.extended_data(payload, now).map(|()| None)?
            }
            message::CHANNEL_EOF => channels.ended(payload, events).map(|()| None)?,
            message::CHANNEL_CLOSE => channels.closed(payload, now, events).map(|()| None)?,
            message::CHANNEL_REQUEST => channels.requested(payload, events)?,
            message::CHANNEL_SUCCESS => channels.answered(payload, true, events).map(|()| None)?,
            message::CHANNEL_FAILURE => channels.answered(payload, false, events).map(|()| None)?,
            _ => {
                self.unimplemented(sequence);
                None
            }
        };
        if let Some(answer) = answer {
            self.push_control(answer);
        }
        Ok(())
    }

    /// Queues the replies to global requests whose turn has come.
    pub(super) fn push_replies(&mut self) {
        while let Some(reply) = self
            .running_mut()
            .and_then(|running| running.requests.next_reply())
        {
            self.push_control(reply);
        }
    }

    /// One that answers nothing is nothing.
    fn pong(&mut self) {
        if let Some(left) = self.pings.checked_sub(1) {
            self.pings = left;
            self.events.push(Event::Pong);
        }
    }

    /// OpenSSH's PROTOCOL section 1.9. Before the login and in a key exchange there is no answer, as
    /// OpenSSH gives none.
    fn echo(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        let mut reader = Reader::new(payload);
        reader.byte().map_err(Violation::from)?;
        let data = reader
            .string_up_to(limits::PING_BYTES)
            .map_err(Violation::from)?;
        reader.finish().map_err(Violation::from)?;
        if matches!(self.stage, Stage::Running(_)) && self.kex.is_idle() {
            let mut pong = vec![message::PONG];
            pong.put_string(data);
            self.push_control(pong);
        }
        Ok(())
    }
}
