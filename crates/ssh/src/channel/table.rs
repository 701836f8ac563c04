//! The channels of one connection: what the peer's messages do to them, and what they send next.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::linger::Linger;
use super::open::{self, Confirmation, Open, Wanted};
use super::request::{self, ChannelRequest, Request};
use super::{Channel, ChannelId, ChannelKind, Ending, Half, OpenFailure, Phase, Sort};
use crate::block::Block;
use crate::error::Violation;
use crate::event::{Event, Events};
use crate::flow::{SendWindow, Windows};
use crate::limits;
use crate::message;
use crate::schedule::Schedule;
use crate::wire::{Reader, Write};

mod send;

pub(crate) use send::Next;

/// What may be had at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) channels: usize,
    /// Largest window towards this peer.
    pub(crate) window: u32,
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
        self.linger.next_deadline()
    }

    /// Gives up what closed channels hold whose readers have stopped.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut Events) {
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

    /// Asks the peer for a channel. The message is the caller's to queue.
    pub(crate) fn open(
        &mut self,
        kind: &ChannelKind,
        window: u32,
    ) -> Result<(ChannelId, Vec<u8>), OpenFailure> {
        let is_full =
            self.map.len() >= self.caps.channels || self.half_open >= limits::OPENS_PENDING;
        if is_full || !self.fits(window) {
            return Err(OpenFailure::ResourceShortage);
        }
        let sort = if *kind == ChannelKind::Session {
            Sort::OwnSession
        } else {
            Sort::Flow
        };
        let local = self.insert(Channel::new(
            Phase::Opening,
            sort,
            0,
            window,
            SendWindow::new(0, 0),
        ));
        Ok((ChannelId(local), open::open(kind, local, window)))
    }

    /// CHANNEL_OPEN came. Either an event asks the owner, or the answer is a refusal to be queued.
    pub(crate) fn asked(
        &mut self,
        payload: &[u8],
        may: impl FnOnce(&ChannelKind) -> bool,
        events: &mut Events,
    ) -> Result<Option<Vec<u8>>, Violation> {
        let Open {
            remote,
            window,
            packet,
            kind,
        } = Open::parse(payload)?;
        let refuse = |failure, text| Ok(Some(open::failure(remote, failure, text)));
        let kind = match kind {
            Wanted::Known(kind) => kind,
            Wanted::Unknown => return refuse(OpenFailure::UnknownType, "unknown channel type"),
            Wanted::NoAddress => return refuse(OpenFailure::ConnectFailed, "no such address"),
            Wanted::Never => return refuse(OpenFailure::Prohibited, "not allowed here"),
        };
        if !may(&kind) {
            return refuse(OpenFailure::Prohibited, "not allowed here");
        }
        if packet < limits::CHANNEL_PACKET_MIN {
            return refuse(
                OpenFailure::ResourceShortage,
                "maximum packet size is too small",
            );
        }
        let is_session = kind == ChannelKind::Session;
        if is_session && self.refuses_sessions {
            return Err(Violation::protocol("session after no-more-sessions"));
        }
        if is_session && self.sessions >= limits::SESSIONS {
            return refuse(OpenFailure::Prohibited, "too many sessions");
        }
        if self.map.len() >= self.caps.channels || self.half_open >= limits::OPENS_PENDING {
            return refuse(OpenFailure::ResourceShortage, "too many channels");
        }
        let send = SendWindow::new(window, packet);
        let sort = if is_session {
            Sort::PeerSession
        } else {
            Sort::Flow
        };
        let local = self.insert(Channel::new(Phase::Asked, sort, remote, 0, send));
        events.push(Event::ChannelAsked {
            channel: ChannelId(local),
            kind,
        });
        Ok(None)
    }

    /// The owner accepts a channel that the peer asked for.
    pub(crate) fn accept(&mut self, channel: ChannelId, window: u32) -> Option<Vec<u8>> {
        let fits = self.fits(window);
        let asked = self
            .map
            .get_mut(&channel.0)
            .filter(|asked| asked.phase == Phase::Asked)?;
        let remote = asked.remote;
        if !fits {
            self.remove(channel.0);
            return Some(open::failure(
                remote,
                OpenFailure::ResourceShortage,
                "no window is left",
            ));
        }
        asked.phase = Phase::Open;
        asked.receive = crate::flow::ReceiveWindow::new(window);
        self.promised = self.promised.saturating_add(window.into());
        self.half_open = self.half_open.saturating_sub(1);
        self.wake(channel.0);
        self.check();
        Some(open::confirmation(remote, channel.0, window))
    }

    /// The owner refuses a channel that the peer asked for.
    pub(crate) fn refuse(
        &mut self,
        channel: ChannelId,
        failure: OpenFailure,
        text: &str,
    ) -> Option<Vec<u8>> {
        let asked = self
            .map
            .get(&channel.0)
            .filter(|asked| asked.phase == Phase::Asked)?;
        let answer = open::failure(asked.remote, failure, text);
        self.remove(channel.0);
        Some(answer)
    }

    pub(crate) fn confirmed(
        &mut self,
        payload: &[u8],
        events: &mut Events,
    ) -> Result<(), Violation> {
        let Confirmation {
            local,
            remote,
            window,
            packet,
        } = Confirmation::parse(payload)?;
        let channel = self.map.get_mut(&local);
        let channel = channel.ok_or(Violation::protocol(
            "confirmation of a channel that is not opening",
        ))?;
        let was = channel.phase;
        if !matches!(was, Phase::Opening | Phase::Abandoned) {
            return Err(Violation::protocol(
                "confirmation of a channel that is not opening",
            ));
        }
        if packet < limits::CHANNEL_PACKET_MIN {
            return Err(Violation::protocol("maximum packet size is too small"));
        }
        channel.phase = Phase::Open;
        channel.remote = remote;
        channel.send = SendWindow::new(window, packet);
        self.half_open = self.half_open.saturating_sub(1);
        if was == Phase::Abandoned {
            self.reset(ChannelId(local));
        } else {
            events.push(Event::ChannelOpened {
                channel: ChannelId(local),
            });
            self.wake(local);
        }
        Ok(())
    }

    pub(crate) fn failed(&mut self, payload: &[u8], events: &mut Events) -> Result<(), Violation> {
        let (local, failure, text) = open::parse_failure(payload)?;
        match self.map.get(&local).map(|channel| channel.phase) {
            Some(Phase::Opening) => {
                events.push(Event::ChannelRefused {
                    channel: ChannelId(local),
                    failure,
                    text,
                });
            }
            Some(Phase::Abandoned) => {}
            Some(Phase::Asked | Phase::Open) | None => {
                return Err(Violation::protocol(
                    "refusal of a channel that is not opening",
                ));
            }
        }
        self.remove(local);
        Ok(())
    }

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
        let channel = self.receiving(local)?;
        if bytes > usize::try_from(limits::CHANNEL_PACKET).unwrap_or(usize::MAX) {
            return Err(Violation::protocol(
                "channel data is over the maximum packet size",
            ));
        }
        channel.count_empty(bytes)?;
        if bytes == 0 {
            return Ok(Some(block));
        }
        channel.receive.data(bytes)?;
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

    /// Bytes of data that were copied from block to block, both ways, so far.
    pub(crate) const fn copied(&self) -> u64 {
        self.copied
    }

    /// CHANNEL_EXTENDED_DATA came. Nobody here reads it: it counts, is dropped and credited.
    pub(crate) fn extended_data(&mut self, payload: &[u8], now: Instant) -> Result<(), Violation> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let local = reader.uint32()?;
        reader.uint32()?;
        let bytes = reader.string()?.len();
        reader.finish()?;
        let channel = self.receiving(local)?;
        if bytes > usize::try_from(limits::CHANNEL_PACKET).unwrap_or(usize::MAX) {
            return Err(Violation::protocol(
                "channel data is over the maximum packet size",
            ));
        }
        channel.count_empty(bytes)?;
        channel.receive.data(bytes)?;
        if channel.may_fill() {
            self.credit(local, bytes, now);
        } else {
            channel.receive.discard(bytes);
        }
        Ok(())
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

    /// CHANNEL_REQUEST came: tells the owner, or gives the answer at once.
    pub(crate) fn requested(
        &mut self,
        payload: &[u8],
        events: &mut Events,
    ) -> Result<Option<Vec<u8>>, Violation> {
        let Request {
            local,
            want_reply,
            what: request,
            is_environment,
        } = Request::parse(payload)?;
        let channel = self
            .map
            .get_mut(&local)
            .filter(|channel| channel.phase == Phase::Open && channel.theirs != Half::Closed);
        let channel =
            channel.ok_or(Violation::protocol("request on a channel that is not open"))?;
        if is_environment {
            channel.requests.environment = channel.requests.environment.saturating_add(1);
            if channel.requests.environment > limits::ENVIRONMENT_REQUESTS {
                return Err(Violation::protocol("too many environment requests"));
            }
        }
        let known = request.filter(|request| channel.takes(request));
        if want_reply
            && !channel
                .requests
                .push(if known.is_some() { None } else { Some(false) })
        {
            return Err(Violation::protocol(
                "too many channel requests wait for an answer",
            ));
        }
        if let Some(request) = known {
            events.push(Event::ChannelRequest {
                channel: ChannelId(local),
                request,
                want_reply,
            });
        }
        Ok(self.next_answer(local))
    }

    /// The owner answers the oldest unanswered request of a channel.
    pub(crate) fn answer_request(&mut self, channel: ChannelId, good: bool) {
        if let Some(channel) = self.map.get_mut(&channel.0) {
            channel.requests.answer(good);
        }
    }

    /// The next reply to a channel request whose turn it is.
    pub(crate) fn next_answer(&mut self, local: u32) -> Option<Vec<u8>> {
        let channel = self
            .map
            .get_mut(&local)
            .filter(|channel| channel.ours != Half::Closed)?;
        let good = channel.requests.next()?;
        let mut answer = vec![if good {
            message::CHANNEL_SUCCESS
        } else {
            message::CHANNEL_FAILURE
        }];
        answer.put_uint32(channel.remote);
        Some(answer)
    }

    /// CHANNEL_SUCCESS or CHANNEL_FAILURE came.
    pub(crate) fn answered(
        &mut self,
        payload: &[u8],
        good: bool,
        events: &mut Events,
    ) -> Result<(), Violation> {
        let local = parse_channel(payload)?;
        let Some(channel) = self
            .map
            .get_mut(&local)
            .filter(|channel| channel.requests.ours > 0)
        else {
            return self.count_stray(local);
        };
        channel.requests.ours = channel.requests.ours.saturating_sub(1);
        events.push(Event::ChannelAnswer {
            channel: ChannelId(local),
            good,
        });
        Ok(())
    }

    /// Our request on a channel.
    pub(crate) fn request(
        &mut self,
        channel: ChannelId,
        request: &ChannelRequest,
        want_reply: bool,
    ) -> Option<Vec<u8>> {
        let channel = self.map.get_mut(&channel.0);
        let channel = channel
            .filter(|channel| channel.phase == Phase::Open && channel.ours != Half::Closed)?;
        if want_reply {
            channel.requests.ours = channel.requests.ours.saturating_add(1);
        }
        Some(request::build(channel.remote, want_reply, request))
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
        if channel.may_fill() && channel.receive.wants_adjust() && !channel.adjusts {
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
            self.caps.window
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
        if channel.receive.wants_adjust() && !channel.adjusts {
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
        let Self { map, schedule, .. } = self;
        if let Some(channel) = map.get_mut(&local)
            && channel.can_send()
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
